//! The block store on a device in memory: round trips, damage, crashes at every operation.

mod crash;
mod damage;
mod memory;
mod store;

use std::collections::BTreeMap;
use std::sync::Arc;

use memory::Memory;

use super::{
    BlockOptions, BlockStore, ChunkEntry, ChunkMeta, CommitInfo, ImageRecord, Opened, Visitor,
};
use crate::types::{DatabaseId, MeasurementId, Position, SeriesId, StoreId};

const STORE: StoreId = StoreId(0x5742_1133_9a0c_77ee);

/// All that a visitor heard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Heard {
    state: Vec<(u8, Vec<u8>)>,
    chunks: Vec<ChunkEntry>,
    deletions: Vec<Vec<u8>>,
    images: BTreeMap<SeriesId, (Position, Position, Vec<u8>)>,
}

impl Visitor for Heard {
    fn state(&mut self, kind: u8, payload: &[u8]) {
        self.state.push((kind, payload.to_vec()));
    }

    fn chunk(&mut self, entry: &ChunkEntry) {
        self.chunks.push(*entry);
    }

    fn deletion(&mut self, payload: &[u8]) -> bool {
        self.deletions.push(payload.to_vec());
        true
    }

    fn image(&mut self, image: ImageRecord<'_>) {
        let value = (
            image.first_position,
            image.last_position,
            image.bytes.to_vec(),
        );
        self.images.insert(image.series, value);
    }
}

fn open(memory: &Memory) -> (BlockStore, Opened, Heard) {
    let mut heard = Heard::default();
    let options = BlockOptions {
        log_is_blank: false,
        expected: None,
        fresh: STORE,
        cache_bytes: 1 << 20,
    };
    let storage = Arc::new(memory.clone());
    let (store, opened) =
        BlockStore::open(storage, options, &mut heard).expect("damage does not prevent opening");
    (store, opened, heard)
}

/// The chunk that a number stands for: any reader can tell whether it got the right bytes.
fn chunk(number: u32) -> (ChunkMeta, Vec<u8>) {
    let meta = ChunkMeta {
        series: SeriesId(number),
        database: DatabaseId(1),
        measurement: MeasurementId(number % 7),
        tier: (number % 3) as u8,
        rows: 1024,
        first_time: i64::from(number) * 1000,
        last_time: i64::from(number) * 1000 + 999,
        first_position: Position(u64::from(number) * 64),
        last_position: Position(u64::from(number) * 64 + 63),
    };
    let bytes = (0..number % 97 + 40).map(|at| (at * 31 + number) as u8);
    (meta, bytes.collect())
}

fn image(number: u32) -> (SeriesId, Vec<u8>) {
    (
        SeriesId(number),
        vec![number as u8; 20 + number as usize % 30],
    )
}

fn write_images(store: &BlockStore, numbers: &[u32]) -> super::Result<()> {
    let images: Vec<_> = numbers.iter().map(|number| image(*number)).collect();
    let mut writer = store.image_writer();
    for (series, bytes) in &images {
        writer.append(&ImageRecord {
            series: *series,
            first_position: Position(1),
            last_position: Position(2),
            bytes,
        })?;
    }
    writer.finish(&[])
}

fn write_chunks<B: AsRef<[u8]>>(
    store: &BlockStore,
    chunks: impl IntoIterator<Item = (ChunkMeta, B)>,
) -> super::Result<Vec<ChunkEntry>> {
    let mut writer = store.chunk_writer();
    for (meta, bytes) in chunks {
        writer.append(meta, bytes.as_ref())?;
    }
    writer.finish()
}

fn info(replay_from: u64) -> CommitInfo {
    CommitInfo {
        replay_from: Position(replay_from),
        durable: Position(replay_from + 10),
        newest_wall: 1_700_000_000_000_000_000,
        highest_database: DatabaseId(1),
        highest_measurement: MeasurementId(7),
        highest_series: SeriesId(1000),
        counters: vec![(1, replay_from), (2, u64::MAX)],
    }
}

/// Whether a chunk reads as what its number stands for.
fn assert_reads(store: &BlockStore, entry: &ChunkEntry) {
    let (meta, bytes) = chunk(entry.meta.series.0);
    assert_eq!(entry.meta, meta);
    assert_eq!(store.read_chunk(entry).expect("intact"), bytes);
}

fn series(heard: &Heard) -> Vec<u32> {
    heard
        .chunks
        .iter()
        .map(|entry| entry.meta.series.0)
        .collect()
}
