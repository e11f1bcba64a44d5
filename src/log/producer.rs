//! Payload of a producer's frame: what became of one of its batches. Layout in `FORMAT.md`.
//!
//! The frame's head says whose it is and which batch. Behind the rows of a batch, in their unit, it says that they are
//! its; by itself it says that a batch was sent again.

use crate::log::varint::{put, take, unzigzag, zigzag};
use crate::log::{PayloadError, decode_whole};
use crate::types::{DatabaseId, Timestamp};

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerMark {
    /// The server's time, nanoseconds: who was silent for long is forgotten.
    pub time: Timestamp,
    /// Rows of a batch that was there already, by database, ascending; none where the rows of the unit are its.
    pub repeated: Option<Vec<(DatabaseId, u64)>>,
}

impl ProducerMark {
    /// The payload.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![if self.repeated.is_some() {
            KIND_REPEATED
        } else {
            KIND_STORED
        }];
        put(&mut out, zigzag(self.time));
        if let Some(rows) = &self.repeated {
            put(&mut out, rows.len() as u64);
            for (database, rows) in rows {
                put(&mut out, u64::from(database.0));
                put(&mut out, *rows);
            }
        }
        out
    }

    /// Reads a payload, all of it.
    pub fn decode(payload: &[u8]) -> Result<Self, PayloadError> {
        decode_whole(payload, "what became of a producer's batch", Self::take)
    }

    fn take(rest: &mut &[u8]) -> Option<Self> {
        let (&kind, after) = rest.split_first()?;
        *rest = after;
        let time = unzigzag(take(rest)?);
        let repeated = match kind {
            KIND_STORED => None,
            KIND_REPEATED => {
                let count = usize::try_from(take(rest)?).ok()?;
                // Each takes two bytes at least.
                if count > rest.len() / 2 {
                    return None;
                }
                let mut rows: Vec<(DatabaseId, u64)> = Vec::with_capacity(count);
                for _ in 0..count {
                    let database = DatabaseId(u32::try_from(take(rest)?).ok()?);
                    if rows.last().is_some_and(|(last, _)| *last >= database) {
                        return None;
                    }
                    rows.push((database, take(rest)?));
                }
                Some(rows)
            }
            _ => return None,
        };
        Some(Self { time, repeated })
    }
}

/// The unit's rows are the batch's.
const KIND_STORED: u8 = 1;
/// The batch was there already.
const KIND_REPEATED: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_come_back_and_cut_ones_do_not() {
        let rows = vec![(DatabaseId(0), 3), (DatabaseId(7), u64::MAX)];
        for repeated in [None, Some(vec![]), Some(rows)] {
            let time = 1_700_000_000_000_000_000;
            let mark = ProducerMark { time, repeated };
            let payload = mark.encode();
            assert_eq!(ProducerMark::decode(&payload), Ok(mark));
            for end in 0..payload.len() {
                assert!(ProducerMark::decode(&payload[..end]).is_err());
            }
            let longer = [&payload[..], &[0]].concat();
            assert!(ProducerMark::decode(&longer).is_err());
        }
        for wrong in [&[3, 0][..], &[2, 0, 200, 1], &[2, 0, 2, 5, 1, 5, 1]] {
            assert!(ProducerMark::decode(wrong).is_err(), "{wrong:?}");
        }
    }
}
