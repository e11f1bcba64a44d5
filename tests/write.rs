//! `edgetime write`: lines become binary batches that mean what the lines mean, over connections that break too.

mod support;

use std::fmt::Write as _;

use support::proxy::FaultProxy;
use support::{Server, run};

const T: u64 = 1_700_000_000_000_000_000;

fn server() -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &["--no-self-monitor"]);
    (folder, server)
}

fn write(address: std::net::SocketAddr, arguments: &[&str], text: &str) -> (Option<i32>, String) {
    let address = address.to_string();
    let mut all = vec!["write", "--addr", &address];
    all.extend_from_slice(arguments);
    let output = run(&all, text.as_bytes());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said)
}

/// What a text session makes of the same lines.
fn by_text(server: &Server, database: &str, text: &str) {
    let mut session = server.text();
    session.send(format!("#edge db {database}\n{text}\n#edge sync\n"));
    while !session.answer().starts_with("+synced") {}
}

#[test]
fn rows_are_those_that_a_text_session_makes() {
    let (_folder, server) = server();
    let mut text = String::new();
    // Types that change, rows that are overwritten, late ones, several measurements, escapes.
    for row in 0..3_000u64 {
        let time = T + row * 7_919 % 1_000;
        let tag = row % 5;
        match row % 7 {
            0 => writeln!(text, "m,t={tag} v={row} {time}"),
            1 => writeln!(text, "m,t={tag} v=\"s\\\"{row}\" {time}"),
            2 => writeln!(text, "m,t={tag} v={row}i,w=t {time}"),
            3 => writeln!(text, "m,t={tag} w=f,x={}.25 {time}", row / 4),
            4 => writeln!(text, "n\\ 1,a\\ b=c\\,d,t={tag} f\\ g={row}u {time}"),
            5 => writeln!(text, "m,t={tag} x={row}e-3,v={row} {time}"),
            _ => writeln!(text, "# a comment\r\n"),
        }
        .expect("memory");
    }
    by_text(&server, "text", &text);
    let (status, said) = write(server.data, &["--db", "binary"], &text);
    assert_eq!(status, Some(0), "{said}");
    for sql in [
        "SELECT * FROM m ORDER BY time, t",
        "SELECT * FROM \"n 1\" ORDER BY time, t",
    ] {
        let rows = server.try_query("text", sql).expect("answers");
        assert!(rows.len() > 400);
        assert_eq!(server.try_query("binary", sql).expect("answers"), rows);
    }
}

#[test]
fn rows_without_times_keep_their_order_and_directives_count() {
    let (_folder, server) = server();
    let mut text = String::new();
    for row in 0..500 {
        let field = if row % 3 == 0 { "a" } else { "b" };
        writeln!(text, "m n={row}i,{field}=1").expect("memory");
    }
    text.push_str("#edge db other\n#edge precision s\nm n=7i 1700000000\n");
    let (status, said) = write(server.data, &[], &text);
    assert_eq!(status, Some(0), "{said}");
    let rows = server.query("SELECT n FROM m ORDER BY time");
    let found: Vec<u32> = rows
        .iter()
        .map(|row| row[0].parse().expect("a number"))
        .collect();
    assert_eq!(found, (0..500).collect::<Vec<_>>());
    let other = server.try_query("other", "SELECT time, n FROM m");
    assert_eq!(other.expect("answers"), [[T.to_string(), "7".to_owned()]]);
}

#[test]
fn lines_that_are_none_are_named_and_kept() {
    let (folder, server) = server();
    let file = folder.path().join("lines.txt");
    let text = "m v=1 1700000000000000000\nbroken\nm v= 5\nm,a=1,a=2 v=1\nm v=2 5\nm v=\"open";
    std::fs::write(&file, text).expect("writable");
    let name = file.display().to_string();
    let (status, said) = write(server.data, &[&name], "");
    assert_eq!(status, Some(1));
    for (line, code) in [
        (2, "bad_syntax"),
        (3, "bad_value"),
        (4, "duplicate_tag"),
        (5, "time_out_of_range"),
        (6, "bad_syntax"),
    ] {
        assert!(said.contains(&format!("{name}:{line}: {code}")), "{said}");
    }
    assert!(said.contains("5 lines rejected"), "{said}");
    let kept = server.query("SELECT code, text FROM _rejected");
    assert_eq!(kept.len(), 5, "{kept:?}");
    assert!(kept.iter().any(|row| row[1] == "broken"), "{kept:?}");
    assert_eq!(server.query("SELECT v FROM m"), [["1"]]);
}

#[test]
fn a_connection_that_breaks_costs_nothing() {
    let (_folder, server) = server();
    let proxy = FaultProxy::start(server.data, 21, 150_000);
    let mut text = String::new();
    for row in 0..60_000u64 {
        // Half of them without a time: sent again they would be there twice.
        let time = if row % 2 == 0 {
            String::new()
        } else {
            format!(" {}", T + row)
        };
        writeln!(
            text,
            "m,t={} n={row}u,x={}{time}",
            row % 50,
            row * 7_919 % 10_007
        )
        .expect("memory");
    }
    let (status, said) = write(proxy.address, &[], &text);
    assert_eq!(status, Some(0), "{said}");
    let rows = server.query("SELECT n FROM m ORDER BY n");
    let found: Vec<u64> = rows
        .iter()
        .map(|row| row[0].parse().expect("a number"))
        .collect();
    assert!(
        found == (0..60_000).collect::<Vec<_>>(),
        "{} rows",
        found.len()
    );
    let cuts = proxy.faults.cuts.load(std::sync::atomic::Ordering::Relaxed);
    assert!(cuts > 0, "{cuts}");
}
