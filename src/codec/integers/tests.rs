//! Sequences of integers: round trips, damage.

use proptest::prelude::*;

use super::*;

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
        for end in 0..bytes.len() {
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
