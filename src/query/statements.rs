//! Statements that were parsed, by their text: a dashboard asks the same ones again and again, and to parse one takes a fifth
//! of what a small answer takes.

use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;

use crate::query::error::QueryError;
use crate::query::sql::ast::Statement;
use crate::query::sql::parse;

/// The statements that were asked for last. A statement says nothing of the store, so that none is ever out of date.
#[derive(Debug)]
pub struct Statements(Mutex<LruCache<String, Arc<Statement>>>);

/// Statements that are kept.
const KEPT: NonZeroUsize = NonZeroUsize::new(64).expect("some");
/// Bytes of the longest text that is kept.
const TEXT_BYTES_MAX: usize = 2048;

impl Default for Statements {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(KEPT)))
    }
}

impl Statements {
    /// The statement that a text is. Places in it are those of this text, which is why it is known by all of its bytes.
    pub fn parse(&self, text: &str) -> Result<Arc<Statement>, QueryError> {
        if let Some(known) = self.0.lock().get(text) {
            return Ok(Arc::clone(known));
        }
        let statement = Arc::new(parse(text)?);
        if text.len() <= TEXT_BYTES_MAX {
            self.0.lock().put(text.to_owned(), Arc::clone(&statement));
        }
        Ok(statement)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_parsed_once_while_it_is_among_the_newest() {
        let statements = Statements::default();
        let text = "SELECT count(*) FROM m";
        let first = statements.parse(text).expect("a statement");
        assert!(Arc::ptr_eq(&first, &statements.parse(text).expect("known")));
        let other = statements
            .parse("SELECT count(*)  FROM m")
            .expect("another");
        assert!(!Arc::ptr_eq(&first, &other), "its places are others");
        for number in 0..KEPT.get() {
            let text = format!("SELECT count(*) FROM m{number}");
            statements.parse(&text).expect("a statement");
        }
        let again = statements.parse(text).expect("a statement");
        assert!(!Arc::ptr_eq(&first, &again), "others came since");
        assert_eq!(statements.0.lock().len(), KEPT.get());
    }

    #[test]
    fn errors_and_long_texts_are_not_kept() {
        let statements = Statements::default();
        assert!(statements.parse("SELECT").is_err());
        let long = format!(
            "SELECT count(*) FROM m WHERE x IN ({})",
            vec!["1"; TEXT_BYTES_MAX].join(", ")
        );
        statements.parse(&long).expect("a statement");
        assert_eq!(statements.0.lock().len(), 0);
    }
}
