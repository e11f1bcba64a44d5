//! Exactly once, over a real server: batches are sent over connections that break and to servers that are killed, and
//! each is stored once, is said to be a duplicate where it comes again, and is counted as that.

mod support;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use edgetime_protocol::client::{BatchOptions, BatchWriter, FieldValue};
use support::Server;
use support::proxy::FaultProxy;

const ARGUMENTS: &[&str] = &["--no-self-monitor", "--set", "checkpoint.interval_s=1"];
const T: i64 = 1_700_000_000_000_000_000;

fn options() -> BatchOptions {
    BatchOptions {
        rows_max: 4,
        in_flight_max: 8,
        timeout: Duration::from_secs(3),
        retries_max: 1_000,
        retry_pause: Duration::from_millis(2),
        ..BatchOptions::default()
    }
}

/// Adds four rows that only their number tells apart, two of them without a time.
fn push(writer: &mut BatchWriter, batch: u64) {
    for row in 0..4u64 {
        let number = batch * 4 + row;
        let fields = [("n", FieldValue::Unsigned(number))];
        let tag = (row % 2).to_string();
        let time = (row >= 2).then_some(T + number as i64);
        writer
            .push("m", &[("s", &tag)], &fields, time, number)
            .expect("sent, or sent again");
    }
}

/// Every number is there once; the ledger is balanced and has what was repeated.
fn assert_once(server: &Server, batches: u64, repeated_rows_min: u64) {
    let rows = server.query("SELECT n FROM m ORDER BY n");
    let found: Vec<u64> = rows
        .iter()
        .map(|row| row[0].parse().expect("a number"))
        .collect();
    let expected: Vec<u64> = (0..batches * 4).collect();
    assert!(
        found == expected,
        "{} rows instead of {}, {:?} first",
        found.len(),
        expected.len(),
        found.iter().zip(&expected).find(|(a, b)| a != b)
    );
    let ledger = ledger(server);
    assert_eq!(
        ledger.get("received"),
        Some(&(batches * 4 + ledger["duplicate"]))
    );
    assert!(ledger["duplicate"] >= repeated_rows_min, "{ledger:?}");
}

fn ledger(server: &Server) -> std::collections::BTreeMap<String, u64> {
    let status = server.admin("status --json");
    let json = status.strip_suffix("OK\n").expect("an answer");
    let status: serde_json::Value = serde_json::from_str(json).expect("JSON");
    let ledger = status["ledger"].as_object().expect("a ledger");
    ledger
        .iter()
        .filter_map(|(state, count)| Some((state.clone(), count.as_u64()?)))
        .collect()
}

#[test]
fn rows_without_times_are_stored_once_over_connections_that_break() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), ARGUMENTS);
    let proxy = FaultProxy::start(server.data, 3, 4_000);
    let mut writer = BatchWriter::connect(proxy.address, options()).expect("connects");
    for batch in 0..1_000 {
        push(&mut writer, batch);
    }
    let report = writer.finish().expect("durable");
    assert!(report.reconnects > 20, "{report:?}");
    assert!(report.duplicates > 0, "{report:?}");
    assert_eq!(report.rows, 4_000);
    assert_once(&server, 1_000, report.duplicates * 4);
    println!("{report:?}, {:?}", proxy.faults);
}

#[test]
fn a_server_that_is_killed_stores_what_is_sent_again_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Some(Server::start(folder.path(), ARGUMENTS));
    let target = Arc::new(Mutex::new(server.as_ref().map(|server| server.data)));
    let relay = relay(Arc::clone(&target));
    let done = Arc::new(AtomicBool::new(false));
    let sender = {
        let done = Arc::clone(&done);
        std::thread::spawn(move || {
            let mut writer = BatchWriter::connect(relay, options()).expect("connects");
            for batch in 0..6_000 {
                push(&mut writer, batch);
            }
            let report = writer.finish().expect("durable");
            done.store(true, Ordering::SeqCst);
            report
        })
    };
    let mut kills = 0;
    while !done.load(Ordering::SeqCst) {
        // So far it has come before the next kill: in the middle of whatever it is at.
        let running = server.as_ref().expect("it runs");
        let before = ledger(running)["received"];
        while ledger(running)["received"] < before + 1_500 && !done.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        *target.lock().expect("no panic") = None;
        server.take().expect("it runs").kill();
        kills += 1;
        let next = Server::start(folder.path(), ARGUMENTS);
        *target.lock().expect("no panic") = Some(next.data);
        server = Some(next);
    }
    let report = sender.join().expect("no panic");
    assert!(kills >= 3, "{kills}");
    println!("{kills} kills, {report:?}");
    assert_once(server.as_ref().expect("it runs"), 6_000, 0);
}

/// Passes connections on to wherever the server is; while it is nowhere they are closed.
fn relay(target: Arc<Mutex<Option<SocketAddr>>>) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = *target.lock().expect("no panic");
            let server = server.and_then(|server| std::net::TcpStream::connect(server).ok());
            let Some(server) = server else { continue };
            for (mut from, mut to) in [
                (
                    client.try_clone().expect("a socket"),
                    server.try_clone().expect("a socket"),
                ),
                (server, client),
            ] {
                std::thread::spawn(move || {
                    // Whichever ends first ends both.
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = from.shutdown(std::net::Shutdown::Both);
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
            }
        }
    });
    address
}
