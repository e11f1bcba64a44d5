//! A log of some frames, altered by the input: it opens, hands over frames as they were appended, in their order,
//! and says where it ends or what is lost.
#![no_main]

use std::sync::Arc;

use edgetimedb::log::{AppendError, FrameParts, FrameType, Log, LogOptions};
use edgetimedb::storage::simulated::SimulatedStorage;
use edgetimedb::types::{Position, StoreId};
use libfuzzer_sys::fuzz_target;

const STORE: StoreId = StoreId(5);

fn open(disk: &SimulatedStorage) -> (Log, Vec<Vec<u8>>, bool) {
    let options = LogOptions {
        segment_size_bytes: 64 << 10,
        segment_count_max: 4,
        prefetch_bytes: 0,
        ..LogOptions::default()
    };
    let mut frames = Vec::new();
    let storage = Arc::new(disk.clone());
    let (log, recovery) = Log::open(storage, STORE, options, Position(0), &mut |frame| {
        if frame.kind == FrameType::Rows {
            frames.push(frame.payload.to_vec());
        }
        Ok(())
    })
    .expect("opens whatever is in it");
    let told = recovery.torn_tail.is_some() || !recovery.corruption.is_empty();
    (log, frames, told)
}

fuzz_target!(|input: &[u8]| {
    let Some((control, rest)) = input.split_at_checked(16) else {
        return;
    };
    let disk = SimulatedStorage::new(1);
    let (log, _, _) = open(&disk);
    let mut appended = Vec::new();
    for (number, bytes) in rest
        .chunks(usize::from(control[0]) * 8 + 1)
        .take(200)
        .enumerate()
    {
        let mut payload = (number as u32).to_le_bytes().to_vec();
        payload.extend_from_slice(bytes);
        let frame = [FrameParts::new(FrameType::Rows, &payload)];
        let mut result = log.append(log.epoch(), &frame);
        if matches!(result, Err(AppendError::EpochChanged(_))) {
            result = log.append(log.epoch(), &frame);
        }
        if result.is_err() {
            break;
        }
        appended.push(payload);
        if number % 3 == 0 {
            log.sync().expect("nothing fails");
        }
    }
    log.seal().expect("nothing fails");
    drop(log);
    let names: Vec<String> = disk.names();
    let mut altered = false;
    for change in control[1..].chunks_exact(5) {
        let name = &names[usize::from(change[0]) % names.len()];
        disk.change(name, |bytes| {
            let place = u16::from_le_bytes([change[1], change[2]]);
            match bytes.get_mut(usize::from(place)) {
                Some(byte) => *byte ^= change[3],
                None => return,
            }
            altered |= change[3] != 0 || change[4] == 255;
            if change[4] == 255 {
                bytes.truncate(usize::from(place));
            }
        });
    }
    let (_, found, told) = open(&disk);
    let mut expected = appended.iter();
    for frame in &found {
        assert!(
            expected.any(|one| one == frame),
            "a frame that was not appended, or out of order"
        );
    }
    assert!(
        found.len() == appended.len() || told,
        "{} of {}",
        found.len(),
        appended.len()
    );
    assert!(altered || found.len() == appended.len());
});
