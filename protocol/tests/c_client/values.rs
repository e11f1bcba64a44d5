//! Values of every kind of memory, decimals and doubles: written, read back, and no larger than they have to be.

use std::fmt::Write as _;

use edgetime_protocol::types::FieldType;
use serde_json::Value;

use super::driver::Driver;
use super::{batch_of, list, text};

#[test]
fn doubles_are_written_as_briefly_as_they_read_back() {
    let mut doubles: Vec<f64> = vec![
        0.0,
        -0.0,
        1.0,
        -1.5,
        0.1,
        0.2 + 0.1,
        1e5,
        999_999.0,
        1e6,
        123_456.7,
        1e-4,
        1.5e-4,
        9.5e-5,
        5e-324,
        1e-323,
        2.225_073_858_507_201_4e-308,
        2.225_073_858_507_201e-308,
        f64::MAX,
        f64::MIN_POSITIVE,
        9_007_199_254_740_993.0,
        4.5e15,
        1e21,
        1e22,
        1e23,
        8.5e-320,
        7.038_531e-26,
    ];
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    for round in 0..3_000 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        doubles.push(match round % 3 {
            0 => f64::from_bits(random),
            1 => f64::from_bits(1 << (random % 63)),
            _ => (random % 1_000_000) as f64 / 1_000.0,
        });
    }
    doubles.retain(|double| double.is_finite());
    let digits = |text: &str| {
        let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
        let kept = mantissa.replace(['.', '-'], "");
        kept.trim_matches('0').len()
    };
    for mut driver in Driver::all() {
        for &double in &doubles {
            let line = driver.written(&format!("line 6d 0 1 d 76 {:016x}", double.to_bits()));
            let line = String::from_utf8(line.expect("finite")).expect("text");
            let written = line.trim_end().strip_prefix("m v=").expect("a line");
            let read: f64 = written.parse().expect("a number");
            assert_eq!(read.to_bits(), double.to_bits(), "{written}");
            assert_eq!(
                digits(written),
                digits(&format!("{double:e}")),
                "{written} {double:e}"
            );
            // And as a float, from as many digits as that needs.
            let float = double as f32;
            if float.is_finite() {
                let widened = f64::from(float).to_bits();
                let line = driver.written(&format!("line 6d 0 1 f 76 {widened:016x}"));
                let line = String::from_utf8(line.expect("finite")).expect("text");
                let written = line.trim_end().strip_prefix("m v=").expect("a line");
                let read: f32 = written.parse().expect("a number");
                assert_eq!(read.to_bits(), float.to_bits(), "{written}");
                assert_eq!(digits(written), digits(&format!("{float:e}")), "{written}");
            }
        }
        for double in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let command = format!("line 6d 0 1 d 76 {:016x}", double.to_bits());
            assert_eq!(driver.ask(&command), "error -4");
        }
        for (mantissa, scale, expected) in [
            (215, 1, "21.5"),
            (-5, 3, "-0.005"),
            (0, 0, "0"),
            (7, 0, "7"),
            (i64::MIN, 18, "-9.223372036854775808"),
        ] {
            let line = driver.written(&format!("line 6d 0 1 m 76 {mantissa} {scale}"));
            assert_eq!(
                line.expect("a line"),
                format!("m v={expected}\n").into_bytes()
            );
        }
        assert_eq!(driver.ask("line 6d 0 1 m 76 1 19"), "error -7");
        driver.end();
    }
}

#[test]
fn columns_of_every_kind_of_memory_come_back() {
    let numbers = |rows: i64, of: &dyn Fn(i64) -> i64| (0..rows).map(of).collect::<Vec<_>>();
    for mut driver in Driver::all() {
        let widest = i128::from(u64::MAX);
        let kinds: [(u32, FieldType, i128, i128); 8] = [
            (
                0,
                FieldType::Integer,
                i128::from(i8::MIN),
                i128::from(i8::MAX),
            ),
            (
                1,
                FieldType::Integer,
                i128::from(i16::MIN),
                i128::from(i16::MAX),
            ),
            (
                2,
                FieldType::Integer,
                i128::from(i32::MIN),
                i128::from(i32::MAX),
            ),
            (
                3,
                FieldType::Integer,
                i128::from(i64::MIN),
                i128::from(i64::MAX),
            ),
            (4, FieldType::Unsigned, 0, i128::from(u8::MAX)),
            (5, FieldType::Unsigned, 0, i128::from(u16::MAX)),
            (6, FieldType::Unsigned, 0, i128::from(u32::MAX)),
            (7, FieldType::Unsigned, 0, widest),
        ];
        for (kind, field_type, least, most) in kinds {
            for rows in [1, 2, 127, 128, 129, 300] {
                let series = numbers(rows, &|row| row % 7);
                let times = numbers(rows, &|row| {
                    1_700_000_000_000_000_000 + row * 10_000_000_000
                });
                // Ends of the range, then a slope, then the same again and again.
                let value = |row: i64| match row % 3 {
                    _ if row > 200 => least,
                    0 => least + i128::from(row),
                    1 => most - i128::from(row),
                    _ => least / 2 + i128::from(row % 50),
                };
                let mut command = format!("write 9 2 0 0 1 5 {rows} 1");
                let mut put = |word: String| write!(command, " {word}").expect("memory");
                for one in &series {
                    put(one.to_string());
                }
                put("t".to_owned());
                for one in &times {
                    put(one.to_string());
                }
                put(format!("{} n {kind}", field_type.number()));
                (0..rows).for_each(|row| put(value(row).to_string()));
                let (batch, _) = batch_of(&mut driver, &command);
                let section = &batch["sections"][0];
                assert_eq!(section["series"], Value::from(series));
                assert_eq!(section["times"], Value::from(times));
                let expected: Vec<Value> = (0..rows)
                    .map(|row| serde_json::from_str(&value(row).to_string()).expect("a number"))
                    .collect();
                assert_eq!(
                    section["columns"][0]["values"],
                    Value::from(expected),
                    "{kind} {rows}"
                );
            }
        }
        driver.end();
    }
}

#[test]
fn decimals_take_their_digits_and_no_more() {
    for mut driver in Driver::all() {
        let rows = 256;
        let head = |rows: usize| format!("write 1 1 0 0 1 0 {rows} 1{} n", " 0".repeat(rows));
        let values: Vec<f64> = (0..rows)
            .map(|row| 20.0 + f64::from(row % 64) / 100.0)
            .collect();
        let words = bits_of(values.iter().copied());
        let (batch, doubles) =
            batch_of(&mut driver, &format!("{} 1 n 9{words}", head(values.len())));
        let expected: Vec<Value> = values
            .iter()
            .map(|v| format!("{:016x}", v.to_bits()).into())
            .collect();
        assert_eq!(
            batch["sections"][0]["columns"][0]["values"],
            Value::from(expected.clone())
        );
        assert!(doubles < 256 * 6 / 8 + 64, "{doubles} bytes");
        // The same as mantissas, without a double in sight.
        let mut mantissas = String::new();
        for row in 0..rows {
            write!(mantissas, " {}", 2000 + row % 64).expect("memory");
        }
        let (batch, _) = batch_of(
            &mut driver,
            &format!("{} 1 n x 2 1{mantissas}", head(values.len())),
        );
        assert_eq!(
            batch["sections"][0]["columns"][0]["values"],
            Value::from(expected)
        );
        // Floats of 32 bits, as the decimals that they are meant to be.
        let words = bits_of(values.iter().map(|v| f64::from(*v as f32)));
        let (batch, floats) =
            batch_of(&mut driver, &format!("{} 1 n 8{words}", head(values.len())));
        for (read, value) in list(&batch["sections"][0]["columns"][0]["values"])
            .iter()
            .zip(&values)
        {
            let read = f64::from_bits(u64::from_str_radix(text(read), 16).expect("bits"));
            assert_eq!((read as f32).to_bits(), (*value as f32).to_bits());
        }
        assert!(floats < 256 * 6 / 8 + 64, "{floats} bytes");
        // What is no decimal is as it is.
        let odd = [f64::NAN, f64::INFINITY, -0.0, 1e300, 0.1 + 0.2, 5e-324];
        let words = bits_of(odd.into_iter());
        let (batch, _) = batch_of(&mut driver, &format!("{} 1 n 9{words}", head(odd.len())));
        let expected: Vec<Value> = odd
            .iter()
            .map(|v| format!("{:016x}", v.to_bits()).into())
            .collect();
        assert_eq!(
            batch["sections"][0]["columns"][0]["values"],
            Value::from(expected)
        );
        // Beyond what a mantissa may be, and beyond what a batch may be.
        assert_eq!(
            driver.ask(&format!("{} 1 n x 2 3 9007199254740993", head(1))),
            "error -7"
        );
        assert_eq!(driver.ask(&format!("{} 1 n x 23 3 9", head(1))), "error -7");
        driver.end();
    }
}

/// Doubles as words for the driver: their bits.
fn bits_of(doubles: impl Iterator<Item = f64>) -> String {
    let mut words = String::new();
    for double in doubles {
        write!(words, " {:016x}", double.to_bits()).expect("memory");
    }
    words
}
