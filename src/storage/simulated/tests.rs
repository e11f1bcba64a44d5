//! What a power cut, a failed sync and a lost name leave.

use super::*;

fn disk(seed: u64) -> SimulatedStorage {
    SimulatedStorage::new(seed)
}

/// What of many seeds' outcomes was seen.
fn outcomes(run: impl Fn(u64) -> Vec<u8>) -> Vec<Vec<u8>> {
    let mut seen: Vec<Vec<u8>> = (0..200).map(run).collect();
    seen.sort();
    seen.dedup();
    seen
}

#[test]
fn unsynced_sectors_are_old_new_or_torn_and_synced_ones_stay() {
    let seen = outcomes(|seed| {
        let disk = disk(seed);
        let segment = disk.create_segment("log/a", 65_536).expect("segment");
        segment.write(0, &[1; 1_024]).expect("inside");
        segment.sync(0..1_024).expect("syncs");
        segment.write(4_096, &[2; 1_024]).expect("inside");
        let after = disk
            .after_cut()
            .bytes("log/a")
            .expect("its name is durable");
        assert_eq!(after[..1_024], [1; 1_024]);
        assert!(after[5_120..].iter().all(|&byte| byte == 0));
        assert!(segment.sync(0..1).is_err(), "the old device is off");
        // By sector: how many bytes of it are new.
        let new = |sector: &[u8]| {
            sector
                .iter()
                .map(|byte| usize::from(*byte / 2))
                .sum::<usize>()
        };
        let [first, second] = [new(&after[4_096..4_608]), new(&after[4_608..5_120])];
        vec![
            first.min(2) as u8 + u8::from(first == 512),
            second.min(2) as u8 + u8::from(second == 512),
        ]
    });
    for wanted in [[0, 0], [3, 3], [0, 3], [3, 0], [2, 3]] {
        assert!(
            seen.iter().any(|found| *found == wanted),
            "{wanted:?} of {seen:?}"
        );
    }
}

#[test]
fn a_failed_sync_leaves_pages_that_no_later_sync_takes() {
    let seen = outcomes(|seed| {
        let disk = disk(seed);
        let segment = disk.create_segment("log/a", 65_536).expect("segment");
        segment.write(0, &[1; 512]).expect("inside");
        disk.set_faults(Faults {
            sync_segment: 1,
            ..Faults::default()
        });
        assert!(segment.sync(0..512).is_err());
        disk.set_faults(Faults::default());
        segment.sync(0..512).expect("nothing is dirty");
        let mut read = [0; 1];
        segment.read(0, &mut read).expect("inside");
        let after = disk.after_cut().bytes("log/a").expect("there");
        vec![read[0], after[0]]
    });
    assert_eq!(seen, [vec![0, 0], vec![1, 0], vec![1, 1]]);
}

#[test]
fn names_are_durable_with_their_folder() {
    let seen = outcomes(|seed| {
        let disk = disk(seed);
        for (name, folder) in [("blocks/a", "blocks"), ("b", ""), ("blocks/c", "")] {
            let file = disk.create_file(name).expect("room");
            file.write_at(0, b"bytes").expect("room");
            file.sync().expect("syncs");
            disk.sync_folder(folder).expect("syncs");
        }
        disk.rename("blocks/a", "blocks/d").expect("there");
        let after = disk.after_cut();
        assert_eq!(after.bytes("b").expect("durable"), b"bytes");
        let has = |name: &str| u8::from(after.bytes(name).is_some());
        vec![has("blocks/a"), has("blocks/c"), has("blocks/d")]
    });
    let expected = [[0, 0, 1], [0, 1, 1], [1, 0, 0], [1, 1, 0]];
    assert_eq!(seen, expected.map(Vec::from));
}

#[test]
fn the_power_goes_in_the_middle_of_the_call_that_was_named() {
    let disk = disk(3);
    let file = disk.create_file("a").expect("room");
    disk.cut_after(1);
    file.write_at(0, b"whole").expect("before the cut");
    assert!(!disk.is_off());
    assert!(file.sync().is_err());
    assert!(disk.is_off() && disk.list("").is_err());
}

#[test]
fn a_killed_process_leaves_what_it_wrote_and_a_cut_takes_it() {
    let seen = outcomes(|seed| {
        let disk = disk(seed);
        disk.put("a", vec![0; 512]);
        let file = disk.open_file("a").expect("there");
        file.write_at(0, &[1; 512]).expect("inside");
        let killed = disk.after_kill();
        assert_eq!(killed.bytes("a").expect("there"), [1; 512]);
        let after = killed.after_cut().bytes("a").expect("there");
        vec![after[0], after[511]]
    });
    assert_eq!(seen, [vec![0, 0], vec![1, 0], vec![1, 1]]);
}

#[test]
fn one_seed_is_one_history() {
    let history = |seed: u64| {
        let disk = disk(seed);
        disk.set_faults(Faults {
            write: 3,
            full: 5,
            sync_file: 3,
            name: 6,
            write_back: 2,
            ..Faults::default()
        });
        for round in 0..50_u64 {
            let name = format!("f{}", round % 5);
            let _ = disk.create_file(&name).and_then(|file| {
                file.write_at(round * 100, &[round as u8; 3_000])?;
                file.sync()
            });
            let _ = disk.sync_folder("");
            let _ = disk.remove(&format!("f{}", round % 3));
        }
        let after = disk.after_cut();
        let bytes: Vec<_> = after.names().iter().map(|name| after.bytes(name)).collect();
        (after.names(), bytes, disk.operations())
    };
    assert_eq!(history(9), history(9));
    assert_ne!(history(9), history(10));
}
