//! `backup PATH`: a folder beside the path, renamed when all of it is on the device.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::json;

use super::commands::{Answer, say};
use crate::engine::BackupReport;
use crate::server::Shared;
use crate::server::codes::code_of;

/// Runs the command.
pub fn backup(shared: &Shared, json: bool, path: &str) -> Answer {
    if path.is_empty() {
        return Answer::error(
            "bad_command",
            "use: backup PATH, a folder that is not there or empty",
        );
    }
    let began = Instant::now();
    match run(shared, Path::new(path)) {
        Ok((path, report)) => {
            let BackupReport {
                position,
                files,
                linked,
                bytes,
            } = report;
            let (path, seconds) = (path.display().to_string(), began.elapsed().as_secs_f64());
            say(
                json,
                format!(
                    "{path} has everything up to position {position}: {files} files, {linked} of them linked, {bytes} bytes written in {seconds:.1} s"
                ),
                json!({
                    "path": path,
                    "position": position.0,
                    "files": files,
                    "linked": linked,
                    "bytes": bytes,
                    "seconds": seconds,
                }),
            )
        }
        Err((code, message)) => Answer::error(code, &message),
    }
}

type Failed = (&'static str, String);

fn run(shared: &Shared, path: &Path) -> Result<(PathBuf, BackupReport), Failed> {
    let path = std::path::absolute(path).map_err(|error| said(path, &error))?;
    check(shared, &path)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".incomplete");
    let unfinished = path.with_file_name(name);
    fs::create_dir(&unfinished).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => (
            "bad_value",
            format!(
                "{}: there already; wait for the backup that makes it, or remove it",
                unfinished.display()
            ),
        ),
        _ => said(&unfinished, &error),
    })?;
    let made = fill(shared, &unfinished, &path);
    if made.is_err() {
        // What cannot be removed is in the way of the next attempt, which says so.
        let _ = fs::remove_dir_all(&unfinished);
    }
    made.map(|report| (path, report))
}

fn check(shared: &Shared, path: &Path) -> Result<(), Failed> {
    let refused = |why: &str| Err(("bad_value", format!("{}: {why}", path.display())));
    let Some(parent) = path.parent() else {
        return refused("no place for a backup");
    };
    let Ok(parent) = parent.canonicalize() else {
        return refused("the folder above it is not there; make it first");
    };
    let data = shared.config.general.data_dir.canonicalize();
    if data.is_ok_and(|data| parent.starts_with(data)) {
        return refused("lies in the data directory; name a folder outside");
    }
    match fs::read_dir(path) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => refused("not empty; name a folder that is not there or empty"),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => refused("no folder"),
        Err(error) => Err(said(path, &error)),
    }
}

fn fill(shared: &Shared, unfinished: &Path, path: &Path) -> Result<BackupReport, Failed> {
    let report = shared.engine.backup(unfinished).map_err(|error| {
        let code = if error.is_full() {
            "full"
        } else {
            code_of(&error).name()
        };
        (code, error.to_string())
    })?;
    let renamed = fs::rename(unfinished, path).and_then(|()| {
        let parent = path.parent().unwrap_or(path);
        fs::File::open(parent)?.sync_all()
    });
    renamed.map_err(|error| said(path, &error))?;
    Ok(report)
}

fn said(path: &Path, error: &io::Error) -> Failed {
    let code = match error.kind() {
        io::ErrorKind::StorageFull => "full",
        _ => "bad_value",
    };
    (code, format!("{}: {error}", path.display()))
}
