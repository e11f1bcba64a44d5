//! Tokens that are made and revoked between power cuts: what was acknowledged lasts, what was not is there whole or not
//! at all; and series that come into being by a token's rows are its own wherever they are there.

use std::collections::BTreeMap;
use std::sync::Arc;

use edgetimedb::engine::{Access, Engine, EngineError, NewToken, Verb};
use edgetimedb::storage::simulated::{Random, SimulatedStorage};
use edgetimedb::types::FieldType;

use super::model::{Failure, Kind};
use super::plan::{NOW, Plan, SECOND};
use super::world::{self, JumpingClock};

/// What the runs did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Met {
    pub cuts: u64,
    pub made: u64,
    pub revoked: u64,
    /// Starts that found a change which nobody had been promised.
    pub unpromised: u64,
    /// Series of tokens that were found at a start.
    pub owned: u64,
}

impl Met {
    pub fn add(&mut self, other: Self) {
        self.cuts += other.cuts;
        self.made += other.made;
        self.revoked += other.revoked;
        self.unpromised += other.unpromised;
        self.owned += other.owned;
    }
}

/// The tokens there are: numbers by name. [`UNKNOWN`] where nobody was told.
type Tokens = BTreeMap<String, u32>;

const UNKNOWN: u32 = 0;

/// What was done in one run.
#[derive(Debug)]
struct Changes {
    /// The tokens behind each change, from what a start found on.
    states: Vec<Tokens>,
    /// Which of these a start must find at least.
    promised: usize,
    /// The number of a state, the number that was given out for it, and where the log has to be durable.
    sent: Vec<(usize, u32, u64)>,
    /// The highest number that was given out for good.
    highest: u32,
}

impl Changes {
    fn now(&self) -> &Tokens {
        &self.states[self.states.len() - 1]
    }

    fn acknowledge(&mut self, durable: u64) {
        for (state, number, _) in self.sent.iter().filter(|(.., at)| *at <= durable) {
            self.promised = self.promised.max(*state);
            self.highest = self.highest.max(*number);
        }
    }

    /// Compares with what a start found.
    fn find(&mut self, engine: &Engine, met: &mut Met) -> Result<(), Failure> {
        let found = tokens_in(engine);
        let is_it = |state: &Tokens| {
            let mut pairs = state.iter().zip(&found);
            let is_same = |((name, number), (other, found)): ((&String, &u32), (&String, &u32))| {
                name == other && (number == found || *number == UNKNOWN)
            };
            state.len() == found.len() && pairs.all(is_same)
        };
        let at = self.states.iter().rposition(is_it);
        let Some(at) = at.filter(|&at| at >= self.promised) else {
            let kind = if at.is_some() {
                Kind::Lost
            } else {
                Kind::Wrong
            };
            let (promised, newest) = (&self.states[self.promised], self.now());
            let text = format!("{found:?} are there, {promised:?} were, {newest:?} at last");
            return Err(Failure::new(kind, text));
        };
        met.unpromised += u64::from(at > self.promised);
        check_owners(engine, &found, met)?;
        self.states = vec![found];
        self.promised = 0;
        self.sent.clear();
        Ok(())
    }
}

/// Runs a seed to its end.
pub fn run(seed: u64) -> Result<Met, Failure> {
    let mut random = Random::new(seed);
    let plan = Plan::of(&mut random);
    let clock = Arc::new(JumpingClock::new());
    let mut disk = SimulatedStorage::new(random.next());
    let mut changes = Changes {
        states: vec![Tokens::new()],
        promised: 0,
        sent: Vec::new(),
        highest: 0,
    };
    let mut met = Met::default();
    for _ in 0..6 {
        let engine = world::start(&mut disk, &clock, &plan, &mut random)?;
        changes.find(&engine, &mut met)?;
        disk.cut_after(random.below(plan.operations) + 1);
        live(&engine, &disk, &mut random, &mut changes, &mut met)?;
        drop(engine);
        disk = disk.after_cut();
        met.cuts += 1;
    }
    Ok(met)
}

fn live(
    engine: &Engine,
    disk: &SimulatedStorage,
    random: &mut Random,
    changes: &mut Changes,
    met: &mut Met,
) -> Result<(), Failure> {
    for _ in 0..2_000 {
        if disk.is_off() {
            break;
        }
        // What fails here is tried again, or not.
        match random.below(10) {
            0 | 1 => change(engine, (disk, random), changes, met)?,
            2 | 3 => drop(engine.sync()),
            4 => drop(engine.checkpoint_in_passing()),
            5 => drop(engine.checkpoint_everything()),
            _ => write(engine, random, changes)?,
        }
        changes.acknowledge(engine.durable().0);
    }
    Ok(())
}

fn change(
    engine: &Engine,
    (disk, random): (&SimulatedStorage, &mut Random),
    changes: &mut Changes,
    met: &mut Met,
) -> Result<(), Failure> {
    let name = format!("t{}", random.below(5));
    let mut state = changes.now().clone();
    let known = state.remove(&name);
    let result = if known.is_some() {
        engine.revoke_token(&Access::full(), &name)
    } else {
        let new = NewToken {
            name: name.clone(),
            databases: Vec::new(),
            verbs: vec![Verb::Write],
            series_max: SERIES_MAX,
        };
        engine.create_token(&Access::full(), &new, &name)
    };
    match result {
        Ok((id, position)) => {
            if known.is_none() {
                if id.0 <= changes.highest {
                    let text = format!("number {id} was given out twice");
                    return Err(Failure::new(Kind::Wrong, text));
                }
                state.insert(name, id.0);
            }
            if tokens_in(engine) != state {
                let text = format!("{state:?} were to be, and are not");
                return Err(Failure::new(Kind::Wrong, text));
            }
            met.made += u64::from(known.is_none());
            met.revoked += u64::from(known.is_some());
            let state_number = changes.states.len();
            changes.sent.push((state_number, id.0, position.0));
            changes.states.push(state);
        }
        // It may have reached the log all the same.
        Err(_) if disk.is_off() => {
            if known.is_none() {
                state.insert(name, UNKNOWN);
            }
            changes.states.push(state);
        }
        Err(EngineError::Busy) => drop(engine.checkpoint()),
        Err(error) => return Err(Failure::new(Kind::Refused, error.to_string())),
    }
    Ok(())
}

/// Writes rows of a series that is a token's, or nobody's.
fn write(engine: &Engine, random: &mut Random, changes: &Changes) -> Result<(), Failure> {
    let refused = |error: EngineError| Failure::new(Kind::Refused, error.to_string());
    let count = changes.now().len() as u64 + 1;
    let chosen = changes.now().iter().nth(random.below(count) as usize);
    let access = chosen.and_then(|(name, _)| engine.authenticate(name));
    let access = access.unwrap_or_else(Access::full);
    let token = access.maker().map_or(UNKNOWN, |maker| maker.token.0);
    let host = format!("{token}-{}", random.below(2 * SERIES_MAX));
    let database = engine.resolve_database(&access, DATABASE);
    let database = database.map_err(refused)?;
    let maker = access.maker().map(|maker| &**maker);
    let tags = &mut [("h", &*host)];
    let series = match engine.resolve_series_for(maker, database, MEASUREMENT, tags) {
        Ok(series) => series,
        Err(EngineError::Catalog(error)) if error.is_limit() => return Ok(()),
        Err(error) => return Err(refused(error)),
    };
    let plan = engine.resolve_layout(series.measurement, &[("v", FieldType::Integer)]);
    let plan = plan.map_err(refused)?;
    let mut batch = engine.batch();
    let layout = batch.layout_index(&plan.layout);
    for tag in 0..=random.below(40) as u32 {
        let time = NOW - random.below(50) as i64 * SECOND;
        let value = random.next();
        batch.push(series, layout, Some(time), (&[value], &[0], &[]), tag);
    }
    if matches!(engine.write(&mut batch).error, Some(EngineError::Busy)) {
        drop(engine.checkpoint());
    }
    Ok(())
}

fn tokens_in(engine: &Engine) -> Tokens {
    let tokens = engine.tokens().into_iter();
    tokens.map(|token| (token.name, token.id.0)).collect()
}

/// Each token has the series that bear its number, no other, and no more than it may.
fn check_owners(engine: &Engine, tokens: &Tokens, met: &mut Met) -> Result<(), Failure> {
    let view = engine.measurement(&Access::full(), DATABASE, MEASUREMENT);
    let view = view.map_err(|error| Failure::new(Kind::Refused, error.to_string()))?;
    for token in engine.tokens() {
        let start = format!("{}-", tokens[&token.name]);
        let is_its = |tags: &[Tag]| tags.iter().any(|(_, value)| value.starts_with(&start));
        let series = view
            .as_ref()
            .map(|view| engine.select_series(view.id, &is_its));
        let series = series.map_or(0, |series| series.len() as u64);
        if series != token.series || series > SERIES_MAX {
            let text = format!("{token:?} made {series} series");
            return Err(Failure::new(Kind::Wrong, text));
        }
        met.owned += series;
    }
    Ok(())
}

type Tag = (Arc<str>, Arc<str>);

/// Series of a token at most.
const SERIES_MAX: u64 = 3;
const DATABASE: &str = "default";
const MEASUREMENT: &str = "own";
