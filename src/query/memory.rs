//! Bytes that queries keep until they have answered, each within its own bound and all within another.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::query::QueryError;

/// What all queries keep together.
#[derive(Debug)]
pub struct QueryMemory {
    used_bytes: AtomicUsize,
    bytes_max: usize,
}

impl QueryMemory {
    /// At most this many bytes.
    #[must_use]
    pub const fn new(bytes_max: usize) -> Self {
        Self {
            used_bytes: AtomicUsize::new(0),
            bytes_max,
        }
    }

    /// Bytes that are kept now.
    pub fn used_bytes(&self) -> usize {
        self.used_bytes.load(Ordering::Relaxed)
    }
}

/// What one part of a query keeps: given back when it is dropped.
pub(crate) struct Charge<'a> {
    of_all: Option<&'a QueryMemory>,
    used_bytes: usize,
    bytes_max: usize,
}

impl<'a> Charge<'a> {
    /// Nothing yet; at most this many bytes.
    pub(crate) const fn new(of_all: Option<&'a QueryMemory>, bytes_max: usize) -> Self {
        Self {
            of_all,
            used_bytes: 0,
            bytes_max,
        }
    }

    /// Nothing yet; at most what each of so many parts of the query may keep.
    pub(crate) const fn part_of(&self, parts: usize) -> Self {
        Self::new(self.of_all, self.bytes_max / parts)
    }

    /// Keeps so many bytes more.
    pub(crate) fn add(
        &mut self,
        bytes: usize,
        what: &'static str,
        hint: &'static str,
    ) -> Result<(), QueryError> {
        self.used_bytes += bytes;
        let of_all = self.of_all.map_or(0, |all| {
            all.used_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes
        });
        if self.used_bytes > self.bytes_max {
            let limit = self.bytes_max;
            return Err(QueryError::Budget { what, limit, hint });
        }
        match self.of_all {
            Some(all) if of_all > all.bytes_max => Err(QueryError::Budget {
                what: "bytes that all queries keep at a time",
                limit: all.bytes_max,
                hint: "ask again when others have ended, ask for less, or raise memory.limit_mb",
            }),
            _ => Ok(()),
        }
    }

    /// Keeps so many bytes, in all.
    pub(crate) fn set(
        &mut self,
        bytes: usize,
        what: &'static str,
        hint: &'static str,
    ) -> Result<(), QueryError> {
        if bytes >= self.used_bytes {
            return self.add(bytes - self.used_bytes, what, hint);
        }
        self.sub(self.used_bytes - bytes);
        Ok(())
    }

    /// Gives so many bytes back.
    pub(crate) fn sub(&mut self, bytes: usize) {
        let bytes = bytes.min(self.used_bytes);
        self.used_bytes -= bytes;
        if let Some(all) = self.of_all {
            all.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }
}

impl Drop for Charge<'_> {
    fn drop(&mut self) {
        self.sub(self.used_bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_keep_is_bounded_and_comes_back() {
        let all = QueryMemory::new(100);
        let mut one = Charge::new(Some(&all), 80);
        let mut other = Charge::new(Some(&all), 80);
        let keep = |charge: &mut Charge<'_>, bytes| charge.add(bytes, "bytes", "less").is_ok();
        assert!(keep(&mut one, 60) && keep(&mut other, 40));
        assert!(!keep(&mut other, 1));
        assert!(!keep(&mut one, 30), "its own bound");
        assert_eq!(all.used_bytes(), 131);
        one.sub(90);
        assert_eq!(all.used_bytes(), 41, "no more than there was");
        assert!(one.set(20, "bytes", "less").is_ok() && one.set(5, "bytes", "less").is_ok());
        assert_eq!(all.used_bytes(), 46);
        drop(other);
        assert_eq!(all.used_bytes(), 5);
        drop(one);
        assert_eq!(all.used_bytes(), 0);
    }
}
