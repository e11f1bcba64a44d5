//! Who asks, and what they may do. Every call of the engine and of queries takes one.

use std::sync::Arc;

use crate::catalog::Maker;
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

impl Verb {
    /// All of them, with their names and their bits in a token.
    const ALL: [(Self, &'static str, u8); 4] = [
        (Self::Read, "read", 1),
        (Self::Write, "write", 2),
        (Self::Delete, "delete", 4),
        (Self::Administer, "administer", 8),
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(verb, ..)| *verb == self);
        found.map_or("", |(_, name, _)| name)
    }

    /// The verb of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(_, known, _)| *known == name);
        found.map(|(verb, ..)| *verb)
    }

    /// Its bit in a token.
    pub(super) fn bit(self) -> u8 {
        let found = Self::ALL.iter().find(|(verb, ..)| *verb == self);
        found.map_or(0, |(.., bit)| *bit)
    }

    /// The verbs of a token.
    pub(super) fn of_bits(bits: u8) -> Vec<Self> {
        let known = Self::ALL.iter().filter(|(.., bit)| bits & bit != 0);
        known.map(|(verb, ..)| *verb).collect()
    }
}

/// The rights of one caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    databases: Option<Box<[Box<str>]>>,
    verbs: Box<[Verb]>,
    /// Whose series come into being by it.
    maker: Option<Arc<Maker>>,
}

impl Access {
    /// Everything: the rights of a caller on loopback, and of the server itself.
    #[must_use]
    pub fn full() -> Self {
        Self {
            databases: None,
            verbs: Box::new([Verb::Read, Verb::Write, Verb::Delete, Verb::Administer]),
            maker: None,
        }
    }

    /// These verbs on these databases.
    #[must_use]
    pub fn restricted(databases: &[&str], verbs: &[Verb]) -> Self {
        Self {
            databases: Some(databases.iter().map(|&name| name.into()).collect()),
            verbs: verbs.into(),
            maker: None,
        }
    }

    /// Those of a token: these verbs, on these databases or on all.
    pub(super) fn of_token(databases: Option<&[&str]>, verbs: &[Verb], maker: Maker) -> Self {
        let databases = databases.map(|names| names.iter().map(|&name| name.into()).collect());
        Self {
            databases,
            verbs: verbs.into(),
            maker: Some(Arc::new(maker)),
        }
    }

    /// The token whose rights these are.
    #[must_use]
    pub fn maker(&self) -> Option<&Arc<Maker>> {
        self.maker.as_ref()
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

    #[test]
    fn verbs_have_names_and_bits_of_their_own() {
        let mut bits = 0;
        for (verb, name, bit) in Verb::ALL {
            assert_eq!(Verb::from_name(name), Some(verb));
            assert_eq!((verb.name(), verb.bit()), (name, bit));
            assert_eq!(Verb::of_bits(bit), [verb]);
            bits |= bit;
        }
        assert_eq!(bits, crate::log::token::VERBS_ALL);
        assert_eq!(Verb::of_bits(bits).len(), Verb::ALL.len());
        assert_eq!(Verb::from_name("Read"), None);
    }
}
