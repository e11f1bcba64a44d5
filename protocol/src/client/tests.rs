//! The client against scripted servers on loopback.

use std::borrow::ToOwned;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::vec::Vec;

use super::*;
use crate::columns::{ResultBatch, ResultColumn, ResultType, ResultValues};
use crate::frame::{Frame, MAGIC, PAYLOAD_BYTES_MAX};
use crate::message::{End, Failure, Message, QueryOptions, Welcome, feature};
use crate::peer::{ServerEnd, ServerEvent};
use crate::types::{AckLevel, Precision};
use crate::write::{BatchReader, Producer, Section, Written};

/// A server for one connection.
fn server<T: Send + 'static>(
    script: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (SocketAddr, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = listener.local_addr().expect("an address");
    (
        address,
        thread::spawn(move || script(listener.accept().expect("a client").0)),
    )
}

#[test]
fn a_writer_sends_its_session_and_hears_answers_while_writing() {
    let (address, script) = server(|stream| {
        let mut out = stream.try_clone().expect("clone");
        let mut lines = Vec::new();
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            match line.as_str() {
                "#edge sync" => out.write_all(b"+synced 77\n").expect("answer"),
                "#edge ping" => out.write_all(b"+pong\n").expect("answer"),
                // Far more answers than socket buffers hold: only a client that reads gets through.
                line if line.starts_with("flood") => {
                    out.write_all(&b"-5 bad_syntax no fields (byte 1)\n".repeat(40))
                        .expect("answer");
                }
                _ => {}
            }
            lines.push(line);
        }
        out.write_all(b"+99 2\n-7 brand_new what is that\n")
            .expect("answer");
        lines
    });
    let options = WriterOptions {
        database: Some("plant".to_owned()),
        token: Some("t0".to_owned()),
        precision: Precision::Seconds,
        ack: AckLevel::Accepted,
        rejected_max: 3,
        ..WriterOptions::default()
    };
    let mut writer = Writer::connect(address, &options).expect("connect");
    writer.write_raw(b"m a=1\nm a").expect("write");
    writer.write_raw(b"=2").expect("write");
    assert_eq!(writer.sync().expect("sync"), 77);
    writer.ping().expect("ping");
    let flood = b"flood\n".repeat(10_000);
    writer.write_raw(&flood).expect("write");
    let report = writer.finish().expect("finish");
    assert_eq!((report.rows_acknowledged, report.position), (2, 99));
    assert_eq!(report.rejected_count, 400_001);
    assert_eq!(report.rejected.len(), 3);
    assert_eq!(
        Vec::from_iter(report.reasons),
        [(None, 1), (Some(Code::BadSyntax), 400_000)]
    );
    // Line 5 of the connection is the first of the caller: four directives stand before it.
    assert_eq!(
        (report.rejected[0].line, report.rejected[0].code),
        (1, Some(Code::BadSyntax))
    );
    let lines = script.join().expect("script");
    assert_eq!(
        lines[..8],
        [
            "#edge auth t0",
            "#edge db plant",
            "#edge precision s",
            "#edge ack accepted",
            "m a=1",
            "m a=2",
            "#edge sync",
            "#edge ping"
        ]
    );
}

#[test]
fn a_writer_whose_server_leaves_says_so() {
    let (address, script) = server(drop);
    let mut writer = Writer::connect(address, &WriterOptions::default()).expect("connect");
    script.join().expect("script");
    assert!(writer.sync().is_err());
}

/// Reads one message of the client.
fn receive(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<(u32, Message)> {
    loop {
        if let Some((frame, length)) = Frame::decode(buffer, PAYLOAD_BYTES_MAX).expect("a frame") {
            let message = (frame.request, Message::decode(&frame).expect("a message"));
            buffer.drain(..length);
            return Some(message);
        }
        let mut bytes = [0; 1024];
        match stream.read(&mut bytes).expect("read") {
            0 => return None,
            read => buffer.extend_from_slice(&bytes[..read]),
        }
    }
}

fn send(stream: &mut TcpStream, request: u32, message: &Message) {
    let mut bytes = Vec::new();
    message.encode(request, &mut bytes).expect("small");
    stream.write_all(&bytes).expect("write");
}

fn times(values: Vec<i64>) -> Message {
    Message::Batch(ResultBatch {
        columns: vec![ResultValues::Time(values).into()],
    })
}

/// Greets, then answers queries by their text until the client leaves; gives what was cancelled.
fn query_server(mut stream: TcpStream) -> Vec<u32> {
    let mut magic = [0];
    stream.read_exact(&mut magic).expect("magic");
    assert_eq!(magic, [MAGIC]);
    let mut buffer = Vec::new();
    let mut cancelled = Vec::new();
    while let Some((request, message)) = receive(&mut stream, &mut buffer) {
        match message {
            Message::Hello(_) => send(
                &mut stream,
                request,
                &Message::Welcome(Welcome::new("test", 1)),
            ),
            Message::Ping => send(&mut stream, request, &Message::Pong),
            Message::Cancel => {
                cancelled.push(request);
                let failure = Failure::new(Code::Cancelled, "as asked");
                send(&mut stream, request, &Message::Error(failure));
            }
            Message::Query(query) if query.sql == "bad" => {
                let failure = Failure {
                    offset: Some(2),
                    ..Failure::new(Code::BadSql, "no")
                };
                send(&mut stream, request, &Message::Error(failure));
            }
            Message::Query(query) => {
                let column = ResultColumn {
                    name: "time".to_owned(),
                    column_type: ResultType::Time,
                };
                send(&mut stream, request, &Message::Columns(vec![column]));
                send(&mut stream, request, &times(vec![1, 2]));
                if query.sql == "long" {
                    continue;
                }
                send(&mut stream, request, &times(vec![3]));
                let end = End {
                    rows: 3,
                    elapsed_ns: 5,
                    warnings: vec!["w".to_owned()],
                };
                send(&mut stream, request, &Message::End(end));
            }
            other => panic!("{other:?}"),
        }
    }
    cancelled
}

#[test]
fn queries_stream_fail_and_are_cancelled_on_drop() {
    let (address, script) = server(query_server);
    let mut connection =
        Connection::connect(address, &ConnectionOptions::default()).expect("connect");
    assert_eq!(connection.server().server, "test");
    connection.ping().expect("ping");

    let failed = connection
        .query("", "bad", QueryOptions::default())
        .expect_err("refused");
    assert!(matches!(
        failed,
        ClientError::Server {
            code: Some(Code::BadSql),
            offset: Some(2),
            ..
        }
    ));

    let mut rows = connection
        .query("", "long", QueryOptions::default())
        .expect("columns");
    assert_eq!(rows.next().expect("a batch").expect("rows").rows(), 2);
    drop(rows);

    let rows = connection
        .query("", "short", QueryOptions::default())
        .expect("columns");
    assert_eq!(rows.columns()[0].name, "time");
    let (_, batches, end) = rows.collect_all().expect("all");
    assert_eq!(
        batches.iter().map(ResultBatch::rows).collect::<Vec<_>>(),
        [2, 1]
    );
    assert_eq!((end.rows, end.warnings.len()), (3, 1));
    drop(connection);
    assert_eq!(script.join().expect("script"), [3]);
}

/// Takes the batches of one connection, each answered by what `answer` makes of its rows, until there is none.
fn batch_server(
    mut stream: TcpStream,
    answer: impl Fn(u32) -> Option<Written>,
) -> Vec<Option<Producer>> {
    let mut end = ServerEnd::default();
    let mut producers = Vec::new();
    loop {
        let mut said = Vec::new();
        match end.next_event().expect("well formed") {
            ServerEvent::Incomplete => {
                let mut bytes = [0; 1024];
                match stream.read(&mut bytes).expect("read") {
                    0 => return producers,
                    read => end.buffer().extend_from_slice(&bytes[..read]),
                }
            }
            ServerEvent::Hello(hello) => {
                let features = feature::WRITES | feature::PRODUCERS;
                let welcome = end.welcome(&hello, Welcome::new("test", 1), features);
                let welcome = welcome.expect("a version in common");
                said.extend([(0, welcome), (0, Message::Credits(1_000_000))]);
            }
            ServerEvent::Write {
                request, payload, ..
            } => {
                let mut batch = BatchReader::open(payload).expect("a batch");
                let (mut section, mut rows) = (Section::default(), 0);
                while batch.next_section(&mut section).expect("sections") {
                    rows += section.rows() as u32;
                }
                producers.push(batch.head().producer);
                match answer(rows) {
                    Some(written) => said.push((request, Message::Written(written))),
                    None => return producers,
                }
            }
            _ => {}
        }
        for (request, message) in said {
            send(&mut stream, request, &message);
        }
    }
}

#[test]
fn a_batch_refused_as_a_whole_is_sent_again_as_the_same() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = listener.local_addr().expect("an address");
    let script = thread::spawn(move || {
        let accept = || listener.accept().expect("a client").0;
        let busy = |rows| {
            let mut written = Written::default();
            (0..rows).for_each(|row| written.refuse(row, Code::Busy, || "full".to_owned()));
            Some(written)
        };
        let stored = |rows: u32| {
            Some(Written {
                rows: rows.into(),
                ..Written::default()
            })
        };
        let refused = batch_server(accept(), busy);
        let lost = batch_server(accept(), |_| None);
        [refused, lost, batch_server(accept(), stored)]
    });
    let options = BatchOptions {
        retries_max: 0,
        ..BatchOptions::default()
    };
    let mut writer = BatchWriter::connect(address, options).expect("connects");
    let push = |writer: &mut BatchWriter, value| {
        let fields = [("v", FieldValue::Integer(value))];
        writer.push("m", &[], &fields, None, 0).expect("gathered");
    };
    push(&mut writer, 1);
    push(&mut writer, 2);
    let error = writer.sync().expect_err("refused");
    assert!(error.is_retryable(), "{error}");
    // There is no connection now: what the next one will know of producers is remembered.
    push(&mut writer, 3);
    assert!(matches!(writer.sync(), Err(ClientError::Closed)));
    let report = writer.finish().expect("stored");
    assert_eq!((report.rows, report.refused_count), (3, 0));
    let [refused, lost, stored] = script.join().expect("script");
    let sequences = |batches: &[Option<Producer>]| -> Vec<Option<u64>> {
        batches
            .iter()
            .map(|one| Some(one.as_ref()?.sequence))
            .collect()
    };
    assert_eq!(sequences(&refused), [Some(1)]);
    assert_eq!(sequences(&lost), [Some(1)]);
    assert_eq!(sequences(&stored), [Some(1), Some(2)]);
    assert_eq!(refused[0], stored[0]);
}
