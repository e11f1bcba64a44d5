//! A proxy that fails by a seed: it delays, drips a byte at a time, cuts in the middle of a frame, and leaves
//! connections half open, silent on both sides.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What the proxy did to its connections.
#[derive(Debug, Default)]
pub struct Faults {
    /// Connections that were cut.
    pub cuts: AtomicU64,
    /// Connections that fell silent.
    pub silences: AtomicU64,
    /// Connections that carried single bytes.
    pub drips: AtomicU64,
    /// Pieces that were held back for a while.
    pub delays: AtomicU64,
}

/// A listener in front of a server. It passes bytes on until it is dropped.
pub struct FaultProxy {
    /// Where clients connect.
    pub address: SocketAddr,
    /// What has happened.
    pub faults: Arc<Faults>,
    ends: Arc<AtomicBool>,
    /// Held delays end when this is dropped.
    _running: Sender<()>,
}

/// What will become of one connection.
struct Plan {
    /// Bytes that pass, either way, before it fails.
    left: AtomicI64,
    /// It does not end then, but says nothing more.
    falls_silent: bool,
    drips: bool,
    delays: bool,
    faults: Arc<Faults>,
    running: Arc<Mutex<Receiver<()>>>,
}

impl FaultProxy {
    /// Listens in front of a server; every connection passes fewer than `bytes_max` bytes.
    pub fn start(server: SocketAddr, seed: u64, bytes_max: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let faults = Arc::new(Faults::default());
        let ends = Arc::new(AtomicBool::new(false));
        let (sender, receiver) = mpsc::channel();
        let running = Arc::new(Mutex::new(receiver));
        let (counted, stopped) = (Arc::clone(&faults), Arc::clone(&ends));
        thread::spawn(move || {
            let mut random = seed | 1;
            let mut below = |limit: u64| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                (random >> 8) % limit
            };
            for client in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let (Ok(client), Ok(upstream)) = (client, TcpStream::connect(server)) else {
                    continue;
                };
                let plan = Arc::new(Plan {
                    left: AtomicI64::new((bytes_max / 10 + below(bytes_max)) as i64),
                    falls_silent: below(40) == 0,
                    drips: below(8) == 0,
                    delays: below(8) == 0,
                    faults: Arc::clone(&counted),
                    running: Arc::clone(&running),
                });
                counted
                    .drips
                    .fetch_add(u64::from(plan.drips), Ordering::Relaxed);
                carry(&plan, &client, &upstream);
                carry(&plan, &upstream, &client);
            }
        });
        Self {
            address,
            faults,
            ends,
            _running: sender,
        }
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        // The listener looks up once more; it may be gone.
        let _ = TcpStream::connect(self.address);
    }
}

fn carry(plan: &Arc<Plan>, from: &TcpStream, to: &TcpStream) {
    let plan = Arc::clone(plan);
    let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else {
        return;
    };
    thread::spawn(move || {
        pump(&plan, &from, &to);
        // Either may be gone.
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    });
}

/// Passes bytes on until the connection ends.
fn pump(plan: &Plan, mut from: &TcpStream, mut to: &TcpStream) {
    let mut bytes = [0; 4096];
    loop {
        let room = if plan.drips { 1 } else { bytes.len() };
        let Ok(read @ 1..) = from.read(&mut bytes[..room]) else {
            return;
        };
        let left = plan.left.fetch_sub(read as i64, Ordering::Relaxed);
        let passes = read.min(usize::try_from(left).unwrap_or(0));
        if plan.delays && read > 100 {
            plan.faults.delays.fetch_add(1, Ordering::Relaxed);
            let running = plan.running.lock().expect("nobody panics with it");
            // Nothing is ever sent: it waits, or the proxy ends.
            let _ = running.recv_timeout(Duration::from_millis(20));
        }
        if to.write_all(&bytes[..passes]).is_err() {
            return;
        }
        if passes == read {
            continue;
        }
        if !plan.falls_silent {
            plan.faults.cuts.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if left > 0 {
            plan.faults.silences.fetch_add(1, Ordering::Relaxed);
        }
        // Takes what comes, and passes nothing on, until one of them gives up.
    }
}
