//! The wire of EdgeTimeDB, without input or output of its own.
//!
//! Everything a client author needs: line protocol, `#edge` directives, binary frames, status codes.
//! All of it is sans-IO: bytes in, values out. It needs an allocator and no operating system. The one
//! exception is `client`, a small blocking client over `std::net::TcpStream`, behind the feature of that name. The
//! norm is `SPEC.md` beside this crate.

#![forbid(unsafe_code)]
#![no_std]

extern crate alloc;
#[cfg(any(feature = "std", test))]
#[cfg_attr(test, macro_use)]
extern crate std;

pub mod answer;
mod bitmap;
pub mod cell;
#[cfg(feature = "client")]
pub mod client;
pub mod columns;
pub mod command;
pub mod error;
pub mod frame;
pub mod limits;
pub mod line;
pub mod message;
mod packed;
pub mod peer;
pub mod session;
pub mod types;
mod wire;
pub mod write;

pub use wire::PayloadError;
