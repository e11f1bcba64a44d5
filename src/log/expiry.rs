//! Payload of an expiry frame: up to which time the rows of some series left, by age or by number. Also a
//! record of image files. Layout in `FORMAT.md`.

use crate::log::varint::{put, take, unzigzag, zigzag};
use crate::log::{PayloadError, decode_whole};
use crate::types::{SeriesId, TimeRange, Timestamp};

/// Rows of some series up to a time each, as far as they stand before the frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// Whether the series had too many rows; otherwise these were too old.
    pub evicted: bool,
    /// The series, ascending, and the last time that went.
    pub series: Vec<(SeriesId, Timestamp)>,
}

impl Expiry {
    /// The payload.
    pub fn encode(&self) -> Vec<u8> {
        let kind = if self.evicted {
            KIND_EVICTED
        } else {
            KIND_EXPIRED
        };
        let mut out = vec![kind];
        put(&mut out, self.series.len() as u64);
        let (mut id_before, mut through_before) = (0, 0);
        for &(id, through) in &self.series {
            put(&mut out, u64::from(id.0 - id_before));
            put(&mut out, zigzag(through.wrapping_sub(through_before)));
            (id_before, through_before) = (id.0, through);
        }
        out
    }

    /// Reads a payload, all of it.
    pub fn decode(payload: &[u8]) -> Result<Self, PayloadError> {
        decode_whole(payload, "expiry", Self::take)
    }

    fn take(rest: &mut &[u8]) -> Option<Self> {
        let (&kind, after) = rest.split_first()?;
        *rest = after;
        let evicted = match kind {
            KIND_EXPIRED => false,
            KIND_EVICTED => true,
            _ => return None,
        };
        // Every series takes two bytes.
        let count = usize::try_from(take(rest)?).ok();
        let count = count.filter(|&count| count <= rest.len() / 2)?;
        let mut series = Vec::with_capacity(count);
        let (mut id, mut through) = (0u32, 0i64);
        for _ in 0..count {
            let step = u32::try_from(take(rest)?).ok()?;
            if step == 0 && !series.is_empty() {
                return None;
            }
            id = id.checked_add(step)?;
            through = through.wrapping_add(unzigzag(take(rest)?));
            series.push((SeriesId(id), through));
        }
        Some(Self { evicted, series })
    }
}

/// The times up to one, that included.
pub fn up_to(through: Timestamp) -> TimeRange {
    TimeRange {
        start: Timestamp::MIN,
        end: through.saturating_add(1),
    }
}

/// Rows that were too old.
const KIND_EXPIRED: u8 = 1;
/// Rows of series that had too many.
const KIND_EVICTED: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(evicted: bool) -> Expiry {
        let throughs = [0, -5, i64::MAX, i64::MIN, 1_700_000_000_000_000_000];
        let ids = [0, 1, 7, 70_000, u32::MAX].map(SeriesId);
        Expiry {
            evicted,
            series: ids.into_iter().zip(throughs).collect(),
        }
    }

    #[test]
    fn expiries_round_trip_and_cut_ones_are_errors() {
        for evicted in [false, true] {
            let payload = sample(evicted).encode();
            assert_eq!(Expiry::decode(&payload), Ok(sample(evicted)));
            for len in 0..payload.len() {
                assert!(Expiry::decode(&payload[..len]).is_err(), "{len} bytes");
            }
            assert!(Expiry::decode(&[&payload[..], &[0]].concat()).is_err());
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let mut twice = sample(false);
        twice.series = vec![(SeriesId(4), 1), (SeriesId(4), 2)];
        assert!(Expiry::decode(&twice.encode()).is_err());
        let mut claims = vec![KIND_EVICTED];
        put(&mut claims, u64::MAX);
        assert!(Expiry::decode(&claims).is_err());
        assert!(Expiry::decode(&[3, 0]).is_err());
    }
}
