//! Both ends of a binary connection on arbitrary bytes: no panic, and the same events whatever the pieces.
//!
//! The first byte is the size of the pieces. A right checksum is unlikely, so the rest is also taken as frames without
//! one: type, length, payload, each made whole here.

#![no_main]

use edgetime_protocol::frame::{Frame, MAGIC};
use edgetime_protocol::message::{Hello, Message, Welcome};
use edgetime_protocol::peer::{ClientEnd, ServerEnd, ServerEvent};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&size, rest)) = data.split_first() else {
        return;
    };
    let size = usize::from(size).max(1);
    let mut bytes = vec![MAGIC];
    Message::Hello(hello())
        .encode(0, &mut bytes)
        .expect("small");
    frames(rest, &mut bytes);
    for bytes in [&bytes[..], rest] {
        let whole = served(bytes, bytes.len().max(1));
        assert_eq!(served(bytes, size), whole);
    }
    let mut bytes = Vec::new();
    let welcome = Welcome {
        features: u64::MAX,
        ..Welcome::new("", 1)
    };
    Message::Welcome(welcome)
        .encode(0, &mut bytes)
        .expect("small");
    frames(rest, &mut bytes);
    for bytes in [&bytes[..], rest] {
        let whole = heard(bytes, bytes.len().max(1));
        assert_eq!(heard(bytes, size), whole);
    }
});

fn hello() -> Hello {
    Hello {
        version_min: 1,
        version_max: 1,
        features: u64::MAX,
        client: String::new(),
        token: String::new(),
    }
}

fn frames(mut rest: &[u8], out: &mut Vec<u8>) {
    while let Some((&[kind, length], behind)) = rest.split_first_chunk() {
        let (payload, behind) = behind.split_at(usize::from(length).min(behind.len()));
        let frame = Frame {
            kind,
            request: u32::from(kind),
            payload,
        };
        frame.encode(out).expect("small");
        rest = behind;
    }
}

fn served(bytes: &[u8], size: usize) -> Vec<String> {
    let mut end = ServerEnd::default();
    let mut said = Vec::new();
    for piece in bytes.chunks(size) {
        end.buffer().extend_from_slice(piece);
        loop {
            let mut greeted = None;
            match end.next_event() {
                Ok(ServerEvent::Incomplete) => break,
                Ok(ServerEvent::Hello(hello)) => greeted = Some(hello),
                Ok(ServerEvent::Write {
                    request, payload, ..
                }) => said.push(format!("{request} {payload:?}")),
                Ok(event) => said.push(format!("{event:?}")),
                Err(violation) => {
                    said.push(violation.to_string());
                    break;
                }
            }
            if let Some(hello) = greeted {
                let welcome = end.welcome(&hello, Welcome::new("", 1), u64::MAX);
                said.push(format!("{welcome:?}"));
            }
        }
    }
    said
}

fn heard(bytes: &[u8], size: usize) -> Vec<String> {
    use edgetime_protocol::peer::ClientEvent;
    let mut end = ClientEnd::new(hello()).expect("small");
    let mut said = Vec::new();
    for piece in bytes.chunks(size) {
        end.buffer().extend_from_slice(piece);
        loop {
            match end.next_event() {
                Ok(ClientEvent::Incomplete) => break,
                Ok(event) => said.push(format!("{event:?} {}", end.may_write())),
                Err(error) => {
                    // The connection is over: what follows is not looked at.
                    said.push(error.to_string());
                    return said;
                }
            }
        }
    }
    said
}
