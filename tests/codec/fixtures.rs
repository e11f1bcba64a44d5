//! Chunks of each version in `src/codec/fixtures`, beside what is in them.
//!
//! `EDGETIME_FIXTURES=write` makes those of the current version anew instead of comparing them.

use std::fs;
use std::path::{Path, PathBuf};

use edgetime_protocol::cell::{self, MARK_NULL, MARK_RAW};
use edgetimedb::codec::chunk::{self, Chunk, Codec, Hints, VERSION};
use edgetimedb::codec::vector::{ColumnVector, Values};
use edgetimedb::codec::{CellColumn, Cells, Effort};
use edgetimedb::types::{ColumnId, FieldType, Position};

const EFFORTS: [(&str, Effort); 2] = [("cheap", Effort::Cheap), ("full", Effort::Full)];
/// As the versions were written once, and how that is called.
const EARLIER: [(u8, &str); 1] = [(1, "cheap-1")];
const POSITIONS: (Position, Position) = (Position(4_096), Position(70_000));

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/codec/fixtures")
}

fn chunk_path(version: u8, name: &str, effort: &str) -> PathBuf {
    folder().join(format!("v{version}/{name}.{effort}.chunk"))
}

/// A table of values: a header `time_ns,ID:TYPE,...`, then a line a row.
struct Table {
    name: String,
    cells: Cells,
    /// As they are written, a row each.
    texts: Vec<Vec<String>>,
}

impl Table {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).expect("readable");
        let mut lines = text.lines();
        let header = lines.next().expect("a header").split(',').skip(1);
        let mut cells = Cells::new();
        for column in header {
            let (id, name) = column.split_once(':').expect("ID:TYPE");
            let mut known = FieldType::ALL.into_iter();
            let field_type = known
                .find(|field_type| field_type.to_string() == name)
                .unwrap_or_else(|| panic!("{name} is a type"));
            let id = ColumnId(id.parse().expect("an id"));
            cells.columns.push(CellColumn::nulls(id, field_type, 0));
        }
        let mut texts = Vec::new();
        for line in lines {
            let (time, values) = line.split_once(',').expect("values");
            cells.times.push(time.parse().expect("a time"));
            let values: Vec<String> = values.split(',').map(str::to_owned).collect();
            assert_eq!(values.len(), cells.columns.len(), "{line}");
            for (column, text) in cells.columns.iter_mut().zip(&values) {
                let (bits, mark) = cell_of(text, column);
                column.push(bits, mark);
            }
            texts.push(values);
        }
        Self {
            name: path.file_stem().expect("a name").to_string_lossy().into(),
            cells,
            texts,
        }
    }

    /// Panics where a chunk holds anything else.
    fn compare(&self, bytes: &[u8], place: &str) {
        let chunk = Chunk::open(bytes).unwrap_or_else(|error| panic!("{place}: {error}"));
        assert_eq!(chunk.first_position(), POSITIONS.0, "{place}");
        assert_eq!(chunk.last_position(), POSITIONS.1, "{place}");
        let mut times = Vec::new();
        chunk.decode_times(&mut times).expect("decodes");
        assert_eq!(times, self.cells.times, "{place}");
        let mut cells = Cells::new();
        chunk.decode_cells(&mut cells).expect("decodes");
        assert_eq!(cells.times, self.cells.times, "{place}");
        for (at, own) in self.cells.columns.iter().enumerate() {
            let same = cells.columns.iter().find(|column| column.id == own.id);
            let column = same.unwrap_or_else(|| panic!("{place}: no column {:?}", own.id));
            let vector = chunk.decode_column(own.id).expect("decodes");
            let vector = vector.expect("is there");
            for (row, texts) in self.texts.iter().enumerate() {
                let place = format!("{place}: column {}, row {row}", own.id.0);
                assert_eq!(text_of_cell(column, row, &texts[at]), texts[at], "{place}");
                assert_eq!(
                    text_of_value(&vector, row, &texts[at]),
                    texts[at],
                    "{place}"
                );
            }
        }
    }
}

/// Floats as decimals or `0x` and their bits, strings and binary values as `x` and their bytes.
fn cell_of(text: &str, column: &mut CellColumn) -> (u64, u8) {
    if text.is_empty() {
        return (0, MARK_NULL);
    }
    match column.field_type {
        FieldType::Float => {
            if let Some(bits) = text.strip_prefix("0x") {
                return (u64::from_str_radix(bits, 16).expect("bits"), MARK_RAW);
            }
            let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
            let mantissa: i64 = format!("{whole}{fraction}").parse().expect("a decimal");
            (mantissa as u64, fraction.len() as u8)
        }
        FieldType::Integer => (text.parse::<i64>().expect("an integer") as u64, 0),
        FieldType::Unsigned => (text.parse().expect("an integer"), 0),
        FieldType::Boolean => (u64::from(text == "true"), 0),
        FieldType::String | FieldType::Binary => {
            let hex = text.strip_prefix('x').expect("x and bytes");
            let bytes: Vec<u8> = (0..hex.len() / 2)
                .map(|at| u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).expect("a byte"))
                .collect();
            (column.intern(&bytes), 0)
        }
    }
}

/// A double in the notation of `like`, which it is equal to or not: bit for bit either way.
fn text_of_double(value: f64, like: &str) -> String {
    let same = like.parse::<f64>().map(f64::to_bits) == Ok(value.to_bits());
    if same && !like.starts_with("0x") {
        return like.to_owned();
    }
    format!("0x{:016x}", value.to_bits())
}

fn text_of_bytes(bytes: &[u8]) -> String {
    let hex = bytes.iter().map(|byte| format!("{byte:02x}"));
    format!("x{}", hex.collect::<String>())
}

fn text_of_cell(column: &CellColumn, row: usize, like: &str) -> String {
    let (bits, mark) = (column.bits[row], column.marks[row]);
    match column.field_type {
        _ if mark == MARK_NULL => String::new(),
        FieldType::Float => text_of_double(cell::float(bits, mark), like),
        FieldType::Integer => (bits as i64).to_string(),
        FieldType::Unsigned => bits.to_string(),
        FieldType::Boolean => (bits == 1).to_string(),
        FieldType::String | FieldType::Binary => text_of_bytes(column.bytes(row)),
    }
}

fn text_of_value(vector: &ColumnVector, row: usize, like: &str) -> String {
    if !vector.validity.is_valid(row) {
        return String::new();
    }
    match &vector.values {
        Values::Float(values) => text_of_double(values[row], like),
        Values::Integer(values) => values[row].to_string(),
        Values::Unsigned(values) => values[row].to_string(),
        Values::Boolean(values) => values[row].to_string(),
        Values::String(values) | Values::Binary(values) => text_of_bytes(values.get(row)),
    }
}

fn tables() -> Vec<Table> {
    let entries = fs::read_dir(folder()).expect("fixtures");
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "csv"));
    paths.sort();
    assert!(!paths.is_empty());
    paths.iter().map(|path| Table::read(path)).collect()
}

/// What is written today of a table, and where it is kept.
fn current(tables: &[Table]) -> Vec<(PathBuf, Vec<u8>)> {
    let mut made = Vec::new();
    for table in tables {
        for (name, effort) in EFFORTS {
            let bytes = chunk::encode(&table.cells, POSITIONS, &mut Hints::default(), effort);
            made.push((chunk_path(VERSION, &table.name, name), bytes));
        }
    }
    made
}

#[test]
fn chunks_of_every_version_hold_what_was_put_into_them() {
    let tables = tables();
    let current = current(&tables);
    if std::env::var_os("EDGETIME_FIXTURES").is_some_and(|value| value == "write") {
        for (path, bytes) in &current {
            fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
            fs::write(path, bytes).expect("writable");
        }
    }
    for version in 1..=VERSION {
        let mut codecs = Vec::new();
        let mut types = Vec::new();
        let mut packings = Vec::new();
        let earlier = EARLIER.iter().filter(|(found, _)| *found == version);
        let efforts = EFFORTS.iter().map(|(effort, _)| *effort);
        let efforts: Vec<&str> = efforts.chain(earlier.map(|(_, effort)| *effort)).collect();
        for table in &tables {
            for effort in &efforts {
                let path = chunk_path(version, &table.name, effort);
                let place = path.display().to_string();
                let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{place}: {error}"));
                assert_eq!(bytes[0], version, "{place}");
                table.compare(&bytes, &place);
                let chunk = Chunk::open(&bytes[..]).expect("just read");
                codecs.extend(chunk.columns().map(|column| column.codec));
                packings.extend(chunk.columns().map(|column| column.packing));
                types.extend(chunk.columns().map(|column| column.field_type));
            }
        }
        let missing = |codec: &Codec| !codecs.contains(codec);
        let missing: Vec<Codec> = Codec::ALL.into_iter().filter(missing).collect();
        assert!(
            version < VERSION || missing.is_empty(),
            "no fixture of {missing:?}"
        );
        for packing in ["dictionary", "lagged entropy"] {
            assert!(packings.contains(&packing), "no fixture of {packing}");
        }
        assert!(
            FieldType::ALL
                .iter()
                .all(|field_type| types.contains(field_type))
        );
    }
    for sealed in current.chunks(EFFORTS.len()) {
        let [cheap, full] = [0, 1].map(|effort| sealed[effort].1.len());
        let place = sealed[1].0.display();
        assert!(full <= cheap, "{place}: {full} bytes, more than {cheap}");
    }
    for (path, bytes) in &current {
        assert!(
            &fs::read(path).expect("just read") == bytes,
            "{}: version {VERSION} is written with other bytes now; see README.md beside it",
            path.display()
        );
    }
}
