//! What a store should hold, in plain maps: every write of every cell, in the order in which it was sent.
//!
//! Writes come in units, which the log takes whole or not at all. A cut leaves the first so many units;
//! those that were acknowledged are among them.

use std::collections::{BTreeMap, BTreeSet};

use edgetimedb::types::FieldType;

/// A value; doubles by their bits, so that equal means identical.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    Float(u64),
    Integer(i64),
    Unsigned(u64),
    Boolean(bool),
    String(Vec<u8>),
    Binary(Vec<u8>),
}

impl Value {
    pub const fn field_type(&self) -> FieldType {
        match self {
            Self::Float(_) => FieldType::Float,
            Self::Integer(_) => FieldType::Integer,
            Self::Unsigned(_) => FieldType::Unsigned,
            Self::Boolean(_) => FieldType::Boolean,
            Self::String(_) => FieldType::String,
            Self::Binary(_) => FieldType::Binary,
        }
    }
}

/// Database, measurement and tag value, as numbers of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeriesName {
    pub database: u8,
    pub measurement: u8,
    pub tag: u8,
}

/// A row on its way.
#[derive(Clone, Debug)]
pub struct Row {
    pub series: SeriesName,
    pub time: i64,
    /// Number of the field, and its value; each field once.
    pub fields: Vec<(u8, Value)>,
}

/// The values of one row.
pub type Fields = BTreeMap<u8, Value>;

/// Rows as a store shows them.
pub type Shown = BTreeMap<(SeriesName, i64), Fields>;

/// Every write of one cell: number of its unit and value, oldest first; no value where the row was deleted.
type Writes = Vec<(usize, Option<Value>)>;

/// Rows that the log takes together.
#[derive(Clone, Debug)]
struct Unit {
    /// What was durable when it was written.
    durable: u64,
    /// Acknowledged as durable when the log is durable up to here; none where nothing was promised.
    position: Option<u64>,
    /// What the log had taken before.
    begin: u64,
    keys: Vec<(SeriesName, i64)>,
    /// By database: rows that were received, and those of them that were rejected.
    received: Received,
}

/// By database: rows that were received, and those of them that were rejected.
pub type Received = BTreeMap<u8, (i64, i64)>;

/// All that was sent and may still count.
#[derive(Clone, Debug, Default)]
pub struct Model {
    cells: BTreeMap<(SeriesName, i64), BTreeMap<u8, Writes>>,
    units: Vec<Unit>,
    /// So many units were acknowledged.
    acknowledged: usize,
    /// So many were before the last acknowledgement.
    proven: usize,
    /// Up to where the log was durable then.
    durable: u64,
    /// Writes that were lost.
    gone: BTreeSet<((SeriesName, i64), u8, usize)>,
    /// By series: rows before this may have left by age or number.
    loose_before: BTreeMap<SeriesName, i64>,
    /// Rows and lines to be rejected that were ever sent.
    pub rows_sent: u64,
    /// What was received before the units, where a disk has lost some of it.
    received_before: Received,
}

/// How a store differs from what it should hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An acknowledged value is not there.
    Lost,
    /// A value is there that nobody sent.
    Invented,
    /// An older value is there instead of a newer one, or a batch in part.
    Wrong,
    /// SQL gives another answer than the rows.
    Query,
    /// The store's own counts cannot be.
    Ledger,
    /// Damage was reported where there was none, or not where there was.
    Report,
    /// The store does not start, or does not go on.
    Refused,
}

/// A difference.
#[derive(Clone, Debug)]
pub struct Failure {
    pub kind: Kind,
    pub text: String,
}

impl Failure {
    pub fn new(kind: Kind, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { kind, text }
    }
}

impl Model {
    /// Notes a unit: what it wrote, and when it counts as durable.
    pub fn write(&mut self, rows: &[&Row], (begin, durable): (u64, u64), position: Option<u64>) {
        let number = self.units.len();
        for row in rows {
            self.rows_sent += 1;
            let cells = self.cells.entry((row.series, row.time)).or_default();
            for (field, value) in &row.fields {
                cells
                    .entry(*field)
                    .or_default()
                    .push((number, Some(value.clone())));
            }
        }
        let keys = rows.iter().map(|row| (row.series, row.time)).collect();
        let mut received = Received::new();
        for row in rows {
            received.entry(row.series.database).or_default().0 += 1;
        }
        self.units.push(Unit {
            durable,
            position,
            begin,
            keys,
            received,
        });
    }

    /// Notes a unit of rejected lines.
    pub fn reject(
        &mut self,
        (database, lines): (u8, u64),
        (begin, durable): (u64, u64),
        position: Option<u64>,
    ) {
        self.rows_sent += lines;
        self.units.push(Unit {
            durable,
            position,
            begin,
            keys: Vec::new(),
            received: Received::from([(database, (lines as i64, lines as i64))]),
        });
    }

    /// The unit that was noted last has its rows from rejected lines: they were received as those.
    pub fn was_rejected(&mut self) {
        for of in self
            .units
            .last_mut()
            .into_iter()
            .flat_map(|unit| unit.received.values_mut())
        {
            *of = (0, -of.0);
        }
    }

    /// Rows that the first units received.
    pub fn received(&self, units: usize) -> Received {
        let mut sum = self.received_before.clone();
        for (database, (received, rejected)) in
            self.units[..units].iter().flat_map(|unit| &unit.received)
        {
            let of = sum.entry(*database).or_default();
            *of = (of.0 + received, of.1 + rejected);
        }
        sum
    }

    /// Rows of some series in a range that were sent before.
    pub fn hit(&self, series: &[SeriesName], range: (i64, i64)) -> Vec<(SeriesName, i64)> {
        let within = |key: &&(SeriesName, i64)| (range.0..range.1).contains(&key.1);
        let keys = self.cells.keys().filter(within);
        keys.filter(|key| series.contains(&key.0))
            .copied()
            .collect()
    }

    /// Notes a unit that deletes rows.
    pub fn delete(
        &mut self,
        keys: Vec<(SeriesName, i64)>,
        (begin, durable): (u64, u64),
        position: Option<u64>,
    ) {
        let number = self.units.len();
        for key in &keys {
            for writes in self
                .cells
                .get_mut(key)
                .into_iter()
                .flat_map(BTreeMap::values_mut)
            {
                writes.push((number, None));
            }
        }
        self.units.push(Unit {
            durable,
            position,
            begin,
            keys,
            received: Received::new(),
        });
    }

    /// The log is durable up to this position.
    pub fn acknowledge(&mut self, durable: u64) {
        let before = self.acknowledged;
        while self
            .units
            .get(self.acknowledged)
            .is_some_and(|unit| unit.position.is_some_and(|position| position <= durable))
        {
            self.acknowledged += 1;
        }
        // A deletion that hits nothing is durable at once, and proves nothing.
        if self.acknowledged > before && durable > self.durable {
            self.proven = before;
            self.durable = durable;
        }
    }

    /// Everything that was sent is durable: an orderly stop proves it.
    pub fn prove(&mut self) {
        self.acknowledged = self.units.len();
        self.proven = self.acknowledged;
    }

    /// Nothing in the log proves what was acknowledged.
    pub fn doubt(&mut self) {
        self.proven = 0;
    }

    /// Where the last unit began.
    pub fn last_begin(&self) -> u64 {
        self.units.last().map_or(0, |unit| unit.begin)
    }

    pub fn units(&self) -> usize {
        self.units.len()
    }

    /// Units that are acknowledged, and followed by something that proves it.
    pub fn proven(&self) -> usize {
        self.proven
    }

    /// Units that are acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.acknowledged
    }

    /// What a store that shows these rows can know to have been durable: some of them say so. A unit is there
    /// for sure where a value is shown that no other one wrote.
    pub fn known_durable(&self, shown: &Shown) -> u64 {
        let mut known = 0;
        for (key, cells) in &self.cells {
            let Some(found) = shown.get(key) else {
                continue;
            };
            for (field, writes) in cells {
                let value = found.get(field);
                let mut of = writes
                    .iter()
                    .filter(|(_, sent)| sent.is_some() && sent.as_ref() == value);
                if let (Some((unit, _)), None) = (of.next(), of.next()) {
                    known = known.max(self.units[*unit].durable);
                }
            }
        }
        known
    }

    /// Takes what is shown for what there is, and what the ledger received. What is lost may come back, but not
    /// over what is newer.
    pub fn settle(&mut self, shown: &Shown, received: Received) {
        self.received_before = received;
        for unit in &mut self.units {
            unit.received.clear();
        }
        for (key, cells) in &self.cells {
            let found = shown.get(key);
            for (field, writes) in cells {
                let value = found.and_then(|fields| fields.get(field));
                let last = writes.iter().rposition(|(_, sent)| sent.as_ref() == value);
                for (index, (unit, _)) in writes.iter().enumerate() {
                    let write = (*key, *field, *unit);
                    if Some(index) == last {
                        self.gone.remove(&write);
                    } else if last.is_none_or(|last| last < index) {
                        self.gone.insert(write);
                    }
                }
            }
        }
        self.prove();
    }

    /// Where in the log a unit lies, at most.
    pub fn extent(&self, unit: usize) -> (u64, u64) {
        let unit = &self.units[unit];
        (unit.begin, unit.position.unwrap_or(u64::MAX))
    }

    /// Rows of a series before this time may be gone from now on.
    pub fn loosen(&mut self, series: SeriesName, before: i64) {
        let bound = self.loose_before.entry(series).or_insert(i64::MIN);
        *bound = before.max(*bound);
    }

    /// Rows that should be shown and are not.
    pub fn missing(&self, shown: &Shown) -> Vec<(SeriesName, i64)> {
        let is_missing = |(series, time): &&(SeriesName, i64)| {
            let key = (*series, *time);
            !self.is_loose(*series, *time)
                && !shown.contains_key(&key)
                && !self.row(key, self.units.len()).is_empty()
        };
        self.cells.keys().filter(is_missing).copied().collect()
    }

    /// Rows that are not shown were evicted, with all that are older in their series, but may come back; so many
    /// left just now.
    pub fn evict(&mut self, shown: &Shown) -> u64 {
        let mut evicted = 0;
        for series in self.series() {
            let bound = self.loose_bound(series);
            let sure = self.times(series).filter(|time| *time >= bound);
            let is_gone = |time: &i64| {
                let key = (series, *time);
                !shown.contains_key(&key) && !self.row(key, self.units.len()).is_empty()
            };
            let gone: Vec<i64> = sure.filter(is_gone).collect();
            evicted += gone.len() as u64;
            if let Some(newest) = gone.last() {
                self.loosen(series, newest + 1);
            }
        }
        evicted
    }

    pub fn series(&self) -> Vec<SeriesName> {
        let mut names: Vec<_> = self.cells.keys().map(|(series, _)| *series).collect();
        names.dedup();
        names
    }

    /// Times of a series, ascending.
    pub fn times(&self, series: SeriesName) -> impl DoubleEndedIterator<Item = i64> {
        let range = (series, i64::MIN)..=(series, i64::MAX);
        self.cells.range(range).map(|((_, time), _)| *time)
    }

    pub fn is_loose(&self, series: SeriesName, time: i64) -> bool {
        self.loose_bound(series) > time
    }

    pub fn loose_bound(&self, series: SeriesName) -> i64 {
        self.loose_before.get(&series).copied().unwrap_or(i64::MIN)
    }

    /// The rows after the first `units` units.
    pub fn shown(&self, units: usize) -> Shown {
        self.shown_of(units, &|_| true)
    }

    /// As [`Self::shown`], of some rows only.
    pub fn shown_of(&self, units: usize, is_asked: &dyn Fn(&(SeriesName, i64)) -> bool) -> Shown {
        let asked = self.cells.keys().filter(|key| is_asked(key));
        let rows = asked.map(|key| (*key, self.row(*key, units)));
        rows.filter(|(_, fields)| !fields.is_empty()).collect()
    }

    fn row(&self, key: (SeriesName, i64), units: usize) -> Fields {
        let cells = self.cells.get(&key);
        let values = cells.into_iter().flatten().filter_map(|(field, writes)| {
            let mut writes = writes.iter().rev();
            let last = writes
                .find(|(unit, _)| *unit < units && !self.gone.contains(&(key, *field, *unit)))?;
            Some((*field, last.1.clone()?))
        });
        values.collect()
    }

    /// Whether a store that shows these rows holds the first `units` units.
    fn matches(&self, units: usize, shown: &Shown, horizon: i64) -> bool {
        let pending = self.units[self.acknowledged..].iter();
        pending.flat_map(|unit| &unit.keys).all(|key| {
            let (series, time) = *key;
            if time < horizon || self.is_loose(series, time) {
                return true;
            }
            let expected = self.row(*key, units);
            shown
                .get(key)
                .map_or(expected.is_empty(), |found| *found == expected)
        })
    }

    /// Compares a store after a cut: finds how many units it holds, and forgets the others.
    pub fn recover(
        &mut self,
        shown: &Shown,
        horizon: i64,
        received: &Received,
    ) -> Result<usize, Failure> {
        let candidates = self.acknowledged..=self.units.len();
        let matches = |&units: &usize| self.matches(units, shown, horizon);
        let counts = |&units: &usize| self.received(units) == *received;
        let found = candidates
            .clone()
            .rev()
            .find(|units| counts(units) && matches(units));
        if let (None, Some(units)) = (found, candidates.rev().find(matches)) {
            self.compare(shown, units, horizon)?;
            let expected = self.received(units);
            let text = format!("{units} units received {expected:?}, the ledger has {received:?}");
            return Err(Failure::new(Kind::Ledger, text));
        }
        let Some(units) = found else {
            let range = self.acknowledged..self.units.len();
            self.explain(shown, horizon, range)?;
            let text = format!(
                "of units {:?} no first part is there",
                self.acknowledged..self.units.len()
            );
            return Err(Failure::new(Kind::Wrong, text));
        };
        self.compare(shown, units, horizon)?;
        // Rows that are hidden by their age tell nothing of their units, and may be seen when the clock goes back.
        let pending = self.units[self.acknowledged..].iter();
        let hidden: Vec<(SeriesName, i64)> = pending
            .flat_map(|unit| unit.keys.iter().copied())
            .filter(|(_, time)| *time < horizon)
            .collect();
        for (series, time) in hidden {
            self.loosen(series, time + 1);
        }
        self.keep(units);
        Ok(units)
    }

    /// Compares a store that holds the first `units` units.
    pub fn compare(&self, shown: &Shown, units: usize, horizon: i64) -> Result<(), Failure> {
        self.explain(shown, horizon, units..units)
    }

    /// Finds what is wrong with rows that hold the units before `pending`, and some of those in it.
    fn explain(
        &self,
        shown: &Shown,
        horizon: i64,
        pending: std::ops::Range<usize>,
    ) -> Result<(), Failure> {
        for ((series, time), found) in shown {
            if *time < horizon {
                let text = format!("{series:?} at {time}: shown though older than {horizon}");
                return Err(Failure::new(Kind::Invented, text));
            }
            let cells = self.cells.get(&(*series, *time));
            for (field, value) in found {
                let writes = cells.and_then(|cells| cells.get(field));
                let sent = writes.is_some_and(|writes| {
                    writes
                        .iter()
                        .any(|(unit, sent)| *unit < pending.end && sent.as_ref() == Some(value))
                });
                if !sent {
                    let text =
                        format!("{series:?} at {time}, field {field}: {value:?} of {writes:?}");
                    return Err(Failure::new(Kind::Invented, text));
                }
            }
        }
        for ((series, time), cells) in &self.cells {
            if *time < horizon || self.is_loose(*series, *time) {
                continue;
            }
            let found = shown.get(&(*series, *time));
            for (field, writes) in cells {
                let place = || {
                    format!(
                        "{series:?} at {time}, field {field}: writes {writes:?}, units {pending:?}"
                    )
                };
                let is_sure = |unit: usize| {
                    unit < pending.start && !self.gone.contains(&((*series, *time), *field, unit))
                };
                let sure = writes.iter().rposition(|(unit, _)| is_sure(*unit));
                let allowed = &writes[sure.unwrap_or(0)..];
                let Some(value) = found.and_then(|fields| fields.get(field)) else {
                    let deleted = allowed
                        .iter()
                        .any(|(unit, sent)| *unit < pending.end && sent.is_none());
                    if sure.is_some() && !deleted {
                        return Err(Failure::new(Kind::Lost, place()));
                    }
                    continue;
                };
                if !allowed
                    .iter()
                    .any(|(unit, sent)| *unit < pending.end && sent.as_ref() == Some(value))
                {
                    let text = format!("{}; found {value:?}", place());
                    return Err(Failure::new(Kind::Wrong, text));
                }
            }
        }
        Ok(())
    }

    /// Compares a store of which some units may be lost: a value is the last one that is certain, or one of a
    /// unit behind it that may be lost.
    pub fn compare_with_losses(
        &self,
        shown: &Shown,
        horizon: i64,
        may_be_lost: &dyn Fn(usize) -> bool,
    ) -> Result<usize, Failure> {
        let mut missing = 0;
        self.explain(shown, horizon, 0..self.units.len())?;
        for ((series, time), cells) in &self.cells {
            if *time < horizon || self.is_loose(*series, *time) {
                continue;
            }
            let found = shown.get(&(*series, *time));
            for (field, writes) in cells {
                let place = || format!("{series:?} at {time}, field {field}: writes {writes:?}");
                let is_gone = |unit: usize| self.gone.contains(&((*series, *time), *field, unit));
                let is_sure = |unit: usize| !may_be_lost(unit) && !is_gone(unit);
                let sure = writes.iter().rposition(|(unit, _)| is_sure(*unit));
                // A deletion that found the row gone already may have hit nothing: it is as sure as the first.
                let sure = sure.filter(|&at| writes[at].1.is_some()).or_else(|| {
                    let is_first = |at: usize| at == 0 || writes[at - 1].1.is_some();
                    (0..=sure?).rev().find(|&at| {
                        let (unit, sent) = &writes[at];
                        is_sure(*unit) && (sent.is_some() || is_first(at))
                    })
                });
                let allowed = &writes[sure.unwrap_or(0)..];
                let Some(value) = found.and_then(|fields| fields.get(field)) else {
                    missing += usize::from(writes.last().is_some_and(|(_, sent)| sent.is_some()));
                    let deleted = allowed.iter().any(|(_, sent)| sent.is_none());
                    if sure.is_some() && !deleted {
                        return Err(Failure::new(Kind::Lost, place()));
                    }
                    continue;
                };
                if !allowed.iter().any(|(_, sent)| sent.as_ref() == Some(value)) {
                    let text = format!("{}; found {value:?}", place());
                    return Err(Failure::new(Kind::Wrong, text));
                }
            }
        }
        Ok(missing)
    }

    /// Forgets all but the first units, which are durable now.
    fn keep(&mut self, units: usize) {
        for unit in &self.units[units..] {
            for key in &unit.keys {
                let Some(cells) = self.cells.get_mut(key) else {
                    continue;
                };
                cells.retain(|_, writes| {
                    writes.retain(|(unit, _)| *unit < units);
                    !writes.is_empty()
                });
                if cells.is_empty() {
                    self.cells.remove(key);
                }
            }
        }
        self.units.truncate(units);
        self.prove();
    }
}
