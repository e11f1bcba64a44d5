//! Series in a store: every value reads back, and takes there what `edgetime codec` says.

use std::path::{Path, PathBuf};

use edgetime_protocol::columns::ResultCell;
use serde_json::Value;

use super::sensors::{self, Sensor};
use super::support::{Server, run};

/// Runs the program, which has to succeed; its output.
fn output(arguments: &[&str]) -> Vec<u8> {
    let output = run(arguments, b"");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    output.stdout
}

fn import(server: &Server, sensor: &Sensor, file: &Path) {
    let address = server.data.to_string();
    let file = file.to_str().expect("text");
    output(&[
        "import",
        "--addr",
        &address,
        "--measurement",
        &sensor.name,
        "--time-column",
        "ts_ms",
        file,
    ]);
}

/// Every value is what the file has, doubles by their bits.
fn compare(server: &Server, sensor: &Sensor) {
    let name = &sensor.name;
    let sql = format!("SELECT time, value FROM {name} ORDER BY time");
    let (_, batches) = server.batches("default", &sql).expect("answers");
    let mut rows = sensor.rows().into_iter();
    for batch in &batches {
        for row in 0..batch.rows() {
            let (time_ms, text) = rows
                .next()
                .unwrap_or_else(|| panic!("{name}: a row too many"));
            let time = batch.columns[0].cell(row);
            assert!(
                matches!(time, ResultCell::Time(time_ns) if time_ns == time_ms * 1_000_000),
                "{name}: {time:?}, not {time_ms} ms"
            );
            let same = match batch.columns[1].cell(row) {
                ResultCell::Float(value) => {
                    text.parse::<f64>().map(f64::to_bits) == Ok(value.to_bits())
                }
                ResultCell::Integer(value) => text.parse() == Ok(value),
                _ => false,
            };
            let found = batch.columns[1].cell(row);
            assert!(same, "{name} at {time_ms} ms: {found:?}, not {text}");
        }
    }
    assert_eq!(rows.next(), None, "{name}: a row is missing");
}

/// Points and bytes a point of one entry of a report.
fn figures(entry: &Value) -> (u64, f64) {
    let points = entry["points"].as_u64().expect("a number");
    (points, entry["bytes_per_point"].as_f64().expect("a number"))
}

#[test]
fn a_store_is_as_small_as_the_codecs_and_gives_every_value_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = Server::start(&data, &["--no-self-monitor"]);
    let sensors = sensors::all();
    let files: Vec<PathBuf> = sensors
        .iter()
        .map(|sensor| folder.path().join(format!("{}.csv", sensor.name)))
        .collect();
    for (sensor, file) in sensors.iter().zip(&files) {
        std::fs::write(file, &sensor.text).expect("writable");
        import(&server, sensor, file);
    }
    assert!(server.admin("flush").ends_with("OK\n"));
    assert!(server.admin("checkpoint").ends_with("OK\n"));
    for sensor in &sensors {
        compare(&server, sensor);
    }
    assert!(server.stop());

    let data = data.to_str().expect("text");
    let stored = output(&["inspect", data, "--blocks", "--json"]);
    let stored: Value = serde_json::from_slice(&stored).expect("JSON");
    let paths = files.iter().map(|file| file.to_str().expect("text"));
    let arguments: Vec<&str> = ["codec", "--json"].into_iter().chain(paths).collect();
    let measured: Value = serde_json::from_slice(&output(&arguments)).expect("JSON");
    let mut pairs = vec![("total", &stored["blocks"], &measured[sensors.len()])];
    let series = stored["blocks"]["series"].as_array().expect("an array");
    for (sensor, entry) in sensors.iter().zip(measured.as_array().expect("an array")) {
        let mut same = series.iter().filter(|entry| entry["series"] == sensor.name);
        pairs.push((&sensor.name, same.next().expect("a series"), entry));
    }
    for (name, stored, measured) in pairs {
        let ((points, bytes), (all, expected)) = (figures(stored), figures(measured));
        assert_eq!(points, all, "{name}");
        let distance = (bytes - expected).abs() / expected;
        assert!(
            distance <= 0.03,
            "{name}: {bytes} bytes a point stored, {expected} measured"
        );
    }
}
