//! The data port, the admin port and UDP of a real server, as clients and sensors use them.

mod support;

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream, UdpSocket};

use support::{Server, Text};

fn server() -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(
        folder.path(),
        &["--no-self-monitor", "--udp", "127.0.0.1:0"],
    );
    (folder, server)
}

/// Answers until `rows` are acknowledged: the sum, and the refused lines with their codes.
fn answers(session: &mut Text, lines: u64) -> (u64, Vec<(u64, String)>) {
    let (mut rows, mut refused) = (0, Vec::new());
    while rows + (refused.len() as u64) < lines {
        let answer = session.answer();
        let mut words = answer[1..].split(' ');
        match answer.as_bytes()[0] {
            b'+' => {
                let position: u64 = words
                    .next()
                    .expect("a position")
                    .parse()
                    .expect("a position");
                assert!(position > 0);
                rows += words.next().expect("rows").parse::<u64>().expect("rows");
            }
            b'-' => {
                let line = words.next().expect("a line").parse().expect("a line");
                refused.push((line, words.next().expect("a code").to_owned()));
            }
            _ => panic!("{answer}"),
        }
    }
    (rows, refused)
}

#[test]
fn a_line_in_is_a_row_out() {
    let (_folder, server) = server();
    server.write("weather,site=roof temperature=21.3,humidity=48i\n");
    let rows = server.query("SELECT site, temperature, humidity FROM weather");
    assert_eq!(rows, [["roof", "21.3", "48"]]);
    let (columns, _) = server
        .batches("", "SELECT * FROM weather")
        .expect("no name is the default database");
    let names: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["time", "site", "temperature", "humidity"]);
    assert!(server.terminate());
}

#[test]
fn every_line_is_covered_once_and_a_bad_one_costs_itself_alone() {
    let (_folder, server) = server();
    let bad = [
        "no_fields",
        "m v=",
        "m v=1 12x",
        "m, v=1",
        "m,a v=1",
        "m,a= v=1",
        "m v=1.2.3",
        "m v=99999999999999999999i",
        "m v=-1u",
        "m v=\"open",
        "m v=1i 99999999999999999999",
        "m v=tru",
        "m v=1 1700000000000000000 extra",
        ",a=b v=1",
        "m v=0x10",
        "m v=1,=2",
        "m v=1,w",
        "m,a=1,a=2 v=1",
        "m v=1 1",
        "#edge nonsense",
    ];
    let mut text = String::from("#edge ack accepted\n");
    for (i, bad) in bad.iter().enumerate() {
        let time = 1_700_000_000_000_000_000 + i as u64;
        writeln!(text, "good value={i}i {time}\n{bad}").expect("memory");
    }
    text.push_str("good value=1000i 1700000000000001000\n");
    let mut session = server.text();
    session.send(&text);
    session.finish();
    let (rows, refused) = answers(&mut session, 2 * bad.len() as u64 + 1);
    assert_eq!(rows as usize, bad.len() + 1);
    let lines: Vec<u64> = refused.iter().map(|(line, _)| *line).collect();
    let mut sorted = lines.clone();
    sorted.sort_unstable();
    let expected: Vec<u64> = (0..bad.len() as u64).map(|i| 3 + 2 * i).collect();
    assert_eq!(sorted, expected, "{refused:?}");
    assert_eq!(
        server.query("SELECT count(value) FROM good"),
        [[(bad.len() + 1).to_string()]]
    );
    let kept = server.query("SELECT line, text FROM _rejected ORDER BY line");
    assert_eq!(kept.len(), bad.len());
    assert_eq!(kept[0], ["3", "no_fields"]);
}

#[test]
fn a_quoted_string_may_hold_newlines_and_a_slow_sender_may_drip() {
    let (_folder, server) = server();
    let mut session = server.text();
    session.send("#edge ack durable\n");
    for byte in "note text=\"two\nlines, \\\"quoted\\\"\" 1700000000000000000\n".as_bytes() {
        session.send([*byte]);
    }
    assert_eq!(answers(&mut session, 1), (1, vec![]));
    assert_eq!(
        server.query("SELECT text FROM note"),
        [["two\nlines, \"quoted\""]]
    );
}

#[test]
fn a_line_that_broke_off_is_no_row() {
    let (_folder, server) = server();
    for is_broken in [true, false] {
        let mut stream = TcpStream::connect(server.data).expect("listens");
        let lines =
            format!("broken\nm,b={is_broken} v=1 1700000000000000000\nm,b={is_broken} v=22");
        stream.write_all(lines.as_bytes()).expect("writable");
        // To close it with an answer that was not read breaks a connection, and does not end it.
        assert_eq!(stream.peek(&mut [0]).expect("an answer"), 1);
        if !is_broken {
            stream.shutdown(Shutdown::Write).expect("connected");
            stream.read_to_end(&mut Vec::new()).expect("answers");
        }
        drop(stream);
        // That connection is gone, and what it had is written or is not.
        while server.admin("clients").contains("data") {
            std::thread::yield_now();
        }
    }
    let rows = server.query("SELECT b, v FROM m ORDER BY b, v");
    assert_eq!(rows, [["false", "1"], ["false", "22"], ["true", "1"]]);
}

#[test]
fn directives_choose_database_precision_and_answers() {
    let (_folder, server) = server();
    let mut session = server.text();
    session.send("#edge ping\n");
    assert_eq!(session.answer(), "+pong");
    session.send("# a comment\n#edge db plant\n#edge precision s\nm v=1 1700000000\n#edge sync\n");
    assert!(session.answer().starts_with("+synced "));
    session
        .send("#edge precision ms\nm v=2 1700000001000\n#edge ack durable\nm v=3 1700000002000\n");
    let answer = session.answer();
    assert!(
        answer.starts_with('+') && answer.ends_with(" 1"),
        "{answer}"
    );
    let rows = server
        .try_query("plant", "SELECT time, v FROM m")
        .expect("answers");
    let times: Vec<_> = rows.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(
        times,
        [
            "1700000000000000000",
            "1700000001000000000",
            "1700000002000000000"
        ]
    );
    assert!(server.try_query("default", "SELECT * FROM m").is_err());
    session.send("#edge db bad/name\n");
    assert!(session.answer().contains("bad_database_name"));
}

#[test]
fn writers_that_never_read_are_never_waited_for() {
    let (_folder, server) = server();
    let mut session = server.text();
    let line = format!("broken {}\n", "x".repeat(200));
    for _ in 0..200 {
        session.send(line.repeat(100));
    }
    session.send("m v=1i 1700000000000000000\n");
    session.finish();
    while session.answer().starts_with('-') {}
    assert_eq!(server.query("SELECT v FROM m"), [["1"]]);
    let status = server.admin("status --json");
    assert!(status.contains("\"rejected\":20000"), "{status}");
}

#[test]
fn a_writer_that_takes_no_answer_at_all_is_not_waited_for() {
    let (_folder, server) = server();
    let mut session = server.text();
    // More answers than the sockets' buffers hold.
    for _ in 0..1_000 {
        session.send("x\n".repeat(150));
    }
    session.send("m v=1i 1700000000000000000\n");
    let seen = || {
        server
            .try_query("default", "SELECT v FROM m")
            .is_ok_and(|rows| rows == [["1"]])
    };
    while !seen() {
        std::thread::yield_now();
    }
}

#[test]
fn the_same_row_again_changes_only_the_fields_it_has() {
    let (_folder, server) = server();
    server.write("m,t=a x=1,y=\"one\" 1700000000000000000\nm,t=a x=2 1700000000000000000\n");
    server.write("m,t=a y=\"two\" 1700000000000000000\nm,t=a z=true 1600000000000000000\n");
    let rows = server.query("SELECT time, x, y, z FROM m");
    assert_eq!(
        rows,
        [
            ["1600000000000000000", "null", "null", "true"],
            ["1700000000000000000", "2", "two", "null"],
        ]
    );
}

#[test]
fn rows_without_a_time_rise_within_their_series() {
    let (_folder, server) = server();
    server.write(&"m v=1i\n".repeat(500));
    assert_eq!(server.query("SELECT count(*) FROM m"), [["500"]]);
}

#[test]
fn times_that_no_device_can_have_are_refused() {
    let (_folder, server) = server();
    let mut session = server.text();
    session.send(
        "#edge ack accepted\nm v=1 4000000000000000000\nm v=1 1000\nm v=1 1700000000000000000\n",
    );
    let (rows, refused) = answers(&mut session, 3);
    let codes: Vec<_> = refused.iter().map(|(_, code)| code.as_str()).collect();
    assert_eq!(
        (rows, codes),
        (1, vec!["time_in_future", "time_out_of_range"])
    );
    let kept = server.query("SELECT code, line FROM _rejected ORDER BY line");
    assert_eq!(kept, [["time_in_future", "2"], ["time_out_of_range", "3"]]);
}

#[test]
fn datagrams_are_lines_too() {
    let (_folder, server) = server();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let to = server.udp.expect("asked for");
    // A datagram may be lost: it is sent until it is seen.
    let seen = (0..200).any(|i| {
        let text = format!("u v=1i {}\nu broken\n", 1_700_000_000_000_000_000u64 + i);
        socket.send_to(text.as_bytes(), to).expect("sent");
        server
            .try_query("default", "SELECT count(v) FROM u")
            .is_ok_and(|rows| rows[0][0] != "0")
    });
    assert!(seen, "no datagram was stored");
}

#[test]
fn a_restart_keeps_everything_and_a_second_server_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &["--no-self-monitor"]);
    let mut lines = String::new();
    for i in 0..5_000u64 {
        let (series, text, time) = (i % 7, i % 3, 1_700_000_000_000_000_000 + i * 1_000);
        writeln!(lines, "m,s=s{series} v={i}.5,w=\"t{text}\" {time}").expect("memory");
    }
    server.write(&lines);
    let sql = "SELECT s, count(*), sum(v), min(w), max(v), first(v), last(v) FROM m GROUP BY s ORDER BY s";
    let before = server.query(sql);
    let refused = Server::try_start(folder.path(), &[])
        .err()
        .expect("refused");
    assert!(
        refused.contains("another") || refused.contains("in use"),
        "{refused}"
    );
    assert_eq!(refused.trim().lines().count(), 1, "{refused}");
    assert!(server.stop());
    let server = Server::start(folder.path(), &["--no-self-monitor"]);
    assert_eq!(server.query(sql), before);
    server.admin("flush");
    server.admin("checkpoint");
    assert_eq!(server.query(sql), before);
    server.kill();
    let server = Server::start(folder.path(), &["--no-self-monitor"]);
    assert_eq!(server.query(sql), before);
    assert!(server.admin("status --json").contains("\"state\":\"ok\""));
}

#[test]
fn what_cannot_start_says_why_in_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("taken"), &[]);
    let (taken, free) = (server.data.to_string(), "127.0.0.1:0");
    let data = folder.path().join("data");
    let data = data.to_str().expect("text");
    let folder_of_kernel = "/proc/no-such-folder";
    let cases: [(&[&str], &str); 5] = [
        (
            &["--data-dir", data, "--listen", &taken, "--admin", free],
            &taken,
        ),
        (
            &[
                "--data-dir",
                folder_of_kernel,
                "--listen",
                free,
                "--admin",
                free,
            ],
            folder_of_kernel,
        ),
        (
            &["--data-dir", data, "--set", "log.sync_policy=sometimes"],
            "sync_policy",
        ),
        (&["--data-dir", data, "--listen", "0.0.0.0:0"], "0.0.0.0:0"),
        (
            &["--data-dir", data, "--config", "/no/such/file"],
            "/no/such/file",
        ),
    ];
    for (arguments, word) in cases {
        let arguments: Vec<&str> = ["serve"].iter().chain(arguments).copied().collect();
        let output = support::run(&arguments, b"");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
        assert!(error.contains(word), "{arguments:?}: {error}");
        assert_eq!(error.trim().lines().count(), 1, "{error}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn the_admin_port_answers_every_command() {
    let (_folder, server) = server();
    server.write("weather,site=roof temperature=21.3\n");
    for (command, expected) in [
        ("ping", "pong"),
        ("version", "edgetimedb"),
        ("help", "checkpoint"),
        ("status", "state: ok"),
        ("stats log", "bytes_appended"),
        ("databases", "default"),
        ("measurements", "weather"),
        ("series weather", "weather,site=roof"),
        ("schema weather", "temperature"),
        ("query SELECT temperature FROM weather", "21.3"),
        ("flush", "durable"),
        ("checkpoint", "chunks"),
        ("clients", "admin"),
        ("log-level warn", "OK"),
    ] {
        let text = server.admin(command);
        assert!(
            text.ends_with("OK\n") && text.contains(expected),
            "{command}: {text}"
        );
        if command != "help" && command != "log-level warn" {
            let json = server.admin(&format!("{command} --json"));
            let body = json.strip_suffix("OK\n").expect("closed by OK").trim();
            assert!(
                body.starts_with('{') || body.starts_with('['),
                "{command}: {json}"
            );
        }
    }
    assert!(server.admin("nonsense").starts_with("ERR unknown_command"));
    assert!(
        server
            .admin("query SELECT nothing FROM nowhere")
            .starts_with("ERR ")
    );
    assert!(server.stop());
}

#[test]
fn rows_behind_a_refused_database_land_in_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = ["--no-self-monitor", "--set", "limits.databases_max=2"];
    let server = Server::start(folder.path(), &arguments);
    let mut session = server.text();
    let time = 1_700_000_000_000_000_000u64;
    session.send(format!(
        "#edge ack accepted\n#edge db two\nm v=1i {time}\n#edge db three\nm v=2i {time}\n"
    ));
    session.send(format!(
        "#edge db bad/name\nm v=3i {time}\n#edge db two\nm w=4i {time}\n"
    ));
    session.finish();
    let (rows, refused) = answers(&mut session, 6);
    let codes: Vec<_> = refused
        .iter()
        .map(|(line, code)| (*line, code.as_str()))
        .collect();
    let bad = "bad_database_name";
    assert_eq!(rows, 2);
    assert_eq!(codes, [(4, "too_many_names"), (5, bad), (6, bad), (7, bad)]);
    let found = server
        .try_query("two", "SELECT v, w FROM m")
        .expect("answers");
    assert_eq!(found, [["1", "4"]]);
}

#[test]
fn a_sync_is_answered_whoever_made_it_true() {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = ["--no-self-monitor", "--set", "log.sync_policy=os"];
    let server = Server::start(folder.path(), &arguments);
    let mut session = server.text();
    session.send("#edge ack accepted\nm v=1i 1700000000000000000\n");
    assert!(session.answer().ends_with(" 1"));
    assert!(server.admin("checkpoint").ends_with("OK\n"));
    session.send("#edge sync\n");
    assert!(session.answer().starts_with("+synced "));
}
