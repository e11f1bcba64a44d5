//! The C client against a real server: directly, over a proxy that fails, and as its documentation shows it.

#[path = "../protocol/tests/support/compilers.rs"]
mod compilers;
mod support;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering;

use support::Server;
use support::proxy::FaultProxy;

/// Batches of a run over the proxy.
const BATCHES: u64 = 1_000;
/// Rows with a time in each.
const ROWS: u64 = 3;
const START: u64 = 1_700_000_000_000_000_000;

fn server() -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &["--no-self-monitor"]);
    (folder, server)
}

/// Runs the sender to its end: connections, duplicates and refused rows.
fn send(
    program: &Path,
    address: SocketAddr,
    mode: &str,
    database: &str,
    batches: u64,
    producer: u64,
) -> [u64; 3] {
    let said = compilers::run(
        Command::new(program)
            .arg(address.port().to_string())
            .args([mode, database])
            .args([batches.to_string(), producer.to_string()]),
    );
    let numbers: Vec<u64> = said
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|word| word.parse().ok())
        .collect();
    numbers.try_into().expect("three numbers")
}

/// Every numbered row is there, with its values, and none besides. Of text that is cut in the middle of a line the
/// part before the cut is a line, too: without its time it has the server's, and is left out here.
fn assert_all_there(server: &Server, database: &str, rows: u64, is_text: bool) {
    let until = if is_text {
        START + rows
    } else {
        i64::MAX as u64
    };
    let sql = format!("SELECT time, s, v, n FROM m WHERE v >= 0 AND time < {until} ORDER BY time");
    let found = server.try_query(database, &sql).expect("answers");
    assert_eq!(found.len() as u64, rows);
    for (at, row) in found.iter().enumerate() {
        let value = at as f64 / 4.0;
        let expected = [
            (START + at as u64).to_string(),
            (at as u64 % ROWS).to_string(),
            value.to_string(),
            at.to_string(),
        ];
        assert_eq!(row[..], expected);
    }
}

#[test]
fn faulted_batches_lose_nothing() {
    let (folder, server) = server();
    for (at, compiler) in compilers::compilers().into_iter().enumerate() {
        let program = folder.path().join(compiler);
        let source = compilers::folder().join("tests/interop.c");
        compilers::compile(compiler, &source, &program);

        let direct = format!("direct_{at}");
        let [connections, ..] = send(&program, server.data, "binary", &direct, 50, 0);
        assert_eq!(connections, 1);
        assert_all_there(&server, &direct, 50 * ROWS, false);

        for mode in ["binary", "text"] {
            let database = format!("{mode}_{at}");
            let proxy = FaultProxy::start(server.data, 8 + at as u64, 8_000);
            let producer = 77 + at as u64;
            let sent = send(&program, proxy.address, mode, &database, BATCHES, producer);
            let [connections, duplicates, refused] = sent;
            assert!(connections > 20, "{connections}");
            assert_eq!(refused, 0);
            assert!(proxy.faults.cuts.load(Ordering::Relaxed) > 15);
            assert_all_there(&server, &database, BATCHES * ROWS, mode == "text");
            assert!(mode == "text" || duplicates > 0);
            println!("{compiler} {mode}: {sent:?}, {:?}", proxy.faults);
        }
        let texts = "SELECT count(text) FROM m";
        let binary = format!("binary_{at}");
        let counted = server.try_query(&binary, texts).expect("answers");
        assert_eq!(counted, [[(BATCHES * ROWS / 2).to_string()]]);
        // One row of each batch has no time: sent again it would be there twice.
        let numbers = "SELECT count(n) FROM m";
        let counted = server.try_query(&binary, numbers).expect("answers");
        assert_eq!(counted, [[(BATCHES * (ROWS + 1)).to_string()]]);
    }
}

#[test]
fn the_documentation_runs() {
    let (folder, server) = server();
    let readme = std::fs::read_to_string(compilers::folder().join("README.md")).expect("a README");
    let mut programs = 0;
    for block in readme.split("```c\n").skip(1) {
        let code = block.split("```").next().expect("a block");
        // The port of the server at hand.
        let code = code.replace("7480", &server.data.port().to_string());
        let source = folder.path().join("example.c");
        let program = folder.path().join("example");
        std::fs::write(&source, code).expect("writable");
        compilers::compile("cc", &source, &program);
        compilers::run(&mut Command::new(&program));
        programs += 1;
    }
    assert_eq!(programs, 2);
    let rows = server
        .try_query(
            "plant",
            "SELECT room, celsius, rpm, heating FROM boiler ORDER BY time, room",
        )
        .expect("answers");
    assert_eq!(rows[0], ["b1", "81.5", "1450", "true"]);
    assert_eq!(rows.len(), 4);
    assert_eq!(rows[3][..3], ["b2", "20.5", "903"]);
}
