//! Retention classes of a real server: shown and changed at the admin port, kept to at the data port, there again
//! after a kill.

mod support;

use edgetime_protocol::client::{
    BatchOptions, BatchWriter, Connection, ConnectionOptions, FieldValue,
};
use edgetime_protocol::error::Code;
use edgetime_protocol::message::QueryOptions;
use support::Server;

const ARGUMENTS: [&str; 3] = ["--no-self-monitor", "--clock", "follow-data"];
/// Time of the newest row, nanoseconds.
const NOW: u64 = 1_700_000_000_000_000_000;
const SECOND: u64 = 1_000_000_000;
const HOUR: u64 = 3_600 * SECOND;

fn run(server: &Server, command: &str) -> serde_json::Value {
    let answer = server.admin(&format!("{command} --json"));
    let body = answer.strip_suffix("OK\n");
    let body = body.unwrap_or_else(|| panic!("{command}: {answer}"));
    serde_json::from_str(body).expect("JSON")
}

#[test]
fn classes_are_changed_while_the_server_runs_and_outlast_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &ARGUMENTS);
    server.write(&format!("m,site=yard v=1 {NOW}\nm,site=roof v=1 {NOW}\n"));
    let old = NOW - 2 * HOUR;
    let mut session = server.text();
    session.send("#edge ack accepted\n");
    session.send(format!("m,site=yard v=2 {old}\n"));
    assert!(session.answer().ends_with(" 1"), "nothing is too old yet");
    // Without buckets, which would go on counting what is too old.
    for command in ["rollup set bulk none", "retention set bulk raw_age=1h"] {
        let set = server.admin(command);
        assert!(set.ends_with("OK\n"), "{set}");
    }
    let assigned = server.admin("retention set bulk for measurement=m tag.site=yard");
    assert!(
        assigned.contains("durable") && assigned.ends_with("OK\n"),
        "{assigned}"
    );
    // A connection that was there before keeps to it, too.
    session.send(format!("m,site=yard v=3 {}\n", old + 1));
    let refused = session.answer();
    assert!(refused.starts_with("-3 expired"), "{refused}");
    session.send(format!("m,site=roof v=3 {old}\n"));
    assert!(session.answer().ends_with(" 1"));
    // So does a batch of the binary protocol.
    let options = BatchOptions::default();
    let mut writer = BatchWriter::connect(server.data, options).expect("connects");
    let fields = [("v", FieldValue::Float(3.0))];
    for (site, number) in [("yard", 1), ("roof", 2)] {
        let time = Some(old as i64 + number);
        let pushed = writer.push("m", &[("site", site)], &fields, time, number as u64);
        pushed.expect("sent");
    }
    let report = writer.finish().expect("answered");
    let refused: Vec<_> = report
        .refused
        .iter()
        .map(|row| (row.tag, row.code))
        .collect();
    assert_eq!(refused, [(1, Some(Code::Expired))]);
    assert_eq!(report.rows, 1);
    let count = "SELECT site, count(v) FROM m GROUP BY site";
    assert_eq!(server.query(count), [["roof", "3"], ["yard", "1"]]);
    let before = run(&server, "retention");
    assert_eq!(before["classes"][2]["name"], "bulk");
    assert_eq!(before["classes"][2]["raw_age_s"], 3_600);
    assert_eq!(before["rules"][1]["tags"]["site"], "yard");
    let text = server.admin("retention show");
    assert!(
        text.contains("bulk for measurement=m tag.site=yard\n"),
        "{text}"
    );
    for (command, part) in [
        (
            "retention set none raw_age=1h",
            "ERR bad_value \"none\" is a new class",
        ),
        (
            "retention set bulk age=1h",
            "ERR bad_value \"age=1h\" is none of",
        ),
        (
            "retention set disk_bytes=1MB",
            "ERR bad_value a budget of 1000000 bytes",
        ),
        (
            "retention drop bulk",
            "ERR bad_value the class \"bulk\" cannot be dropped",
        ),
        (
            "retention unset tag.site=roof",
            "ERR bad_value there is no rule",
        ),
        (
            "retention set bulk for \"tag.site",
            "ERR bad_command a quote",
        ),
    ] {
        let answer = server.admin(command);
        assert!(answer.starts_with(part), "{command}: {answer}");
    }
    session.send("#edge sync\n");
    assert!(session.answer().starts_with("+synced "));
    server.kill();
    let server = Server::start(folder.path(), &ARGUMENTS);
    let after = run(&server, "retention");
    assert_eq!(after["rules"], before["rules"]);
    assert_eq!(after["classes"][2]["raw_age_s"], 3_600);
    assert!(
        server
            .admin("retention unset measurement=m tag.site=yard")
            .ends_with("OK\n")
    );
    assert_eq!(server.query(count), [["roof", "3"], ["yard", "2"]]);
    assert!(server.terminate());
}

#[test]
fn rows_that_left_are_counted_by_rollups_and_the_answer_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &ARGUMENTS);
    let rows: u64 = 5_000;
    let line = |number: u64| format!("m,site=yard v={number}i {}\n", NOW + number * SECOND);
    let lines: Vec<String> = (1..=rows).map(line).collect();
    server.write(&lines.concat());
    let set = server.admin("retention set normal rows_per_series=100");
    assert!(set.ends_with("OK\n"), "{set}");
    // Maintenance finds them within a second, and a checkpoint takes them out.
    let tiers = loop {
        server.admin("flush");
        server.admin("checkpoint");
        let known = run(&server, "rollup");
        let hours = &known["tiers"][2];
        if hours["buckets"].as_u64() > Some(0) {
            break known;
        }
    };
    assert_eq!(tiers["tiers"][0]["width_ns"], 10 * SECOND);
    let text = server.admin("rollup");
    assert!(
        text.starts_with("tier ") && text.contains("\n1h "),
        "{text}"
    );
    let total = (rows * (rows + 1) / 2).to_string();
    let sums = "SELECT count(v), sum(v), min(v), max(v) FROM m";
    let expected = [["5000", &total, "1", "5000"]];
    assert_eq!(server.query(sums), expected);
    let answer = server.admin(&format!("query {sums}"));
    assert!(answer.contains("\nwarning: from 2023-11-14T"), "{answer}");
    let mut client = Connection::connect(server.data, &ConnectionOptions::default()).expect("up");
    let warned = |client: &mut Connection, sql: &str, exact| {
        let options = QueryOptions {
            exact,
            ..QueryOptions::default()
        };
        let mut rows = client.query("", sql, options).expect("asked");
        let failed = rows.by_ref().find_map(Result::err);
        match failed {
            Some(error) => Err(error.to_string()),
            None => Ok(rows.end().map_or(0, |end| end.warnings.len())),
        }
    };
    assert_eq!(warned(&mut client, sums, false), Ok(1));
    let refused = warned(&mut client, sums, true).expect_err("rows have left");
    assert!(refused.contains("only rollups could answer"), "{refused}");
    let recent = format!("{sums} WHERE time > {}", NOW + (rows - 50) * SECOND);
    assert_eq!(warned(&mut client, &recent, true), Ok(0));
    let median = warned(&mut client, "SELECT median(v) FROM m", false);
    assert!(
        median
            .expect_err("no tier has it")
            .contains("rollups know only")
    );
    server.kill();
    let server = Server::start(folder.path(), &ARGUMENTS);
    assert_eq!(server.query(sums), expected);
    assert!(server.terminate());
}

#[test]
fn an_archive_is_a_store_with_the_rows_that_left() {
    let folder = tempfile::tempdir().expect("a folder");
    let (own, archive) = (folder.path().join("own"), folder.path().join("archive"));
    let option = format!("archive.path={}", archive.display());
    let arguments = [&ARGUMENTS[..], &["--set", &option]].concat();
    let server = Server::start(&own, &arguments);
    let rows = 6_000;
    let line = |number: u64| format!("m,site=yard v={number}i {}\n", NOW + number * SECOND);
    let lines: Vec<String> = (1..=rows).map(line).collect();
    server.write(&lines.concat());
    for command in [
        "rollup set normal none",
        "retention set normal rows_per_series=1000",
    ] {
        let set = server.admin(command);
        assert!(set.ends_with("OK\n"), "{set}");
    }
    let archived = loop {
        let status = run(&server, "status");
        let evicted = status["ledger"]["evicted"].as_u64();
        if evicted > Some(4_000) {
            break status["archive"].clone();
        }
    };
    assert!(archived["rows"].as_u64() > Some(4_000), "{archived}");
    assert_eq!(archived["lost_rows"], 0);
    let sums = "SELECT count(v), sum(v) FROM m";
    let numbers = |server: &Server| -> Vec<u64> {
        let found = server.query(sums);
        found[0]
            .iter()
            .map(|cell| cell.parse().expect("a number"))
            .collect()
    };
    let left = numbers(&server);
    server.kill();
    let server = Server::start(&archive, &ARGUMENTS);
    let gone = numbers(&server);
    assert_eq!(
        [left[0] + gone[0], left[1] + gone[1]],
        [rows, rows * (rows + 1) / 2]
    );
    assert!(server.terminate());
}
