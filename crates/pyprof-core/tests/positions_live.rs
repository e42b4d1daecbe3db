//! The line of every frame of a running stack: where each version's instruction field points.

mod support;

use std::collections::BTreeSet;

use pyprof_core::python::bytecode;
use pyprof_core::python::code::{Code, read_code};
use support::{Inspected, interpreters};

const SCRIPT: &str = include_str!("fixtures/stack.py");

fn main_ident(lines: &[String]) -> u64 {
    lines[0].strip_prefix("main ").expect("the ident").parse().unwrap()
}

/// A code object with the copies of its instructions that threads have (3.14t+).
fn code_with_copies(target: &Inspected, address: u64) -> Code {
    let mut code = read_code(&target.memory, &target.layout, address).unwrap();
    code.set_copies(bytecode::copies(&target.memory, &target.layout, address).unwrap());
    code
}

#[test]
fn callers_and_a_blocked_leaf_are_where_python_says() {
    for python in interpreters() {
        let (target, lines) = Inspected::start(&python, SCRIPT);
        let found: Vec<String> = target
            .stack(main_ident(&lines))
            .into_iter()
            .map(|frame| {
                let code = code_with_copies(&target, frame.code);
                let at = code.position(frame.instruction);
                format!("{}\t{}\t{}\t{}\t{}", code.name, at.line, at.end_line, at.column, at.end_column)
            })
            .collect();
        assert!(lines.len() > 14, "{lines:?}");
        assert_eq!(found, lines[1..], "{}", python.name);
        eprintln!("{}: {} frames", python.name, found.len());
    }
}

#[test]
fn a_running_leaf_is_on_the_lines_of_its_loop() {
    let first = SCRIPT.lines().position(|line| line == "        x = x + 1").unwrap() as u32 + 1;
    let body: BTreeSet<u32> = (first - 1..=first + 4).collect();
    for python in interpreters() {
        let (target, lines) = Inspected::start_with(&python, SCRIPT, &["spin"]);
        let ident = main_ident(&lines);
        let mut code: Option<Code> = None;
        let mut seen = BTreeSet::new();
        // The thread runs, but its stack stays: only the leaf's instruction moves.
        for _ in 0..800 {
            let leaf = target.stack(ident)[0];
            let code = code.get_or_insert_with(|| code_with_copies(&target, leaf.code));
            assert_eq!((code.address, code.name.as_str()), (leaf.code, "spin"), "{}", python.name);
            seen.insert(code.position(leaf.instruction).line);
        }
        assert!(seen.is_subset(&body), "{}: {seen:?} and {body:?}", python.name);
        assert!(seen.len() >= 3, "{}: {seen:?} of {body:?}", python.name);
        eprintln!("{}: {seen:?}", python.name);
    }
}

#[test]
fn frames_in_the_data_stack_lie_end_to_end() {
    for python in interpreters().into_iter().filter(|python| python.minor() >= 11) {
        let (target, lines) = Inspected::start(&python, SCRIPT);
        // Generators and coroutines keep their frames elsewhere.
        let frames: Vec<_> =
            target.stack(main_ident(&lines)).into_iter().filter(|frame| frame.owner == 0).collect();
        assert!(frames.len() > 7, "{}: {frames:?}", python.name);
        for pair in frames.windows(2) {
            let caller = read_code(&target.memory, &target.layout, pair[1].code).unwrap();
            let end = pair[1].address + u64::from(caller.frame_words) * 8;
            assert_eq!(pair[0].address, end, "{}: after {}", python.name, caller.name);
        }
        eprintln!("{}: {} frames", python.name, frames.len());
    }
}
