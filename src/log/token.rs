//! Payload of a token's frame: one was made, or revoked. And all tokens there are, as a state file has them. Layout in
//! `FORMAT.md`.
//!
//! Of a secret there is only its hash.

use std::fmt;

use edgetime_protocol::command::is_database_name;

use crate::limits::{TOKEN_DATABASES, TOKEN_NAME_BYTES, TOKENS};
use crate::log::definitions::{put_text, take_byte, take_text};
use crate::log::varint::{put, take, unzigzag, zigzag};
use crate::log::{PayloadError, decode_whole};
use crate::types::{Timestamp, TokenId};

/// SHA-256 of a token's secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenHash(pub [u8; HASH_BYTES]);

/// Never shown.
impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash")
    }
}

/// A token as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    /// Its number, from 1.
    pub id: TokenId,
    /// Its name.
    pub name: String,
    /// Of its secret.
    pub hash: TokenHash,
    /// What it may do: a bit each, as `FORMAT.md` has them; at least one.
    pub verbs: u8,
    /// Databases that it is bound to; none: all.
    pub databases: Vec<String>,
    /// Series that may come into being by its rows; 0: no limit.
    pub series_max: u64,
    /// When it was made, by the server's clock.
    pub created: Timestamp,
}

/// What became of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenChange {
    /// It was made.
    Created(TokenRecord),
    /// It was revoked.
    Revoked(TokenId),
}

/// All tokens there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenList {
    /// The number of the next one. Lower ones were given out.
    pub next: TokenId,
    /// The tokens, by ascending number.
    pub tokens: Vec<TokenRecord>,
}

/// Whether a token may be called so.
pub fn is_token_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    !name.is_empty() && name.len() <= TOKEN_NAME_BYTES && name.bytes().all(is_plain)
}

impl TokenRecord {
    fn encode(&self, out: &mut Vec<u8>) {
        put(out, u64::from(self.id.0));
        put_text(out, &self.name);
        out.extend_from_slice(&self.hash.0);
        out.push(self.verbs);
        put(out, self.databases.len() as u64);
        for database in &self.databases {
            put_text(out, database);
        }
        put(out, self.series_max);
        put(out, zigzag(self.created));
    }

    fn take(rest: &mut &[u8]) -> Option<Self> {
        let id = take_id(rest)?;
        let name = take_text(rest).filter(|name| is_token_name(name))?;
        let (hash, after) = rest.split_first_chunk()?;
        *rest = after;
        let verbs = take_byte(rest).filter(|verbs| (1..=VERBS_ALL).contains(verbs))?;
        let count = usize::try_from(take(rest)?).ok();
        let count = count.filter(|&count| count <= TOKEN_DATABASES)?;
        let databases = (0..count).map(|_| {
            let name = take_text(rest).filter(|name| is_database_name(name));
            name.map(str::to_owned)
        });
        Some(Self {
            id,
            name: name.to_owned(),
            hash: TokenHash(*hash),
            verbs,
            databases: databases.collect::<Option<_>>()?,
            series_max: take(rest)?,
            created: unzigzag(take(rest)?),
        })
    }
}

impl TokenChange {
    /// The payload.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Created(token) => {
                out.push(KIND_CREATED);
                token.encode(&mut out);
            }
            Self::Revoked(id) => {
                out.push(KIND_REVOKED);
                put(&mut out, u64::from(id.0));
            }
        }
        out
    }

    /// Reads a payload, all of it.
    pub fn decode(payload: &[u8]) -> Result<Self, PayloadError> {
        decode_whole(payload, "what became of a token", |rest| {
            Some(match take_byte(rest)? {
                KIND_CREATED => Self::Created(TokenRecord::take(rest)?),
                KIND_REVOKED => Self::Revoked(take_id(rest)?),
                _ => return None,
            })
        })
    }
}

impl TokenList {
    /// The payload of a state record.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, u64::from(self.next.0));
        put(&mut out, self.tokens.len() as u64);
        for token in &self.tokens {
            token.encode(&mut out);
        }
        out
    }

    /// Reads the payload of a state record, all of it.
    pub fn decode(payload: &[u8]) -> Result<Self, PayloadError> {
        decode_whole(payload, "tokens", |rest| {
            let next = take_id(rest)?;
            let count = usize::try_from(take(rest)?).ok();
            let count = count.filter(|&count| count <= TOKENS)?;
            let mut tokens: Vec<TokenRecord> = Vec::new();
            for _ in 0..count {
                let token = TokenRecord::take(rest)?;
                let is_behind = tokens.last().is_none_or(|last| last.id < token.id);
                if !is_behind || token.id >= next {
                    return None;
                }
                tokens.push(token);
            }
            Some(Self { next, tokens })
        })
    }
}

fn take_id(rest: &mut &[u8]) -> Option<TokenId> {
    let id = u32::try_from(take(rest)?).ok();
    id.filter(|&id| id > 0).map(TokenId)
}

/// The bytes of a hash.
pub const HASH_BYTES: usize = 32;
/// All bits of what a token may do.
pub const VERBS_ALL: u8 = 0b1111;
const KIND_CREATED: u8 = 1;
const KIND_REVOKED: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{DATABASE_NAME_BYTES, TOKEN_RECORD_BYTES};

    fn token(id: u32, name: &str, databases: &[&str]) -> TokenRecord {
        TokenRecord {
            id: TokenId(id),
            name: name.to_owned(),
            hash: TokenHash([id as u8; HASH_BYTES]),
            verbs: 3,
            databases: databases.iter().map(|&name| name.to_owned()).collect(),
            series_max: u64::MAX,
            created: -1,
        }
    }

    #[test]
    fn changes_come_back_and_cut_ones_do_not() {
        for change in [
            TokenChange::Created(token(1, "gate.7_b-", &[])),
            TokenChange::Created(token(u32::MAX, "x", &["plant", "_system"])),
            TokenChange::Revoked(TokenId(300)),
        ] {
            let payload = change.encode();
            assert_eq!(TokenChange::decode(&payload), Ok(change));
            for end in 0..payload.len() {
                assert!(TokenChange::decode(&payload[..end]).is_err(), "{end}");
            }
            let longer = [&payload[..], &[0]].concat();
            assert!(TokenChange::decode(&longer).is_err());
        }
    }

    #[test]
    fn the_longest_token_takes_no_more_than_its_limit() {
        let databases = vec!["d".repeat(DATABASE_NAME_BYTES); TOKEN_DATABASES];
        let longest = TokenRecord {
            databases,
            created: i64::MIN,
            ..token(u32::MAX, &"n".repeat(TOKEN_NAME_BYTES), &[])
        };
        let payload = TokenChange::Created(longest.clone()).encode();
        assert!(payload.len() <= TOKEN_RECORD_BYTES, "{}", payload.len());
        assert_eq!(
            TokenChange::decode(&payload),
            Ok(TokenChange::Created(longest))
        );
    }

    #[test]
    fn what_no_token_can_be_is_an_error() {
        let wrong = |change: &dyn Fn(&mut TokenRecord)| {
            let mut token = token(1, "a", &["d"]);
            change(&mut token);
            let payload = TokenChange::Created(token).encode();
            assert!(TokenChange::decode(&payload).is_err());
        };
        wrong(&|token| token.id = TokenId(0));
        wrong(&|token| token.name = "two words".to_owned());
        wrong(&|token| token.name = String::new());
        wrong(&|token| token.name = "n".repeat(TOKEN_NAME_BYTES + 1));
        wrong(&|token| token.verbs = 0);
        wrong(&|token| token.verbs = 16);
        wrong(&|token| token.databases = vec!["-".to_owned()]);
        wrong(&|token| token.databases = vec!["d".to_owned(); TOKEN_DATABASES + 1]);
        for wrong in [&[][..], &[0, 1], &[3, 1], &[2, 0]] {
            assert!(TokenChange::decode(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn lists_come_back_in_their_order_only() {
        let list = |next, tokens: &[TokenRecord]| TokenList {
            next: TokenId(next),
            tokens: tokens.to_vec(),
        };
        let (one, two) = (token(1, "a", &[]), token(7, "b", &["d"]));
        for fine in [
            list(1, &[]),
            list(9, &[]),
            list(8, &[one.clone(), two.clone()]),
        ] {
            let payload = fine.encode();
            assert_eq!(TokenList::decode(&payload), Ok(fine));
            for end in 0..payload.len() {
                assert!(TokenList::decode(&payload[..end]).is_err(), "{end}");
            }
        }
        for wrong in [
            list(0, &[]),
            list(7, std::slice::from_ref(&two)),
            list(8, &[two.clone(), one.clone()]),
            list(8, &[one.clone(), one.clone()]),
        ] {
            assert!(TokenList::decode(&wrong.encode()).is_err(), "{wrong:?}");
        }
    }
}
