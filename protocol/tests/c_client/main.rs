//! The C client against the golden vectors that all clients share, and against damage; compiled by every compiler at
//! hand, under the address and undefined sanitizers. What it packs is read by this crate's reader.

#[path = "../support/compilers.rs"]
mod compilers;
mod driver;
mod values;

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use driver::{Driver, to_hex};
use edgetime_protocol::cell::{self, MARK_NULL};
use edgetime_protocol::frame::{Frame, PAYLOAD_BYTES_MAX};
use edgetime_protocol::types::FieldType;
use edgetime_protocol::write::{BatchReader, Section};
use serde_json::Value;

/// Bytes of code and constants that the client may have at `-Os`.
const CODE_BYTES_MAX: u64 = 10 * 1024;

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
        for one in series {
            write!(command, " {one}").expect("memory");
        }
        if times.iter().all(Value::is_null) {
            command.push_str(" n");
        } else if times.iter().any(Value::is_null) {
            return None;
        } else {
            command.push_str(" t");
            for one in times {
                write!(command, " {one}").expect("memory");
            }
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
            if let Some(line) = case["output"]["result"].as_str() {
                told += 1;
                let written = written.unwrap_or_else(|| panic!("{case}"));
                assert_eq!(String::from_utf8_lossy(&written), format!("{line}\n"));
            } else {
                refused += 1;
                assert_eq!(written, None, "{case}");
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
