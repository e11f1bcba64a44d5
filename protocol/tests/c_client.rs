//! The C client against the golden vectors that all clients share, and against damage; compiled by every compiler at
//! hand, under the address and undefined sanitizers. What it packs is read by this crate's reader.

#[path = "support/compilers.rs"]
mod compilers;

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::LazyLock;

use edgetime_protocol::cell::{self, MARK_NULL};
use edgetime_protocol::frame::{Frame, PAYLOAD_BYTES_MAX};
use edgetime_protocol::types::FieldType;
use edgetime_protocol::write::{BatchReader, Section};
use serde_json::Value;

/// Bytes of code and constants that the client may have at `-Os`.
const CODE_BYTES_MAX: u64 = 10 * 1024;

/// The client's test driver, answering one line for each command.
struct Driver {
    process: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// One driver for each compiler, compiled once.
static DRIVERS: LazyLock<Vec<PathBuf>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let source = compilers::folder().join("tests/driver.c");
    let compile = |compiler: &str| {
        let program = folder.join(format!("driver-{compiler}"));
        compilers::compile(compiler, &source, &program);
        program
    };
    compilers::compilers().into_iter().map(compile).collect()
});

impl Driver {
    fn all() -> Vec<Self> {
        DRIVERS.iter().map(|program| Self::start(program)).collect()
    }

    fn start(program: &Path) -> Self {
        let mut process = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("runs");
        Self {
            commands: process.stdin.take(),
            answers: BufReader::new(process.stdout.take().expect("piped")),
            process,
        }
    }

    fn ask(&mut self, command: &str) -> String {
        let commands = self.commands.as_mut().expect("open");
        writeln!(commands, "{command}").expect("the driver runs");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("readable");
        assert!(!answer.is_empty(), "the driver ended at: {command:.300}");
        answer.trim_end().to_owned()
    }

    /// The bytes that a command writes; `None` where it is an error.
    fn written(&mut self, command: &str) -> Option<Vec<u8>> {
        let answer = self.ask(command);
        match answer.split_once(' ') {
            Some(("ok", hex)) => Some(from_hex(hex)),
            Some(("error", _)) => None,
            _ => panic!("{answer}"),
        }
    }

    /// Ends it: sanitizers that found a leak say so.
    fn end(mut self) {
        drop(self.commands.take());
        assert!(self.process.wait().expect("ends").success());
    }
}

fn from_hex(text: &str) -> Vec<u8> {
    let text = if text == "-" { "" } else { text };
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex"))
        .collect()
}

fn to_hex(bytes: impl AsRef<[u8]>) -> String {
    let bytes = bytes.as_ref();
    if bytes.is_empty() {
        return "-".to_owned();
    }
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte:02x}").expect("memory");
    }
    text
}

fn vectors(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("vectors")
        .join(name);
    serde_json::from_slice(&std::fs::read(path).expect("vectors")).expect("JSON")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

/// Text of a message as a word for the driver.
fn word(value: &Value) -> String {
    to_hex(text(value))
}

fn type_of(value: &Value) -> FieldType {
    FieldType::from_name(text(value)).expect("a type")
}

fn level(value: &Value) -> usize {
    ["none", "accepted", "durable"]
        .iter()
        .position(|name| value == name)
        .expect("a level")
}

/// The command that writes a message of the vectors, where clients send it.
fn command_of(request: &Value, message: &Value) -> Option<String> {
    Some(match text(&message["type"]) {
        "hello" if message["version_max"] == 1 => format!(
            "hello {} {} {}",
            message["features"],
            word(&message["client"]),
            word(&message["token"])
        ),
        "auth" => format!("auth {request} {}", word(&message["token"])),
        kind @ ("ping" | "pong") => format!("{kind} {request}"),
        "declare" => declare(list(&message["declarations"])),
        _ => return None,
    })
}

fn declare(declarations: &[Value]) -> String {
    let mut command = format!("declare {}", declarations.len());
    for one in declarations {
        match text(&one["kind"]) {
            "table" => {
                let (database, measurement) = (word(&one["database"]), word(&one["measurement"]));
                write!(command, " 1 {database} {measurement}")
            }
            "layout" => {
                let fields = list(&one["fields"]);
                write!(command, " 2 {} {}", one["table"], fields.len()).expect("memory");
                fields.iter().try_for_each(|field| {
                    let number = type_of(&field[1]).number();
                    write!(command, " {number} {}", word(&field[0]))
                })
            }
            "series" => {
                let tags = list(&one["tags"]);
                write!(command, " 3 {} {}", one["table"], tags.len()).expect("memory");
                tags.iter()
                    .try_for_each(|tag| write!(command, " {} {}", word(&tag[0]), word(&tag[1])))
            }
            _ => write!(command, " 4"),
        }
        .expect("memory");
    }
    command
}

/// The command that writes a batch; rows without a time among others are a section of their own, which the client
/// leaves to its caller, so that such a section has no command.
fn write_command(message: &Value, request: &Value) -> Option<String> {
    let producer = message["producer"].as_array();
    let part = |at: usize| producer.map_or("0".to_owned(), |parts| parts[at].to_string());
    let sections = list(&message["sections"]);
    let mut command = format!(
        "write {request} {} {} {} {}",
        level(&message["ack"]),
        part(0),
        part(1),
        sections.len()
    );
    for section in sections {
        let (series, times) = (list(&section["series"]), list(&section["times"]));
        let columns = list(&section["columns"]);
        write!(
            command,
            " {} {} {}",
            section["layout"],
            series.len(),
            columns.len()
        )
        .expect("memory");
        series
            .iter()
            .for_each(|one| write!(command, " {one}").expect("memory"));
        if times.iter().all(Value::is_null) {
            command.push_str(" n");
        } else if times.iter().any(Value::is_null) {
            return None;
        } else {
            command.push_str(" t");
            times
                .iter()
                .for_each(|one| write!(command, " {one}").expect("memory"));
        }
        for column in columns {
            put_column(
                &mut command,
                type_of(&column["type"]),
                list(&column["values"]),
            );
        }
    }
    Some(command)
}

fn put_column(command: &mut String, kind: FieldType, values: &[Value]) {
    write!(command, " {}", kind.number()).expect("memory");
    if values.iter().any(Value::is_null) {
        command.push_str(" m");
        for value in values {
            command.push_str(if value.is_null() { " 1" } else { " 0" });
        }
    } else {
        command.push_str(" n");
    }
    match kind {
        FieldType::Float => command.push_str(" 9"),
        FieldType::Integer => command.push_str(" 3"),
        FieldType::Unsigned => command.push_str(" 7"),
        FieldType::Boolean => command.push_str(" 4"),
        _ => {}
    }
    for value in values {
        let word = match kind {
            // What is missing lies in memory all the same.
            _ if value.is_null() && matches!(kind, FieldType::String | FieldType::Binary) => {
                "ff".to_owned()
            }
            _ if value.is_null() => "77".to_owned(),
            FieldType::Boolean => u8::from(value == true).to_string(),
            FieldType::String => word(value),
            FieldType::Binary => Some(text(value))
                .filter(|hex| !hex.is_empty())
                .unwrap_or("-")
                .to_owned(),
            FieldType::Float => text(value).to_owned(),
            _ => value.to_string(),
        };
        write!(command, " {word}").expect("memory");
    }
}

/// A batch of rows as the vectors say it.
fn rows_of(payload: &[u8]) -> Value {
    let mut reader = BatchReader::open(payload).expect("a head");
    let head = reader.head();
    let mut section = Section::default();
    let mut sections = Vec::new();
    while reader.next_section(&mut section).expect("a section") {
        let rows = 0..section.rows();
        let value = |column: &edgetime_protocol::write::Column, row: usize| {
            let (bits, mark) = (column.bits()[row], column.marks()[row]);
            match column.field_type() {
                _ if mark == MARK_NULL => Value::Null,
                FieldType::Float => format!("{:016x}", cell::float(bits, mark).to_bits()).into(),
                FieldType::Integer => Value::from(bits as i64),
                FieldType::Unsigned => Value::from(bits),
                FieldType::Boolean => Value::from(bits != 0),
                of_bytes => {
                    let (at, len) = cell::heap_range(bits);
                    let bytes = &payload[at as usize..][..len as usize];
                    match of_bytes {
                        FieldType::String => String::from_utf8_lossy(bytes).into(),
                        _ if bytes.is_empty() => "".into(),
                        _ => to_hex(bytes).into(),
                    }
                }
            }
        };
        let columns = section.columns().iter().map(|column| {
            serde_json::json!({
                "type": column.field_type().name(),
                "values": rows.clone().map(|row| value(column, row)).collect::<Vec<_>>(),
            })
        });
        sections.push(serde_json::json!({
            "layout": section.layout(),
            "columns": columns.collect::<Vec<_>>(),
            "series": rows.clone().map(|row| section.series(row)).collect::<Vec<_>>(),
            "times": rows.map(|row| section.time(row)).collect::<Vec<_>>(),
        }));
    }
    serde_json::json!({
        "type": "write",
        "ack": head.ack.name(),
        "producer": head.producer.map(|producer| [producer.id, producer.sequence]),
        "sections": sections,
    })
}

/// The rows in the frame that a command writes.
fn batch_of(driver: &mut Driver, command: &str) -> (Value, usize) {
    let bytes = driver.written(command).expect("a batch");
    let (frame, length) = Frame::decode(&bytes, PAYLOAD_BYTES_MAX)
        .expect("a frame")
        .expect("complete");
    assert_eq!((frame.kind, length), (33, bytes.len()));
    (rows_of(frame.payload), bytes.len())
}

#[test]
fn what_clients_send_is_byte_for_byte_that_of_the_vectors() {
    for mut driver in Driver::all() {
        let (mut messages, mut batches) = (0, 0);
        for vector in list(&vectors("frames.json")["valid"]) {
            let (request, message) = (&vector["request"], &vector["message"]);
            if let Some(command) = command_of(request, message) {
                messages += 1;
                let mut expected = text(&vector["hex"]).to_owned();
                if message["type"] == "hello" {
                    expected.insert_str(0, "fe");
                }
                assert_eq!(
                    driver.ask(&command),
                    format!("ok {expected}"),
                    "{}",
                    vector["name"]
                );
            } else if message["type"] == "write"
                && let Some(command) = write_command(message, request)
            {
                batches += 1;
                assert_eq!(
                    &batch_of(&mut driver, &command).0,
                    message,
                    "{}",
                    vector["name"]
                );
            }
        }
        assert!(messages >= 5 && batches >= 4, "{messages} {batches}");
        driver.end();
    }
}

/// What the driver prints of a message that servers send.
fn event_of(request: &Value, message: &Value) -> Option<String> {
    Some(match text(&message["type"]) {
        "welcome" => format!(
            "event 2 {request} {} {} {}",
            message["features"],
            word(&message["server"]),
            message["payload_bytes_max"]
        ),
        "ping" => format!("event 3 {request}"),
        "pong" => format!("event 4 {request}"),
        "error" => format!(
            "event 5 {request} {} {}",
            message["code"],
            word(&message["message"])
        ),
        "ready" => format!("event 7 {request}"),
        "credits" => format!("event 35 {request} {}", message["bytes"]),
        "written" => {
            let mut event = format!(
                "event 34 {request} {} {} {} {}",
                level(&message["level"]),
                u8::from(message["duplicate"] == true),
                message["position"],
                message["rows"]
            );
            for reason in list(&message["refused"]) {
                for row in list(&reason["rows"]) {
                    let (code, message) = (&reason["code"], word(&reason["message"]));
                    write!(event, " {row}:{code}:{message}").expect("memory");
                }
            }
            event
        }
        _ => return None,
    })
}

#[test]
fn what_servers_send_is_understood_and_nothing_else_is() {
    for mut driver in Driver::all() {
        let vectors = vectors("frames.json");
        let mut seen = 0;
        for vector in list(&vectors["valid"]) {
            let is_open = u8::from(vector["message"]["type"] != "welcome");
            let answer = driver.ask(&format!("take {is_open} {}", text(&vector["hex"])));
            let expected = event_of(&vector["request"], &vector["message"]);
            seen += usize::from(expected.is_some());
            // What this client sends, or answers to queries that it does not ask, is refused.
            assert_eq!(
                answer,
                expected.unwrap_or("error -9".to_owned()),
                "{}",
                vector["name"]
            );
        }
        assert!(seen >= 12, "{seen}");
        for vector in list(&vectors["invalid"]) {
            for is_open in 0..2 {
                let answer = driver.ask(&format!("take {is_open} {}", text(&vector["hex"])));
                assert_eq!(answer, "error -9", "{}", vector["name"]);
            }
        }
        // A second welcome, and anything before the first.
        for vector in list(&vectors["valid"]) {
            let kind = text(&vector["message"]["type"]);
            let wrong = u8::from(kind == "welcome");
            if kind != "error" {
                let answer = driver.ask(&format!("take {wrong} {}", text(&vector["hex"])));
                assert_eq!(answer, "error -9", "{}", vector["name"]);
            }
        }
        driver.end();
    }
}

#[test]
fn frames_changed_by_chance_do_no_harm() {
    for mut driver in Driver::all() {
        for (seed, vector) in list(&vectors("frames.json")["valid"]).iter().enumerate() {
            let command = format!("upset {} 5000 {}", seed + 1, text(&vector["hex"]));
            let answer = driver.ask(&command);
            let understood = answer.strip_prefix("understood ").expect("an answer");
            if vector["message"]["type"] == "written" {
                assert_ne!(understood, "0", "some changes leave an answer");
            }
        }
        driver.end();
    }
}

/// Lines of the vectors' points, and of the public corpus where the environment names it.
fn line_cases() -> Vec<Value> {
    let mut files = vec![vectors("lines.json")];
    if let Some(folder) = std::env::var_os("EDGETIME_TEST_DATA") {
        let path = Path::new(&folder).join("line-protocol/corpus.json");
        files.push(serde_json::from_slice(&std::fs::read(path).expect("a corpus")).expect("JSON"));
    }
    let cases = files.iter().filter_map(|file| file["encode"].as_object());
    cases.flat_map(|cases| cases.values().cloned()).collect()
}

fn line_command(input: &Value) -> Option<String> {
    let point = &input["point"];
    let name = |value: &Value| {
        let text = value.as_str()?;
        // A C string ends at its first zero.
        (!text.contains('\0')).then(|| to_hex(text))
    };
    let mut command = format!("line {}", name(&point["name"])?);
    let tags = point["tags"].as_array().cloned().unwrap_or_default();
    write!(command, " {}", tags.len()).expect("memory");
    for tag in &tags {
        write!(command, " {} {}", name(&tag["key"])?, name(&tag["value"])?).expect("memory");
    }
    let fields = point["fields"].as_array().cloned().unwrap_or_default();
    write!(command, " {}", fields.len()).expect("memory");
    for field in &fields {
        let key = name(&field["key"])?;
        let (kind, value) = field["value"].as_object()?.iter().next()?;
        match kind.as_str() {
            "float" => {
                let bits = value.as_f64()?.to_bits();
                write!(command, " d {key} {bits:016x}")
            }
            "int" => write!(command, " i {key} {value}"),
            "uint" => write!(command, " u {key} {value}"),
            "bool" => write!(command, " b {key} {}", u8::from(value == true)),
            _ => write!(command, " s {key} {}", to_hex(value.as_str()?)),
        }
        .expect("memory");
    }
    let unit = match input["precision"].as_str()? {
        "1ns" => 1,
        "1ms" => 1_000_000,
        "1s" => 1_000_000_000,
        _ => 1_000,
    };
    write!(command, " {}", point["time"].as_i64()? / unit).expect("memory");
    Some(command)
}

#[test]
fn lines_are_those_of_the_vectors() {
    for mut driver in Driver::all() {
        let (mut told, mut refused) = (0, 0);
        for case in line_cases() {
            let Some(command) = line_command(&case["input"]) else {
                continue;
            };
            let written = driver.written(&command);
            match case["output"]["result"].as_str() {
                Some(line) => {
                    told += 1;
                    let written = written.unwrap_or_else(|| panic!("{case}"));
                    assert_eq!(String::from_utf8_lossy(&written), format!("{line}\n"));
                }
                None => {
                    refused += 1;
                    assert_eq!(written, None, "{case}");
                }
            }
        }
        assert!(told >= 4 && refused >= 9, "{told} {refused}");
        assert_eq!(
            driver.ask(&format!("directive {}", to_hex("db plant"))),
            format!("ok {}", to_hex("#edge db plant\n"))
        );
        assert_eq!(
            driver.ask(&format!("directive {}", to_hex("db\nm v=1"))),
            "error -2"
        );
        driver.end();
    }
}

#[test]
fn doubles_are_written_as_briefly_as_they_read_back() {
    let mut doubles: Vec<f64> = vec![
        0.0,
        -0.0,
        1.0,
        -1.5,
        0.1,
        0.2 + 0.1,
        1e5,
        999_999.0,
        1e6,
        123_456.7,
        1e-4,
        1.5e-4,
        9.5e-5,
        5e-324,
        1e-323,
        2.225_073_858_507_201_4e-308,
        2.225_073_858_507_201e-308,
        f64::MAX,
        f64::MIN_POSITIVE,
        9_007_199_254_740_993.0,
        4.5e15,
        1e21,
        1e22,
        1e23,
        8.5e-320,
        7.038_531e-26,
    ];
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    for round in 0..3_000 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        doubles.push(match round % 3 {
            0 => f64::from_bits(random),
            1 => f64::from_bits(1 << (random % 63)),
            _ => (random % 1_000_000) as f64 / 1_000.0,
        });
    }
    doubles.retain(|double| double.is_finite());
    let digits = |text: &str| {
        let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
        let kept = mantissa.replace(['.', '-'], "");
        kept.trim_matches('0').len()
    };
    for mut driver in Driver::all() {
        for &double in &doubles {
            let line = driver.written(&format!("line 6d 0 1 d 76 {:016x}", double.to_bits()));
            let line = String::from_utf8(line.expect("finite")).expect("text");
            let written = line.trim_end().strip_prefix("m v=").expect("a line");
            let read: f64 = written.parse().expect("a number");
            assert_eq!(read.to_bits(), double.to_bits(), "{written}");
            assert_eq!(
                digits(written),
                digits(&format!("{double:e}")),
                "{written} {double:e}"
            );
            // And as a float, from as many digits as that needs.
            let float = double as f32;
            if float.is_finite() {
                let widened = f64::from(float).to_bits();
                let line = driver.written(&format!("line 6d 0 1 f 76 {widened:016x}"));
                let line = String::from_utf8(line.expect("finite")).expect("text");
                let written = line.trim_end().strip_prefix("m v=").expect("a line");
                let read: f32 = written.parse().expect("a number");
                assert_eq!(read.to_bits(), float.to_bits(), "{written}");
                assert_eq!(digits(written), digits(&format!("{float:e}")), "{written}");
            }
        }
        for double in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let command = format!("line 6d 0 1 d 76 {:016x}", double.to_bits());
            assert_eq!(driver.ask(&command), "error -4");
        }
        for (mantissa, scale, expected) in [
            (215, 1, "21.5"),
            (-5, 3, "-0.005"),
            (0, 0, "0"),
            (7, 0, "7"),
            (i64::MIN, 18, "-9.223372036854775808"),
        ] {
            let line = driver.written(&format!("line 6d 0 1 m 76 {mantissa} {scale}"));
            assert_eq!(
                line.expect("a line"),
                format!("m v={expected}\n").into_bytes()
            );
        }
        assert_eq!(driver.ask("line 6d 0 1 m 76 1 19"), "error -7");
        driver.end();
    }
}

#[test]
fn columns_of_every_kind_of_memory_come_back() {
    let numbers = |rows: i64, of: &dyn Fn(i64) -> i64| (0..rows).map(of).collect::<Vec<_>>();
    for mut driver in Driver::all() {
        let widest = i128::from(u64::MAX);
        let kinds: [(u32, FieldType, i128, i128); 8] = [
            (
                0,
                FieldType::Integer,
                i128::from(i8::MIN),
                i128::from(i8::MAX),
            ),
            (
                1,
                FieldType::Integer,
                i128::from(i16::MIN),
                i128::from(i16::MAX),
            ),
            (
                2,
                FieldType::Integer,
                i128::from(i32::MIN),
                i128::from(i32::MAX),
            ),
            (
                3,
                FieldType::Integer,
                i128::from(i64::MIN),
                i128::from(i64::MAX),
            ),
            (4, FieldType::Unsigned, 0, i128::from(u8::MAX)),
            (5, FieldType::Unsigned, 0, i128::from(u16::MAX)),
            (6, FieldType::Unsigned, 0, i128::from(u32::MAX)),
            (7, FieldType::Unsigned, 0, widest),
        ];
        for (kind, field_type, least, most) in kinds {
            for rows in [1, 2, 127, 128, 129, 300] {
                let series = numbers(rows, &|row| row % 7);
                let times = numbers(rows, &|row| {
                    1_700_000_000_000_000_000 + row * 10_000_000_000
                });
                // Ends of the range, then a slope, then the same again and again.
                let value = |row: i64| match row % 3 {
                    _ if row > 200 => least,
                    0 => least + i128::from(row),
                    1 => most - i128::from(row),
                    _ => least / 2 + i128::from(row % 50),
                };
                let mut command = format!("write 9 2 0 0 1 5 {rows} 1");
                let mut put = |word: String| write!(command, " {word}").expect("memory");
                series.iter().for_each(|one| put(one.to_string()));
                put("t".to_owned());
                times.iter().for_each(|one| put(one.to_string()));
                put(format!("{} n {kind}", field_type.number()));
                (0..rows).for_each(|row| put(value(row).to_string()));
                let (batch, _) = batch_of(&mut driver, &command);
                let section = &batch["sections"][0];
                assert_eq!(section["series"], Value::from(series));
                assert_eq!(section["times"], Value::from(times));
                let expected: Vec<Value> = (0..rows)
                    .map(|row| serde_json::from_str(&value(row).to_string()).expect("a number"))
                    .collect();
                assert_eq!(
                    section["columns"][0]["values"],
                    Value::from(expected),
                    "{kind} {rows}"
                );
            }
        }
        driver.end();
    }
}

#[test]
fn decimals_take_their_digits_and_no_more() {
    for mut driver in Driver::all() {
        let rows = 256;
        let head = |rows: usize| format!("write 1 1 0 0 1 0 {rows} 1{} n", " 0".repeat(rows));
        let values: Vec<f64> = (0..rows)
            .map(|row| 20.0 + f64::from(row % 64) / 100.0)
            .collect();
        let words: String = values
            .iter()
            .map(|v| format!(" {:016x}", v.to_bits()))
            .collect();
        let (batch, doubles) =
            batch_of(&mut driver, &format!("{} 1 n 9{words}", head(values.len())));
        let expected: Vec<Value> = values
            .iter()
            .map(|v| format!("{:016x}", v.to_bits()).into())
            .collect();
        assert_eq!(
            batch["sections"][0]["columns"][0]["values"],
            Value::from(expected.clone())
        );
        assert!(doubles < 256 * 6 / 8 + 64, "{doubles} bytes");
        // The same as mantissas, without a double in sight.
        let mantissas: String = (0..rows)
            .map(|row| format!(" {}", 2000 + row % 64))
            .collect();
        let (batch, _) = batch_of(
            &mut driver,
            &format!("{} 1 n x 2 1{mantissas}", head(values.len())),
        );
        assert_eq!(
            batch["sections"][0]["columns"][0]["values"],
            Value::from(expected)
        );
        // Floats of 32 bits, as the decimals that they are meant to be.
        let words: String = values
            .iter()
            .map(|v| format!(" {:016x}", f64::from(*v as f32).to_bits()))
            .collect();
        let (batch, floats) =
            batch_of(&mut driver, &format!("{} 1 n 8{words}", head(values.len())));
        for (read, value) in list(&batch["sections"][0]["columns"][0]["values"])
            .iter()
            .zip(&values)
        {
            let read = f64::from_bits(u64::from_str_radix(text(read), 16).expect("bits"));
            assert_eq!((read as f32).to_bits(), (*value as f32).to_bits());
        }
        assert!(floats < 256 * 6 / 8 + 64, "{floats} bytes");
        // What is no decimal is as it is.
        let odd = [f64::NAN, f64::INFINITY, -0.0, 1e300, 0.1 + 0.2, 5e-324];
        let words: String = odd
            .iter()
            .map(|v| format!(" {:016x}", v.to_bits()))
            .collect();
        let (batch, _) = batch_of(&mut driver, &format!("{} 1 n 9{words}", head(odd.len())));
        let expected: Vec<Value> = odd
            .iter()
            .map(|v| format!("{:016x}", v.to_bits()).into())
            .collect();
        assert_eq!(
            batch["sections"][0]["columns"][0]["values"],
            Value::from(expected)
        );
        // Beyond what a mantissa may be, and beyond what a batch may be.
        assert_eq!(
            driver.ask(&format!("{} 1 n x 2 3 9007199254740993", head(1))),
            "error -7"
        );
        assert_eq!(driver.ask(&format!("{} 1 n x 23 3 9", head(1))), "error -7");
        driver.end();
    }
}

#[test]
fn answers_of_a_text_session() {
    for mut driver in Driver::all() {
        let mut told = |line: &str| driver.ask(&format!("answer {}", to_hex(line)));
        let code = |code: &str, message: &str| format!("{} {}", to_hex(code), to_hex(message));
        assert_eq!(told("+77 3\n"), "answer + 0 77 3 - -");
        assert_eq!(
            told("+18446744073709551615 0\n"),
            "answer + 0 18446744073709551615 0 - -"
        );
        assert_eq!(told("+pong\n"), "answer p 0 0 0 - -");
        assert_eq!(told("+synced 9\n"), "answer s 0 9 0 - -");
        assert_eq!(
            told("-12 bad_value not a number\n"),
            format!("answer - 0 0 12 {}", code("bad_value", "not a number"))
        );
        for name in ["busy", "full", "shutting_down"] {
            assert_eq!(
                told(&format!("-1 {name}\n")),
                format!("answer - 1 0 1 {}", code(name, ""))
            );
        }
        for wrong in [
            "\n",
            "+\n",
            "+1\n",
            "+1 \n",
            "+1 2x\n",
            "+x 2\n",
            "+18446744073709551616 1\n",
            "-1\n",
            "-1 \n",
            "-x busy\n",
            "hello\n",
            "+synced \n",
            "+pong \n",
        ] {
            assert_eq!(told(wrong), "error -9", "{wrong:?}");
        }
        assert_eq!(told("+77 3"), "error 0");
        assert_eq!(told(&"-".repeat(1024)), "error -9");
        driver.end();
    }
}

#[test]
fn the_code_is_small_and_is_also_cpp() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("client.c");
    std::fs::write(
        &source,
        "#define EDGETIME_IMPLEMENTATION\n#include \"edgetime.h\"\n",
    )
    .expect("writable");
    let object = folder.path().join("client.o");
    let compile = |language: &str, options: &[&str]| {
        compilers::run(
            Command::new("cc")
                .args([
                    "-Os",
                    "-ffreestanding",
                    "-Wall",
                    "-Wextra",
                    "-Werror",
                    "-x",
                    language,
                ])
                .args(options)
                .arg("-I")
                .arg(compilers::folder())
                .arg("-c")
                .arg(&source)
                .arg("-o")
                .arg(&object),
        );
        let sizes = compilers::run(Command::new("size").arg("-A").arg(&object));
        let of = |line: &str| -> Option<u64> {
            let mut words = line.split_whitespace();
            let name = words.next()?;
            let is_code = name.starts_with(".text") || name.starts_with(".rodata");
            is_code.then(|| words.next()?.parse().ok())?
        };
        sizes.lines().filter_map(of).sum::<u64>()
    };
    let whole = compile("c", &["-std=c99"]);
    let without = compile("c", &["-std=c99", "-DEDGETIME_NO_DOUBLE"]);
    println!("{whole} bytes of code, {without} without doubles");
    assert!(whole < CODE_BYTES_MAX, "{whole}");
    assert!(without + 1_000 < whole, "{without}");
    if Command::new("c++").arg("--version").output().is_ok() {
        assert!(compile("c++", &["-std=c++11"]) > 0);
    }
}
