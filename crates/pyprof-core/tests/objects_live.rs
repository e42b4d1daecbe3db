//! Variables and thread names of running Pythons beside what the scripts know of themselves.

mod support;

use std::collections::HashMap;

use pyprof_core::memory::RemoteMemory;
use pyprof_core::python::locals::{locals, locals_in};
use pyprof_core::python::thread_names::thread_names;
use support::{Inspected, interpreters};

#[test]
fn locals_of_every_kind_of_frame() {
    for python in interpreters() {
        let (target, lines) = Inspected::start(&python, include_str!("fixtures/locals.py"));
        let mut frames = 0;
        let mut rest = lines.as_slice();
        while let Some((frame, after)) = rest.split_first() {
            let fields: Vec<&str> = frame.split('\t').collect();
            let ["frame", kind, code, address] = fields[..] else { panic!("{}: {frame}", python.name) };
            let count = after.iter().take_while(|line| line.starts_with("local\t")).count();
            let mut expected: Vec<String> = after[..count].iter().map(|line| line[6..].to_owned()).collect();
            rest = &after[count..];

            let (code, address) = (code.parse().unwrap(), address.parse().unwrap());
            let show = |locals: Vec<pyprof_core::snapshot::Local>| -> Vec<String> {
                locals
                    .into_iter()
                    .map(|local| format!("{}\t{}\t{}", local.name, u8::from(local.is_argument), local.value))
                    .collect()
            };
            let mut found = show(locals(&target.memory, &target.layout, code, address).unwrap());
            if !matches!(kind, "module" | "class") {
                let copy = target.memory.read_vec(address + target.layout.frame.locals, 40 * 8).unwrap();
                let copied = locals_in(&target.memory, &target.layout, code, &copy).unwrap();
                assert_eq!(show(copied), found, "{}: {kind}", python.name);
            }
            // Cells change places from version to version, and `locals()` has an order of its own.
            found.sort();
            expected.sort();
            assert_eq!(found, expected, "{}: {kind}", python.name);
            frames += 1;
        }
        assert_eq!(frames, 8, "{}", python.name);
        eprintln!("{}: {frames} frames", python.name);
    }
}

#[test]
fn thread_names_of_every_alphabet() {
    for python in interpreters() {
        let (target, lines) = Inspected::start(&python, include_str!("fixtures/threads.py"));
        let expected: HashMap<u64, String> = lines
            .iter()
            .map(|line| {
                let (ident, name) = line.split_once('\t').unwrap();
                let long = name.chars().count() > 256;
                let cut = name.chars().take(256).chain(long.then_some('…')).collect();
                (ident.parse().unwrap(), cut)
            })
            .collect();
        assert_eq!(expected.len(), 7);
        assert_eq!(
            thread_names(&target.memory, &target.layout, target.main_interpreter()).unwrap(),
            expected
        );
        eprintln!("{}: {} names", python.name, expected.len());
    }
}

#[test]
fn no_names_without_threading() {
    for python in interpreters() {
        let script =
            "import sys; sys.modules.pop('threading', None); print('ready', flush=True); sys.stdin.read()";
        let (target, _) = Inspected::start(&python, script);
        let names = thread_names(&target.memory, &target.layout, target.main_interpreter()).unwrap();
        assert!(names.is_empty(), "{}: {names:?}", python.name);
    }
}
