//! Every truncation and every flipped bit: right data, an error, or reported damage; never a panic.

use super::memory::Memory;
use super::*;
use crate::blocks::{BlockFile, Damage, FileId, MANIFEST_NAMES, Manifest, walk};
use crate::storage::Storage;

/// A store of two block files, a state of two appends, images, and both manifests.
fn filled() -> (Memory, Heard) {
    let memory = Memory::default();
    let (store, _, _) = open(&memory);
    write_chunks(&store, (0..4).map(chunk)).expect("works");
    store
        .append_state([(1, b"first".to_vec()), (2, b"second".to_vec())])
        .expect("works");
    store.commit(info(1)).expect("works");
    write_chunks(&store, (4..6).map(chunk)).expect("works");
    store.append_state([(3, b"third")]).expect("works");
    write_images(&store, &[1, 2, 3]).expect("works");
    store.commit(info(2)).expect("works");
    let (_, _, heard) = open(&memory);
    (memory, heard)
}

/// Opens a damaged store: all that is heard must be true, and what is missing reported.
fn check(memory: &Memory, whole: &Heard, what: &str) {
    let mut heard = Heard::default();
    let found = walk(memory, true, &mut heard).expect("works");
    for (kind, payload) in &heard.state {
        assert!(
            whole.state.contains(&(*kind, payload.clone())),
            "{what}: invented state"
        );
    }
    for entry in &heard.chunks {
        assert!(whole.chunks.contains(entry), "{what}: invented chunk");
    }
    for (series, image) in &heard.images {
        assert_eq!(
            whole.images.get(series),
            Some(image),
            "{what}: invented image"
        );
    }
    let (store, opened, _) = open(memory);
    let mut readable = 0;
    for entry in &heard.chunks {
        if let Ok(bytes) = store.read_chunk(entry) {
            assert_eq!(bytes, chunk(entry.meta.series.0).1, "{what}: wrong bytes");
            readable += 1;
        }
    }
    let complete = readable == whole.chunks.len()
        && heard.state.len() == whole.state.len()
        && heard.images.len() == whole.images.len();
    assert!(
        complete || !found.damage.is_empty(),
        "{what}: unreported loss"
    );
    let unreported = opened.damage.is_empty() && heard.chunks.len() < whole.chunks.len();
    assert!(!unreported, "{what}: open does not report");
}

#[test]
fn every_truncation_of_every_file() {
    let (memory, whole) = filled();
    for name in memory.names() {
        let bytes = memory.get(&name).expect("works");
        for len in 0..bytes.len() {
            // Padding is zeros only: a few lengths stand for all.
            if len > 600 && len % 509 != 0 {
                continue;
            }
            let copy = memory.copy();
            copy.put(&name, bytes[..len].to_vec());
            check(&copy, &whole, &format!("{name} cut to {len}"));
        }
        let copy = memory.copy();
        copy.remove(&name).expect("works");
        check(&copy, &whole, &format!("{name} removed"));
    }
}

#[test]
fn every_bit_of_every_file() {
    let (memory, whole) = filled();
    for name in memory.names() {
        let bytes = memory.get(&name).expect("works");
        for at in 0..bytes.len() {
            let padding = bytes[at..].iter().take(64).all(|byte| *byte == 0);
            if padding && at % 509 != 0 {
                continue;
            }
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                let copy = memory.copy();
                copy.put(&name, flipped);
                check(&copy, &whole, &format!("{name} bit {bit} of byte {at}"));
            }
        }
    }
}

#[test]
fn one_damaged_chunk_costs_that_chunk() {
    let (memory, whole) = filled();
    let entry = whole.chunks[1];
    let name = entry.file.name();
    let mut bytes = memory.get(&name).expect("works");
    bytes[entry.offset as usize + 70] ^= 1;
    let end = bytes.len() - 1;
    for footer in [false, true] {
        if footer {
            bytes[end] ^= 1;
        }
        memory.put(&name, bytes.clone());
        let mut heard = Heard::default();
        let found = walk(&memory, true, &mut heard).expect("works");
        let lost = Damage::Chunk {
            name: name.clone(),
            offset: entry.offset,
            series: entry.meta.series,
            rows: 1024,
            times: (entry.meta.first_time, entry.meta.last_time),
        };
        assert!(found.damage.contains(&lost), "{:?}", found.damage);
        let (store, _, _) = open(&memory);
        for other in whole.chunks.iter().filter(|other| **other != entry) {
            assert!(heard.chunks.contains(other));
            assert_reads(&store, other);
        }
        assert!(store.read_chunk(&entry).is_err());
    }
}

#[test]
fn a_damaged_index_is_replaced_by_a_scan_and_the_file_ends_in_quarantine() {
    let (memory, whole) = filled();
    let name = FileId(1).name();
    let mut bytes = memory.get(&name).expect("works");
    let end = bytes.len();
    bytes.truncate(end - 3);
    memory.put(&name, bytes);
    let (store, opened, heard) = open(&memory);
    assert_eq!(heard.chunks, whole.chunks, "the scan finds all");
    assert!(opened.damage.iter().any(|damage| matches!(
        damage,
        Damage::Index {
            found: 4,
            expected: Some(4),
            ..
        }
    )));
    for entry in heard.chunks.iter().filter(|entry| entry.file == FileId(1)) {
        store.release(entry);
    }
    store.commit(info(3)).expect("works");
    assert!(memory.get(&name).is_none());
    assert!(memory.get("quarantine/00000001.blk").is_some());
}

#[test]
fn without_manifests_everything_is_found_and_the_state_must_be_rewritten() {
    let (memory, whole) = filled();
    memory.put("MANIFEST-A", Vec::new());
    memory.put("MANIFEST-B", b"nonsense".to_vec());
    let (store, opened, heard) = open(&memory);
    assert_eq!(heard, whole);
    assert_eq!((opened.store, opened.created), (STORE, false));
    assert!(
        opened
            .damage
            .iter()
            .any(|d| matches!(d, Damage::NoManifest { files: 4 }))
    );
    assert!(opened.state_rewrite_needed);
    assert!(store.commit(info(5)).is_err(), "the catalog would be lost");
    assert!(store.append_state([(1, b"x")]).is_err());
    store.rewrite_state(whole.state.clone()).expect("works");
    write_images(&store, &[1, 2, 3]).expect("works");
    store.commit(info(5)).expect("works");
    store.commit(info(6)).expect("works");
    let (_, opened, heard) = open(&memory);
    assert_eq!(heard, whole);
    assert_eq!(opened.damage, []);
}

#[test]
fn the_newer_manifest_lost_its_files_can_be_adopted() {
    let (memory, whole) = filled();
    let mut bytes = memory.get("MANIFEST-A").expect("works");
    bytes[40] ^= 1;
    memory.put("MANIFEST-A", bytes);
    let (store, opened, heard) = open(&memory);
    assert_eq!(opened.manifest.expect("works").sequence, 2);
    assert_eq!(series(&heard), [0, 1, 2, 3]);
    assert_eq!(opened.unreferenced, 2);
    let mut adopted = Heard::default();
    assert_eq!(store.adopt_unreferenced(&mut adopted).expect("works"), []);
    assert_eq!(series(&adopted), [4, 5]);
    assert_eq!(adopted.images, whole.images);
    assert_eq!(
        adopted.state, whole.state,
        "also what lies behind the valid length"
    );
    store.rewrite_state(whole.state.clone()).expect("works");
    store.commit(info(3)).expect("works");
    let (_, opened, heard) = open(&memory);
    assert_eq!(opened.damage, []);
    assert_eq!(heard.chunks, whole.chunks);
}

#[test]
fn images_that_were_not_written_to_their_end_are_not_taken_for_those_of_before() {
    let (memory, whole) = filled();
    for name in MANIFEST_NAMES {
        memory.put(name, b"nonsense".to_vec());
    }
    // A crash while the next ones were written.
    let names = memory.names();
    let images = names.iter().rfind(|name| name.contains("image-"));
    let complete = memory.get(images.expect("there are")).expect("works");
    let (store, ..) = open(&memory);
    let mut writer = store.image_writer();
    for number in 0..20_000 {
        let (series, bytes) = image(number);
        let image = ImageRecord {
            series,
            first_position: Position(3),
            last_position: Position(4),
            bytes: &bytes,
        };
        writer.append(&image).expect("works");
    }
    std::mem::forget(writer);
    let next = memory.names();
    let next = next
        .iter()
        .find(|name| name.contains("image-") && !names.contains(name));
    let begun = memory.get(next.expect("it was begun")).expect("works");
    assert!(begun.len() > complete.len());
    let (_, _, heard) = open(&memory);
    assert_eq!(heard.images, whole.images);
}

#[test]
fn of_a_file_that_was_never_listed_only_whole_chunks_are_adopted() {
    let (memory, whole) = filled();
    let mut bytes = memory.get("MANIFEST-A").expect("works");
    bytes[40] ^= 1;
    memory.put("MANIFEST-A", bytes);
    // A power cut kept the index of the file, and lost a sector before it.
    let torn = whole.chunks.iter().find(|e| e.file == FileId(2));
    let torn = *torn.expect("works");
    let name = FileId(2).name();
    let mut bytes = memory.get(&name).expect("works");
    bytes[torn.offset as usize + 10..][..20].fill(0);
    memory.put(&name, bytes);
    let (store, _, heard) = open(&memory);
    let mut adopted = Heard::default();
    let damage = store.adopt_unreferenced(&mut adopted).expect("works");
    assert_eq!(series(&adopted), [5]);
    assert!(
        matches!(&damage[..], [Damage::Chunk { series, .. }] if *series == torn.meta.series),
        "{damage:?}"
    );
    for entry in heard.chunks.iter().chain(&adopted.chunks) {
        store.read_chunk(entry).expect("works");
    }
    store.rewrite_state(whole.state.clone()).expect("works");
    store.commit(info(3)).expect("works");
    let (_, opened, heard) = open(&memory);
    assert_eq!(series(&heard), [0, 1, 2, 3, 5]);
    assert_eq!(opened.damage, []);
}

#[test]
fn a_chunk_of_another_store_or_file_never_validates() {
    let (memory, whole) = filled();
    let name = FileId(1).name();
    for (store, id) in [(StoreId(1), FileId(1)), (STORE, FileId(9))] {
        let file = memory.open_file(&name).expect("works");
        let opened = BlockFile::open(file, store, id).expect("works");
        assert!(opened.entries.is_empty());
        assert!(!opened.damage.is_empty());
        assert!(opened.file.read_chunk(&whole.chunks[0]).is_err());
    }
}

#[test]
fn a_manifest_of_any_bytes_is_an_error() {
    let (memory, _) = filled();
    let bytes = memory.get("MANIFEST-B").expect("works");
    for len in 0..bytes.len() {
        assert!(Manifest::decode(&bytes[..len]).is_err());
    }
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            assert!(
                Manifest::decode(&flipped).is_err(),
                "bit {bit} of byte {at}"
            );
        }
    }
}

#[test]
fn a_damaged_state_costs_its_record_and_has_to_be_rewritten() {
    let (memory, whole) = filled();
    let mut bytes = memory.get("blocks/state-1.cat").expect("works");
    bytes[28 + 16] ^= 1;
    memory.put("blocks/state-1.cat", bytes);
    let (store, opened, heard) = open(&memory);
    assert_eq!(heard.state, whole.state[1..]);
    assert!(opened.state_rewrite_needed);
    assert!(store.commit(info(9)).is_err());
    store.rewrite_state(whole.state.clone()).expect("works");
    store.commit(info(9)).expect("works");
    assert!(memory.get("quarantine/state-1.cat").is_some());
    let (_, opened, heard) = open(&memory);
    assert_eq!((opened.damage, heard.state), (vec![], whole.state));
}
