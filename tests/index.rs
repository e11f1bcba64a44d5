//! The index of metadata in SQLite is never the truth: whatever happens to it, the server starts, serves every row,
//! and the index is whole again.

mod support;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use support::Server;

/// Quiet, with little patience for locks.
const FLAGS: [&str; 3] = ["--no-self-monitor", "--set", "meta.busy_timeout_ms=20"];

fn start(folder: &Path) -> Server {
    Server::start(folder, &FLAGS)
}

fn file(folder: &Path) -> PathBuf {
    folder.join("meta.sqlite")
}

fn remove(folder: &Path) {
    for name in ["meta.sqlite", "meta.sqlite-wal", "meta.sqlite-shm"] {
        // The companions need not be there.
        let _ = std::fs::remove_file(folder.join(name));
    }
}

/// Rows of `count` series in each of three measurements.
fn lines(count: u32) -> String {
    let mut lines = String::new();
    for measurement in ["cpu", "disk", "net"] {
        for series in 0..count {
            let tags = format!("host=h{series},site=küche\\ {}", series % 3);
            writeln!(
                lines,
                "{measurement},{tags} a={series}i,b=\"x\" 1700000000000000000"
            )
            .expect("memory");
        }
    }
    lines
}

/// Everything in the index but times and the position.
fn content(folder: &Path) -> Vec<String> {
    let index = Connection::open(file(folder)).expect("opens");
    let mut found = Vec::new();
    for (table, columns) in [
        ("databases", "id, name"),
        ("measurements", "id, database, name, mode"),
        ("columns", "measurement, id, field, type"),
        ("series", "id, database, measurement, tags"),
    ] {
        let sql = format!("SELECT json_array({columns}) FROM {table} ORDER BY 1");
        let mut statement = index.prepare(&sql).expect("a table");
        let rows = statement.query_map([], |row| row.get::<_, String>(0));
        let rows = rows.expect("reads").map(|row| row.expect("a row"));
        found.extend(rows.map(|row| format!("{table} {row}")));
    }
    found
}

fn change(folder: &Path, sql: &str) {
    let index = Connection::open(file(folder)).expect("opens");
    index.execute_batch(sql).expect("changes");
}

fn count(server: &Server, measurement: &str) -> String {
    server.query(&format!("SELECT count(*) FROM {measurement}"))[0][0].clone()
}

/// Asks until the index follows. Its server looks after it every second.
fn wait_until_whole(server: &Server) {
    let until = Instant::now() + Duration::from_mins(1);
    while !server.admin("pool --json").contains("\"whole\":true") {
        assert!(Instant::now() < until, "{}", server.admin("pool"));
    }
}

#[test]
fn whatever_happened_to_the_index_a_start_makes_it_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let server = start(folder);
    server.write(&lines(20));
    assert!(server.stop());
    let older = std::fs::read(file(folder)).expect("readable");
    let server = start(folder);
    server.write(&lines(50));
    assert!(server.stop());
    let whole = content(folder);
    assert_eq!(whole.len(), 1 + 3 + 3 * 2 + 3 * 50);
    let bytes = std::fs::read(file(folder)).expect("readable");
    let put = |bytes: &[u8]| {
        remove(folder);
        std::fs::write(file(folder), bytes).expect("writable");
    };
    let foreign = "INSERT INTO databases VALUES (70, 'other');
        INSERT INTO measurements (id, database, name) VALUES (71, 70, 'm');
        INSERT INTO series VALUES (9000, 70, 71, 'x=y');";
    let damages: [(&str, &dyn Fn()); 11] = [
        ("gone", &|| remove(folder)),
        ("gone, but for a companion", &|| {
            remove(folder);
            std::fs::write(folder.join("meta.sqlite-wal"), &bytes[..5000]).expect("writable");
        }),
        ("empty", &|| put(b"")),
        ("another file", &|| put(b"this is no database")),
        ("cut off", &|| put(&bytes[..bytes.len() / 2])),
        ("overwritten", &|| {
            let mut bytes = bytes.clone();
            bytes[5000..7000].fill(0x5a);
            put(&bytes);
        }),
        ("an older copy", &|| put(&older)),
        ("rows that are missing", &|| {
            change(folder, "DELETE FROM series WHERE id % 3 = 1");
        }),
        ("rows that are too many", &|| change(folder, foreign)),
        ("rows that say something else", &|| {
            change(
                folder,
                "UPDATE series SET tags = 'host=none' WHERE id % 7 = 2",
            );
        }),
        ("ahead of the log", &|| {
            change(
                folder,
                &format!("UPDATE applied SET position = {}", i64::MAX),
            );
            change(folder, foreign);
        }),
    ];
    for (what, damage) in damages {
        damage();
        let server = start(folder);
        for measurement in ["cpu", "disk", "net"] {
            assert_eq!(count(&server, measurement), "50", "{what}");
        }
        assert!(
            server.admin("status --json").contains("\"state\":\"ok\""),
            "{what}"
        );
        assert!(server.stop(), "{what}");
        assert_eq!(content(folder), whole, "{what}");
    }
}

#[test]
fn a_killed_server_leaves_an_index_that_is_completed() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(folder.path());
    server.write(&lines(30));
    server.kill();
    let server = start(folder.path());
    wait_until_whole(&server);
    assert_eq!(count(&server, "cpu"), "30");
    server.kill();
    assert_eq!(content(folder.path()).len(), 1 + 3 + 3 * 2 + 3 * 30);
}

#[test]
fn an_index_that_goes_or_is_replaced_under_a_running_server_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let server = start(folder);
    server.write(&lines(5));
    wait_until_whole(&server);
    remove(folder);
    server.write(&lines(10));
    let until = Instant::now() + Duration::from_mins(1);
    while !file(folder).exists() {
        assert!(Instant::now() < until, "{}", server.admin("pool"));
        server.admin("ping");
    }
    wait_until_whole(&server);
    // Another file takes its name, one that no program has open.
    let other = folder.join("other");
    std::fs::write(&other, b"no database, but long enough".repeat(40)).expect("writable");
    std::fs::rename(&other, file(folder)).expect("replaces");
    server.write(&lines(15));
    let quarantine = folder.join("quarantine");
    while !quarantine.exists() {
        assert!(Instant::now() < until, "{}", server.admin("pool"));
        server.admin("ping");
    }
    wait_until_whole(&server);
    assert_eq!(count(&server, "net"), "15");
    assert!(server.stop());
    assert_eq!(content(folder).len(), 1 + 3 + 3 * 2 + 3 * 15);
}

#[test]
fn a_lock_of_another_program_keeps_nobody_from_anything() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    assert!(start(folder).stop());
    let lock = || {
        let index = Connection::open(file(folder)).expect("opens");
        let mode = index.pragma_update(None, "locking_mode", "EXCLUSIVE");
        mode.expect("is taken");
        index
            .execute_batch("BEGIN IMMEDIATE; DELETE FROM applied")
            .expect("locks");
        index
    };
    let held = lock();
    let server = start(folder);
    server.write(&lines(5));
    assert_eq!(count(&server, "cpu"), "5");
    let until = Instant::now() + Duration::from_mins(1);
    while !server
        .admin("pool --json")
        .contains("locked by another process")
    {
        assert!(Instant::now() < until, "{}", server.admin("pool"));
    }
    assert!(server.admin("status --json").contains("\"state\":\"ok\""));
    drop(held);
    wait_until_whole(&server);
    assert!(server.stop());
    assert_eq!(content(folder).len(), 1 + 3 + 3 * 2 + 3 * 5);
    // Nor does it keep a server from stopping in order.
    let server = start(folder);
    server.write(&lines(6));
    let writer = Connection::open(file(folder)).expect("opens");
    writer.busy_timeout(Duration::from_secs(30)).expect("sets");
    writer.execute_batch("BEGIN IMMEDIATE").expect("locks");
    assert!(server.stop());
}

#[test]
fn an_index_of_a_newer_program_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    assert!(start(folder.path()).stop());
    change(folder.path(), "PRAGMA user_version = 99");
    let before = std::fs::read(file(folder.path())).expect("readable");
    let said = Server::try_start(folder.path(), &FLAGS)
        .err()
        .expect("is refused");
    let message = said.strip_prefix("exit status: 1: ").expect(&said);
    assert_eq!(message.trim_end().lines().count(), 1, "{message}");
    for part in [
        "meta.sqlite",
        "schema version 99",
        "newer than this program's 2",
        "move the file away",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(
        std::fs::read(file(folder.path())).expect("readable"),
        before
    );
}

#[test]
fn the_pool_is_shown_to_people_and_programs() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(folder.path());
    server.write(&lines(5));
    wait_until_whole(&server);
    let (text, json) = (server.admin("pool"), server.admin("pool --json"));
    for name in [
        "whole",
        "position_applied",
        "trouble",
        "size",
        "size_min",
        "size_max",
        "idle",
        "waiting",
        "acquired",
        "waits",
        "acquire_p50_us",
        "acquire_p99_us",
        "timeouts",
        "connects",
        "reconnects",
        "locked",
        "statements",
        "slow_statements",
    ] {
        assert!(
            text.lines()
                .any(|line| line.starts_with(&format!("{name}: "))),
            "{name}: {text}"
        );
        assert!(json.contains(&format!("\"{name}\":")), "{name}: {json}");
    }
    assert!(
        text.contains("\nsize_max: 4\n") && text.contains("\ntimeouts: 0\n"),
        "{text}"
    );
    assert!(server.admin("stats pool").contains("statements: "));
    // What the help of `stats` names is there.
    let help = server.admin("help stats");
    let named = help.split("counters of ").nth(1).expect("a purpose");
    let named = named.lines().next().unwrap_or_default();
    for name in named.replace(" and ", ", ").split(", ") {
        assert!(
            server.admin(&format!("stats {name}")).ends_with("OK\n"),
            "{name}"
        );
    }
    assert!(server.stop());
}
