//! Bytes as the memory of a process: layout, threads, stacks, functions, variables and names.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pyprof_core::testing::look_at;

fuzz_target!(|bytes: &[u8]| {
    let work = look_at(bytes);
    assert!(!work.is_endless(), "{} reads", work.reads());
    assert!(work.largest() <= 1 << 30, "{} bytes at once", work.largest());
});
