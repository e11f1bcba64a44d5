//! The C client's test driver: compiled once by each compiler at hand, told what to do line by line.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::LazyLock;

use super::compilers;

/// The client's test driver, answering one line for each command.
pub struct Driver {
    process: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// One driver for each compiler, compiled once.
static DRIVERS: LazyLock<Vec<PathBuf>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let source = compilers::folder().join("tests/driver.c");
    let compile = |compiler: &str| {
        let program = folder.join(format!("driver-{compiler}"));
        compilers::compile(compiler, &source, &program);
        program
    };
    compilers::compilers().into_iter().map(compile).collect()
});

impl Driver {
    /// One for each compiler.
    pub fn all() -> Vec<Self> {
        DRIVERS.iter().map(|program| Self::start(program)).collect()
    }

    fn start(program: &Path) -> Self {
        let mut process = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("runs");
        Self {
            commands: process.stdin.take(),
            answers: BufReader::new(process.stdout.take().expect("piped")),
            process,
        }
    }

    /// The answer to a command.
    pub fn ask(&mut self, command: &str) -> String {
        let commands = self.commands.as_mut().expect("open");
        writeln!(commands, "{command}").expect("the driver runs");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("readable");
        assert!(!answer.is_empty(), "the driver ended at: {command:.300}");
        answer.trim_end().to_owned()
    }

    /// The bytes that a command writes; `None` where it is an error.
    pub fn written(&mut self, command: &str) -> Option<Vec<u8>> {
        let answer = self.ask(command);
        match answer.split_once(' ') {
            Some(("ok", hex)) => Some(from_hex(hex)),
            Some(("error", _)) => None,
            _ => panic!("{answer}"),
        }
    }

    /// Ends it: sanitizers that found a leak say so.
    pub fn end(mut self) {
        drop(self.commands.take());
        assert!(self.process.wait().expect("ends").success());
    }
}

/// Bytes of hexadecimal text; `-` is none.
pub fn from_hex(text: &str) -> Vec<u8> {
    let text = if text == "-" { "" } else { text };
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex"))
        .collect()
}

/// Bytes as hexadecimal text.
pub fn to_hex(bytes: impl AsRef<[u8]>) -> String {
    let bytes = bytes.as_ref();
    if bytes.is_empty() {
        return "-".to_owned();
    }
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte:02x}").expect("memory");
    }
    text
}
