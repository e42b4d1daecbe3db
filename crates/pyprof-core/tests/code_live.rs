//! Code objects of running Pythons beside what Python says of them itself.

mod support;

use std::time::{Duration, Instant};

use pyprof_core::memory::RemoteMemory;
use pyprof_core::python::code::{Fingerprint, fingerprint_piece, read_code};
use support::{Inspected, interpreters};

#[test]
fn names_and_positions_are_those_that_python_tells() {
    for python in interpreters() {
        let (target, lines) = Inspected::start(&python, include_str!("fixtures/line_tables.py"));
        assert!(lines.len() > 500, "{}: only {} code objects", python.name, lines.len());
        let (mut positions, mut reading) = (0, Duration::ZERO);
        for line in &lines {
            let fields: Vec<&str> = line.split('\t').collect();
            let [address, first_line, name, qualname, file, stack_size, rows] = fields[..] else {
                panic!("{}: {line}", python.name)
            };
            let address: u64 = address.parse().unwrap();
            let started = Instant::now();
            let code = read_code(&target.memory, &target.layout, address)
                .unwrap_or_else(|error| panic!("{}: {qualname}: {error}", python.name));
            reading += started.elapsed();
            assert_eq!(code.name, name);
            assert_eq!(code.qualified_name, qualname);
            assert_eq!(code.file, file);
            assert_eq!(code.first_line.to_string(), first_line);
            if python.minor() >= 11 {
                assert!(code.frame_words > stack_size.parse().unwrap(), "{}: {name}", python.name);
            }
            for row in rows.split(';').filter(|row| !row.is_empty()) {
                let numbers: Vec<u32> = row.split(':').map(|number| number.parse().unwrap()).collect();
                let offset = u64::from(numbers[0]);
                let raw = match python.minor() {
                    ..=9 => offset,
                    10 => offset / 2,
                    _ => code.instructions + offset,
                };
                let found = code.position(raw);
                let found = [found.line, found.end_line, found.column, found.end_column];
                assert_eq!(found, numbers[1..], "{}: {qualname} in {file} at {offset}", python.name);
                positions += 1;
            }
            // A frame that was just pushed: before its first instruction.
            let before = if python.minor() >= 11 { code.instructions - 2 } else { u64::from(u32::MAX) };
            assert_eq!(code.position(before).line, code.first_line, "{}: {qualname}", python.name);
            let piece = fingerprint_piece(&target.layout, address);
            let bytes = target.memory.read_vec(piece.base as u64, piece.len).unwrap();
            assert_eq!(Fingerprint::from_bytes(&bytes), Some(code.fingerprint));
        }
        let each = reading / lines.len() as u32;
        eprintln!("{}: {} code objects ({each:?} each), {positions} positions", python.name, lines.len());
    }
}
