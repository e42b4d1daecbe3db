//! Text and bytes between quotes, safe for a terminal.

use std::fmt::Write;

/// `text` as Python quotes a str; what is not printable is escaped.
pub(super) fn quoted(text: &str) -> String {
    let quote = quote_for(text.contains('\''), text.contains('"'));
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            ' '..='~' if character == quote => out.extend(['\\', quote]),
            ' '..='~' => out.push(character),
            _ if printable(character) => out.push(character),
            _ => escape(&mut out, character),
        }
    }
    out.push(quote);
    out
}

/// `bytes` as Python quotes a bytes object.
pub(super) fn quoted_bytes(bytes: &[u8]) -> String {
    let quote = quote_for(bytes.contains(&b'\''), bytes.contains(&b'"'));
    let mut out = String::from("b");
    out.push(quote);
    for byte in bytes {
        match char::from(*byte) {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            character if character == quote => out.extend(['\\', quote]),
            character @ ' '..='~' => out.push(character),
            character => escape(&mut out, character),
        }
    }
    out.push(quote);
    out
}

fn quote_for(single: bool, double: bool) -> char {
    if single && !double { '"' } else { '\'' }
}

/// The standard library escapes what is not printable. Combining marks it escapes at the start only, hence
/// the letter before.
fn printable(character: char) -> bool {
    format!("a{character}").escape_debug().count() == 2
}

fn escape(out: &mut String, character: char) {
    let code = u32::from(character);
    // Writing to a String cannot fail.
    let _ = match code {
        0..=0xff => write!(out, "\\x{code:02x}"),
        0x100..=0xffff => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_escapes_as_python() {
        assert_eq!(quoted("plain"), "'plain'");
        assert_eq!(quoted("it's"), "\"it's\"");
        assert_eq!(quoted("'\""), "'\\'\"'");
        assert_eq!(quoted("a\u{1b}[31m\n\0"), "'a\\x1b[31m\\n\\x00'");
        assert_eq!(quoted("größe 関数 𝔘 e\u{301}"), "'größe 関数 𝔘 e\u{301}'");
        // A change of writing direction would reorder what follows it on a terminal.
        assert_eq!(quoted("\u{202e}"), "'\\u202e'");
        assert_eq!(quoted("\u{e0001}"), "'\\U000e0001'");
        assert_eq!(quoted_bytes(b"\x00'\xffa"), "b\"\\x00'\\xffa\"");
    }
}
