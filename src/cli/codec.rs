//! `edgetime codec`: how small and how fast the codecs make a series.
//!
//! Files are `ts_ms,value`. Sizes are those of chunks of 1,024 rows as maintenance writes them (full effort),
//! headers, checksums and times included.

mod measure;
mod series;

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use self::measure::{Figures, measure};
use self::series::Series;
use super::CommandError;

/// Flags of `edgetime codec`.
///
/// Figures for each file and in total. Values are floats where the first one of a file is a number, else
/// strings. points: rows, where times that repeat count once and the last wins. bytes_per_point: of sealed chunks
/// of 1,024 rows as they are stored for good. ratio: 16 raw bytes a point over that (8 and the text's for strings).
/// codec: the commonest of each column. In nanoseconds a value, the least of several runs: append_ns, into a
/// series: staging, blocks of the open chunk, the quick seal; seal_ns, the seal for good; decode_ns, times and
/// values of stored chunks; aggregate_ns, sum, least and greatest value of stored chunks, decoding included.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct CodecArgs {
    /// Print an array of objects.
    #[arg(long)]
    pub json: bool,
    /// Files with a header line and the columns `ts_ms,value`; `-` is standard input.
    #[arg(value_name = "FILE.csv", required = true)]
    pub files: Vec<PathBuf>,
}

/// One line of the report.
#[derive(Clone, Debug, Serialize)]
struct Entry {
    file: String,
    points: u64,
    bytes_per_point: f64,
    ratio: f64,
    codec: CodecNames,
    append_ns: f64,
    seal_ns: f64,
    decode_ns: f64,
    aggregate_ns: f64,
}

/// The commonest codec of each column.
#[derive(Clone, Debug, Serialize)]
struct CodecNames {
    time: String,
    value: String,
}

impl Entry {
    fn new(file: &str, figures: &Figures) -> Self {
        let points = figures.points as f64;
        let each_ns = |total_ns: u64| rounded(total_ns as f64 / points, 2);
        Self {
            file: file.to_owned(),
            points: figures.points,
            bytes_per_point: rounded(figures.bytes as f64 / points, 4),
            ratio: rounded(figures.raw_bytes as f64 / figures.bytes as f64, 3),
            codec: CodecNames {
                time: figures.time_codecs.commonest(),
                value: figures.value_codecs.commonest(),
            },
            append_ns: each_ns(figures.append_ns),
            seal_ns: each_ns(figures.seal_ns),
            decode_ns: each_ns(figures.decode_ns),
            aggregate_ns: each_ns(figures.aggregate_ns),
        }
    }
}

/// Measures the files one after another.
pub fn run(args: &CodecArgs, out: &mut dyn Write) -> Result<(), CommandError> {
    let mut entries = Vec::new();
    let mut total = Figures::default();
    for path in &args.files {
        let series = Series::read(path)?;
        let figures = measure(&series).map_err(|error| {
            CommandError::Failed(format!("{}: a chunk does not decode: {error}", series.name))
        })?;
        total.add(&figures);
        entries.push(Entry::new(&series.name, &figures));
    }
    entries.push(Entry::new("total", &total));
    let printed = if args.json {
        serde_json::to_writer_pretty(&mut *out, &entries)
            .map_err(Into::into)
            .and_then(|()| writeln!(out))
    } else {
        table(&entries, out)
    };
    printed.map_err(CommandError::output)
}

fn table(entries: &[Entry], out: &mut dyn Write) -> std::io::Result<()> {
    let width = entries
        .iter()
        .map(|entry| entry.file.len())
        .max()
        .unwrap_or_default();
    let codec = entries
        .iter()
        .map(|entry| entry.codec.value.len())
        .max()
        .unwrap_or_default();
    writeln!(
        out,
        "{:width$}  {:>9}  {:>8}  {:>7}  {:>7}  {:>7}  {:>7}  {:>7}  {:codec$}  time",
        "file", "points", "B/point", "ratio", "append", "seal", "decode", "aggreg.", "value",
    )?;
    for entry in entries {
        writeln!(
            out,
            "{:width$}  {:>9}  {:>8.4}  {:>7.2}  {:>7.2}  {:>7.2}  {:>7.2}  {:>7.2}  {:codec$}  {}",
            entry.file,
            entry.points,
            entry.bytes_per_point,
            entry.ratio,
            entry.append_ns,
            entry.seal_ns,
            entry.decode_ns,
            entry.aggregate_ns,
            entry.codec.value,
            entry.codec.time,
        )?;
    }
    writeln!(
        out,
        "append, seal, decode and aggregate in nanoseconds a value"
    )
}

fn rounded(value: f64, places: i32) -> f64 {
    let unit = 10_f64.powi(places);
    (value * unit).round() / unit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_on(text: &str) -> Result<serde_json::Value, CommandError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.csv");
        std::fs::write(&path, text).expect("a file");
        let args = CodecArgs {
            json: true,
            files: vec![path.clone(), path],
        };
        let mut out = Vec::new();
        run(&args, &mut out)?;
        Ok(serde_json::from_slice(&out).expect("JSON"))
    }

    #[test]
    fn figures_of_a_regular_series() {
        use std::fmt::Write as _;
        let mut text = "ts_ms,value\n".to_owned();
        for row in 0..5_000_u64 {
            let value = 200 + (row * row) % 17;
            let _ = writeln!(
                text,
                "{},{}.{}",
                1_600_000_000_000 + row * 1_000,
                value / 10,
                value % 10
            );
        }
        // Repeats: the last wins, and the number of points stays.
        text.push_str("1600000000000,20.5\n1600000001000,20.6\n");
        let report = run_on(&text).expect("measured");
        let entries = report.as_array().expect("an array");
        assert_eq!(entries.len(), 3);
        assert_eq!(entries[0]["points"], 5_000);
        assert_eq!(entries[2]["points"], 10_000);
        assert_eq!(entries[2]["file"], "total");
        assert_eq!(entries[0]["codec"]["time"], "regular");
        for entry in entries {
            let number = |key: &str| entry[key].as_f64().expect(key);
            let bytes = number("bytes_per_point");
            assert!((0.1..2.0).contains(&bytes), "{entry}");
            assert!((number("ratio") * bytes - 16.0).abs() < 0.1, "{entry}");
            for key in ["append_ns", "seal_ns", "decode_ns", "aggregate_ns"] {
                assert!(number(key) > 0.0, "{key}: {entry}");
            }
        }
        let sizes = ["bytes_per_point", "ratio"].map(|key| (&entries[0][key], &entries[1][key]));
        assert!(
            sizes.iter().all(|(a, b)| a == b),
            "sizes do not depend on the run"
        );
    }

    #[test]
    fn texts_are_strings() {
        use std::fmt::Write as _;
        let mut text = "ts_ms,value\n".to_owned();
        for row in 0..1_500_u64 {
            let valve = row * 7_919 % 613;
            let _ = writeln!(text, "{},\"valve {valve} opened, {row} mbar\"", row * 1_000);
        }
        text.push_str("0,\n");
        let report = run_on(&text).expect("measured");
        assert_eq!(report[0]["points"], 1_500);
        assert_eq!(report[0]["codec"]["value"], "strings+lz4");
        let number = |key: &str| report[0][key].as_f64().expect(key);
        assert!(number("bytes_per_point") < 20.0, "{report}");
        let raw = number("ratio") * number("bytes_per_point");
        assert!((30.0..40.0).contains(&raw), "{report}");
        assert!(number("append_ns") > 0.0 && number("aggregate_ns") > 0.0);
    }

    #[test]
    fn bad_files_name_the_line() {
        for (text, part) in [
            ("ts_ms,value\n1,2\n2,x\n", "a.csv:3: `x`"),
            ("ts_ms,value\n1.5,2\n", "a.csv:2: `1.5`"),
            (
                "ts_ms,value\n9300000000000000,2\n",
                "a.csv:2: `9300000000000000`",
            ),
            ("ts_ms,value\n", "no points"),
            ("time,value\n1,2\n", "a.csv:1: "),
        ] {
            let error = run_on(text).expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
