//! Who asks, and what they may do. Every call of the engine and of queries takes one.

use crate::engine::EngineError;

/// What a call wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Read rows and names.
    Read,
    /// Write rows.
    Write,
    /// Delete rows.
    Delete,
    /// Change how the store works.
    Administer,
}

/// The rights of one caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    databases: Option<Box<[Box<str>]>>,
    verbs: Box<[Verb]>,
}

impl Access {
    /// Everything: the rights of a caller on loopback, and of the server itself.
    #[must_use]
    pub fn full() -> Self {
        Self {
            databases: None,
            verbs: Box::new([Verb::Read, Verb::Write, Verb::Delete, Verb::Administer]),
        }
    }

    /// These verbs on these databases.
    #[must_use]
    pub fn restricted(databases: &[&str], verbs: &[Verb]) -> Self {
        Self {
            databases: Some(databases.iter().map(|&name| name.into()).collect()),
            verbs: verbs.into(),
        }
    }

    /// Whether the caller sees a database at all.
    #[must_use]
    pub fn sees(&self, database: &str) -> bool {
        match &self.databases {
            None => true,
            Some(names) => names.iter().any(|name| &**name == database),
        }
    }

    /// Refuses what the caller may not do.
    pub fn check(&self, verb: Verb, database: &str) -> Result<(), EngineError> {
        if self.verbs.contains(&verb) && self.sees(database) {
            return Ok(());
        }
        Err(EngineError::Denied {
            verb,
            database: database.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_end_at_the_databases_and_verbs_named() {
        let access = Access::restricted(&["plant"], &[Verb::Read]);
        assert!(access.check(Verb::Read, "plant").is_ok());
        assert!(access.check(Verb::Write, "plant").is_err());
        assert!(access.check(Verb::Delete, "plant").is_err());
        assert!(access.check(Verb::Read, "other").is_err());
        assert!(Access::full().check(Verb::Administer, "other").is_ok());
    }
}
