//! Schemas that evolve: fields that come, go and change their type; modes, declarations and history, over restarts.

mod support;

use std::fmt::Write as _;
use std::path::Path;

use support::{Server, Text};

const START_NS: u64 = 1_700_000_000_000_000_000;

fn start(folder: &Path) -> Server {
    Server::start(folder, &["--no-self-monitor"])
}

fn admin(server: &Server, command: &str) -> String {
    let answer = server.admin(command);
    assert!(answer.ends_with("OK\n"), "{command}: {answer}");
    answer
}

/// Sends lines; the codes of those that were refused, by line.
fn refused(session: &mut Text, lines: &[&str]) -> Vec<(usize, String)> {
    let mut text = String::from("#edge ack accepted\n");
    for line in lines {
        writeln!(text, "{line}").expect("memory");
    }
    session.send(&text);
    session.send("#edge ping\n");
    let (mut codes, mut rows) = (Vec::new(), 0);
    loop {
        let answer = session.answer();
        let words: Vec<&str> = answer.splitn(3, ' ').collect();
        match answer.as_bytes()[0] {
            _ if answer == "+pong" => break,
            b'+' => rows += words[1].parse::<usize>().expect("a number"),
            _ => codes.push((words[0].len(), words[1].to_owned())),
        }
    }
    assert_eq!(rows + codes.len(), lines.len());
    codes
}

fn codes(server: &Server, lines: &[&str]) -> Vec<String> {
    let found = refused(&mut server.text(), lines);
    found.into_iter().map(|(_, code)| code).collect()
}

#[test]
fn a_field_may_appear_widen_and_contradict_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = start(folder.path());
    let mut session = server.text();
    let lines = [
        "m n=1i 1",
        "m n=2.5,new=7u 2",
        "m n=9007199254740991i,new=-1i 3",
        "m n=4u 4",
        "m n=\"err\" 5",
        "m n=true 6",
        "m flag=t,word=\"a\" 7",
        "m flag=\"no\" 8",
    ];
    let timed: Vec<String> = lines
        .iter()
        .map(|line| {
            let (line, time) = line.rsplit_once(' ').expect("a time");
            format!("{line} 170000000000000000{time}")
        })
        .collect();
    let timed: Vec<&str> = timed.iter().map(String::as_str).collect();
    assert_eq!(refused(&mut session, &timed), []);
    let check = |server: &Server| {
        let column = |sql: &str| -> Vec<String> {
            let rows = server.query(&format!("SELECT {sql} FROM m ORDER BY time"));
            rows.into_iter().map(|row| row.join(" ")).collect()
        };
        let null = "null";
        let expected = ["1", "2.5", "9007199254740991", "4", null, null, null, null];
        assert_eq!(column("n"), expected);
        let expected = [null, "7", "-1", null, null, null, null, null];
        assert_eq!(column("new"), expected);
        let strings = column("n::string");
        assert_eq!((&*strings[4], &*strings[3]), ("err", null));
        assert_eq!(column("n::boolean")[5], "true");
        assert_eq!(column("n::integer")[2], "9007199254740991");
        assert_eq!(column("n::unsigned")[3], "4");
        assert_eq!(column("n::float")[..2], ["null", "2.5"]);
        assert_eq!(
            server.query("SELECT count(n), min(n), max(n), count(n::string) FROM m"),
            [["4", "1", "9007199254740991", "1"]]
        );
        assert_eq!(
            server.query("SELECT avg(n) FROM m WHERE n < 100"),
            [["2.5"]]
        );
        // No lane of it is a number: the plain name has none to mean.
        let error = server.try_query("default", "SELECT flag FROM m");
        assert!(
            error.as_ref().is_err_and(|e| e.contains("flag::")),
            "{error:?}"
        );
        assert_eq!(column("flag::boolean")[6], "true");
        assert_eq!(column("flag::string")[7], "no");
    };
    check(&server);
    for command in ["flush", "checkpoint", "checkpoint"] {
        admin(&server, command);
        check(&server);
        server.kill();
        server = start(folder.path());
        check(&server);
    }
}

#[test]
fn each_mode_refuses_what_it_says_row_by_row() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(folder.path());
    let mut session = server.text();
    assert_eq!(refused(&mut session, &["air,room=a t=21.5,s=\"ok\""]), []);
    // A session that knows its series and layouts already.
    admin(&server, "schema air set mode additive");
    let lines = [
        "air,room=a t=22.5,s=\"ok\"",
        "air,room=a t=\"err\"",
        "air,room=a t=23i",
        "air,room=b t=1,s=1",
        "air,room=a t=24,hum=48i",
        "air,room=a hum=true",
    ];
    let codes_of = |session: &mut Text, lines: &[&str]| -> Vec<String> {
        let found = refused(session, lines);
        found.into_iter().map(|(_, code)| code).collect()
    };
    assert_eq!(codes_of(&mut session, &lines), ["type_conflict"; 3]);
    assert_eq!(
        server.query("SELECT count(t), count(hum) FROM air"),
        [["4", "1"]]
    );
    // What was refused made no series.
    assert_eq!(server.query("SHOW SERIES FROM air"), [["air", "room=a"]]);

    admin(
        &server,
        "schema air field t type float unit °C min -40 max 84.5",
    );
    admin(&server, "schema air field hum type integer min 0 max 100");
    admin(&server, "schema air set mode strict");
    let lines = [
        "air,room=a t=-40,hum=100i",
        "air,room=a t=84.51",
        "air,room=c t=85i",
        "air,room=a hum=-1i",
        "air,room=a hum=50.0",
        "air,room=a t=20,s=\"ok\"",
        "air,room=a t=84i",
        "air,room=a hum=100u",
    ];
    let expected = [
        "out_of_range",
        "out_of_range",
        "out_of_range",
        "type_conflict",
        "field_not_declared",
        "type_conflict",
    ];
    assert_eq!(codes_of(&mut session, &lines), expected);
    assert_eq!(
        codes(&server, &lines),
        expected,
        "a session that knows nothing"
    );
    let kept = server.query("SELECT code, count(text) FROM _rejected GROUP BY code ORDER BY code");
    let expected = [
        ["field_not_declared", "2"],
        ["out_of_range", "6"],
        ["type_conflict", "7"],
    ];
    assert_eq!(kept, expected);
    let said = server.query("SELECT message FROM _rejected WHERE text LIKE '%84.51%' LIMIT 1");
    assert_eq!(said, [["field \"t\": 84.51 is not between -40 and 84.5"]]);

    admin(&server, "schema air set mode open");
    assert_eq!(codes_of(&mut session, &lines), [""; 0]);
}

#[test]
fn rules_survive_kills_checkpoints_backups_and_the_loss_of_the_index() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let mut server = start(&data);
    admin(
        &server,
        "schema pump field rpm type integer unit 1/min description \"of the \\\"shaft\\\"\" min 0 max 6000",
    );
    admin(&server, "schema pump field note");
    admin(&server, "schema pump field gone unit x");
    admin(&server, "schema pump set mode strict");
    admin(&server, "schema pump forget gone");
    admin(&server, "schema pump field rpm max 5000");
    let lines = [
        "pump rpm=5000i",
        "pump rpm=5001i",
        "pump gone=1",
        "pump note=\"x\"",
    ];
    let check = |server: &Server| {
        assert_eq!(
            codes(server, &lines),
            ["out_of_range", "field_not_declared"]
        );
        let shown = server.query("SHOW FIELDS FROM pump");
        let rpm = ["pump", "rpm", "integer", "1/min", "of the \"shaft\""];
        assert_eq!(shown, [rpm, ["pump", "note", "string", "null", "null"]]);
        let json = admin(server, "schema pump --json");
        let json = json.lines().next().expect("a line");
        let json: serde_json::Value = serde_json::from_str(json).expect("JSON");
        assert_eq!(json["mode"], "strict");
        let field = &json["fields"][0];
        assert_eq!(
            (&field["field"], &field["declared"]),
            (&"rpm".into(), &"integer".into())
        );
        assert_eq!(
            (&field["min"], &field["max"]),
            (&0.0.into(), &5000.0.into())
        );
        assert_eq!(json["fields"][1]["declared"], "any");
    };
    check(&server);
    for round in 0..3 {
        server.kill();
        if round == 2 {
            std::fs::remove_file(data.join("meta.sqlite")).expect("is there");
        }
        server = start(&data);
        check(&server);
        admin(&server, "checkpoint");
    }
    let copy = folder.path().join("copy");
    admin(&server, &format!("backup {}", copy.display()));
    check(&start(&copy));
    assert!(server.stop());
    // The index has them, too.
    let index = rusqlite::Connection::open(data.join("meta.sqlite")).expect("opens");
    let found: (String, i64, f64) = index
        .query_row(
            "SELECT f.unit, m.mode, f.max FROM fields f JOIN measurements m ON m.id = f.measurement
            WHERE m.name = 'pump' AND f.name = 'rpm'",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .expect("is there");
    assert_eq!(found, ("1/min".to_owned(), 2, 5000.0));
    let rows: i64 = index
        .query_row("SELECT count(*) FROM fields", [], |row| row.get(0))
        .expect("counts");
    assert_eq!(rows, 2);
    // What is dropped takes its rules along.
    let server = start(&data);
    server.query("DROP MEASUREMENT pump");
    assert_eq!(codes(&server, &lines), [""; 0]);
}

#[test]
fn changes_that_cannot_be_are_refused_with_a_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(folder.path());
    for (command, said) in [
        ("schema", "ERR bad_command name a measurement"),
        (
            "schema nothing",
            "ERR unknown_measurement there is no measurement \"nothing\"",
        ),
        (
            "schema m set mode loose",
            "ERR bad_value there is no mode \"loose\"",
        ),
        ("schema m set", "ERR bad_command use: set mode MODE"),
        ("schema m field", "ERR bad_command"),
        (
            "schema m field f type number",
            "ERR bad_value there is no type \"number\"",
        ),
        (
            "schema m field f min low",
            "ERR bad_value min is a number or none, not \"low\"",
        ),
        ("schema m field f min nan", "ERR bad_value min is a number"),
        (
            "schema m field f min",
            "ERR bad_command \"min\" has no value",
        ),
        (
            "schema m field f size 3",
            "ERR bad_command there is no property \"size\"",
        ),
        (
            "schema m field f min 2 max 1",
            "ERR bad_value no value is at least 2 and at most 1",
        ),
        (
            "schema m field f type string min 2",
            "ERR bad_value values of type string have no range",
        ),
        ("schema m field \"f", "ERR bad_command a quote is left open"),
        (
            "schema m forget f",
            "ERR unknown_column nothing is declared of field \"f\"",
        ),
        (
            "schema elsewhere m set mode strict",
            "ERR bad_value there is no database \"elsewhere\"",
        ),
        (
            "schema _rejected set mode strict",
            "ERR bad_value rejected lines are always kept",
        ),
    ] {
        let answer = server.admin(command);
        assert!(answer.starts_with(said), "{command}: {answer}");
    }
    let long = "x".repeat(65);
    let answer = server.admin(&format!("schema m field f unit {long}"));
    assert!(
        answer.starts_with("ERR bad_value a unit has at most 64 bytes"),
        "{answer}"
    );
    let help = admin(&server, "help schema");
    assert!(help.contains("set mode strict"), "{help}");
}

/// The lanes of a measurement: field, type, rows, first and last time.
fn history(server: &Server) -> Vec<Vec<String>> {
    let rows = server.query("SHOW SCHEMA FROM m");
    let fields = rows.into_iter().filter(|row| row[2] == "field");
    fields
        .map(|row| {
            let [_, name, _, kind, ..] = &row[..] else {
                panic!("columns")
            };
            let [first, last, count] = &row[9..12] else {
                panic!("columns")
            };
            [name, kind, count, first, last].map(String::clone).to_vec()
        })
        .collect()
}

#[test]
fn the_history_of_lanes_survives_everything() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let mut server = start(&data);
    let mut text = String::new();
    let at = |i: u64| START_NS + i * 1000;
    for i in 0..5_000 {
        let (time, host) = (at(i), i % 3);
        // In the middle of a chunk a string comes, and later an integer beside it.
        let value = match i {
            2_500..2_510 => format!("\"bad {i}\""),
            3_000.. => format!("{i}i"),
            _ => format!("{i}.5"),
        };
        write!(text, "m,host=h{host} v={value}").expect("memory");
        if (100..4_900).contains(&i) && i % 2 == 0 {
            write!(text, ",extra=t").expect("memory");
        }
        writeln!(text, " {time}").expect("memory");
    }
    server.write(&text);
    let lane = |name: &str, kind: &str, rows: u64, first: u64, last: u64| -> Vec<String> {
        let [rows, first, last] = [rows, at(first), at(last)].map(|n| n.to_string());
        vec![name.to_owned(), kind.to_owned(), rows, first, last]
    };
    let mut expected = vec![
        lane("v", "float", 2_990, 0, 2_999),
        lane("extra", "boolean", 2_400, 100, 4_898),
        lane("v", "string", 10, 2_500, 2_509),
        lane("v", "integer", 2_000, 3_000, 4_999),
    ];
    assert_eq!(history(&server), expected);
    for round in 0..4 {
        if round % 2 == 1 {
            admin(&server, "checkpoint");
            assert_eq!(history(&server), expected, "round {round}");
        }
        if round == 2 {
            assert!(server.stop());
        } else {
            server.kill();
        }
        server = start(&data);
        assert_eq!(history(&server), expected, "round {round}");
        // More rows; one of them is older than all that are there.
        let (late, new) = (START_NS - 1 - round, at(5_000 + round));
        server.write(&format!("m,host=h1 v=1.5 {late}\nm,host=h1 v=7i {new}\n"));
        expected[0][2] = (2_991 + round).to_string();
        expected[0][3] = late.to_string();
        expected[3][2] = (2_001 + round).to_string();
        expected[3][4] = new.to_string();
        assert_eq!(history(&server), expected, "round {round}");
    }
    // What is deleted was there: history keeps it, once a block file has had it.
    admin(&server, "flush");
    admin(&server, "checkpoint");
    server.query("DELETE FROM m WHERE host = 'h1'");
    admin(&server, "checkpoint");
    server.kill();
    server = start(&data);
    assert_eq!(history(&server), expected);
    let copy = folder.path().join("copy");
    admin(&server, &format!("backup {}", copy.display()));
    assert_eq!(history(&start(&copy)), expected);
}
