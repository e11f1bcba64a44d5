//! Which back end suits a file system.

use std::path::Path;
use std::sync::Arc;

use super::directory::failed;
use super::{FileStorage, MmapStorage, Result, Storage};

/// The back end of the log's segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackendChoice {
    /// Mapped where the file system keeps preallocated blocks, plain files elsewhere.
    #[default]
    Auto,
    /// Mapped, whatever the file system.
    Mmap,
    /// Plain files, whatever the file system.
    File,
}

/// Opens a data directory, which is made if it is not there.
pub fn open(root: &Path, choice: BackendChoice) -> Result<Arc<dyn Storage>> {
    let files = FileStorage::open(root)?;
    let mapped = match choice {
        BackendChoice::Auto => keeps_preallocated_blocks(root)?,
        BackendChoice::Mmap => true,
        BackendChoice::File => false,
    };
    if mapped {
        Ok(Arc::new(MmapStorage::open(root)?))
    } else {
        Ok(Arc::new(files))
    }
}

/// Whether a store into an allocated, zero-filled block can always reach the device.
fn keeps_preallocated_blocks(root: &Path) -> Result<bool> {
    let name = root.display().to_string();
    let status = rustix::fs::statfs(root).map_err(|error| failed("statfs", &name)(error.into()))?;
    // The kernel's magic numbers are 32 bits wide; the field's type differs between machines.
    Ok(!PROMISES_NOTHING.contains(&(status.f_type as u32)))
}

/// Magic numbers of file systems that write elsewhere (copy on write, log structured), live behind a
/// network, or hide what lies below (statfs(2)).
const PROMISES_NOTHING: [u32; 14] = [
    0x9123_683e, // btrfs
    0xf2f5_2010, // f2fs
    0xca45_1a4e, // bcachefs
    0x2fc1_2fc1, // zfs
    0x0000_3434, // nilfs
    0x2405_1905, // ubifs
    0x0000_6969, // nfs
    0xff53_4d42, // cifs
    0xfe53_4d42, // smb2
    0x0102_1997, // 9p
    0x00c3_6400, // ceph
    0x6573_5546, // fuse
    0x794c_7630, // overlay
    0x0102_1994, // tmpfs
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_kept_and_automatic_works() {
        let folder = tempfile::tempdir().expect("a directory for the test");
        for (choice, kind) in [(BackendChoice::Mmap, "mmap"), (BackendChoice::File, "file")] {
            let storage = open(folder.path(), choice).expect("opens");
            assert_eq!(storage.kind(), kind);
        }
        assert!(open(folder.path(), BackendChoice::Auto).is_ok());
    }
}
