//! Functions that Cython made: `__pyx_pw_3pkg_3mod_5Class_1method` is `pkg.mod.Class.method`.

/// What Cython puts before the scope (`Cython/Compiler/Naming.py`): wrapper, implementation, C function, generator body,
/// C method, closure's copy.
const PREFIXES: [&str; 5] = ["__pyx_pw_", "__pyx_pf_", "__pyx_f_", "__pyx_gb_", "__pyx_mdef_"];

/// The dotted name; `None` when Cython did not make the function.
pub(super) fn readable(name: &str) -> Option<String> {
    let mut rest = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix))?;
    rest = rest.split('.').next()?;
    let mut parts = Vec::new();
    // A scope is its length, itself, and an underscore; the function's name follows a serial number or nothing.
    while let Some((scope, after)) = scope(rest) {
        parts.push(scope);
        rest = after;
    }
    let function = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    if function.is_empty() || parts.is_empty() {
        return None;
    }
    parts.push(function);
    Some(parts.join("."))
}

fn scope(text: &str) -> Option<(&str, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let len: usize = text.get(..digits)?.parse().ok()?;
    let end = digits.checked_add(len)?;
    let (scope, after) = (text.get(digits..end)?, text.get(end..)?.strip_prefix('_')?);
    let is_name = !scope.is_empty() && !scope.starts_with(|c: char| c.is_ascii_digit());
    is_name.then_some((scope, after))
}

#[cfg(test)]
mod tests {
    use super::readable;

    #[test]
    fn scopes_and_serial_numbers_are_told_apart() {
        let name = |name| readable(name).unwrap_or_default();
        assert_eq!(name("__pyx_pw_5hello_1say_hello_to"), "hello.say_hello_to");
        assert_eq!(name("__pyx_pf_5hello_say_hello_to"), "hello.say_hello_to");
        assert_eq!(name("__pyx_pw_3pkg_3mod_5Class_3method"), "pkg.mod.Class.method");
        assert_eq!(name("__pyx_f_4mmod_inner"), "mmod.inner");
        assert_eq!(name("__pyx_gb_4mmod_2generator.isra.0"), "mmod.generator");
        assert_eq!(readable("__pyx_pw_nonsense"), None);
        assert_eq!(readable("__pyx_pw_5hello_"), None);
        assert_eq!(readable("__pyx_pw_99999999999999999999x"), None);
        assert_eq!(readable("__Pyx_PyObject_Call"), None);
    }
}
