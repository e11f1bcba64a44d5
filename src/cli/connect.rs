//! Which server a command speaks to, and as whom: the flags that clients share.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use edgetime_protocol::client::{ConnectionOptions, WriterOptions};
use edgetime_protocol::command::is_database_name;

use crate::types::{AckLevel, Precision};

/// The server's data port.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct ServerArgs {
    /// The server's data port.
    #[arg(long, value_name = "HOST:PORT", env = "EDGETIME_ADDR", default_value = "127.0.0.1:7480", value_parser = address)]
    pub addr: String,
    /// Database [default: the server's, `default`].
    #[arg(long, value_name = "DB", env = "EDGETIME_DB", value_parser = database)]
    pub db: Option<String>,
    /// Token, where the server asks for one; better given by the environment.
    #[arg(
        long,
        value_name = "TOKEN",
        env = "EDGETIME_TOKEN",
        hide_env_values = true
    )]
    pub token: Option<String>,
}

impl ServerArgs {
    /// How a writer's session is set up. Only a few rejected lines are kept, all are counted.
    #[must_use]
    pub fn writer_options(&self, precision: Precision, ack: AckLevel) -> WriterOptions {
        WriterOptions {
            database: self.db.clone(),
            token: self.token.clone(),
            precision,
            ack,
            rejected_max: super::rejects::SHOWN_MAX,
            ..WriterOptions::default()
        }
    }

    /// How a connection for queries is set up.
    #[must_use]
    pub fn connection_options(&self) -> ConnectionOptions {
        ConnectionOptions {
            token: self.token.clone(),
            client: concat!("edgetime ", env!("CARGO_PKG_VERSION")).to_owned(),
            ..ConnectionOptions::default()
        }
    }
}

/// What an acknowledgement promises.
#[derive(Args, Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckArg {
    /// Wait until rows are visible (accepted), or safe from a loss of power (durable).
    #[arg(long, value_name = "LEVEL", default_value = "durable", value_parser = ack_parser())]
    pub ack: AckLevel,
}

/// Takes `none`, `accepted` and `durable`.
fn ack_parser() -> impl TypedValueParser<Value = AckLevel> {
    PossibleValuesParser::new(["none", "accepted", "durable"])
        .map(|name| AckLevel::from_name(&name).expect("these are the levels' names"))
}

/// Takes the names of the units of time.
pub(super) fn precision_parser() -> impl TypedValueParser<Value = Precision> {
    PossibleValuesParser::new(["ns", "us", "ms", "s"])
        .map(|name| Precision::from_name(&name).expect("these are the units' names"))
}

/// Takes an address as host and port; whether the host is there shows when it is called.
pub(super) fn address(text: &str) -> Result<String, String> {
    let port = text
        .rsplit_once(':')
        .map(|(host, port)| (host, port.parse::<u16>()));
    match port {
        Some((host, Ok(_))) if !host.is_empty() => Ok(text.to_owned()),
        _ => Err("not an address; write HOST:PORT, for example 127.0.0.1:7480".to_owned()),
    }
}

fn database(text: &str) -> Result<String, String> {
    if is_database_name(text) {
        Ok(text.to_owned())
    } else {
        Err("not a database name; use 1 to 64 letters, digits, `_`, `-` and `.`, a letter or digit or `_` first".to_owned())
    }
}
