//! The memory limit of a real server: more series than fit, more rows than fit, queries that would keep too much. The
//! process stays within the limit, whoever is refused is told, and what was accepted is there.

mod support;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::Value;
use support::Server;

const MIB: u64 = 1024 * 1024;
const LIMIT_MB: u64 = 40;
const LOG_BYTES: u64 = 8 * MIB;
const SMALL: [&str; 9] = [
    "--no-self-monitor",
    "--set",
    "memory.limit_mb=40",
    "--set",
    "log.log_size_bytes=8388608",
    "--set",
    "log.segment_size_bytes=1048576",
    "--set",
    "query.memory_max_mb=1000",
];

fn memory(server: &Server) -> Value {
    let answer = server.admin("memory --json");
    let body = answer.strip_suffix("OK\n");
    let body = body.unwrap_or_else(|| panic!("{answer}"));
    serde_json::from_str(body).expect("JSON")
}

/// Anonymous memory of a process, bytes.
fn anonymous(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).expect("it runs");
    let pages: Vec<u64> = text
        .split_whitespace()
        .map(|word| word.parse().expect("a number"))
        .collect();
    (pages[1] - pages[2]) * 4096
}

/// Runs something, and tells the most anonymous memory that the server had meanwhile.
fn watched<T>(server: &Server, work: impl FnOnce() -> T) -> (u64, T) {
    let (most, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let pid = server.pid();
    let result = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                most.fetch_max(anonymous(pid), Ordering::Relaxed);
                std::thread::yield_now();
            }
        });
        let result = work();
        over.store(true, Ordering::Relaxed);
        result
    });
    (most.into_inner(), result)
}

/// Sends lines and counts what is accepted, and what is refused with `busy`. Any other refusal fails the test.
fn send(server: &Server, lines: impl Iterator<Item = String>) -> (u64, u64) {
    let mut session = server.text();
    session.send("#edge ack accepted\n");
    let (mut accepted, mut refused) = (0, 0);
    let lines: Vec<String> = lines.collect();
    for part in lines.chunks(1_000) {
        session.send(part.concat());
        let settled = accepted + refused;
        while accepted + refused < settled + part.len() as u64 {
            let answer = session.answer();
            let mut words = answer.split_whitespace();
            let first = words.next().expect("not empty");
            if first.starts_with('+') {
                accepted += words
                    .next()
                    .expect("rows")
                    .parse::<u64>()
                    .expect("a number");
            } else {
                assert_eq!(words.next(), Some("busy"), "{answer}");
                assert!(answer.contains("memory.limit_mb = 40"), "{answer}");
                refused += 1;
            }
        }
    }
    (accepted, refused)
}

fn count(server: &Server, measurement: &str) -> u64 {
    let rows = server.query(&format!("SELECT count(*) FROM {measurement}"));
    rows[0][0].parse().expect("a number")
}

#[test]
fn more_series_than_fit_are_refused_and_the_others_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &SMALL);
    let lines = |series: u64| {
        (0..series).map(|i| format!("room,sensor=s{i} a={i}.25,b={i}i,c=1.5,d=\"text\"\n"))
    };
    let (most, (accepted, refused)) = watched(&server, || send(&server, lines(60_000)));
    assert!(refused > 10_000, "{accepted} accepted, {refused} refused");
    assert!(accepted > 2_000, "{accepted} accepted, {refused} refused");
    let bound = (LIMIT_MB * MIB) * 105 / 100 - LOG_BYTES;
    assert!(most <= bound, "{most} bytes of {bound}");
    let told = memory(&server);
    assert_eq!(told["limit_bytes"], LIMIT_MB * MIB);
    assert_eq!(told["log_bytes"], LOG_BYTES);
    assert!(
        told["relief"]["refused_series"].as_u64() >= Some(refused),
        "{told}"
    );
    assert!(
        told["relief"]["cache_shrinks"].as_u64() >= Some(1),
        "{told}"
    );
    let pools = told["pools"].as_object().expect("an object").values();
    let sum: u64 = pools.map(|pool| pool.as_u64().expect("a number")).sum();
    assert!(
        sum >= told["anonymous_bytes"].as_u64().expect("a number"),
        "{told}"
    );
    assert_eq!(count(&server, "room"), accepted);
    // Those that are there take more rows.
    let (more, _) = send(&server, lines(1_000));
    assert_eq!(more, 1_000);
    server.write("#edge sync\n");
    server.kill();
    let server = Server::start(folder.path(), &SMALL);
    assert_eq!(count(&server, "room"), accepted + 1_000);
    assert!(server.stop());
}

#[test]
fn more_rows_than_fit_go_to_the_device_and_none_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &SMALL);
    let rows = 300_000;
    let (most, (accepted, refused)) = watched(&server, || {
        let lines = (0..rows).map(|i: u64| {
            let (sensor, time) = (i % 50, 1_700_000_000_000_000_000 + i * 20_000_000);
            // Values that hardly shrink.
            let mixed = i.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            format!(
                "line,sensor={sensor} a={mixed}u,b={}u {time}\n",
                mixed ^ (mixed >> 29)
            )
        });
        send(&server, lines)
    });
    assert_eq!((accepted, refused), (rows, 0));
    let bound = (LIMIT_MB * MIB) * 105 / 100 - LOG_BYTES;
    assert!(most <= bound, "{most} bytes of {bound}");
    assert_eq!(count(&server, "line"), rows);
    // A percentile keeps every value; half of what the log leaves is for queries.
    let kept = server.try_query("default", "SELECT percentile(a, 50), percentile(b, 50), median(a), median(b), count(distinct a) FROM line");
    let error = kept.expect_err("too much");
    assert!(
        error.contains("bytes that all queries keep at a time") && error.contains("16777216"),
        "{error}"
    );
    assert_eq!(memory(&server)["pools"]["queries_bytes"], 0);
    assert_eq!(
        server
            .query("SELECT percentile(a, 50) FROM line LIMIT 1")
            .len(),
        1
    );
    assert!(server.stop());
}
