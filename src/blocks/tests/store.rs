//! What is committed is there again; what is released is gone; files live as long as they are needed.

use super::memory::Memory;
use super::*;
use crate::blocks::{BlockError, Manifest, walk};

#[test]
fn everything_committed_is_there_again() {
    let memory = Memory::default();
    let (store, opened, _) = open(&memory);
    assert!(opened.created && opened.damage.is_empty() && opened.manifest.is_none());
    store.commit(info(0)).expect("works");
    let written = write_chunks(&store, (0..300).map(chunk)).expect("works");
    store
        .append_state([(1, b"one".to_vec()), (2, vec![9; 9000])])
        .expect("works");
    write_images(&store, &[5, 6]).expect("works");
    store.commit(info(100)).expect("works");
    store.append_state([(3, b"three")]).expect("works");
    let more = write_chunks(&store, (300..310).map(chunk)).expect("works");
    assert_eq!(store.commit(info(200)).expect("works"), 4);

    let (store, opened, heard) = open(&memory);
    assert_eq!(opened.damage, []);
    assert!(!opened.created);
    let manifest = opened.manifest.expect("works");
    assert_eq!((manifest.sequence, manifest.info), (4, info(200)));
    assert_eq!(heard.chunks, [written, more].concat());
    let kinds: Vec<u8> = heard.state.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [1, 2, 3]);
    assert_eq!(heard.state[2].1, b"three");
    assert_eq!(heard.images.len(), 2);
    assert_eq!(heard.images[&SeriesId(5)].2, image(5).1);
    for entry in &heard.chunks {
        assert_reads(&store, entry);
        assert_reads(&store, entry);
    }
    assert_eq!(store.cache_stats().hits, 310);
    assert_eq!(store.cache_stats().misses, 310);
    let usage = store.usage();
    assert_eq!(
        (usage.files, usage.chunks, usage.live_chunks),
        (2, 310, 310)
    );
}

#[test]
fn a_released_chunk_stays_dead_and_an_empty_file_goes() {
    let memory = Memory::default();
    let (store, _, _) = open(&memory);
    let entries = write_chunks(&store, (0..100).map(chunk)).expect("works");
    store.commit(info(1)).expect("works");
    for entry in &entries[..99] {
        assert!(store.release(entry));
        assert!(!store.release(entry), "only once");
    }
    store.commit(info(2)).expect("works");
    let (store, _, heard) = open(&memory);
    assert_eq!(series(&heard), [99]);
    assert_eq!(store.files()[0].live_chunks, 1);
    assert!(store.release(&heard.chunks[0]));
    assert!(memory.get("blocks/00000001.blk").is_some());
    store.commit(info(3)).expect("works");
    assert!(memory.get("blocks/00000001.blk").is_none());
    assert!(matches!(
        store.read_chunk(&entries[0]),
        Err(BlockError::FileGone { .. })
    ));
    let (store, opened, heard) = open(&memory);
    assert_eq!((opened.damage.len(), heard.chunks.len()), (0, 0));
    let again = write_chunks(&store, [chunk(1)]).expect("works");
    assert_eq!(again[0].file.0, 2, "ids are not reused");
}

#[test]
fn a_pin_keeps_files_until_it_is_dropped() {
    let memory = Memory::default();
    let (store, _, _) = open(&memory);
    let entries = write_chunks(&store, (0..3).map(chunk)).expect("works");
    store.commit(info(1)).expect("works");
    let pin = store.pin();
    for entry in &entries {
        store.release(entry);
    }
    store.commit(info(2)).expect("works");
    store.cache().clear();
    assert_reads(&store, &entries[2]);
    let later = store.pin();
    drop(pin);
    store.commit(info(3)).expect("works");
    assert!(
        store.read_chunk(&entries[2]).is_err(),
        "the later pin does not hold it"
    );
    drop(later);
}

#[test]
fn state_is_rewritten_and_images_replaced() {
    let memory = Memory::default();
    let (store, _, _) = open(&memory);
    for round in 0..20u8 {
        store
            .append_state([(round, vec![round; 100])])
            .expect("works");
        write_images(&store, &[u32::from(round)]).expect("works");
        store.commit(info(u64::from(round))).expect("works");
    }
    assert!(store.usage().state_bytes > 19 * 4096);
    store.rewrite_state([(1, b"all")]).expect("works");
    write_images(&store, &[]).expect("works");
    store.commit(info(50)).expect("works");
    store.append_state([(2, b"more")]).expect("works");
    store.commit(info(51)).expect("works");
    let (_, opened, heard) = open(&memory);
    assert_eq!(opened.damage, []);
    assert_eq!(heard.state, [(1, b"all".to_vec()), (2, b"more".to_vec())]);
    assert!(heard.images.is_empty());
    let record_files = memory
        .names()
        .into_iter()
        .filter(|name| name.starts_with("blocks/"));
    assert_eq!(record_files.count(), 1);
}

#[test]
fn a_committed_page_of_the_state_is_never_written_again() {
    let memory = Memory::default();
    let (store, _, _) = open(&memory);
    store.append_state([(1, vec![1; 5000])]).expect("works");
    store.commit(info(1)).expect("works");
    let before = memory.get("blocks/state-1.cat").expect("works");
    assert!(before.len().is_multiple_of(4096));
    store.append_state([(2, vec![2; 50])]).expect("works");
    let after = memory.get("blocks/state-1.cat").expect("works");
    assert_eq!(after[..before.len()], before);
}

#[test]
fn another_store_and_a_newer_format_are_refused_by_name() {
    let memory = Memory::default();
    let (store, _, _) = open(&memory);
    store.commit(info(1)).expect("works");
    let options = BlockOptions {
        log_is_blank: false,
        expected: Some(StoreId(9)),
        fresh: STORE,
        cache_bytes: 0,
    };
    let other = BlockStore::open(Arc::new(memory.clone()), options, &mut Heard::default());
    assert!(matches!(other, Err(BlockError::OtherStore { .. })));
    let mut bytes = memory.get("MANIFEST-B").expect("works");
    bytes[8] = 2;
    let end = bytes.len() - 4;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[0; 12]);
    hasher.update(&bytes[..end]);
    bytes[end..].copy_from_slice(&hasher.finalize().to_le_bytes());
    memory.put("MANIFEST-B", bytes);
    let error = walk(&memory, false, &mut Heard::default()).expect_err("is refused");
    assert!(error.to_string().contains("version 2 is newer"), "{error}");
}

#[test]
fn what_is_too_large_or_unordered_is_refused_and_leaves_nothing() {
    let memory = Memory::default();
    let (store, _, _) = open(&memory);
    let (mut meta, bytes) = chunk(1);
    meta.rows = u32::MAX;
    assert!(write_chunks(&store, [(meta, &bytes)]).is_err());
    meta = chunk(1).0;
    meta.last_time = meta.first_time - 1;
    assert!(write_chunks(&store, [(meta, &bytes)]).is_err());
    let mut counters = info(1);
    counters.counters = vec![(0, 0); crate::limits::MANIFEST_COUNTERS + 1];
    assert!(store.commit(counters).is_err());
    assert_eq!(memory.names(), Vec::<String>::new());
}

#[test]
fn a_walk_changes_nothing() {
    let memory = Memory::default();
    let (store, _, _) = open(&memory);
    write_chunks(&store, (0..20).map(chunk)).expect("works");
    store.append_state([(1, b"x")]).expect("works");
    store.commit(info(1)).expect("works");
    write_chunks(&store, (20..30).map(chunk)).expect("works");
    let before = memory.operations();
    let mut heard = Heard::default();
    let found = walk(&memory, true, &mut heard).expect("works");
    assert_eq!(memory.operations(), before);
    assert_eq!((found.damage.len(), heard.chunks.len()), (0, 20));
    assert_eq!(found.unreferenced, ["blocks/00000002.blk"]);
    assert_eq!(found.store, Some(STORE));
    assert_eq!(
        found.current.as_ref().map(|manifest| manifest.sequence),
        Some(2)
    );
}

#[test]
fn a_manifest_reads_back_whatever_is_dead() {
    use crate::blocks::{FileId, ManifestFile, ManifestRecords};
    for dead in [vec![], vec![0], vec![7, 8, 63, 64, 99], (0..99).collect()] {
        let manifest = Manifest {
            store: STORE,
            sequence: 77,
            info: info(5),
            next_file: FileId(12),
            next_number: 4,
            state: Some(ManifestRecords {
                number: 3,
                len_bytes: 999,
            }),
            image: None,
            files: vec![ManifestFile {
                id: FileId(11),
                size_bytes: 123_456,
                footer_crc: 0xdead_beef,
                chunks: 100,
                dead,
            }],
        };
        let mut bytes = manifest.encode();
        assert_eq!(Manifest::decode(&bytes).as_ref(), Ok(&manifest));
        bytes.extend_from_slice(b"left from a longer one");
        assert_eq!(Manifest::decode(&bytes), Ok(manifest));
    }
}
