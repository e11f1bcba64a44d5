//! Any bytes into the decoders of the log's payloads, and of the state file's tokens: no panic, no more memory than the input can mean, and what
//! decodes is written the same way again.
#![no_main]

use edgetimedb::log::definitions;
use edgetimedb::log::deletion::Deletion;
use edgetimedb::log::expiry::Expiry;
use edgetimedb::log::producer::ProducerMark;
use edgetimedb::log::rows::RowsPayload;
use edgetimedb::log::token::{TokenChange, TokenList};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&kind, payload)) = input.split_first() else {
        return;
    };
    match kind % 7 {
        0 => {
            let mut known = 0;
            let decoded = definitions::decode(payload, |_| known += 1);
            assert!(known <= payload.len(), "{known} definitions");
            let _ = decoded;
        }
        1 => {
            if let Ok(deletion) = Deletion::decode(payload) {
                assert!(deletion.series.len() <= payload.len());
                assert_eq!(Deletion::decode(&deletion.encode()), Ok(deletion));
            }
        }
        2 => {
            if let Ok(expiry) = Expiry::decode(payload) {
                assert!(expiry.series.len() <= payload.len() / 2);
                assert_eq!(Expiry::decode(&expiry.encode()), Ok(expiry));
            }
        }
        3 => {
            if let Ok(mark) = ProducerMark::decode(payload) {
                assert!(mark.repeated.iter().flatten().count() <= payload.len() / 2);
                assert_eq!(ProducerMark::decode(&mark.encode()), Ok(mark));
            }
        }
        4 => {
            if let Ok(change) = TokenChange::decode(payload) {
                assert_eq!(TokenChange::decode(&change.encode()), Ok(change));
            }
        }
        5 => {
            if let Ok(list) = TokenList::decode(payload) {
                assert!(list.tokens.len() <= payload.len() / 32);
                assert_eq!(TokenList::decode(&list.encode()), Ok(list));
            }
        }
        _ => {
            if let Ok(rows) = RowsPayload::open(payload) {
                let mut seen = 0;
                let _ = rows.visit(|row| {
                    assert!(row.bits.len() == row.marks.len());
                    seen += 1;
                });
                assert!(seen <= payload.len(), "{seen} rows");
            }
        }
    }
});
