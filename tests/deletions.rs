//! `DELETE` and `DROP` of a real server: answered when it is durable, seen by the next query, kept through kills and backups.

mod support;

use std::fmt::Write as _;
use std::path::Path;

use support::Server;

const START_NS: i64 = 1_700_000_000_000_000_000;

fn start(folder: &Path) -> Server {
    Server::start(folder, &["--no-self-monitor"])
}

fn lines(times: std::ops::Range<i64>) -> String {
    let mut lines = String::new();
    for i in times {
        let time = START_NS + i;
        writeln!(lines, "m,s=a v={i}i {time}\nm,s=b v={i}i {time}").expect("memory");
    }
    lines
}

/// Rows and the sum of their values, by series.
fn sums(server: &Server) -> Vec<Vec<String>> {
    server.query("SELECT s, count(*), sum(v) FROM m GROUP BY s")
}

fn sum(values: impl Iterator<Item = i64>) -> [String; 2] {
    let (rows, sum) = values.fold((0, 0), |(rows, sum), value| (rows + 1, sum + value));
    [rows.to_string(), sum.to_string()]
}

fn expected(a: impl Iterator<Item = i64>, b: impl Iterator<Item = i64>) -> Vec<Vec<String>> {
    let of = |name: &str, values: [String; 2]| [vec![name.to_owned()], values.to_vec()].concat();
    vec![of("a", sum(a)), of("b", sum(b))]
}

/// Deletes rows of a series from one time up to another; how many these were.
fn delete(server: &Server, series: &str, times: std::ops::Range<i64>) -> String {
    let (from, to) = (START_NS + times.start, START_NS + times.end);
    let condition = format!("s = '{series}' AND time >= {from} AND time < {to}");
    let answer = server.query(&format!("DELETE FROM m WHERE {condition}"));
    answer.concat().concat()
}

#[test]
fn what_was_deleted_stays_so_through_kills_checkpoints_and_backups() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, copy) = (folder.path().join("data"), folder.path().join("copy"));
    let mut server = start(&data);
    server.write(&lines(0..3_000));
    let left = |from: i64| (0..500).chain(from..3_000);
    for (round, from) in [1_000, 1_500, 2_900].into_iter().enumerate() {
        assert_eq!(
            sums(&server)[1],
            expected(0..1, 0..3_000)[1],
            "round {round}"
        );
        let before = [500, 1_000, 1_500][round];
        let rows = delete(&server, "a", 500..from);
        assert_eq!(rows, (from - before).to_string(), "round {round}");
        assert_eq!(sums(&server), expected(left(from), 0..3_000));
        assert_eq!(delete(&server, "a", 500..from), "0");
        // Killed as soon as it was answered; behind a checkpoint in the second round.
        if round == 1 {
            assert!(server.admin("checkpoint").ends_with("OK\n"));
        }
        server.kill();
        server = start(&data);
        assert_eq!(sums(&server), expected(left(from), 0..3_000));
    }
    // Rows that come later are there, whatever their time.
    server.write("m,s=a v=7i 1700000000000000600\n");
    let with_late = || left(2_900).chain([7]);
    assert_eq!(sums(&server), expected(with_late(), 0..3_000));
    let backup = server.admin(&format!("backup {}", copy.display()));
    assert!(backup.ends_with("OK\n"), "{backup}");
    assert!(server.stop());
    for folder in [data, copy] {
        let server = start(&folder);
        assert_eq!(sums(&server), expected(with_late(), 0..3_000));
        let status = server.admin("status --json");
        assert!(status.contains("\"ok\""), "{status}");
        assert!(server.stop());
    }
}

#[test]
fn an_error_names_the_place_and_deletes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(folder.path());
    server.write(&lines(0..10));
    let refused = server.try_query("default", "DELETE FROM m WHERE time < 5 AND v > 3");
    let refused = refused.expect_err("a condition on values");
    assert!(refused.contains("line 1, column 34"), "{refused}");
    let unknown = server.try_query("default", "DELETE FROM n WHERE time < 5");
    assert!(unknown.is_err_and(|error| error.contains("near: `m`")));
    assert_eq!(sums(&server), expected(0..10, 0..10));
    assert!(
        server
            .admin("query DELETE FROM m WHERE s = 'a'")
            .contains("10")
    );
    let status = server.admin("status --json");
    assert!(status.contains("\"deleted\":10"), "{status}");
    assert!(server.stop());
}

#[test]
fn a_measurement_is_dropped_while_somebody_writes_to_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = start(folder.path());
    let mut session = server.text();
    session.send("#edge ack durable\n");
    let mut send = |line: &str| {
        session.send(format!("{line}\n"));
        let answer = session.answer();
        assert!(answer.starts_with('+'), "{answer}");
    };
    send("m,s=a v=1i 1700000000000000000");
    send("m,s=a v=2i 1700000000000000001");
    send("other v=1i 1700000000000000000");
    assert_eq!(server.query("DROP MEASUREMENT m"), [["2"]]);
    assert_eq!(server.query("SHOW MEASUREMENTS"), [["other"]]);
    // The same connection, the same series, another type.
    send("m,s=a v=\"x\" 1700000000000000000");
    let check = |server: &Server| {
        assert_eq!(server.query("SELECT v FROM m"), [["x"]]);
        assert_eq!(server.query("SELECT v FROM other"), [["1"]]);
        assert_eq!(
            server.query("SHOW FIELDS FROM m"),
            [["m", "v", "string", "null", "null"]]
        );
    };
    check(&server);
    for _ in 0..3 {
        server.kill();
        server = start(folder.path());
        check(&server);
        assert!(server.admin("checkpoint").ends_with("OK\n"));
    }
    let status = server.admin("status --json");
    assert!(status.contains("\"ok\""), "{status}");
    assert!(server.stop());
}
