//! Tokens: what they may do, whose series are, and that all of it lasts.

use std::path::Path;
use std::sync::Arc;

use crate::clock::ManualClock;
use crate::engine::tests::{NOW, SECOND, open, options};
use crate::engine::{
    Access, CatalogError, Engine, EngineError, EngineOptions, NewToken, TokenError, Verb,
};
use crate::meta::MemoryMeta;
use crate::storage::FileStorage;
use crate::types::{FieldType, Position, SeriesId, StoreId, TimeRange, TokenId};

fn new(name: &str, series_max: u64) -> NewToken {
    NewToken {
        name: name.to_owned(),
        databases: vec!["default".to_owned()],
        verbs: vec![Verb::Read, Verb::Write],
        series_max,
    }
}

fn create(engine: &Engine, name: &str, series_max: u64) -> TokenId {
    let secret = secret_of(name);
    let made = engine.create_token(&Access::full(), &new(name, series_max), &secret);
    made.expect("made").0
}

fn revoke(engine: &Engine, name: &str) -> Position {
    engine
        .revoke_token(&Access::full(), name)
        .expect("revoked")
        .1
}

fn secret_of(name: &str) -> String {
    format!("et_{name}")
}

fn access(engine: &Engine, name: &str) -> Option<Access> {
    engine.authenticate(&secret_of(name))
}

/// Writes a row of a series by a token, or by nobody's.
fn write(
    engine: &Engine,
    by: Option<&Access>,
    (measurement, host): (&str, &str),
) -> Result<SeriesId, EngineError> {
    let maker = by.and_then(Access::maker).cloned();
    let full = Access::full();
    let database = engine.resolve_database(by.unwrap_or(&full), "default")?;
    let tags = &mut [("host", host)];
    let series = engine.resolve_series_for(maker.as_deref(), database, measurement, tags)?;
    let plan = engine.resolve_layout(series.measurement, &[("v", FieldType::Integer)])?;
    let mut batch = engine.batch();
    let layout = batch.layout_index(&plan.layout);
    batch.push(series, layout, Some(NOW), (&[1], &[0], &[]), 1);
    let written = engine.write(&mut batch);
    written.error.map_or(Ok(series.id), Err)
}

/// Series of each token, by its name.
fn held(engine: &Engine) -> Vec<(String, u64)> {
    let tokens = engine.tokens().into_iter();
    tokens.map(|token| (token.name, token.series)).collect()
}

fn named(known: &[(&str, u64)]) -> Vec<(String, u64)> {
    let known = known.iter();
    known.map(|&(name, n)| (name.to_owned(), n)).collect()
}

/// What happens to the store between two starts.
#[derive(Clone, Copy, Debug)]
enum Between {
    Sync,
    Checkpoint,
    /// What was written before is in the state file, what comes behind is in the log.
    Both,
}

#[test]
fn tokens_and_what_they_own_are_there_after_a_restart() {
    for between in [Between::Sync, Between::Checkpoint, Between::Both] {
        let folder = tempfile::tempdir().expect("a folder");
        let engine = open(folder.path(), options());
        assert!(!engine.had_tokens());
        create(&engine, "gate", 2);
        create(&engine, "gone", 0);
        let gate = access(&engine, "gate").expect("known");
        let gone = access(&engine, "gone").expect("known");
        write(&engine, Some(&gate), ("m", "a")).expect("room");
        write(&engine, Some(&gone), ("m", "b")).expect("room");
        write(&engine, None, ("m", "c")).expect("room");
        if let Between::Both = between {
            engine.checkpoint_everything().expect("written");
        }
        write(&engine, Some(&gate), ("m", "d")).expect("room");
        revoke(&engine, "gone");
        assert!(!engine.still_holds(&gone) && engine.still_holds(&gate));
        match between {
            Between::Checkpoint => drop(engine.checkpoint_everything().expect("written")),
            Between::Sync | Between::Both => drop(engine.sync().expect("syncs")),
        }
        let before = engine.tokens();
        drop(engine);
        let engine = open(folder.path(), options());
        assert!(!engine.opened().is_damaged(), "{between:?}");
        assert_eq!(engine.tokens(), before, "{between:?}");
        assert_eq!(held(&engine), named(&[("gate", 2)]), "{between:?}");
        assert!(access(&engine, "gone").is_none() && engine.had_tokens());
        let gate = access(&engine, "gate").expect("known");
        let refused = write(&engine, Some(&gate), ("m", "e")).expect_err("two at most");
        assert!(
            matches!(refused, EngineError::Catalog(ref refused) if refused.is_limit()),
            "{refused}"
        );
        write(&engine, Some(&gate), ("m", "c")).expect("it is there already");
        // What was revoked goes on to own, and its number is nobody else's.
        let number = create(&engine, "gone", 0);
        assert_eq!(number, TokenId(3), "{between:?}");
        assert_eq!(held(&engine), named(&[("gate", 2), ("gone", 0)]));
        let sound = engine.verify().expect("reads");
        assert!(sound.is_sound(), "{sound:?}");
    }
}

#[test]
fn changes_behind_a_start_reach_the_state_file_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path(), options());
    engine.checkpoint_everything().expect("written");
    drop(engine);
    // A store that had none, then one whose tokens are all in the state file.
    for (count, name) in ["a", "b", "c"].into_iter().enumerate() {
        let engine = open(folder.path(), options());
        assert_eq!(engine.tokens().len(), count);
        create(&engine, name, 0);
        engine.checkpoint_everything().expect("written");
        engine.seal_log().expect("seals");
        drop(engine);
        // Nothing of the log is needed any more.
        std::fs::remove_dir_all(folder.path().join("log")).expect("is there");
    }
    let engine = open(folder.path(), options());
    assert_eq!(held(&engine), named(&[("a", 0), ("b", 0), ("c", 0)]));
}

#[test]
fn no_number_comes_again_where_the_state_file_is_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path(), options());
    create(&engine, "a", 0);
    create(&engine, "b", 0);
    engine.checkpoint_everything().expect("written");
    // Segments are free again from the next one on.
    engine.checkpoint_everything().expect("written");
    drop(engine);
    std::fs::remove_dir_all(folder.path().join("log")).expect("is there");
    let blocks = std::fs::read_dir(folder.path().join("blocks")).expect("is there");
    let mut lost = 0;
    for file in blocks {
        let path = file.expect("is there").path();
        if path.extension().is_some_and(|ending| ending == "cat") {
            std::fs::remove_file(path).expect("is there");
            lost += 1;
        }
    }
    assert!(lost > 0);
    let engine = open(folder.path(), options());
    assert!(engine.opened().is_damaged());
    assert!(engine.tokens().is_empty() && engine.had_tokens());
    assert_eq!(create(&engine, "c", 0), TokenId(3));
}

#[test]
fn rights_are_those_that_were_given() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path(), options());
    create(&engine, "gate", 0);
    let gate = access(&engine, "gate").expect("known");
    assert!(gate.check(Verb::Write, "default").is_ok());
    assert!(gate.check(Verb::Read, "default").is_ok());
    assert!(gate.check(Verb::Delete, "default").is_err());
    assert!(gate.check(Verb::Write, "other").is_err());
    // A token that may do much still may not make others, as long as it is bound to databases.
    let bound = NewToken {
        verbs: vec![Verb::Administer],
        ..new("bound", 0)
    };
    engine
        .create_token(&Access::full(), &bound, "bound")
        .expect("made");
    let bound = engine.authenticate("bound").expect("known");
    let refused = engine.create_token(&bound, &new("more", 0), "more");
    assert!(matches!(refused, Err(EngineError::Denied { .. })));
    let refused = engine.revoke_token(&bound, "gate");
    assert!(matches!(refused, Err(EngineError::Denied { .. })));
    let unbound = NewToken {
        databases: Vec::new(),
        ..new("all", 0)
    };
    engine
        .create_token(&Access::full(), &unbound, "all")
        .expect("made");
    let all = engine.authenticate("all").expect("known");
    assert!(all.check(Verb::Write, "other").is_ok());
    assert!(engine.authenticate("none").is_none());
    let unknown = engine.revoke_token(&Access::full(), "none");
    assert!(matches!(
        unknown,
        Err(EngineError::Token(TokenError::Unknown { .. }))
    ));
}

#[test]
fn what_goes_makes_room_for_its_token() {
    const EMPTY: u64 = 60 * SECOND as u64;
    let folder = tempfile::tempdir().expect("a folder");
    let (engine, clock) = open_with_clock(folder.path());
    create(&engine, "gate", 2);
    let gate = access(&engine, "gate").expect("known");
    write(&engine, Some(&gate), ("m", "a")).expect("room");
    write(&engine, Some(&gate), ("n", "a")).expect("room");
    let refused = write(&engine, Some(&gate), ("n", "b")).expect_err("no room");
    let EngineError::Catalog(CatalogError::TooManySeriesOfToken { token, limit, .. }) = &refused
    else {
        panic!("{refused}");
    };
    assert_eq!((token.as_str(), *limit), ("gate", 2));
    let of = |measurement: &str| {
        let view = engine.measurement(&Access::full(), "default", measurement);
        view.expect("allowed").expect("written").id
    };
    // A measurement that was dropped.
    engine
        .drop_measurement(&Access::full(), "default", of("m"))
        .expect("drops");
    assert_eq!(held(&engine), named(&[("gate", 1)]));
    write(&engine, Some(&gate), ("n", "b")).expect("room again");
    assert!(write(&engine, Some(&gate), ("n", "c")).is_err());
    // Series that gave their place back.
    let n = of("n");
    let ids: Vec<SeriesId> = engine
        .select_series(n, &|_| true)
        .iter()
        .map(|s| s.id)
        .collect();
    assert_eq!(ids.len(), 2);
    engine
        .delete(&Access::full(), "default", n, &ids, TimeRange::ALL)
        .expect("deletes");
    engine.checkpoint_everything().expect("written");
    for _ in 0..3 {
        clock.advance(EMPTY);
        engine.tick().expect("ticks");
    }
    assert_eq!(held(&engine), named(&[("gate", 0)]));
    write(&engine, Some(&gate), ("n", "c")).expect("room again");
    engine.sync().expect("syncs");
    drop(engine);
    let (engine, _) = open_with_clock(folder.path());
    assert!(!engine.opened().is_damaged(), "{:?}", engine.opened());
    assert_eq!(held(&engine), named(&[("gate", 1)]));
}

#[test]
fn a_row_on_its_way_to_a_series_that_went_leads_to_one_of_the_same_token() {
    const EMPTY: u64 = 60 * SECOND as u64;
    let folder = tempfile::tempdir().expect("a folder");
    let (engine, clock) = open_with_clock(folder.path());
    create(&engine, "gate", 1);
    let gate = access(&engine, "gate").expect("known");
    let database = engine.resolve_database(&gate, "default").expect("allowed");
    let tags = &mut [("host", "a")];
    let maker = gate.maker().map(|maker| &**maker);
    let series = engine.resolve_series_for(maker, database, "m", tags);
    let series = series.expect("room");
    let plan = engine.resolve_layout(series.measurement, &[("v", FieldType::Integer)]);
    let plan = plan.expect("room");
    // It has never had a row.
    for _ in 0..3 {
        clock.advance(EMPTY);
        engine.tick().expect("ticks");
    }
    assert_eq!(held(&engine), named(&[("gate", 0)]));
    let mut batch = engine.batch();
    let layout = batch.layout_index(&plan.layout);
    batch.push(series, layout, Some(NOW), (&[1], &[0], &[]), 1);
    let written = engine.write(&mut batch);
    assert!(written.error.is_none(), "{written:?}");
    assert_eq!(held(&engine), named(&[("gate", 1)]));
}

fn open_with_clock(folder: &Path) -> (Arc<Engine>, Arc<ManualClock>) {
    let storage = Arc::new(FileStorage::open(folder).expect("a folder"));
    let clock = Arc::new(ManualClock::at(NOW));
    let meta = Arc::new(MemoryMeta::default());
    let options = EngineOptions {
        empty_series_ns: 60 * SECOND as u64,
        ..options()
    };
    let time = Arc::clone(&clock) as _;
    let engine = Engine::open(storage, meta, time, StoreId(7), options).expect("opens");
    (Arc::new(engine), clock)
}
