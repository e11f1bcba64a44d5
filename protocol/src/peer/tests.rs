//! Both ends against each other, in one piece and byte by byte.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

use super::*;
use crate::frame::{HEADER_BYTES, MAGIC};
use crate::message::{Failure, Hello, Message, Query, Token, Welcome, feature};
use crate::types::{AckLevel, FieldType};
use crate::write::{BatchHead, BatchReader, Declarer, RowCells, RowsBuilder, Section, Written};
use proptest::prelude::*;

fn hello(features: u64) -> Hello {
    Hello {
        version_min: 1,
        version_max: 1,
        features,
        client: "test".to_owned(),
        token: String::new(),
    }
}

/// What a client with every feature says in its first moments.
fn conversation() -> Vec<u8> {
    let mut client = ClientEnd::new(hello(u64::MAX)).expect("small");
    let mut declarer = Declarer::default();
    let table = declarer.table("", "cpu");
    let types = [FieldType::Float, FieldType::String];
    let fields = ["a", "b"].into_iter().zip(types);
    let fields: Vec<_> = fields.collect();
    let layout = declarer.layout(table, fields.into_iter());
    let series = declarer.series(table, [("host", "x")].into_iter());
    for payload in declarer.take_unsaid() {
        client.declare(payload).expect("small");
    }
    let mut rows = RowsBuilder::default();
    let row = RowCells {
        bits: &[215, crate::cell::heap(1, 2)],
        marks: &[1, 0],
        heap: b"xyz",
    };
    rows.push((layout, &types), series, Some(7), row, 0)
        .expect("room");
    rows.push((layout, &types), series, None, row, 1)
        .expect("room");
    let mut payload = Vec::new();
    let head = BatchHead {
        ack: AckLevel::Durable,
        producer: None,
    };
    rows.finish(head, &mut payload);
    client.write(&payload).expect("small");
    client.send(&Message::Ping).expect("small");
    let token = Token("secret".to_owned());
    client.send(&Message::Auth(token)).expect("small");
    client
        .send(&Message::Query(Query::default()))
        .expect("small");
    client.send_for(4, &Message::Cancel).expect("small");
    core::mem::take(client.output())
}

/// What the server's end makes of pieces.
fn served(pieces: &mut dyn Iterator<Item = &[u8]>) -> String {
    let mut end = ServerEnd::default();
    let mut said = String::new();
    for piece in pieces {
        end.buffer().extend_from_slice(piece);
        loop {
            let mut greeted = None;
            match end.next_event() {
                Ok(ServerEvent::Incomplete) => break,
                Ok(ServerEvent::Hello(hello)) => greeted = Some(hello),
                Ok(ServerEvent::Write {
                    request,
                    payload,
                    names,
                }) => {
                    let _ = write!(said, "{request} {}", names.series_count());
                    let mut reader = BatchReader::open(payload).expect("as written");
                    let mut section = Section::default();
                    while reader.next_section(&mut section).expect("as written") {
                        let _ = write!(said, "{section:?}");
                    }
                }
                Ok(event) => {
                    let _ = write!(said, "{event:?}");
                }
                Err(violation) => {
                    let _ = write!(said, "{violation:?}");
                    break;
                }
            }
            if let Some(hello) = greeted {
                let welcome = Welcome::new("server", 4);
                let answer = end.welcome(&hello, welcome, feature::WRITES);
                let _ = write!(said, "{answer:?}");
            }
        }
    }
    said
}

#[test]
fn a_server_hears_the_same_byte_by_byte() {
    let bytes = conversation();
    let whole = served(&mut core::iter::once(&bytes[..]));
    assert!(whole.contains("Cancel"), "{whole}");
    assert!(!whole.contains("Violation"), "{whole}");
    assert_eq!(served(&mut bytes.chunks(1)), whole);
    assert_eq!(served(&mut bytes.chunks(7)), whole);
}

/// What the client's end makes of pieces, and what it says meanwhile.
fn heard(pieces: &mut dyn Iterator<Item = &[u8]>) -> (String, Vec<u8>) {
    let mut end = ClientEnd::new(hello(7)).expect("small");
    let mut said = String::new();
    for piece in pieces {
        end.buffer().extend_from_slice(piece);
        loop {
            match end.next_event() {
                Ok(ClientEvent::Incomplete) => break,
                Ok(event) => {
                    let _ = write!(said, "{event:?} {}", end.may_write());
                }
                Err(error) => {
                    let _ = write!(said, "{error}");
                    break;
                }
            }
        }
    }
    (said, core::mem::take(end.output()))
}

fn answers(messages: &[(u32, Message)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (request, message) in messages {
        message.encode(*request, &mut bytes).expect("small");
    }
    bytes
}

fn welcome(features: u64) -> Message {
    Message::Welcome(Welcome {
        features,
        ..Welcome::new("server", 4)
    })
}

#[test]
fn a_client_hears_the_same_byte_by_byte() {
    let bytes = answers(&[
        (0, welcome(feature::WRITES)),
        (0, Message::Credits(100)),
        (5, Message::Ping),
        (1, Message::Written(Written::default())),
        (
            2,
            Message::Error(Failure::new(crate::error::Code::Busy, "later")),
        ),
        (0, Message::Query(Query::default())),
    ]);
    let whole = heard(&mut core::iter::once(&bytes[..]));
    assert!(whole.0.ends_with("a message that only clients send"));
    assert_eq!(heard(&mut bytes.chunks(1)), whole);
    let pong = answers(&[(5, Message::Pong)]);
    assert!(whole.1.ends_with(&pong));
}

#[test]
fn a_client_waits_for_credits() {
    let mut end = ClientEnd::new(hello(feature::WRITES)).expect("small");
    end.buffer()
        .extend_from_slice(&answers(&[(0, welcome(feature::WRITES))]));
    assert!(matches!(end.next_event(), Ok(ClientEvent::Welcome(_))));
    assert!(!end.may_write());
    end.buffer()
        .extend_from_slice(&answers(&[(0, Message::Credits(100))]));
    assert_eq!(end.next_event(), Ok(ClientEvent::Credits(100)));
    assert!(end.may_write());
    // One batch may be larger than what is left.
    end.write(&[0; 200]).expect("small");
    assert!(!end.may_write());
    let debt = 200 + HEADER_BYTES as u32 - 100;
    end.buffer()
        .extend_from_slice(&answers(&[(0, Message::Credits(debt))]));
    assert!(
        end.next_event().is_ok() && !end.may_write(),
        "0 is not positive"
    );
    end.buffer()
        .extend_from_slice(&answers(&[(0, Message::Credits(1))]));
    assert!(end.next_event().is_ok() && end.may_write());
}

#[test]
fn what_is_out_of_order_ends_the_connection() {
    let ping = answers(&[(0, Message::Ping)]);
    let magic = [&[MAGIC], &ping[..]].concat();
    let greeting = |features, rest: &Message| {
        let mut bytes = Vec::from([MAGIC]);
        let greeting = answers(&[(0, Message::Hello(hello(features))), (9, rest.clone())]);
        bytes.extend_from_slice(&greeting);
        bytes
    };
    let cases = [
        (ping.clone(), "its magic byte"),
        (magic, "begins with a hello"),
        (
            greeting(0, &Message::Declare(Vec::new())),
            "without the feature",
        ),
        (greeting(7, &Message::Hello(hello(0))), "a second hello"),
        (greeting(7, &Message::Ready), "only servers send"),
    ];
    for (bytes, expected) in cases {
        let said = served(&mut core::iter::once(&bytes[..]));
        assert!(said.contains(expected), "{said}");
        assert!(said.contains("BadFrame"), "{said}");
    }
    let mut old = hello(0);
    old.version_max = 0;
    old.version_min = 0;
    let mut bytes = Vec::from([MAGIC]);
    bytes.extend_from_slice(&answers(&[(0, Message::Hello(old))]));
    assert!(served(&mut core::iter::once(&bytes[..])).contains("BadVersion"));
}

proptest! {
    #[test]
    fn no_bytes_upset_either_end(bytes in prop::collection::vec(any::<u8>(), 0..200), flip in 0usize..4000) {
        served(&mut core::iter::once(&bytes[..]));
        heard(&mut core::iter::once(&bytes[..]));
        let mut said = conversation();
        let bit = flip % (said.len() * 8);
        said[bit / 8] ^= 1 << (bit % 8);
        let whole = served(&mut core::iter::once(&said[..]));
        prop_assert_eq!(served(&mut said.chunks(1)), whole);
    }
}
