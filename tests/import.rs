//! `edgetime import` and the answers to SQL against what SQLite says of the same file.

mod support;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use support::{Server, run, shared_data};

/// A file of `ts_ms,value` as sensors make them: repeated times, decimals, gaps.
fn generated(folder: &Path) -> PathBuf {
    let mut text = String::from("ts_ms,value\n");
    let mut time = 1_423_072_260_000u64;
    for i in 0..17_000u64 {
        let hundredths = 2_318 + (i * 37) % 211;
        writeln!(text, "{time},{}.{:02}", hundredths / 100, hundredths % 100).expect("memory");
        // One time in nine hundred repeats: the last value counts.
        time += if i % 900 == 0 {
            0
        } else {
            59_000 + (i % 3) * 1_000
        };
    }
    let path = folder.join("generated.csv");
    std::fs::write(&path, text).expect("writable");
    path
}

/// The files to import: real ones where they are given.
fn files(folder: &Path) -> Vec<PathBuf> {
    match shared_data() {
        Some(data) => ["occ_temp.csv", "nab_machine_temp.csv"]
            .iter()
            .map(|name| data.join("data").join(name))
            .collect(),
        None => vec![generated(folder)],
    }
}

/// The same file in a table keyed by time.
fn sqlite(path: &Path) -> rusqlite::Connection {
    let connection = rusqlite::Connection::open_in_memory().expect("opens");
    connection
        .execute_batch("CREATE TABLE t (ts_ms INTEGER PRIMARY KEY, value REAL NOT NULL)")
        .expect("a table");
    let text = std::fs::read_to_string(path).expect("readable");
    connection.execute_batch("BEGIN").expect("begins");
    for line in text.lines().skip(1) {
        let (time, value) = line.split_once(',').expect("two columns");
        let time: i64 = time.parse().expect("a time");
        let value: f64 = value.parse().expect("a number");
        connection
            .execute("INSERT OR REPLACE INTO t VALUES (?1, ?2)", (time, value))
            .expect("inserts");
    }
    connection.execute_batch("COMMIT").expect("commits");
    connection
}

fn near(ours: &str, theirs: f64) {
    let ours: f64 = ours.parse().expect("a number");
    let distance = (ours - theirs).abs() / theirs.abs().max(1e-300);
    assert!(distance <= 1e-12, "{ours} against {theirs}");
}

fn exactly(ours: &str, theirs: f64) {
    let ours: f64 = ours.parse().expect("a number");
    assert_eq!(ours.to_bits(), theirs.to_bits(), "{ours} against {theirs}");
}

fn compare(server: &Server, measurement: &str, oracle: &rusqlite::Connection) {
    let ours = server.query(&format!(
        "SELECT count(value), min(value), max(value), avg(value) FROM {measurement}"
    ));
    let (count, min, max, avg): (i64, f64, f64, f64) = oracle
        .query_row(
            "SELECT count(value), min(value), max(value), avg(value) FROM t",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
        )
        .expect("a row");
    assert_eq!(ours[0][0], count.to_string());
    exactly(&ours[0][1], min);
    exactly(&ours[0][2], max);
    near(&ours[0][3], avg);
    let hours = server.query(&format!(
        "SELECT time_bucket('1 hour', time) AS hour, count(value), min(value), max(value), avg(value) \
         FROM {measurement} GROUP BY hour ORDER BY hour"
    ));
    let mut statement = oracle
        .prepare(
            "SELECT ts_ms / 3600000 * 3600000, count(value), min(value), max(value), avg(value) \
             FROM t GROUP BY 1 ORDER BY 1",
        )
        .expect("SQL");
    let theirs: Vec<(i64, i64, f64, f64, f64)> = statement
        .query_map([], |row| {
            Ok((
                row.get(0)?,
                row.get(1)?,
                row.get(2)?,
                row.get(3)?,
                row.get(4)?,
            ))
        })
        .expect("rows")
        .collect::<Result<_, _>>()
        .expect("rows");
    assert_eq!(hours.len(), theirs.len());
    for (ours, theirs) in hours.iter().zip(&theirs) {
        assert_eq!(ours[0], (theirs.0 * 1_000_000).to_string());
        assert_eq!(ours[1], theirs.1.to_string());
        exactly(&ours[2], theirs.2);
        exactly(&ours[3], theirs.3);
        near(&ours[4], theirs.4);
    }
}

#[test]
fn an_imported_file_is_what_sqlite_says_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("data"), &["--no-self-monitor"]);
    let address = server.data.to_string();
    for (i, file) in files(folder.path()).iter().enumerate() {
        let measurement = format!("m{i}");
        let path = file.to_str().expect("text");
        let arguments = [
            "import",
            "--addr",
            &address,
            "--measurement",
            &measurement,
            "--time-column",
            "ts_ms",
            path,
        ];
        let output = run(&arguments, b"");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        assert!(output.stdout.is_empty());
        let oracle = sqlite(file);
        compare(&server, &measurement, &oracle);
        server.admin("flush");
        server.admin("checkpoint");
        compare(&server, &measurement, &oracle);
        // Once more: nothing changes, whether it lies in a chunk or not.
        assert!(run(&arguments, b"").status.success());
        compare(&server, &measurement, &oracle);
    }
}

#[test]
fn a_bad_row_of_a_file_costs_itself_and_is_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("data"), &["--no-self-monitor"]);
    let csv = b"when,room,degrees,open\n\
        2026-01-01T00:00:00Z,a b,21.5,true\n\
        yesterday,c,22,false\n\
        2026-01-01T00:00:01.5Z,\"c,d\",-0.25,\n";
    let address = server.data.to_string();
    let arguments = [
        "import",
        "--addr",
        &address,
        "--measurement",
        "climate",
        "--time-column",
        "when",
        "--tag-column",
        "room",
        "--tag",
        "site=x=y",
        "-",
    ];
    let output = run(&arguments, csv);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains('1'), "{errors}");
    let rows = server.query("SELECT time, room, site, degrees, open FROM climate ORDER BY time");
    assert_eq!(
        rows,
        [
            ["1767225600000000000", "a b", "x=y", "21.5", "true"],
            ["1767225601500000000", "c,d", "x=y", "-0.25", "null"],
        ]
    );
}

#[test]
fn the_command_line_writes_and_asks() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("data"), &["--no-self-monitor"]);
    let address = server.data.to_string();
    let text =
        "weather,site=roof temperature=21.3,note=\"a, \\\"b\\\"\" 1700000000000000000\nbroken\n";
    let output = run(&["write", "--addr", &address, "-"], text.as_bytes());
    assert_eq!(output.status.code(), Some(1), "a line was rejected");
    assert!(String::from_utf8_lossy(&output.stderr).contains("bad_syntax"));
    let ask = |format: &str, time: &str| {
        let sql = "SELECT * FROM weather";
        let output = run(
            &[
                "query", "--addr", &address, "--format", format, "--time", time, sql,
            ],
            b"",
        );
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("text")
    };
    assert_eq!(
        ask("csv", "ms").replace('\r', ""),
        "time,site,temperature,note\n1700000000000,roof,21.3,\"a, \"\"b\"\"\"\n"
    );
    let json = ask("ndjson", "rfc3339");
    assert_eq!(
        json.trim(),
        r#"{"time":"2023-11-14T22:13:20Z","site":"roof","temperature":21.3,"note":"a, \"b\""}"#
    );
    assert!(ask("table", "s").contains("1700000000"));
    let wrong = run(
        &[
            "query",
            "--addr",
            &address,
            "SELECT temprature FROM weather",
        ],
        b"",
    );
    assert_eq!(wrong.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&wrong.stderr).contains("temperature"),
        "names what is near"
    );
    assert_eq!(
        run(&["query", "--no-such-flag"], b"").status.code(),
        Some(2)
    );
    let status = run(
        &["admin", "--addr", &server.admin.to_string(), "status"],
        b"",
    );
    assert!(status.status.success());
    assert!(String::from_utf8_lossy(&status.stdout).contains("state: ok"));
}
