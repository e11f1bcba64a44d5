//! The power is cut at every operation of a run of checkpoints, and each operation fails once.

use super::memory::{Memory, Unsynced};
use super::*;

/// What a store holds after a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Version {
    sequence: u64,
    chunks: Vec<u32>,
    state: Vec<u8>,
    images: Vec<u32>,
}

/// Runs checkpoints until the device fails, or to the end; returns every version whose commit was begun,
/// and how many of them were confirmed.
fn run(memory: &Memory) -> (Vec<Version>, usize) {
    let mut begun = vec![Version::default()];
    let mut confirmed = 1;
    let mut heard = Heard::default();
    let options = BlockOptions {
        log_is_blank: false,
        expected: None,
        fresh: STORE,
        cache_bytes: 0,
    };
    let Ok((store, _)) = BlockStore::open(Arc::new(memory.clone()), options, &mut heard) else {
        return (begun, confirmed);
    };
    let mut version = Version::default();
    let mut entries: Vec<ChunkEntry> = Vec::new();
    for round in 0..6u32 {
        let result = (|| {
            let numbers = round * 10..round * 10 + 3;
            entries.extend(write_chunks(&store, numbers.clone().map(chunk))?);
            version.chunks.extend(numbers);
            if round == 4 {
                store.rewrite_state((0..4).map(|kind| (kind, vec![kind; 700])))?;
            }
            store.append_state([(round as u8, vec![round as u8; 700])])?;
            version.state.push(round as u8);
            version.images = if round % 2 == 0 { vec![round] } else { vec![] };
            write_images(&store, &version.images)?;
            if round >= 2 {
                let gone: Vec<ChunkEntry> = entries.drain(..3).collect();
                for entry in &gone {
                    store.release(entry);
                }
                version.chunks.drain(..3);
            }
            version.sequence = u64::from(round) + 2;
            begun.push(version.clone());
            store.commit(info(u64::from(round)))
        })();
        match result {
            Ok(sequence) => assert_eq!(sequence, version.sequence),
            Err(_) => return (begun, confirmed),
        }
        confirmed += 1;
    }
    (begun, confirmed)
}

fn version_of(opened: &Opened, heard: &Heard) -> Version {
    for (kind, payload) in &heard.state {
        assert_eq!(*payload, vec![*kind; 700]);
    }
    // The first commit writes two manifests of the same content.
    let sequence = opened.manifest.as_ref().map(|manifest| manifest.sequence);
    Version {
        sequence: sequence.map_or(0, |sequence| sequence.max(2)),
        chunks: series(heard),
        state: heard.state.iter().map(|(kind, _)| *kind).collect(),
        images: heard.images.keys().map(|series| series.0).collect(),
    }
}

#[test]
fn a_power_cut_at_every_operation_leaves_one_whole_version() {
    let whole = Memory::default();
    assert_eq!(run(&whole).1, 7);
    for stop in 0..whole.operations() {
        let memory = Memory::default();
        memory.stop_at(stop);
        let (begun, confirmed) = run(&memory);
        for unsynced in [Unsynced::Kept, Unsynced::Dropped, Unsynced::Torn] {
            let after = memory.cut(unsynced);
            let (store, opened, heard) = open(&after);
            let found = version_of(&opened, &heard);
            let manifest = opened.manifest.as_ref();
            let opened_sequence = manifest.map_or(0, |manifest| manifest.sequence);
            let what = format!("stop {stop}, {unsynced:?}: {:?}", opened.damage);
            if confirmed == 1 && opened.manifest.is_none() {
                continue;
            }
            assert!(begun[confirmed - 1..].contains(&found), "{what}: {found:?}");
            for entry in &heard.chunks {
                assert_reads(&store, entry);
            }
            // Life goes on: the next commit is durable, and leaves nothing behind.
            write_chunks(&store, [chunk(99)]).expect("works");
            store.append_state([(9, vec![9; 700])]).expect("works");
            store.commit(info(1000)).expect("works");
            store.commit(info(1001)).expect("works");
            let (_, opened, heard) = open(&after.cut(Unsynced::Dropped));
            assert_eq!(opened.damage, [], "{what}");
            let mut expected = found.clone();
            expected.chunks.push(99);
            expected.state.push(9);
            expected.sequence = opened_sequence + 2;
            assert_eq!(version_of(&opened, &heard), expected, "{what}");
            let files = after.names().len();
            let listed = opened.manifest.map_or(0, |manifest| {
                manifest.files.len()
                    + usize::from(manifest.state.is_some())
                    + usize::from(manifest.image.is_some())
            });
            let quarantined = after
                .names()
                .iter()
                .filter(|n| n.starts_with("quarantine"))
                .count();
            assert_eq!(
                files,
                listed + 2 + quarantined,
                "{what}: {:?}",
                after.names()
            );
        }
    }
}

#[test]
fn an_operation_that_fails_once_can_be_tried_again() {
    let whole = Memory::default();
    run(&whole);
    for fail in 0..whole.operations() {
        let memory = Memory::default();
        let (store, _, _) = open(&memory);
        memory.fail_at(fail);
        for round in 0..6u32 {
            let records = || [(round as u8, vec![round as u8; 700])];
            let chunks = || (round * 10..round * 10 + 3).map(chunk);
            if write_chunks(&store, chunks()).is_err() {
                write_chunks(&store, chunks()).expect("works");
            }
            if store.append_state(records()).is_err() {
                store.append_state(records()).expect("works");
            }
            if write_images(&store, &[round]).is_err() {
                write_images(&store, &[round]).expect("works");
            }
            if store.commit(info(1)).is_err() {
                store.commit(info(1)).expect("works");
            }
        }
        let (_, opened, heard) = open(&memory.cut(Unsynced::Dropped));
        assert_eq!(opened.damage, [], "fail {fail}");
        let found = version_of(&opened, &heard);
        assert_eq!(found.sequence, 7);
        assert_eq!(found.chunks.len(), 18, "fail {fail}");
        assert_eq!((found.state.len(), found.images.len()), (6, 1));
    }
}

#[test]
fn nothing_is_removed_before_the_manifest_is_synced() {
    let memory = Memory::default();
    run(&memory);
    let mut manifest_synced = true;
    let mut unsynced = Vec::new();
    for (operation, name) in memory.journal() {
        let is_manifest = name.starts_with("MANIFEST");
        match operation {
            "write" if is_manifest => {
                assert!(unsynced.is_empty(), "{unsynced:?} not synced before {name}");
                manifest_synced = false;
            }
            "sync" if is_manifest => manifest_synced = true,
            "write" => {
                manifest_synced = false;
                unsynced.push(name);
            }
            "sync" => unsynced.retain(|other| *other != name),
            "remove" => assert!(manifest_synced, "{name} removed too early"),
            _ => {}
        }
    }
}
