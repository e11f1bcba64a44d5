//! `token`: who may use the data port, and how that is changed.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp as Time;
use serde_json::json;

use super::commands::{Answer, say};
use crate::engine::{Access, EngineError, NewToken, TokenError, TokenView, Verb};
use crate::server::Shared;
use crate::server::codes::code_of;
use crate::types::Position;

/// How the command is used.
pub const USAGE: &str = "[list] | create NAME [db=a,b] [may=read,write] [series=N] | revoke NAME";

/// What the command is for.
pub const PURPOSE: &str = "who may use the data port; makes a token, or revokes one";

/// The forms of the command.
pub const DETAILS: &str = "\
token list                              every token, and how many series came into being by its rows
token create NAME                       makes a token; its secret is shown once
    db=a,b                              only these databases; without it all
    may=read,write,delete,administer    only these; without it read and write
    series=N                            as many series at most; without it no limit
token revoke NAME                       its connections end, and nobody gets in with it any more
";

/// Runs the command.
pub fn token(shared: &Shared, json: bool, words: &[&str]) -> Answer {
    match *words {
        [] | ["list"] => list(&shared.engine.tokens(), json),
        ["create", name, ref rest @ ..] => match asked(name, rest) {
            Ok(new) => create(shared, json, &new),
            Err(message) => Answer::error("bad_value", &message),
        },
        ["revoke", name] => revoke(shared, json, name),
        _ => Answer::error("bad_command", &format!("use: token {USAGE}")),
    }
}

fn asked(name: &str, words: &[&str]) -> Result<NewToken, String> {
    let (mut databases, mut verbs, mut series_max) = (None, None, None);
    for word in words {
        let wrong = || format!("{word:?} is none of db=, may= and series=");
        let (key, value) = word.split_once('=').ok_or_else(wrong)?;
        let is_twice = match key {
            "db" => {
                let names = value.split(',').map(str::to_owned).collect();
                databases.replace(names).is_some()
            }
            "may" => verbs.replace(verbs_of(value)?).is_some(),
            "series" => {
                let count = value.parse().ok().filter(|&count| count > 0);
                let count: u64 = count.ok_or_else(|| {
                    format!(
                        "series={value} is no number of series; write 1 or more, or leave it out"
                    )
                })?;
                series_max.replace(count).is_some()
            }
            _ => return Err(wrong()),
        };
        if is_twice {
            return Err(format!("{key} is there twice"));
        }
    }
    Ok(NewToken {
        name: name.to_owned(),
        databases: databases.unwrap_or_default(),
        verbs: verbs.unwrap_or_else(|| vec![Verb::Read, Verb::Write]),
        series_max: series_max.unwrap_or(0),
    })
}

fn verbs_of(names: &str) -> Result<Vec<Verb>, String> {
    let verbs = names.split(',').map(|name| {
        let wrong = || format!("may={name}: use some of read, write, delete, administer");
        Verb::from_name(name).ok_or_else(wrong)
    });
    verbs.collect()
}

fn create(shared: &Shared, json: bool, new: &NewToken) -> Answer {
    let secret = match secret() {
        Ok(secret) => secret,
        Err(error) => {
            let message = format!("the system gave no random numbers: {error}; try again");
            return Answer::error("internal", &message);
        }
    };
    let made = shared.engine.create_token(&Access::full(), new, &secret);
    let made = made.and_then(|(id, _)| Ok((id, sync(shared)?)));
    match made {
        Ok((id, position)) => say(
            json,
            format!(
                "token {} was made, number {id}; this is its secret, which is shown once:\n{secret}",
                new.name
            ),
            json!({
                "name": new.name,
                "number": id.0,
                "secret": secret,
                "position_durable": position.0,
            }),
        ),
        Err(error) => failed(&error),
    }
}

fn revoke(shared: &Shared, json: bool, name: &str) -> Answer {
    let revoked = shared.engine.revoke_token(&Access::full(), name);
    let (id, closed) = match revoked {
        // In force before it is durable: nobody goes on until the device is done.
        Ok((id, _)) => (id, shared.clients.kill_token(id)),
        Err(error) => return failed(&error),
    };
    match sync(shared) {
        Ok(position) => say(
            json,
            format!("token {name} was revoked; {closed} connections by it were closed"),
            json!({
                "name": name,
                "number": id.0,
                "closed": closed,
                "position_durable": position.0,
            }),
        ),
        Err(error) => failed(&error),
    }
}

/// The change is made durable before anybody is told of it.
fn sync(shared: &Shared) -> Result<Position, EngineError> {
    shared.committer.request();
    shared.engine.sync()
}

fn failed(error: &EngineError) -> Answer {
    let code = match error {
        EngineError::Token(TokenError::Unknown { .. }) => "unknown_token",
        other => code_of(other).name(),
    };
    Answer::error(code, &error.to_string())
}

/// 256 random bits, in letters that stand in every line and address.
fn secret() -> Result<String, getrandom::Error> {
    let mut bits = [0; SECRET_BYTES];
    getrandom::fill(&mut bits)?;
    Ok(format!("{SECRET_PREFIX}{}", URL_SAFE_NO_PAD.encode(bits)))
}

fn list(tokens: &[TokenView], json: bool) -> Answer {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{:<20} {:>6} {:<24} {:<24} {:>8} {:>8} created",
        "name", "number", "databases", "may", "series", "limit"
    );
    let mut values = Vec::new();
    for token in tokens {
        let verbs: Vec<&str> = token.verbs.iter().map(|verb| verb.name()).collect();
        let databases = if token.databases.is_empty() {
            "all".to_owned()
        } else {
            token.databases.join(",")
        };
        let limit = match token.series_max {
            0 => "none".to_owned(),
            limit => limit.to_string(),
        };
        let created = Time::from_nanosecond(token.created.into());
        let created = created.map_or_else(|_| token.created.to_string(), |time| time.to_string());
        let _ = writeln!(
            text,
            "{:<20} {:>6} {databases:<24} {:<24} {:>8} {limit:>8} {created}",
            token.name,
            token.id,
            verbs.join(","),
            token.series
        );
        values.push(json!({
            "name": token.name,
            "number": token.id.0,
            "databases": token.databases,
            "may": verbs,
            "series": token.series,
            "series_max": token.series_max,
            "created": created,
        }));
    }
    say(json, text, json!({ "tokens": values }))
}

const SECRET_BYTES: usize = 32;
/// What tells a secret from other words, for people and for programs that look for leaks.
const SECRET_PREFIX: &str = "et_";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_say_what_a_token_may() {
        let new = |words: &[&str]| asked("gate", words);
        assert_eq!(
            new(&[]),
            Ok(NewToken {
                name: "gate".to_owned(),
                databases: Vec::new(),
                verbs: vec![Verb::Read, Verb::Write],
                series_max: 0,
            })
        );
        assert_eq!(
            new(&["series=7", "db=plant,other", "may=write"]),
            Ok(NewToken {
                name: "gate".to_owned(),
                databases: vec!["plant".to_owned(), "other".to_owned()],
                verbs: vec![Verb::Write],
                series_max: 7,
            })
        );
        for (words, part) in [
            (&["db"][..], "\"db\" is none of db=, may= and series="),
            (&["limit=3"], "none of db="),
            (&["series=0"], "write 1 or more"),
            (&["series=-1"], "write 1 or more"),
            (&["series=1", "series=2"], "series is there twice"),
            (&["may=drop"], "may=drop: use some of read"),
            (&["may="], "use some of read"),
        ] {
            let error = new(words).expect_err("refused");
            assert!(error.contains(part), "{words:?}: {error}");
        }
    }

    #[test]
    fn secrets_are_long_and_never_the_same() {
        let (one, other) = (secret().expect("random"), secret().expect("random"));
        assert_ne!(one, other);
        let bits = one.strip_prefix("et_").expect("begins so");
        let bits = URL_SAFE_NO_PAD.decode(bits).expect("base64");
        assert_eq!(bits.len(), 32);
        assert!(one.len() <= edgetime_protocol::command::TOKEN_BYTES_MAX);
    }
}
