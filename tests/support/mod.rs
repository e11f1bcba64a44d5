//! A real server for tests: the binary itself, on free ports, in a folder of its own.
#![allow(dead_code, reason = "each test binary uses a part")]

pub mod proxy;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use edgetime_protocol::client::{Connection, ConnectionOptions};
use edgetime_protocol::columns::{ResultBatch, ResultCell, ResultColumn};
use edgetime_protocol::message::QueryOptions;
use edgetime_protocol::peer::{ClientEnd, ClientEvent};

/// What a server says next on a binary connection; `None` where it closed.
pub fn next_event(stream: &mut TcpStream, end: &mut ClientEnd) -> Option<ClientEvent> {
    loop {
        match end.next_event().expect("well formed") {
            ClientEvent::Incomplete => {}
            event => return Some(event),
        }
        let mut bytes = [0; 4096];
        let read = stream.read(&mut bytes).expect("an answer in time");
        if read == 0 {
            return None;
        }
        end.buffer().extend_from_slice(&bytes[..read]);
    }
}

/// A running server, killed when dropped.
pub struct Server {
    child: Child,
    /// The data port.
    pub data: SocketAddr,
    /// The admin port.
    pub admin: SocketAddr,
    /// The UDP port, where one was asked for.
    pub udp: Option<SocketAddr>,
}

/// The program under test.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edgetime"));
    // What the developer has set must not change what is tested.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("EDGETIME_") {
            command.env_remove(name);
        }
    }
    command
}

impl Server {
    /// Starts a server on a folder.
    pub fn start(folder: &Path, arguments: &[&str]) -> Self {
        Self::try_start(folder, arguments).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts a server, or gives back what it said on standard error.
    pub fn try_start(folder: &Path, arguments: &[&str]) -> Result<Self, String> {
        let mut child = program()
            .arg("serve")
            .arg("--data-dir")
            .arg(folder)
            .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut errors = child.stderr.take().expect("piped");
        let mut ready = String::new();
        let stdout = child.stdout.take().expect("piped");
        BufReader::new(stdout)
            .read_line(&mut ready)
            .expect("readable");
        if !ready.starts_with("ready ") {
            let mut text = String::new();
            errors.read_to_string(&mut text).expect("readable");
            let status = child.wait().expect("ends");
            return Err(format!("{status}: {text}"));
        }
        // Whatever the server says later must not fill the pipe.
        std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::sink()));
        let address = |name: &str| -> Option<SocketAddr> {
            let mut words = ready.split_whitespace();
            let found = words.find_map(|word| word.strip_prefix(name))?;
            Some(found.parse().expect("an address"))
        };
        Ok(Self {
            data: address("data=").expect("in the line"),
            admin: address("admin=").expect("in the line"),
            udp: address("udp="),
            child,
        })
    }

    /// Ends it as a power cut does not announce itself.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Asks it to stop and waits; true where it ended with status 0.
    pub fn stop(mut self) -> bool {
        assert!(self.admin("shutdown").ends_with("OK\n"));
        self.child.wait().expect("it ends").success()
    }

    /// Sends SIGTERM and waits; true where it ended with status 0.
    pub fn terminate(mut self) -> bool {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .arg(pid)
                .status()
                .expect("kill runs")
                .success()
        );
        self.child.wait().expect("it ends").success()
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Runs an admin command; the answer with its closing line.
    pub fn admin(&self, command: &str) -> String {
        let mut stream = TcpStream::connect(self.admin).expect("listens");
        writeln!(stream, "{command}").expect("writable");
        let mut answer = String::new();
        let mut lines = BufReader::new(stream);
        while lines.read_line(&mut answer).expect("readable") > 0 {
            let last = answer.lines().last().unwrap_or_default();
            if last == "OK" || last.starts_with("ERR ") {
                break;
            }
        }
        answer
    }

    /// A text session.
    pub fn text(&self) -> Text {
        let stream = TcpStream::connect(self.data).expect("listens");
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .expect("a socket");
        stream.set_nodelay(true).expect("a socket");
        Text {
            lines: BufReader::new(stream.try_clone().expect("a socket")),
            stream,
        }
    }

    /// Sends lines and returns when they are durable.
    pub fn write(&self, lines: &str) {
        let mut session = self.text();
        session.send(lines);
        session.send("#edge sync\n");
        let answer = session.answer();
        assert!(answer.starts_with("+synced "), "{answer}");
    }

    /// The rows of a query, every cell as text.
    pub fn query(&self, sql: &str) -> Vec<Vec<String>> {
        self.try_query("default", sql)
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The rows of a query, every cell as text; or the error.
    pub fn try_query(&self, database: &str, sql: &str) -> Result<Vec<Vec<String>>, String> {
        let (_, batches) = self.batches(database, sql)?;
        let mut rows = Vec::new();
        for batch in &batches {
            for row in 0..batch.rows() {
                rows.push(
                    batch
                        .columns
                        .iter()
                        .map(|column| text_of(&column.cell(row)))
                        .collect(),
                );
            }
        }
        Ok(rows)
    }

    /// Columns and batches of a query.
    pub fn batches(
        &self,
        database: &str,
        sql: &str,
    ) -> Result<(Vec<ResultColumn>, Vec<ResultBatch>), String> {
        let mut connection = Connection::connect(self.data, &ConnectionOptions::default())
            .map_err(|error| error.to_string())?;
        let rows = connection
            .query(database, sql, QueryOptions::default())
            .map_err(|error| error.to_string())?;
        let columns = rows.columns().to_vec();
        let batches: Result<Vec<_>, _> = rows.collect();
        Ok((columns, batches.map_err(|error| error.to_string())?))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A text session.
pub struct Text {
    stream: TcpStream,
    lines: BufReader<TcpStream>,
}

impl Text {
    /// Sends bytes.
    pub fn send(&mut self, text: impl AsRef<[u8]>) {
        self.stream.write_all(text.as_ref()).expect("writable");
    }

    /// The next answer, without its newline; empty at the end.
    pub fn answer(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("an answer in time");
        line.trim_end().to_owned()
    }

    /// Says that nothing more comes.
    pub fn finish(&mut self) {
        self.stream
            .shutdown(std::net::Shutdown::Write)
            .expect("a socket");
    }

    /// The socket, to read and write at once.
    pub fn split(self) -> (TcpStream, BufReader<TcpStream>) {
        (self.stream, self.lines)
    }
}

/// A cell as text; `null` where there is no value.
pub fn text_of(cell: &ResultCell<'_>) -> String {
    match cell {
        ResultCell::Null => "null".to_owned(),
        ResultCell::Time(value) | ResultCell::Integer(value) => value.to_string(),
        ResultCell::Unsigned(value) => value.to_string(),
        ResultCell::Float(value) => value.to_string(),
        ResultCell::Boolean(value) => value.to_string(),
        ResultCell::String(value) => (*value).to_owned(),
        ResultCell::Binary(value) => format!("{value:?}"),
    }
}

/// Runs the program to its end.
pub fn run(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = program()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // It may end without reading all.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("no panic");
    output
}

/// The folder of the large shared data, where it is given.
pub fn shared_data() -> Option<PathBuf> {
    std::env::var_os("EDGETIME_TEST_DATA").map(PathBuf::from)
}
