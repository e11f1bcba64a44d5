//! A session yields the same items however its bytes are split.

use super::*;
use crate::line::NoHints;
use proptest::prelude::*;
use std::string::String;
use std::vec::Vec;

/// What a session said, owned.
pub(super) fn items(session: &mut Session, pieces: &[&[u8]]) -> Vec<String> {
    let mut buffer = Vec::new();
    let mut found = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        drain(session, &mut buffer, &mut found);
    }
    session.finish();
    drain(session, &mut buffer, &mut found);
    assert!(buffer.is_empty(), "everything is consumed at the end");
    found
}

fn drain(session: &mut Session, buffer: &mut Vec<u8>, found: &mut Vec<String>) {
    loop {
        match session.next(buffer, &mut NoHints) {
            Item::Row(row) => {
                let fields: Vec<_> = row.fields().collect();
                found.push(format!(
                    "{} {:?} {:?} {:?}",
                    row.line, row.raw, row.time, fields
                ));
            }
            Item::Directive(directive) => found.push(format!("{directive:?}")),
            Item::Rejected(rejected) => found.push(format!("{rejected:?}")),
            Item::Incomplete { .. } => break,
        }
    }
    buffer.drain(..session.take_consumed());
}

fn short(limits: Limits, text: &[u8]) -> Vec<String> {
    let mut session = Session::new(limits);
    let mut found = Vec::new();
    let mut buffer = text.to_vec();
    session.finish();
    loop {
        match session.next(&buffer, &mut NoHints) {
            Item::Row(row) => found.push(format!("{} row", row.line)),
            Item::Directive(d) => found.push(format!("{} {:?}", d.line, d.directive)),
            Item::Rejected(r) => found.push(format!(
                "{} {} {}",
                r.line,
                r.error.code,
                String::from_utf8_lossy(r.raw)
            )),
            Item::Incomplete { .. } => break,
        }
    }
    buffer.drain(..session.take_consumed());
    assert!(buffer.is_empty());
    found
}

#[test]
fn lines_are_counted_and_bad_ones_cost_only_themselves() {
    let text =
        b"#edge db plant\n\n# note\ncpu a=1\nbad\ncpu a=\"x\ny\",b=2 5\ncpu c=\"p\nq\"r\ncpu d=4";
    assert_eq!(
        short(Limits::default(), text),
        [
            "1 Database(\"plant\")",
            "4 row",
            "5 bad_syntax bad",
            "6 row",
            "8 bad_syntax cpu c=\"p",
            "9 bad_syntax q\"r",
            "10 row",
        ]
    );
}

#[test]
fn limits_cost_one_line() {
    let limits = Limits {
        line_bytes_max: 40,
        string_bytes_max: 8,
        name_bytes_max: 10,
        fields_max: 2,
        tags_max: 1,
    };
    let text = b"m a=\"123456789\"\nm a=\"12345678\"\nm a=1,b=2,c=3\nm,a=1,b=2 c=3\nmmmmmmmmmmm a=1\n\
        m a=1                                    \nm a=1                                   \nm a=1\n";
    assert_eq!(
        short(limits, text),
        [
            "1 string_too_long m a=\"123456789\"",
            "2 row",
            "3 too_many_fields m a=1,b=2,c=3",
            "4 too_many_tags m,a=1,b=2 c=3",
            "5 name_too_long mmmmmmmmmmm a=1",
            "6 line_too_long m a=1                                   ",
            "7 row",
            "8 row",
        ]
    );
}

#[test]
fn an_abandoned_string_costs_its_first_line() {
    let mut session = Session::new(Limits::default());
    let buffer = b"m a=\"open\nm b=1\nm c=2";
    assert!(matches!(
        session.next(buffer, &mut NoHints),
        Item::Incomplete { quoted: true }
    ));
    assert!(matches!(
        session.next(buffer, &mut NoHints),
        Item::Incomplete { quoted: true }
    ));
    session.abandon();
    match session.next(buffer, &mut NoHints) {
        Item::Rejected(rejected) => {
            assert_eq!((rejected.line, rejected.raw), (1, &b"m a=\"open"[..]));
            assert_eq!(rejected.error.code, Code::StringLeftOpen);
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(session.next(buffer, &mut NoHints), Item::Row(row) if row.line == 2));
    assert!(matches!(
        session.next(buffer, &mut NoHints),
        Item::Incomplete { quoted: false }
    ));
    assert_eq!(session.take_consumed(), buffer.len() - 5);
}

#[test]
fn an_abandoned_string_without_a_newline_is_skipped_to_the_next() {
    let mut session = Session::new(Limits::default());
    assert!(matches!(
        session.next(b"m a=\"op", &mut NoHints),
        Item::Incomplete { quoted: true }
    ));
    session.abandon();
    assert!(matches!(
        session.next(b"m a=\"op", &mut NoHints),
        Item::Rejected(_)
    ));
    assert_eq!(session.take_consumed(), 7);
    assert!(matches!(
        session.next(b"en\" x", &mut NoHints),
        Item::Incomplete { quoted: false }
    ));
    assert_eq!(session.take_consumed(), 5);
    assert!(matches!(session.next(b"y\nm a=1\n", &mut NoHints), Item::Row(row) if row.line == 2));
}

#[test]
fn precision_directives_are_in_force_at_once() {
    let mut session = Session::new(Limits::default());
    let buffer = b"#edge precision s\nm a=1 7\n";
    assert!(matches!(
        session.next(buffer, &mut NoHints),
        Item::Directive(_)
    ));
    assert!(
        matches!(session.next(buffer, &mut NoHints), Item::Row(row) if row.time == Some(7_000_000_000))
    );
}

#[test]
fn the_first_byte_tells_the_protocol() {
    assert_eq!(Opening::of(0x16), Opening::Tls);
    assert_eq!(Opening::of(crate::frame::MAGIC), Opening::Binary);
    assert_eq!(Opening::of(b'c'), Opening::Text);
}

#[test]
fn pieces_of_a_long_line_are_not_scanned_again() {
    // 4 MiB in 64-byte pieces: quadratic work would take minutes.
    let limits = Limits {
        line_bytes_max: 8 << 20,
        string_bytes_max: 8 << 20,
        ..Limits::default()
    };
    let mut session = Session::new(limits);
    let mut text = b"m a=\"".to_vec();
    text.resize(4 << 20, b'\n');
    text.extend_from_slice(b"\"\n");
    for end in (64..text.len()).step_by(64) {
        assert!(matches!(
            session.next(&text[..end], &mut NoHints),
            Item::Incomplete { quoted: true }
        ));
    }
    assert!(matches!(session.next(&text, &mut NoHints), Item::Row(_)));
}

/// Text that comes near the grammar often enough to reach its corners.
fn near_lines() -> impl Strategy<Value = Vec<u8>> {
    let parts = prop::sample::select(vec![
        "m",
        ",",
        "t=v",
        "=",
        " ",
        "a=1",
        "b=2.5",
        "c=\"",
        "\"",
        "\\",
        "\n",
        "\r",
        "#",
        "#edge ",
        "db x",
        "precision s",
        "1",
        "-5",
        "i",
        "u",
        "e3",
        "t",
        "true",
        "\t",
        "é",
        "123456789012345678",
    ]);
    let bytes = prop_oneof![
        9 => parts.prop_map(|part| part.as_bytes().to_vec()),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    prop::collection::vec(bytes, 0..60).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn items_do_not_depend_on_the_pieces(text in near_lines(), cuts in prop::collection::vec(1usize..20, 1..8)) {
        let limits = Limits { line_bytes_max: 48, string_bytes_max: 16, ..Limits::default() };
        let whole = items(&mut Session::new(limits.clone()), &[&text]);
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        prop_assert_eq!(&items(&mut Session::new(limits.clone()), &bytes), &whole);
        let mut pieces = Vec::new();
        let mut rest = &text[..];
        for &cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, behind) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece);
            rest = behind;
        }
        prop_assert_eq!(&items(&mut Session::new(limits), &pieces), &whole);
    }
}
