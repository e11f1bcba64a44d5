//! Conformance: the public corpus of line protocol where the environment names it, our own cases of the
//! same shape always.
//!
//! `EDGETIME_TEST_DATA` is a folder with `line-protocol/corpus.json`.

use std::path::{Path, PathBuf};

use base64::Engine;
use edgetime_protocol::limits::Limits;
use edgetime_protocol::line::encode::{self, Point};
use edgetime_protocol::line::key::{self, unescape_field_key};
use edgetime_protocol::line::{NoHints, Row, Value as FieldValue};
use edgetime_protocol::session::{Item, Session};
use edgetime_protocol::types::Precision;
use serde_json::{Value, json};

fn files() -> Vec<PathBuf> {
    let mut files = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/lines.json")];
    if let Some(folder) = std::env::var_os("EDGETIME_TEST_DATA") {
        files.push(Path::new(&folder).join("line-protocol/corpus.json"));
    }
    files
}

fn corpus(path: &Path) -> Value {
    let text = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A string, or bytes that are not UTF-8.
fn bytes(value: &Value) -> Vec<u8> {
    match value.get("binary") {
        Some(binary) => base64::engine::general_purpose::STANDARD
            .decode(binary.as_str().expect("base64 text"))
            .expect("base64"),
        None => value.as_str().expect("a string").as_bytes().to_vec(),
    }
}

fn precision(value: &Value) -> Precision {
    match value.as_str() {
        Some("1ns") => Precision::Nanoseconds,
        Some("1µs" | "1us") => Precision::Microseconds,
        Some("1ms") => Precision::Milliseconds,
        Some("1s") => Precision::Seconds,
        other => panic!("unknown precision {other:?}"),
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

/// A point of the corpus in a form that compares: (name, tags, fields, time).
type Comparable = (
    Vec<u8>,
    Vec<(Vec<u8>, Vec<u8>)>,
    Vec<(Vec<u8>, FieldValue)>,
    i64,
);

fn expected(point: &Value) -> Comparable {
    let list = |name: &str| point[name].as_array().cloned().unwrap_or_default();
    let tags = list("tags")
        .iter()
        .map(|tag| (bytes(&tag["key"]), bytes(&tag["value"])))
        .collect();
    let fields = list("fields")
        .iter()
        .map(|field| {
            let (kind, value) = field["value"]
                .as_object()
                .and_then(|v| v.iter().next())
                .expect("a value");
            let value = match kind.as_str() {
                "float" => FieldValue::Float(number(value)),
                "int" => FieldValue::Integer(value.as_i64().expect("an integer")),
                "uint" => FieldValue::Unsigned(value.as_u64().expect("an unsigned")),
                "bool" => FieldValue::Boolean(value.as_bool().expect("a boolean")),
                "string" => FieldValue::String(
                    String::from_utf8(bytes(value)).expect("strings of results are UTF-8"),
                ),
                other => panic!("unknown kind {other}"),
            };
            (bytes(&field["key"]), value)
        })
        .collect();
    (
        bytes(&point["name"]),
        tags,
        fields,
        point["time"].as_i64().expect("a time"),
    )
}

fn found(row: &Row<'_>, default_time: i64) -> Comparable {
    let series = key::parse(row.key, &Limits::default()).expect("the key of a row is valid");
    let mut tags: Vec<_> = series
        .tags()
        .map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec()))
        .collect();
    tags.sort();
    let fields = row
        .fields()
        .map(|field| {
            (
                unescape_field_key(field.key).as_bytes().to_vec(),
                field.value,
            )
        })
        .collect();
    (
        series.measurement().as_bytes().to_vec(),
        tags,
        fields,
        row.time.unwrap_or(default_time),
    )
}

/// All points of a batch, or the first error.
fn decode(text: &[u8], precision: Precision, default_time: i64) -> Result<Vec<Comparable>, String> {
    let mut session = Session::new(Limits::default());
    session.set_precision(precision);
    session.finish();
    let mut points = Vec::new();
    loop {
        match session.next(text, &mut NoHints) {
            Item::Row(row) => points.push(found(&row, default_time)),
            Item::Directive(_) => {}
            Item::Rejected(rejected) => return Err(rejected.error.to_string()),
            Item::Incomplete { .. } => return Ok(points),
        }
    }
}

#[test]
fn decode_cases_agree() {
    for path in files() {
        let corpus = corpus(&path);
        let cases = corpus["decode"].as_object().expect("cases");
        let mut wrong = Vec::new();
        for (name, case) in cases {
            let (input, output) = (&case["input"], &case["output"]);
            let precision = precision(&input["precision"]);
            let unit = precision.nanoseconds();
            let default_time = input["defaultTime"].as_i64().expect("a time");
            let text = bytes(&input["text"]);
            let result = decode(
                &text,
                precision,
                default_time - default_time.rem_euclid(unit),
            );
            let agrees = match (&result, output.get("result")) {
                (Ok(points), Some(expected_points)) => {
                    let expected_points = expected_points.as_array().cloned().unwrap_or_default();
                    *points == expected_points.iter().map(expected).collect::<Vec<_>>()
                }
                (Err(_), None) => output.get("error").is_some(),
                _ => false,
            };
            if !agrees {
                wrong.push(format!(
                    "{name}: {:?}: {result:?}, expected {output}",
                    String::from_utf8_lossy(&text)
                ));
            }
        }
        println!(
            "{}: {} decode cases, {} wrong",
            path.display(),
            cases.len(),
            wrong.len()
        );
        assert!(!cases.is_empty());
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

/// The line of a point of the corpus; `None` where it must be an error.
fn encode(point: &Value, precision: Precision) -> Option<Vec<u8>> {
    let (name, tags, fields, time) = expected(point);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).ok();
    let name = text(name)?;
    let tags = tags
        .into_iter()
        .map(|(key, value)| Some((text(key)?, text(value)?)))
        .collect::<Option<Vec<_>>>()?;
    let fields = fields
        .into_iter()
        .map(|(key, value)| Some((text(key)?, value)))
        .collect::<Option<Vec<_>>>()?;
    let tags: Vec<_> = tags
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    let fields: Vec<_> = fields
        .iter()
        .map(|(key, value)| (key.as_str(), value.clone()))
        .collect();
    let point = Point {
        measurement: &name,
        tags: &tags,
        fields: &fields,
        time: Some(time),
    };
    let mut line = Vec::new();
    encode::point(&mut line, &point, precision).ok()?;
    Some(line)
}

#[test]
fn encode_cases_agree() {
    for path in files() {
        let corpus = corpus(&path);
        let cases = corpus["encode"].as_object().expect("cases");
        let mut wrong = Vec::new();
        for (name, case) in cases {
            let input = &case["input"];
            let line = encode(&input["point"], precision(&input["precision"]));
            let expected = case["output"].get("result").map(bytes);
            if line != expected {
                let show = |line: &Option<Vec<u8>>| {
                    line.as_deref()
                        .map(|line| String::from_utf8_lossy(line).into_owned())
                };
                wrong.push(format!(
                    "{name}: {:?}, expected {:?}",
                    show(&line),
                    show(&expected)
                ));
            }
        }
        println!(
            "{}: {} encode cases, {} wrong",
            path.display(),
            cases.len(),
            wrong.len()
        );
        assert!(!cases.is_empty());
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

#[test]
fn the_comparison_itself_can_fail() {
    let wanted = expected(&json!({
        "name": "m", "tags": [], "time": 5,
        "fields": [{"key": "a", "value": {"int": 1}}],
    }));
    assert_eq!(
        decode(b"m a=1i 5", Precision::Nanoseconds, 0),
        Ok(vec![wanted.clone()])
    );
    assert_ne!(
        decode(b"m a=1 5", Precision::Nanoseconds, 0),
        Ok(vec![wanted])
    );
}
