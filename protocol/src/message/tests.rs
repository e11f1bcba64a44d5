//! Messages round trip, and what is no message is refused.

use super::*;
use crate::columns::{Bitmap, ResultValues, ResultVector};
use proptest::prelude::*;
use std::borrow::ToOwned;
use std::string::String;
use std::vec::Vec;

fn round_trip(message: &Message) {
    let mut bytes = Vec::new();
    message.encode(5, &mut bytes).expect("small");
    let (frame, length) = Frame::decode(&bytes, PAYLOAD_BYTES_MAX)
        .expect("a frame")
        .expect("complete");
    assert_eq!((length, frame.request), (bytes.len(), 5));
    assert_eq!(Message::decode(&frame).as_ref(), Ok(message));
    // A payload cut anywhere is refused, never misread; so is one with something behind it.
    for end in 0..frame.payload.len() {
        let cut = Frame {
            payload: &frame.payload[..end],
            ..frame
        };
        assert!(Message::decode(&cut).is_err(), "{message:?} cut at {end}");
    }
    let longer = [frame.payload, &[0]].concat();
    assert!(
        Message::decode(&Frame {
            payload: &longer,
            ..frame
        })
        .is_err()
    );
}

fn batch() -> ResultBatch {
    let mut last = ResultVector::from(ResultValues::Integer(vec![i64::MIN]));
    last.push_null();
    if let ResultValues::Integer(values) = &mut last.values {
        values.push(i64::MAX);
    }
    last.nulls = Some([false, true, false].into_iter().collect());
    let columns = [
        ResultValues::Time(vec![10, 20, 15]),
        ResultValues::Float(vec![1.5, -0.0, f64::INFINITY]),
        ResultValues::Unsigned(vec![0, u64::MAX, 7]),
        ResultValues::Boolean(vec![true, false, true]),
        ResultValues::String(vec![String::new(), "ö".to_owned(), "text".to_owned()]),
        ResultValues::Binary(vec![vec![0xff], vec![], vec![1, 2, 3]]),
    ];
    ResultBatch {
        columns: columns
            .into_iter()
            .map(ResultVector::from)
            .chain([last])
            .collect(),
    }
}

#[test]
fn every_message_round_trips() {
    for message in [
        Message::Hello(Hello {
            version_min: 1,
            version_max: 3,
            features: 0,
            client: "test 1".to_owned(),
            token: "secret".to_owned(),
        }),
        Message::Welcome(Welcome::new("edgetime 0.1", 4)),
        Message::Ping,
        Message::Pong,
        Message::Cancel,
        Message::Error(Failure::new(Code::BadSql, "what")),
        Message::Error(Failure {
            offset: Some(u32::MAX),
            ..Failure::new(Code::Busy, "")
        }),
        Message::Query(Query {
            database: "plant".to_owned(),
            sql: "SELECT 1".to_owned(),
            options: QueryOptions {
                timeout_ms: Some(300),
                exact: true,
                rows_max: Some(u64::MAX),
            },
        }),
        Message::Query(Query::default()),
        Message::Columns(vec![ResultColumn {
            name: "time".to_owned(),
            column_type: ResultType::Time,
        }]),
        Message::Batch(batch()),
        Message::Batch(ResultBatch::default()),
        Message::End(End {
            rows: 3,
            elapsed_ns: 1 << 40,
            warnings: vec!["w".to_owned(), String::new()],
        }),
    ] {
        round_trip(&message);
    }
}

#[test]
fn options_from_the_future_are_refused_or_ignored_by_their_number() {
    let query = |tag: u8| {
        let payload = [0, 0, tag, 1, 9, 0];
        Message::decode(&Frame {
            kind: kind::QUERY,
            request: 1,
            payload: &payload,
        })
    };
    assert_eq!(query(200), Ok(Message::Query(Query::default())));
    assert!(query(100).is_err());
    let unknown = Frame {
        kind: 99,
        request: 0,
        payload: &[],
    };
    assert_eq!(
        Message::decode(&unknown),
        Err(MessageError::UnknownType(99))
    );
}

#[test]
fn tokens_do_not_reach_logs() {
    let hello = Hello {
        version_min: 1,
        version_max: 1,
        features: 0,
        client: String::new(),
        token: "secret".to_owned(),
    };
    assert!(!format!("{hello:?}").contains("secret"));
    assert_eq!(hello.agreed_version(), Some(1));
    assert_eq!(
        Hello {
            version_min: 2,
            version_max: 9,
            ..hello
        }
        .agreed_version(),
        None
    );
}

#[test]
fn large_batches_are_split_and_keep_their_rows() {
    let text: Vec<String> = (0..40).map(|row| format!("{row}").repeat(30_000)).collect();
    let mut column = ResultVector::from(ResultValues::String(text));
    column.nulls = Some((0..40).map(|row| row == 33).collect::<Bitmap>());
    let batch = ResultBatch {
        columns: vec![column],
    };
    let mut bytes = Vec::new();
    encode_batch(&batch, 1, &mut bytes).expect("rows are small enough");
    let (mut at, mut row) = (0, 0);
    while let Some((frame, length)) =
        Frame::decode(&bytes[at..], PAYLOAD_BYTES_MAX).expect("frames")
    {
        at += length;
        let Ok(Message::Batch(part)) = Message::decode(&frame) else {
            panic!("a batch")
        };
        for part_row in 0..part.rows() {
            assert_eq!(part.columns[0].cell(part_row), batch.columns[0].cell(row));
            row += 1;
        }
    }
    assert_eq!((at, row), (bytes.len(), 40));

    let huge = ResultValues::Binary(vec![vec![0; PAYLOAD_BYTES_MAX]]);
    let huge = ResultBatch {
        columns: vec![huge.into()],
    };
    assert!(encode_batch(&huge, 1, &mut bytes).is_err());
}

fn vector(rows: usize) -> impl Strategy<Value = ResultVector> {
    let values = prop_oneof![
        prop::collection::vec(any::<i64>(), rows).prop_map(ResultValues::Time),
        prop::collection::vec(any::<i64>(), rows).prop_map(ResultValues::Integer),
        prop::collection::vec(any::<u64>(), rows).prop_map(ResultValues::Unsigned),
        prop::collection::vec(-1e300..1e300, rows).prop_map(ResultValues::Float),
        prop::collection::vec(any::<bool>(), rows).prop_map(ResultValues::Boolean),
        prop::collection::vec(".{0,5}", rows).prop_map(ResultValues::String),
        prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5), rows)
            .prop_map(ResultValues::Binary),
    ];
    let nulls = prop::option::of(prop::collection::vec(any::<bool>(), rows));
    (values, nulls).prop_map(|(values, nulls)| {
        let nulls = nulls
            .map(|nulls| nulls.into_iter().collect::<Bitmap>())
            .filter(Bitmap::any);
        ResultVector { values, nulls }
    })
}

proptest! {
    #[test]
    fn batches_round_trip(
        columns in (0usize..20).prop_flat_map(|rows| prop::collection::vec(vector(rows), 0..5))
    ) {
        let message = Message::Batch(ResultBatch { columns });
        let mut bytes = Vec::new();
        message.encode(1, &mut bytes).expect("small");
        let (frame, _) = Frame::decode(&bytes, PAYLOAD_BYTES_MAX).expect("a frame").expect("complete");
        prop_assert_eq!(Message::decode(&frame), Ok(message));
    }

    #[test]
    fn any_payload_is_read_or_refused(kind in 0u8..24, payload in prop::collection::vec(any::<u8>(), 0..60)) {
        let frame = Frame { kind, request: 1, payload: &payload };
        if let Ok(message) = Message::decode(&frame) {
            let mut bytes = Vec::new();
            message.encode(1, &mut bytes).expect("small");
        }
    }
}

#[test]
fn a_map_of_nulls_without_a_null_is_none() {
    // Nine rows of one boolean column, with a map in which no bit is set.
    let payload = [9, 1, 4, 1, 0, 0, 0, 0];
    let frame = Frame {
        kind: kind::BATCH,
        request: 1,
        payload: &payload,
    };
    let Ok(Message::Batch(batch)) = Message::decode(&frame) else {
        panic!("a batch");
    };
    assert_eq!((batch.rows(), &batch.columns[0].nulls), (9, &None));
}
