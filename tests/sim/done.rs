//! What runs did, in figures: a run that did nothing shows nothing.

/// What a run did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    pub cuts: u64,
    pub rows: u64,
    pub deletions: u64,
    pub checkpoints: u64,
    pub chunks: u64,
    pub replayed: u64,
    /// Times that SQL was asked.
    pub answers: u64,
    /// Times that everything was sealed.
    pub seals: u64,
    /// Jumps of the wall clock.
    pub jumps: u64,
    /// Units of rows that were evicted.
    pub evictions: u64,
    /// Rows that the server stamped.
    pub stamped: u64,
    /// Lines that were rejected.
    pub rejects: u64,
    /// Rejected lines that were written.
    pub replays: u64,
    /// Copies that were opened.
    pub backups: u64,
    /// Series that gave their place back.
    pub retired: u64,
    /// Series that were sealed because memory was short.
    pub unloaded: u64,
}

impl Done {
    pub fn add(&mut self, other: Self) {
        self.cuts += other.cuts;
        self.rows += other.rows;
        self.deletions += other.deletions;
        self.checkpoints += other.checkpoints;
        self.chunks += other.chunks;
        self.replayed += other.replayed;
        self.answers += other.answers;
        self.seals += other.seals;
        self.jumps += other.jumps;
        self.evictions += other.evictions;
        self.stamped += other.stamped;
        self.rejects += other.rejects;
        self.replays += other.replays;
        self.backups += other.backups;
        self.retired += other.retired;
        self.unloaded += other.unloaded;
    }
}
