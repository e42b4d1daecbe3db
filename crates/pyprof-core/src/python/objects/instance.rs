//! Attributes of instances, wherever the version keeps them.

use std::io;

use super::dict::{self, Keys};
use super::reader::Reader;
use crate::python::layout::InstanceValues;

/// The attribute `name` (ASCII) that the object at `address` itself has; its class is not asked.
pub(crate) fn attribute(reader: &mut Reader<'_>, address: u64, name: &str) -> io::Result<Option<u64>> {
    let (type_at, kind) = reader.type_of(address)?;
    let instance = &reader.objects().instance;
    if kind.has_managed_dict()
        && let Some(values) = values(reader, address, type_at, kind.has_inline_values())?
    {
        let keys = reader.word(type_at, instance.type_cached_keys)?;
        let Some((index, _)) = Keys::read(reader, keys)?.find(reader, name)? else { return Ok(None) };
        let value = reader.word(values, instance.values_items + index as u64 * 8)?;
        return Ok((value != 0).then_some(value));
    }
    match own_dict(reader, address, type_at, kind.has_managed_dict())? {
        0 => Ok(None),
        dict => dict::find(reader, dict, name),
    }
}

/// Address of the `_dictvalues` of an instance whose attributes are not in a dict.
fn values(reader: &mut Reader<'_>, address: u64, type_at: u64, inline: bool) -> io::Result<Option<u64>> {
    let instance = &reader.objects().instance;
    match instance.values {
        InstanceValues::Pointer(before) => {
            let values = reader.word(address.wrapping_sub(before), 0)?;
            Ok((values != 0).then_some(values))
        }
        InstanceValues::TaggedDictPointer => {
            let tagged = reader.word(address.wrapping_sub(instance.managed_dict.unwrap_or(0)), 0)?;
            // The pointer is stored one too low, which is what marks it (`pycore_object.h` of 3.12).
            Ok((tagged & 1 == 1).then_some(tagged.wrapping_add(1)))
        }
        InstanceValues::Inline(valid) if inline => {
            let values = address.wrapping_add(reader.word(type_at, instance.type_basic_size)?);
            let valid = reader.bytes(values.wrapping_add(valid), 1)?;
            Ok((valid[0] != 0).then_some(values))
        }
        InstanceValues::None | InstanceValues::Inline(_) => Ok(None),
    }
}

/// Address of the instance's dict, 0 when it has none (yet).
fn own_dict(reader: &mut Reader<'_>, address: u64, type_at: u64, managed: bool) -> io::Result<u64> {
    let instance = &reader.objects().instance;
    if let Some(before) = instance.managed_dict.filter(|_| managed) {
        return reader.word(address.wrapping_sub(before), 0);
    }
    // Offsets of variable-size objects are negative and counted from their end; nothing asked for here is one.
    match reader.word(type_at, instance.type_dict_offset)? {
        offset @ 8..=0xffff => reader.word(address, offset),
        _ => Ok(0),
    }
}
