//! Power cuts at random moments, sector by sector, against a model in a list.

use super::*;

#[test]
fn no_cut_loses_what_was_durable_or_invents_anything() {
    for seed in 0..CUTS {
        run(seed);
    }
}

#[test]
fn what_a_lost_segment_used_is_never_given_out_again() {
    let memory = Arc::new(SimulatedStorage::new(1));
    let storage: Arc<dyn Storage> = memory.clone();
    let (log, _, _) = open(&storage);
    // Three segments beyond the only header that is durable.
    for _ in 0..12 {
        append(&log, &[rows(&vec![1; 17_000])]);
    }
    let (epoch, end) = (log.epoch(), log.end());
    let after: Arc<dyn Storage> = Arc::new(memory.after_cut_where(&mut || false));
    let (log, _, handed) = open(&after);
    assert!(handed.is_empty());
    assert!(log.epoch() > epoch && log.end() > end);
}

/// One store's life: appends, syncs and checkpoints, with several cuts and restarts.
fn run(seed: u64) {
    let mut random = Random(seed);
    let mut memory = Arc::new(SimulatedStorage::new(1));
    // What a perfect log would hold: position, number and length of every unit's frames.
    let mut units: Vec<Vec<(Position, u64, usize)>> = Vec::new();
    let mut durable_units = 0;
    let mut checkpoint = Position(0);
    let mut number = 0;
    for life in 0..4 {
        let storage: Arc<dyn Storage> = memory.clone();
        let (log, recovery, handed) = open_from(&storage, checkpoint);
        let context = format!("seed {seed}, life {life}: {recovery:?}");
        assert!(recovery.corruption.is_empty(), "{context}");
        units.retain(|unit| unit.iter().all(|frame| frame.0 >= checkpoint));
        let expected: Vec<_> = units.iter().flatten().copied().collect();
        let found: Vec<_> = handed.iter().map(model_of).collect();
        assert!(expected.starts_with(&found), "{context}");
        let sure: usize = units.iter().take(durable_units).map(Vec::len).sum();
        assert!(found.len() >= sure, "{context}: {} of {sure}", found.len());
        // Whole units only.
        let mut left = found.len();
        units.retain(|unit| {
            let whole = left >= unit.len();
            left = if whole { left - unit.len() } else { left };
            whole
        });
        assert_eq!(left, 0, "{context}");
        durable_units = units.len();
        for _ in 0..random.below(40) {
            match random.below(10) {
                0..6 => {
                    let Some(unit) = append_unit(&log, &mut random, &mut number) else {
                        // Full: a checkpoint of everything durable.
                        log.sync().expect("syncs");
                        checkpoint = log.durable();
                        log.recycle(checkpoint).expect("recycles");
                        units.clear();
                        durable_units = 0;
                        continue;
                    };
                    units.push(unit);
                }
                6..8 => {
                    if random.below(4) == 0 && log.usage().sync_failures == 0 {
                        memory.fail_syncs(1);
                    }
                    log.sync().expect("syncs");
                    durable_units = units.len();
                }
                8 => log.prepare().expect("prepares"),
                _ => {
                    checkpoint = log.durable();
                    let before = units.len();
                    units.retain(|unit| unit.iter().all(|frame| frame.0 >= checkpoint));
                    durable_units -= (before - units.len()).min(durable_units);
                    log.recycle(checkpoint).expect("recycles");
                }
            }
        }
        let chance = random.below(5);
        memory = Arc::new(memory.after_cut_where(&mut || random.below(4) < chance));
    }
}

fn append_unit(
    log: &Log,
    random: &mut Random,
    number: &mut u64,
) -> Option<Vec<(Position, u64, usize)>> {
    let payloads: Vec<Vec<u8>> = (0..=random.below(3))
        .map(|_| {
            *number += 1;
            let mut payload = number.to_le_bytes().to_vec();
            let large = random.below(6) == 0;
            let bytes = random.below(if large { 12_000 } else { 600 });
            payload.resize(8 + bytes as usize, *number as u8);
            payload
        })
        .collect();
    let frames: Vec<_> = payloads.iter().map(|payload| rows(payload)).collect();
    let appended = loop {
        match log.append(log.epoch(), &frames) {
            Ok(appended) => break appended,
            Err(AppendError::EpochChanged(_)) => {}
            Err(AppendError::Full) => return None,
            Err(error) => panic!("{error}"),
        }
    };
    let mut unit = Vec::new();
    let mut position = appended.first;
    for (index, payload) in payloads.iter().enumerate() {
        let left = 4096 - position.0 % 4096;
        if index > 0 && left < 32 {
            position.0 += left;
        }
        let model = (FrameType::Rows, position, payload.clone());
        unit.push(model_of(&model));
        position.0 += 32 + payload.len() as u64;
    }
    assert_eq!(position, appended.end);
    Some(unit)
}

fn model_of((_, position, payload): &(FrameType, Position, Vec<u8>)) -> (Position, u64, usize) {
    let number = payload
        .first_chunk()
        .map(|bytes| u64::from_le_bytes(*bytes));
    let number = number.expect("every payload has one");
    assert!(payload[8..].iter().all(|byte| *byte == number as u8));
    (*position, number, payload.len())
}

const CUTS: u64 = 400;
