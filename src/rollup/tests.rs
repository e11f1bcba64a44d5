//! Partials, buckets and their chunks against plain lists of rows.

use edgetime_protocol::cell::{self, MARK_NULL, MARK_RAW};
use proptest::prelude::*;

use super::*;
use crate::codec::chunk::{self, Chunk, Hints};
use crate::codec::vector::ColumnVector;
use crate::codec::{CellColumn, Cells, Effort};
use crate::types::{ColumnId, FieldType, Position};

const POSITIONS: (Position, Position) = (Position(5), Position(9));
const SECOND: i64 = 1_000_000_000;

/// A value of a lane.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Float(f64),
    Integer(i64),
    Unsigned(u64),
    Boolean(bool),
    Bytes(Vec<u8>),
}

type Rows = Vec<(i64, Option<Value>)>;

fn value(field_type: FieldType) -> BoxedStrategy<Value> {
    match field_type {
        FieldType::Float => prop_oneof![
            6 => (-5_000i64..5_000).prop_map(|tenths| Value::Float(tenths as f64 / 10.0)),
            2 => (-1e9..1e9f64).prop_map(Value::Float),
            1 => prop::sample::select(vec![f64::NAN, f64::INFINITY, -0.0, 1e300, 1e-300])
                .prop_map(Value::Float),
        ]
        .boxed(),
        FieldType::Integer => prop_oneof![
            (-100i64..100).prop_map(Value::Integer),
            any::<i64>().prop_map(Value::Integer),
        ]
        .boxed(),
        FieldType::Unsigned => prop_oneof![
            (0u64..100).prop_map(Value::Unsigned),
            any::<u64>().prop_map(Value::Unsigned),
        ]
        .boxed(),
        FieldType::Boolean => any::<bool>().prop_map(Value::Boolean).boxed(),
        FieldType::String | FieldType::Binary => prop::collection::vec(any::<u8>(), 0..4)
            .prop_map(Value::Bytes)
            .boxed(),
    }
}

/// Rows of a lane in the order of their times, some of which are the last of a bucket or the first.
fn lane_rows() -> impl Strategy<Value = (FieldType, Rows)> {
    prop::sample::select(FieldType::ALL.to_vec()).prop_flat_map(|field_type| {
        let step = prop_oneof![
            1i64..3 * SECOND,
            Just(SECOND),
            Just(10 * SECOND),
            Just(3_600 * SECOND)
        ];
        let row = (step, prop::option::weighted(0.8, value(field_type)));
        let start = -100i64..100;
        (start, prop::collection::vec(row, 1..120)).prop_map(move |(start, steps)| {
            let mut time = start * SECOND;
            let rows = steps.into_iter().map(|(step, value)| {
                time += step;
                (time, value)
            });
            (field_type, rows.collect())
        })
    })
}

fn column(field_type: FieldType, rows: &Rows) -> (Vec<i64>, ColumnVector) {
    let mut cells = Cells::new();
    let mut column = CellColumn::nulls(ColumnId(0), field_type, 0);
    for (time, value) in rows {
        cells.times.push(*time);
        let (bits, mark) = match value {
            None => (0, MARK_NULL),
            Some(Value::Float(value)) => (value.to_bits(), MARK_RAW),
            Some(Value::Integer(value)) => (*value as u64, 0),
            Some(Value::Unsigned(value)) => (*value, 0),
            Some(Value::Boolean(value)) => (u64::from(*value), 0),
            Some(Value::Bytes(value)) => (column.intern(value), 0),
        };
        column.push(bits, mark);
    }
    cells.columns.push(column);
    let bytes = chunk::encode(&cells, POSITIONS, &mut Hints::default(), Effort::Cheap);
    let chunk = Chunk::open(bytes).expect("it was just made");
    let vector = chunk.decode_column(ColumnId(0)).expect("decodes");
    (cells.times, vector.expect("it is there"))
}

/// The naive answers, for one bucket.
struct Naive {
    rows: u64,
    values: Vec<(i64, Value)>,
}

fn naive(tier: Tier, rows: &Rows) -> Vec<(i64, Naive)> {
    let mut buckets: Vec<(i64, Naive)> = Vec::new();
    for (time, value) in rows {
        let start = time.div_euclid(tier.width_ns()) * tier.width_ns();
        if buckets.last().is_none_or(|(last, _)| *last != start) {
            let naive = Naive {
                rows: 0,
                values: Vec::new(),
            };
            buckets.push((start, naive));
        }
        let (_, bucket) = buckets.last_mut().expect("one was pushed");
        bucket.rows += 1;
        bucket
            .values
            .extend(value.clone().map(|value| (*time, value)));
    }
    buckets
}

fn same(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan())
}

/// Equal, or apart by so many units in the last place of the greatest term.
fn near(found: f64, expected: f64, scale: f64, ulps: f64) -> bool {
    same(found, expected) || (found - expected).abs() <= ulps * scale * f64::EPSILON
}

fn check(bucket: &Bucket, start: i64, expected: &Naive, merges: f64) {
    assert_eq!((bucket.start, bucket.rows), (start, expected.rows));
    let Some(partial) = &bucket.lanes[0] else {
        assert!(expected.values.is_empty());
        return;
    };
    let values: Vec<&Value> = expected.values.iter().map(|(_, value)| value).collect();
    assert_eq!(partial.count, values.len() as u64);
    let ends = [0, values.len() - 1].map(|index| expected.values[index].clone());
    let check_ends = |first: Edge<Value>, last: Edge<Value>| {
        let found = [(first.time, first.value), (last.time, last.value)];
        assert_eq!(format!("{found:?}"), format!("{ends:?}"));
    };
    macro_rules! ends {
        ($bounds:expr, $kind:ident, $of:expr) => {{
            let edge = |edge: &Edge<_>| Edge {
                time: edge.time,
                value: Value::$kind($of(&edge.value)),
            };
            check_ends(edge(&$bounds.first), edge(&$bounds.last));
        }};
    }
    macro_rules! all {
        ($kind:ident) => {
            values
                .iter()
                .map(|value| match value {
                    Value::$kind(value) => value.clone(),
                    other => panic!("{other:?}"),
                })
                .collect::<Vec<_>>()
        };
    }
    macro_rules! whole {
        ($numbers:expr, $kind:ident) => {{
            let all = all!($kind);
            ends!($numbers.bounds, $kind, |value: &_| *value);
            assert_eq!(Some(&$numbers.bounds.min), all.iter().min());
            assert_eq!(Some(&$numbers.bounds.max), all.iter().max());
            let sum = all.iter().map(|&value| i128::from(value)).sum::<i128>();
            assert_eq!($numbers.sum, sum);
            let doubles: Vec<f64> = all.iter().map(|&value| value as f64).collect();
            check_variance(partial, &doubles);
        }};
    }
    match &partial.lane {
        Lane::Float(numbers) => {
            let all = all!(Float);
            ends!(numbers.bounds, Float, |value: &f64| *value);
            let least = all.iter().copied().fold(f64::NAN, f64::min);
            let most = all.iter().copied().fold(f64::NAN, f64::max);
            assert!(same(numbers.bounds.min, least) && same(numbers.bounds.max, most));
            let exact = exact_sum(&all);
            let greatest = all.iter().fold(0.0_f64, |a, b| a.max(b.abs()));
            assert!(
                near(
                    numbers.sum.value(),
                    exact,
                    exact.abs().max(greatest * 1e-3),
                    1.0 + merges
                ),
                "{} {exact}",
                numbers.sum.value()
            );
            if let Some(variance) = partial.variance()
                && greatest < 1e100
            {
                let expected = variance_of(&all);
                let scale = greatest * greatest;
                assert!(
                    near(variance, expected, scale, 64.0),
                    "{variance} {expected}"
                );
            }
        }
        Lane::Integer(numbers) => whole!(numbers, Integer),
        Lane::Unsigned(numbers) => whole!(numbers, Unsigned),
        Lane::Boolean(bounds, trues) => {
            let all = all!(Boolean);
            ends!(bounds, Boolean, |value: &bool| *value);
            assert_eq!(
                (Some(&bounds.min), Some(&bounds.max)),
                (all.iter().min(), all.iter().max())
            );
            assert_eq!(*trues as usize, all.iter().filter(|&&value| value).count());
        }
        Lane::String(bounds) | Lane::Binary(bounds) => {
            let all = all!(Bytes);
            ends!(bounds, Bytes, bytes_of);
            assert_eq!(Some(&*bounds.min), all.iter().min().map(|value| &**value));
            assert_eq!(Some(&*bounds.max), all.iter().max().map(|value| &**value));
        }
    }
}

/// Whatever is read of a chunk is what all of it has.
fn check_parts(chunk: &Chunk<Vec<u8>>, tier: Tier, lane: LaneColumn, all: &[Bucket]) {
    for wanted in 0..16 {
        let is_wanted = |bit: u32| wanted >> bit & 1 == 1;
        let parts = Parts {
            sum: is_wanted(0),
            range: is_wanted(1),
            edges: is_wanted(2),
            squares: is_wanted(3),
        };
        let columns = BucketColumns::read(chunk, tier, &[(lane, parts)]).expect("reads");
        assert_eq!(columns.len(), all.len());
        for (index, bucket) in all.iter().enumerate() {
            assert_eq!(
                (columns.start(index), columns.rows(index)),
                (bucket.start, bucket.rows)
            );
            let Some(partial) = &bucket.lanes[0] else {
                assert!(columns.lane(0, index).is_none());
                continue;
            };
            let (count, known) = columns.lane(0, index).expect("it has values");
            assert_eq!(count, partial.count);
            let has = [known.range.is_some(), known.edges.is_some()];
            assert_eq!(has, [parts.range, parts.edges]);
            assert_eq!(columns.edge_times(index).is_some(), parts.edges);
            let has_sum = !matches!(partial.lane, Lane::String(_) | Lane::Binary(_));
            assert_eq!(known.sums.is_some(), parts.sum && has_sum);
            let is_number = has_sum && !matches!(partial.lane, Lane::Boolean(..));
            if parts == Parts::ALL || (parts.sum && parts.range && parts.edges && !is_number) {
                let found = columns.partial(0, index);
                assert_eq!(format!("{found:?}"), format!("{:?}", Some(partial)));
            }
        }
    }
}

fn check_variance(partial: &Partial, all: &[f64]) {
    if let Some(variance) = partial.variance() {
        let greatest = all.iter().fold(0.0_f64, |a, b| a.max(b.abs()));
        let expected = variance_of(all);
        let scale = greatest * greatest;
        assert!(
            near(variance, expected, scale, 64.0),
            "{variance} {expected}"
        );
    }
}

fn exact_sum(values: &[f64]) -> f64 {
    let mut sum = FloatSum::default();
    for &value in values {
        sum.add(value);
    }
    sum.value()
}

/// In two passes.
fn variance_of(values: &[f64]) -> f64 {
    let mean = exact_sum(values) / values.len() as f64;
    let squares: Vec<f64> = values
        .iter()
        .map(|value| (value - mean) * (value - mean))
        .collect();
    exact_sum(&squares) / (values.len() - 1) as f64
}

proptest! {
    #[test]
    fn every_tier_knows_what_its_rows_say((field_type, rows) in lane_rows()) {
        let (times, vector) = column(field_type, &rows);
        for tier in Tier::USUAL {
            let buckets = roll(tier, &times, std::slice::from_ref(&vector));
            let expected = naive(tier, &rows);
            prop_assert_eq!(buckets.len(), expected.len());
            for (bucket, (start, expected)) in buckets.iter().zip(&expected) {
                check(bucket, *start, expected, 0.0);
            }
        }
    }

    #[test]
    fn coarse_tiers_come_from_finer_ones_and_from_parts_of_buckets((field_type, rows) in lane_rows(), cut in 0usize..120) {
        let (first, second) = rows.split_at(cut.min(rows.len()));
        let mut fine = Vec::new();
        for part in [first.to_vec(), second.to_vec()] {
            if !part.is_empty() {
                let (times, vector) = column(field_type, &part);
                fine.extend(roll(Tier::TEN_SECONDS, &times, &[vector]));
            }
        }
        for tier in Tier::USUAL {
            let coarse = coarsen(tier, fine.clone());
            let expected = naive(tier, &rows);
            prop_assert_eq!(coarse.len(), expected.len());
            for (bucket, (start, expected)) in coarse.iter().zip(&expected) {
                check(bucket, *start, expected, bucket.rows as f64);
            }
        }
    }

    #[test]
    fn the_order_of_merges_does_not_matter_for_what_is_exact((field_type, rows) in lane_rows(), picks in prop::collection::vec(any::<bool>(), 120)) {
        // The rows of a bucket in two heaps, as late rows come.
        let of = |late: bool| -> Rows {
            let picked = rows.iter().zip(&picks).filter(|(_, pick)| **pick == late);
            picked.map(|(row, _)| row.clone()).collect()
        };
        let [early, late] = [of(false), of(true)].map(|rows| {
            if rows.is_empty() {
                return Vec::new();
            }
            let (times, vector) = column(field_type, &rows);
            roll(Tier::HOUR, &times, &[vector])
        });
        for mut both in [[early.clone(), late.clone()].concat(), [late, early].concat()] {
            both.sort_by_key(|bucket| bucket.start);
            let merged = coarsen(Tier::HOUR, both);
            for (bucket, (start, expected)) in merged.iter().zip(&naive(Tier::HOUR, &rows)) {
                check(bucket, *start, expected, 1.0);
            }
        }
    }

    #[test]
    fn chunks_of_buckets_come_back((field_type, rows) in lane_rows(), id in 0u16..4096) {
        let (times, vector) = column(field_type, &rows);
        let lane = LaneColumn { id: ColumnId(id), field_type };
        for tier in Tier::USUAL {
            let buckets = roll(tier, &times, std::slice::from_ref(&vector));
            let encoded = |effort| encode(&buckets, &[lane], POSITIONS, &mut Hints::default(), effort);
            let cheap = Chunk::open(encoded(Effort::Cheap).expect("few lanes")).expect("opens");
            let chunk = Chunk::open(encoded(Effort::Full).expect("few lanes")).expect("opens");
            let back = decode(&chunk, tier, &[lane]).expect("decodes");
            let of_cheap = decode(&cheap, tier, &[lane]).expect("decodes");
            // NaN is no other NaN.
            prop_assert_eq!(format!("{:?}", &of_cheap), format!("{:?}", &back));
            check_parts(&chunk, tier, lane, &back);
            for (bucket, (start, expected)) in back.iter().zip(&naive(tier, &rows)) {
                check(bucket, *start, expected, 0.0);
            }
            prop_assert_eq!(back.len(), buckets.len());
            // Of another width or type it is none, or has nothing of it.
            let other = LaneColumn { id: ColumnId(id ^ 1), field_type };
            let nothing = decode(&chunk, tier, &[other]).expect("decodes");
            prop_assert!(nothing.iter().all(|bucket| bucket.lanes[0].is_none()));
        }
    }

    #[test]
    fn any_chunk_is_buckets_or_an_error(rows in prop::collection::vec((any::<u64>(), any::<u64>(), any::<u64>()), 1..20), kinds in prop::collection::vec(0usize..6, 11)) {
        let mut cells = Cells::new();
        for (index, kind) in kinds.iter().enumerate() {
            let id = if index == 10 { 15 } else { index as u16 };
            let mut column = CellColumn::nulls(ColumnId(id), FieldType::ALL[*kind], 0);
            for (a, b, c) in &rows {
                let bits = [a % 50, *b, *c][index % 3];
                let is_bytes = matches!(column.field_type, FieldType::String | FieldType::Binary);
                let bits = match column.field_type {
                    _ if is_bytes => cell::heap(0, 0),
                    FieldType::Boolean => bits % 2,
                    _ => bits,
                };
                let mark = if column.field_type == FieldType::Float { MARK_RAW } else { 0 };
                let mark = if bits % 7 == 3 { MARK_NULL } else { mark };
                column.push(bits, mark);
            }
            cells.columns.push(column);
        }
        cells.times = (0..rows.len() as i64).map(|row| row * 10 * SECOND).collect();
        let bytes = chunk::encode(&cells, POSITIONS, &mut Hints::default(), Effort::Cheap);
        let chunk = Chunk::open(bytes).expect("opens");
        for field_type in FieldType::ALL {
            let lane = LaneColumn { id: ColumnId(0), field_type };
            if let Ok(buckets) = decode(&chunk, Tier::TEN_SECONDS, &[lane]) {
                let _ = coarsen(Tier::HOUR, buckets);
            }
        }
    }
}

#[test]
fn a_small_spread_survives_beside_a_large_mean() {
    let rows: Rows = (0..600)
        .map(|row| {
            let value = 1e9 + (row % 7) as f64 / 1_000.0;
            (row * SECOND, Some(Value::Float(value)))
        })
        .collect();
    let (times, vector) = column(FieldType::Float, &rows);
    let fine = roll(Tier::TEN_SECONDS, &times, &[vector]);
    let coarse = coarsen(Tier::HOUR, fine);
    let partial = coarse[0].lanes[0].as_ref().expect("there are values");
    let values: Vec<f64> = (0..600)
        .map(|row| 1e9 + f64::from(row % 7) / 1_000.0)
        .collect();
    let (found, expected) = (partial.variance().expect("many"), variance_of(&values));
    assert!((found / expected - 1.0).abs() < 1e-6, "{found} {expected}");
}

fn bytes_of(value: &impl AsRef<[u8]>) -> Vec<u8> {
    value.as_ref().to_vec()
}

#[test]
fn buckets_reach_from_the_first_time_to_the_last() {
    for time in [i64::MIN, i64::MAX, -1, 0, 10 * SECOND - 1] {
        let bucket = Tier::TEN_SECONDS.bucket_of(time);
        assert!(bucket.contains(time), "{time}: {bucket:?}");
        assert_eq!(Tier::TEN_SECONDS.start_of(time), bucket.start);
    }
    assert!(Tier::HOUR.is_made_of(Tier::MINUTE) && !Tier::MINUTE.is_made_of(Tier::HOUR));
}

#[test]
fn buckets_of_one_row_each_have_few_columns_and_come_back() {
    let numbers: &[u16] = &[3, 5, 9, 15];
    for (field_type, parts) in [
        (FieldType::Float, numbers),
        (FieldType::Integer, numbers),
        (FieldType::Unsigned, &[3, 5, 7, 9, 15]),
        (FieldType::Boolean, &[3, 5, 7, 15]),
        (FieldType::String, &[3, 5, 15]),
    ] {
        let row = |number: i64| {
            let value = match field_type {
                FieldType::Float => Value::Float(number as f64 / 10.0 + 1.0),
                FieldType::Integer => Value::Integer(-number),
                FieldType::Unsigned => Value::Unsigned(number as u64),
                FieldType::Boolean => Value::Boolean(number % 3 == 0),
                _ => Value::Bytes(format!("alarm {number}").into_bytes()),
            };
            // Every seventh row has no value.
            let value = (number % 7 > 0).then_some(value);
            (number * 60 * SECOND + number, value)
        };
        let rows: Rows = (1..100).map(row).collect();
        let (times, vector) = column(field_type, &rows);
        let lane = LaneColumn {
            id: ColumnId(0),
            field_type,
        };
        let buckets = roll(Tier::TEN_SECONDS, &times, std::slice::from_ref(&vector));
        let hints = &mut Hints::default();
        let bytes = encode(&buckets, &[lane], POSITIONS, hints, Effort::Full);
        let chunk = Chunk::open(bytes.expect("one lane")).expect("opens");
        let there = (1..16).filter(|&part| chunk.column(ColumnId(part)).is_some());
        assert_eq!(there.collect::<Vec<_>>(), parts, "{field_type:?}");
        let back = decode(&chunk, Tier::TEN_SECONDS, &[lane]).expect("decodes");
        check_parts(&chunk, Tier::TEN_SECONDS, lane, &back);
        for (bucket, (start, expected)) in back.iter().zip(&naive(Tier::TEN_SECONDS, &rows)) {
            check(bucket, *start, expected, 0.0);
        }
        assert_eq!(back.len(), rows.len());
    }
}
