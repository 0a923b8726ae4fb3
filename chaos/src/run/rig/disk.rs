//! A disk of limited size for the broker's store, to be filled: a tmpfs, if this machine allows us to mount one.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Its size: the store of a short run with room to spare, and quick to fill.
const DISK_MIB: u64 = 96;
/// The piece size for filling it.
const PIECE_BYTES: usize = 1 << 20;
/// The piece size for the last free space: one block.
const CRUMB_BYTES: usize = 4096;

/// A mounted disk; dropping it unmounts it.
#[derive(Debug)]
pub(crate) struct Disk {
    at: PathBuf,
}

impl Disk {
    /// Mounts it over the directory `at`.
    ///
    /// # Errors
    /// `Unsupported` if this machine does not allow it, with the reason.
    pub(crate) fn mount(at: &Path) -> io::Result<Self> {
        let size = format!("size={DISK_MIB}m");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).output();
        let refused = |why: &str| {
            let why =
                format!("no disk of a limited size can be mounted here ({}); it needs root", why.trim());
            io::Error::new(io::ErrorKind::Unsupported, why)
        };
        let output = mount.map_err(|error| refused(&error.to_string()))?;
        match output.status.success() {
            true => Ok(Self { at: at.to_owned() }),
            false => Err(refused(&String::from_utf8_lossy(&output.stderr))),
        }
    }

    /// Writes until the disk is full.
    pub(crate) fn fill(&self) -> io::Result<()> {
        let mut file = File::create(self.filling())?;
        for bytes in [PIECE_BYTES, CRUMB_BYTES] {
            let piece = vec![0; bytes];
            loop {
                match file.write_all(&piece) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Frees the space again.
    pub(crate) fn free(&self) -> io::Result<()> {
        fs::remove_file(self.filling())
    }

    fn filling(&self) -> PathBuf {
        self.at.join("filling")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily, since the server may hold its files a moment longer. If that fails it stays in memory until a reboot.
        let unmount = Command::new("umount").arg("-l").arg(&self.at).stderr(Stdio::null()).status();
        if !unmount.is_ok_and(|status| status.success()) {
            tracing::warn!(disk = %self.at.display(), "a disk of the harness stays mounted");
        }
    }
}
