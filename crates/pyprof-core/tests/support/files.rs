//! Files and programs that tests make for themselves.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory that everybody may enter, removed with all it holds.
#[derive(Debug)]
pub struct Directory(PathBuf);

impl Directory {
    /// Makes a new one.
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let mut name = format!("pyprof-test-{}-", std::process::id());
        let _ = write!(name, "{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).expect("a directory");
        Self(path)
    }

    /// A path in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Its own path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Compiles C with the flags given; `None` when there is no compiler.
pub fn compile(source: &str, output: &Path, flags: &[&str]) -> Option<()> {
    let file = output.with_extension("c");
    std::fs::write(&file, source).expect("written");
    let status = Command::new("cc").arg(&file).arg("-o").arg(output).args(flags).status().ok()?;
    assert!(status.success(), "cc failed");
    Some(())
}
