//! Compiles the BPF walker with clang, where there is one. Without it the crate still builds: the exact engine then
//! says at run time that this build does not have it.

use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = "src/bpf/walker.c";
/// Newest first behind the plain name; Debian has versioned names only unless `clang` is installed too.
const COMPILERS: [&str; 8] =
    ["clang", "clang-21", "clang-20", "clang-19", "clang-18", "clang-17", "clang-16", "clang-14"];

fn main() {
    println!("cargo::rerun-if-changed={SOURCE}");
    println!("cargo::rerun-if-env-changed=CLANG");
    println!("cargo::rustc-check-cfg=cfg(bpf_walker)");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("set by cargo")).join("walker.o");
    let asked = std::env::var("CLANG").ok();
    let compilers: Vec<&str> = asked.as_deref().map_or(COMPILERS.to_vec(), |compiler| vec![compiler]);
    if compilers.iter().any(|compiler| compile(compiler, &out)) {
        println!("cargo::rustc-cfg=bpf_walker");
    } else {
        // A file that is never there: look again in the next build.
        println!("cargo::rerun-if-changed=no-clang-yet");
        println!("cargo::warning=no clang that knows BPF: this build will not have the exact engine");
    }
}

fn compile(compiler: &str, out: &Path) -> bool {
    let arguments =
        ["-target", "bpf", "-mcpu=v3", "-O2", "-g0", "-Wall", "-Wextra", "-Werror", "-c", SOURCE, "-o"];
    Command::new(compiler).args(arguments).arg(out).output().is_ok_and(|output| {
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            for line in text.lines() {
                println!("cargo::warning={compiler}: {line}");
            }
        }
        output.status.success()
    })
}
