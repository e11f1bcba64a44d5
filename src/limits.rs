//! Every bound of the system in one place, with what must hold between them.

/// Bytes of a MiB, in which memory is told.
pub const MIB: u64 = 1024 * 1024;
/// Rows of a sealed chunk.
pub const CHUNK_ROWS: usize = 1024;
/// Rows that leave the staging together as one block of the open chunk.
pub const BLOCK_ROWS: usize = 32;
/// Rows the staging of a series holds at most: those beyond a block stay behind to absorb disorder.
pub const STAGING_ROWS: usize = 40;
/// Late rows a series holds before they become a chunk of their own.
pub const LATE_ROWS: usize = 1024;
/// Largest line of line protocol, bytes, quoted strings included.
pub const LINE_BYTES: usize = 256 * 1024;
/// Largest measurement name, tag key, tag value or field key, bytes.
pub const NAME_BYTES: usize = 1024;
/// Largest database name, bytes.
pub const DATABASE_NAME_BYTES: usize = 64;
/// Most tags of one row.
pub const TAGS: usize = 256;
/// Most fields of one row.
pub const FIELDS: usize = 1024;
/// Most columns (fields times types) of one measurement.
pub const COLUMNS: usize = 4096;
/// Longest unit of a field, bytes.
pub const UNIT_BYTES: usize = 64;
/// Longest description of a field, bytes.
pub const DESCRIPTION_BYTES: usize = 1024;
/// Largest string or binary value, bytes.
pub const VALUE_BYTES: usize = 64 * 1024;
/// Most rows one chunk, block or frame may claim to hold.
pub const ROWS_CLAIMED: usize = 65_536;
/// Largest payload of one log frame, bytes.
pub const FRAME_BYTES: usize = 4 * 1024 * 1024;
/// Largest record of a state or image file, bytes.
pub const CHECKPOINT_RECORD_BYTES: usize = 64 * 1024 * 1024;
/// Most block files a manifest may list.
pub const BLOCK_FILES: usize = 1 << 20;
/// Most chunks of one block file.
pub const BLOCK_FILE_CHUNKS: usize = 1 << 20;
/// Most counters a manifest may hold.
pub const MANIFEST_COUNTERS: usize = 65_536;
/// Lanes of fields whose values are counted over restarts: three counters of a manifest each.
pub const LANES_COUNTED: usize = 16_384;
/// Measurements, by number, whose columns keep their numbers even where definitions are lost: a counter each.
pub const MEASUREMENTS_RESERVED: usize = 8_192;
/// Block files that are held open for reading at a time.
pub const BLOCK_FILES_OPEN: usize = 128;
/// Times that bytes are asked for which the device does not give, before they count as lost.
pub const READ_ATTEMPTS: u32 = 3;
/// A page of the log: a sync group starts on one.
pub const PAGE_BYTES: usize = 4096;
/// Smallest segment of the log, bytes.
pub const LOG_SEGMENT_BYTES_MIN: u64 = 64 * 1024;
/// Largest segment of the log, bytes: recovery holds one in memory.
pub const LOG_SEGMENT_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Most segments of the log.
pub const LOG_SEGMENTS: u32 = 1024;
/// Most segments that are mapped at a time: those of the log, more while a failed sync moves.
pub const MAPS: usize = 4096;
/// Producers whose batches are known: beyond, the one that was silent the longest is forgotten.
pub const PRODUCERS: usize = 8192;
/// Silence after which a producer is forgotten, nanoseconds: 30 days.
pub const PRODUCER_SILENCE_NS: i64 = 30 * 24 * 3600 * 1_000_000_000;
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
/// Bytes that the groups of a query, and what they keep, may take, unless configured.
pub const QUERY_MEMORY_BYTES: usize = 64 * 1024 * 1024;
/// Largest compiled regular expression of a query, bytes.
pub const QUERY_REGEX_BYTES: usize = 1024 * 1024;
/// Most retention classes.
pub const RETENTION_CLASSES: usize = 16;
/// Longest name of a retention class, bytes.
pub const RETENTION_CLASS_NAME_BYTES: usize = 32;
/// Most rules that say which series are of which retention class.
pub const RETENTION_RULES: usize = 256;
/// Most tags that one of these rules names.
pub const RETENTION_RULE_TAGS: usize = 16;
/// Most rollup tiers of one retention class.
pub const RETENTION_TIERS: usize = 5;
/// Largest retention policy as it is logged, bytes: a unit of it fits the smallest segment.
pub const RETENTION_POLICY_BYTES: usize = 48 * 1024;
/// Most tokens at a time.
pub const TOKENS: usize = 1_000;
/// Longest name of a token, bytes.
pub const TOKEN_NAME_BYTES: usize = 64;
/// Most databases that one token is bound to.
pub const TOKEN_DATABASES: usize = 32;
/// Largest token as it is logged, bytes.
pub const TOKEN_RECORD_BYTES: usize =
    TOKEN_NAME_BYTES + TOKEN_DATABASES * (DATABASE_NAME_BYTES + 1) + 96;

const _: () = assert!(STAGING_ROWS > BLOCK_ROWS);
const _: () = assert!(CHUNK_ROWS.is_multiple_of(BLOCK_ROWS));
const _: () = assert!(CHUNK_ROWS <= ROWS_CLAIMED);
const _: () = assert!(UNIT_BYTES <= NAME_BYTES && DESCRIPTION_BYTES <= NAME_BYTES);
const _: () = assert!(VALUE_BYTES < LINE_BYTES);
const _: () = assert!(LINE_BYTES < FRAME_BYTES);
const _: () = assert!(FRAME_BYTES <= CHECKPOINT_RECORD_BYTES);
const _: () = assert!(CHECKPOINT_RECORD_BYTES < u32::MAX as usize);
const _: () = assert!(3 * LANES_COUNTED + MEASUREMENTS_RESERVED <= MANIFEST_COUNTERS / 8 * 7);
const _: () = assert!(BLOCK_FILES_OPEN > 0);
const _: () = assert!(LOG_SEGMENT_BYTES_MIN.is_multiple_of(PAGE_BYTES as u64));
const _: () = assert!(LOG_SEGMENT_BYTES_MIN < LOG_SEGMENT_BYTES_MAX);
const _: () = assert!(MAPS >= 2 * LOG_SEGMENTS as usize);
const _: () = assert!(COLUMNS <= u16::MAX as usize);
const _: () = assert!(RETENTION_CLASSES <= u8::MAX as usize);
const _: () =
    assert!((RETENTION_POLICY_BYTES as u64) < LOG_SEGMENT_BYTES_MIN - 2 * PAGE_BYTES as u64);
const _: () = assert!(TOKENS * TOKEN_RECORD_BYTES < CHECKPOINT_RECORD_BYTES);
const _: () = assert!((TOKEN_RECORD_BYTES as u64) < LOG_SEGMENT_BYTES_MIN - 2 * PAGE_BYTES as u64);
