//! A file system of its own that a test may fill up: in memory, of 256 MiB.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::process;

const MOUNT_POINT: &str = "disk";
/// The file that takes what is left.
const FILLER: &str = "filler";
/// The file that can be given back beyond that: a recovery writes, too.
const RESERVE: &str = "reserve";
const RESERVE_BYTES: usize = 64 << 20;

/// It is mounted as long as this value is there.
pub struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// Mounts it in this directory and gives it to this user. None without the right to mount; standard error says so.
    pub fn mount(directory: &Path, user: Option<&str>) -> Option<Self> {
        let path = directory.join(MOUNT_POINT);
        fs::create_dir(&path).expect("a new directory can be made");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=256m,mode=700", "accolade-test"]);
        let output = mount.arg(&path).output().expect("mount runs");
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            // Not by a macro, whose words nobody sees of a test that passes.
            let said = writeln!(
                std::io::stderr(),
                "NOT TESTED: a full disk; no tmpfs can be mounted here: {}",
                why.lines().next().unwrap_or_default()
            );
            said.expect("standard error is open");
            return None;
        }
        let disk = Self { path };
        process::give(&disk.path, user);
        fs::write(disk.path.join(RESERVE), vec![0; RESERVE_BYTES]).expect("there is room");
        Some(disk)
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes all that is left, to the last block; again, what was given back since.
    pub fn fill(&self) {
        let filler = File::options().create(true).append(true).open(self.path.join(FILLER));
        let mut filler = filler.expect("a file can be made without a block");
        let error = loop {
            if let Err(error) = filler.write(&[0; 65_536]) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
    }

    /// Gives back what was taken, and a reserve.
    pub fn make_room(&self) {
        for name in [FILLER, RESERVE] {
            fs::remove_file(self.path.join(name)).expect("the file is there");
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        unmount(&self.path);
    }
}

/// Unmounts what a test process left in this directory that did not come to it.
pub fn unmount_below(directory: &Path) {
    let path = directory.join(MOUNT_POINT);
    if path.exists() {
        unmount(&path);
    }
}

/// Also while somebody is in it: it is gone when the last one leaves.
fn unmount(path: &Path) {
    let _ = Command::new("umount").arg("--lazy").arg(path).output();
}
