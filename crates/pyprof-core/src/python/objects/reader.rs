//! Reads with a budget, and what a type object says about its instances.

use std::io;

use rustc_hash::FxHashMap;

use crate::memory::{Piece, RemoteMemory};
use crate::python::layout::{Layout, ObjectLayout};
use crate::python::unicode::{read_str, word};

/// Longest type name, in bytes.
const MAX_TYPE_NAME: usize = 256;
/// Reads up to the end of a page: a short C string may be the last thing in a mapping.
const PAGE: u64 = 4096;

// `tp_flags` (`Include/object.h`); the same in every version, those of instances from 3.11 and 3.13 on.
const INLINE_VALUES: u64 = 1 << 2;
const MANAGED_DICT: u64 = 1 << 4;
const HEAP_TYPE: u64 = 1 << 9;
/// The bits from 24 on that name a built-in base.
const SUBCLASS_BITS: [(u64, Kind); 7] = [
    (1 << 24, Kind::Int),
    (1 << 25, Kind::List),
    (1 << 26, Kind::Tuple),
    (1 << 27, Kind::Bytes),
    (1 << 28, Kind::Str),
    (1 << 29, Kind::Dict),
    (1 << 31, Kind::Type),
];

/// What sort of object a type makes, as far as this crate reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    None,
    Ellipsis,
    NotImplemented,
    Bool,
    Int,
    Float,
    Str,
    Bytes,
    List,
    Tuple,
    Dict,
    Set,
    FrozenSet,
    Range,
    Cell,
    Type,
    Module,
    Function,
    Other,
}

/// A type object, once read.
#[derive(Debug, Clone)]
pub(crate) struct Type {
    /// `tp_name`: with the module for types made in C, without it for classes
    pub name: String,
    pub kind: Kind,
    /// Instances are not of the built-in type itself but of a class derived from it
    pub derived: bool,
    flags: u64,
}

impl Type {
    /// A class made at run time
    pub fn is_heap(&self) -> bool {
        self.flags & HEAP_TYPE != 0
    }

    /// Instances have a pointer to their dict before themselves (meaningful from 3.11 on)
    pub fn has_managed_dict(&self) -> bool {
        self.flags & MANAGED_DICT != 0
    }

    /// Instances have their attributes' values at their end (meaningful from 3.13 on)
    pub fn has_inline_values(&self) -> bool {
        self.flags & INLINE_VALUES != 0
    }
}

/// Memory behind a budget: everything read for one look at one object or frame counts.
pub(crate) struct Reader<'a> {
    pub layout: &'a Layout,
    memory: &'a dyn RemoteMemory,
    reads_left: usize,
    types: FxHashMap<u64, Type>,
}

impl<'a> Reader<'a> {
    pub fn new(memory: &'a dyn RemoteMemory, layout: &'a Layout, max_reads: usize) -> Self {
        Self { layout, memory, reads_left: max_reads, types: FxHashMap::default() }
    }

    pub fn objects(&self) -> &'a ObjectLayout {
        &self.layout.objects
    }

    fn spend(&mut self) -> io::Result<()> {
        self.reads_left = self.reads_left.checked_sub(1).ok_or_else(|| invalid("too much to read"))?;
        Ok(())
    }

    /// `len` bytes from `address`. The caller bounds `len`.
    pub fn bytes(&mut self, address: u64, len: usize) -> io::Result<Vec<u8>> {
        self.spend()?;
        self.memory.read_vec(address, len)
    }

    /// Several pieces; returns how many bytes of them could be read, 0 when the first is unreadable.
    pub fn pieces(&mut self, pieces: &[Piece], buf: &mut [u8]) -> io::Result<usize> {
        self.spend()?;
        match self.memory.read_pieces(pieces, buf) {
            Err(error) if error.raw_os_error() == Some(nix::libc::EFAULT) => Ok(0),
            result => result,
        }
    }

    /// The word `offset` bytes into the object at `address`.
    pub fn word(&mut self, address: u64, offset: u64) -> io::Result<u64> {
        self.spend()?;
        self.memory.read_u64(address.wrapping_add(offset))
    }

    /// At most `max_chars` characters of the str at `address`.
    pub fn str(&mut self, address: u64, max_chars: usize) -> io::Result<String> {
        self.spend()?;
        read_str(self.memory, self.layout, address, max_chars)
    }

    /// The type of the object at `address`: its own address and what it says.
    pub fn type_of(&mut self, address: u64) -> io::Result<(u64, Type)> {
        if address == 0 || !address.is_multiple_of(8) {
            return Err(invalid("no object here"));
        }
        let at = self.word(address, self.objects().ob_type)?;
        Ok((at, self.type_at(at)?))
    }

    /// The type object at `at`.
    pub fn type_at(&mut self, at: u64) -> io::Result<Type> {
        if let Some(known) = self.types.get(&at) {
            return Ok(known.clone());
        }
        let (name_at, flags_at) = (self.objects().type_name, self.objects().type_flags);
        let fields = self.bytes(at, flags_at as usize + 8)?;
        let name = self.c_string(word(&fields, name_at).unwrap_or(0))?;
        let flags = word(&fields, flags_at).unwrap_or(0);
        // A class can have any name, so only a static type's name tells what it is.
        let exact = if flags & HEAP_TYPE == 0 { built_in(&name) } else { None };
        let base = SUBCLASS_BITS.iter().find(|(bit, _)| flags & bit != 0).map(|(_, kind)| *kind);
        let known =
            Type { name, kind: exact.or(base).unwrap_or(Kind::Other), derived: exact.is_none(), flags };
        self.types.insert(at, known.clone());
        Ok(known)
    }

    fn c_string(&mut self, address: u64) -> io::Result<String> {
        let mut text = Vec::new();
        let mut at = address;
        while text.len() < MAX_TYPE_NAME {
            let len = (PAGE - at % PAGE).min((MAX_TYPE_NAME - text.len()) as u64);
            let bytes = self.bytes(at, len as usize)?;
            if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
                text.extend_from_slice(&bytes[..end]);
                let name = String::from_utf8(text).map_err(|_| invalid("a type name that is no UTF-8"))?;
                // Names reach terminals; no honest one holds control characters.
                return Ok(name.replace(char::is_control, "\u{fffd}"));
            }
            text.extend_from_slice(&bytes);
            at = at.wrapping_add(len);
        }
        Err(invalid("a type name without end"))
    }
}

fn built_in(name: &str) -> Option<Kind> {
    Some(match name {
        "NoneType" => Kind::None,
        "ellipsis" => Kind::Ellipsis,
        "NotImplementedType" => Kind::NotImplemented,
        "bool" => Kind::Bool,
        "int" => Kind::Int,
        "float" => Kind::Float,
        "str" => Kind::Str,
        "bytes" => Kind::Bytes,
        "list" => Kind::List,
        "tuple" => Kind::Tuple,
        "dict" => Kind::Dict,
        "set" => Kind::Set,
        "frozenset" => Kind::FrozenSet,
        "range" => Kind::Range,
        "cell" => Kind::Cell,
        "type" => Kind::Type,
        "module" => Kind::Module,
        "function" | "builtin_function_or_method" => Kind::Function,
        _ => return None,
    })
}

pub(crate) fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
