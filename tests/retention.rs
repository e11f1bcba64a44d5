//! Retention classes of a real server: shown and changed at the admin port, kept to at the data port, there again
//! after a kill.

mod support;

use edgetime_protocol::client::{BatchOptions, BatchWriter, FieldValue};
use edgetime_protocol::error::Code;
use support::Server;

const ARGUMENTS: [&str; 3] = ["--no-self-monitor", "--clock", "follow-data"];
/// Time of the newest row, nanoseconds.
const NOW: u64 = 1_700_000_000_000_000_000;
const HOUR: u64 = 3_600_000_000_000;

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
    assert!(
        server
            .admin("retention set bulk raw_age=1h")
            .ends_with("OK\n")
    );
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
