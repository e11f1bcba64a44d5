//! Tokens of a real server: made and revoked at the admin port, asked for at the data port, kept to by both protocols,
//! there again after a kill.

mod support;

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use edgetime_protocol::client::{
    BatchOptions, BatchReport, BatchWriter, ClientError, Connection, ConnectionOptions, FieldValue,
};
use edgetime_protocol::error::Code;
use edgetime_protocol::message::{Hello, Message, QueryOptions, Token};
use edgetime_protocol::peer::{ClientEnd, ClientEvent};
use serde_json::{Value, json};
use support::Server;

const OPEN: [&str; 1] = ["--no-self-monitor"];
const REQUIRED: [&str; 3] = ["--no-self-monitor", "--set", "auth.required=true"];

fn admin(server: &Server, command: &str) -> Value {
    let answer = server.admin(&format!("{command} --json"));
    let body = answer.strip_suffix("OK\n");
    let body = body.unwrap_or_else(|| panic!("{command}: {answer}"));
    serde_json::from_str(body).expect("JSON")
}

/// Makes a token; its secret.
fn create(server: &Server, arguments: &str) -> String {
    let made = admin(server, &format!("token create {arguments}"));
    let secret = made["secret"].as_str().expect("is shown").to_owned();
    assert!(secret.starts_with("et_") && secret.len() == 46, "{secret}");
    secret
}

/// The rows of a query by a token, as JSON would have them; or the error.
fn query(
    server: &Server,
    token: Option<&str>,
    database: &str,
    sql: &str,
) -> Result<Vec<String>, ClientError> {
    let options = ConnectionOptions {
        token: token.map(str::to_owned),
        ..ConnectionOptions::default()
    };
    let mut connection = Connection::connect(server.data, &options)?;
    let rows = connection.query(database, sql, QueryOptions::default())?;
    let mut found = Vec::new();
    for batch in rows {
        let batch = batch?;
        for row in 0..batch.rows() {
            let cells = batch.columns.iter().map(|c| support::text_of(&c.cell(row)));
            found.push(cells.collect::<Vec<_>>().join(" "));
        }
    }
    Ok(found)
}

fn code<T: std::fmt::Debug>(result: Result<T, ClientError>) -> Option<Code> {
    match result {
        Err(ClientError::Server { code, .. }) => code,
        other => panic!("no refusal: {other:?}"),
    }
}

/// Writes rows of a measurement by a token, one for each host, as a binary batch. A refused token is tried again for
/// ever, if it is tried again at all.
fn write(
    server: &Server,
    token: Option<&str>,
    measurement: &str,
    hosts: &[&str],
) -> Result<BatchReport, ClientError> {
    let options = BatchOptions {
        token: token.map(str::to_owned),
        retries_max: u32::MAX,
        retry_pause: Duration::from_millis(1),
        ..BatchOptions::default()
    };
    let mut writer = BatchWriter::connect(server.data, options)?;
    for (number, host) in hosts.iter().enumerate() {
        let fields = [("v", FieldValue::Integer(1))];
        writer.push(measurement, &[("host", host)], &fields, None, number as u64)?;
    }
    writer.finish()
}

/// A binary client made of the protocol's own parts.
struct Peer {
    stream: TcpStream,
    end: ClientEnd,
}

impl Peer {
    fn connect(server: &Server, token: &str) -> Self {
        let stream = TcpStream::connect(server.data).expect("listens");
        let patience = Some(Duration::from_secs(30));
        stream.set_read_timeout(patience).expect("a socket");
        let hello = Hello {
            version_min: 1,
            version_max: 1,
            features: 0,
            client: "test".to_owned(),
            token: token.to_owned(),
        };
        let end = ClientEnd::new(hello).expect("small");
        let mut peer = Self { stream, end };
        peer.flush();
        peer
    }

    fn flush(&mut self) {
        let bytes = std::mem::take(self.end.output());
        self.stream.write_all(&bytes).expect("writable");
    }

    fn say(&mut self, message: &Message) {
        self.end.send(message).expect("small");
        self.flush();
    }

    /// What the server says next; `None` where it closed.
    fn event(&mut self) -> Option<ClientEvent> {
        support::next_event(&mut self.stream, &mut self.end)
    }

    fn is_refused(&mut self) -> bool {
        let event = self.event();
        let Some(ClientEvent::Message(_, Message::Error(failure))) = event else {
            panic!("no refusal: {event:?}");
        };
        failure.known_code() == Some(Code::NotAuthenticated) && self.event().is_none()
    }
}

#[test]
fn nobody_gets_in_without_a_token_where_one_is_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &REQUIRED);
    let secret = create(&server, "gate");
    // Lines before a token are refused one by one, directives and lines that are none, too.
    let mut session = server.text();
    session.send("m v=1\n#edge ping\nno line\n#edge db plant\n");
    for line in 1..=4 {
        let answer = session.answer();
        let start = format!("-{line} not_authenticated this server asks for a token");
        assert!(answer.starts_with(&start), "{answer}");
    }
    session.send("#edge auth et_wrong\nm v=1\n");
    for line in 5..=6 {
        let answer = session.answer();
        let start = format!("-{line} not_authenticated this token is not valid");
        assert!(answer.starts_with(&start), "{answer}");
    }
    session.send(format!("#edge auth {secret}\n#edge ack accepted\nm v=1\n"));
    let answer = session.answer();
    assert!(answer.ends_with(" 1"), "{answer}");
    // What strangers send is nowhere.
    let sql = "SELECT count(v) FROM m";
    let count = |token: Option<&str>| query(&server, token, "default", sql);
    assert_eq!(count(Some(&secret)).expect("allowed"), ["1"]);
    let status = admin(&server, "status");
    assert_eq!(status["ledger"]["received"], 1, "{status}");
    assert_eq!(admin(&server, "databases")["databases"], json!(["default"]));
    // The binary protocol.
    assert_eq!(code(count(None)), Some(Code::NotAuthenticated));
    assert_eq!(code(count(Some("et_wrong"))), Some(Code::NotAuthenticated));
    let refused = write(&server, Some("et_wrong"), "m", &["a"]);
    assert_eq!(code(refused), Some(Code::NotAuthenticated));
    let refused = write(&server, None, "m", &["a"]);
    assert_eq!(code(refused), Some(Code::NotAuthenticated));
    let report = write(&server, Some(&secret), "m", &["a"]).expect("taken");
    assert_eq!(report.rows, 1);
    // A token may come behind the hello, too.
    let mut peer = Peer::connect(&server, "");
    assert!(matches!(peer.event(), Some(ClientEvent::Welcome(_))));
    peer.say(&Message::Auth(Token(secret.clone())));
    let ready = peer.event();
    assert!(
        matches!(ready, Some(ClientEvent::Message(_, Message::Ready))),
        "{ready:?}"
    );
    peer.say(&Message::Auth(Token("et_other".to_owned())));
    assert!(peer.is_refused());
    assert!(Peer::connect(&server, "et_other").is_refused());
    assert!(server.stop());
}

#[test]
fn the_program_says_what_is_wrong_with_its_token() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &REQUIRED);
    let secret = create(&server, "gate");
    let address = server.data.to_string();
    let run = |command: &str, token: Option<&str>, more: &[&str]| {
        let mut arguments = vec![command, "--addr", &address];
        arguments.extend(token.iter().flat_map(|token| ["--token", token]));
        arguments.extend(more);
        support::run(&arguments, b"m v=1\n")
    };
    let select = ["SELECT count(v) FROM m"];
    for (command, more) in [("write", &[][..]), ("query", &select)] {
        for token in [None, Some("et_wrong")] {
            let output = run(command, token, more);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{command}: {said}");
            assert!(said.contains("not_authenticated: this"), "{said}");
            assert_eq!(said.lines().count(), 1, "{said}");
        }
        let output = run(command, Some(&secret), more);
        assert!(output.status.success(), "{command}: {output:?}");
    }
    assert!(server.stop());
}

#[test]
fn a_token_opens_its_databases_for_what_it_may() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &OPEN);
    let sensor = create(&server, "sensor db=plant may=write");
    let panel = create(&server, "panel db=plant may=read");
    let mut session = server.text();
    session.send(format!("#edge auth {sensor}\n#edge ack accepted\nm v=1\n"));
    let refused = session.answer();
    let start = "-3 not_allowed no right to Write in database \"default\"";
    assert!(refused.starts_with(start), "{refused}");
    session.send("#edge db plant\nm v=2\n");
    assert!(session.answer().ends_with(" 1"));
    session.send("#edge db other\nm v=3\n");
    assert!(session.answer().starts_with("-6 not_allowed"));
    assert!(session.answer().starts_with("-7 bad_database_name"));
    let select = "SELECT count(v) FROM m";
    let ask = |token: &str, database: &str, sql: &str| query(&server, Some(token), database, sql);
    assert_eq!(ask(&panel, "plant", select).expect("allowed"), ["1"]);
    for (token, database, sql) in [
        (&sensor, "plant", select),
        (&panel, "default", select),
        (&panel, "plant", "DELETE FROM m WHERE time > 0"),
        (&panel, "plant", "DROP MEASUREMENT m"),
    ] {
        let refused = code(ask(token, database, sql));
        assert_eq!(refused, Some(Code::NotAllowed), "{database}: {sql}");
    }
    let shown = ask(&panel, "plant", "SHOW DATABASES").expect("allowed");
    assert_eq!(shown, ["plant"]);
    let report = write(&server, Some(&panel), "m", &["a"]).expect("answered");
    assert_eq!((report.rows, report.refused_count), (0, 1));
    assert_eq!(report.refused[0].code, Some(Code::NotAllowed));
    // Nobody has to give one here, but who gives one gives one that is valid.
    assert_eq!(query(&server, None, "plant", select).expect("open"), ["1"]);
    let refused = ask("et_wrong", "plant", select);
    assert_eq!(code(refused), Some(Code::NotAuthenticated));
    let keeper = create(&server, "keeper db=plant may=read,delete");
    ask(&keeper, "plant", "DELETE FROM m WHERE time > 0").expect("allowed");
    assert_eq!(ask(&panel, "plant", select).expect("allowed"), ["0"]);
    assert!(server.stop());
}

#[test]
fn a_server_that_never_had_tokens_takes_any() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &OPEN);
    write(&server, Some("any"), "m", &["a"]).expect("taken");
    let mut session = server.text();
    session.send("#edge auth any\n#edge ack accepted\nm v=1\n");
    assert!(session.answer().ends_with(" 1"));
    create(&server, "gate");
    server.admin("token revoke gate");
    let refused = write(&server, Some("any"), "m", &["a"]);
    assert_eq!(code(refused), Some(Code::NotAuthenticated));
    assert!(server.stop());
}

#[test]
fn a_token_makes_as_many_series_as_it_may() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &OPEN);
    let small = create(&server, "small series=3");
    let mut session = server.text();
    session.send(format!("#edge auth {small}\n#edge ack accepted\n"));
    session.send("m,host=a v=1\nm,host=b v=1\nn,host=a v=1\n");
    let mut rows = 0;
    while rows < 3 {
        let answer = session.answer();
        let (_, count) = answer.rsplit_once(' ').expect("an answer");
        rows += count.parse::<u64>().expect("no refusal");
    }
    session.send("n,host=b v=1\n");
    assert_eq!(
        session.answer(),
        "-6 too_many_names series_max = 3 of token \"small\" is reached; \
         measurement \"m\" of database \"default\" holds 2 of its series"
    );
    let report = write(&server, Some(&small), "m", &["a", "c", "b"]).expect("answered");
    assert_eq!((report.rows, report.refused_count), (2, 1));
    assert_eq!(report.refused[0].code, Some(Code::TooManyNames));
    // Others go on, and what they make is not counted for it.
    server.write("m,host=c v=1\n");
    let report = write(&server, Some(&small), "m", &["c"]).expect("taken");
    assert_eq!(report.rows, 1);
    let list = admin(&server, "token list");
    let token = &list["tokens"][0];
    assert_eq!(token["name"], "small");
    assert_eq!(
        (&token["series"], &token["series_max"]),
        (&json!(3), &json!(3))
    );
    // What is dropped makes room.
    query(&server, None, "default", "DROP MEASUREMENT n").expect("open");
    session.send("n,host=b v=1\n");
    assert!(session.answer().ends_with(" 1"));
    // Who owns what is there again.
    session.send("#edge sync\n");
    assert!(session.answer().starts_with("+synced "));
    server.kill();
    let server = Server::start(folder.path(), &OPEN);
    let again = admin(&server, "token list");
    assert_eq!(again["tokens"], list["tokens"]);
    assert!(server.stop());
}

#[test]
fn a_token_lasts_from_the_answer_on_and_so_does_its_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &REQUIRED);
    let first = create(&server, "first db=plant,other may=read series=9");
    let second = create(&server, "second");
    let before = admin(&server, "token");
    assert_eq!(
        before["tokens"][0]["databases"],
        json!(["other", "plant"]),
        "{before}"
    );
    server.kill();
    let server = Server::start(folder.path(), &REQUIRED);
    assert_eq!(admin(&server, "token"), before);
    let show = |server: &Server, token: &str| query(server, Some(token), "plant", "SHOW DATABASES");
    show(&server, &first).expect("lasts");
    show(&server, &second).expect("lasts");
    assert!(server.admin("token revoke first").ends_with("OK\n"));
    server.kill();
    let server = Server::start(folder.path(), &REQUIRED);
    assert_eq!(code(show(&server, &first)), Some(Code::NotAuthenticated));
    show(&server, &second).expect("lasts");
    assert!(server.admin("checkpoint").ends_with("OK\n"));
    server.kill();
    let server = Server::start(folder.path(), &REQUIRED);
    assert_eq!(code(show(&server, &first)), Some(Code::NotAuthenticated));
    show(&server, &second).expect("lasts");
    // Its name is free, its number is not.
    let made = admin(&server, "token create first");
    assert_eq!(made["number"], 3);
    assert_eq!(code(show(&server, &first)), Some(Code::NotAuthenticated));
    // The secret is nowhere on the device.
    let secret = made["secret"]
        .as_str()
        .expect("is shown")
        .as_bytes()
        .to_vec();
    assert!(server.stop());
    for part in ["log", "blocks"] {
        for file in std::fs::read_dir(folder.path().join(part)).expect("is there") {
            let bytes = std::fs::read(file.expect("is there").path()).expect("is a file");
            let found = bytes.windows(secret.len()).any(|bytes| *bytes == secret);
            assert!(!found, "{part}");
        }
    }
}

#[test]
fn who_is_there_by_a_revoked_token_is_so_no_longer() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &OPEN);
    let (gate, other) = (create(&server, "gate"), create(&server, "other"));
    let connect = |token: &str| {
        let mut session = server.text();
        session.send(format!("#edge auth {token}\n#edge ack accepted\nm v=1\n"));
        assert!(session.answer().ends_with(" 1"));
        session
    };
    let (mut text, mut stays) = (connect(&gate), connect(&other));
    let mut binary = Peer::connect(&server, &gate);
    assert!(matches!(binary.event(), Some(ClientEvent::Welcome(_))));
    let clients = admin(&server, "clients");
    let tokens = clients["clients"].as_array().expect("a list").iter();
    let tokens: Vec<&Value> = tokens.map(|client| &client["token"]).collect();
    assert_eq!(tokens[..3], ["gate", "other", "gate"], "{clients}");
    let revoked = admin(&server, "token revoke gate");
    assert_eq!(
        (&revoked["number"], &revoked["closed"]),
        (&json!(1), &json!(2))
    );
    let told = text.answer();
    let start = "-0 not_authenticated the token \"gate\" was revoked";
    assert!(told.starts_with(start), "{told}");
    assert_eq!(text.answer(), "");
    assert!(binary.is_refused());
    stays.send("m v=1\n");
    assert!(stays.answer().ends_with(" 1"));
    assert!(server.stop());
}

#[test]
fn commands_that_cannot_be_say_what_would_be_right() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &OPEN);
    create(&server, "gate");
    for (command, part) in [
        ("token create", "ERR bad_command use: token [list] | create"),
        (
            "token create two/words",
            "ERR bad_value \"two/words\" is no name",
        ),
        (
            "token create gate",
            "ERR bad_value there is a token \"gate\" already",
        ),
        (
            "token create a db=-",
            "ERR bad_value \"-\" is no name of a database",
        ),
        (
            "token create a may=fly",
            "ERR bad_value may=fly: use some of",
        ),
        (
            "token create a series=none",
            "ERR bad_value series=none is no number",
        ),
        (
            "token revoke none",
            "ERR unknown_token there is no token \"none\"",
        ),
    ] {
        let answer = server.admin(command);
        assert!(answer.starts_with(part), "{command}: {answer}");
    }
    let help = server.admin("help token");
    assert!(help.contains("may=read,write,delete,administer"), "{help}");
    let list = server.admin("token list");
    assert_eq!(list.lines().count(), 3, "{list}");
    assert!(list.contains("read,write"), "{list}");
    assert!(server.stop());
}
