//! Compression of columns: pure functions over bytes, no clock, no lock, no input or output.

mod bits;
pub mod block;
mod bytes;
mod cells;
mod decimal;
mod error;
#[cfg(test)]
mod test_rows;
pub mod vector;

pub use cells::{CellColumn, Cells, RowsView};
pub use error::CodecError;
