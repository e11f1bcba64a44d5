//! Binary writes to a real server: every type, refusals row by row, levels, credits, and what ends a connection.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use edgetime_protocol::cell::{self, MARK_NULL, MARK_RAW};
use edgetime_protocol::client::{BatchOptions, BatchWriter, FieldValue};
use edgetime_protocol::error::Code;
use edgetime_protocol::message::{Failure, Hello, Message, Query, QueryOptions, Token, feature};
use edgetime_protocol::peer::{ClientEnd, ClientEvent};
use edgetime_protocol::types::{AckLevel, FieldType};
use edgetime_protocol::write::{BatchHead, Declarer, RowCells, RowsBuilder, Written};
use support::Server;

/// A client made of the protocol's own parts.
struct Peer {
    stream: TcpStream,
    end: ClientEnd,
    declarer: Declarer,
    rows: RowsBuilder,
}

impl Peer {
    fn connect(server: &Server, features: u64) -> Self {
        let stream = TcpStream::connect(server.data).expect("listens");
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .expect("a socket");
        let hello = Hello {
            version_min: 1,
            version_max: 1,
            features,
            client: "test".to_owned(),
            token: "any".to_owned(),
        };
        let mut peer = Self {
            stream,
            end: ClientEnd::new(hello).expect("small"),
            declarer: Declarer::default(),
            rows: RowsBuilder::default(),
        };
        peer.send();
        assert!(matches!(peer.event(), Some(ClientEvent::Welcome(_))));
        if features & feature::WRITES != 0 {
            assert!(matches!(peer.event(), Some(ClientEvent::Credits(_))));
        }
        peer
    }

    /// Declares a layout of one double, and the series without tags of a measurement.
    fn series_of(&mut self, measurement: &str, field: &str) -> (u32, u32) {
        let table = self.declarer.table("", measurement);
        let fields = [(field, FieldType::Float)].into_iter();
        let layout = self.declarer.layout(table, fields);
        (layout, self.declarer.series(table, [].into_iter()))
    }

    fn send(&mut self) {
        let bytes = std::mem::take(self.end.output());
        self.stream.write_all(&bytes).expect("writable");
    }

    /// What the server says next; `None` where it closed.
    fn event(&mut self) -> Option<ClientEvent> {
        support::next_event(&mut self.stream, &mut self.end)
    }

    /// The next answer that is no credit.
    fn answer(&mut self) -> (u32, Message) {
        loop {
            match self.event() {
                Some(ClientEvent::Message(request, message)) => return (request, message),
                Some(_) => {}
                None => panic!("closed"),
            }
        }
    }

    fn written(&mut self, of: u32) -> Written {
        match self.answer() {
            (request, Message::Written(written)) if request == of => written,
            other => panic!("{other:?}"),
        }
    }

    fn declare(&mut self) {
        for payload in self.declarer.take_unsaid() {
            self.end.declare(payload).expect("small");
        }
    }

    /// Sends the rows that were gathered.
    fn write(&mut self, ack: AckLevel) -> u32 {
        self.declare();
        let head = BatchHead {
            ack,
            producer: None,
        };
        let mut payload = Vec::new();
        self.rows.finish(head, &mut payload);
        let request = self.end.write(&payload).expect("small");
        self.send();
        request
    }

    fn push(
        &mut self,
        layout: (u32, &[FieldType]),
        series: u32,
        time: Option<i64>,
        cells: &[(u64, u8)],
        heap: &[u8],
    ) {
        let (bits, marks): (Vec<u64>, Vec<u8>) = cells.iter().copied().unzip();
        let cells = RowCells {
            bits: &bits,
            marks: &marks,
            heap,
        };
        self.rows
            .push(layout, series, time, cells, 0)
            .expect("room");
    }
}

fn server() -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &["--no-self-monitor"]);
    (folder, server)
}

const T: i64 = 1_700_000_000_000_000_000;
const FLOAT: &[FieldType] = &[FieldType::Float];

#[test]
fn values_of_every_type_are_stored() {
    let (_folder, server) = server();
    let mut peer = Peer::connect(&server, feature::WRITES);
    let table = peer.declarer.table("plant", "all types");
    let types = FieldType::ALL;
    let fields: Vec<_> = ["f", "i", "u", "b", "s", "x"]
        .into_iter()
        .zip(types)
        .collect();
    let layout = peer.declarer.layout(table, fields.into_iter());
    let series = [
        peer.declarer
            .series(table, [("z", "1"), ("a", "x y")].into_iter()),
        peer.declarer.series(table, [].into_iter()),
    ];
    let heap = b"text\x00\xff";
    peer.push(
        (layout, &types),
        series[0],
        Some(T),
        &[
            (215, 1),
            ((-5i64) as u64, 0),
            (u64::MAX, 0),
            (1, 0),
            (cell::heap(0, 4), 0),
            (cell::heap(4, 2), 0),
        ],
        heap,
    );
    let null = (0, MARK_NULL);
    peer.push(
        (layout, &types),
        series[1],
        None,
        &[
            (1e300f64.to_bits(), MARK_RAW),
            null,
            null,
            null,
            null,
            (cell::heap(0, 0), 0),
        ],
        heap,
    );
    let request = peer.write(AckLevel::Durable);
    let written = peer.written(request);
    assert_eq!(
        (written.level, written.rows, written.refused),
        (AckLevel::Durable, 2, vec![])
    );
    assert!(written.position > 0);
    let rows = server
        .try_query(
            "plant",
            "SELECT a, z, f, i, u, b, s, x FROM \"all types\" ORDER BY time",
        )
        .expect("answers");
    assert_eq!(
        rows[0],
        [
            "x y",
            "1",
            "21.5",
            "-5",
            "18446744073709551615",
            "true",
            "text",
            "[0, 255]"
        ]
    );
    assert_eq!(rows.len(), 2);
    drop(peer);
    // What was acknowledged as durable survives.
    assert!(server.terminate());
}

#[test]
fn a_bad_row_costs_itself_alone_and_can_be_read_back() {
    let (_folder, server) = server();
    let mut peer = Peer::connect(&server, feature::WRITES);
    let table = peer.declarer.table("", "m");
    let layout = peer
        .declarer
        .layout(table, [("v", FieldType::Float)].into_iter());
    let good = peer.declarer.series(table, [("t", "good")].into_iter());
    let twice = peer
        .declarer
        .series(table, [("t", "1"), ("t", "2")].into_iter());
    let of_strings = peer
        .declarer
        .layout(table, [("s", FieldType::String)].into_iter());
    let wrong = peer.declarer.table("no such name!", "m");
    let wrong_layout = peer
        .declarer
        .layout(wrong, [("v", FieldType::Float)].into_iter());
    let wrong_series = peer.declarer.series(wrong, [].into_iter());
    let value = [(15, 1)];
    peer.push((layout, FLOAT), twice, Some(T), &value, b"");
    peer.push((layout, FLOAT), good, Some(T), &value, b"");
    peer.push((layout, FLOAT), good, Some(5), &value, b"");
    peer.push((layout, FLOAT), good, Some(i64::MAX), &value, b"");
    peer.push((layout, FLOAT), good, Some(T + 1), &[(0, MARK_NULL)], b"");
    peer.push((layout, FLOAT), good, Some(T + 2), &value, b"");
    let long = vec![b'x'; 65_537];
    let strings = &[FieldType::String][..];
    let whole = [(cell::heap(0, 65_537), 0)];
    peer.push((of_strings, strings), good, Some(T), &whole, &long);
    let fits = [(cell::heap(0, 65_536), 0)];
    peer.push((of_strings, strings), good, Some(T + 3), &fits, &long);
    peer.push((wrong_layout, FLOAT), wrong_series, Some(T), &value, b"");
    let request = peer.write(AckLevel::Accepted);
    let written = peer.written(request);
    assert_eq!((written.level, written.rows), (AckLevel::Accepted, 3));
    let mut refused: Vec<(u32, Code)> = written
        .refused
        .iter()
        .flat_map(|one| {
            one.rows
                .iter()
                .map(|&row| (row, one.known_code().expect("known")))
        })
        .collect();
    refused.sort_unstable();
    assert_eq!(
        refused,
        [
            (0, Code::DuplicateTag),
            (2, Code::TimeOutOfRange),
            (3, Code::TimeInFuture),
            (4, Code::BadSyntax),
            (6, Code::StringTooLong),
            (8, Code::BadDatabaseName),
        ]
    );
    let kept = server.query("SELECT line, code, text FROM _rejected ORDER BY line");
    assert_eq!(kept.len(), refused.len());
    assert_eq!(kept[1][..2], ["3", "time_out_of_range"]);
    assert_eq!(kept[1][2], "m,t=good v=1.5 5");
    // Only refusals are told where nothing was asked for.
    peer.push((layout, FLOAT), good, Some(T + 4), &value, b"");
    peer.write(AckLevel::None);
    peer.push((layout, FLOAT), twice, Some(T), &value, b"");
    let request = peer.write(AckLevel::None);
    let written = peer.written(request);
    assert_eq!((written.rows, written.refused_count()), (0, 1));
    assert_eq!(server.query("SELECT count(v) FROM m"), [["3"]]);
}

#[test]
fn names_may_be_forgotten_and_a_dropped_measurement_comes_back() {
    let (_folder, server) = server();
    let mut peer = Peer::connect(&server, feature::WRITES);
    let (layout, series) = peer.series_of("m", "v");
    peer.push((layout, FLOAT), series, Some(T), &[(1, 0)], b"");
    let request = peer.write(AckLevel::Durable);
    assert_eq!(peer.written(request).rows, 1);
    server.try_query("", "DROP MEASUREMENT m").expect("dropped");
    peer.push((layout, FLOAT), series, Some(T), &[(2, 0)], b"");
    let request = peer.write(AckLevel::Durable);
    assert_eq!(peer.written(request).rows, 1);
    assert_eq!(server.query("SELECT v FROM m"), [["2"]]);
    // The same numbers, other names.
    peer.end.declare(&[4]).expect("small");
    peer.declarer = Declarer::default();
    peer.rows.forget();
    let (layout, series) = peer.series_of("n", "w");
    peer.push((layout, FLOAT), series, Some(T), &[(3, 0)], b"");
    let request = peer.write(AckLevel::Durable);
    assert_eq!(peer.written(request).rows, 1);
    assert_eq!(server.query("SELECT w FROM n"), [["3"]]);
}

#[test]
fn credits_come_back_and_answers_keep_their_order() {
    let (_folder, server) = server();
    let mut peer = Peer::connect(&server, feature::WRITES);
    let (layout, series) = peer.series_of("m", "v");
    let mut requests = Vec::new();
    let mut answered = Vec::new();
    let mut waited = 0;
    for batch in 0..60i64 {
        for row in 0..1_000i64 {
            let value = (1.0 + (batch * 1_000 + row) as f64).sqrt();
            let cell = [(value.to_bits(), MARK_RAW)];
            peer.push(
                (layout, FLOAT),
                series,
                Some(T + batch * 1_000 + row),
                &cell,
                b"",
            );
        }
        while batch > 0 && !peer.end.may_write() {
            waited += 1;
            match peer.event().expect("open") {
                ClientEvent::Message(request, Message::Written(_)) => answered.push(request),
                ClientEvent::Credits(_) => {}
                other => panic!("{other:?}"),
            }
        }
        requests.push(peer.write(AckLevel::Durable));
    }
    while answered.len() < requests.len() {
        match peer.answer() {
            (request, Message::Written(written)) => {
                assert_eq!(written.rows, 1_000);
                answered.push(request);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(answered, requests);
    assert!(waited > 0, "480 KB are more than the first credits");
    assert_eq!(server.query("SELECT count(v) FROM m"), [["60000"]]);
}

#[test]
fn a_connection_dripped_byte_by_byte_is_served_the_same() {
    let (_folder, server) = server();
    let mut peer = Peer::connect(&server, feature::WRITES);
    peer.stream.set_nodelay(true).expect("a socket");
    let (layout, series) = peer.series_of("m", "v");
    peer.push((layout, FLOAT), series, Some(T), &[(1, 0)], b"");
    peer.declare();
    let mut payload = Vec::new();
    let head = BatchHead {
        ack: AckLevel::Accepted,
        producer: None,
    };
    peer.rows.finish(head, &mut payload);
    let request = peer.end.write(&payload).expect("small");
    for byte in std::mem::take(peer.end.output()) {
        peer.stream.write_all(&[byte]).expect("writable");
    }
    assert_eq!(peer.written(request).rows, 1);
    let request = peer
        .end
        .send(&Message::Auth(Token("any".to_owned())))
        .expect("small");
    peer.send();
    assert_eq!(peer.answer(), (request, Message::Ready));
}

#[test]
fn what_breaks_the_protocol_stores_nothing_and_ends_the_connection() {
    let (_folder, server) = server();
    let refused = |features: u64, payload: &[u8], declare: bool| -> Failure {
        let mut peer = Peer::connect(&server, features);
        if declare {
            let table = peer.declarer.table("", "m");
            peer.declarer
                .layout(table, [("v", FieldType::Integer)].into_iter());
            peer.declarer.series(table, [].into_iter());
            let other = peer.declarer.table("", "n");
            peer.declarer.series(other, [].into_iter());
            peer.declare();
        }
        peer.end.write(payload).expect("small");
        peer.send();
        let failure = match peer.answer() {
            (_, Message::Error(failure)) => failure,
            other => panic!("{other:?}"),
        };
        assert_eq!(peer.event(), None, "closed");
        assert_eq!(failure.known_code(), Some(Code::BadFrame));
        failure
    };
    let good = [0, 1, 0, 1, 0, 0, 0, 1, 2, 0, 2];
    let with = |at: usize, byte: u8| {
        let mut payload = good;
        payload[at] = byte;
        payload
    };
    let cases = [
        (refused(0, &good, false), "without the feature"),
        (refused(feature::WRITES, &good, false), "layout 0"),
        (refused(feature::WRITES, &with(2, 1), true), "layout 1"),
        (refused(feature::WRITES, &with(5, 4), true), "series 2"),
        (refused(feature::WRITES, &with(5, 2), true), "another table"),
        (
            refused(feature::WRITES, &with(8, 3), true),
            "not those of layout",
        ),
        (refused(feature::WRITES, &with(9, 70), true), "width"),
    ];
    for (failure, part) in cases {
        assert!(failure.message.contains(part), "{failure:?}");
    }
    let mut producer = vec![4, 7, 0, 0, 0, 0, 0, 0, 0, 1];
    producer.extend_from_slice(&good[1..]);
    let failure = refused(feature::WRITES, &producer, true);
    assert!(failure.message.contains("producer"), "{failure:?}");
    assert!(
        server.try_query("", "SELECT v FROM m").is_err(),
        "nothing is there"
    );
}

#[test]
fn queries_of_one_connection_leave_room_for_those_of_others() {
    use std::fmt::Write as _;

    let folder = tempfile::tempdir().expect("a folder");
    let both = [
        "query.concurrency_max=2",
        "query.connection_concurrency_max=1",
    ];
    let options = ["--no-self-monitor", "--set", both[0], "--set", both[1]];
    let server = Server::start(folder.path(), &options);
    // Answers that no socket holds.
    let mut random = 1u64;
    let mut lines = String::new();
    for row in 0..20_000 {
        lines.push_str("m text=\"");
        for _ in 0..100 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            write!(lines, "{:08x}", random >> 32).expect("a string");
        }
        writeln!(lines, "\" {}", T + row).expect("a string");
    }
    server.write(&lines);
    let ask = |peer: &mut Peer| {
        let query = Message::Query(Query {
            database: String::new(),
            sql: "SELECT text FROM m".to_owned(),
            options: QueryOptions::default(),
        });
        peer.end.send(&query).expect("small")
    };
    // It asks, and never reads.
    let mut greedy = Peer::connect(&server, 0);
    for _ in 0..4 {
        ask(&mut greedy);
    }
    greedy.send();
    let waiting = server.query("SELECT count(*) FROM m");
    assert_eq!(waiting, [["20000"]]);
    // It was not let go for that: now it reads, and has all of its answers.
    let mut ended = 0;
    while ended < 4 {
        match greedy.answer() {
            (_, Message::End(end)) => {
                assert_eq!(end.rows, 20_000);
                ended += 1;
            }
            (_, Message::Error(failure)) => panic!("{failure:?}"),
            _ => {}
        }
    }
}

#[test]
fn a_silent_client_that_promised_to_answer_pings_is_let_go() {
    let (_folder, server) = server();
    let mut peer = Peer::connect(&server, feature::WRITES | feature::KEEP_ALIVE);
    // The ping comes by itself, and is answered by this end when it is read.
    let mut bytes = [0; 64];
    let read = peer.stream.read(&mut bytes).expect("a ping in time");
    peer.end.buffer().extend_from_slice(&bytes[..read]);
    assert_eq!(peer.end.next_event(), Ok(ClientEvent::Incomplete));
    assert!(!peer.end.output().is_empty());
    peer.send();
    // The next one is not.
    assert!(peer.stream.read(&mut bytes).expect("a ping in time") > 0);
    assert_eq!(peer.stream.read(&mut bytes).expect("an end in time"), 0);
}

#[test]
fn a_batch_that_finds_no_room_is_not_taken_for_answered() {
    let folder = tempfile::tempdir().expect("a folder");
    let full = format!("limits.disk_full_bytes={}", i64::MAX);
    let low = format!("limits.disk_low_bytes={}", i64::MAX);
    let arguments = ["--no-self-monitor", "--set", &low, "--set", &full];
    let server = Server::start(folder.path(), &arguments);
    let options = BatchOptions {
        retries_max: 1,
        retry_pause: Duration::from_millis(1),
        ..BatchOptions::default()
    };
    let mut writer = BatchWriter::connect(server.data, options).expect("connects");
    for row in 0..10 {
        // One of them would be refused by itself.
        let time = if row == 3 { 5 } else { T + row as i64 };
        let fields = [("v", FieldValue::Unsigned(row))];
        let pushed = writer.push("m", &[], &fields, Some(time), row);
        pushed.expect("gathered");
    }
    let error = writer.sync().expect_err("there is no room");
    assert!(error.is_retryable(), "{error}");
    let report = writer.report();
    assert_eq!((report.rows, report.refused_count), (0, 0), "{report:?}");
}

#[test]
fn a_client_batches_names_refused_rows_and_survives_a_cut() {
    let (_folder, server) = server();
    let options = BatchOptions {
        database: Some("plant".to_owned()),
        rows_max: 100,
        ..BatchOptions::default()
    };
    let mut writer = BatchWriter::connect(server.data, options).expect("connects");
    let write = |writer: &mut BatchWriter, row: u64| {
        let tag = format!("s{}", row % 7);
        let time = if row == 250 { 5 } else { T + row as i64 };
        let fields = [
            ("celsius", FieldValue::Float(row as f64 / 10.0)),
            ("on", FieldValue::Boolean(row.is_multiple_of(2))),
            ("note", FieldValue::String("x")),
            ("raw", FieldValue::Binary(&[0, 255])),
        ];
        writer
            .push("boiler", &[("sensor", &tag)], &fields, Some(time), row)
            .expect("sent");
    };
    (0..500).for_each(|row| write(&mut writer, row));
    writer.sync().expect("durable");
    let clients = server.admin("clients --json");
    let id = clients
        .split("\"id\":")
        .nth(1)
        .and_then(|rest| rest.split([',', '}']).next())
        .expect("a client")
        .trim()
        .to_owned();
    assert!(
        server
            .admin(&format!("clients kill {id}"))
            .ends_with("OK\n")
    );
    (500..1_000).for_each(|row| write(&mut writer, row));
    let report = writer.finish().expect("durable");
    assert_eq!((report.rows, report.refused_count), (999, 1));
    assert_eq!(report.refused[0].tag, 250);
    assert_eq!(report.refused[0].code, Some(Code::TimeOutOfRange));
    assert!(report.reconnects >= 1 && report.position > 0);
    let rows = server
        .try_query("plant", "SELECT count(celsius), sum(celsius) FROM boiler")
        .expect("answers");
    assert_eq!(rows[0][0], "999");
}
