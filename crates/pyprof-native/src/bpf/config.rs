//! What the walker must know of a process: plain numbers, in the layout of `struct config` and `struct thread`.

use std::io;
use std::os::unix::fs::MetadataExt;

use pyprof_core::attach::Attached;
use pyprof_core::python::frame::FrameDecoder;
use pyprof_core::python::layout::{FrameRoot, Layout};
use pyprof_core::python::stack::thread::Header;

/// Longest frame prefix that the walker can copy (`PREFIX_MASK`).
const MAX_PREFIX: usize = 127;

/// Number of words of `struct config`.
const CONFIG_WORDS: usize = 15;
/// Bytes of `struct config`.
pub const CONFIG_BYTES: usize = 8 * CONFIG_WORDS;
/// Bytes of `struct thread`.
pub const THREAD_BYTES: usize = 8 * 4;

/// Where the GIL of an interpreter says who holds it; zero: nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gil {
    /// Address of the int that is 1 while it is held
    pub locked: u64,
    /// Address of the pointer to the thread state that holds it
    pub holder: u64,
}

impl Gil {
    /// Of the interpreter at `interpreter`, 0 for none.
    #[must_use]
    pub fn of(process: &Attached, interpreter: u64) -> Self {
        let layout = process.reader.layout();
        if layout.free_threaded || interpreter == 0 {
            return Self::default();
        }
        match (layout.runtime.tstate_current, &layout.interpreter.gil) {
            (Some(current), _) => Self { locked: 0, holder: process.reader.runtime().wrapping_add(current) },
            (None, Some(gil)) => Self {
                locked: interpreter.wrapping_add(gil.locked),
                holder: interpreter.wrapping_add(gil.holder),
            },
            (None, None) => Self::default(),
        }
    }
}

/// `struct config` for a process. `pthread_tid`: where libc keeps the thread id, 0 when unknown.
pub fn config(process: &Attached, pthread_tid: u64) -> io::Result<[u8; CONFIG_BYTES]> {
    let layout = process.reader.layout();
    let namespace = std::fs::metadata(format!("/proc/{}/ns/pid", process.handle.pid()))?;
    let device =
        (u64::from(nix::libc::major(namespace.dev())) << 20) | u64::from(nix::libc::minor(namespace.dev()));
    let prefix = FrameDecoder::new(layout).prefix();
    if prefix > MAX_PREFIX {
        return Err(io::Error::other("frames of this CPython are longer than the walker copies"));
    }
    let interpreter = process.reader.interpreters().first().map_or(0, |(address, _)| *address);
    let gil = Gil::of(process, interpreter);
    let thread = &layout.thread;
    let (root, cframe) = match thread.frame_root {
        FrameRoot::FrameObject(at) | FrameRoot::CurrentFrame(at) => (at, None),
        FrameRoot::CFrame(at, current) => (at, Some(current)),
    };
    let head = if interpreter == 0 { 0 } else { interpreter.wrapping_add(layout.interpreter.threads_head) };
    let words: [u64; CONFIG_WORDS] = [
        device,
        namespace.ino(),
        check_offset(layout),
        root,
        u64::from(cframe.is_some()),
        cframe.unwrap_or(0),
        head,
        thread.next,
        pthread_tid,
        u64::from(thread.native_thread_id.is_some()),
        prefix as u64,
        prefix as u64,
        layout.frame.previous,
        gil.locked,
        gil.holder,
    ];
    Ok(bytes(&words))
}

/// `struct thread` for a thread state.
#[must_use]
pub fn thread(layout: &Layout, state: u64, header: Header, gil: Gil) -> [u8; THREAD_BYTES] {
    let check = if layout.thread.native_thread_id.is_some() { header.native_id } else { header.python_id };
    bytes(&[state, check, gil.locked, gil.holder])
}

/// The field of a thread state that says whose it is.
fn check_offset(layout: &Layout) -> u64 {
    layout.thread.native_thread_id.unwrap_or(layout.thread.thread_id)
}

fn bytes<const WORDS: usize, const BYTES: usize>(words: &[u64; WORDS]) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
        to.copy_from_slice(&word.to_ne_bytes());
    }
    bytes
}
