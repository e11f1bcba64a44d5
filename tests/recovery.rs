//! A server that is killed in the middle of its work: every acknowledged row is there, none is invented.
//!
//! The ledger of what was acknowledged is kept here, in another process than the one that is killed.
//! `EDGETIME_KILL_ROUNDS` and `EDGETIME_KILL_STEPS` make it the soak run of `tests/README.md`.

mod support;

use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use edgetime_protocol::columns::ResultCell;

use support::Server;

const CONNECTIONS: u64 = 4;
const HOSTS: u64 = 1_000;
const FIELDS: u64 = 10;
const START_NS: u64 = 1_700_000_000_000_000_000;
const STEP_NS: u64 = 10_000_000_000;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// The value of a field: what was sent can be told from host and step alone.
fn value(host: u64, step: u64, field: u64) -> u64 {
    (host * 31 + step * 7 + field * 13 + (host ^ step) % 5) % 101
}

/// The lines of a connection, step by step over its hosts.
fn lines(connection: u64, steps: u64) -> Vec<u8> {
    let mut text = Vec::new();
    for step in 0..steps {
        for host in (connection..HOSTS).step_by(CONNECTIONS as usize) {
            write!(
                text,
                "cpu,hostname=host_{host},region=eu-west-1,os=Ubuntu15.10 "
            )
            .expect("memory");
            for field in 0..FIELDS {
                let comma = if field == 0 { "" } else { "," };
                write!(text, "{comma}f{field}={}i", value(host, step, field)).expect("memory");
            }
            writeln!(text, " {}", START_NS + step * STEP_NS).expect("memory");
        }
    }
    text
}

/// Sends a connection's lines until the server is gone; counts acknowledged rows as they come.
fn send(
    server: &Server,
    lines: &Arc<Vec<u8>>,
    acknowledged: &Arc<AtomicU64>,
) -> [std::thread::JoinHandle<()>; 2] {
    let mut session = server.text();
    session.send("#edge ack durable\n");
    let (mut stream, mut answers) = session.split();
    let (lines, acknowledged) = (Arc::clone(lines), Arc::clone(acknowledged));
    let writer = std::thread::spawn(move || {
        // The kill breaks the connection: that is the test.
        let _ = stream.write_all(&lines);
    });
    let reader = std::thread::spawn(move || {
        let mut line = String::new();
        while answers.read_line(&mut line).is_ok_and(|read| read > 0) {
            if let Some(rows) = line
                .trim_end()
                .strip_prefix('+')
                .and_then(|l| l.split_once(' '))
            {
                acknowledged.fetch_add(rows.1.parse().expect("rows"), Ordering::SeqCst);
            } else {
                assert!(!line.ends_with('\n'), "refused: {line}");
            }
            line.clear();
        }
    });
    [writer, reader]
}

/// Kills a server when about `share` of all rows are acknowledged, and checks what the next one has.
fn round(steps: u64, share: f64, arguments: &[&str]) -> (u64, u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let texts: Vec<_> = (0..CONNECTIONS)
        .map(|c| Arc::new(lines(c, steps)))
        .collect();
    let acknowledged: Vec<_> = (0..CONNECTIONS)
        .map(|_| Arc::new(AtomicU64::new(0)))
        .collect();
    let server = Server::start(folder.path(), arguments);
    let threads: Vec<_> = (0..CONNECTIONS as usize)
        .flat_map(|c| send(&server, &texts[c], &acknowledged[c]))
        .collect();
    let enough = (share * (HOSTS * steps) as f64) as u64;
    let total = || {
        acknowledged
            .iter()
            .map(|a| a.load(Ordering::SeqCst))
            .sum::<u64>()
    };
    while total() < enough {
        std::thread::yield_now();
    }
    server.kill();
    for thread in threads {
        thread.join().expect("no panic");
    }
    let acknowledged: Vec<u64> = acknowledged
        .iter()
        .map(|a| a.load(Ordering::SeqCst))
        .collect();
    let server = Server::start(folder.path(), arguments);
    let found = check(&server, steps, &acknowledged);
    let status = server.admin("status --json");
    assert!(status.contains("\"state\":\"ok\""), "{status}");
    (acknowledged.iter().sum(), found)
}

/// Every row has the values that were sent, every acknowledged row is there; the number of rows.
fn check(server: &Server, steps: u64, acknowledged: &[u64]) -> u64 {
    let fields: Vec<String> = (0..FIELDS).map(|field| format!("f{field}")).collect();
    let sql = format!("SELECT hostname, time, {} FROM cpu", fields.join(", "));
    let (_, batches) = server.batches("default", &sql).expect("answers");
    let mut rows_of: HashMap<u64, u64> = HashMap::new();
    let mut seen = vec![false; (HOSTS * steps) as usize];
    for batch in &batches {
        for row in 0..batch.rows() {
            let cell = |column: usize| batch.columns[column].cell(row);
            let (ResultCell::String(name), ResultCell::Time(time)) = (cell(0), cell(1)) else {
                panic!("columns of other types");
            };
            let host: u64 = name
                .strip_prefix("host_")
                .expect("as sent")
                .parse()
                .expect("as sent");
            let step = (time as u64 - START_NS) / STEP_NS;
            assert!(
                host < HOSTS && step < steps,
                "host {host}, step {step} was never sent"
            );
            assert_eq!(
                time as u64,
                START_NS + step * STEP_NS,
                "a time that was never sent"
            );
            let place = &mut seen[(step * HOSTS + host) as usize];
            assert!(
                !std::mem::replace(place, true),
                "host {host}, step {step} stands twice"
            );
            *rows_of.entry(host).or_default() += 1;
            for field in 0..FIELDS {
                let ResultCell::Integer(found) = cell(2 + field as usize) else {
                    panic!(
                        "host {host}, step {step}, field {field}: {:?}",
                        cell(2 + field as usize)
                    );
                };
                assert_eq!(
                    found as u64,
                    value(host, step, field),
                    "host {host}, step {step}, field {field}"
                );
            }
        }
    }
    let hosts = HOSTS / CONNECTIONS;
    for (connection, &rows) in acknowledged.iter().enumerate() {
        // A connection sends its hosts in turn: what is acknowledged is a prefix of that.
        for index in 0..hosts {
            let host = connection as u64 + index * CONNECTIONS;
            let expected = rows / hosts + u64::from(index < rows % hosts);
            for step in 0..expected {
                assert!(
                    seen[(step * HOSTS + host) as usize],
                    "lost: host {host}, step {step} of {expected}"
                );
            }
            let found = rows_of.get(&host).copied().unwrap_or(0);
            for step in 0..found {
                assert!(
                    seen[(step * HOSTS + host) as usize],
                    "host {host}: a hole at step {step} of {found}"
                );
            }
        }
    }
    rows_of.values().sum()
}

/// Both back ends of the log in turn.
fn backend(number: u64) -> &'static str {
    if number.is_multiple_of(2) {
        "log.backend=mmap"
    } else {
        "log.backend=file"
    }
}

#[test]
fn a_kill_loses_nothing_that_was_acknowledged() {
    let steps = setting("EDGETIME_KILL_STEPS", 120);
    let rounds = setting("EDGETIME_KILL_ROUNDS", 20);
    for number in 0..rounds {
        let share = 0.05 + 0.55 * (number as f64 / rounds as f64);
        let backend = backend(number);
        let (acknowledged, found) = round(steps, share, &["--set", backend]);
        println!(
            "round {number}: {acknowledged} rows acknowledged, {found} found, {} sent, {backend}",
            HOSTS * steps
        );
        assert!(found >= acknowledged);
    }
}

#[test]
fn a_kill_in_the_middle_of_checkpoints_loses_nothing() {
    // A small log, so that checkpoints run all the time and batches are taken in part.
    let log = [
        "--set",
        "log.log_size_bytes=1048576",
        "--set",
        "log.segment_size_bytes=131072",
    ];
    // Four with the default.
    let rounds = setting("EDGETIME_KILL_ROUNDS", 20).div_ceil(5);
    for number in 0..rounds {
        let mut arguments = log.to_vec();
        arguments.extend(["--set", backend(number)]);
        let steps = setting("EDGETIME_KILL_STEPS", 60);
        let (acknowledged, found) = round(steps, 0.6, &arguments);
        println!("round {number}: {acknowledged} rows acknowledged, {found} found, a log of 1 MiB");
        assert!(found >= acknowledged);
    }
}
