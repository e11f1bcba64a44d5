//! Every bound of the system in one place, with what must hold between them.

/// Rows of a sealed chunk.
pub const CHUNK_ROWS: usize = 1024;
/// Rows that leave the staging together as one block of the open chunk.
pub const BLOCK_ROWS: usize = 16;
/// Rows the staging of a series holds at most: a block's worth stays behind to absorb disorder.
pub const STAGING_ROWS: usize = 32;
/// Late rows a series holds before they become a chunk of their own.
pub const LATE_ROWS: usize = 1024;
/// Largest line of line protocol, bytes, quoted strings included.
pub const LINE_BYTES: usize = 256 * 1024;
/// Largest measurement name, tag key, tag value or field key, bytes.
pub const NAME_BYTES: usize = 1024;
/// Largest database name, bytes.
pub const DATABASE_NAME_BYTES: usize = 64;
/// Most tags of one row.
pub const TAGS: usize = 64;
/// Most fields of one row.
pub const FIELDS: usize = 1024;
/// Most columns (fields times types) of one measurement.
pub const COLUMNS: usize = 4096;
/// Largest string or binary value, bytes.
pub const VALUE_BYTES: usize = 64 * 1024;
/// Most rows one chunk, block or frame may claim to hold.
pub const ROWS_CLAIMED: usize = 65_536;
/// Largest payload of one log frame, bytes.
pub const FRAME_BYTES: usize = 4 * 1024 * 1024;
/// A page of the log: a sync group starts on one.
pub const PAGE_BYTES: usize = 4096;
/// Largest binary frame on the wire, bytes.
pub const WIRE_FRAME_BYTES: usize = 1024 * 1024;
/// Largest SQL text, bytes.
pub const SQL_BYTES: usize = 64 * 1024;
/// Deepest nesting of an expression in SQL.
pub const SQL_DEPTH: usize = 64;
/// Most words and operators of one SQL text; numbers, strings and commas are free.
pub const SQL_TOKENS: usize = 4096;
/// Rows of one batch inside the query engine.
pub const QUERY_BATCH_ROWS: usize = 1024;
/// Rows a query may hold in memory to sort them, unless configured.
pub const QUERY_SORTED_ROWS: usize = 1_000_000;
/// Groups a query may hold in memory, unless configured.
pub const QUERY_GROUPS: usize = 1_000_000;
/// Largest compiled regular expression of a query, bytes.
pub const QUERY_REGEX_BYTES: usize = 1024 * 1024;

const _: () = assert!(STAGING_ROWS >= 2 * BLOCK_ROWS);
const _: () = assert!(CHUNK_ROWS.is_multiple_of(BLOCK_ROWS));
const _: () = assert!(CHUNK_ROWS <= ROWS_CLAIMED);
const _: () = assert!(VALUE_BYTES < LINE_BYTES);
const _: () = assert!(LINE_BYTES < FRAME_BYTES);
const _: () = assert!(COLUMNS <= u16::MAX as usize);
