//! A store whose log was cut or altered: the server starts, says what is lost, and answers with right rows only.

mod support;

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use support::Server;

const ROWS: u64 = 20_000;
const START_NS: u64 = 1_700_000_000_000_000_000;

/// A folder whose server was killed after all rows were durable in the log alone.
fn store(folder: &Path) -> Vec<PathBuf> {
    let server = Server::start(folder, &["--no-self-monitor"]);
    // Several synced groups: what was durable is proved by what came after it.
    for group in 0..10 {
        let mut lines = String::new();
        for i in (group * ROWS / 10)..((group + 1) * ROWS / 10) {
            let time = START_NS + i;
            writeln!(lines, "m,s=s{} v={}i,w=\"{}\" {time}", i % 3, i * 7, i * 11).expect("memory");
        }
        server.write(&lines);
    }
    server.kill();
    let mut segments: Vec<PathBuf> = std::fs::read_dir(folder.join("log"))
        .expect("a folder")
        .map(|entry| entry.expect("readable").path())
        .collect();
    segments.sort();
    segments
}

/// Whatever is there has the values that were written; the number of rows.
fn right_rows(server: &Server) -> u64 {
    let rows = match server.try_query("default", "SELECT time, s, v, w FROM m") {
        Ok(rows) => rows,
        // Nothing at all is left where even the measurement's definition is lost.
        Err(error) => {
            assert!(error.contains("unknown"), "{error}");
            return 0;
        }
    };
    for row in &rows {
        let i = row[0].parse::<u64>().expect("a time") - START_NS;
        assert!(i < ROWS, "a row that was never written: {row:?}");
        let expected = [
            format!("s{}", i % 3),
            (i * 7).to_string(),
            (i * 11).to_string(),
        ];
        assert_eq!(row[1..], expected, "row {i}");
    }
    rows.len() as u64
}

fn used_bytes(segment: &Path) -> u64 {
    let bytes = std::fs::read(segment).expect("readable");
    bytes
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |last| last as u64 + 1)
}

/// The first segment that holds rows.
fn active(segments: &[PathBuf]) -> &PathBuf {
    segments
        .iter()
        .max_by_key(|segment| used_bytes(segment))
        .expect("segments")
}

#[test]
fn an_altered_log_is_reported_and_the_rest_is_right() {
    for part in [3, 5, 8] {
        let folder = tempfile::tempdir().expect("a folder");
        let segments = store(folder.path());
        let segment = active(&segments);
        let at = used_bytes(segment) * part / 10;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(segment)
            .expect("opens");
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).expect("readable");
        file.write_all_at(&[byte[0] ^ 0x10], at).expect("writable");
        let server = Server::start(folder.path(), &["--no-self-monitor"]);
        let status = server.admin("status --json");
        let found = right_rows(&server);
        if found < ROWS {
            assert!(
                status.contains("\"state\":\"degraded\""),
                "{found} rows, {status}"
            );
            assert!(!status.contains("\"gaps\":[]"), "{status}");
            let kept = std::fs::read_dir(folder.path().join("quarantine")).expect("a folder");
            assert!(kept.count() > 0, "what was lost is kept aside");
        }
        assert!(
            found > ROWS / 2,
            "one flipped bit cost {} rows",
            ROWS - found
        );
        server.write("m,s=s0 v=1i 1600000000000000000\n");
        assert!(server.stop());
    }
}

#[test]
fn a_cut_log_keeps_what_stands_before_the_cut() {
    for part in [0, 1, 5, 9] {
        let folder = tempfile::tempdir().expect("a folder");
        let segments = store(folder.path());
        let segment = active(&segments);
        let keep = used_bytes(segment) * part / 10;
        OpenOptions::new()
            .write(true)
            .open(segment)
            .expect("opens")
            .set_len(keep)
            .expect("cut");
        let server = Server::start(folder.path(), &["--no-self-monitor"]);
        let found = right_rows(&server);
        assert!(
            found < ROWS && (part < 5 || found > 0),
            "{found} rows behind {keep} bytes"
        );
        server.write("m,s=s0 v=1i 1600000000000000000\n");
        assert_eq!(right_rows_with_one_more(&server), found + 1);
        server.kill();
    }
}

fn right_rows_with_one_more(server: &Server) -> u64 {
    let rows = server.query("SELECT count(*) FROM m");
    rows[0][0].parse().expect("a number")
}
