//! Tests of queries as a whole, against a source in memory and against the engine.

mod chunks;
mod clauses;
mod differential;
mod encoders;
mod engine;
mod errors;
mod functions;
mod gaps;
mod parallel;
mod rollups;
mod streaming;

use std::sync::Arc;

use super::testing::Memory;
use super::value::Scalar;
use crate::types::FieldType;

fn f(value: f64) -> Scalar {
    Scalar::Float(value)
}

fn i(value: i64) -> Scalar {
    Scalar::Integer(value)
}

fn s(text: &str) -> Scalar {
    Scalar::String(Arc::from(text))
}

/// Two hosts, a few rows, nulls, and a field `v` with a float, an integer and a string lane.
fn small() -> Memory {
    let n = || Scalar::Null;
    let mut memory = Memory::new(&[
        ("cpu", FieldType::Float),
        ("n", FieldType::Integer),
        ("v", FieldType::Float),
        ("v", FieldType::Integer),
        ("v", FieldType::String),
    ]);
    memory.add(
        &[("host", "a"), ("rack", "1")],
        [
            (10, vec![f(1.0), i(1), f(0.5), n(), n()]),
            (20, vec![f(2.0), n(), n(), i(7), n()]),
            (30, vec![n(), i(3), n(), n(), s("x")]),
        ],
    );
    memory.add(
        &[("host", "b")],
        [
            (10, vec![f(5.0), i(10), n(), n(), n()]),
            (25, vec![f(4.0), i(-4), n(), i(2), n()]),
        ],
    );
    memory
}

/// The rows of an answer without the header.
fn rows(memory: &Memory, text: &str) -> Vec<String> {
    match memory.ask(text) {
        Ok((mut lines, _)) => lines.split_off(1),
        Err(error) => panic!("{text}: {error}"),
    }
}

/// The error of a query that must fail.
fn error(memory: &Memory, text: &str) -> String {
    match memory.ask(text) {
        Ok((lines, _)) => panic!("{text}: {lines:?}"),
        Err(error) => error.to_string(),
    }
}
