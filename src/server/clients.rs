//! Who is connected: for `clients`, for `clients kill`, and for a limit on their number.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::engine::Maker;
use crate::types::TokenId;

/// One connection.
#[derive(Debug)]
pub struct Client {
    /// Its number since the server started.
    pub id: u64,
    /// `data` or `admin`.
    pub port: &'static str,
    peer: SocketAddr,
    received_bytes: AtomicU64,
    held_bytes: AtomicUsize,
    token: Mutex<Option<Arc<Maker>>>,
    close: CancellationToken,
}

impl Client {
    /// The peer's address, as text.
    pub fn peer(&self) -> String {
        self.peer.to_string()
    }

    /// Counts bytes that came.
    pub fn received(&self, bytes: usize) {
        self.received_bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes that came.
    pub fn received_bytes(&self) -> u64 {
        self.received_bytes.load(Ordering::Relaxed)
    }

    /// Tells how much memory its buffers take.
    pub fn holds(&self, bytes: usize) {
        self.held_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Notes by which token it is there.
    pub fn set_token(&self, token: Option<Arc<Maker>>) {
        *self.token.lock() = token;
    }

    /// The token by which it is there.
    pub fn token(&self) -> Option<Arc<Maker>> {
        self.token.lock().clone()
    }

    /// Whether the connection is to be closed.
    pub fn is_closed(&self) -> bool {
        self.close.is_cancelled()
    }

    /// Returns when the connection is to be closed.
    pub async fn closed(&self) {
        self.close.cancelled().await;
    }
}

/// All connections.
#[derive(Debug)]
pub struct Clients {
    open: Mutex<Vec<Arc<Client>>>,
    next: AtomicU64,
    stop: CancellationToken,
}

impl Clients {
    /// None yet. All are closed when `stop` is cancelled.
    pub fn new(stop: CancellationToken) -> Self {
        Self {
            open: Mutex::new(Vec::new()),
            next: AtomicU64::new(1),
            stop,
        }
    }

    /// Registers a connection; `None` where the port has `max` already.
    pub fn enter(&self, port: &'static str, peer: SocketAddr, max: u32) -> Option<Arc<Client>> {
        let mut open = self.open.lock();
        let same = open.iter().filter(|client| client.port == port).count();
        if same >= max as usize {
            return None;
        }
        let client = Arc::new(Client {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            port,
            peer,
            received_bytes: AtomicU64::new(0),
            held_bytes: AtomicUsize::new(0),
            token: Mutex::default(),
            close: self.stop.child_token(),
        });
        open.push(Arc::clone(&client));
        Some(client)
    }

    /// Forgets a connection that has ended.
    pub fn leave(&self, client: &Client) {
        self.open.lock().retain(|open| open.id != client.id);
    }

    /// Closes a connection; false where there is none of that number.
    pub fn kill(&self, id: u64) -> bool {
        let open = self.open.lock();
        let found = open.iter().find(|client| client.id == id);
        if let Some(client) = found {
            client.close.cancel();
        }
        found.is_some()
    }

    /// Closes all connections by a token; how many.
    pub fn kill_token(&self, token: TokenId) -> usize {
        let open = self.open.lock();
        let theirs = open
            .iter()
            .filter(|client| client.token().is_some_and(|maker| maker.token == token));
        theirs.map(|client| client.close.cancel()).count()
    }

    /// Bytes of memory that buffers of all connections take.
    pub fn held_bytes(&self) -> usize {
        let open = self.open.lock();
        let held = open
            .iter()
            .map(|client| client.held_bytes.load(Ordering::Relaxed));
        held.sum()
    }

    /// All connections, oldest first.
    pub fn list(&self) -> Vec<Arc<Client>> {
        self.open.lock().clone()
    }
}
