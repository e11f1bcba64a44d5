//! The queries that are asked most often, over restarts: noted in a file beside the store, and asked again when the
//! server has started, so that dashboards find their buckets.
//!
//! The file is a help and no more: one that is not there or cannot be read costs nothing.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::engine::{Access, Verb};

use super::Shared;
use super::sql::{self, Request};

/// Its name in the folder of all data.
const FILE: &str = "queries.json";
/// Queries that are noted.
const QUERIES: usize = 32;
/// A file that is longer is not ours.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Between two notes.
const EVERY: Duration = Duration::from_mins(5);

#[derive(Debug, Default, Deserialize, Serialize)]
struct Noted {
    queries: Vec<NotedQuery>,
}

#[derive(Debug, Deserialize, Serialize)]
struct NotedQuery {
    database: String,
    sql: String,
    times: u64,
}

/// Asks what is noted, then takes note every few minutes until the server stops.
pub async fn run(shared: Arc<Shared>) {
    if shared.results.is_off() {
        return;
    }
    let asking = Arc::clone(&shared);
    let asked = tokio::task::spawn_blocking(move || ask_again(&asking)).await;
    if let Err(error) = asked {
        tracing::error!(%error, "queries could not be asked again");
    }
    loop {
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        let noting = Arc::clone(&shared);
        let _ = tokio::task::spawn_blocking(move || note(&noting)).await;
    }
}

/// Writes the most popular queries down.
pub fn note(shared: &Shared) {
    let popular = shared.results.popular(QUERIES);
    if shared.results.is_off() || popular.is_empty() {
        return;
    }
    let queries = popular.into_iter().map(|query| NotedQuery {
        database: query.database,
        sql: query.sql,
        times: query.times,
    });
    let noted = Noted {
        queries: queries.collect(),
    };
    if let Err(error) = write(&shared.config, &noted) {
        tracing::debug!(%error, "the most frequent queries could not be noted");
    }
}

/// One after the other, as any query, with half of its fame.
fn ask_again(shared: &Shared) {
    let noted = match read(&shared.config) {
        Ok(noted) => noted,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => {
            tracing::warn!(%error, file = FILE, "the most frequent queries cannot be read");
            return;
        }
    };
    let queries = noted.queries.iter().take(QUERIES);
    let queries = queries.filter(|query| query.times > 1);
    // All of them are known before the first is asked: a stop meanwhile forgets none.
    for query in queries.clone() {
        let (database, sql) = (&query.database, &query.sql);
        shared.results.note_query(database, sql, query.times / 2);
    }
    for query in queries {
        if shared.stop.is_cancelled() {
            return;
        }
        let request = Request {
            database: &query.database,
            sql: &query.sql,
            timeout: None,
            rows_max: None,
            exact: false,
        };
        let asked = sql::run(
            shared,
            // Whoever writes to the file may not do more with it.
            &Access::restricted(&[&query.database], &[Verb::Read]),
            &request,
            &|| false,
            &mut |_| Ok(()),
        );
        if let Err(failed) = asked {
            tracing::debug!(sql = query.sql, message = failed.message, "not asked again");
        }
    }
}

fn path(config: &Config) -> PathBuf {
    config.general.data_dir.join(FILE)
}

fn read(config: &Config) -> io::Result<Noted> {
    let mut text = String::new();
    let file = File::open(path(config))?;
    file.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(serde_json::from_str(&text)?)
}

fn write(config: &Config, noted: &Noted) -> io::Result<()> {
    let (path, unfinished) = (path(config), path(config).with_extension("unfinished"));
    std::fs::write(&unfinished, serde_json::to_vec_pretty(noted)?)?;
    std::fs::rename(unfinished, path)
}
