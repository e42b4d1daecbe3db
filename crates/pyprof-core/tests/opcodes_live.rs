//! The instruction numbers that call sites are read by, as interpreters have them.

mod support;

use pyprof_core::python::opcodes;
use support::interpreters;

/// Prints `name number` for every instruction; 3.11 and 3.12 tell their specialised ones in their headers only.
const SCRIPT: &str = r"
import opcode, os, re, sysconfig
names = dict(opcode.opmap)
names.update(getattr(opcode, '_specialized_opmap', {}))
include = sysconfig.get_path('include')
for header in ('opcode.h', 'internal/pycore_opcode.h'):
    path = os.path.join(include, header)
    if not hasattr(opcode, '_specialized_opmap') and os.path.exists(path):
        names.update((name, int(number)) for name, number in re.findall(r'#define ([A-Z][A-Z0-9_]+)\s+(\d+)\n', open(path).read()))
for name, number in names.items():
    print(name, number)
";

const CALLS: &[&str] = &[
    "CALL_PY_EXACT_ARGS",
    "CALL_PY_WITH_DEFAULTS",
    "CALL_PY_GENERAL",
    "CALL_BOUND_METHOD_EXACT_ARGS",
    "CALL_BOUND_METHOD_GENERAL",
    "CALL_KW_PY",
    "CALL_KW_BOUND_METHOD",
];
const RESUMPTIONS: &[&str] = &["SEND", "SEND_GEN", "SEND_ASYNC_GEN", "FOR_ITER", "FOR_ITER_GEN"];
const OPEN: &[&str] = &[
    "CALL",
    "CALL_ADAPTIVE",
    "CALL_KW",
    "CALL_FUNCTION_EX",
    "CALL_EX_PY",
    "CALL_ALLOC_AND_ENTER_INIT",
    "BINARY_SUBSCR",
    "BINARY_SUBSCR_ADAPTIVE",
    "BINARY_SUBSCR_GETITEM",
    "BINARY_OP_SUBSCR_GETITEM",
    "LOAD_ATTR_PROPERTY",
    "LOAD_ATTR_GETATTRIBUTE_OVERRIDDEN",
    "EXTENDED_ARG",
];

#[test]
fn instructions_have_the_numbers_that_interpreters_give_them() {
    for python in interpreters().into_iter().filter(|python| python.minor() >= 11) {
        let opcodes = opcodes::of((3, python.minor())).expect("from 3.11 on");
        let output = python.command().args(["-c", SCRIPT]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let named: Vec<(&str, u8)> = text
            .lines()
            .filter_map(|line| line.split_once(' '))
            .filter_map(|(name, number)| Some((name, number.parse().ok()?)))
            .collect();
        assert!(named.len() > 100, "{}: {text}", python.name);
        let numbers = |wanted: &[&str]| {
            let mut found: Vec<u8> =
                named.iter().filter(|(name, _)| wanted.contains(name)).map(|(_, number)| *number).collect();
            found.sort_unstable();
            found
        };
        let special: Vec<u8> = named
            .iter()
            .filter(|(name, _)| name.starts_with("INSTRUMENTED_"))
            .map(|(_, number)| *number)
            .collect();
        assert!(special.iter().all(|number| *number >= opcodes.special_from), "{}: {special:?}", python.name);
        let mut compared = vec![(
            "open",
            OPEN,
            opcodes.open.iter().flat_map(|(_, some)| *some).copied().collect::<Vec<_>>(),
        )];
        if !numbers(CALLS).is_empty() {
            compared.push(("calls", CALLS, opcodes.python_calls.to_vec()));
            if python.minor() > 11 {
                compared.push(("resumptions", RESUMPTIONS, opcodes.resumptions.to_vec()));
            }
        }
        for (kind, wanted, ours) in compared {
            for number in numbers(wanted) {
                assert!(ours.contains(&number), "{}: {kind} lack {number}", python.name);
            }
            if kind != "open" {
                assert_eq!(ours.len(), numbers(wanted).len(), "{}: {kind} {ours:?}", python.name);
            }
        }
        eprintln!(
            "{}: {} instructions, {} specialised calls",
            python.name,
            named.len(),
            numbers(CALLS).len()
        );
    }
}
