//! Compression of columns: pure functions over bytes, no clock, no lock, no input or output.

pub mod vector;
