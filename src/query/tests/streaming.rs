//! How much is read and kept: limits, cancellation, budgets, summaries of chunks.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::source::{
    Buckets, ChunkSummary, ColumnSummary, MeasurementInfo, ScanPart, ScanRequest, SeriesInfo,
    SeriesScan, Source, SourceError, SummaryRequest,
};
use super::super::{ExecutionStats, QueryContext, QueryError, QueryLimits, query};
use super::{f, i};
use crate::query::result::ResultBatch;
use crate::query::testing::Memory;
use crate::query::value::Scalar;
use crate::types::{FieldType, MeasurementId, SeriesId};

/// `series` series of `rows` rows, a row a nanosecond.
fn long(series: usize, rows: i64) -> Memory {
    let mut memory = Memory::new(&[("x", FieldType::Float), ("k", FieldType::Integer)]);
    memory.batch_rows = 100;
    for index in 0..series {
        let host = format!("h{index}");
        memory.add(
            &[("host", &host)],
            (0..rows).map(|time| (time, vec![f(time as f64), i(time % 7)])),
        );
    }
    memory
}

#[test]
fn a_limit_stops_scanning() {
    let memory = long(3, 10_000);
    let (lines, _) = memory.ask("SELECT x FROM m LIMIT 250").expect("ok");
    assert_eq!(lines.len(), 251);
    assert_eq!(memory.scanned(), 3);
    memory.ask("SELECT x FROM m LIMIT 0").expect("ok");
    assert_eq!(memory.scanned(), 3);
}

#[test]
fn batches_leave_while_rows_are_read() {
    let memory = long(1, 5_000);
    let read = Cell::new(Vec::new());
    let context = QueryContext {
        memory: None,
        database: "db",
        now_ns: 0,
        limits: QueryLimits::default(),
        monotonic_ns: None,
        workers: None,
        cancel: &|| false,
    };
    let mut sink = |batch: ResultBatch| {
        let mut seen = read.take();
        seen.push((batch.rows(), memory.scanned()));
        read.set(seen);
        Ok(())
    };
    query(
        &memory,
        "SELECT x FROM m",
        &context,
        &mut |_| Ok(()),
        &mut sink,
    )
    .expect("ok");
    let seen = read.take();
    assert_eq!(seen[0], (1024, 11));
    assert_eq!(seen.iter().map(|(rows, _)| rows).sum::<usize>(), 5_000);
}

#[test]
fn a_query_is_given_up_between_batches() {
    for text in [
        "SELECT x FROM m",
        "SELECT x FROM m ORDER BY x",
        "SELECT sum(x) FROM m",
        "SELECT x FROM m WHERE x < 0",
    ] {
        let memory = long(1, 10_000);
        let asked = AtomicU64::new(0);
        let cancel = || asked.fetch_add(1, Ordering::Relaxed) >= 5;
        let found = memory.ask_with(text, QueryLimits::default(), &cancel);
        assert_eq!(found.expect_err("given up"), QueryError::Cancelled);
        assert_eq!(memory.scanned(), 5, "{text}");
    }
}

#[test]
fn memory_is_bounded() {
    let memory = long(2, 10_000);
    let limits = QueryLimits {
        sorted_rows: 1_000,
        groups: 10,
        ..QueryLimits::default()
    };
    let small = QueryLimits {
        memory_bytes: 4_000,
        ..QueryLimits::default()
    };
    let ask = |text| memory.ask_with(text, limits, &|| false);
    let found = ask("SELECT x FROM m ORDER BY x").expect_err("too many rows");
    assert!(
        found.to_string().contains("sorted rows in memory"),
        "{found}"
    );
    let (lines, _) = ask("SELECT time FROM m ORDER BY time DESC LIMIT 3").expect("a few are kept");
    assert_eq!(lines[1..], ["t9999", "t9999", "t9998"]);
    let found = ask("SELECT count(*) FROM m GROUP BY time_bucket('5 ns', time)");
    assert!(
        found
            .expect_err("too many groups")
            .to_string()
            .contains("groups in memory")
    );
    let (lines, _) = ask("SELECT k, count(*) FROM m GROUP BY k").expect("few groups");
    assert_eq!(lines.len(), 8);
    let found = memory.ask_with("SELECT time, x FROM m ORDER BY x", small, &|| false);
    let found = found.expect_err("too many bytes").to_string();
    assert!(found.contains("4000 bytes of sorted rows"), "{found}");
    let few = "SELECT time, x FROM m WHERE time < 10 ORDER BY x";
    assert!(memory.ask_with(few, small, &|| false).is_ok());
}

/// Answers whole hundreds of rows by their statistics.
struct Summarised(Memory);

struct SummarisedScan(Box<dyn SeriesScan>, Option<SummaryRequest>);

impl Source for Summarised {
    fn databases(&self) -> Vec<Arc<str>> {
        self.0.databases()
    }

    fn measurements(&self, database: &str) -> Result<Vec<Arc<str>>, SourceError> {
        self.0.measurements(database)
    }

    fn measurement(&self, d: &str, name: &str) -> Result<Option<MeasurementInfo>, SourceError> {
        self.0.measurement(d, name)
    }

    fn series(
        &self,
        database: &str,
        measurement: MeasurementId,
        accept: &dyn Fn(&SeriesInfo) -> bool,
    ) -> Result<Vec<SeriesInfo>, SourceError> {
        self.0.series(database, measurement, accept)
    }

    fn scan(
        &self,
        series: SeriesId,
        request: &ScanRequest,
    ) -> Result<Box<dyn SeriesScan>, SourceError> {
        let scan = self.0.scan(series, request)?;
        Ok(Box::new(SummarisedScan(scan, request.summaries.clone())))
    }
}

impl SeriesScan for SummarisedScan {
    fn next(&mut self) -> Result<Option<ScanPart>, SourceError> {
        let part = self.0.next()?;
        let (Some(ScanPart::Rows(batch)), Some(summaries)) = (&part, &self.1) else {
            return Ok(part);
        };
        let (first, last) = (batch.times[0], batch.times[batch.times.len() - 1]);
        let one_bucket = match summaries.buckets {
            Buckets::Fixed { width_ns, .. } => {
                first.div_euclid(width_ns) == last.div_euclid(width_ns)
            }
            _ => true,
        };
        // Every other chunk, so that statistics and rows meet in one group.
        if !one_bucket || first % 200 != 0 {
            return Ok(part);
        }
        let column = |value: fn(i64) -> f64| ColumnSummary {
            count: batch.times.len() as u64,
            sum_integer: 0,
            sum_float: batch.times.iter().map(|&time| value(time)).sum(),
            min: Scalar::Float(value(first)),
            max: Scalar::Float(value(last)),
            first: Some((first, Scalar::Float(value(first)))),
            last: Some((last, Scalar::Float(value(last)))),
            moments: None,
        };
        Ok(Some(ScanPart::Summary(ChunkSummary {
            rows: batch.times.len() as u64,
            first_time: first,
            last_time: last,
            columns: vec![column(|time| time as f64)],
        })))
    }
}

#[test]
fn statistics_of_chunks_answer_like_rows() {
    let memory = long(2, 2_000);
    let text = "SELECT time_bucket('500 ns', time), host, count(*), count(x), sum(x), avg(x), \
                min(x), max(x), first(x), last(x), spread(x) FROM m GROUP BY 1, 2";
    let run = |source: &dyn Source, text: &str| -> (Vec<ResultBatch>, ExecutionStats) {
        let context = QueryContext {
            memory: None,
            database: "db",
            now_ns: 0,
            limits: QueryLimits::default(),
            monotonic_ns: None,
            workers: None,
            cancel: &|| false,
        };
        let mut batches = Vec::new();
        let mut sink = |batch| {
            batches.push(batch);
            Ok(())
        };
        let stats = query(source, text, &context, &mut |_| Ok(()), &mut sink).expect("ok");
        (batches, stats)
    };
    let (expected, _) = run(&memory, text);
    let (found, stats) = run(&Summarised(memory.clone()), text);
    assert_eq!(found, expected);
    assert_eq!((stats.summaries, stats.rows_scanned), (20, 2_000));
    let (_, stats) = run(&Summarised(memory), "SELECT sum(x) FROM m WHERE x > 5");
    assert_eq!(stats.summaries, 0);
}
