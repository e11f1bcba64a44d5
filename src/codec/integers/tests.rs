//! Sequences of integers: round trips, damage.

use proptest::prelude::*;

use super::*;
use crate::codec::statistics::Integers;

fn round_trip(values: &[u64], range: u64) {
    for effort in [Effort::Cheap, Effort::Full] {
        let mut bytes = Vec::new();
        encode(values, range, &mut Habit::default(), effort, &mut bytes);
        let mut out = Vec::new();
        let mut reader = Reader::new(&bytes);
        let first = values.first().copied().unwrap_or(0);
        decode(&mut reader, values.len(), first, &mut out).expect("just encoded");
        assert_eq!(out, values);
        assert_eq!(reader.offset(), bytes.len());
        for end in (0..bytes.len()).step_by(if cfg!(miri) { 200 } else { 1 }) {
            out.clear();
            assert!(
                decode(
                    &mut Reader::new(&bytes[..end]),
                    values.len(),
                    first,
                    &mut out
                )
                .is_err()
            );
        }
    }
}

fn range_of(values: &[u64]) -> u64 {
    let least = values.iter().map(|&v| v as i64).min().unwrap_or(0);
    let most = values.iter().map(|&v| v as i64).max().unwrap_or(0);
    most.wrapping_sub(least) as u64
}

proptest! {
    #[test]
    fn any_numbers(values in prop::collection::vec(any::<u64>(), 0..200)) {
        round_trip(&values, u64::MAX);
        round_trip(&values, range_of(&values));
    }

    #[test]
    fn walks_with_outliers(steps in prop::collection::vec((-20i64..20, 0u8..40), 0..300), factor in 1i64..50) {
        let mut value = 0i64;
        let values: Vec<u64> = steps.iter().map(|&(step, outlier)| {
            value += step;
            let away = match outlier { 0 => 1 << 40, 1 => -(1 << 50), _ => 0 };
            ((value + away) * factor) as u64
        }).collect();
        round_trip(&values, range_of(&values));
    }

    #[test]
    fn plateaus(runs in prop::collection::vec((0u64..100, 1usize..60), 0..20)) {
        let values: Vec<u64> = runs.iter().flat_map(|&(value, len)| std::iter::repeat_n(value, len)).collect();
        round_trip(&values, range_of(&values));
    }

    #[test]
    fn few_numbers_far_apart(
        entries in prop::collection::vec((any::<i64>(), 0u32..64), 1..40),
        picks in prop::collection::vec((any::<prop::sample::Index>(), 1usize..4), 0..if cfg!(miri) { 60 } else { 300 }),
    ) {
        let entries: Vec<u64> = entries.iter().map(|&(value, shift)| (value >> shift) as u64).collect();
        let values: Vec<u64> = picks
            .iter()
            .flat_map(|(pick, len)| std::iter::repeat_n(*pick.get(&entries), *len))
            .collect();
        round_trip(&values, u64::MAX);
        round_trip(&values, range_of(&values));
    }

    #[test]
    fn numbers_are_the_same_in_any_form(
        runs in prop::collection::vec((-40i64..40, prop_oneof![3 => 1usize..3, 1 => 1usize..90], 0u8..20), 1..40),
        ends in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
        (shift, factor, first) in (0u32..60, 1i64..9, prop_oneof![Just(0), any::<i64>()]),
        usual in any::<bool>(),
    ) {
        // Short runs, long ones, and nothing but the usual with a few strangers.
        let values: Vec<u64> = runs.iter().flat_map(|&(value, len, stranger)| {
            let value = match stranger {
                0 => value << shift,
                _ if usual => 7,
                _ => value,
            };
            std::iter::repeat_n(first.wrapping_add(value.wrapping_mul(factor)) as u64, len)
        }).collect();
        let bytes = full(&values);
        let (start, end) = (ends.0.index(values.len()), ends.1.index(values.len()) + 1);
        let wanted = start..end.max(start);
        let part = decode_part(&mut Reader::new(&bytes), values.len(), values[0], wanted.clone()).expect("just encoded");
        let words = &values[wanted];
        prop_assert_eq!(part.len(), words.len());
        prop_assert_eq!(&part.to_words(), words);
        let mut sums = vec![5; words.len()];
        part.add_to(&mut sums);
        prop_assert!(sums.iter().zip(words).all(|(sum, word)| *sum == word.wrapping_add(5)));
        let doubles: Vec<f64> = words.iter().map(|&word| word as i64 as f64).collect();
        prop_assert_eq!(&part.doubles(), &doubles);
        let tenths: Vec<f64> = doubles.iter().map(|double| double / 10.0).collect();
        prop_assert_eq!(part.decimals(10.0), tenths);
        for unsigned in [false, true].into_iter().filter(|_| !words.is_empty()) {
            let known = Integers::of(words, unsigned);
            prop_assert_eq!(format!("{:?}", part.statistics(unsigned)), format!("{known:?}"));
        }
        prop_assert_eq!(part.into_words(), words);
    }

    #[test]
    fn any_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..100), count in 0usize..2000) {
        let mut out = Vec::new();
        let _ = decode(&mut Reader::new(&bytes), count, 5, &mut out);
        prop_assert!(out.len() <= count);
    }
}

#[test]
fn a_straight_line_takes_a_few_bytes() {
    let values: Vec<u64> = (0..1024).map(|row| 1_700_000_000 + row * 500).collect();
    let mut out = Vec::new();
    encode(
        &values,
        range_of(&values),
        &mut Habit::default(),
        Effort::Cheap,
        &mut out,
    );
    assert!(out.len() <= 16, "{out:?}");
}

#[test]
fn all_the_same_but_perhaps_the_first() {
    for first in [7, 9] {
        let mut values = vec![7; 1_000];
        values[0] = first;
        let bytes = full(&values);
        assert!(bytes.len() <= 4, "{bytes:?}");
        for wanted in [0..0, 0..1, 1..2, 0..2, 0..1_000, 1..1_000, 300..700] {
            let mut reader = Reader::new(&bytes);
            let part = decode_part(&mut reader, 1_000, first, wanted.clone());
            let part = part.expect("just encoded");
            let mut sums = vec![5; wanted.len()];
            part.add_to(&mut sums);
            assert!(
                sums.iter()
                    .zip(&values[wanted.clone()])
                    .all(|(sum, value)| *sum == value + 5)
            );
            assert_eq!(part.len(), wanted.len());
            assert_eq!(part.into_words(), values[wanted]);
            assert!(reader.rest().is_empty());
        }
    }
}

#[test]
fn only_indexes_look_up_entries() {
    let entries = [10, 11, 12];
    let narrow = |first: u64, factor: u64, offsets: &[u32]| Numbers::Narrow {
        first,
        factor,
        offsets: offsets.to_vec(),
    };
    let below = 0u32.wrapping_sub(1);
    let runs = |numbers| Numbers::Runs(Box::new(numbers), vec![2, 1], 3);
    for (indexes, found) in [
        (narrow(1, 1, &[0, 1, below]), vec![11, 12, 10]),
        (Numbers::Same(2, 2), vec![12, 12]),
        (Numbers::SameBut(2, 3, vec![(1, 0)]), vec![12, 10, 12]),
        (runs(narrow(1, 1, &[0, below])), vec![11, 11, 10]),
        (runs(Numbers::Wide(vec![2, 0])), vec![12, 12, 10]),
    ] {
        let words = indexes.look_up(&entries).map(Numbers::into_words);
        assert_eq!(words, Some(found), "{indexes:?}");
    }
    for no_index in [
        narrow(1, 1, &[2]),
        narrow(0, 1, &[0, below]),
        narrow(0u64.wrapping_sub(1), 1, &[0]),
        narrow((1 << 31) - 1, 1, &[1 << 31]),
        narrow(1 << 32, 1, &[0]),
        narrow(0, 3, &[0, 1]),
        Numbers::Same(3, 1),
        Numbers::Wide(vec![0, 3]),
        Numbers::SameBut(2, 3, vec![(1, 3)]),
        runs(narrow(1, 1, &[0, 2])),
    ] {
        assert!(no_index.look_up(&entries).is_none(), "{no_index:?}");
    }
}

/// Numbers out of `entries`, at random.
fn picked(entries: &[u64], count: usize) -> Vec<u64> {
    let mut state = 42u64;
    let mut pick = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        entries[(state >> 33) as usize % entries.len()]
    };
    (0..count).map(|_| pick()).collect()
}

fn full(values: &[u64]) -> Vec<u8> {
    let mut out = Vec::new();
    let range = range_of(values);
    encode(values, range, &mut Habit::default(), Effort::Full, &mut out);
    out
}

#[test]
#[cfg_attr(miri, ignore = "sizes: of many rows")]
fn a_few_numbers_far_apart_take_the_bits_of_their_indexes() {
    let values = picked(&[0, 100, 4_096, 65_535], 1_024);
    let bytes = full(&values);
    assert_eq!(name(bytes[0]), "dictionary");
    assert!(bytes.len() * 8 * 10 <= 1_024 * 23, "{} bytes", bytes.len());
    // Numbers without a narrow range, too.
    let values = picked(&[3, 1 << 40, 1 << 62, 0u64.wrapping_sub(1 << 61)], 1_024);
    let bytes = full(&values);
    assert_eq!(name(bytes[0]), "dictionary");
    assert!(bytes.len() * 8 * 10 <= 1_024 * 25, "{} bytes", bytes.len());
    // Numbers next to each other have the same bits without.
    assert_ne!(name(full(&picked(&[0, 1, 2, 3], 1_024))[0]), "dictionary");
}

#[test]
fn rows_in_the_middle_of_a_dictionary() {
    for entries in [
        &[0, 100, 4_096, 65_535][..],
        &[3, 1 << 40, 1 << 62, 0u64.wrapping_sub(1 << 61)],
    ] {
        let count = if cfg!(miri) { 200 } else { 1_000 };
        let values = picked(entries, count);
        let bytes = full(&values);
        assert_eq!(name(bytes[0]), "dictionary");
        for wanted in [
            0..0,
            0..1,
            1..2,
            0..count,
            49..51,
            count / 4 - 1..count / 4 + 1,
            count / 3..count / 2,
            count - 1..count,
        ] {
            let mut reader = Reader::new(&bytes);
            let part = decode_part(&mut reader, count, values[0], wanted.clone());
            let part = part.expect("just encoded").into_words();
            assert_eq!(part, values[wanted]);
            assert!(reader.rest().is_empty());
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "damage: every truncation")]
fn a_damaged_dictionary_is_an_error_or_other_numbers() {
    let values = picked(&[0, 100, 4_096, 65_535, 1_000_000], 200);
    let bytes = full(&values);
    assert_eq!(name(bytes[0]), "dictionary");
    for at in 0..bytes.len() {
        for flip in 1..=255 {
            let mut bytes = bytes.clone();
            bytes[at] ^= flip;
            let mut out = Vec::new();
            let read = decode(&mut Reader::new(&bytes), values.len(), values[0], &mut out);
            assert!(read.is_err() || out.len() == values.len());
        }
    }
}

#[test]
fn what_a_dictionary_must_not_hold() {
    const HEAD: u8 = KIND_DICTIONARY << HEAD_KIND_SHIFT | HEAD_NARROW;
    const RUNS: u8 = KIND_RUNS << HEAD_KIND_SHIFT | HEAD_NARROW;
    // From 0 on: 5 and 9 in 4 bits each; 0, 1 and 1 in 2 bits each.
    const ENTRIES: [u8; 4] = [HEAD_NARROW, 0, 4, 5 | 9 << 4];
    const INDEXES: [u8; 4] = [HEAD_NARROW, 0, 2, 0b01_01_00];
    let read = |parts: &[&[u8]]| {
        let mut out = Vec::new();
        decode(&mut Reader::new(&parts.concat()), 4, 70, &mut out).map(|()| out)
    };
    let good = read(&[&[HEAD, 2], &ENTRIES, &INDEXES]);
    assert_eq!(good, Ok(vec![70, 75, 79, 79]));
    let none = read(&[&[HEAD, 0], &INDEXES]);
    let more_than_numbers = read(&[&[HEAD, 4], &ENTRIES, &INDEXES]);
    let no_index = read(&[&[HEAD, 2], &ENTRIES, &[HEAD_NARROW, 0, 2, 0b01_10_00]]);
    let indexes_in_a_dictionary = read(&[&[HEAD, 2], &ENTRIES, &[HEAD, 2], &INDEXES, &INDEXES]);
    let one = [HEAD_NARROW, 0, 0];
    let entries_in_a_dictionary = read(&[&[HEAD, 1], &[HEAD, 1], &one, &one, &INDEXES]);
    let entries_in_runs = read(&[&[HEAD, 1], &[RUNS, 1], &one, &one, &INDEXES]);
    let runs_in_a_dictionary = read(&[&[RUNS, 3], &[HEAD, 2], &ENTRIES, &INDEXES, &one]);
    for (bad, what) in [
        (none, "distinct numbers"),
        (no_index, "index of a number"),
        (indexes_in_a_dictionary, "kind of integers"),
        (entries_in_a_dictionary, "kind of integers"),
        (entries_in_runs, "kind of integers"),
        (runs_in_a_dictionary, "kind of integers"),
    ] {
        assert!(
            matches!(bad, Err(CodecError::Invalid { what: found, .. }) if found == what),
            "{what}: {bad:?}"
        );
    }
    assert!(matches!(
        more_than_numbers,
        Err(CodecError::Limit {
            what: "distinct numbers",
            ..
        })
    ));
}

/// A day that repeats `days` times, with noise of at most `noise`, in all narrower than a lag may be.
fn days(hours: usize, days: usize, noise: u64) -> Vec<u64> {
    let day = picked(&[5_000, 5_140, 4_900, 7_777, 5_511], hours);
    let entries: Vec<u64> = (0..=noise).collect();
    let noise = picked(&entries, hours * days);
    let numbers = day.iter().cycle().zip(noise);
    numbers.map(|(number, noise)| number + noise).collect()
}

#[test]
#[cfg_attr(miri, ignore = "sizes: of many rows")]
fn what_recurs_takes_the_bits_of_what_does_not() {
    let cases = [
        (24, 3, "lagged entropy", 40),
        (48, 0, "lagged", 18),
        (168, 40, "lagged entropy", 81),
    ];
    for (hours, noise, head, bits) in cases {
        let values = days(hours, 1_024 / hours, noise);
        let bytes = full(&values);
        assert_eq!(name(bytes[0]), head, "{hours} hours");
        assert!(
            bytes.len() * 80 <= values.len() * bits,
            "{hours} hours: {} bytes",
            bytes.len()
        );
        let count = values.len();
        for wanted in [0..0, 9..9, 0..1, 1..2, 0..count, 249..251, 300..700] {
            let mut reader = Reader::new(&bytes);
            let part = decode_part(&mut reader, count, values[0], wanted.clone());
            let part = part.expect("just encoded").into_words();
            assert_eq!(part, values[wanted]);
            assert!(reader.rest().is_empty());
        }
        assert_eq!(
            landmarks(&Reader::new(&bytes), count, values[0]),
            Ok(vec![])
        );
        round_trip(&values, range_of(&values));
    }
}

#[test]
#[cfg_attr(miri, ignore = "sizes: of many rows")]
fn noise_does_not_recur() {
    let entries: Vec<u64> = (0..1_000).collect();
    assert_ne!(name(full(&picked(&entries, 1_024))[0]), "lagged entropy");
}

proptest! {
    #[test]
    fn days_with_noise(hours in 2usize..80, count in 2usize..12, noise in 0u64..50, offset in any::<u64>(), factor in 1u64..100) {
        let values: Vec<u64> = days(hours, count, noise)
            .iter()
            .map(|value| (value * factor).wrapping_add(offset))
            .collect();
        round_trip(&values, range_of(&values));
    }

    #[test]
    fn residuals_become_offsets_again(
        offsets in prop::collection::vec(0u64..1 << 28, 2..200),
        at in any::<prop::sample::Index>(),
        damped in any::<bool>(),
    ) {
        let distance = 1 + at.index(offsets.len() - 1);
        let mut bytes = Vec::new();
        put_varint(&mut bytes, (distance as u64) << 1 | u64::from(damped));
        let lag = Lag::read(&mut Reader::new(&bytes), offsets.len()).expect("a distance");
        let mut again = Vec::new();
        lag.put(&mut again);
        prop_assert_eq!(again, bytes);
        let residuals = lag.residuals(&offsets);
        let mut wide = residuals.clone();
        lag.integrate(&mut wide);
        prop_assert_eq!(&wide, &offsets);
        let mut narrow: Vec<u32> = residuals.into_iter().map(u32::cut).collect();
        lag.integrate(&mut narrow);
        prop_assert!(narrow.iter().map(|&offset| u64::from(offset)).eq(offsets));
    }
}

#[test]
fn what_a_lag_must_not_be() {
    const HEAD: u8 = ORDER_LAGGED | HEAD_NARROW;
    const RUNS: u8 = KIND_RUNS << HEAD_KIND_SHIFT | HEAD_NARROW;
    let read = |parts: &[&[u8]]| {
        let mut out = Vec::new();
        decode(&mut Reader::new(&parts.concat()), 4, 70, &mut out).map(|()| out)
    };
    // From 0 on: 5, 6 and 7 in 4 bits each; differences recur after one, so that they are 5, 11 and 18.
    let packed = [0, 4, 5 | 6 << 4, 7];
    assert_eq!(read(&[&[HEAD, 1 << 1], &packed]), Ok(vec![70, 75, 86, 104]));
    // Less half of what was left before: 5, 6 + 2 and 7 + 4, so that the differences are 5, 13 and 24.
    assert_eq!(
        read(&[&[HEAD, 1 << 1 | 1], &packed]),
        Ok(vec![70, 75, 88, 112])
    );
    for distance in [0, 1] {
        assert!(matches!(
            read(&[&[HEAD, distance], &packed]),
            Err(CodecError::Invalid {
                what: "distance",
                ..
            })
        ));
    }
    assert!(matches!(
        read(&[&[HEAD, 4 << 1], &packed]),
        Err(CodecError::Limit {
            what: "distance",
            ..
        })
    ));
    let one = [HEAD_NARROW, 0, 0];
    assert!(matches!(
        read(&[&[RUNS, 1], &[HEAD, 1 << 1], &one, &one]),
        Err(CodecError::Invalid {
            what: "kind of integers",
            ..
        })
    ));
}
