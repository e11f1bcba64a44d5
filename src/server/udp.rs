//! Line protocol by UDP: each datagram is a text session of its own, without answers.

use std::sync::Arc;

use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::auth::Standing;
use super::outbox::Outbox;
use super::text::Gatherer;

/// Largest datagram there is.
const DATAGRAM_BYTES: usize = 65_536;

/// Takes datagrams until the server stops.
pub async fn serve(shared: Arc<Shared>, socket: UdpSocket, stop: CancellationToken) {
    let mut buffer = vec![0; DATAGRAM_BYTES];
    loop {
        let received = tokio::select! {
            () = stop.cancelled() => return,
            received = socket.recv_from(&mut buffer) => received,
        };
        match received {
            Ok((len, peer)) => take(&shared, &buffer[..len], &format!("udp {peer}")),
            Err(error) => tracing::debug!(%error, "a datagram could not be received"),
        }
    }
}

fn take(shared: &Arc<Shared>, datagram: &[u8], source: &str) {
    // Nobody reads the answers; refused lines are kept in the store.
    let outbox = Arc::new(Outbox::default());
    let mut gatherer = match Gatherer::new(
        shared,
        &outbox,
        source.to_owned(),
        Standing::trusted(shared),
    ) {
        Ok(gatherer) => gatherer,
        Err(refusal) => {
            tracing::warn!(message = refusal.message, "a datagram was lost");
            return;
        }
    };
    gatherer.session().finish();
    while gatherer.gather(shared, datagram) {
        gatherer.write_or_refuse(shared);
    }
    gatherer.write_or_refuse(shared);
}
