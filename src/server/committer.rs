//! The thread that syncs the log, and what waits for it.
//!
//! While one sync runs, the next group gathers; one sync then serves everybody who waits. When it happens
//! without being asked for is the policy's choice.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use super::maintenance::Waker;
use super::memory;
use crate::engine::{Engine, MemoryLevel, SpaceLevel};
use crate::types::Position;

/// When the log is synced without anybody asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPolicy {
    /// At most this long after a write.
    After(Duration),
    /// After every batch.
    Always,
    /// Never: the operating system writes when it likes.
    Never,
}

/// How far the log is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Everything before this survives a loss of power.
    pub durable: Position,
    /// Why it will not go on, where that is so.
    pub failed: Option<Arc<str>>,
}

/// The handle of the thread.
#[derive(Debug)]
pub struct Committer {
    shared: Arc<Shared>,
    progress: watch::Receiver<Progress>,
    thread: Mutex<Option<JoinHandle<()>>>,
    policy: SyncPolicy,
}

#[derive(Debug, Default)]
struct Shared {
    wanted: Mutex<Wanted>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Wanted {
    sync: bool,
    stop: bool,
}

/// Memory is looked at this often at most.
const MEMORY: Duration = Duration::from_millis(20);
/// How long the thread sleeps at most: what lies in the log without anybody waiting is seen then.
const IDLE: Duration = Duration::from_millis(50);

impl Committer {
    /// Starts the thread. It wakes the one that maintains when half of the log is in use, or room or memory is short.
    pub fn start(
        engine: Arc<Engine>,
        policy: SyncPolicy,
        maintenance: Waker,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (sender, progress) = watch::channel(Progress {
            durable: engine.durable(),
            failed: None,
        });
        let thread = {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name("committer".into())
                .spawn(move || run(&engine, policy, &shared, &sender, &maintenance))?
        };
        Ok(Self {
            shared,
            progress,
            thread: Mutex::new(Some(thread)),
            policy,
        })
    }

    /// Asks for a sync of everything written so far.
    pub fn request(&self) {
        self.shared.wanted.lock().sync = true;
        self.shared.wake.notify_one();
    }

    /// Tells that a batch was written.
    #[inline]
    pub fn written(&self) {
        if self.policy == SyncPolicy::Always {
            self.request();
        }
    }

    /// Whoever waits for durability watches this.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// Syncs what is left and ends the thread.
    pub fn stop(&self) {
        self.shared.wanted.lock().stop = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the committer ended in a panic");
        }
    }
}

fn run(
    engine: &Engine,
    policy: SyncPolicy,
    shared: &Shared,
    progress: &watch::Sender<Progress>,
    maintenance: &Waker,
) {
    let mut unsynced_since: Option<Instant> = None;
    let mut space = SpaceLevel::default();
    let mut memory = Memory::default();
    loop {
        let stop = {
            let mut wanted = shared.wanted.lock();
            if !wanted.sync && !wanted.stop {
                shared
                    .wake
                    .wait_for(&mut wanted, wait(policy, unsynced_since));
            }
            let due = match (policy, unsynced_since) {
                (SyncPolicy::After(after), Some(since)) => since.elapsed() >= after / 2,
                _ => false,
            };
            let (asked, stop) = (std::mem::take(&mut wanted.sync), wanted.stop);
            drop(wanted);
            if engine.end() == engine.durable() {
                unsynced_since = None;
                // A checkpoint may have synced what somebody waits for.
                publish(progress, engine.durable());
            } else if asked || stop || due || engine.awaits_room() {
                unsynced_since = None;
                sync(engine, progress);
            } else if unsynced_since.is_none() {
                unsynced_since = Some(Instant::now());
            }
            stop
        };
        if stop {
            return;
        }
        if let Err(error) = engine.prepare_log()
            && !error.is_full()
        {
            tracing::warn!(%error, "could not prepare the log's next segment");
        }
        let level = engine.check_space();
        if level != space {
            tracing::warn!(
                from = space.name(),
                to = level.name(),
                free_bytes = engine.space().free_bytes,
                "room on the device"
            );
            space = level;
        }
        memory.look(engine);
        if engine.checkpoint_is_due() || engine.room_is_due() {
            maintenance.request_checkpoint();
        }
        if engine.memory_is_due() {
            maintenance.request_relief();
        }
    }
}

/// What was last seen of the process's memory.
#[derive(Default)]
struct Memory {
    looked: Option<Instant>,
    level: MemoryLevel,
}

impl Memory {
    fn look(&mut self, engine: &Engine) {
        if self.looked.is_some_and(|looked| looked.elapsed() < MEMORY) {
            return;
        }
        self.looked = Some(Instant::now());
        let Some(bytes) = memory::anonymous_bytes() else {
            return;
        };
        let level = engine.check_memory(bytes);
        let (before, from) = (self.level, self.level.name());
        self.level = level;
        if (before == MemoryLevel::Full) != (level == MemoryLevel::Full) {
            tracing::warn!(from, to = level.name(), bytes, "memory");
        } else if before != level {
            tracing::debug!(from, to = level.name(), bytes, "memory");
        }
    }
}

fn wait(policy: SyncPolicy, unsynced_since: Option<Instant>) -> Duration {
    match (policy, unsynced_since) {
        // Half of the time to see that something was written, half of it to gather more.
        (SyncPolicy::After(after), Some(since)) => (after / 2).saturating_sub(since.elapsed()),
        (SyncPolicy::After(after), None) => (after / 2).min(IDLE),
        _ => IDLE,
    }
}

fn sync(engine: &Engine, progress: &watch::Sender<Progress>) {
    match engine.sync() {
        Ok(durable) => publish(progress, durable),
        // Tried again until there is room; that there is none is said as the state of the device.
        Err(error) if error.is_full() => tracing::debug!(%error, "the log could not be synced"),
        Err(error) => {
            tracing::error!(%error, "the log could not be synced");
            if engine.is_read_only() {
                progress.send_modify(|progress| progress.failed = Some(error.to_string().into()));
            }
        }
    }
}

fn publish(progress: &watch::Sender<Progress>, durable: Position) {
    progress.send_if_modified(|progress| {
        let changed = progress.durable != durable;
        progress.durable = durable;
        changed
    });
}
