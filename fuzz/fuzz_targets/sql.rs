//! Any text as a query over a small schema: parsed, planned and executed without a panic.
#![no_main]

use std::sync::Arc;

use edgetimedb::codec::vector::{BytesVector, ColumnVector, Validity, Values};
use edgetimedb::query::source::{
    ColumnInfo, MeasurementInfo, ScanBatch, ScanPart, ScanRequest, SeriesInfo, SeriesScan, Source,
    SourceError,
};
use edgetimedb::query::{QueryContext, QueryLimits, query};
use edgetimedb::types::{ColumnId, FieldType, MeasurementId, SeriesId};
use libfuzzer_sys::fuzz_target;

/// Measurement `m`, tag `host`, a field of every type named by its first letter, three rows.
struct Small;

struct SmallScan(Option<ScanBatch>);

const TYPES: [FieldType; 6] = FieldType::ALL;

impl Source for Small {
    fn databases(&self) -> Vec<Arc<str>> {
        vec![Arc::from("db")]
    }

    fn measurements(&self, _: &str) -> Result<Vec<Arc<str>>, SourceError> {
        Ok(vec![Arc::from("m")])
    }

    fn measurement(&self, _: &str, name: &str) -> Result<Option<MeasurementInfo>, SourceError> {
        Ok((name == "m").then(|| MeasurementInfo {
            id: MeasurementId(0),
            name: Arc::from("m"),
            tag_keys: vec![Arc::from("host")],
            columns: TYPES
                .iter()
                .enumerate()
                .map(|(index, &field_type)| ColumnInfo {
                    id: ColumnId(index as u16),
                    name: Arc::from(&field_type.name()[..1]),
                    field_type,
                })
                .collect(),
        }))
    }

    fn series(
        &self,
        _: &str,
        _: MeasurementId,
        accept: &dyn Fn(&SeriesInfo) -> bool,
    ) -> Result<Vec<SeriesInfo>, SourceError> {
        let info = SeriesInfo {
            id: SeriesId(0),
            tags: Arc::from([(Arc::from("host"), Arc::from("a"))]),
        };
        Ok(Some(info).into_iter().filter(|info| accept(info)).collect())
    }

    fn scan(&self, _: SeriesId, request: &ScanRequest) -> Result<Box<dyn SeriesScan>, SourceError> {
        let times = vec![i64::MIN, 0, i64::MAX];
        if !times.iter().all(|&time| request.range.contains(time)) {
            return Ok(Box::new(SmallScan(None)));
        }
        let columns = request
            .columns
            .iter()
            .map(|id| vector(TYPES[usize::from(id.0)]))
            .collect();
        Ok(Box::new(SmallScan(Some(ScanBatch { times, columns }))))
    }
}

impl SeriesScan for SmallScan {
    fn next(&mut self) -> Result<Option<ScanPart>, SourceError> {
        Ok(self.0.take().map(ScanPart::Rows))
    }
}

fn vector(field_type: FieldType) -> ColumnVector {
    let mut bytes = BytesVector::default();
    [&b"a"[..], b"", b"12"]
        .into_iter()
        .for_each(|text| bytes.push(text));
    let values = match field_type {
        FieldType::Float => Values::Float(vec![f64::NAN, 0.0, f64::INFINITY]),
        FieldType::Integer => Values::Integer(vec![i64::MIN, 0, i64::MAX]),
        FieldType::Unsigned => Values::Unsigned(vec![0, 0, u64::MAX]),
        FieldType::Boolean => Values::Boolean(vec![true, false, false]),
        FieldType::String => Values::String(bytes),
        FieldType::Binary => Values::Binary(bytes),
    };
    ColumnVector {
        values,
        validity: Validity::from_flags([true, false, true]),
    }
}

fuzz_target!(|text: &str| {
    let context = QueryContext {
        memory: None,
        database: "db",
        now_ns: i64::MAX,
        limits: QueryLimits::default(),
        monotonic_ns: None,
        workers: None,
        cancel: &|| false,
    };
    let _ = query(&Small, text, &context, &mut |_| Ok(()), &mut |_| Ok(()));
});
