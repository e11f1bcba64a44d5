//! Payload of a deletion frame: which rows of which series are gone. Also a record of image files.
//!
//! The series are those that a predicate chose when the statement ran, by number, so that a replay needs
//! neither the predicate nor the names. Layout in `FORMAT.md`.

use crate::log::definitions::{put_ascending, take_ascending};
use crate::log::varint::{put, take, unzigzag, zigzag};
use crate::log::{PayloadError, decode_whole};
use crate::types::{DatabaseId, MeasurementId, SeriesId, TimeRange};

/// Rows of some series in a range of time, as far as they stand before the frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// The database.
    pub database: DatabaseId,
    /// The measurement.
    pub measurement: MeasurementId,
    /// The times.
    pub range: TimeRange,
    /// The series, ascending.
    pub series: Vec<SeriesId>,
    /// Whether the same unit of the log has the rows elsewhere: then nothing is lost, and the ledger counts them
    /// there.
    pub moved: bool,
}

impl Deletion {
    /// The payload.
    pub fn encode(&self) -> Vec<u8> {
        let kind = if self.moved { KIND_MOVED } else { KIND_ROWS };
        let mut out = vec![kind];
        put(&mut out, u64::from(self.database.0));
        put(&mut out, u64::from(self.measurement.0));
        put(&mut out, zigzag(self.range.start));
        put(&mut out, zigzag(self.range.end));
        put_ascending(&mut out, &self.series);
        out
    }

    /// Reads a payload, all of it.
    pub fn decode(payload: &[u8]) -> Result<Self, PayloadError> {
        decode_whole(payload, "deletion", Self::take)
    }

    fn take(rest: &mut &[u8]) -> Option<Self> {
        let (&kind, after) = rest.split_first()?;
        *rest = after;
        let moved = match kind {
            KIND_ROWS => false,
            KIND_MOVED => true,
            _ => return None,
        };
        let database = DatabaseId(u32::try_from(take(rest)?).ok()?);
        let measurement = MeasurementId(u32::try_from(take(rest)?).ok()?);
        let range = TimeRange {
            start: unzigzag(take(rest)?),
            end: unzigzag(take(rest)?),
        };
        let series = take_ascending(rest)?;
        (!range.is_empty()).then_some(Self {
            database,
            measurement,
            range,
            series,
            moved,
        })
    }
}

/// Rows of a range of time.
const KIND_ROWS: u8 = 1;
/// The same, of rows that the unit has elsewhere.
const KIND_MOVED: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(moved: bool) -> Deletion {
        Deletion {
            database: DatabaseId(1),
            measurement: MeasurementId(300),
            range: TimeRange {
                start: -5,
                end: i64::MAX,
            },
            series: [0, 1, 7, 70_000, u32::MAX].map(SeriesId).to_vec(),
            moved,
        }
    }

    #[test]
    fn deletions_round_trip_and_cut_ones_are_errors() {
        for moved in [false, true] {
            let payload = sample(moved).encode();
            assert_eq!(Deletion::decode(&payload), Ok(sample(moved)));
            for len in 0..payload.len() {
                assert!(Deletion::decode(&payload[..len]).is_err(), "{len} bytes");
            }
            let longer = [&payload[..], &[0]].concat();
            assert!(Deletion::decode(&longer).is_err());
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let mut twice = sample(false);
        twice.series = vec![SeriesId(4), SeriesId(4)];
        assert!(Deletion::decode(&twice.encode()).is_err());
        let mut nowhere = sample(false);
        nowhere.range = TimeRange { start: 9, end: 9 };
        assert!(Deletion::decode(&nowhere.encode()).is_err());
        // A count that the bytes cannot hold.
        let mut claims = sample(false).encode();
        claims.truncate(claims.len() - 11);
        put(&mut claims, u64::MAX);
        assert!(Deletion::decode(&claims).is_err());
        let kind = sample(true).encode()[0] + 1;
        let unknown = [&[kind], &sample(false).encode()[1..]].concat();
        assert!(Deletion::decode(&unknown).is_err());
    }
}
