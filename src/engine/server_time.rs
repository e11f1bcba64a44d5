//! The server's time: the wall clock, as far as it can be believed.
//!
//! A device may have no clock of its own, and a wall clock may jump. Rows without a time are stamped with a
//! time that does not fall back by hours; retention goes by a time that stands still while there is doubt.
//! Two doubts are known: at start the wall clock lies before the newest server time that was durable; or
//! since then wall and monotonic time disagree by more than an hour.

use parking_lot::Mutex;

use crate::clock::Clock;
use crate::types::Timestamp;

/// Why retention pauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeDoubt {
    /// The wall clock has not yet reached the newest server time of before the start.
    Behind,
    /// The wall clock moved by more than an hour against the monotonic one.
    Jumped,
}

impl TimeDoubt {
    /// The word in `status`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Behind => "clock_behind",
            Self::Jumped => "clock_jumped",
        }
    }
}

/// One look at the clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerTime {
    /// For stamps, and for the limit of times ahead, nanoseconds.
    pub now: Timestamp,
    /// What age is measured against, nanoseconds.
    pub retention: Timestamp,
    /// What may be kept as the newest server time, nanoseconds.
    pub durable: Timestamp,
    /// Whether retention pauses.
    pub doubt: Option<TimeDoubt>,
}

/// What the clocks said before.
#[derive(Debug)]
pub(super) struct Timekeeper {
    /// Time is the data's own: there is nothing to doubt.
    follows_data: bool,
    /// The newest server time that was durable at start.
    floor: Timestamp,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// A wall time that was believed, and the monotonic time with it.
    anchor_wall: Timestamp,
    anchor_monotonic: u64,
    behind: bool,
    /// The newest time that retention went by.
    retention: Timestamp,
}

/// Wall and monotonic time may drift apart by this much, nanoseconds.
const JUMP_NS: u64 = 3_600 * 1_000_000_000;

impl Timekeeper {
    /// Begins with the clocks as they are, and the newest server time known from before.
    pub(super) fn new(clock: &dyn Clock, floor: Timestamp, follows_data: bool) -> Self {
        let wall = clock.wall_ns();
        Self {
            follows_data,
            floor,
            state: Mutex::new(State {
                anchor_wall: wall.max(floor),
                anchor_monotonic: clock.monotonic_ns(),
                behind: wall < floor && !follows_data,
                retention: wall.max(floor),
            }),
        }
    }

    /// Looks at the clocks.
    pub(super) fn read(&self, clock: &dyn Clock) -> ServerTime {
        let wall = clock.wall_ns();
        if self.follows_data {
            return ServerTime {
                now: wall,
                retention: wall,
                durable: wall,
                doubt: None,
            };
        }
        let monotonic = clock.monotonic_ns();
        let mut state = self.state.lock();
        if state.behind && wall >= self.floor {
            // Somebody has set the clock: from now on it is believed.
            state.behind = false;
            state.anchor_wall = wall;
            state.anchor_monotonic = monotonic;
        }
        let elapsed = monotonic.saturating_sub(state.anchor_monotonic);
        let expected = state.anchor_wall.saturating_add_unsigned(elapsed);
        let doubt = if state.behind {
            Some(TimeDoubt::Behind)
        } else if wall.abs_diff(expected) > JUMP_NS {
            Some(TimeDoubt::Jumped)
        } else {
            state.retention = wall;
            None
        };
        // A clock that is set forward is believed for stamps; one that falls back is not.
        let now = if doubt.is_some() {
            wall.max(expected)
        } else {
            wall
        };
        ServerTime {
            now,
            // The clock may have been ahead by less than a jump before: a row that is stamped now is not too old.
            retention: state.retention.min(now),
            durable: if doubt.is_some() { expected } else { wall },
            doubt,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    const HOUR: u64 = JUMP_NS;
    const NOW: Timestamp = 1_700_000_000_000_000_000;

    #[test]
    fn small_steps_are_followed_and_jumps_pause_retention() {
        let clock = ManualClock::at(NOW);
        let keeper = Timekeeper::new(&clock, NOW - 5, false);
        clock.advance(HOUR);
        let later = NOW + HOUR as i64;
        let time = keeper.read(&clock);
        assert_eq!((time.now, time.retention, time.doubt), (later, later, None));
        clock.set_wall(later - HOUR as i64 / 2);
        let time = keeper.read(&clock);
        assert_eq!((time.now, time.doubt), (later - HOUR as i64 / 2, None));
        let trusted = time.retention;
        for jump in [10 * HOUR as i64, -10 * HOUR as i64, 365 * 24 * HOUR as i64] {
            clock.set_wall(later + jump);
            let time = keeper.read(&clock);
            assert_eq!(time.doubt, Some(TimeDoubt::Jumped), "{jump}");
            assert_eq!(time.retention, trusted, "{jump}");
            assert_eq!(time.now, later + jump.max(0), "{jump}");
            assert_eq!(
                time.durable, later,
                "a jump is not handed to the next start"
            );
        }
        clock.set_wall(later + 1);
        let time = keeper.read(&clock);
        assert_eq!((time.retention, time.doubt), (later + 1, None));
    }

    #[test]
    fn a_row_that_is_stamped_now_is_never_too_old() {
        let clock = ManualClock::at(NOW);
        let keeper = Timekeeper::new(&clock, NOW - 5, false);
        clock.set_wall(NOW + HOUR as i64 * 5 / 6);
        assert_eq!(keeper.read(&clock).doubt, None);
        // Back by more than an hour: the stamps go on from where the clock began.
        clock.set_wall(NOW - HOUR as i64 * 2);
        let time = keeper.read(&clock);
        assert_eq!((time.now, time.doubt), (NOW, Some(TimeDoubt::Jumped)));
        assert_eq!(time.retention, NOW);
    }

    #[test]
    fn a_clock_behind_the_store_goes_on_from_where_it_was_until_it_is_set() {
        let clock = ManualClock::at(0);
        let keeper = Timekeeper::new(&clock, NOW, false);
        clock.advance(7);
        let time = keeper.read(&clock);
        assert_eq!(
            (time.now, time.durable, time.retention),
            (NOW + 7, NOW + 7, NOW)
        );
        assert_eq!(time.doubt, Some(TimeDoubt::Behind));
        clock.set_wall(NOW + 50 * HOUR as i64);
        let time = keeper.read(&clock);
        assert_eq!(time.now, NOW + 50 * HOUR as i64);
        assert_eq!((time.retention, time.doubt), (time.now, None));
    }

    #[test]
    fn time_that_follows_the_data_is_never_doubted() {
        let clock = ManualClock::at(0);
        let keeper = Timekeeper::new(&clock, NOW, true);
        clock.follow(NOW - 5);
        let time = keeper.read(&clock);
        assert_eq!(
            (time.now, time.retention, time.doubt),
            (NOW - 5, NOW - 5, None)
        );
    }
}
