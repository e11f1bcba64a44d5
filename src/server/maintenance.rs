//! The thread that does what no writer waits for: ticks of the engine, checkpoints when the log fills, relief when
//! memory runs short.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use super::memory;
use super::pace::Throttle;
use crate::engine::{Engine, EngineError, MemoryState};

/// How long a writer waits for room in the log, or in memory, before it tries again.
const ROOM_WAIT: Duration = Duration::from_millis(200);

/// How often what is due is done.
#[derive(Clone, Copy, Debug)]
pub struct MaintenanceOptions {
    /// Between two ticks.
    pub tick: Duration,
    /// Between two checkpoints, if rows were written meanwhile.
    pub checkpoint: Duration,
    /// Percent of a core that it takes where nothing presses.
    pub core_share_percent: u32,
}

/// What follows a round of relief outside the engine: its caches shrink and grow with the others.
pub type Followers = Box<dyn Fn(&MemoryState) + Send>;

/// Wakes the thread, from any other.
#[derive(Clone, Debug)]
pub struct Waker {
    shared: Arc<Shared>,
}

/// The handle of the thread.
#[derive(Debug)]
pub struct Maintenance {
    shared: Arc<Shared>,
    /// Counts checkpoints, and rounds of relief.
    rounds: watch::Receiver<u64>,
    throttle: Arc<Throttle>,
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
    relief: bool,
    stop: bool,
}

impl Waker {
    /// Asks for a checkpoint soon.
    pub fn request_checkpoint(&self) {
        self.request(|wanted| &mut wanted.checkpoint);
    }

    /// Asks for what the memory's level wants done.
    pub fn request_relief(&self) {
        self.request(|wanted| &mut wanted.relief);
    }

    fn request(&self, which: impl Fn(&mut Wanted) -> &mut bool) {
        let mut wanted = self.shared.wanted.lock();
        if !std::mem::replace(which(&mut wanted), true) {
            self.shared.wake.notify_one();
        }
    }
}

impl Maintenance {
    /// Starts the thread.
    pub fn start(
        engine: Arc<Engine>,
        options: MaintenanceOptions,
        followers: Followers,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (sender, rounds) = watch::channel(0);
        let throttle = Arc::new(Throttle::of_percent(options.core_share_percent));
        engine.set_pace(Box::new(Arc::clone(&throttle)));
        let thread = {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name("maintenance".into())
                .spawn(move || run(&engine, options, &shared, &sender, &followers))?
        };
        Ok(Self {
            shared,
            rounds,
            throttle,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Asks for a checkpoint soon.
    pub fn request_checkpoint(&self) {
        self.waker().request_checkpoint();
    }

    /// Something that wakes the thread, to be handed to another.
    pub fn waker(&self) -> Waker {
        Waker {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Has a checkpoint free room in the log, or memory relieved, by what a write was refused for; and waits for it a
    /// while: the next attempt to write tells.
    pub async fn make_room(&self, refused: &EngineError) {
        let mut rounds = self.rounds.clone();
        rounds.mark_unchanged();
        if matches!(refused, EngineError::MemoryShort { .. }) {
            self.waker().request_relief();
        } else {
            self.request_checkpoint();
        }
        // An error means that the thread has ended: nobody waits for it then.
        let _ = tokio::time::timeout(ROOM_WAIT, rounds.changed()).await;
    }

    /// Ends the thread.
    pub fn stop(&self) {
        self.throttle.release();
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
    rounds: &watch::Sender<u64>,
    followers: &Followers,
) {
    Throttle::hold_this_thread();
    let mut last_tick = Instant::now();
    let mut last_checkpoint = Instant::now();
    let mut checkpointed_end = engine.end();
    let mut no_room_told = false;
    loop {
        let (asked, stop) = {
            let mut wanted = shared.wanted.lock();
            if !wanted.checkpoint && !wanted.relief && !wanted.stop {
                let left = options.tick.saturating_sub(last_tick.elapsed());
                shared.wake.wait_for(&mut wanted, left);
            }
            wanted.relief = false;
            (std::mem::take(&mut wanted.checkpoint), wanted.stop)
        };
        if stop {
            return;
        }
        if engine.memory_is_due() {
            match engine.relieve_memory() {
                Ok(state) => {
                    no_room_told = false;
                    followers(&state);
                }
                // Tried again four times a second.
                Err(error) if error.is_full() => {
                    if !std::mem::replace(&mut no_room_told, true) {
                        tracing::warn!(%error, "memory is short, and the device has no room to relieve it");
                    }
                }
                Err(error) => tracing::error!(%error, "memory could not be relieved"),
            }
            engine.give_back_heap();
            if let Some(bytes) = memory::anonymous_bytes() {
                engine.check_memory(bytes);
            }
            rounds.send_modify(|count| *count += 1);
        }
        if last_tick.elapsed() >= options.tick {
            last_tick = Instant::now();
            match engine.tick() {
                Ok(report) => {
                    if report.checkpoint.is_some() {
                        last_checkpoint = Instant::now();
                        checkpointed_end = engine.end();
                        rounds.send_modify(|count| *count += 1);
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
            rounds.send_modify(|count| *count += 1);
        }
    }
}
