//! The admin port: plain lines for people on telnet and for scripts, closed by `OK` or `ERR code message`.

mod backup;
mod cache;
mod commands;
mod rejected;
mod report;
mod retention;
pub(super) mod rollup;
mod schema;
mod token;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::codec::{Decoder, LinesCodec, LinesCodecError};
use tokio_util::task::TaskTracker;

use super::Shared;
use super::clients::Client;
use crate::limits::SQL_BYTES;
use commands::{Answer, Outcome};

/// Accepts connections until the server stops.
pub async fn listen(shared: Arc<Shared>, listener: TcpListener, tasks: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let shared = Arc::clone(&shared);
                tasks.spawn(async move { admit(shared, stream, peer).await });
            }
            Err(error) => {
                tracing::warn!(%error, "an admin connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn admit(shared: Arc<Shared>, mut stream: TcpStream, peer: SocketAddr) {
    let max = shared.config.limits.admin_connections_max;
    let Some(client) = shared.clients.enter("admin", peer, max) else {
        // The peer may be gone already.
        let _ = stream
            .write_all(b"ERR busy too many admin connections; try again later\n")
            .await;
        return;
    };
    if let Err(error) = converse(&shared, stream, &client).await {
        tracing::debug!(%error, "an admin connection ended");
    }
    shared.clients.leave(&client);
}

async fn converse(
    shared: &Arc<Shared>,
    stream: TcpStream,
    client: &Arc<Client>,
) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = Lines {
        read,
        buffer: BytesMut::new(),
        codec: LinesCodec::new_with_max_length(SQL_BYTES),
    };
    let idle = Duration::from_secs(shared.config.server.admin_idle_timeout_s.max(1));
    loop {
        let line = tokio::select! {
            line = tokio::time::timeout(idle, lines.next()) => line,
            () = client.closed() => return Ok(()),
        };
        let answer = match line {
            Ok(Some(Ok(line))) => {
                client.received(line.len() + 1);
                let shared = Arc::clone(shared);
                let run = tokio::task::spawn_blocking(move || commands::run(&shared, line.trim()));
                run.await
                    .unwrap_or_else(|error| Answer::error("internal", &error.to_string()))
            }
            Ok(Some(Err(LinesCodecError::MaxLineLengthExceeded))) => {
                Answer::error("line_too_long", "a command has at most 64 KiB")
            }
            Ok(Some(Err(LinesCodecError::Io(error)))) => return Err(error),
            Ok(None) | Err(_) => return Ok(()),
        };
        write.write_all(answer.text.as_bytes()).await?;
        match answer.outcome {
            Outcome::Continue => {}
            Outcome::Close => return write.shutdown().await,
            Outcome::Stop => {
                write.shutdown().await?;
                shared.stop.cancel();
                return Ok(());
            }
        }
    }
}

/// The lines of a connection.
struct Lines {
    read: OwnedReadHalf,
    buffer: BytesMut,
    codec: LinesCodec,
}

impl Lines {
    /// The next line; `None` at the end.
    async fn next(&mut self) -> Option<Result<String, LinesCodecError>> {
        loop {
            match self.codec.decode(&mut self.buffer) {
                Ok(Some(line)) => return Some(Ok(line)),
                Ok(None) => {}
                Err(error) => return Some(Err(error)),
            }
            match self.read.read_buf(&mut self.buffer).await {
                Ok(0) => return self.codec.decode_eof(&mut self.buffer).transpose(),
                Ok(_) => {}
                Err(error) => return Some(Err(LinesCodecError::Io(error))),
            }
        }
    }
}
