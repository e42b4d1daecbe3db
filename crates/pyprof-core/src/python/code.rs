//! Code objects: the names, lines and frame size of a function.

use std::io;
use std::sync::OnceLock;

use crate::memory::{Piece, RemoteMemory};
use crate::python::layout::Layout;
use crate::python::lines::{LineFormat, LineTable, Position};
use crate::python::unicode::{Text, head_size, int, read_all, split, word};

/// Longest name kept, in characters.
const MAX_NAME: usize = 4096;
/// Longest line table kept, in bytes; a generated function of 100,000 lines needs less.
const MAX_LINE_TABLE: u64 = 1 << 20;
/// Most words a frame may occupy: far above what the compiler makes, far below what could exhaust us.
const MAX_FRAME_WORDS: u64 = 1 << 22;
/// The part of a code object that is read at once, in bytes.
const MAX_HEAD: u64 = 1024;

/// `CO_GENERATOR`, `CO_COROUTINE`, `CO_ASYNC_GENERATOR` (`Include/cpython/code.h`).
const CO_COROUTINE: u32 = 0x80;
const CO_ASYNC_GENERATOR: u32 = 0x200;

/// What is known of a code object. It is a copy: the target's may be gone.
#[derive(Debug)]
pub struct Code {
    /// Where the object is (was) in the target
    pub address: u64,
    /// `co_name`
    pub name: String,
    /// `co_qualname` (3.11+), else `co_name`
    pub qualified_name: String,
    /// `co_filename`
    pub file: String,
    /// `co_firstlineno`
    pub first_line: u32,
    /// `co_flags`
    pub flags: u32,
    /// Words that a frame of this code occupies in the data stack, its header included; 0 up to 3.10, where
    /// frames are objects of their own
    pub frame_words: u32,
    /// Address of the first instruction (3.11+), 0 before
    pub instructions: u64,
    /// Length of the instructions in bytes (3.11+)
    length: u64,
    /// The copies of the instructions that threads have for themselves (3.14t+), as last seen
    copies: Vec<u64>,
    /// Which object this was; see [`Fingerprint`]
    pub fingerprint: Fingerprint,
    line_table: Vec<u8>,
    format: LineFormat,
    /// 3.10 counts instructions where 3.8 and 3.9 count bytes
    bytes_per_lasti: i64,
    lines: OnceLock<LineTable>,
}

impl Code {
    /// The position of a frame whose instruction field ([`crate::python::layout::FrameLayout::instruction`])
    /// holds `raw`: an address from 3.11 on, `f_lasti` (32 bits, sign-extended or not) before.
    #[must_use]
    pub fn position(&self, raw: u64) -> Position {
        match self.format {
            LineFormat::Locations => self.position_at(raw.wrapping_sub(self.start_for(raw)) as i64),
            _ => self.position_at(i64::from(raw as u32 as i32) * self.bytes_per_lasti),
        }
    }

    /// Whether `instruction` is in the object or in a copy that is known.
    #[must_use]
    pub fn knows(&self, instruction: u64) -> bool {
        let start = self.start_for(instruction);
        instruction.wrapping_sub(start) < self.length
    }

    /// Replaces what is known of the copies that threads have.
    pub fn set_copies(&mut self, copies: Vec<u64>) {
        self.copies = copies;
    }

    /// Where the instructions begin that `instruction` is among; the object's own when it is in no copy.
    fn start_for(&self, instruction: u64) -> u64 {
        let holds = |start: &&u64| instruction.wrapping_sub(**start) < self.length;
        self.copies.iter().find(holds).copied().unwrap_or(self.instructions)
    }

    /// The position of the instruction `offset` bytes after the first.
    ///
    /// A frame that has not begun (a negative offset, or the instructions that prepare it and have no line)
    /// is on its function's first line, as in tracebacks.
    #[must_use]
    pub fn position_at(&self, offset: i64) -> Position {
        let lines =
            self.lines.get_or_init(|| LineTable::decode(self.format, &self.line_table, self.first_line));
        let begun = lines.first_with_line().is_none_or(|start| offset >= i64::from(start));
        match u32::try_from(offset) {
            Ok(offset) if begun => lines.at(offset),
            Err(_) if offset > 0 => Position::default(),
            _ => Position { line: self.first_line, ..Position::default() },
        }
    }

    /// `async def` or an asynchronous generator.
    #[must_use]
    pub fn is_async(&self) -> bool {
        self.flags & (CO_COROUTINE | CO_ASYNC_GENERATOR) != 0
    }
}

/// Reads the code object at `address` with three reads: its head, the heads of its strings and line table, and
/// their data together with its fingerprint once more.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] when there is no code object (any more), else what reading memory said.
pub fn read_code(memory: &dyn RemoteMemory, layout: &Layout, address: u64) -> io::Result<Code> {
    let fields = &layout.code;
    let objects = &layout.objects;
    let head = memory.read_vec(address, fields.size.min(MAX_HEAD) as usize)?;
    let pointer = |offset| word(&head, offset).ok_or_else(|| not_a_code(address));
    let number = |offset| int(&head, offset).ok_or_else(|| not_a_code(address));

    let name = pointer(fields.name)?;
    let strings = [name, fields.qualname.map_or(Ok(name), pointer)?, pointer(fields.filename)?];
    let table = pointer(fields.line_table)?;

    let text_head = head_size(objects);
    let mut pieces = strings.map(|at| Piece { base: at as usize, len: text_head }).to_vec();
    pieces.push(Piece { base: table.wrapping_add(objects.ob_size) as usize, len: 8 });
    let heads = read_all(memory, &pieces)?;
    let size = word(&heads, 3 * text_head as u64).filter(|size| *size <= MAX_LINE_TABLE);
    let size = size.ok_or_else(|| not_a_code(address))? as usize;
    let mut texts = Vec::with_capacity(3);
    for (at, bytes) in strings.iter().zip(heads.chunks_exact(text_head)) {
        texts.push(Text::from_head(objects, *at, bytes).ok_or_else(|| not_a_code(address))?);
    }

    let mut pieces: Vec<Piece> = texts.iter().map(|text| text.piece(MAX_NAME)).collect();
    pieces.push(Piece { base: table.wrapping_add(objects.bytes_data) as usize, len: size });
    pieces.push(fingerprint_piece(layout, address));
    let data = read_all(memory, &pieces)?;
    let mut parts = split(&data, &pieces);
    let mut part = || parts.next().unwrap_or_default();
    let mut names = texts.iter().map(|text| text.decode_cut(part(), MAX_NAME));
    let mut text = || names.next().unwrap_or_default();
    let (name, qualified_name, file) = (text(), text(), text());
    let line_table = part().to_vec();

    // The object may have died while its strings were read; then they may be another's.
    let fingerprint = Fingerprint::from_head(layout, &head).ok_or_else(|| not_a_code(address))?;
    if Fingerprint::from_bytes(part()) != Some(fingerprint) {
        return Err(not_a_code(address));
    }

    let words = match (layout.version.1, fields.frame_size) {
        (_, Some(size)) => u64::from(number(size)?),
        // `_PyFrame_Size` of 3.11: the specials before the locals, the locals, the evaluation stack.
        (11, None) => {
            layout.frame.locals / 8
                + u64::from(number(fields.local_count)?)
                + u64::from(number(fields.stack_size)?)
        }
        _ => 0,
    };
    let first_line = number(fields.first_line)?;
    if words > MAX_FRAME_WORDS {
        return Err(not_a_code(address));
    }
    Ok(Code {
        address,
        name,
        qualified_name,
        file,
        // Code made by hand can have a negative first line.
        first_line: if first_line > i32::MAX as u32 { 0 } else { first_line },
        flags: number(fields.flags)?,
        frame_words: words as u32,
        instructions: fields.instructions.map_or(0, |at| address.wrapping_add(at)),
        length: match fields.instructions {
            // `ob_size` counts units of two bytes.
            Some(_) => pointer(objects.ob_size)?.saturating_mul(2),
            None => 0,
        },
        copies: Vec::new(),
        fingerprint,
        line_table,
        format: LineFormat::of(layout.version),
        bytes_per_lasti: if layout.version.1 >= 10 { 2 } else { 1 },
        lines: OnceLock::new(),
    })
}

/// Fields of a code object that never change while it lives and differ from those of whatever takes its
/// place: first line, counts, version (3.12+), and the pointers to its names and its line table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    bytes: [u8; Fingerprint::SIZE],
}

impl Fingerprint {
    /// Longest piece, in bytes.
    pub const SIZE: usize = 112;

    /// From the bytes of [`fingerprint_piece`]; `None` when they are too many.
    #[must_use]
    pub fn from_bytes(piece: &[u8]) -> Option<Self> {
        let mut bytes = [0; Self::SIZE];
        bytes.get_mut(..piece.len())?.copy_from_slice(piece);
        Some(Self { bytes })
    }

    fn from_head(layout: &Layout, head: &[u8]) -> Option<Self> {
        let (start, end) = fingerprint_range(layout);
        Self::from_bytes(head.get(start as usize..end as usize)?)
    }
}

/// What to read of the code object at `address` to make its [`Fingerprint`]: one piece, at most 112 bytes.
#[must_use]
pub fn fingerprint_piece(layout: &Layout, address: u64) -> Piece {
    let (start, end) = fingerprint_range(layout);
    Piece { base: address.wrapping_add(start) as usize, len: (end - start) as usize }
}

/// From the first line to the end of the line table's pointer: immutable in every version, and all that names
/// the function lies between.
fn fingerprint_range(layout: &Layout) -> (u64, u64) {
    let fields = &layout.code;
    let end = fields.line_table.saturating_add(8);
    (fields.first_line.clamp(end.saturating_sub(Fingerprint::SIZE as u64), end), end)
}

fn not_a_code(address: u64) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("no code object at {address:#x}"))
}
