//! The thread that does what no writer waits for: ticks of the engine, checkpoints when the log fills.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use crate::engine::Engine;

/// How long a writer waits for room in the log before it tries again.
const ROOM_WAIT: Duration = Duration::from_millis(200);

/// How often what is due is done.
#[derive(Clone, Copy, Debug)]
pub struct MaintenanceOptions {
    /// Between two ticks.
    pub tick: Duration,
    /// Between two checkpoints, if rows were written meanwhile.
    pub checkpoint: Duration,
}

/// The handle of the thread.
#[derive(Debug)]
pub struct Maintenance {
    shared: Arc<Shared>,
    checkpoints: watch::Receiver<u64>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    wanted: Mutex<Wanted>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Wanted {
    checkpoint: bool,
    stop: bool,
}

impl Maintenance {
    /// Starts the thread.
    pub fn start(engine: Arc<Engine>, options: MaintenanceOptions) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (sender, checkpoints) = watch::channel(0);
        let thread = {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name("maintenance".into())
                .spawn(move || run(&engine, options, &shared, &sender))?
        };
        Ok(Self {
            shared,
            checkpoints,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Asks for a checkpoint soon.
    pub fn request_checkpoint(&self) {
        self.requester()();
    }

    /// Something that asks for a checkpoint, to be handed to another thread.
    pub fn requester(&self) -> impl Fn() + Send + Sync + 'static {
        let shared = Arc::clone(&self.shared);
        move || {
            let mut wanted = shared.wanted.lock();
            if !wanted.checkpoint {
                wanted.checkpoint = true;
                shared.wake.notify_one();
            }
        }
    }

    /// Has a checkpoint free room in the log, and waits for it a while: the next attempt to write tells.
    pub async fn make_room(&self) {
        let mut checkpoints = self.checkpoints.clone();
        checkpoints.mark_unchanged();
        self.request_checkpoint();
        // An error means that the thread has ended: nobody waits for it then.
        let _ = tokio::time::timeout(ROOM_WAIT, checkpoints.changed()).await;
    }

    /// Ends the thread.
    pub fn stop(&self) {
        self.shared.wanted.lock().stop = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("maintenance ended in a panic");
        }
    }
}

fn run(
    engine: &Engine,
    options: MaintenanceOptions,
    shared: &Shared,
    checkpoints: &watch::Sender<u64>,
) {
    let mut last_tick = Instant::now();
    let mut last_checkpoint = Instant::now();
    let mut checkpointed_end = engine.end();
    loop {
        let (asked, stop) = {
            let mut wanted = shared.wanted.lock();
            if !wanted.checkpoint && !wanted.stop {
                let left = options.tick.saturating_sub(last_tick.elapsed());
                shared.wake.wait_for(&mut wanted, left);
            }
            (std::mem::take(&mut wanted.checkpoint), wanted.stop)
        };
        if stop {
            return;
        }
        if last_tick.elapsed() >= options.tick {
            last_tick = Instant::now();
            match engine.tick() {
                Ok(report) => {
                    if report.checkpoint.is_some() {
                        last_checkpoint = Instant::now();
                        checkpointed_end = engine.end();
                        checkpoints.send_modify(|count| *count += 1);
                    }
                }
                Err(error) => tracing::error!(%error, "maintenance failed"),
            }
        }
        let due =
            last_checkpoint.elapsed() >= options.checkpoint && engine.end() != checkpointed_end;
        let short = engine.room_is_due();
        if asked || due || short {
            last_checkpoint = Instant::now();
            checkpointed_end = engine.end();
            let done = if short {
                engine.make_room().map(|report| report.checkpoint)
            } else {
                engine.checkpoint_in_passing().map(Some)
            };
            match done {
                Ok(report) => tracing::debug!(?report, "checkpoint"),
                Err(error) if error.is_full() => {
                    tracing::warn!(%error, "a checkpoint found no room");
                }
                Err(error) => tracing::error!(%error, "checkpoint failed"),
            }
            checkpoints.send_modify(|count| *count += 1);
        }
    }
}
