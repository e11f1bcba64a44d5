//! Refused lines of a real server: listed, counted, written again, through restarts and kills.

mod support;

use std::fmt::Write as _;

use serde_json::Value;
use support::{Server, Text};

const OPTIONS: &[&str] = &["--no-self-monitor"];

fn start(folder: &std::path::Path, more: &[&str]) -> Server {
    Server::start(folder, &[OPTIONS, more].concat())
}

/// Sends lines and returns the codes of what was refused.
fn send(server: &Server, text: &[u8]) -> Vec<String> {
    let mut session: Text = server.text();
    session.send(text);
    session.send("#edge sync\n");
    let mut codes = Vec::new();
    loop {
        let answer = session.answer();
        if answer.starts_with("+synced") {
            return codes;
        }
        let code = answer.split(' ').nth(1);
        codes.push(code.expect("an answer").to_owned());
    }
}

/// An admin command's answer as JSON.
fn ask(server: &Server, command: &str) -> Value {
    let answer = server.admin(&format!("{command} --json"));
    let json = answer
        .strip_suffix("OK\n")
        .unwrap_or_else(|| panic!("{answer}"));
    serde_json::from_str(json).expect("JSON")
}

fn count(server: &Server, sql: &str) -> u64 {
    server
        .try_query("default", sql)
        .map_or(0, |rows| rows[0][0].parse().expect("a count"))
}

#[test]
fn refused_lines_are_listed_newest_first_with_all_their_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(folder.path(), &[]);
    let codes = send(
        &server,
        b"#edge precision s\nm v=\nm v=1 5\nm,t=\xff v=1\nm x\nm v=1 1700000000\n",
    );
    assert_eq!(codes.len(), 4, "{codes:?}");
    let answer = ask(&server, "rejected");
    let list = answer["rejected"].as_array().expect("a list");
    assert_eq!(list.len(), 4);
    let line = |line: u64| {
        let found = list.iter().find(|entry| entry["line"] == line);
        found.unwrap_or_else(|| panic!("{line}: {answer}"))
    };
    assert_eq!(line(2)["code"], "bad_value");
    assert_eq!(line(2)["precision"], "s");
    assert_eq!(line(3)["code"], "time_out_of_range");
    assert_eq!(line(3)["device"], "127.0.0.1");
    let offset = line(3)["offset_ns"].as_i64().expect("a number");
    let id = line(3)["id"].as_i64().expect("a number");
    assert_eq!(id + offset, 5_000_000_000);
    assert_eq!(line(4)["raw_base64"], "bSx0Pf8gdj0x");
    let newest = ask(&server, "rejected 1");
    assert_eq!(newest["rejected"].as_array().expect("a list").len(), 1);
    assert_eq!(answer["counts"]["bad_value"], 1);
    let text = server.admin("rejected");
    assert!(
        text.contains("bad_value 127.0.0.1:") && text.contains("line 2:"),
        "{text}"
    );
    assert!(
        server
            .admin("rejected @nowhere")
            .starts_with("ERR no_such_database")
    );
    assert!(
        server
            .admin("rejected replay 7")
            .starts_with("ERR unknown_id")
    );
    assert!(
        server
            .admin("rejected replay sometime")
            .starts_with("ERR bad_value")
    );
    assert!(server.admin("rejected 1 2").starts_with("ERR bad_command"));
}

#[test]
fn a_replay_writes_what_is_right_now_and_keeps_the_rest() {
    let folder = tempfile::tempdir().expect("a folder");
    // Times of 1990 are refused by default: an archive came too early.
    let server = start(folder.path(), &[]);
    let text = b"#edge db plant\n#edge precision s\nm,s=a v=1,t=\"two\nlines\" 631152000\nm,s=a v= 631152001\n\
        m,s=b v=2 631152002\n";
    assert_eq!(send(&server, text).len(), 3);
    let refused = ask(&server, "rejected @plant replay all");
    assert_eq!(refused["replayed"], 0);
    assert_eq!(refused["refused"]["time_out_of_range"], 2);
    assert_eq!(refused["refused"]["bad_value"], 1);
    assert!(server.stop());
    let server = start(folder.path(), &["--set", "engine.time_past_min_unix_s=0"]);
    let done = ask(&server, "rejected @plant replay time_out_of_range");
    assert_eq!(
        (&done["replayed"], &done["restamped"]),
        (&2.into(), &0.into())
    );
    let rows = server.try_query("plant", "SELECT time, s, v, t FROM m ORDER BY time");
    assert_eq!(
        rows.expect("answers"),
        [
            ["631152000000000000", "a", "1", "two\nlines"],
            ["631152002000000000", "b", "2", "null"]
        ]
    );
    let again = ask(&server, "rejected @plant replay all");
    assert_eq!(again["replayed"], 0);
    assert_eq!(again["refused"]["bad_value"], 1);
    let left = server.try_query("plant", "SELECT code, text FROM _rejected");
    assert_eq!(
        left.expect("answers"),
        [["bad_value", "m,s=a v= 631152001"]]
    );
    let id = ask(&server, "rejected @plant")["rejected"][0]["id"].to_string();
    let one = ask(&server, &format!("rejected @plant replay {id}"));
    assert_eq!(one["refused"]["bad_value"], 1);
}

#[test]
fn rows_of_a_clock_that_is_wrong_are_mended_by_what_was_learned_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(folder.path(), &["--set", "engine.clock_device_tag=host"]);
    let mut text = String::from("#edge precision ms\n");
    for i in 0..10 {
        // A device that began in 1970, and one that is years ahead.
        writeln!(text, "m,host=old v={i} {}", 1_000 + i).expect("memory");
        writeln!(text, "m,host=new v={i} {}", 4_000_000_000_000u64 + i).expect("memory");
    }
    // One whose clock cannot be told.
    writeln!(text, "m,host=odd v=1 77\nm,host=odd v=2 99999999").expect("memory");
    assert_eq!(send(&server, text.as_bytes()).len(), 22);
    let clocks = ask(&server, "rejected 0");
    let clocks = clocks["clocks"].as_array().expect("a list");
    let of = |device: &str| {
        let found = clocks.iter().find(|clock| clock["device"] == device);
        found.unwrap_or_else(|| panic!("{device}: {clocks:?}"))
    };
    assert_eq!(
        (&of("host=old")["rows"], &of("host=old")["stable"]),
        (&10.into(), &true.into())
    );
    assert!(of("host=old")["offset_ns"].as_i64().expect("a number") < -1_000_000_000_000_000_000);
    assert_eq!(of("host=odd")["stable"], false);
    let done = ask(&server, "rejected replay all");
    assert_eq!(
        (&done["replayed"], &done["restamped"]),
        (&20.into(), &20.into()),
        "{done}"
    );
    assert_eq!(done["refused"]["time_out_of_range"], 2);
    let why = done["examples"][0]["why"].as_str().expect("a reason");
    assert!(why.contains("host=odd: too few rows"), "{why}");
    let now = count(
        &server,
        "SELECT count(*) FROM m WHERE time > now() - interval '5 minutes' AND time < now() + interval '5 minutes'",
    );
    assert_eq!(now, 20);
    // The order and the distances are the device's own.
    let rows = server.query("SELECT time, v FROM m WHERE host = 'old' ORDER BY time");
    let times: Vec<i64> = rows
        .iter()
        .map(|row| row[0].parse().expect("a time"))
        .collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 1_000_000));
    assert_eq!((rows[0][1].as_str(), rows[9][1].as_str()), ("0", "9"));
}

#[test]
fn nobody_writes_among_the_refused_lines() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(folder.path(), &[]);
    assert_eq!(
        send(&server, b"_rejected,code=forged text=\"m v=1\"\n"),
        ["not_allowed"]
    );
    assert_eq!(
        server.query("SELECT code FROM _rejected"),
        [["not_allowed"]]
    );
}

#[test]
fn a_kill_in_the_middle_of_a_replay_writes_every_line_once() {
    const LINES: usize = 3_000;
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(folder.path(), &[]);
    let mut text = String::new();
    for i in 0..LINES {
        writeln!(text, "m,s=a v={i}i {}", 1_000 + i).expect("memory");
    }
    // Refusals of a peer that does not read them are not all sent.
    send(&server, text.as_bytes());
    assert_eq!(
        count(&server, "SELECT count(line) FROM _rejected"),
        LINES as u64
    );
    assert!(server.stop());
    let mended = ["--set", "engine.time_past_min_unix_s=0"];
    let mut left = LINES as u64;
    for round in 0..20 {
        let server = start(folder.path(), &mended);
        let rows = count(&server, "SELECT count(v) FROM m");
        let kept = count(&server, "SELECT count(line) FROM _rejected");
        assert_eq!(rows + kept, LINES as u64, "round {round}");
        assert!(kept <= left);
        left = kept;
        if kept == 0 {
            break;
        }
        std::thread::scope(|scope| {
            let asking = std::net::TcpStream::connect(server.admin).expect("listens");
            let mut command = &asking;
            std::io::Write::write_all(&mut command, b"rejected replay all\n").expect("sent");
            scope.spawn(|| {
                // More of it is done each round, and the last one may end.
                let goal = rows + (LINES as u64 / 8) * (1 + round);
                while goal < LINES as u64
                    && count(&server, "SELECT count(v) FROM m") < goal.min(LINES as u64)
                {
                    std::thread::yield_now();
                }
                if goal >= LINES as u64 {
                    ask(&server, "rejected replay all");
                }
            });
        });
        server.kill();
    }
    assert_eq!(left, 0);
    let server = start(folder.path(), &mended);
    let sum = server.query("SELECT sum(v), min(v), max(v), count(distinct v) FROM m");
    let expected: usize = (0..LINES).sum();
    assert_eq!(
        sum,
        [[
            expected.to_string(),
            "0".to_owned(),
            (LINES - 1).to_string(),
            LINES.to_string()
        ]]
    );
}

#[test]
fn rows_that_may_be_sent_again_are_not_kept_and_name_their_limit() {
    let folder = tempfile::tempdir().expect("a folder");
    let limits = [
        "--set",
        "limits.new_series_per_second_max=1",
        "--set",
        "limits.new_series_burst_max=3",
    ];
    let server = start(folder.path(), &limits);
    // One more comes each second, so that all of these could only in half a minute.
    let mut lines = String::from("#edge ack accepted\n");
    for series in 0..30 {
        writeln!(lines, "m,s={series} v=1").expect("memory");
    }
    let mut session = server.text();
    session.send(&lines);
    session.send("#edge ping\n");
    let mut busy = 0;
    loop {
        let answer = session.answer();
        if answer == "+pong" {
            break;
        }
        if answer.contains(" busy ") {
            assert!(
                answer.contains("limits.new_series_per_second_max = 1"),
                "{answer}"
            );
            busy += 1;
        }
    }
    assert!(busy > 0);
    let rows = count(&server, "SELECT count(*) FROM m");
    assert!(rows >= 3 && rows + busy == 30, "{rows} and {busy}");
    assert_eq!(count(&server, "SELECT count(*) FROM _rejected"), 0);
}
