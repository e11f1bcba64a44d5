//! The `LOCK` file of a data directory: one server at a time.
//!
//! The lock belongs to the open file, so that the system releases it however the process ends. The
//! file stays; only its lock means anything.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Why a data directory could not be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another process has it.
    #[error("data directory {directory} is in use by {holder}; stop it, or choose another --data-dir",
        directory = .directory.display(),
        holder = .pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}")))]
    Held {
        /// The data directory.
        directory: PathBuf,
        /// Who holds it, if the file says so.
        pid: Option<u32>,
    },
    /// The file could not be opened, locked or written.
    #[error("lock data directory {directory}: {source}", directory = .directory.display())]
    Io {
        /// The data directory.
        directory: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// The right to use a data directory, until it is dropped.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Takes a directory, which is made if it is not there, and writes this process's id into
    /// its `LOCK` file.
    pub fn acquire(directory: &Path) -> Result<Self, LockError> {
        let failed = |source| LockError::Io {
            directory: directory.to_owned(),
            source,
        };
        std::fs::create_dir_all(directory).map_err(failed)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(directory.join(NAME))
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Held {
                    directory: directory.to_owned(),
                    pid: read_pid(&mut file),
                });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        file.set_len(0).map_err(failed)?;
        file.rewind().map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

const NAME: &str = "LOCK";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_server_is_told_who_holds_the_directory() {
        let folder = tempfile::tempdir().expect("a directory for the test");
        let held = DirectoryLock::acquire(folder.path()).expect("free");
        let refused = DirectoryLock::acquire(folder.path()).expect_err("held");
        let message = refused.to_string();
        assert!(
            message.contains(&folder.path().display().to_string()),
            "{message}"
        );
        assert!(
            message.contains(&std::process::id().to_string()),
            "{message}"
        );
        drop(held);
        assert!(DirectoryLock::acquire(folder.path()).is_ok());
    }
}
