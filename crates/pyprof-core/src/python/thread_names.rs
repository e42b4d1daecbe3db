//! Names of threads, as the target's `threading` module keeps them.

use std::collections::HashMap;
use std::io;

use crate::memory::RemoteMemory;
use crate::python::layout::Layout;
use crate::python::objects::{Kind, Reader, attribute, entries, find};

/// Most threads that are named.
const MAX_THREADS: usize = 4096;
/// Longest name kept, in characters.
const MAX_NAME: usize = 256;
/// Budget for the way to the dict of threads.
const READS: usize = 256;
/// Further budget for each thread: key, types, keys of the class, values, name.
const READS_PER_THREAD: usize = 24;

/// Names by `threading.get_ident()` of the threads of one interpreter. Empty while the target has not
/// imported `threading`; threads that it does not know are missing. One whose name cannot be read is left out.
///
/// # Errors
/// What reading memory said on the way to the dict of threads, [`io::ErrorKind::InvalidData`] for nonsense.
pub fn thread_names(
    memory: &dyn RemoteMemory,
    layout: &Layout,
    interpreter: u64,
) -> io::Result<HashMap<u64, String>> {
    let mut reader = Reader::new(memory, layout, READS);
    let Some(active) = active_threads(&mut reader, interpreter)? else { return Ok(HashMap::new()) };
    let (threads, _) = entries(&mut reader, active, MAX_THREADS)?;
    let mut reader = Reader::new(memory, layout, READS_PER_THREAD.saturating_mul(threads.len()));
    Ok(threads
        .iter()
        .filter_map(|(ident, thread)| name(&mut reader, *ident, *thread).ok().flatten())
        .collect())
}

/// Address of the dict `threading._active`: from idents to Thread objects (`Lib/threading.py`).
fn active_threads(reader: &mut Reader<'_>, interpreter: u64) -> io::Result<Option<u64>> {
    let modules = reader.word(interpreter, reader.layout.interpreter.modules)?;
    if modules == 0 {
        return Ok(None);
    }
    let Some(threading) = find(reader, modules, "threading")? else { return Ok(None) };
    let Some(active) = attribute(reader, threading, "_active")? else { return Ok(None) };
    let (_, kind) = reader.type_of(active)?;
    Ok((kind.kind == Kind::Dict).then_some(active))
}

fn name(reader: &mut Reader<'_>, ident: u64, thread: u64) -> io::Result<Option<(u64, String)>> {
    let Some(ident) = small_int(reader, ident)? else { return Ok(None) };
    let Some(name) = attribute(reader, thread, "_name")? else { return Ok(None) };
    let (_, kind) = reader.type_of(name)?;
    if kind.kind != Kind::Str {
        return Ok(None);
    }
    Ok(Some((ident, reader.str(name, MAX_NAME)?)))
}

/// The value of an int object that fits 64 bits and is not negative.
fn small_int(reader: &mut Reader<'_>, address: u64) -> io::Result<Option<u64>> {
    let (_, kind) = reader.type_of(address)?;
    let long = &reader.objects().long;
    let raw = reader.word(address, long.size)?;
    let count = if long.tagged_size { raw >> 3 } else { raw };
    if kind.kind != Kind::Int || count > 3 || long.tagged_size && raw & 3 == 2 {
        return Ok(None);
    }
    let digits = reader.bytes(address.wrapping_add(long.digits), count as usize * 4)?;
    let value = digits.chunks_exact(4).rev().fold(0u128, |sum, digit| {
        sum << 30 | u128::from(u32::from_le_bytes([digit[0], digit[1], digit[2], digit[3]]) & 0x3fff_ffff)
    });
    Ok(u64::try_from(value).ok())
}
