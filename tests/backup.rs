//! `backup PATH` of a server that is being written to.

mod support;

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use support::Server;

const START_NS: u64 = 1_700_000_000_000_000_000;
const BATCH_ROWS: u64 = 200;
const SERIES: u64 = 7;

/// Writes batches until it is told to stop; counts the rows that are durable.
fn write_on(server: &Server, stop: &AtomicBool, durable: &AtomicU64) {
    let mut session = server.text();
    session.send("#edge ack durable\n");
    let mut row = 0;
    while !stop.load(Ordering::SeqCst) {
        let mut text = String::new();
        for i in row..row + BATCH_ROWS {
            let time = START_NS + i;
            writeln!(text, "m,s=s{} v={}i,w=\"{i}\" {time}", i % SERIES, i * 3).expect("memory");
        }
        session.send(text);
        let mut left = BATCH_ROWS;
        while left > 0 {
            let answer = session.answer();
            let rows = answer.strip_prefix('+').and_then(|a| a.split_once(' '));
            left -= rows.expect("taken").1.parse::<u64>().expect("a number");
        }
        row += BATCH_ROWS;
        durable.store(row, Ordering::SeqCst);
    }
}

/// The first row that a store lacks. Of every series it has the first ones that were written, each as it was
/// written; a batch goes to several series, and its parts may be copied without one another.
fn first_missing(server: &Server) -> u64 {
    let mut next: [u64; SERIES as usize] = std::array::from_fn(|series| series as u64);
    for row in server.query("SELECT time, s, v, w FROM m ORDER BY time") {
        let series: usize = row[1][1..].parse().expect("as sent");
        let i = next[series];
        let time = (START_NS + i).to_string();
        let expected = [
            time,
            format!("s{series}"),
            (i * 3).to_string(),
            i.to_string(),
        ];
        assert_eq!(row[..], expected, "row {i}");
        next[series] += SERIES;
    }
    next.into_iter().min().expect("series")
}

fn backup(server: &Server, path: &Path) -> serde_json::Value {
    let answer = server.admin(&format!("backup {} --json", path.display()));
    assert!(answer.ends_with("OK\n"), "{answer}");
    serde_json::from_str(answer.lines().next().expect("an answer")).expect("JSON")
}

#[test]
fn a_backup_has_every_row_that_was_durable_and_serves() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Arc::new(Server::start(
        &folder.path().join("data"),
        &["--no-self-monitor"],
    ));
    let (stop, durable) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let writer = {
        let (server, stop, durable) =
            (Arc::clone(&server), Arc::clone(&stop), Arc::clone(&durable));
        std::thread::spawn(move || write_on(&server, &stop, &durable))
    };
    let mut before = Vec::new();
    for i in 0..3 {
        let reached = durable.load(Ordering::SeqCst);
        while durable.load(Ordering::SeqCst) < reached + 20 * BATCH_ROWS {
            std::thread::yield_now();
        }
        before.push(durable.load(Ordering::SeqCst));
        let path = folder.path().join(format!("copy {i}"));
        let report = backup(&server, &path);
        assert!(report["position"].as_u64() > Some(0), "{report}");
        assert_eq!(report["path"], path.display().to_string());
    }
    stop.store(true, Ordering::SeqCst);
    writer.join().expect("no panic");
    let written = durable.load(Ordering::SeqCst);
    drop(server);
    for (i, before) in before.iter().enumerate() {
        let path = folder.path().join(format!("copy {i}"));
        let verified = support::run(&["inspect", path.to_str().expect("UTF-8"), "--verify"], b"");
        assert!(verified.status.success(), "{verified:?}");
        let copy = Server::start(&path, &["--no-self-monitor"]);
        let missing = first_missing(&copy);
        assert!(
            (*before..=written).contains(&missing),
            "row {missing} is missing, {before} were durable before"
        );
        let status = copy.admin("status --json");
        assert!(status.contains("\"state\":\"ok\""), "{status}");
        copy.write("m,s=s0 v=1i 1600000000000000000\n");
        assert!(copy.stop());
    }
}

#[test]
fn a_path_that_cannot_take_a_backup_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = Server::start(&data, &["--no-self-monitor"]);
    server.write("m v=1i 1700000000000000000\n");
    let full = folder.path().join("full");
    std::fs::create_dir(&full).expect("a folder");
    std::fs::write(full.join("mine"), "mine").expect("a file");
    let refused = |path: &Path, why: &str| {
        let answer = server.admin(&format!("backup {}", path.display()));
        assert!(
            answer.starts_with("ERR bad_value ") && answer.contains(why),
            "{answer}"
        );
    };
    refused(&full, "not empty");
    refused(&full.join("mine"), "no folder");
    refused(&data.join("copy"), "data directory");
    refused(&folder.path().join("none/copy"), "not there");
    assert!(server.admin("backup").starts_with("ERR bad_command "));
    let left: Vec<_> = std::fs::read_dir(&full).expect("a folder").collect();
    assert_eq!(left.len(), 1);
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).expect("a folder");
    backup(&server, &empty);
    refused(&empty, "not empty");
    assert!(!folder.path().join("empty.incomplete").exists());
    let copy = Server::start(&empty, &["--no-self-monitor"]);
    assert_eq!(copy.query("SELECT v FROM m"), [["1"]]);
    let status = copy.admin("status --json");
    assert!(status.contains("\"state\":\"ok\""), "{status}");
}
