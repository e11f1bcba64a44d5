//! Tokens: who may do what, how they are made and revoked, and that they last.
//!
//! A change is a frame of the log, in force when it is there; the state file has all tokens from the next checkpoint
//! on. A change that is told twice changes nothing, so that no position has to be compared. The manifest knows the
//! highest number that was given out, so that none comes again where the state file is lost.
//!
//! The lock of changes comes before the log; that of the table in force is held for a copy only, also behind the
//! catalog.

mod table;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

pub(super) use self::table::TokenTable;
pub use self::table::{NewToken, TokenError};
use crate::catalog::Maker;
use crate::engine::write::refusal;
use crate::engine::{Access, Engine, EngineError, Verb};
use crate::log::token::{TokenChange, TokenRecord};
use crate::log::{FrameParts, FrameType};
use crate::types::{Position, Timestamp, TokenId};

/// A token, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenView {
    /// Its number.
    pub id: TokenId,
    /// Its name.
    pub name: String,
    /// Databases that it is bound to; none: all.
    pub databases: Vec<String>,
    /// What it may do.
    pub verbs: Vec<Verb>,
    /// Series that came into being by its rows, and are there.
    pub series: u64,
    /// How many there may be; 0: no limit.
    pub series_max: u64,
    /// When it was made, by the server's clock.
    pub created: Timestamp,
}

/// The tokens in force.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    changing: Mutex<()>,
    current: RwLock<Arc<TokenTable>>,
    /// Rises with every change; 0: what a store begins with.
    revision: AtomicU64,
}

/// The kind of a state record that holds all tokens.
pub const STATE_TOKENS: u8 = 5;
/// The key of the manifest's counter of numbers that were given out.
const NUMBERS_KEY: u64 = (b'T' as u64) << 56;

impl Tokens {
    /// With what a store was opened with.
    pub(super) fn restored(table: TokenTable) -> Self {
        Self {
            revision: u64::from(!table.is_virgin()).into(),
            current: RwLock::new(Arc::new(table)),
            changing: Mutex::default(),
        }
    }

    fn current(&self) -> Arc<TokenTable> {
        Arc::clone(&self.current.read())
    }

    /// The tokens with all changes whose frames are in the log before the call, and their revision.
    pub(super) fn settled(&self) -> (Arc<TokenTable>, u64) {
        // Whoever has appended a change holds the lock until it is in force.
        let _nobody_changes = self.changing.lock();
        (self.current(), self.revision.load(Ordering::Acquire))
    }

    /// What a token may make; what was revoked may go on to have what it had.
    pub(super) fn maker(&self, id: TokenId) -> Maker {
        let current = self.current();
        current.get(id).map_or_else(
            || Maker {
                token: id,
                name: "".into(),
                series_max: 0,
            },
            |token| maker_of(token),
        )
    }

    /// The highest number that was given out, as a counter of a manifest.
    pub(super) fn counter(&self) -> Option<(u64, u64)> {
        let current = self.current();
        (!current.is_virgin()).then(|| (NUMBERS_KEY, current.highest().0.into()))
    }

    fn put(&self, table: TokenTable) {
        *self.current.write() = Arc::new(table);
        self.revision.fetch_add(1, Ordering::Release);
    }
}

/// The highest number that was given out, by the counters of a manifest.
pub(super) fn given_out(counters: &[(u64, u64)]) -> TokenId {
    let found = counters.iter().find(|(key, _)| *key == NUMBERS_KEY);
    let highest = found.and_then(|(_, highest)| u32::try_from(*highest).ok());
    TokenId(highest.unwrap_or(0))
}

fn maker_of(token: &TokenRecord) -> Maker {
    Maker {
        token: token.id,
        name: token.name.as_str().into(),
        series_max: token.series_max,
    }
}

impl Engine {
    /// Makes a token with a secret. It is durable when the log is durable up to the position.
    pub fn create_token(
        &self,
        access: &Access,
        new: &NewToken,
        secret: &str,
    ) -> Result<(TokenId, Position), EngineError> {
        // It concerns all databases: who is bound to some has no right to it.
        access.check(Verb::Administer, "")?;
        let _one_at_a_time = self.tokens.changing.lock();
        let before = self.tokens.current();
        let made = before.make(new, secret, self.server_time().now)?;
        let id = made.id;
        let position = self.change_tokens(&before, TokenChange::Created(made))?;
        Ok((id, position))
    }

    /// Revokes a token: nobody does anything with it any more. Its series stay its own, and its number comes never
    /// again. It is durable when the log is durable up to the position.
    pub fn revoke_token(
        &self,
        access: &Access,
        name: &str,
    ) -> Result<(TokenId, Position), EngineError> {
        access.check(Verb::Administer, "")?;
        let _one_at_a_time = self.tokens.changing.lock();
        let before = self.tokens.current();
        let Some(token) = before.by_name(name) else {
            let name = name.to_owned();
            return Err(TokenError::Unknown { name }.into());
        };
        let id = token.id;
        let position = self.change_tokens(&before, TokenChange::Revoked(id))?;
        Ok((id, position))
    }

    /// Appends a change and puts it in force, under the lock of changes.
    fn change_tokens(
        &self,
        before: &TokenTable,
        change: TokenChange,
    ) -> Result<Position, EngineError> {
        let payload = change.encode();
        let frame = FrameParts::new(FrameType::Token, &payload);
        let appended = self.log.append_in_any_epoch(&[frame]);
        let position = appended.map_err(refusal)?.end;
        let mut table = before.clone();
        table.apply(change);
        self.tokens.put(table);
        Ok(position)
    }

    /// All tokens, by number, and how many series each has.
    pub fn tokens(&self) -> Vec<TokenView> {
        let tokens = self.tokens.current();
        let catalog = self.catalog.read();
        let view = |token: &Arc<TokenRecord>| TokenView {
            id: token.id,
            name: token.name.clone(),
            databases: token.databases.clone(),
            verbs: Verb::of_bits(token.verbs),
            series: catalog.series_of_token(token.id),
            series_max: token.series_max,
            created: token.created,
        };
        tokens.iter().map(view).collect()
    }

    /// What the bearer of a secret may do; `None` where it is no token's.
    pub fn authenticate(&self, secret: &str) -> Option<Access> {
        let tokens = self.tokens.current();
        let token = tokens.of_secret(secret)?;
        let databases: Vec<&str> = token.databases.iter().map(String::as_str).collect();
        let databases = (!databases.is_empty()).then_some(&databases[..]);
        let verbs = Verb::of_bits(token.verbs);
        Some(Access::of_token(databases, &verbs, maker_of(token)))
    }

    /// Whether a token was ever made.
    pub fn had_tokens(&self) -> bool {
        !self.tokens.current().is_virgin()
    }

    /// Rises when a token is made or revoked.
    #[inline]
    pub fn tokens_revision(&self) -> u64 {
        self.tokens.revision.load(Ordering::Acquire)
    }

    /// Whether rights still hold: their token was not revoked, if they are a token's.
    pub fn still_holds(&self, access: &Access) -> bool {
        let maker = access.maker();
        maker.is_none_or(|maker| self.tokens.current().get(maker.token).is_some())
    }
}
