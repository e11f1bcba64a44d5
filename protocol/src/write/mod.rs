//! Binary writes: names declared once a connection, batches of rows in columns, and what became of them.
//!
//! | file | owns |
//! | --- | --- |
//! | `declare` | declarations on the wire, and the numbers they get, on both ends |
//! | `batch` | a batch as it is read: sections of rows with one layout each |
//! | `column` | the cells of one column, packed |
//! | `builder` | a batch as it is made: rows in, payload out |
//! | `written` | the answer |
//!
//! Never touches a socket. Layouts in `SPEC.md`.

mod batch;
mod builder;
mod column;
mod declare;
mod written;

pub use batch::{BatchHead, BatchReader, Producer, Section};
pub use builder::{Full, RowCells, RowsBuilder, decimal};
pub use column::Column;
pub use declare::{Declaration, Declarer, NameError, Names, SeriesName};
pub use written::{Refused, Written};

/// Most rows of one batch.
pub const ROWS_MAX: usize = 65_536;
/// Most cells of one batch: the rows of each section times its columns.
pub const CELLS_MAX: usize = 1 << 18;
/// Most bytes of all strings and binary values of a batch together, each counted as often as it stands in a row.
pub const HEAP_BYTES_MAX: usize = 2 << 20;
/// Longest string or binary value.
pub const VALUE_BYTES_MAX: usize = 64 * 1024;
/// Longest measurement, key or tag value.
pub const NAME_BYTES_MAX: usize = 1024;
/// Most columns of a layout.
pub const COLUMNS_MAX: usize = 1024;
/// Most tags of a series.
pub const TAGS_MAX: usize = 256;
/// Most tables that a connection may declare, and most layouts.
pub const LAYOUTS_MAX: usize = 4_096;
/// Most series that a connection may declare.
pub const SERIES_MAX: usize = 200_000;
/// Most bytes of names that a connection may declare.
pub const DECLARED_BYTES_MAX: usize = 64 << 20;

const _: () = assert!(ROWS_MAX <= CELLS_MAX);
const _: () = assert!(COLUMNS_MAX <= CELLS_MAX);
