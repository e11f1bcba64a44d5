//! What a simulated device does wrong while the power is on.

use std::ops::Range;

/// How often calls fail: one in so many, 0 for never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Reads that fail, for once.
    pub read: u32,
    /// Writes of files that fail, some of their sectors stored.
    pub write: u32,
    /// Stores into segments that fail, some of their sectors stored.
    pub store: u32,
    /// Calls that need room and find none.
    pub full: u32,
    /// Syncs of segments that fail and throw pages away.
    pub sync_segment: u32,
    /// Syncs of files that fail and throw pages away.
    pub sync_file: u32,
    /// Creations, renames, removals and syncs of folders that fail.
    pub name: u32,
    /// Syncs of files, segments and folders that succeed and take nothing to the device.
    pub lie: u32,
    /// Writes after which the kernel takes some of the sectors to the device at once.
    pub write_back: u32,
}

/// What a device did wrong so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wrongs {
    /// Reads that failed.
    pub reads: u64,
    /// Syncs that lied.
    pub lies: u64,
}

/// What was told to fail, and when.
#[derive(Default)]
pub(super) struct Planned {
    /// Syncs of segments, the next ones.
    pub(super) syncs: u32,
    /// Stores into segments, the next ones.
    pub(super) stores: u32,
    /// Reads, the next ones.
    pub(super) reads: u32,
    /// Runs while a sync of a segment is on its way to the device; not within itself.
    pub(super) meanwhile: Option<Box<dyn FnMut() + Send>>,
    /// New files and segments find no room.
    pub(super) files_full: bool,
    /// Nor do stores into segments, as on file systems that write elsewhere.
    pub(super) stores_full: bool,
    /// Bytes of files that cannot be read.
    pub(super) unreadable: Vec<(String, Range<u64>)>,
}
