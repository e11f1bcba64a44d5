//! A text session on arbitrary bytes: no panic, and the same items whatever the pieces, with or without hints.
//!
//! The first byte is the size of the pieces.

#![no_main]

use edgetime_protocol::limits::Limits;
use edgetime_protocol::line::{Hints, Layout, NoHints, RawKey, key};
use edgetime_protocol::session::{Item, Session};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&size, text)) = data.split_first() else {
        return;
    };
    let whole = items(text, text.len().max(1), &mut NoHints);
    assert_eq!(items(text, usize::from(size).max(1), &mut NoHints), whole);
    assert_eq!(items(text, 1, &mut NoHints), whole);
    assert_eq!(items(text, text.len().max(1), &mut Last::default()), whole);
});

/// Expects every line to look like the one before it.
#[derive(Default)]
struct Last {
    key: Vec<u8>,
    layout: Option<Layout>,
}

impl Hints for Last {
    fn predicted(&self) -> &[u8] {
        &self.key
    }

    fn layout(&mut self, key: &RawKey<'_>) -> Option<&Layout> {
        if key.bytes == self.key {
            self.layout.as_ref()
        } else {
            None
        }
    }
}

/// What a session needs to know of its hints.
trait Learn: Hints {
    fn learn(&mut self, row: &edgetime_protocol::line::Row<'_>);
}

impl Learn for NoHints {
    fn learn(&mut self, _row: &edgetime_protocol::line::Row<'_>) {}
}

impl Learn for Last {
    fn learn(&mut self, row: &edgetime_protocol::line::Row<'_>) {
        self.key = row.key.to_vec();
        self.layout = Some(Layout::from_row(row));
    }
}

fn items<H: Learn>(text: &[u8], size: usize, hints: &mut H) -> Vec<String> {
    let limits = Limits {
        line_bytes_max: 300,
        string_bytes_max: 60,
        ..Limits::default()
    };
    let mut session = Session::new(limits.clone());
    let mut buffer = Vec::new();
    let mut found = Vec::new();
    let mut pieces = text.chunks(size);
    loop {
        let piece = pieces.next();
        match piece {
            Some(piece) => buffer.extend_from_slice(piece),
            None => session.finish(),
        }
        loop {
            match session.next(&buffer, hints) {
                Item::Row(row) => {
                    key::parse(row.key, &limits).expect("the key of a row is valid");
                    found.push(format!("{} {:?} {:?}", row.line, row.raw, row.time));
                    found.push(format!("{:?}", row.fields().collect::<Vec<_>>()));
                    hints.learn(&row);
                }
                Item::Directive(directive) => found.push(format!("{directive:?}")),
                Item::Rejected(rejected) => found.push(format!("{rejected:?}")),
                Item::Incomplete { .. } => break,
            }
        }
        buffer.drain(..session.take_consumed());
        if piece.is_none() {
            assert!(buffer.is_empty());
            return found;
        }
    }
}
