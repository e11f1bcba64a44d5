//! Formats of output, by example.

use super::super::encode::{Format, TimeFormat};
use super::super::result::{ResultBatch, ResultColumn, ResultType, ResultValues, ResultVector};

fn sample() -> (Vec<ResultColumn>, ResultBatch) {
    let mut floats = ResultVector::from(ResultValues::Float(vec![1.5, f64::NAN]));
    floats.push_null();
    let vectors: Vec<(&str, ResultVector)> = vec![
        (
            "time",
            ResultValues::Time(vec![0, 1_500_000_000, -1]).into(),
        ),
        ("f", floats),
        (
            "i",
            ResultValues::Integer(vec![i64::MIN, 0, i64::MAX]).into(),
        ),
        ("u", ResultValues::Unsigned(vec![u64::MAX, 0, 1]).into()),
        ("b", ResultValues::Boolean(vec![true, false, true]).into()),
        (
            "s",
            ResultValues::String(vec!["a\"b".into(), "c,d\ne".into(), "ö".into()]).into(),
        ),
        (
            "x",
            ResultValues::Binary(vec![vec![0, 255], vec![], vec![1]]).into(),
        ),
    ];
    let columns = vectors
        .iter()
        .map(|(name, vector)| ResultColumn {
            name: (*name).to_owned(),
            column_type: vector.values.column_type(),
        })
        .collect();
    let columns_of = vectors.into_iter().map(|(_, vector)| vector).collect();
    (
        columns,
        ResultBatch {
            columns: columns_of,
        },
    )
}

fn encode(format: &str, time: &str, batches: usize) -> String {
    let format = Format::from_name(format).expect("a format");
    let time = TimeFormat::from_name(time).expect("a form of time");
    let (columns, batch) = sample();
    let mut encoder = format.encoder(time);
    let mut out = Vec::new();
    encoder.begin(&columns, &mut out).expect("written");
    for _ in 0..batches {
        encoder.batch(&batch, &mut out).expect("written");
    }
    encoder.end(&mut out).expect("written");
    String::from_utf8(out).expect("text")
}

#[test]
fn csv_quotes_what_must_be_quoted() {
    assert_eq!(
        encode("csv", "rfc3339", 1),
        "time,f,i,u,b,s,x\r\n\
         1970-01-01T00:00:00Z,1.5,-9223372036854775808,18446744073709551615,true,\"a\"\"b\",AP8=\r\n\
         1970-01-01T00:00:01.500Z,NaN,0,0,false,\"c,d\ne\",\r\n\
         1969-12-31T23:59:59.999999999Z,,9223372036854775807,1,true,ö,AQ==\r\n"
    );
    assert_eq!(encode("csv", "ms", 0), "time,f,i,u,b,s,x\r\n");
}

#[test]
fn json_is_json() {
    for batches in [0, 1, 2] {
        let text = encode("json", "ns", batches);
        let parsed: serde_json::Value = serde_json::from_str(&text).expect("json");
        let rows = parsed.as_array().expect("an array");
        assert_eq!(rows.len(), 3 * batches);
        if let Some(row) = rows.get(1) {
            assert_eq!(row["time"], 1_500_000_000);
            assert!(row["f"].is_null());
            assert_eq!(row["s"], "c,d\ne");
        }
    }
    let lines = encode("ndjson", "s", 1);
    assert_eq!(
        lines.lines().next(),
        Some(
            "{\"time\":0,\"f\":1.5,\"i\":-9223372036854775808,\"u\":18446744073709551615,\
             \"b\":true,\"s\":\"a\\\"b\",\"x\":\"AP8=\"}"
        )
    );
    assert_eq!(lines.lines().count(), 3);
}

#[test]
fn tables_are_aligned() {
    let text = encode("table", "s", 1);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 6);
    assert!(lines[1].starts_with("----  ---  --------------------  "));
    assert_eq!(lines[5], "(3 rows)");
    assert!(encode("table", "s", 0).ends_with("(0 rows)\n"));
    assert_eq!(ResultType::Time.name(), "time");
}
