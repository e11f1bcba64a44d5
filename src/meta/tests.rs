//! The rules of the index, the same for every implementation.

use super::*;
use crate::types::{ColumnId, FieldRule, FieldType, SchemaMode};

fn batch() -> Batch {
    let measurement = |id, database, name: &str| MeasurementRecord {
        id: MeasurementId(id),
        database: DatabaseId(database),
        name: name.to_owned(),
        mode: SchemaMode::Additive,
    };
    Batch {
        databases: vec![database(1, "default"), database(2, "_system")],
        measurements: vec![
            measurement(1, 1, "temp"),
            measurement(2, 1, "cpu"),
            measurement(3, 2, "cpu"),
        ],
        columns: vec![
            column(1, 0, FieldType::Float),
            column(1, 1, FieldType::String),
        ],
        series: (0..10)
            .map(|id| series(id, 1))
            .chain([series(10, 2)])
            .collect(),
        fields: vec![field(1, "temp"), field(1, "humidity"), field(2, "load")],
        ..Batch::default()
    }
}

fn database(id: u32, name: &str) -> DatabaseRecord {
    DatabaseRecord {
        id: DatabaseId(id),
        name: name.to_owned(),
    }
}

fn column(measurement: u32, id: u16, field_type: FieldType) -> ColumnRecord {
    ColumnRecord {
        measurement: MeasurementId(measurement),
        id: ColumnId(id),
        field: "value".to_owned(),
        field_type,
    }
}

fn field(measurement: u32, name: &str) -> FieldRecord {
    let rule = FieldRule {
        field_type: Some(FieldType::Float),
        unit: Some("°C".into()),
        min: Some(-0.5),
        ..FieldRule::default()
    };
    FieldRecord {
        measurement: MeasurementId(measurement),
        name: name.to_owned(),
        rule,
    }
}

fn series(id: u32, measurement: u32) -> SeriesRecord {
    SeriesRecord {
        id: SeriesId(id),
        database: DatabaseId(1),
        measurement: MeasurementId(measurement),
        tags: format!("host=h{id},room=küche"),
    }
}

fn ids(meta: &dyn MetaStore, measurement: u32) -> Vec<u32> {
    let found = meta.series(MeasurementId(measurement), None, usize::MAX);
    found
        .expect("lists")
        .iter()
        .map(|series| series.id.0)
        .collect()
}

/// Runs a test on each implementation.
fn each(test: impl Fn(&dyn MetaStore)) {
    test(&MemoryMeta::default());
    let folder = tempfile::tempdir().expect("a folder");
    let options = SqliteOptions::in_folder(folder.path());
    let clock = std::sync::Arc::new(crate::clock::SystemClock::new());
    let (meta, opened) = SqliteMeta::open(options, clock).expect("opens");
    assert_eq!(opened, MetaOpened::default());
    test(&meta);
}

#[test]
fn what_is_applied_is_listed() {
    each(|meta| {
        assert_eq!(meta.applied().expect("reads"), None);
        meta.apply(&batch(), Position(u64::MAX)).expect("applies");
        meta.apply(&batch(), Position(u64::MAX - 1))
            .expect("applies again");
        assert_eq!(meta.applied().expect("reads"), Some(Position(u64::MAX - 1)));
        assert_eq!(meta.databases().expect("lists"), batch().databases);
        let names = meta.measurements(DatabaseId(1)).expect("lists");
        let names: Vec<_> = names
            .into_iter()
            .map(|measurement| (measurement.name, measurement.mode))
            .collect();
        let additive = |name: &str| (name.to_owned(), SchemaMode::Additive);
        assert_eq!(names, [additive("cpu"), additive("temp")]);
        assert_eq!(
            meta.columns(MeasurementId(1)).expect("lists"),
            batch().columns
        );
        let counts = Counts {
            databases: 2,
            measurements: 3,
            columns: 2,
            series: 11,
            fields: 3,
        };
        assert_eq!(meta.counts().expect("counts"), counts);
        let page = meta
            .series(MeasurementId(1), Some(SeriesId(3)), 4)
            .expect("lists");
        assert_eq!(page, batch().series[4..8]);
        assert_eq!(ids(meta, 2), [10]);
        meta.clear().expect("clears");
        assert_eq!(meta.applied().expect("reads"), None);
        assert_eq!(meta.databases().expect("lists"), []);
        assert_eq!(ids(meta, 1), Vec::<u32>::new());
        meta.apply(&batch(), Position(2)).expect("applies");
        meta.rebuild().expect("begins anew");
        assert_eq!(meta.counts().expect("counts"), Counts::default());
        assert_eq!(meta.applied().expect("reads"), None);
    });
}

#[test]
fn changes_replace_and_removals_cascade() {
    each(|meta| {
        meta.apply(&batch(), Position(1)).expect("applies");
        let declared = |meta: &dyn MetaStore| meta.fields(MeasurementId(1)).expect("lists");
        assert_eq!(declared(meta), [field(1, "humidity"), field(1, "temp")]);
        let other = column(1, 0, FieldType::Integer);
        let open = FieldRecord {
            rule: FieldRule::default(),
            ..field(1, "temp")
        };
        let change = Batch {
            columns: vec![other.clone()],
            fields: vec![open.clone()],
            removed_fields: vec![
                (MeasurementId(1), "humidity".to_owned()),
                (MeasurementId(2), "temp".to_owned()),
            ],
            series: vec![series(10, 1)],
            removed_series: vec![SeriesId(0), SeriesId(4_000_000_000)],
            ..Batch::default()
        };
        meta.apply(&change, Position(2)).expect("applies");
        assert_eq!(meta.columns(MeasurementId(1)).expect("lists")[0], other);
        assert_eq!(declared(meta), [open]);
        assert_eq!(ids(meta, 1), (1..=10).collect::<Vec<_>>());
        assert_eq!(ids(meta, 2), Vec::<u32>::new());
        let drop = Batch {
            removed_measurements: vec![MeasurementId(1)],
            ..Batch::default()
        };
        meta.apply(&drop, Position(3)).expect("applies");
        assert_eq!(ids(meta, 1), Vec::<u32>::new());
        assert_eq!(meta.columns(MeasurementId(1)).expect("lists"), []);
        assert_eq!(
            (declared(meta), meta.counts().expect("counts").fields),
            (vec![], 1)
        );
        let drop = Batch {
            removed_databases: vec![DatabaseId(2)],
            ..Batch::default()
        };
        meta.apply(&drop, Position(4)).expect("applies");
        assert_eq!(meta.measurements(DatabaseId(2)).expect("lists"), []);
    });
}

#[test]
fn a_name_made_again_under_a_new_id_takes_the_place_of_the_old() {
    each(|meta| {
        meta.apply(&batch(), Position(1)).expect("applies");
        let again = Batch {
            databases: vec![database(9, "_system")],
            measurements: vec![MeasurementRecord {
                id: MeasurementId(8),
                database: DatabaseId(1),
                name: "temp".to_owned(),
                mode: SchemaMode::Open,
            }],
            ..Batch::default()
        };
        meta.apply(&again, Position(2)).expect("applies");
        assert_eq!(ids(meta, 1), Vec::<u32>::new());
        let found = meta.databases().expect("lists");
        assert_eq!(found, [database(1, "default"), database(9, "_system")]);
        assert_eq!(meta.measurements(DatabaseId(2)).expect("lists"), []);
    });
}

#[test]
fn a_batch_that_contradicts_changes_nothing() {
    each(|meta| {
        meta.apply(&batch(), Position(1)).expect("applies");
        let wrong = Batch {
            databases: vec![database(5, "five")],
            series: vec![series(99, 1), series(100, 4711)],
            ..Batch::default()
        };
        let error = meta.apply(&wrong, Position(2)).expect_err("is refused");
        assert!(matches!(error, MetaError::Contradiction { .. }), "{error}");
        assert_eq!(meta.applied().expect("reads"), Some(Position(1)));
        assert_eq!(meta.databases().expect("lists").len(), 2);
        assert_eq!(ids(meta, 1).len(), 10);
    });
}
