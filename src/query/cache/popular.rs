//! The queries that are asked most often: what is worth asking again after a restart.

use parking_lot::Mutex;

use super::lru::Weighed;
use crate::catalog::HashSeed;

/// A query and how often it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PopularQuery {
    /// The database that it names.
    pub database: String,
    /// Its text.
    pub sql: String,
    /// How often.
    pub times: u64,
}

/// Counts by database and text; those that nobody has asked for long go first.
pub(super) struct Popular {
    known: Mutex<Weighed<Asked, u64>>,
}

/// Database and text.
type Asked = (Box<str>, Box<str>);

/// Queries that are counted.
const QUERIES_MAX: usize = 256;
/// Longer ones are not.
const SQL_BYTES_MAX: usize = 2048;

impl Popular {
    pub(super) fn new(seed: HashSeed) -> Self {
        Self {
            known: Mutex::new(Weighed::new(seed)),
        }
    }

    pub(super) fn note(&self, database: &str, sql: &str, times: u64) {
        if sql.len() > SQL_BYTES_MAX {
            return;
        }
        let mut known = self.known.lock();
        let key = (Box::from(database), Box::from(sql));
        if let Some(count) = known.get(&key) {
            *count = count.saturating_add(times);
        } else {
            known.put(key, times, 1);
            known.shrink_to(QUERIES_MAX);
        }
    }

    /// The most popular ones, those first.
    pub(super) fn first(&self, count: usize) -> Vec<PopularQuery> {
        let known = self.known.lock();
        let mut all: Vec<PopularQuery> = known
            .iter()
            .map(|((database, sql), &times)| PopularQuery {
                database: database.to_string(),
                sql: sql.to_string(),
                times,
            })
            .collect();
        drop(known);
        all.sort_by_key(|query| std::cmp::Reverse(query.times));
        all.truncate(count);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_asked_most_often_come_first_and_few_are_known() {
        let popular = Popular::new(HashSeed(1));
        popular.note("db", "old", 1_000_000);
        for round in 0..10 {
            for index in 0..=QUERIES_MAX / 2 {
                if index >= round {
                    popular.note("db", &format!("query {index}"), 1);
                }
            }
        }
        let first = popular.first(2);
        assert_eq!((first[0].sql.as_str(), first[0].times), ("old", 1_000_000));
        assert_eq!(first[1].times, 10);
        for index in 0..QUERIES_MAX {
            popular.note("db", &format!("other {index}"), 1);
        }
        assert_ne!(popular.first(1)[0].sql, "old");
        assert_eq!(popular.first(1_000).len(), QUERIES_MAX);
        popular.note("db", &"x".repeat(SQL_BYTES_MAX + 1), 5);
        assert_eq!(popular.first(1)[0].times, 1);
    }
}
