//! The tokens that there are, by number, name and the hash of their secret. Plain values: no clock, no lock, no input
//! or output.
//!
//! Numbers only rise: who was made once and is not there any more was revoked, so that what the log tells once more
//! changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use edgetime_protocol::command::is_database_name;
use sha2::{Digest, Sha256};

use crate::engine::Verb;
use crate::limits::{TOKEN_DATABASES, TOKENS};
use crate::log::PayloadError;
use crate::log::token::{TokenChange, TokenHash, TokenList, TokenRecord, is_token_name};
use crate::types::{Timestamp, TokenId};

/// What a token is asked to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// Its name: 1 to 64 letters, digits, `_`, `.` and `-`.
    pub name: String,
    /// Databases that it is bound to; none: all.
    pub databases: Vec<String>,
    /// What it may do.
    pub verbs: Vec<Verb>,
    /// Series that may come into being by its rows; 0: no limit.
    pub series_max: u64,
}

/// Why a token cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// No name of a token.
    #[error("{name:?} is no name of a token; use 1 to 64 letters, digits, `_`, `.` and `-`")]
    Name {
        /// The name.
        name: String,
    },
    /// The name is another token's.
    #[error("there is a token {name:?} already; revoke it first, or choose another name")]
    Taken {
        /// The name.
        name: String,
    },
    /// There is no token of that name.
    #[error("there is no token {name:?}; `token list` shows those there are")]
    Unknown {
        /// The name.
        name: String,
    },
    /// No name of a database.
    #[error(
        "{name:?} is no name of a database; use 1 to 64 letters, digits, `_`, `-` and `.`, \
         a letter or digit or `_` first"
    )]
    Database {
        /// The name.
        name: String,
    },
    /// Nothing that it may do.
    #[error("a token that may do nothing; name some of read, write, delete, administer")]
    NoVerbs,
    /// More than there may be.
    #[error("{found} {what}, and {max} at most")]
    TooMany {
        /// What is counted.
        what: &'static str,
        /// How many there would be.
        found: usize,
        /// How many there may be.
        max: usize,
    },
    /// All numbers were given out.
    #[error("all numbers of tokens were given out: this store takes no more")]
    NoNumbers,
}

/// The tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::engine) struct TokenTable {
    /// The highest number that was given out; 0: none was.
    highest: TokenId,
    by_id: BTreeMap<TokenId, Arc<TokenRecord>>,
    /// Nobody can choose where a secret comes to lie: what is compared are hashes of it.
    by_hash: BTreeMap<TokenHash, TokenId>,
}

impl TokenTable {
    /// Whether there was ever one.
    pub fn is_virgin(&self) -> bool {
        self.highest == TokenId(0)
    }

    /// The highest number that was given out.
    pub fn highest(&self) -> TokenId {
        self.highest
    }

    /// Numbers up to this one were given out, whether or not it is known to whom.
    pub fn reserve(&mut self, highest: TokenId) {
        self.highest = self.highest.max(highest);
    }

    /// The token of that number.
    pub fn get(&self, id: TokenId) -> Option<&Arc<TokenRecord>> {
        self.by_id.get(&id)
    }

    /// The token of a secret.
    pub fn of_secret(&self, secret: &str) -> Option<&Arc<TokenRecord>> {
        let id = self.by_hash.get(&hash_of(secret))?;
        self.by_id.get(id)
    }

    /// The token of that name.
    pub fn by_name(&self, name: &str) -> Option<&Arc<TokenRecord>> {
        self.by_id.values().find(|token| token.name == name)
    }

    /// All tokens, by number.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<TokenRecord>> {
        self.by_id.values()
    }

    /// The token that was asked for, if it can be had. It is not there yet.
    pub fn make(
        &self,
        new: &NewToken,
        secret: &str,
        now: Timestamp,
    ) -> Result<TokenRecord, TokenError> {
        let name = new.name.clone();
        if !is_token_name(&name) {
            return Err(TokenError::Name { name });
        }
        if self.by_name(&name).is_some() {
            return Err(TokenError::Taken { name });
        }
        let mut databases = new.databases.clone();
        databases.sort_unstable();
        databases.dedup();
        if let Some(name) = databases.iter().find(|name| !is_database_name(name)) {
            return Err(TokenError::Database { name: name.clone() });
        }
        too_many("databases of a token", databases.len(), TOKEN_DATABASES)?;
        too_many("tokens", self.by_id.len() + 1, TOKENS)?;
        let verbs = new.verbs.iter().fold(0, |bits, verb| bits | verb.bit());
        if verbs == 0 {
            return Err(TokenError::NoVerbs);
        }
        let id = self.highest.0.checked_add(2).ok_or(TokenError::NoNumbers)? - 1;
        Ok(TokenRecord {
            id: TokenId(id),
            name,
            hash: hash_of(secret),
            verbs,
            databases,
            series_max: new.series_max,
            created: now,
        })
    }

    /// Applies what the log says, once or more often.
    pub fn apply(&mut self, change: TokenChange) {
        match change {
            TokenChange::Created(token) if token.id > self.highest => self.insert(token),
            // It is there, or was revoked since.
            TokenChange::Created(_) => {}
            TokenChange::Revoked(id) => {
                self.reserve(id);
                self.remove(id);
            }
        }
    }

    /// Applies what a frame of the log says.
    pub fn replay(&mut self, payload: &[u8]) -> Result<(), PayloadError> {
        self.apply(TokenChange::decode(payload)?);
        Ok(())
    }

    /// Becomes what a record of a state file says.
    pub fn restore(&mut self, payload: &[u8]) -> Result<(), PayloadError> {
        *self = Self::of_list(TokenList::decode(payload)?);
        Ok(())
    }

    /// As a record of a state file.
    pub fn list(&self) -> TokenList {
        TokenList {
            next: TokenId(self.highest.0 + 1),
            tokens: self.by_id.values().map(|token| (**token).clone()).collect(),
        }
    }

    fn of_list(list: TokenList) -> Self {
        let mut table = Self::default();
        for token in list.tokens {
            table.insert(token);
        }
        table.reserve(TokenId(list.next.0 - 1));
        table
    }

    fn insert(&mut self, token: TokenRecord) {
        self.reserve(token.id);
        // Only where it is lost that another one was revoked is its name not free.
        let namesake = self.by_name(&token.name).map(|token| token.id);
        if let Some(namesake) = namesake {
            self.remove(namesake);
        }
        self.by_hash.insert(token.hash, token.id);
        self.by_id.insert(token.id, Arc::new(token));
    }

    fn remove(&mut self, id: TokenId) {
        if let Some(gone) = self.by_id.remove(&id) {
            self.by_hash.remove(&gone.hash);
        }
    }
}

fn hash_of(secret: &str) -> TokenHash {
    TokenHash(Sha256::digest(secret).into())
}

const fn too_many(what: &'static str, found: usize, max: usize) -> Result<(), TokenError> {
    if found > max {
        return Err(TokenError::TooMany { what, found, max });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(name: &str) -> NewToken {
        NewToken {
            name: name.to_owned(),
            databases: Vec::new(),
            verbs: vec![Verb::Read, Verb::Write],
            series_max: 0,
        }
    }

    fn add(table: &mut TokenTable, name: &str) -> TokenId {
        let token = table.make(&new(name), name, 5).expect("can be had");
        let id = token.id;
        table.apply(TokenChange::Created(token));
        id
    }

    #[test]
    fn a_token_is_found_by_its_secret_and_by_no_other() {
        let mut table = TokenTable::default();
        assert!(table.is_virgin());
        let (a, b) = (add(&mut table, "a"), add(&mut table, "b"));
        assert_eq!((a, b), (TokenId(1), TokenId(2)));
        assert_eq!(table.of_secret("a").map(|token| token.id), Some(a));
        assert_eq!(table.of_secret("b").map(|token| token.id), Some(b));
        for wrong in ["", "A", "ab", "a "] {
            assert!(table.of_secret(wrong).is_none(), "{wrong:?}");
        }
        // What FIPS 180-4 says of "abc".
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let found = hash_of("abc").0.map(|byte| format!("{byte:02x}")).concat();
        assert_eq!(found, known);
        // Nothing shows a hash.
        let shown = format!("{table:?}");
        assert!(!shown.contains(&format!("{:?}", hash_of("a").0)), "{shown}");
    }

    #[test]
    fn a_name_is_free_again_and_a_number_never() {
        let mut table = TokenTable::default();
        add(&mut table, "a");
        let b = add(&mut table, "b");
        let made = table.get(b).map(|token| (**token).clone()).expect("there");
        let revoked = TokenChange::Revoked(b);
        table.apply(revoked.clone());
        assert!(table.get(b).is_none() && table.of_secret("b").is_none());
        // The log tells it once more.
        table.apply(TokenChange::Created(made));
        assert!(table.of_secret("b").is_none());
        table.apply(revoked);
        assert_eq!(add(&mut table, "b"), TokenId(3));
        table.reserve(TokenId(7));
        assert_eq!(add(&mut table, "c"), TokenId(8));
        let again = TokenTable::of_list(table.list());
        assert_eq!(again, table);
        // All may have gone.
        for id in [1, 3, 8].map(TokenId) {
            table.apply(TokenChange::Revoked(id));
        }
        assert_eq!(table.iter().count(), 0);
        assert_eq!(add(&mut TokenTable::of_list(table.list()), "d"), TokenId(9));
    }

    #[test]
    fn of_two_with_one_name_the_newer_is_there() {
        let mut table = TokenTable::default();
        let first = table.make(&new("a"), "old", 5).expect("can be had");
        let mut second = first.clone();
        second.id = TokenId(2);
        second.hash = hash_of("new");
        table.apply(TokenChange::Created(first));
        table.apply(TokenChange::Created(second));
        assert!(table.of_secret("old").is_none());
        assert_eq!(table.by_name("a").map(|token| token.id), Some(TokenId(2)));
    }

    #[test]
    fn what_cannot_be_says_what_would_be_right() {
        let mut table = TokenTable::default();
        add(&mut table, "a");
        let refused = |new: NewToken, part: &str| {
            let error = table.make(&new, "s", 5).expect_err("refused").to_string();
            assert!(error.contains(part), "{error}");
        };
        refused(new("two words"), "no name of a token; use 1 to 64");
        refused(new(&"n".repeat(65)), "no name of a token");
        refused(new("a"), "revoke it first");
        let databases = |names: &[&str]| NewToken {
            databases: names.iter().map(|&name| name.to_owned()).collect(),
            ..new("b")
        };
        refused(databases(&["fine", "-"]), "\"-\" is no name of a database");
        let many: Vec<String> = (0..=TOKEN_DATABASES).map(|i| format!("d{i}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        refused(databases(&many), "33 databases of a token, and 32 at most");
        let nothing = NewToken {
            verbs: Vec::new(),
            ..new("b")
        };
        refused(nothing, "name some of read, write");
        let twice = table.make(&databases(&["d", "c", "d"]), "s", 5);
        assert_eq!(twice.expect("once each").databases, ["c", "d"]);
        for index in 1..TOKENS {
            add(&mut table, &format!("t{index}"));
        }
        let error = table.make(&new("b"), "s", 5).expect_err("refused");
        assert_eq!(error.to_string(), "1001 tokens, and 1000 at most");
        let mut last = TokenTable::default();
        last.reserve(TokenId(u32::MAX - 1));
        assert_eq!(
            last.make(&new("a"), "s", 5),
            Err(TokenError::NoNumbers),
            "the list needs one more"
        );
    }
}
