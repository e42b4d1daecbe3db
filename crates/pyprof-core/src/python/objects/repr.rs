//! The text of an object, in the form of Python's `repr` where that can be told from outside.

use std::fmt::Write;
use std::io;

use super::dict::entries;
use super::number::{decimal, float};
use super::reader::{Kind, Reader, Type};
use super::text::{quoted, quoted_bytes};
use crate::memory::RemoteMemory;
use crate::python::layout::Layout;
use crate::python::unicode::word;

/// Slots of a hash set that are looked at.
const MAX_SET_SLOTS: u64 = 4096;
/// Words of an int that are turned into decimal digits; one has 30 bits.
const MAX_DIGITS: u64 = 64;

/// How much of an object is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Containers inside containers
    pub depth: usize,
    /// Items of one container
    pub items: usize,
    /// Characters of one string, bytes of one bytes object
    pub chars: usize,
    /// Bytes of text after which no further item of a container is shown
    pub text: usize,
    /// Reads of memory for one object, or for all the variables of a frame together
    pub reads: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 4, items: 20, chars: 200, text: 1000, reads: 4000 }
    }
}

/// The object at `address` as text. What cannot be read is shown as such; this never fails.
#[must_use]
pub fn represent(memory: &dyn RemoteMemory, layout: &Layout, address: u64, limits: Limits) -> String {
    Representer::new(memory, layout, limits).represent(address)
}

/// Makes texts of several objects within one budget of reads.
pub(crate) struct Representer<'a> {
    pub reader: Reader<'a>,
    limits: Limits,
    /// Containers that are being shown, outermost first
    open: Vec<u64>,
}

impl<'a> Representer<'a> {
    pub fn new(memory: &'a dyn RemoteMemory, layout: &'a Layout, limits: Limits) -> Self {
        Self { reader: Reader::new(memory, layout, limits.reads), limits, open: Vec::new() }
    }

    pub fn represent(&mut self, address: u64) -> String {
        let mut out = String::new();
        self.write(&mut out, address);
        out
    }

    fn write(&mut self, out: &mut String, address: u64) {
        let before = out.len();
        if self.try_write(out, address).is_err() {
            out.truncate(before);
            let _ = write!(out, "<unreadable object at {address:#x}>");
        }
    }

    fn try_write(&mut self, out: &mut String, address: u64) -> io::Result<()> {
        let (type_at, kind) = self.reader.type_of(address)?;
        if kind.derived && !matches!(kind.kind, Kind::Other | Kind::Type) {
            // A class made from a built-in one: `Point((1, 2))` tells both.
            let class = kind.name.rsplit('.').next().unwrap_or_default();
            out.push_str(class);
            out.push('(');
            self.built_in(out, address, type_at, &kind)?;
            out.push(')');
            return Ok(());
        }
        self.built_in(out, address, type_at, &kind)
    }

    fn built_in(&mut self, out: &mut String, address: u64, type_at: u64, kind: &Type) -> io::Result<()> {
        let objects = self.reader.objects();
        match kind.kind {
            Kind::None => out.push_str("None"),
            Kind::Ellipsis => out.push_str("Ellipsis"),
            Kind::NotImplemented => out.push_str("NotImplemented"),
            Kind::Bool => out.push_str(if self.int(address)? == "0" { "False" } else { "True" }),
            Kind::Int => out.push_str(&self.int(address)?),
            Kind::Float => {
                let bits = self.reader.word(address, objects.float_value)?;
                out.push_str(&float(f64::from_bits(bits)));
            }
            Kind::Str => {
                let text = self.reader.str(address, self.limits.chars)?;
                out.push_str(&quoted(&text));
            }
            Kind::Bytes => self.bytes(out, address)?,
            Kind::List => {
                let size = self.reader.word(address, objects.ob_size)?;
                let items = self.reader.word(address, objects.list_items)?;
                let items = self.pointers(items, size)?;
                self.sequence(out, address, ("[", "]"), &items, size);
            }
            Kind::Tuple => {
                let size = self.reader.word(address, objects.ob_size)?;
                let items = self.pointers(address.wrapping_add(objects.tuple_items), size)?;
                self.sequence(out, address, ("(", if size == 1 { ",)" } else { ")" }), &items, size);
            }
            Kind::Dict => self.dict(out, address)?,
            Kind::Set | Kind::FrozenSet => self.set(out, address, kind.kind == Kind::FrozenSet)?,
            Kind::Range => {
                // `start`, `stop`, `step` follow the header (`Objects/rangeobject.c`).
                let items = self.pointers(address.wrapping_add(objects.ob_size), 3)?;
                self.sequence(out, address, ("range(", ")"), &items, 3);
            }
            Kind::Cell => match self.reader.word(address, objects.cell_value)? {
                0 => out.push_str("<empty cell>"),
                content => self.write(out, content),
            },
            Kind::Type => {
                let name = self.class_name(address)?;
                let _ = write!(out, "<class '{name}'>");
            }
            Kind::Module | Kind::Function | Kind::Other => {
                let name = self.class_name(type_at)?;
                let _ = write!(out, "<{name} object at {address:#x}>");
            }
        }
        Ok(())
    }

    fn int(&mut self, address: u64) -> io::Result<String> {
        let long = &self.reader.objects().long;
        let raw = self.reader.word(address, long.size)?;
        let (count, negative) = if long.tagged_size {
            // Sign 0 is positive, 1 zero, 2 negative (`Include/internal/pycore_long.h`).
            (raw >> 3, raw & 3 == 2)
        } else {
            ((raw as i64).unsigned_abs(), (raw as i64) < 0)
        };
        if count > MAX_DIGITS {
            return Ok(format!("<int of about {} bits>", count.saturating_mul(30)));
        }
        let bytes = self.reader.bytes(address.wrapping_add(long.digits), count as usize * 4)?;
        let digits: Vec<u32> = bytes
            .chunks_exact(4)
            .map(|digit| u32::from_le_bytes([digit[0], digit[1], digit[2], digit[3]]))
            .collect();
        Ok(decimal(&digits, negative))
    }

    fn bytes(&mut self, out: &mut String, address: u64) -> io::Result<()> {
        let objects = self.reader.objects();
        let size = self.reader.word(address, objects.ob_size)?;
        let shown = usize::try_from(size).unwrap_or(usize::MAX).min(self.limits.chars);
        let bytes = self.reader.bytes(address.wrapping_add(objects.bytes_data), shown)?;
        out.push_str(&quoted_bytes(&bytes));
        if size > shown as u64 {
            out.push('…');
        }
        Ok(())
    }

    /// Pointers of an array of `size`, no more than are shown.
    fn pointers(&mut self, address: u64, size: u64) -> io::Result<Vec<u64>> {
        let shown = usize::try_from(size).unwrap_or(usize::MAX).min(self.limits.items);
        let bytes = self.reader.bytes(address, shown * 8)?;
        Ok(bytes.chunks_exact(8).map(|item| word(item, 0).unwrap_or(0)).collect())
    }

    fn sequence(&mut self, out: &mut String, address: u64, ends: (&str, &str), items: &[u64], size: u64) {
        self.container(out, address, ends, items, size, |this, out, item| this.write(out, *item));
    }

    fn dict(&mut self, out: &mut String, address: u64) -> io::Result<()> {
        let (items, used) = entries(&mut self.reader, address, self.limits.items)?;
        self.container(out, address, ("{", "}"), &items, used, |this, out, (key, value)| {
            this.write(out, *key);
            out.push_str(": ");
            this.write(out, *value);
        });
        Ok(())
    }

    /// `items` of the `size` that the container at `address` has, as far as the limits let them be shown.
    fn container<T>(
        &mut self,
        out: &mut String,
        address: u64,
        ends: (&str, &str),
        items: &[T],
        size: u64,
        write: impl Fn(&mut Self, &mut String, &T),
    ) {
        out.push_str(ends.0);
        if self.open.len() >= self.limits.depth || self.open.contains(&address) {
            out.push_str("...");
        } else {
            self.open.push(address);
            let mut shown = 0;
            while shown < items.len() && out.len() <= self.limits.text {
                if shown > 0 {
                    out.push_str(", ");
                }
                write(self, out, &items[shown]);
                shown += 1;
            }
            if size > shown as u64 {
                out.push_str(if shown > 0 { ", ..." } else { "..." });
            }
            self.open.pop();
        }
        out.push_str(ends.1);
    }

    fn set(&mut self, out: &mut String, address: u64, frozen: bool) -> io::Result<()> {
        let set = &self.reader.objects().set;
        let used = self.reader.word(address, set.used)?;
        let slots = self.reader.word(address, set.mask)?.saturating_add(1).min(MAX_SET_SLOTS);
        let table = self.reader.word(address, set.table)?;
        let bytes = self.reader.bytes(table, slots as usize * 16)?;
        // (key, hash); the hash -1 marks a removed item (`Objects/setobject.c`).
        let items: Vec<u64> = bytes
            .chunks_exact(16)
            .filter(|slot| word(slot, 8) != Some(u64::MAX))
            .filter_map(|slot| word(slot, 0).filter(|key| *key != 0))
            .take(self.limits.items)
            .collect();
        let ends = match (frozen, used) {
            (false, 0) => ("set(", ")"),
            (true, 0) => ("frozenset(", ")"),
            (false, _) => ("{", "}"),
            (true, _) => ("frozenset({", "})"),
        };
        self.sequence(out, address, ends, &items, used);
        Ok(())
    }

    /// The name of the type at `address`, with its module.
    fn class_name(&mut self, address: u64) -> io::Result<String> {
        let class = self.reader.type_at(address)?;
        if !class.is_heap() {
            return Ok(class.name);
        }
        let dict = self.reader.word(address, self.reader.objects().instance.type_dict)?;
        let module = match super::dict::find(&mut self.reader, dict, "__module__") {
            Ok(Some(module)) => self.reader.str(module, self.limits.chars)?,
            _ => return Ok(class.name),
        };
        // Types that C code makes at run time have their module in the name already.
        if module == "builtins" || class.name.contains('.') {
            return Ok(class.name);
        }
        Ok(format!("{}.{}", module.replace(char::is_control, "\u{fffd}"), class.name))
    }
}
