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

/// Rows `from..to`, each with the words.
fn rows(from: u64, to: u64, words: &str) -> String {
    let mut lines = String::new();
    for i in from..to {
        let time = START_NS + i;
        writeln!(lines, "m,s=s{} v={}i,w=\"{words}\" {time}", i % 3, i * 7).expect("memory");
    }
    lines
}

/// In the last group of the log but one.
const IN_THE_LOG: &str = "these words stand in the log alone";

/// A store with chunks and an image in files, and with rows that only its log has.
fn store_of_all_kinds(folder: &Path) -> Server {
    let server = Server::start(folder, &["--no-self-monitor"]);
    server.write(&rows(0, 5_000, "in a chunk or an image"));
    assert!(server.stop());
    let server = Server::start(folder, &["--no-self-monitor"]);
    server.write(&rows(5_000, 5_001, IN_THE_LOG));
    server.write(&rows(5_001, 5_002, "what proves that these were durable"));
    server
}

/// One file of each kind, and a byte of it that counts.
fn one_of_each_kind(folder: &Path) -> Vec<(String, u64)> {
    let names = |of: &str| -> Vec<String> {
        let found = std::fs::read_dir(folder.join(of)).expect("a folder");
        let name = |entry: std::io::Result<std::fs::DirEntry>| {
            let name = entry.expect("readable").file_name();
            format!("{of}/{}", name.to_string_lossy())
        };
        found.map(name).collect()
    };
    let mut kinds = vec![("MANIFEST-A".to_owned(), 60), ("MANIFEST-B".to_owned(), 60)];
    for (ending, at) in [(".cat", 60), (".img", 60), (".blk", 300)] {
        let found = names("blocks").into_iter().filter(|n| n.ends_with(ending));
        kinds.push((found.max().expect("one of each kind"), at));
    }
    // One that is being prepared has another name until it is.
    for name in names("log").into_iter().filter(|n| n.ends_with(".segment")) {
        let bytes = std::fs::read(folder.join(&name)).expect("readable");
        let words = IN_THE_LOG.as_bytes();
        if let Some(at) = bytes.windows(words.len()).position(|part| part == words) {
            kinds.push((name, at as u64));
        }
    }
    assert_eq!(kinds.len(), KINDS, "{kinds:?}");
    kinds
}

const KINDS: usize = 6;

/// Flips a bit where it stands, as a device does: a server may have the file open, and mapped.
fn flip(path: &Path, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path);
    let file = file.expect("opens");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("readable");
    file.write_all_at(&[byte[0] ^ 1], at).expect("writable");
}

/// What `inspect --verify` says, and whether it exits with 0.
fn inspect(folder: &Path) -> (String, bool) {
    let folder = folder.to_str().expect("UTF-8");
    let output = support::run(&["inspect", folder, "--verify"], b"");
    assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
    let said = String::from_utf8(output.stdout).expect("text");
    (said, output.status.success())
}

#[test]
fn inspect_names_the_damaged_file_of_each_kind() {
    let folder = tempfile::tempdir().expect("a folder");
    store_of_all_kinds(folder.path()).kill();
    let (said, sound) = inspect(folder.path());
    assert!(sound, "{said}");
    for (name, at) in one_of_each_kind(folder.path()) {
        let path = folder.path().join(&name);
        flip(&path, at);
        let (said, sound) = inspect(folder.path());
        assert!(!sound && said.contains(&name), "{name}: {said}");
        flip(&path, at);
        let (said, sound) = inspect(folder.path());
        assert!(sound, "{name}: {said}");
    }
}

#[test]
fn verify_of_a_running_server_names_the_damaged_file_of_each_kind() {
    for kind in 0..KINDS {
        let folder = tempfile::tempdir().expect("a folder");
        let server = store_of_all_kinds(folder.path());
        let answer = server.admin("verify");
        assert!(answer.ends_with("OK\n"), "{answer}");
        let (name, at) = one_of_each_kind(folder.path()).swap_remove(kind);
        let path = folder.path().join(&name);
        flip(&path, at);
        let answer = server.admin("verify");
        let last = answer.lines().last().expect("lines");
        assert!(last.starts_with("ERR damaged "), "{name}: {answer}");
        assert!(answer.contains(&name), "{name}: {answer}");
        flip(&path, at);
        // What a read has met stands open until somebody takes note of it.
        server.admin("gaps acknowledge");
        let answer = server.admin("verify");
        assert!(answer.ends_with("OK\n"), "{name}: {answer}");
    }
}

#[test]
fn what_was_lost_is_listed_and_reported_until_somebody_takes_note() {
    let folder = tempfile::tempdir().expect("a folder");
    store_of_all_kinds(folder.path()).kill();
    let (segment, at) = one_of_each_kind(folder.path()).pop().expect("kinds");
    flip(&folder.path().join(&segment), at);
    let server = Server::start(folder.path(), &["--no-self-monitor"]);
    // From now on the checkpoint alone remembers.
    assert!(server.admin("checkpoint").ends_with("OK\n"));
    let answer = server.admin("verify");
    assert!(answer.contains("1 losses stand open"), "{answer}");
    assert!(server.stop());
    let (said, sound) = inspect(folder.path());
    let named = said
        .lines()
        .find(|line| line.starts_with("lost before: 1 log: "));
    let named = named.unwrap_or_else(|| panic!("{said}"));
    assert!(
        !sound && named.contains(", 1 rows; default:m,s=s2"),
        "{said}"
    );
    // The report beside the copy of the bytes.
    let kept = std::fs::read_dir(folder.path().join("quarantine")).expect("a folder");
    let kept = kept.map(|entry| entry.expect("readable").path());
    let report = kept
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .max();
    let report = std::fs::read(report.expect("a report")).expect("readable");
    let report: serde_json::Value = serde_json::from_slice(&report).expect("JSON");
    assert!(report["from"].as_u64() < report["to"].as_u64(), "{report}");
    let number = |path: &serde_json::Value| path.as_i64().expect("a number");
    let (first, last) = (number(&report["times"][0]), number(&report["times"][1]));
    let lost = (START_NS + 5_000) as i64;
    assert!(first <= lost && lost <= last, "{report}");
    assert_eq!(report["series"], serde_json::json!(["default:m,s=s2"]));
    assert_eq!(
        (number(&report["rows"]), number(&report["rows_salvaged"])),
        (1, 1)
    );
    assert_eq!(report["file"], segment);
    let server = Server::start(folder.path(), &["--no-self-monitor"]);
    assert!(server.admin("gaps acknowledge").contains("took note of 1"));
    assert!(server.admin("verify").ends_with("OK\n"));
    assert!(server.stop());
    let (said, sound) = inspect(folder.path());
    assert!(sound && !said.contains("lost before"), "{said}");
}

#[test]
fn a_segment_cut_under_a_running_server_is_a_failed_sync_and_no_loss() {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = ["--no-self-monitor", "--set", "log.backend=mmap"];
    let server = Server::start(folder.path(), &arguments);
    server.write(&rows(0, 100, "before"));
    let segments = std::fs::read_dir(folder.path().join("log")).expect("a folder");
    let segments = segments.map(|entry| entry.expect("readable").path());
    // One that is being prepared has another name until it is.
    let is_ready = |path: &PathBuf| path.extension().is_some_and(|e| e == "segment");
    let segments: Vec<PathBuf> = segments.filter(is_ready).collect();
    let segment = active(&segments);
    let keep = used_bytes(segment).next_multiple_of(4096);
    let file = OpenOptions::new().write(true).open(segment).expect("opens");
    file.set_len(keep).expect("cut behind what is durable");
    server.write(&rows(100, 5_000, "behind, in more than a page"));
    let stats = server.admin("stats log --json");
    assert!(stats.contains("\"sync_failures\":1"), "{stats}");
    server.kill();
    let server = Server::start(folder.path(), &arguments);
    assert_eq!(server.query("SELECT count(*) FROM m"), [["5000"]]);
    let status = server.admin("status --json");
    assert!(status.contains("\"state\":\"ok\""), "{status}");
}
