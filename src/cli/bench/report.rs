//! The figures of a run, for people and for programs.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};

use super::ingest::Sent;
use super::latency::Latencies;
use super::process::CpuTime;
use super::query::{self, Asked};
use super::{BenchArgs, What};
use crate::cli::CommandError;

/// Names and figures, in the order in which they are printed.
#[derive(Debug)]
pub(super) struct Report {
    figures: Vec<(String, Value)>,
    elapsed_s: f64,
    values: Option<u64>,
}

impl Report {
    pub(super) fn new(what: &str, args: &BenchArgs, elapsed: Duration) -> Self {
        let mut report = Self {
            figures: Vec::new(),
            elapsed_s: elapsed.as_secs_f64(),
            values: None,
        };
        report.set("bench", json!(what));
        report.set("embedded", json!(args.embedded));
        report.set("connections", json!(args.connections));
        if args.what != What::Query {
            report.set(
                "workload",
                json!(format!("{:?}", args.workload).to_lowercase()),
            );
            report.set("series", json!(args.series));
            report.set("ack", json!(args.ack.ack.name()));
        }
        if args.what != What::Ingest {
            report.set("sql", json!(query::sql(args)));
        }
        report.set("seconds", json!(rounded(report.elapsed_s, 3)));
        report
    }

    pub(super) fn set(&mut self, name: &str, value: Value) {
        self.figures.push((name.to_owned(), value));
    }

    /// What the writing connections did.
    pub(super) fn add_ingest(&mut self, mut sent: Vec<Sent>) {
        let sum = |of: fn(&Sent) -> u64| sent.iter().map(of).sum::<u64>();
        let longest =
            |of: fn(&Sent) -> Duration| sent.iter().map(of).max().unwrap_or_default().as_secs_f64();
        let (rows, values, bytes) = (sum(|s| s.rows), sum(|s| s.values), sum(|s| s.bytes));
        let (acknowledged, rejected) = (sum(|s| s.acknowledged), sum(|s| s.rejected));
        let (sending_s, answered_s) = (longest(|s| s.sending), longest(|s| s.until_last_answer));
        let values_kept =
            (u128::from(values) * u128::from(acknowledged) / u128::from(rows.max(1))) as u64;
        self.set("rows", json!(rows));
        self.set("values", json!(values));
        self.set("bytes", json!(bytes));
        self.set("rows_acknowledged", json!(acknowledged));
        self.set("rows_rejected", json!(rejected));
        if let Some(first) = sent.iter().find_map(|sent| sent.rejection.clone()) {
            self.set("first_rejection", json!(first));
        }
        self.set("values_per_s_sent", per_second(values, sending_s));
        self.set("values_per_s", per_second(values_kept, answered_s));
        self.set("rows_per_s", per_second(acknowledged, answered_s));
        self.values = Some(values_kept);
        let mut latencies = Latencies::default();
        for sent in &mut sent {
            latencies.append(&mut sent.latencies);
        }
        self.add_latencies("ack", &mut latencies);
    }

    /// What the asking connections saw.
    pub(super) fn add_queries(&mut self, mut asked: Vec<Asked>) {
        let mut latencies = Latencies::default();
        let mut rows = 0;
        for asked in &mut asked {
            latencies.append(&mut asked.latencies);
            rows += asked.rows;
        }
        let count = latencies.len() as u64;
        self.set("queries", json!(count));
        self.set(
            "queries_per_s",
            json!(rounded(count as f64 / self.elapsed_s, 1)),
        );
        self.set("rows_returned", json!(rows));
        self.add_latencies("query", &mut latencies);
    }

    pub(super) fn add_latencies(&mut self, name: &str, latencies: &mut Latencies) {
        for (suffix, share) in [("p50_ms", 0.5), ("p99_ms", 0.99)] {
            if let Some(ms) = latencies.percentile_ms(share) {
                self.set(&format!("{name}_{suffix}"), json!(ms));
            }
        }
    }

    /// Rows and values of an engine without a server.
    pub(super) fn add_embedded(&mut self, rows: u64, values: u64, writing: Duration) {
        self.set("rows", json!(rows));
        self.set("values", json!(values));
        self.set(
            "values_per_s_sent",
            per_second(values, writing.as_secs_f64()),
        );
        self.set("values_per_s", per_second(values, self.elapsed_s));
        self.set("rows_per_s", per_second(rows, self.elapsed_s));
        self.values = Some(values);
    }

    /// Processor time, where a process was watched.
    pub(super) fn add_cpu(&mut self, cpu: Option<CpuTime>) -> Result<(), CommandError> {
        if let Some(cpu) = cpu {
            let seconds = cpu.seconds()?;
            self.set("server_cpu_s", json!(rounded(seconds, 2)));
            if let Some(values) = self.values {
                self.set("values_per_cpu_s", per_second(values, seconds));
            }
        }
        Ok(())
    }

    pub(super) fn print(&self, json: bool, out: &mut dyn Write) -> io::Result<()> {
        if json {
            // Line by line: an object of the library would sort the names.
            let lines = self
                .figures
                .iter()
                .map(|(name, value)| format!("  {}: {value}", json!(name)));
            return writeln!(out, "{{\n{}\n}}", lines.collect::<Vec<_>>().join(",\n"));
        }
        for (name, value) in &self.figures {
            match value {
                Value::String(text) => writeln!(out, "{name:<18} {text}")?,
                Value::Number(number) if number.is_u64() => {
                    let count = indicatif::HumanCount(number.as_u64().unwrap_or_default());
                    writeln!(out, "{name:<18} {count}")?;
                }
                other => writeln!(out, "{name:<18} {other}")?,
            }
        }
        Ok(())
    }
}

fn per_second(count: u64, seconds: f64) -> Value {
    if seconds > 0.0 {
        json!((count as f64 / seconds).round() as u64)
    } else {
        Value::Null
    }
}

fn rounded(value: f64, places: i32) -> f64 {
    let unit = 10_f64.powi(places);
    (value * unit).round() / unit
}
