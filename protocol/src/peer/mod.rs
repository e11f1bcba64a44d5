//! Both ends of a binary connection as state machines: bytes in, events out, in whatever pieces the bytes come.
//!
//! Who may say what when, and how much before it is granted more. Never touches a socket and never waits: time-outs
//! belong to whoever has a clock.

mod client;
mod inbox;
mod server;

pub use client::{ClientEnd, ClientEvent, Unexpected};
pub use server::{ServerEnd, ServerEvent, Violation};

/// Bytes of declarations and batches, headers included, that a server grants at first.
pub const CREDITS_BYTES: u32 = 256 * 1024;

#[cfg(test)]
mod tests;
