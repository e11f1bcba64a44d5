//! A block file made from the input, then damaged by it: every chunk that is found reads as it was written,
//! and what is not found is reported.
#![no_main]

use std::io;
use std::sync::{Arc, Mutex};

use edgetimedb::blocks::{BlockFile, BlockFileWriter, ChunkMeta, FileId};
use edgetimedb::storage::{File, Result, Segment, Storage, StorageError};
use edgetimedb::types::{DatabaseId, MeasurementId, Position, SeriesId, StoreId};
use libfuzzer_sys::fuzz_target;

const STORE: StoreId = StoreId(77);
const ID: FileId = FileId(3);

fuzz_target!(|input: &[u8]| {
    let _ = BlockFile::open(Arc::new(OneFile::of(input.to_vec())), STORE, ID);
    let Some((control, rest)) = input.split_at_checked(16) else {
        return;
    };
    let storage = OneFile::default();
    let mut writer = BlockFileWriter::create(&storage, STORE, ID).expect("creates");
    let len = 1 + usize::from(control[0]);
    let chunks: Vec<&[u8]> = rest.chunks(len).collect();
    for (number, chunk) in chunks.iter().enumerate() {
        writer.append(meta(number as u32), chunk).expect("appends");
    }
    writer.finish(&storage).expect("finishes");
    let mut bytes = storage.0.lock().expect("not poisoned").clone();
    for change in control[1..].chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % bytes.len();
        match change[2] {
            0 => {}
            255 => bytes.truncate(at.max(1)),
            bits => bytes[at] ^= bits,
        }
    }
    let opened = BlockFile::open(Arc::new(OneFile::of(bytes)), STORE, ID);
    // A flip that makes a valid header of a newer version would need its checksum to collide.
    let opened = opened.expect("opens");
    let mut intact = 0;
    for entry in &opened.entries {
        if let Ok(read) = opened.file.read_chunk(entry) {
            assert_eq!(read, chunks[entry.ordinal as usize]);
            assert_eq!(entry.meta, meta(entry.ordinal));
            intact += 1;
        }
    }
    let complete = opened.entries.len() == chunks.len();
    assert!(complete || !opened.damage.is_empty(), "{intact} intact");
});

fn meta(number: u32) -> ChunkMeta {
    ChunkMeta {
        series: SeriesId(number),
        database: DatabaseId(1),
        measurement: MeasurementId(2),
        tier: (number % 5) as u8,
        rows: number % 1000,
        first_time: -5,
        last_time: i64::from(number),
        first_position: Position(1),
        last_position: Position(u64::from(number) + 1),
    }
}

/// A device with one file, whatever its name.
#[derive(Clone, Default)]
struct OneFile(Arc<Mutex<Vec<u8>>>);

impl OneFile {
    fn of(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(bytes)))
    }
}

fn refused<T>() -> Result<T> {
    Err(StorageError::Io {
        operation: "use",
        name: String::new(),
        source: io::ErrorKind::Unsupported.into(),
    })
}

impl Storage for OneFile {
    fn create_segment(&self, _: &str, _: u64) -> Result<Arc<dyn Segment>> {
        refused()
    }

    fn open_segment(&self, _: &str) -> Result<Arc<dyn Segment>> {
        refused()
    }

    fn create_file(&self, _: &str) -> Result<Arc<dyn File>> {
        Ok(Arc::new(self.clone()))
    }

    fn open_file(&self, _: &str) -> Result<Arc<dyn File>> {
        Ok(Arc::new(self.clone()))
    }

    fn list(&self, _: &str) -> Result<Vec<String>> {
        refused()
    }

    fn create_folder(&self, _: &str) -> Result<()> {
        Ok(())
    }

    fn remove(&self, _: &str) -> Result<()> {
        refused()
    }

    fn rename(&self, _: &str, _: &str) -> Result<()> {
        refused()
    }

    fn sync_folder(&self, _: &str) -> Result<()> {
        Ok(())
    }

    fn free_bytes(&self) -> Result<u64> {
        Ok(u64::MAX)
    }

    fn kind(&self) -> &'static str {
        "one file"
    }
}

impl File for OneFile {
    fn len_bytes(&self) -> Result<u64> {
        Ok(self.0.lock().expect("not poisoned").len() as u64)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut content = self.0.lock().expect("not poisoned");
        let end = offset as usize + bytes.len();
        if content.len() < end {
            content.resize(end, 0);
        }
        content[offset as usize..end].copy_from_slice(bytes);
        Ok(())
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        let content = self.0.lock().expect("not poisoned");
        let end = offset as usize + into.len();
        match content.get(offset as usize..end) {
            Some(bytes) => into.copy_from_slice(bytes),
            None => return refused(),
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }
}
