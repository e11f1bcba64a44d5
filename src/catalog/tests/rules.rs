//! Modes, declarations and ranges.

use edgetime_protocol::cell::{MARK_NULL, MARK_RAW};

use crate::catalog::{Catalog, CatalogError, CatalogLimits, HashSeed, Measurement, RuleChange};
use crate::limits::COLUMNS;
use crate::types::FieldType::{Binary, Boolean, Float, Integer, String, Unsigned};
use crate::types::{FieldRule, FieldType, MeasurementId, SchemaMode};

fn catalog() -> (Catalog, MeasurementId) {
    let limits = CatalogLimits {
        databases_max: 2,
        series_max: 2,
        series_per_database_max: 0,
        columns_max: 10,
    };
    let mut catalog = Catalog::new(limits, HashSeed(1));
    let database = catalog.ensure_database("d").expect("room");
    let m = catalog.ensure_measurement(database, "m").expect("room");
    (catalog, m)
}

fn of(catalog: &Catalog, id: MeasurementId) -> &Measurement {
    catalog.measurement_by_id(id).expect("there")
}

fn declare(catalog: &mut Catalog, m: MeasurementId, name: &str, rule: FieldRule) {
    let revision = of(catalog, m).rules().revision() + 1;
    let change = RuleChange::Field(name, Some(rule));
    catalog.define_rule(m, revision, change).expect("room");
}

fn set(catalog: &mut Catalog, m: MeasurementId, mode: SchemaMode) {
    let revision = of(catalog, m).rules().revision() + 1;
    let change = RuleChange::Mode(mode);
    catalog.define_rule(m, revision, change).expect("there");
}

fn typed(field_type: FieldType) -> FieldRule {
    FieldRule {
        field_type: Some(field_type),
        ..FieldRule::default()
    }
}

/// Which of all types a field takes.
fn taken(catalog: &Catalog, m: MeasurementId, name: &str) -> Vec<FieldType> {
    let all = [Float, Integer, Unsigned, Boolean, String, Binary];
    let all = all.into_iter();
    all.filter(|&given| of(catalog, m).admit(&[(name, given)]).is_ok())
        .collect()
}

#[test]
fn each_mode_takes_what_it_says() {
    const NUMBERS: [FieldType; 3] = [Float, Integer, Unsigned];
    let (mut catalog, m) = catalog();
    for (name, field_type) in [("n", Integer), ("s", String), ("both", Boolean)] {
        catalog.ensure_column(m, name, field_type).expect("room");
    }
    catalog.ensure_column(m, "both", Float).expect("room");
    declare(&mut catalog, m, "f", typed(Float));
    declare(&mut catalog, m, "i", typed(Integer));
    declare(&mut catalog, m, "any", FieldRule::default());
    let fields = ["n", "s", "both", "f", "i", "any", "new"];
    assert!(fields.iter().all(|f| taken(&catalog, m, f).len() == 6));

    set(&mut catalog, m, SchemaMode::Additive);
    let additive = |catalog: &Catalog| {
        assert_eq!(taken(catalog, m, "f"), NUMBERS);
        assert_eq!(taken(catalog, m, "i"), [Integer]);
        assert_eq!(taken(catalog, m, "any").len(), 6);
    };
    additive(&catalog);
    assert_eq!(taken(&catalog, m, "n"), NUMBERS);
    assert_eq!(taken(&catalog, m, "s"), [String]);
    // Lanes that were there before the mode stay open.
    assert_eq!(
        taken(&catalog, m, "both"),
        [Float, Integer, Unsigned, Boolean]
    );
    assert_eq!(taken(&catalog, m, "new").len(), 6);
    let refused = of(&catalog, m).admit(&[("f", Float), ("s", Boolean)]);
    assert!(matches!(
        refused,
        Err(CatalogError::TypeConflict { ref field, known: String, given: Boolean, .. }) if field == "s"
    ));

    set(&mut catalog, m, SchemaMode::Strict);
    additive(&catalog);
    for name in ["n", "s", "both", "new"] {
        let refused = of(&catalog, m).admit(&[(name, Float)]);
        assert!(matches!(
            refused,
            Err(CatalogError::FieldNotDeclared { .. })
        ));
    }
    set(&mut catalog, m, SchemaMode::Open);
    assert!(fields.iter().all(|f| taken(&catalog, m, f).len() == 6));
}

#[test]
fn ranges_hold_in_strict_measurements_exactly() {
    let (mut catalog, m) = catalog();
    let range = |min, max| FieldRule {
        min,
        max,
        ..FieldRule::default()
    };
    // 2^53 + 1 has no double of its own.
    let two_53 = 9_007_199_254_740_992.0;
    declare(&mut catalog, m, "a", range(Some(-40.0), Some(84.5)));
    declare(&mut catalog, m, "b", range(None, Some(two_53)));
    declare(&mut catalog, m, "free", FieldRule::default());
    let fields = [("free", Float), ("a", Float), ("b", Integer), ("a", String)];
    assert!(of(&catalog, m).ranges(&fields).is_none());
    set(&mut catalog, m, SchemaMode::Strict);
    let ranges = of(&catalog, m).ranges(&fields).expect("two");
    assert_eq!(ranges.len(), 2);
    let check = |a: (u64, u8), b: i64| {
        let (cells, marks) = ([0, a.0, b as u64, 0], [0, a.1, 0, 0]);
        ranges.iter().try_for_each(|r| r.check(&cells, &marks))
    };
    for inside in [(845, 1), (40u64.wrapping_neg(), 0), (0, MARK_NULL)] {
        check(inside, 1 << 53).expect("inside");
    }
    for outside in [
        (8451, 2),
        ((-41i64) as u64, 0),
        (f64::NAN.to_bits(), MARK_RAW),
    ] {
        let refused = check(outside, i64::MIN);
        assert!(matches!(refused, Err(CatalogError::OutOfRange { ref field, .. }) if field == "a"));
    }
    let refused = check((0, 0), (1 << 53) + 1).expect_err("one too many");
    let said = "field \"b\": 9007199254740993 is not between -inf and 9007199254740992";
    assert_eq!(refused.to_string(), said);
    let unsigned = of(&catalog, m).ranges(&[("a", Unsigned)]).expect("one");
    assert!(unsigned[0].check(&[84], &[0]).is_ok());
    assert!(unsigned[0].check(&[u64::MAX], &[0]).is_err());
}

#[test]
fn the_higher_revision_holds_whatever_comes_first() {
    let (mut catalog, m) = catalog();
    let change = |catalog: &mut Catalog, revision, change| {
        catalog.define_rule(m, revision, change).expect("there");
    };
    change(&mut catalog, 5, RuleChange::Mode(SchemaMode::Strict));
    change(&mut catalog, 4, RuleChange::Mode(SchemaMode::Additive));
    change(&mut catalog, 7, RuleChange::Field("f", None));
    change(&mut catalog, 6, RuleChange::Field("f", Some(typed(Float))));
    let rules = of(&catalog, m).rules();
    assert_eq!((rules.mode(), rules.revision()), (SchemaMode::Strict, 7));
    assert_eq!((rules.field("f"), rules.fields().count()), (None, 0));
    let changes = |revision| -> Vec<u64> {
        let changes = of(&catalog, m).rules().since(revision);
        changes.map(|(revision, _)| revision).collect()
    };
    assert_eq!((changes(0), changes(5)), (vec![5, 7], vec![7]));
}

#[test]
fn declarations_are_bounded_and_go_with_their_measurement() {
    let (mut catalog, m) = catalog();
    for i in 0..COLUMNS {
        declare(&mut catalog, m, &format!("f{i}"), typed(Float));
    }
    let one_more = RuleChange::Field("more", None);
    let refused = catalog.define_rule(m, u64::MAX, one_more.clone());
    assert!(matches!(refused, Err(CatalogError::TooManyColumns { .. })));
    declare(&mut catalog, m, "f0", typed(Integer));
    catalog.drop_measurement(m, &[]);
    assert_eq!(catalog.define_rule(m, u64::MAX, one_more.clone()), Ok(()));
    let unknown = catalog.define_rule(MeasurementId(9), 1, one_more);
    assert!(matches!(unknown, Err(CatalogError::Unknown { id: 9, .. })));
    let database = catalog.database("d").expect("there").id;
    let again = catalog.ensure_measurement(database, "m").expect("room");
    assert_eq!(of(&catalog, again).rules().revision(), 0);
}
