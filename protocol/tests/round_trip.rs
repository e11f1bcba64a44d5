//! Points written by the encoder and read by a session; and hints, which never change what a line means.

use edgetime_protocol::limits::Limits;
use edgetime_protocol::line::encode::{self, Point};
use edgetime_protocol::line::key::{self, unescape_field_key};
use edgetime_protocol::line::{Hints, Layout, NoHints, RawKey, Row, Value};
use edgetime_protocol::session::{Item, Session};
use edgetime_protocol::types::Precision;
use proptest::prelude::*;

type Owned = (
    String,
    Vec<(String, String)>,
    Vec<(String, Value)>,
    Option<i64>,
);

fn owned(row: &Row<'_>) -> Owned {
    let series = key::parse(row.key, &Limits::default()).expect("the key of a row is valid");
    let tags = series
        .tags()
        .map(|(key, value)| (key.into_owned(), value.into_owned()))
        .collect();
    let fields = row
        .fields()
        .map(|field| (unescape_field_key(field.key).into_owned(), field.value))
        .collect();
    (series.measurement().into_owned(), tags, fields, row.time)
}

fn read(text: &[u8], hints: &mut impl Hints) -> Vec<Result<Owned, String>> {
    let mut session = Session::new(Limits::default());
    session.finish();
    let mut rows = Vec::new();
    loop {
        match session.next(text, hints) {
            Item::Row(row) => rows.push(Ok(owned(&row))),
            Item::Directive(_) => {}
            Item::Rejected(rejected) => rows.push(Err(format!("{rejected:?}"))),
            Item::Incomplete { .. } => return rows,
        }
    }
}

fn name() -> impl Strategy<Value = String> {
    "[a-z ,=\"\\\\é#]{0,6}[a-zé=, ]".prop_filter("a comment", |name| !name.starts_with('#'))
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<f64>()
            .prop_filter("finite", |value| value.is_finite())
            .prop_map(Value::Float),
        (any::<i32>(), 0i32..9).prop_map(|(m, s)| Value::Float(f64::from(m) / 10f64.powi(s))),
        any::<i64>().prop_map(Value::Integer),
        (-2000i64..2000).prop_map(Value::Integer),
        any::<u64>().prop_map(Value::Unsigned),
        any::<bool>().prop_map(Value::Boolean),
        "[a-z\"\\\\ ,=\n\r\té]{0,12}".prop_map(Value::String),
    ]
}

fn point() -> impl Strategy<Value = Owned> {
    let tags = prop::collection::btree_map(name(), name(), 0..4);
    let fields = prop::collection::vec((name(), value()), 1..5);
    (name(), tags, fields, any::<Option<i64>>())
        .prop_map(|(name, tags, fields, time)| (name, tags.into_iter().collect(), fields, time))
}

fn append(out: &mut Vec<u8>, (measurement, tags, fields, time): &Owned) {
    let tags: Vec<_> = tags
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    let fields: Vec<_> = fields
        .iter()
        .map(|(key, value)| (key.as_str(), value.clone()))
        .collect();
    let point = Point {
        measurement,
        tags: &tags,
        fields: &fields,
        time: *time,
    };
    encode::point(out, &point, Precision::Nanoseconds).expect("a point that can be written");
    out.push(b'\n');
}

/// Predicts the key of the line before, and always has the layout of some earlier row.
#[derive(Default)]
struct Learned {
    key: Vec<u8>,
    layout: Option<Layout>,
}

impl Hints for Learned {
    fn predicted(&self) -> &[u8] {
        &self.key
    }

    fn layout(&mut self, key: &RawKey<'_>) -> Option<&Layout> {
        if key.predicted {
            self.layout.as_ref()
        } else {
            None
        }
    }
}

/// Reads `text` with hints taken from the first row of `lesson`.
fn read_after(lesson: &[u8], text: &[u8]) -> Vec<Result<Owned, String>> {
    let mut session = Session::new(Limits::default());
    session.finish();
    let mut hints = Learned::default();
    if let Item::Row(row) = session.next(lesson, &mut NoHints) {
        hints = Learned {
            key: row.key.to_vec(),
            layout: Some(Layout::from_row(&row)),
        };
    }
    read(text, &mut hints)
}

fn short_value() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "1i",
        "-1i",
        "0",
        "-0",
        "21.5",
        "-21.50",
        "1234567",
        "12345678",
        "1.12345678",
        "1u",
        "t",
        "\"a\nb\"",
        "1e3",
        "",
        "x",
        "1x",
        ".5",
        "5.",
        "99999999999i",
        "-",
        "1.2.3",
        "1ii",
        "1.i",
    ])
}

/// A line of few measurements, keys and endings, so that hints nearly fit.
fn similar_line() -> impl Strategy<Value = String> {
    let keys = prop::sample::select(vec!["a", "b", "usage_guest", "usage_guest_nice", "c\\ d"]);
    let ends = prop::sample::select(vec![
        "\n",
        " 5\n",
        "\r\n",
        "  7 \n",
        " 1451606400000000000\n",
        ",\n",
        " x\n",
        " 1 2\n",
    ]);
    let measurement = prop::sample::select(vec!["m", "m,t=v", "m,t=v2"]);
    let fields = prop::collection::vec((keys, short_value()), 1..5);
    (measurement, fields, ends).prop_map(|(measurement, fields, end)| {
        let fields: Vec<_> = fields
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        format!("{measurement} {}{end}", fields.join(","))
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(points in prop::collection::vec(point(), 1..5)) {
        let mut text = Vec::new();
        for point in &points {
            append(&mut text, point);
        }
        let expected: Vec<Result<Owned, String>> = points.into_iter().map(Ok).collect();
        prop_assert_eq!(read(&text, &mut NoHints), expected);
    }

    #[test]
    fn hints_change_nothing(lines in prop::collection::vec(similar_line(), 2..6)) {
        let text = lines.concat();
        let expected = read(text.as_bytes(), &mut NoHints);
        for line in &lines {
            prop_assert_eq!(&read_after(line.as_bytes(), text.as_bytes()), &expected);
        }
    }
}

#[test]
fn a_layout_says_whether_it_matched() {
    let lesson = b"m,t=v a=1,b=\"x\",c=3 1\n";
    let mut session = Session::new(Limits::default());
    let Item::Row(row) = session.next(lesson, &mut NoHints) else {
        panic!("a row")
    };
    assert!(!row.layout_matched && !row.key_predicted);
    let layout = Layout::from_row(&row);
    assert_eq!(layout.keys().collect::<Vec<_>>(), [b"a", b"b", b"c"]);
    let mut hints = Learned {
        key: row.key.to_vec(),
        layout: Some(layout.clone()),
    };
    for (text, predicted, matched) in [
        (&b"m,t=v a=2,b=\"y\",c=5.5 2\n"[..], true, true),
        (b"m,t=v a=2,b=7i,c=5.5\n", true, true),
        (b"m,t=v a=2,b=7i\n", true, false),
        (b"m,t=v a=2,c=7i,b=1\n", true, false),
        (b"m,t=v a=2,b=7i,c=5,d=6\n", true, false),
        (b"m,t=w a=2,b=7i,c=5\n", false, false),
    ] {
        let mut session = Session::new(Limits::default());
        let Item::Row(row) = session.next(text, &mut hints) else {
            panic!("a row")
        };
        assert_eq!(
            (row.key_predicted, row.layout_matched),
            (predicted, matched),
            "{text:?}"
        );
        assert_eq!(
            Layout::from_row(&row) == layout,
            matched || row.key.ends_with(b"w")
        );
    }
}
