//! Arguments and local variables of a frame as bounded text.

use std::io;

use crate::memory::RemoteMemory;
use crate::python::layout::Layout;
use crate::python::objects::{Kind, Limits, Reader, Representer, entries};
use crate::python::unicode::{int, word};

/// Most variables of one frame.
const MAX_LOCALS: usize = 256;
/// Longest variable name, in characters.
const MAX_NAME: usize = 256;

// `co_flags` (`Include/cpython/code.h`).
const CO_OPTIMIZED: u32 = 0x1;
const CO_VARARGS: u32 = 0x4;
const CO_VARKEYWORDS: u32 = 0x8;
/// `co_localspluskinds`: a cell or a free variable (`CO_FAST_CELL`, `CO_FAST_FREE`, `pycore_code.h`).
const CELL_OR_FREE: u8 = 0x40 | 0x80;

/// A local variable as text.
#[derive(Debug, Clone)]
pub struct Local {
    /// As in the source
    pub name: String,
    /// A parameter of the function, `*args` and `**kwargs` included
    pub is_argument: bool,
    /// A bounded representation, never made by running the target's code
    pub value: String,
}

/// A variable's slot in the frame.
struct Slot {
    name: u64,
    is_argument: bool,
    /// Holds a cell around the value (or will, once the function has begun)
    in_cell: bool,
}

/// The variables of the frame at `frame` (address) that runs the code object at `code`.
///
/// Functions: arguments first, then locals, cells with their content, free variables; unbound ones are left
/// out, and so is what the compiler named itself (`.0`). Module and class bodies: the items of their namespace
/// in its order, without dunder names, modules, functions and classes, which say where a program was written
/// rather than where it is.
///
/// # Errors
/// What reading the frame or the code object said. A value that cannot be read is shown as such instead.
pub fn locals(memory: &dyn RemoteMemory, layout: &Layout, code: u64, frame: u64) -> io::Result<Vec<Local>> {
    let mut texts = Representer::new(memory, layout, Limits::default());
    let head = texts.reader.bytes(code, layout.code.size as usize)?;
    if int(&head, layout.code.flags).unwrap_or(0) & CO_OPTIMIZED == 0 {
        let namespace = texts.reader.word(frame, layout.frame.locals_dict)?;
        return if namespace == 0 { Ok(Vec::new()) } else { namespace_items(&mut texts, namespace) };
    }
    let slots = slots(&mut texts.reader, &head)?;
    let bytes = texts.reader.bytes(frame.wrapping_add(layout.frame.locals), slots.len() * 8)?;
    Ok(from_slots(&mut texts, &slots, &bytes))
}

/// As [`locals`], for a function's frame of which a copy is at hand: `values` are the words of the frame from
/// [`crate::python::layout::FrameLayout::locals`] on. Variables beyond its end are left out, and so are those
/// of module and class bodies, whose namespace is elsewhere.
pub fn locals_in(
    memory: &dyn RemoteMemory,
    layout: &Layout,
    code: u64,
    values: &[u8],
) -> io::Result<Vec<Local>> {
    let mut texts = Representer::new(memory, layout, Limits::default());
    let head = texts.reader.bytes(code, layout.code.size as usize)?;
    if int(&head, layout.code.flags).unwrap_or(0) & CO_OPTIMIZED == 0 {
        return Ok(Vec::new());
    }
    let slots = slots(&mut texts.reader, &head)?;
    Ok(from_slots(&mut texts, &slots, values))
}

fn from_slots(texts: &mut Representer<'_>, slots: &[Slot], values: &[u8]) -> Vec<Local> {
    let mut found = Vec::new();
    for (slot, value) in slots.iter().zip(values.chunks_exact(8)) {
        let Some(value) = slot_value(texts, slot, word(value, 0).unwrap_or(0)) else { continue };
        // Once the budget is spent, what was found is better than nothing.
        let Ok(name) = texts.reader.str(slot.name, MAX_NAME) else { break };
        // The compiler's own variables, such as the iterator of a generator expression, have no name in Python.
        if !name.starts_with('.') {
            found.push(Local { name, is_argument: slot.is_argument, value });
        }
    }
    found
}

/// The text of a slot's value; `None` when it is unbound.
fn slot_value(texts: &mut Representer<'_>, slot: &Slot, raw: u64) -> Option<String> {
    let layout = texts.reader.layout;
    // References in frames carry tags from 3.14 on, and in free-threaded builds before (`pycore_stackref.h`).
    if layout.frame.tagged && raw & 3 == 3 {
        return Some((raw as i64 >> 2).to_string());
    }
    let address = if layout.frame.tagged || layout.free_threaded { raw & !3 } else { raw };
    if address == 0 {
        return None;
    }
    // An argument that a closure uses is in its slot itself until the function has made the cell.
    let is_cell =
        slot.in_cell && texts.reader.type_of(address).is_ok_and(|(_, kind)| kind.kind == Kind::Cell);
    if is_cell && texts.reader.word(address, layout.objects.cell_value).is_ok_and(|content| content == 0) {
        return None;
    }
    Some(texts.represent(address))
}

/// The named slots of a code object, in their order in the frame. `head` is its head.
fn slots(reader: &mut Reader<'_>, head: &[u8]) -> io::Result<Vec<Slot>> {
    let code = &reader.layout.code;
    let number = |at| int(head, at).unwrap_or(0);
    let flags = number(code.flags);
    let arguments = u64::from(number(code.arg_count))
        + u64::from(number(code.keyword_only_count))
        + u64::from(flags & CO_VARARGS != 0)
        + u64::from(flags & CO_VARKEYWORDS != 0);
    let names = tuple(reader, word(head, code.local_names).unwrap_or(0))?;
    let kinds = match code.local_kinds {
        Some(at) => {
            let kinds = word(head, at).unwrap_or(0);
            reader.bytes(kinds.wrapping_add(reader.objects().bytes_data), names.len())?
        }
        None => Vec::new(),
    };
    let mut slots: Vec<Slot> = names
        .iter()
        .enumerate()
        .map(|(index, name)| Slot {
            name: *name,
            is_argument: (index as u64) < arguments,
            in_cell: kinds.get(index).is_some_and(|kind| kind & CELL_OR_FREE != 0),
        })
        .collect();
    if let Some((cells, free)) = code.cell_and_free_names {
        // Up to 3.10 an argument that a closure uses has a second slot among the cells, and the first is empty.
        let is_argument = |name: &u64| names.iter().take(arguments as usize).any(|argument| argument == name);
        for at in [cells, free] {
            let names = tuple(reader, word(head, at).unwrap_or(0))?;
            slots.extend(names.iter().map(|name| Slot {
                name: *name,
                is_argument: at == cells && is_argument(name),
                in_cell: true,
            }));
        }
    }
    slots.truncate(MAX_LOCALS);
    Ok(slots)
}

/// The items of a tuple, at most [`MAX_LOCALS`].
fn tuple(reader: &mut Reader<'_>, address: u64) -> io::Result<Vec<u64>> {
    let size = reader.word(address, reader.objects().ob_size)?;
    let size = usize::try_from(size).unwrap_or(usize::MAX).min(MAX_LOCALS);
    let bytes = reader.bytes(address.wrapping_add(reader.objects().tuple_items), size * 8)?;
    Ok(bytes.chunks_exact(8).map(|item| word(item, 0).unwrap_or(0)).collect())
}

fn namespace_items(texts: &mut Representer<'_>, namespace: u64) -> io::Result<Vec<Local>> {
    // `__prepare__` of a metaclass may return any mapping.
    if texts.reader.type_of(namespace)?.1.kind != Kind::Dict {
        return Ok(Vec::new());
    }
    let (items, _) = entries(&mut texts.reader, namespace, MAX_LOCALS * 4)?;
    let mut found = Vec::new();
    for (key, value) in items {
        let is_str = texts.reader.type_of(key).is_ok_and(|(_, kind)| kind.kind == Kind::Str);
        let scenery = texts
            .reader
            .type_of(value)
            .is_ok_and(|(_, kind)| matches!(kind.kind, Kind::Module | Kind::Function | Kind::Type));
        if !is_str || scenery || found.len() == MAX_LOCALS {
            continue;
        }
        let Ok(name) = texts.reader.str(key, MAX_NAME) else { break };
        if !(name.starts_with("__") && name.ends_with("__")) {
            found.push(Local { name, is_argument: false, value: texts.represent(value) });
        }
    }
    Ok(found)
}
