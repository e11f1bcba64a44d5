//! Keeps the thread that maintains below its share of a core.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};

use crate::engine::Pace;

/// Times are compared over this long.
const WINDOW: Duration = Duration::from_secs(1);
/// It sleeps no less than this, and no longer at a time.
const SLEEP_MIN: Duration = Duration::from_millis(1);
const SLEEP_MAX: Duration = Duration::from_millis(50);

thread_local! {
    static IS_PACED: Cell<bool> = const { Cell::new(false) };
}

/// Lets one thread sleep as long as it takes to have used no more than a share of the time.
#[derive(Debug)]
pub struct Throttle {
    share: f64,
    /// Where the window began: the time, and what the thread had used.
    began: Mutex<Option<(Instant, Duration)>>,
    is_off: AtomicBool,
}

impl Throttle {
    /// Of so many hundredths of a core.
    pub fn of_percent(percent: u32) -> Self {
        Self {
            share: f64::from(percent.max(1)) / 100.0,
            began: Mutex::new(None),
            is_off: AtomicBool::new(percent >= 100),
        }
    }

    /// From now on the calling thread keeps to the share; others never do.
    pub fn hold_this_thread() {
        IS_PACED.set(true);
    }

    /// Nobody sleeps any more.
    pub fn release(&self) {
        self.is_off.store(true, Ordering::Relaxed);
    }

    /// How long to sleep at a moment, by what the thread has used.
    fn debt(&self, now: Instant, used: Duration) -> Duration {
        let mut began = self.began.lock();
        let (since, before) = *began.get_or_insert((now, used));
        let (wall, used_since) = (now - since, used.saturating_sub(before));
        let debt = used_since.div_f64(self.share).saturating_sub(wall);
        if wall > WINDOW && debt.is_zero() {
            // What was not used is not saved up.
            *began = Some((now, used));
        }
        debt
    }
}

impl Pace for Arc<Throttle> {
    fn pause(&self) {
        if !IS_PACED.get() || self.is_off.load(Ordering::Relaxed) {
            return;
        }
        let debt = self.debt(Instant::now(), thread_time());
        if debt >= SLEEP_MIN {
            sleep(debt.min(SLEEP_MAX));
        }
    }
}

/// What the calling thread has used of a core.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        time.tv_nsec.unsigned_abs() as u32,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_much_is_slept_as_the_share_asks_for() {
        let throttle = Throttle::of_percent(25);
        let start = Instant::now();
        let ms = Duration::from_millis;
        assert_eq!(throttle.debt(start, ms(500)), Duration::ZERO);
        // 30 ms of work are 120 ms of time.
        assert_eq!(throttle.debt(start + ms(30), ms(530)), ms(90));
        assert_eq!(throttle.debt(start + ms(120), ms(530)), Duration::ZERO);
        // Time that was not used counts within the window, and not beyond.
        assert_eq!(throttle.debt(start + ms(1_100), ms(530)), Duration::ZERO);
        assert_eq!(throttle.debt(start + ms(1_200), ms(630)), ms(300));
    }

    #[test]
    fn a_thread_that_is_held_works_for_its_share_of_the_time() {
        let throttle = Arc::new(Throttle::of_percent(20));
        let work = || {
            let (start, before) = (Instant::now(), thread_time());
            let mut number = 1u64;
            while thread_time().saturating_sub(before) < Duration::from_millis(60) {
                for _ in 0..1_000 {
                    number = std::hint::black_box(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                }
                throttle.pause();
            }
            start.elapsed()
        };
        let held = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                Throttle::hold_this_thread();
                work()
            });
            thread.join().expect("ends")
        });
        // 60 ms at a fifth of a core; the last pause may not have come.
        assert!(held >= Duration::from_millis(200), "{held:?}");
        // Who was let go does not even look at the time.
        let throttle = Arc::new(Throttle::of_percent(20));
        throttle.release();
        Throttle::hold_this_thread();
        throttle.pause();
        assert_eq!(*throttle.began.lock(), None);
    }
}
