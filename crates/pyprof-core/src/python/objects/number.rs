//! Numbers as Python writes them.

use std::fmt::Write;

/// Digits of an int of 30 bits each, least significant first, in decimal.
pub(super) fn decimal(digits: &[u32], negative: bool) -> String {
    const BASE: u64 = 1_000_000_000;
    // Parts of nine decimal digits, least significant first.
    let mut parts: Vec<u64> = vec![0];
    for digit in digits.iter().rev() {
        let mut carry = u64::from(digit & 0x3fff_ffff);
        for part in &mut parts {
            let sum = (*part << 30) + carry;
            *part = sum % BASE;
            carry = sum / BASE;
        }
        while carry > 0 {
            parts.push(carry % BASE);
            carry /= BASE;
        }
    }
    let mut text = String::from(if negative { "-" } else { "" });
    let (last, rest) = parts.split_last().expect("never empty");
    text += &last.to_string();
    for part in rest.iter().rev() {
        // Writing to a String cannot fail.
        let _ = write!(text, "{part:09}");
    }
    text
}

/// The shortest text that reads back as `value`, in Python's form.
pub(super) fn float(value: f64) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    // `float.__repr__` changes over at these powers (`float_repr_style`, `Python/pystrtod.c`).
    if (-4..16).contains(&exponent) {
        let plain = format!("{value}");
        if plain.contains('.') { plain } else { plain + ".0" }
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{mantissa}e{sign}{:02}", exponent.abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ints_of_any_size() {
        assert_eq!(decimal(&[], false), "0");
        assert_eq!(decimal(&[5], true), "-5");
        // 2**100
        assert_eq!(decimal(&[0, 0, 0, 1 << 10], false), "1267650600228229401496703205376");
        assert_eq!(decimal(&[1_000_000_000], false), "1000000000");
    }

    #[test]
    fn floats_as_python_writes_them() {
        for (value, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e-5, "1.5e-05"),
            (0.0001, "0.0001"),
            (1e300, "1e+300"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ] {
            assert_eq!(float(value), text);
        }
    }
}
