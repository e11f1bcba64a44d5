//! Strings and binary values: each distinct one once, and these as they are or as one block of LZ4.

use edgetime_protocol::cell;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use rustc_hash::FxBuildHasher;

use super::bytes::{Reader, put_varint};
use super::cells::heap_bytes;
use super::error::CodecError;
use super::integers::{self, Effort, Habit};
use crate::limits::{CHUNK_ROWS, VALUE_BYTES};

/// How the bytes of the distinct strings stand in the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// One string behind another.
    Plain,
    /// The same, as one block of LZ4 behind its length.
    Compressed,
}

/// Strings before they are expanded to rows.
#[derive(Debug, Default)]
pub(crate) struct Strings {
    /// All distinct strings, or those of all rows.
    pub(crate) heap: Vec<u8>,
    /// A reference into the heap for each row, as cells have them.
    pub(crate) cells: Vec<u64>,
}

/// Appends the strings that the cells refer to: how many are stored, their lengths, their bytes, and the
/// index of each row where not all rows have a string of their own. Full effort takes LZ4 where that is
/// smaller.
pub(crate) fn encode(cells: &[u64], heap: &[u8], effort: Effort, out: &mut Vec<u8>) -> Form {
    let mut seen: HashMap<&[u8], u64, FxBuildHasher> = HashMap::default();
    let mut distinct: Vec<&[u8]> = Vec::new();
    let mut indexes = Vec::with_capacity(cells.len());
    for &cell in cells {
        let bytes = heap_bytes(heap, cell);
        let next = distinct.len() as u64;
        indexes.push(match seen.entry(bytes) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => {
                distinct.push(bytes);
                *entry.insert(next)
            }
        });
    }
    put_varint(out, distinct.len() as u64);
    let lens: Vec<u64> = distinct.iter().map(|bytes| bytes.len() as u64).collect();
    if let Some(&first) = lens.first() {
        put_varint(out, first);
        let longest = lens.iter().copied().max().unwrap_or(0);
        integers::encode(&lens, longest, &mut Habit::default(), effort, out);
    }
    let form = put_bytes(&distinct, effort, out);
    if distinct.len() < cells.len() {
        let range = distinct.len() as u64 - 1;
        integers::encode(&indexes, range, &mut Habit::default(), effort, out);
    }
    form
}

/// Appends the bytes of the strings in the smaller form.
fn put_bytes(strings: &[&[u8]], effort: Effort, out: &mut Vec<u8>) -> Form {
    let start = out.len();
    for bytes in strings {
        out.extend_from_slice(bytes);
    }
    let plain = out.len() - start;
    if effort == Effort::Cheap || !(COMPRESSED_BYTES_MIN..=COMPRESSED_BYTES_MAX).contains(&plain) {
        return Form::Plain;
    }
    let block = lz4_flex::block::compress(&out[start..]);
    // Slower to read, so it has to be worth it.
    if block.len() + LENGTH_BYTES >= plain - plain / 32 {
        return Form::Plain;
    }
    out.truncate(start);
    put_varint(out, block.len() as u64);
    out.extend_from_slice(&block);
    Form::Compressed
}

/// Reads the strings of `count` rows.
pub(crate) fn decode(
    reader: &mut Reader<'_>,
    count: usize,
    form: Form,
) -> Result<Strings, CodecError> {
    let mut strings = Strings::default();
    let distinct = reader.bounded("entries of a dictionary", count)?;
    if distinct == 0 {
        return if count == 0 {
            Ok(strings)
        } else {
            Err(reader.invalid("entries of a dictionary"))
        };
    }
    let first = reader.varint()?;
    let mut lens = Vec::new();
    integers::decode(reader, distinct, first, &mut lens)?;
    let mut total = 0u64;
    let mut entries = Vec::with_capacity(distinct);
    for len in lens {
        if len > VALUE_BYTES as u64 {
            return Err(reader.invalid("length of a string"));
        }
        entries.push(cell::heap(total as u32, len as u32));
        total += len;
    }
    if total > u64::from(u32::MAX) {
        return Err(reader.invalid("length of all strings"));
    }
    strings.heap = match form {
        Form::Plain => reader.take(total as usize)?.to_vec(),
        Form::Compressed => read_block(reader, total as usize)?,
    };
    if distinct == count {
        strings.cells = entries;
        return Ok(strings);
    }
    integers::decode(reader, count, 0, &mut strings.cells)?;
    for cell in &mut strings.cells {
        *cell = *usize::try_from(*cell)
            .ok()
            .and_then(|index| entries.get(index))
            .ok_or_else(|| reader.invalid("entry of a dictionary"))?;
    }
    Ok(strings)
}

/// Expands a block to exactly `total` bytes, and reserves no more than a block of its length can hold.
fn read_block(reader: &mut Reader<'_>, total: usize) -> Result<Vec<u8>, CodecError> {
    let len = reader.bounded("length of compressed strings", reader.rest().len())?;
    let block = reader.take(len)?;
    if total > COMPRESSED_BYTES_MAX || total / EXPANSION_MAX > len {
        return Err(CodecError::Limit {
            what: "length of all strings",
            offset: reader.offset(),
            found: total as u64,
        });
    }
    let mut heap = vec![0; total];
    match lz4_flex::block::decompress_into(block, &mut heap) {
        Ok(written) if written == total => Ok(heap),
        _ => Err(reader.invalid("compressed strings")),
    }
}

/// Fewer bytes than this hardly repeat anything.
const COMPRESSED_BYTES_MIN: usize = 64;

/// Most bytes of strings that are compressed: what a chunk's worth of the longest values takes.
const COMPRESSED_BYTES_MAX: usize = CHUNK_ROWS * VALUE_BYTES;

/// A byte of LZ4 says at most this many bytes of what it expands to.
const EXPANSION_MAX: usize = 255;

/// Reckoned for the length of a block.
const LENGTH_BYTES: usize = 3;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EFFORTS: [Effort; 2] = [Effort::Cheap, Effort::Full];

    /// Cells and the heap that they refer to.
    fn cells<T: AsRef<[u8]>>(values: &[T]) -> (Vec<u64>, Vec<u8>) {
        let mut heap = Vec::new();
        let cells = values.iter().map(|value| {
            let bytes = value.as_ref();
            let cell = cell::heap(heap.len() as u32, bytes.len() as u32);
            heap.extend_from_slice(bytes);
            cell
        });
        (cells.collect(), heap)
    }

    fn encoded<T: AsRef<[u8]>>(values: &[T], effort: Effort) -> (Vec<u8>, Form) {
        let (cells, heap) = cells(values);
        let mut out = Vec::new();
        let form = encode(&cells, &heap, effort, &mut out);
        (out, form)
    }

    /// Encodes, decodes, compares; the number of bytes and the form.
    fn round_trip<T: AsRef<[u8]>>(values: &[T], effort: Effort) -> (usize, Form) {
        let (bytes, form) = encoded(values, effort);
        let mut reader = Reader::new(&bytes);
        let strings = decode(&mut reader, values.len(), form).expect("just encoded");
        assert!(reader.rest().is_empty());
        assert_eq!(strings.cells.len(), values.len());
        for (value, &cell) in values.iter().zip(&strings.cells) {
            assert_eq!(heap_bytes(&strings.heap, cell), value.as_ref());
        }
        (bytes.len(), form)
    }

    /// Decodes damaged bytes: whatever comes out, it is bounded by what went in.
    fn survive(bytes: &[u8], count: usize) {
        for form in [Form::Plain, Form::Compressed] {
            if let Ok(strings) = decode(&mut Reader::new(bytes), count, form) {
                assert_eq!(strings.cells.len(), count);
                assert!(strings.heap.len() <= bytes.len() * (EXPANSION_MAX + 1));
            }
        }
    }

    /// Lines as programs log them.
    fn log_lines(count: usize) -> Vec<String> {
        let line = |row: usize| {
            let (code, worker) = (row * 7919 % 613, row % 4);
            let level = ["INFO", "WARN", "DEBUG"][row * 31 % 3];
            format!("{level} [worker-{worker}] valve {code} opened, pressure {row} mbar")
        };
        (0..count).map(line).collect()
    }

    fn some_bytes(len: usize) -> Vec<u8> {
        let mut state = 42u64;
        let mut byte = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 56) as u8
        };
        (0..len).map(|_| byte()).collect()
    }

    fn values() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let word = prop::sample::select(vec![
            "",
            "a",
            "pump ",
            "{\"on\":true}",
            "\0\u{ff}",
            "alarm 17 ",
        ]);
        let text = prop::collection::vec(word, 0..12).prop_map(|words| words.concat().into_bytes());
        let blob = prop::collection::vec(any::<u8>(), 0..40);
        let count = if cfg!(miri) { 20 } else { 200 };
        prop_oneof![
            prop::collection::vec(text.clone(), 1..count),
            prop::collection::vec(blob.clone(), 1..count),
            prop::collection::vec(prop_oneof![text, blob], 1..count),
        ]
    }

    fn config() -> ProptestConfig {
        crate::codec::test_rows::config()
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn strings_come_back(values in values()) {
            for effort in EFFORTS {
                round_trip(&values, effort);
            }
        }

        #[test]
        #[cfg_attr(miri, ignore = "damage: every truncation")]
        fn damage_is_harmless(values in values(), at in any::<prop::sample::Index>(), flip in 1u8..) {
            for effort in EFFORTS {
                let (mut bytes, form) = encoded(&values, effort);
                for end in 0..bytes.len() {
                    prop_assert!(decode(&mut Reader::new(&bytes[..end]), values.len(), form).is_err());
                }
                let at = at.index(bytes.len());
                bytes[at] ^= flip;
                survive(&bytes, values.len());
            }
        }

        #[test]
        fn any_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..300), count in 0usize..2_000) {
            survive(&bytes, count);
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "sizes: of long strings")]
    fn the_borders_of_lengths_come_back() {
        let shapes: [Vec<Vec<u8>>; 7] = [
            vec![Vec::new()],
            vec![Vec::new(); 1_000],
            vec![b"same".to_vec(); 1_000],
            vec![some_bytes(VALUE_BYTES)],
            vec![vec![b'x'; VALUE_BYTES]; 3],
            vec![
                Vec::new(),
                vec![7; VALUE_BYTES],
                b"a".to_vec(),
                some_bytes(VALUE_BYTES),
            ],
            (0..100u8).map(|row| vec![row; usize::from(row)]).collect(),
        ];
        for values in &shapes {
            for effort in EFFORTS {
                round_trip(values, effort);
            }
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "sizes: of many rows")]
    fn the_smaller_form_is_taken() {
        let rows = 1_024;
        let lines = log_lines(rows);
        let (dictionary, plain) = round_trip(&lines, Effort::Cheap);
        let (both, compressed) = round_trip(&lines, Effort::Full);
        assert_eq!((plain, compressed), (Form::Plain, Form::Compressed));
        assert!(both * 2 < dictionary, "{both} of {dictionary} bytes");
        // Few distinct ones need nothing more, and noise gains nothing.
        let states: Vec<&str> = (0..rows).map(|row| ["run", "idle"][row / 9 % 2]).collect();
        let (bytes, form) = round_trip(&states, Effort::Full);
        assert!(form == Form::Plain && bytes < rows / 2, "{bytes} bytes");
        let noise: Vec<Vec<u8>> = some_bytes(64 * rows)
            .chunks(64)
            .map(<[u8]>::to_vec)
            .collect();
        let (bytes, form) = round_trip(&noise, Effort::Full);
        assert!(
            form == Form::Plain && bytes < 64 * rows + 16,
            "{bytes} bytes"
        );
    }

    #[test]
    fn a_declared_length_is_kept_to() {
        let line = vec![b'a'; 10_000];
        let mut block = lz4_flex::block::compress(&line);
        let body = |len: usize, block: &[u8]| {
            let mut out = Vec::new();
            put_varint(&mut out, 1);
            put_varint(&mut out, len as u64);
            put_varint(&mut out, block.len() as u64);
            out.extend_from_slice(block);
            decode(&mut Reader::new(&out), 1, Form::Compressed).map(|strings| strings.heap)
        };
        assert_eq!(body(10_000, &block), Ok(line));
        for len in [0, 1, 9_999, 10_001] {
            assert!(body(len, &block).is_err(), "{len} declared");
        }
        // More than a block of this length can hold is refused before it is reserved.
        assert!(matches!(
            body(VALUE_BYTES, &block[..20]),
            Err(CodecError::Limit { .. })
        ));
        assert!(body(VALUE_BYTES + 1, &block).is_err());
        block.push(0);
        assert!(body(10_000, &block).is_err());
    }
}
