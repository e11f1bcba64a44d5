//! A connection as the rest of the index uses it: statements go through here, counted and timed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::{Connection, Params, Row, TransactionBehavior};

use super::statements::Statement;
use crate::clock::Clock;
use crate::meta::Result;

/// Times statements, and logs those that are slow.
pub(super) struct Watch {
    clock: Arc<dyn Clock>,
    slow_ns: u64,
    pub(super) statements: AtomicU64,
    pub(super) slow: AtomicU64,
}

impl Watch {
    /// A statement that takes longer than `slow_ns` is logged; 0: none is.
    pub(super) fn new(clock: Arc<dyn Clock>, slow_ns: u64) -> Self {
        Self {
            clock,
            slow_ns,
            statements: AtomicU64::new(0),
            slow: AtomicU64::new(0),
        }
    }

    /// Runs a statement.
    fn time<T>(&self, name: &str, run: impl FnOnce() -> T) -> T {
        let began = self.clock.monotonic_ns();
        let result = run();
        let took_ns = self.clock.monotonic_ns().saturating_sub(began);
        self.statements.fetch_add(1, Ordering::Relaxed);
        if self.slow_ns > 0 && took_ns > self.slow_ns {
            self.slow.fetch_add(1, Ordering::Relaxed);
            let took_ms = took_ns / 1_000_000;
            tracing::warn!(
                statement = name,
                took_ms,
                "a statement of the metadata index was slow"
            );
        }
        result
    }
}

/// A connection in use.
pub(super) struct Session<'a> {
    connection: &'a mut Connection,
    watch: &'a Watch,
}

impl<'a> Session<'a> {
    pub(super) fn new(connection: &'a mut Connection, watch: &'a Watch) -> Self {
        Self { connection, watch }
    }

    /// The rows of a query.
    pub(super) fn list<T>(
        &self,
        statement: &Statement,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        self.watch.time(statement.name, || {
            let mut prepared = self.connection.prepare_cached(statement.sql)?;
            let rows = prepared.query_map(params, read)?;
            Ok(rows.collect::<rusqlite::Result<Vec<T>>>()?)
        })
    }

    /// Runs statements as one transaction, which is taken back where one of them fails.
    pub(super) fn transaction<T>(
        &mut self,
        run: impl FnOnce(&Transaction<'_>) -> Result<T>,
    ) -> Result<T> {
        let watch = self.watch;
        let inner = watch.time("begin", || {
            self.connection
                .transaction_with_behavior(TransactionBehavior::Immediate)
        })?;
        let transaction = Transaction { inner, watch };
        let result = run(&transaction)?;
        watch.time("commit", || transaction.inner.commit())?;
        Ok(result)
    }

    /// How a statement would be executed, step by step.
    #[cfg(test)]
    pub(super) fn explain(&self, statement: &Statement) -> Result<Vec<String>> {
        let text = format!("EXPLAIN QUERY PLAN {}", statement.sql);
        let mut prepared = self.connection.prepare(&text)?;
        let nulls = vec![rusqlite::types::Null; prepared.parameter_count()];
        let rows = prepared.query_map(rusqlite::params_from_iter(nulls), |row| row.get(3))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

/// A transaction that writes.
pub(super) struct Transaction<'a> {
    inner: rusqlite::Transaction<'a>,
    watch: &'a Watch,
}

impl Transaction<'_> {
    /// Runs one statement for each record.
    pub(super) fn each<'r, R, P: Params>(
        &self,
        statement: &Statement,
        records: &'r [R],
        params: impl Fn(&'r R) -> P,
    ) -> Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let mut prepared = self.inner.prepare_cached(statement.sql)?;
        for record in records {
            self.watch
                .time(statement.name, || prepared.execute(params(record)))?;
        }
        Ok(())
    }

    /// Runs one statement.
    pub(super) fn once(&self, statement: &Statement) -> Result<()> {
        self.each(statement, &[()], |()| [])
    }
}
