//! Who a connection of the data port is: nobody, or the bearer of a token; and what it may do then.
//!
//! A secret is looked up and forgotten: it is neither kept nor logged.

use std::sync::Arc;

use edgetime_protocol::error::Code;

use crate::engine::Access;

use super::Shared;
use super::clients::Client;
use super::intake::Refusal;

/// The rights of a connection.
#[derive(Debug)]
pub struct Standing {
    access: Result<Arc<Access>, Refusal>,
    /// The revision of the tokens when that was found.
    revision: u64,
}

impl Standing {
    /// Of somebody who gave no token.
    pub fn of_nobody(shared: &Shared) -> Self {
        let access = if shared.config.auth.required {
            Err(refused(
                "this server asks for a token; give one first (`#edge auth TOKEN`, or --token)",
            ))
        } else {
            Ok(Arc::new(Access::full()))
        };
        Self {
            access,
            revision: shared.engine.tokens_revision(),
        }
    }

    /// Of somebody whom the server itself lets in, by a way that knows no tokens.
    pub fn trusted(shared: &Shared) -> Self {
        Self {
            access: Ok(Arc::new(Access::full())),
            revision: shared.engine.tokens_revision(),
        }
    }

    /// Takes a token: its rights, or none at all. A server that never had any and asks for none takes all of them.
    pub fn take(&mut self, shared: &Shared, secret: &str, client: Option<&Client>) {
        let engine = &shared.engine;
        // Before the look-up: what is revoked behind it is looked up once more.
        self.revision = engine.tokens_revision();
        self.access = match engine.authenticate(secret) {
            Some(access) => Ok(Arc::new(access)),
            None if !shared.config.auth.required && !engine.had_tokens() => {
                Ok(Arc::new(Access::full()))
            }
            None => Err(refused(
                "this token is not valid: it was mistyped, is another server's, or was revoked; \
                 ask for a new one (admin command `token create`)",
            )),
        };
        if let Some(client) = client {
            let access = self.access.as_ref().ok();
            client.set_token(access.and_then(|access| access.maker().cloned()));
        }
    }

    /// What the connection may do now; a refusal where that is nothing, or its token was revoked.
    pub fn access(&mut self, shared: &Shared) -> Result<&Arc<Access>, &Refusal> {
        let revision = shared.engine.tokens_revision();
        if self.revision != revision {
            self.revision = revision;
            if let Ok(access) = &self.access
                && !shared.engine.still_holds(access)
            {
                let name = access.maker().map_or("", |maker| &maker.name);
                let message = format!(
                    "the token {name:?} was revoked; ask for a new one (admin command `token create`)"
                );
                self.access = Err(refused(&message));
            }
        }
        self.access.as_ref()
    }
}

fn refused(message: &str) -> Refusal {
    Refusal::new(Code::NotAuthenticated, message)
}
