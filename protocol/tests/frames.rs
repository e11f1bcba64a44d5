//! The golden frames of `vectors/frames.json`: bytes to message and back, and bytes that must be refused.

use std::fmt::Write as _;
use std::path::Path;

use edgetime_protocol::cell::{self, MARK_NULL};
use edgetime_protocol::columns::{
    ResultBatch, ResultColumn, ResultType, ResultValues, ResultVector,
};
use edgetime_protocol::frame::{Frame, PAYLOAD_BYTES_MAX};
use edgetime_protocol::message::{
    End, Failure, Hello, Message, Query, QueryOptions, Token, Welcome,
};
use edgetime_protocol::types::{AckLevel, FieldType};
use edgetime_protocol::write::{BatchReader, Declaration, Refused, Section, Written};
use serde_json::Value;

fn vectors() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/frames.json");
    serde_json::from_slice(&std::fs::read(path).expect("vectors")).expect("JSON")
}

fn hex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2));
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex"))
        .collect()
}

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

fn number<T: TryFrom<u64>>(value: &Value) -> T {
    let number = value.as_u64().expect("a number");
    T::try_from(number).unwrap_or_else(|_| panic!("{number} is too large"))
}

fn list<T>(value: &Value, item: impl Fn(&Value) -> T) -> Vec<T> {
    value.as_array().expect("a list").iter().map(item).collect()
}

fn column_type(value: &Value) -> ResultType {
    let name = text(&value["type"]);
    ResultType::ALL
        .into_iter()
        .find(|kind| kind.name() == name)
        .expect("a type")
}

fn vector(value: &Value) -> ResultVector {
    let values = &value["values"];
    let signed = |value: &Value| value.as_i64().expect("an integer");
    let values = match column_type(value) {
        ResultType::Time => ResultValues::Time(list(values, signed)),
        ResultType::Integer => ResultValues::Integer(list(values, signed)),
        ResultType::Unsigned => ResultValues::Unsigned(list(values, number)),
        ResultType::Float => {
            ResultValues::Float(list(values, |value| value.as_f64().expect("a double")))
        }
        ResultType::Boolean => ResultValues::Boolean(list(values, |value| value == true)),
        ResultType::String => ResultValues::String(list(values, text)),
        ResultType::Binary => ResultValues::Binary(list(values, |value| hex(&text(value)))),
    };
    let nulls = value
        .get("nulls")
        .map(|nulls| list(nulls, |null| null == true).into_iter().collect());
    ResultVector { values, nulls }
}

fn message(value: &Value) -> Message {
    match text(&value["type"]).as_str() {
        "hello" => Message::Hello(Hello {
            version_min: number(&value["version_min"]),
            version_max: number(&value["version_max"]),
            features: number(&value["features"]),
            client: text(&value["client"]),
            token: text(&value["token"]),
        }),
        "welcome" => Message::Welcome(Welcome {
            version: number(&value["version"]),
            features: number(&value["features"]),
            server: text(&value["server"]),
            payload_bytes_max: number(&value["payload_bytes_max"]),
            queries_max: number(&value["queries_max"]),
        }),
        "ping" => Message::Ping,
        "pong" => Message::Pong,
        "cancel" => Message::Cancel,
        "error" => Message::Error(Failure {
            code: number(&value["code"]),
            message: text(&value["message"]),
            offset: value["offset"]
                .as_u64()
                .map(|offset| u32::try_from(offset).expect("32 bits")),
        }),
        "query" => Message::Query(Query {
            database: text(&value["database"]),
            sql: text(&value["sql"]),
            options: QueryOptions {
                timeout_ms: value.get("timeout_ms").map(number),
                exact: value.get("exact").is_some_and(|exact| exact == true),
                rows_max: value.get("rows_max").map(number),
            },
        }),
        "columns" => Message::Columns(list(&value["columns"], |column| ResultColumn {
            name: text(&column["name"]),
            column_type: column_type(column),
        })),
        "batch" => Message::Batch(ResultBatch {
            columns: list(&value["columns"], vector),
        }),
        "end" => Message::End(End {
            rows: number(&value["rows"]),
            elapsed_ns: number(&value["elapsed_ns"]),
            warnings: list(&value["warnings"], text),
        }),
        "auth" => Message::Auth(Token(text(&value["token"]))),
        "ready" => Message::Ready,
        "credits" => Message::Credits(number(&value["bytes"])),
        "declare" => Message::Declare(list(&value["declarations"], declaration)),
        "written" => Message::Written(Written {
            level: level(&value["level"]),
            duplicate: value["duplicate"] == true,
            position: number(&value["position"]),
            rows: number(&value["rows"]),
            refused: list(&value["refused"], |refused| Refused {
                code: number(&refused["code"]),
                message: text(&refused["message"]),
                rows: list(&refused["rows"], number),
            }),
        }),
        other => panic!("unknown type {other}"),
    }
}

fn level(value: &Value) -> AckLevel {
    AckLevel::from_name(&text(value)).expect("a level")
}

fn declaration(value: &Value) -> Declaration {
    match text(&value["kind"]).as_str() {
        "table" => Declaration::Table {
            database: text(&value["database"]),
            measurement: text(&value["measurement"]),
        },
        "layout" => Declaration::Layout {
            table: number(&value["table"]),
            fields: list(&value["fields"], |field| {
                let field_type = FieldType::from_name(&text(&field[1])).expect("a type");
                (text(&field[0]), field_type)
            }),
        },
        "series" => Declaration::Series {
            table: number(&value["table"]),
            tags: list(&value["tags"], |tag| (text(&tag[0]), text(&tag[1]))),
        },
        "forget" => Declaration::Forget,
        other => panic!("unknown kind {other}"),
    }
}

/// A batch of rows as the vectors say it.
fn rows_of(payload: &[u8]) -> Result<Value, edgetime_protocol::PayloadError> {
    let mut reader = BatchReader::open(payload)?;
    let head = reader.head();
    let mut section = Section::default();
    let mut sections = Vec::new();
    while reader.next_section(&mut section)? {
        let rows = 0..section.rows();
        let columns: Vec<Value> = section
            .columns()
            .iter()
            .map(|column| {
                let value = |row: usize| {
                    let (bits, mark) = (column.bits()[row], column.marks()[row]);
                    match column.field_type() {
                        _ if mark == MARK_NULL => Value::Null,
                        FieldType::Float => {
                            // JSON has no infinities; the bits tell all doubles apart.
                            let bits = cell::float(bits, mark).to_bits();
                            Value::String(format!("{bits:016x}"))
                        }
                        FieldType::Integer => Value::from(bits as i64),
                        FieldType::Unsigned => Value::from(bits),
                        FieldType::Boolean => Value::from(bits != 0),
                        FieldType::String | FieldType::Binary => {
                            let (at, len) = cell::heap_range(bits);
                            let bytes = &payload[at as usize..][..len as usize];
                            match column.field_type() {
                                FieldType::String => String::from_utf8_lossy(bytes).into(),
                                _ => hex_of(bytes).into(),
                            }
                        }
                    }
                };
                serde_json::json!({
                    "type": column.field_type().name(),
                    "values": rows.clone().map(value).collect::<Vec<_>>(),
                })
            })
            .collect();
        sections.push(serde_json::json!({
            "layout": section.layout(),
            "series": rows.clone().map(|row| section.series(row)).collect::<Vec<_>>(),
            "times": rows.map(|row| section.time(row)).collect::<Vec<_>>(),
            "columns": columns,
        }));
    }
    Ok(serde_json::json!({
        "type": "write",
        "ack": head.ack.name(),
        "producer": head.producer.map(|producer| [producer.id, producer.sequence]),
        "sections": sections,
    }))
}

fn hex_of(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte:02x}").expect("memory");
    }
    text
}

/// The type of frames that carry a batch of rows.
const WRITE: u8 = 33;

#[test]
fn valid_frames_are_read_and_written_byte_by_byte() {
    let vectors = vectors();
    let valid = vectors["valid"].as_array().expect("vectors");
    assert!(valid.len() > 15);
    for vector in valid {
        let name = text(&vector["name"]);
        let bytes = hex(&text(&vector["hex"]));
        let request = number(&vector["request"]);
        let frame = Frame::decode(&bytes, PAYLOAD_BYTES_MAX);
        let (frame, length) = frame.expect(&name).expect(&name);
        assert_eq!((length, frame.request), (bytes.len(), request), "{name}");
        if frame.kind == WRITE {
            // Another packing of the same rows would do as well: only reading is compared.
            let rows = rows_of(frame.payload).expect(&name);
            assert_eq!(rows, vector["message"], "{name}");
            continue;
        }
        let expected = message(&vector["message"]);
        assert_eq!(Message::decode(&frame).as_ref(), Ok(&expected), "{name}");
        let mut written = Vec::new();
        expected.encode(request, &mut written).expect(&name);
        assert_eq!(written, bytes, "{name}");
    }
}

#[test]
fn invalid_frames_are_refused() {
    let vectors = vectors();
    let invalid = vectors["invalid"].as_array().expect("vectors");
    assert!(invalid.len() > 15);
    for vector in invalid {
        let name = text(&vector["name"]);
        let bytes = hex(&text(&vector["hex"]));
        match Frame::decode(&bytes, PAYLOAD_BYTES_MAX) {
            Ok(Some((frame, _))) if frame.kind == WRITE => {
                assert!(rows_of(frame.payload).is_err(), "{name}");
            }
            Ok(Some((frame, _))) => assert!(Message::decode(&frame).is_err(), "{name}"),
            Ok(None) => panic!("{name}: complete, and taken for incomplete"),
            Err(_) => {}
        }
    }
}
