//! `edgetime admin`: one command, or a conversation, over the plain lines of the admin port.
//!
//! An answer is text up to a line `OK` or `ERR code message`. The text goes to standard output, the error to
//! standard error.

use std::io::{self, BufRead, BufReader, IsTerminal as _, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use clap::Args;
use edgetime_protocol::client::ClientError;

use super::CommandError;
use super::connect::address;

/// Flags of `edgetime admin`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct AdminArgs {
    /// The server's admin port.
    #[arg(long, value_name = "HOST:PORT", env = "EDGETIME_ADMIN", default_value = "127.0.0.1:7481", value_parser = address)]
    pub addr: String,
    /// A command, such as status; `help` lists them. Without one, commands are read from standard input.
    #[arg(
        value_name = "COMMAND",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub command: Vec<String>,
}

/// Runs the command, or all that standard input has.
pub fn run(args: &AdminArgs, out: &mut dyn Write) -> Result<(), CommandError> {
    let stream = connect(&args.addr)?;
    let outgoing = stream
        .try_clone()
        .map_err(|error| socket(&args.addr, error))?;
    let mut session = Session {
        address: &args.addr,
        incoming: BufReader::new(stream),
        outgoing,
    };
    if args.command.is_empty() {
        let interactive = io::stdin().is_terminal();
        converse(&mut session, &mut io::stdin().lock(), interactive, out)
    } else {
        match session.ask(&args.command.join(" "), out)? {
            Outcome::Done => Ok(()),
            Outcome::Refused(error) => Err(CommandError::Failed(error)),
        }
    }
}

/// Commands line by line, until `quit` or the end. Scripts fail where one of their commands did.
fn converse<S: BufRead, W: Write>(
    session: &mut Session<'_, S, W>,
    commands: &mut dyn BufRead,
    interactive: bool,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    let mut failed = false;
    let mut line = String::new();
    loop {
        if interactive {
            out.write_all(PROMPT).map_err(CommandError::output)?;
        }
        out.flush().map_err(CommandError::output)?;
        line.clear();
        let read = commands.read_line(&mut line);
        if read.map_err(|error| CommandError::input("standard input", &error))? == 0 {
            break;
        }
        match line.trim() {
            "" => {}
            "quit" | "exit" => break,
            command => {
                if let Outcome::Refused(error) = session.ask(command, out)? {
                    out.flush().map_err(CommandError::output)?;
                    super::say(format_args!("{error}"));
                    failed = !interactive;
                }
            }
        }
    }
    if failed {
        Err(CommandError::Reported)
    } else {
        Ok(())
    }
}

/// What became of a command.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    /// The closing `ERR` line.
    Refused(String),
}

/// A conversation.
struct Session<'a, R, W> {
    address: &'a str,
    incoming: R,
    outgoing: W,
}

impl<R: BufRead, W: Write> Session<'_, R, W> {
    /// Sends a command and prints its answer.
    fn ask(&mut self, command: &str, out: &mut dyn Write) -> Result<Outcome, CommandError> {
        if command.contains('\n') {
            return Err(CommandError::Usage(
                "a command is one line; pass several through standard input".to_owned(),
            ));
        }
        let sent = self.outgoing.write_all(format!("{command}\n").as_bytes());
        sent.map_err(|error| socket(self.address, error))?;
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = self.incoming.read_until(b'\n', &mut line);
            read.map_err(|error| socket(self.address, error))?;
            let text = line.trim_ascii_end();
            if text == b"OK" {
                return Ok(Outcome::Done);
            }
            if text.starts_with(b"ERR ") || text == b"ERR" {
                return Ok(Outcome::Refused(String::from_utf8_lossy(text).into_owned()));
            }
            if line.last() != Some(&b'\n') {
                return Err(CommandError::client(self.address, &ClientError::Closed));
            }
            out.write_all(&line).map_err(CommandError::output)?;
        }
    }
}

fn connect(address: &str) -> Result<TcpStream, CommandError> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the address names no host");
    let addresses = address
        .to_socket_addrs()
        .map_err(|error| socket(address, error))?;
    for candidate in addresses {
        match TcpStream::connect_timeout(&candidate, CONNECT_TIMEOUT) {
            Ok(stream) => {
                // A command may take its time: there is no timeout for answers.
                stream
                    .set_nodelay(true)
                    .map_err(|error| socket(address, error))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(socket(address, last))
}

fn socket(address: &str, error: io::Error) -> CommandError {
    CommandError::client(address, &ClientError::Io(error))
}

const PROMPT: &[u8] = b"edgetime> ";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn session(answers: &str) -> Session<'_, &[u8], Vec<u8>> {
        Session {
            address: "test",
            incoming: answers.as_bytes(),
            outgoing: Vec::new(),
        }
    }

    #[test]
    fn an_answer_ends_with_its_closing_line() {
        let mut session = session("state ok\n\nOK\r\nERR unknown_command no such command\nhalf");
        let mut out = Vec::new();
        assert_eq!(
            session.ask("status", &mut out).expect("heard"),
            Outcome::Done
        );
        let refused = session.ask("stats x", &mut out).expect("heard");
        let expected = "ERR unknown_command no such command".to_owned();
        assert_eq!(refused, Outcome::Refused(expected));
        assert_eq!(out, b"state ok\n\n");
        let error = session.ask("ping", &mut out).expect_err("cut").to_string();
        assert!(error.contains("closed the connection"), "{error}");
        assert_eq!(session.outgoing, b"status\nstats x\nping\n");
    }

    #[test]
    fn a_script_fails_where_a_command_did() {
        let mut session = session("pong\nOK\nERR bad no\nOK\n");
        let mut out = Vec::new();
        let mut script = &b"ping\n\nbad\nping\nquit\nnever\n"[..];
        let result = converse(&mut session, &mut script, false, &mut out);
        assert!(matches!(result, Err(CommandError::Reported)));
        assert_eq!(session.outgoing, b"ping\nbad\nping\n");
        assert_eq!(out, b"pong\n");
    }

    #[test]
    fn a_person_sees_a_prompt() {
        let mut session = session("pong\nOK\n");
        let mut out = Vec::new();
        converse(&mut session, &mut &b"ping\n"[..], true, &mut out).expect("done");
        assert_eq!(out, b"edgetime> pong\nedgetime> ");
    }
}
