//! A target may prepare the files that its maps name. Nothing outside its root may be read, nothing may hang.

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use nix::sys::stat::Mode;
use pyprof_core::process::maps::{Mapping, Permissions};
use pyprof_core::process::root::{ReadAt, TargetRoot};
use support::{Directory, Target, skipped};

/// A mapping of `path`, with the device and inode of `like`.
fn mapping(path: &str, like: &Path) -> Mapping {
    let metadata = fs::metadata(like).unwrap();
    Mapping {
        start: 0x1000,
        end: 0x2000,
        permissions: Permissions { read: true, ..Permissions::default() },
        offset: 0,
        device: metadata.dev(),
        inode: metadata.ino(),
        path: Some(path.into()),
        deleted: false,
    }
}

#[test]
fn files_are_opened_inside_the_targets_root_only() {
    let Some(python) = support::system_python().filter(|_| nix::unistd::geteuid().is_root()) else {
        return skipped("files in another root", "not root, or no /usr/bin/python3.N");
    };
    let (inside, outside) = (Directory::new(), Directory::new());
    fs::write(inside.join("library"), "inside").unwrap();
    fs::write(outside.join("library"), "outside").unwrap();
    symlink(outside.path(), inside.join("absolute")).unwrap();
    symlink("../../../../../../../../library", inside.join("climbing")).unwrap();
    symlink("/library", inside.join("rooted")).unwrap();
    symlink("/proc/self/root/etc/passwd", inside.join("magic")).unwrap();
    symlink("loop", inside.join("loop")).unwrap();
    nix::unistd::mkfifo(&inside.join("fifo"), Mode::S_IRWXU).unwrap();
    let script = format!("os.chroot({:?}); ready(); wait()", inside.path());
    let target = Target::python(&python, &script);
    let root = TargetRoot::open(target.pid);

    // What would be read without care: the link leads out of the target's root.
    let careless = format!("/proc/{}/root/absolute/library", target.pid);
    assert_eq!(fs::read_to_string(careless).unwrap(), "outside");

    let ours = inside.join("library");
    for path in ["/library", "/rooted", "/climbing", "/../library"] {
        let file = root.open_mapped(&mapping(path, &ours)).unwrap_or_else(|| panic!("{path}"));
        let mut text = [0; 6];
        file.read_exact_at(&mut text, 0).unwrap();
        assert!(file.exact && &text == b"inside" && file.size() == 6, "{path}");
        assert!(file.read_exact_at(&mut text, 1).is_err(), "{path}");
    }
    // Same path, other file than the mapped one: usable only after comparing contents.
    assert!(!root.open_mapped(&mapping("/library", &outside.join("library"))).unwrap().exact);
    for path in ["/absolute/library", "/magic", "/loop", "/fifo", "/", "/nowhere"] {
        assert!(root.open_mapped(&mapping(path, &ours)).is_none(), "{path}");
    }
}
