//! A stream whose fields come, go and change their type every 1,000 rows: no row lost, every value read as it was
//! written, and how fast that is beside the same rows with schemas that stay as they are.

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use support::Server;

const START_NS: u64 = 1_700_000_000_000_000_000;
const CONNECTIONS: u64 = 8;
const FIELDS: u64 = 10;
/// Rows between changes.
const PHASE_ROWS: u64 = 1_000;
/// Phases until a schema comes again.
const PHASES: u64 = 15;
const TYPES: [&str; 5] = ["float", "integer", "unsigned", "boolean", "string"];

/// The type of a field in a phase, where the field is there at all.
fn type_of(phase: u64, field: u64) -> Option<&'static str> {
    let present = !(phase + field).is_multiple_of(3);
    present.then(|| TYPES[((phase * 7 + field) % 5) as usize])
}

/// The value of a field in a row, as SQL prints it.
fn value(kind: &str, row: u64, field: u64) -> String {
    let number = row * 10 + field;
    match kind {
        "float" => format!("{number}.5"),
        "boolean" => number.is_multiple_of(3).to_string(),
        "string" => format!("s{}", number % 1000),
        _ => number.to_string(),
    }
}

/// The rows of one connection as lines, from a first row on. Each phase has a measurement of its own, or all have one.
fn lines(
    connection: u64,
    rows: std::ops::Range<u64>,
    measurement: impl Fn(u64) -> String,
) -> String {
    let mut text = String::new();
    for row in rows {
        let phase = row / PHASE_ROWS;
        let name = measurement(phase % PHASES);
        write!(text, "{name},host=h{connection}").expect("memory");
        let mut before = ' ';
        for field in 0..FIELDS {
            let Some(kind) = type_of(phase, field) else {
                continue;
            };
            let value = value(kind, row, field);
            let _ = match kind {
                "integer" => write!(text, "{before}f{field}={value}i"),
                "unsigned" => write!(text, "{before}f{field}={value}u"),
                "string" => write!(text, "{before}f{field}=\"{value}\""),
                _ => write!(text, "{before}f{field}={value}"),
            };
            before = ',';
        }
        writeln!(text, " {}", START_NS + row * 1_000).expect("memory");
    }
    text
}

/// Sends rows over all connections at once; how long it took until all were acknowledged.
fn send(server: &Server, rows: u64, measurement: impl Fn(u64) -> String + Sync) -> Duration {
    let texts: Vec<String> = (0..CONNECTIONS)
        .map(|connection| lines(connection, 0..rows, &measurement))
        .collect();
    let began = Instant::now();
    std::thread::scope(|scope| {
        for text in &texts {
            scope.spawn(move || {
                let (mut stream, mut answers) = server.text().split();
                let reader = scope.spawn(move || {
                    let mut left = rows;
                    while left > 0 {
                        let mut answer = String::new();
                        let read = std::io::BufRead::read_line(&mut answers, &mut answer);
                        assert!(
                            read.expect("an answer in time") > 0,
                            "closed, {left} rows left"
                        );
                        let taken = answer
                            .strip_prefix('+')
                            .and_then(|a| a.trim().split_once(' '));
                        left -= taken.expect(&answer).1.parse::<u64>().expect("a number");
                    }
                });
                let mut write = |bytes: &[u8]| {
                    std::io::Write::write_all(&mut stream, bytes).expect("taken");
                };
                write(b"#edge ack accepted\n");
                write(text.as_bytes());
                reader.join().expect("all acknowledged");
            });
        }
    });
    began.elapsed()
}

fn check(server: &Server, rows: u64) {
    let counted = server.query("SELECT count(*) FROM churn");
    assert_eq!(counted, [[(rows * CONNECTIONS).to_string()]]);
    // Of every lane: how many values, and the sum of the numbers.
    let mut expected: BTreeMap<(u64, &str), (u64, u128)> = BTreeMap::new();
    for row in 0..rows {
        for field in 0..FIELDS {
            if let Some(kind) = type_of(row / PHASE_ROWS, field) {
                let (count, sum) = expected.entry((field, kind)).or_default();
                *count += CONNECTIONS;
                *sum += u128::from(row * 10 + field) * u128::from(CONNECTIONS);
            }
        }
    }
    for ((field, kind), (count, sum)) in &expected {
        let lane = format!("f{field}::{kind}");
        let found = server.query(&format!("SELECT count({lane}) FROM churn"));
        assert_eq!(found, [[count.to_string()]], "{lane}");
        let halves = match *kind {
            "float" => *count,
            "integer" | "unsigned" => 0,
            _ => continue,
        };
        let found = server.query(&format!("SELECT sum({lane}) FROM churn"));
        let expected = *sum as f64 + halves as f64 / 2.0;
        let found: f64 = found[0][0].parse().expect("a number");
        assert!(
            (found - expected).abs() <= expected * 1e-12,
            "{lane}: {found} {expected}"
        );
    }
    // The plain name reads numbers, whatever else the field has had.
    for field in 0..FIELDS {
        let numbers = expected
            .iter()
            .filter(|((of, kind), _)| *of == field && !["boolean", "string"].contains(kind));
        let count: u64 = numbers.map(|(_, (count, _))| count).sum();
        let found = server.query(&format!("SELECT count(f{field}) FROM churn"));
        assert_eq!(found, [[count.to_string()]], "f{field}");
    }
    // Every value of some rows of each phase, one of them at its very edge.
    let per_phase = [0, 1, PHASE_ROWS / 2, PHASE_ROWS - 1];
    let starts = (0..rows / PHASE_ROWS).map(|phase| phase * PHASE_ROWS);
    for row in starts
        .flat_map(|start| per_phase.map(|more| start + more))
        .take(200)
    {
        let lanes: Vec<(u64, &str)> = (0..FIELDS)
            .filter_map(|field| Some((field, type_of(row / PHASE_ROWS, field)?)))
            .collect();
        let names: Vec<String> = lanes
            .iter()
            .map(|(f, kind)| format!("f{f}::{kind}"))
            .collect();
        let host = row % CONNECTIONS;
        let found = server.query(&format!(
            "SELECT {} FROM churn WHERE host = 'h{host}' AND time = {}",
            names.join(", "),
            START_NS + row * 1_000
        ));
        let expected: Vec<String> = lanes.iter().map(|(f, kind)| value(kind, row, *f)).collect();
        assert_eq!(found, [expected], "row {row}");
    }
}

#[test]
fn fields_that_come_go_and_change_their_type_lose_nothing() {
    let values: u64 = std::env::var("EDGETIME_CHURN_VALUES")
        .ok()
        .map_or(400_000, |text| text.parse().expect("a number of values"));
    // Two of three fields are there.
    let rows = (values * 3 / 2 / FIELDS / CONNECTIONS).next_multiple_of(PHASE_ROWS);
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start(folder.path(), &["--no-self-monitor"]);
    let rounds = if values > 1_000_000 { 3 } else { 1 };
    let mut ratios = Vec::new();
    for round in 0..rounds {
        // The same bytes but for the names of measurements; those of the second kind never change.
        let changing = send(&server, rows, |_| "churn".to_owned());
        let stable = send(&server, rows, |phase| format!("st{round}{phase:02}"));
        let rate = |took: Duration| values as f64 / took.as_secs_f64() / 1e6;
        let ratio = stable.as_secs_f64() / changing.as_secs_f64();
        println!(
            "round {round}: changing {:.2} M values/s, stable {:.2}: {ratio:.3}",
            rate(changing),
            rate(stable)
        );
        ratios.push(ratio);
        if round == 0 {
            check(&server, rows);
        }
        if rounds > 1 {
            for name in server.query("SHOW MEASUREMENTS") {
                server.query(&format!("DROP MEASUREMENT {}", name[0]));
            }
        }
    }
    println!("changing against stable: {ratios:.3?}");
    if rounds == 1 {
        for command in ["flush", "checkpoint"] {
            assert!(server.admin(command).ends_with("OK\n"));
            check(&server, rows);
        }
        server.kill();
        server = Server::start(folder.path(), &["--no-self-monitor"]);
        check(&server, rows);
    }
}
