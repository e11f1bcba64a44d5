//! Whether a server uses a data directory: its lock is tried, shared, and never written to.

use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Read};
use std::path::Path;

use crate::cli::CommandError;

/// Keeps servers out while it lives. Absent where the directory has no lock file, so that none has used it,
/// or where the system allows no lock.
pub(super) fn share(directory: &Path) -> Result<Option<File>, CommandError> {
    let path = directory.join("LOCK");
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(CommandError::input(&path.display().to_string(), &error)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // Who it is only helps the message.
            let _ = file.by_ref().take(16).read_to_string(&mut text);
            let holder = match text.trim() {
                "" => "a server".to_owned(),
                pid => format!("process {pid}"),
            };
            Err(CommandError::Failed(format!(
                "{}: in use by {holder}; stop it first, or ask it with `edgetime admin status`",
                directory.display()
            )))
        }
        Err(TryLockError::Error(error)) => {
            let name = path.display();
            crate::cli::say(format_args!(
                "edgetime: {name}: cannot be locked ({error}); what a running server writes now may look damaged"
            ));
            Ok(None)
        }
    }
}
