//! How a subcommand ends when it does not succeed.

use std::io;
use std::process::ExitCode;

use edgetime_protocol::client::ClientError;

/// Why a command ended early. A message is one line: what was wrong, where, what would be right.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The flags contradict one another, or name what does not exist.
    #[error("{0}")]
    Usage(String),
    /// It could not be done.
    #[error("{0}")]
    Failed(String),
    /// It was not done, or not wholly, and standard error says why already.
    #[error("failed, as reported")]
    Reported,
    /// Whoever read the output has had enough.
    #[error("the output was closed")]
    OutputClosed,
}

impl CommandError {
    /// Standard output did not take what was written to it.
    #[must_use]
    pub fn output(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::OutputClosed
        } else {
            Self::Failed(format!("cannot write to standard output: {error}"))
        }
    }

    /// A file could not be read.
    #[must_use]
    pub fn input(name: &str, error: &io::Error) -> Self {
        let right = match error.kind() {
            io::ErrorKind::NotFound => "; name a file that is there, or - for standard input",
            io::ErrorKind::IsADirectory => "; name a file, not a folder",
            _ => "",
        };
        Self::Failed(format!("{name}: cannot be read: {error}{right}"))
    }

    /// A conversation with a server failed.
    #[must_use]
    pub fn client(address: &str, error: &ClientError) -> Self {
        Self::Failed(match error {
            ClientError::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                format!(
                    "{address}: no server answers; start one with `edgetime serve`, or name one with --addr"
                )
            }
            ClientError::Closed => {
                format!("{address}: the server closed the connection before it had answered")
            }
            ClientError::TimedOut => format!(
                "{address}: no answer in time; ask `edgetime admin status` how the server is"
            ),
            other => format!("{address}: {other}"),
        })
    }

    /// The line for standard error, if there is anything left to say.
    #[must_use]
    pub fn message(&self) -> Option<String> {
        match self {
            Self::Usage(_) | Self::Failed(_) => Some(self.to_string()),
            Self::Reported | Self::OutputClosed => None,
        }
    }

    /// The status that the process ends with.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::OutputClosed => 0,
            Self::Failed(_) | Self::Reported => 1,
            Self::Usage(_) => 2,
        })
    }
}
