//! The data port's listener: one port for text and binary, told apart by the first byte.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use edgetime_protocol::answer;
use edgetime_protocol::error::Code;
use edgetime_protocol::session::Opening;
use rustix::net::sockopt;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use super::clients::Client;
use super::{Shared, binary, text};

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
                // Out of descriptors, most likely: connections that end make room.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn admit(shared: Arc<Shared>, mut stream: TcpStream, peer: SocketAddr) {
    // Answers are short and somebody waits for them.
    let _ = stream.set_nodelay(true);
    if let Err(error) = keep_alive(&stream) {
        tracing::debug!(%error, "a connection without keep-alive probes");
    }
    let max = shared.config.limits.connections_max;
    let Some(client) = shared.clients.enter("data", peer, max) else {
        refuse(
            &mut stream,
            Code::Busy,
            "too many connections; try again later",
        )
        .await;
        return;
    };
    let mut first = [0];
    let opening = tokio::select! {
        read = stream.peek(&mut first) => read.ok().filter(|&n| n > 0).map(|_| Opening::of(first[0])),
        () = client.closed() => None,
    };
    serve(&shared, opening, stream, &client).await;
    shared.clients.leave(&client);
}

/// Has the kernel ask a silent peer whether it is there: one that lost its power says nothing any more.
fn keep_alive(stream: &TcpStream) -> rustix::io::Result<()> {
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, PROBE_AFTER)?;
    sockopt::set_tcp_keepintvl(stream, PROBE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(stream, PROBES)
}

/// Silence before the first probe, the time between two, and how many may stay unanswered.
const PROBE_AFTER: Duration = Duration::from_secs(10);
const PROBE_INTERVAL: Duration = Duration::from_secs(3);
const PROBES: u32 = 3;

async fn serve(
    shared: &Arc<Shared>,
    opening: Option<Opening>,
    mut stream: TcpStream,
    client: &Arc<Client>,
) {
    match opening {
        Some(Opening::Text) => text::serve(Arc::clone(shared), stream, Arc::clone(client)).await,
        Some(Opening::Binary) => {
            binary::serve(Arc::clone(shared), stream, Arc::clone(client)).await;
        }
        Some(Opening::Tls) => {
            let message = "this server does not speak TLS; connect without it";
            refuse(&mut stream, Code::BadVersion, message).await;
        }
        None => {}
    }
}

async fn refuse(stream: &mut TcpStream, code: Code, message: &str) {
    let mut line = Vec::new();
    answer::rejected(&mut line, 0, code, message);
    // The peer may be gone already.
    let _ = stream.write_all(&line).await;
    let _ = stream.shutdown().await;
}
