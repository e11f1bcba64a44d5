//! All names of a store, and the numbers they stand for.

use std::collections::HashSet;
use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::catalog::keyed::{HashSeed, KeyTable, NameMap};
use crate::catalog::owners::{Maker, Owners};
use crate::catalog::retired::Retired;
use crate::catalog::room::Crowd;
use crate::catalog::{CatalogError, Measurement, REJECTED, SeriesKey, Tag};
use crate::paged::Paged;
use crate::types::{
    ColumnId, DatabaseId, FieldType, Layout, LayoutColumn, MeasurementId, SeriesId,
};

/// Bounds of what may be created.
#[derive(Clone, Copy, Debug)]
pub struct CatalogLimits {
    /// Databases of the store.
    pub databases_max: usize,
    /// Series of the store.
    pub series_max: usize,
    /// Series of one database; 0: only the store's limit.
    pub series_per_database_max: usize,
    /// Columns of a measurement.
    pub columns_max: usize,
}

/// A database.
#[derive(Debug)]
pub struct Database {
    /// Its number.
    pub id: DatabaseId,
    /// Its name.
    pub name: Arc<str>,
    pub(super) measurements: NameMap<MeasurementId>,
    /// Number of its series.
    pub(super) series_count: usize,
}

/// A series.
#[derive(Clone, Debug)]
pub struct SeriesEntry {
    /// Its number.
    pub id: SeriesId,
    /// Its measurement.
    pub measurement: MeasurementId,
    /// Its tags, sorted by name.
    pub tags: Arc<[Tag]>,
}

/// A measurement that was dropped, and the series that went with it. Their numbers are not used again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The measurement.
    pub measurement: MeasurementId,
    /// Whose it was, where that was known.
    pub database: Option<DatabaseId>,
    /// Its series, ascending.
    pub series: Vec<SeriesId>,
}

/// The catalog.
#[derive(Debug)]
pub struct Catalog {
    pub(super) limits: CatalogLimits,
    pub(super) crowd: Crowd,
    seed: HashSeed,
    generation: u64,
    databases: Vec<Option<Database>>,
    database_names: NameMap<DatabaseId>,
    measurements: Vec<Option<Measurement>>,
    series: Paged<Option<SeriesEntry>>,
    by_key: KeyTable<SeriesId>,
    series_count: usize,
    strings: KeyTable<Arc<str>>,
    layouts: HashMap<LayoutKey, Arc<Layout>, HashSeed>,
    /// In the order in which they went.
    dropped: Vec<Dropped>,
    dropped_measurements: HashSet<MeasurementId>,
    dropped_series: HashSet<SeriesId>,
    pub(super) retired: Retired,
    pub(super) owners: Owners,
}

type LayoutKey = (MeasurementId, Box<[ColumnId]>);

impl Catalog {
    /// An empty catalog. The seed keys the hashes of names; it should be one that no client can know.
    pub fn new(limits: CatalogLimits, seed: HashSeed) -> Self {
        Self {
            limits,
            crowd: Crowd::default(),
            seed,
            generation: 1,
            databases: Vec::new(),
            database_names: NameMap::with_hasher(seed),
            measurements: Vec::new(),
            series: Paged::default(),
            by_key: KeyTable::default(),
            series_count: 0,
            strings: KeyTable::default(),
            layouts: HashMap::with_hasher(seed),
            dropped: Vec::new(),
            dropped_measurements: HashSet::new(),
            dropped_series: HashSet::new(),
            retired: Retired::default(),
            owners: Owners::default(),
        }
    }

    /// Rises with every change.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Bytes of memory, about. Looks at every series.
    pub fn memory_bytes(&self) -> usize {
        // Two counts stand before what an `Arc` holds.
        let counts = 2 * size_of::<usize>();
        let strings = self.strings.iter().map(|string| counts + string.len());
        let series = self.series.iter_from(0).map(|(_, entry)| {
            let tags = entry.as_ref().map_or(0, |entry| entry.tags.len());
            size_of::<Option<SeriesEntry>>() + counts + tags * size_of::<Tag>()
        });
        let measurements = self.measurements.iter().flatten();
        self.strings.memory_bytes()
            + strings.sum::<usize>()
            + self.by_key.memory_bytes()
            + series.sum::<usize>()
            + measurements.map(Measurement::memory_bytes).sum::<usize>()
    }

    /// Notes a change of what was there already.
    pub(super) fn touch(&mut self) {
        self.generation += 1;
    }

    /// All databases, by number.
    pub fn databases(&self) -> impl Iterator<Item = &Database> {
        self.databases.iter().flatten()
    }

    /// The database of that name.
    pub fn database(&self, name: &str) -> Option<&Database> {
        let id = self.database_names.get(name)?;
        self.databases.get(id.0 as usize)?.as_ref()
    }

    /// The database of that number.
    pub fn database_by_id(&self, id: DatabaseId) -> Option<&Database> {
        self.databases.get(id.0 as usize)?.as_ref()
    }

    /// All measurements, by number.
    pub fn measurements(&self) -> impl Iterator<Item = &Measurement> {
        self.measurements.iter().flatten()
    }

    /// The measurement of that name.
    pub fn measurement(&self, database: &str, name: &str) -> Option<&Measurement> {
        let id = self.database(database)?.measurements.get(name)?;
        self.measurement_by_id(*id)
    }

    /// The measurement of that number.
    pub fn measurement_by_id(&self, id: MeasurementId) -> Option<&Measurement> {
        self.measurements.get(id.0 as usize)?.as_ref()
    }

    /// The series of that number.
    pub fn series(&self, id: SeriesId) -> Option<&SeriesEntry> {
        self.series.get(id.0 as usize)?.as_ref()
    }

    /// All series, by number.
    pub fn all_series(&self) -> impl Iterator<Item = &SeriesEntry> {
        self.series.iter().flatten()
    }

    /// The series from a number on.
    pub fn series_from(&self, first: u32) -> impl Iterator<Item = &SeriesEntry> {
        let series = self.series.iter_from(first as usize);
        series.filter_map(|(_, series)| series.as_ref())
    }

    /// Number of layouts given out so far: they count from 0.
    pub fn layout_count(&self) -> usize {
        self.layouts.len()
    }

    /// Number of series.
    pub fn series_count(&self) -> usize {
        self.series_count
    }

    /// One more than the highest series number in use.
    pub fn series_end(&self) -> u32 {
        self.series.len() as u32
    }

    /// Measurements that were dropped, in that order.
    pub fn dropped(&self) -> &[Dropped] {
        &self.dropped
    }

    /// Whether a series went with its measurement.
    pub fn is_dropped(&self, series: SeriesId) -> bool {
        self.dropped_series.contains(&series)
    }

    /// Drops a measurement with its columns and series, those given and all that are known; tells which.
    /// Nothing where it was dropped before.
    pub fn drop_measurement(&mut self, id: MeasurementId, series: &[SeriesId]) -> Vec<SeriesId> {
        if self.is_dropped_measurement(id) {
            return Vec::new();
        }
        reserve(&mut self.measurements, id.0 as usize + 1);
        let found = self.measurements[id.0 as usize].take();
        let mut gone = series.to_vec();
        gone.extend(found.iter().flat_map(Measurement::series));
        gone.sort_unstable();
        gone.dedup();
        for &id in &gone {
            self.drop_series(id);
        }
        let database = found.as_ref().map(|found| found.database);
        let count = found.as_ref().map_or(0, Measurement::series_count);
        let owner = database.and_then(|id| self.databases.get_mut(id.0 as usize)?.as_mut());
        if let Some(owner) = owner {
            owner.series_count -= count.min(owner.series_count);
        }
        if let Some(found) = found
            && let Some(Some(owner)) = self.databases.get_mut(found.database.0 as usize)
            && owner.measurements.get(&found.name) == Some(&id)
        {
            owner.measurements.remove(&found.name);
        }
        self.strings.retain(|text| Arc::strong_count(text) > 1);
        self.dropped_measurements.insert(id);
        self.dropped.push(Dropped {
            measurement: id,
            database,
            series: gone.clone(),
        });
        self.generation += 1;
        gone
    }

    fn drop_series(&mut self, id: SeriesId) {
        self.series.reserve(id.0 as usize + 1);
        self.dropped_series.insert(id);
        self.take_series(id);
    }

    /// Takes a series out of what is found by key and by number.
    pub(super) fn take_series(&mut self, id: SeriesId) {
        let index = id.0 as usize;
        if let Some(entry) = self.series.get_mut(index).and_then(Option::take) {
            let tags: Vec<(&str, &str)> = entry.tags.iter().map(|(k, v)| (&**k, &**v)).collect();
            let key = SeriesKey {
                measurement: entry.measurement,
                tags: &tags,
            };
            self.by_key
                .remove(key.hash(self.seed), |known| *known == id);
            self.count_series(key.measurement, -1);
            self.disown(id, key.measurement);
            if let Ok(owner) = self.measurement_mut(entry.measurement) {
                owner.remove_series(id, &entry.tags);
            }
            self.series.give_back(index, Option::is_none);
        }
    }

    /// A series of a measurement came or went.
    fn count_series(&mut self, measurement: MeasurementId, by: isize) {
        self.series_count = self.series_count.saturating_add_signed(by);
        let database = self.measurement_by_id(measurement).map(|of| of.database);
        let owner = database.and_then(|id| self.databases.get_mut(id.0 as usize)?.as_mut());
        if let Some(owner) = owner {
            owner.series_count = owner.series_count.saturating_add_signed(by);
        }
    }

    pub(super) fn is_dropped_measurement(&self, id: MeasurementId) -> bool {
        self.dropped_measurements.contains(&id)
    }

    /// The series of a key.
    pub fn find_series(&self, key: &SeriesKey<'_>) -> Option<SeriesId> {
        self.by_key
            .find(key.hash(self.seed), |&id| {
                self.series(id)
                    .is_some_and(|s| s.measurement == key.measurement && key.matches(&s.tags))
            })
            .copied()
    }

    /// The database of that name, made if it is new.
    pub fn ensure_database(&mut self, name: &str) -> Result<DatabaseId, CatalogError> {
        if let Some(&id) = self.database_names.get(name) {
            return Ok(id);
        }
        let limit = self.limits.databases_max;
        if self.database_names.len() >= limit {
            return Err(CatalogError::TooManyDatabases { limit });
        }
        let id = DatabaseId(self.databases.len() as u32);
        self.define_database(id, name)?;
        Ok(id)
    }

    /// The measurement of that name, made if it is new.
    pub fn ensure_measurement(
        &mut self,
        database: DatabaseId,
        name: &str,
    ) -> Result<MeasurementId, CatalogError> {
        let known = self
            .database_by_id(database)
            .and_then(|d| d.measurements.get(name));
        if let Some(&id) = known {
            return Ok(id);
        }
        let id = MeasurementId(self.measurements.len() as u32);
        self.define_measurement(id, database, name)?;
        Ok(id)
    }

    /// The column of a field and type, made if it is new.
    pub fn ensure_column(
        &mut self,
        measurement: MeasurementId,
        name: &str,
        field_type: FieldType,
    ) -> Result<LayoutColumn, CatalogError> {
        let limit = self.limits.columns_max;
        let found = self.measurement_mut(measurement)?;
        let before = found.columns().len();
        let column = found.ensure_column(name, field_type, limit)?;
        if found.columns().len() > before {
            self.generation += 1;
        }
        Ok(column)
    }

    /// The series of a key, made if it is new, and nobody's then.
    pub fn ensure_series(&mut self, key: &SeriesKey<'_>) -> Result<SeriesId, CatalogError> {
        self.ensure_series_of(key, None)
    }

    /// The series of a key, made if it is new, and its maker's then.
    pub fn ensure_series_of(
        &mut self,
        key: &SeriesKey<'_>,
        maker: Option<&Maker>,
    ) -> Result<SeriesId, CatalogError> {
        if let Some(id) = self.find_series(key) {
            return Ok(id);
        }
        let measurement = self.measurement_mut(key.measurement)?;
        if *measurement.name != *REJECTED {
            let database = measurement.database;
            self.check_room(database, maker)?;
        }
        let id = SeriesId(self.series.len() as u32);
        self.define_series(id, key.measurement, key.tags)?;
        if let Some(maker) = maker {
            self.define_owner(id, maker.token)?;
        }
        Ok(id)
    }

    /// The layout of rows of these fields, each of them once, where all of it is known.
    pub fn find_layout(
        &self,
        measurement: MeasurementId,
        fields: &[(&str, FieldType)],
    ) -> Option<Arc<Layout>> {
        let owner = self.measurement_by_id(measurement)?;
        let columns = fields.iter().map(|(name, kind)| owner.column(name, *kind));
        let ids: Box<[ColumnId]> = columns.map(|c| c.map(|c| c.id)).collect::<Option<_>>()?;
        self.layouts.get(&(measurement, ids)).cloned()
    }

    /// The layout of these columns, the same one every time.
    pub fn layout(&mut self, measurement: MeasurementId, columns: &[LayoutColumn]) -> Arc<Layout> {
        let ids: Box<[ColumnId]> = columns.iter().map(|column| column.id).collect();
        let id = self.layouts.len() as u32;
        let layout = self
            .layouts
            .entry((measurement, ids))
            .or_insert_with(|| Layout::new(id, measurement, columns.into()));
        Arc::clone(layout)
    }

    /// Adopts a database under its number.
    pub fn define_database(&mut self, id: DatabaseId, name: &str) -> Result<(), CatalogError> {
        if let Some(known) = self.database_by_id(id) {
            return same("database", id.0, &known.name, name);
        }
        let name = self.intern(name);
        put(
            &mut self.databases,
            id.0,
            Database {
                id,
                name: Arc::clone(&name),
                measurements: NameMap::with_hasher(self.seed),
                series_count: 0,
            },
        );
        self.database_names.insert(name, id);
        self.generation += 1;
        Ok(())
    }

    /// Adopts a measurement under its number.
    pub fn define_measurement(
        &mut self,
        id: MeasurementId,
        database: DatabaseId,
        name: &str,
    ) -> Result<(), CatalogError> {
        if let Some(known) = self.measurement_by_id(id) {
            return same("measurement", id.0, &known.name, name);
        }
        if self.is_dropped_measurement(id) {
            return Ok(());
        }
        let name = self.intern(name);
        let owner = self
            .databases
            .get_mut(database.0 as usize)
            .and_then(Option::as_mut)
            .ok_or(CatalogError::Unknown {
                what: "database",
                id: database.0,
            })?;
        owner.measurements.insert(Arc::clone(&name), id);
        put(
            &mut self.measurements,
            id.0,
            Measurement::new(id, database, name, self.seed),
        );
        self.generation += 1;
        Ok(())
    }

    /// Adopts a column under its number. Numbers below it that have none are those of columns that are lost.
    pub fn define_column(
        &mut self,
        measurement: MeasurementId,
        id: ColumnId,
        name: &str,
        field_type: FieldType,
    ) -> Result<(), CatalogError> {
        if self.is_dropped_measurement(measurement) {
            return Ok(());
        }
        let limit = self.limits.columns_max;
        let owner = self.measurement_mut(measurement)?;
        let known = owner.columns().get(usize::from(id.0));
        if let Some(column) = known.filter(|column| column.is_known()) {
            let known = format!("{}::{}", column.name, column.field_type);
            let given = format!("{name}::{field_type}");
            return same("column", u32::from(id.0), &known, &given);
        }
        if usize::from(id.0) >= limit {
            let measurement = owner.name.to_string();
            return Err(CatalogError::TooManyColumns { measurement, limit });
        }
        if let Some(other) = owner.column(name, field_type) {
            let (known, given) = (other.id.0.to_string(), id.0.to_string());
            return same("number of a column", u32::from(id.0), &known, &given);
        }
        owner.reserve_columns(id.0 + 1);
        owner.adopt_column(id, name, field_type);
        self.generation += 1;
        Ok(())
    }

    /// Sees to it that column numbers of a measurement below this are not given out.
    pub fn reserve_columns(&mut self, measurement: MeasurementId, end: u16) {
        let end = end.min(u16::try_from(self.limits.columns_max).unwrap_or(u16::MAX));
        if let Ok(owner) = self.measurement_mut(measurement)
            && owner.columns().len() < usize::from(end)
        {
            owner.reserve_columns(end);
            self.generation += 1;
        }
    }

    /// Adopts a series under its number.
    pub fn define_series(
        &mut self,
        id: SeriesId,
        measurement: MeasurementId,
        tags: &[(&str, &str)],
    ) -> Result<(), CatalogError> {
        let key = SeriesKey { measurement, tags };
        if let Some(known) = self.series(id) {
            if known.measurement == measurement && key.matches(&known.tags) {
                return Ok(());
            }
            return Err(CatalogError::Contradiction {
                what: "series",
                id: id.0,
                known: format!("{:?}", known.tags),
                given: format!("{tags:?}"),
            });
        }
        if self.is_retired(id) {
            // Also where its measurement was dropped since: its rows are counted, and no others are its own.
            return Ok(());
        }
        if self.is_dropped(id) || self.is_dropped_measurement(measurement) {
            self.drop_series(id);
            return Ok(());
        }
        let interned: Arc<[Tag]> = tags
            .iter()
            .map(|(name, value)| (self.intern(name), self.intern(value)))
            .collect();
        self.measurement_mut(measurement)?.add_series(id, &interned);
        let index = id.0 as usize;
        self.series.reserve(index + 1);
        *self.series.get_or_make(index, || None) = Some(SeriesEntry {
            id,
            measurement,
            tags: interned,
        });
        // Where it is not known that an older one gave its place back, both are there, and the newer is found.
        let other = self.find_series(&key);
        let hash = key.hash(self.seed);
        if other.is_none_or(|other| other < id) {
            self.by_key.remove(hash, |known| Some(*known) == other);
            self.by_key.insert(hash, id);
        }
        self.count_series(measurement, 1);
        self.generation += 1;
        Ok(())
    }

    /// Numbers below these are not given out again, whether or not it is known whose they were.
    pub fn reserve(&mut self, databases: u32, measurements: u32, series: u32) {
        reserve(&mut self.databases, databases as usize);
        reserve(&mut self.measurements, measurements as usize);
        self.series.reserve(series as usize);
    }

    #[cfg(test)]
    pub(super) fn string_count(&self) -> usize {
        self.strings.len()
    }

    pub(super) fn measurement_mut(
        &mut self,
        id: MeasurementId,
    ) -> Result<&mut Measurement, CatalogError> {
        self.measurements
            .get_mut(id.0 as usize)
            .and_then(Option::as_mut)
            .ok_or(CatalogError::Unknown {
                what: "measurement",
                id: id.0,
            })
    }

    /// Forgets a string of which there is only this copy beside the catalog's own.
    pub(super) fn forget(&mut self, text: &Arc<str>) {
        if Arc::strong_count(text) <= 2 {
            let hash = self.seed.hash_one(&**text);
            self.strings.remove(hash, |known| Arc::ptr_eq(known, text));
        }
    }

    /// One copy of a string, however many series have it as a tag.
    fn intern(&mut self, text: &str) -> Arc<str> {
        let hash = self.seed.hash_one(text);
        if let Some(known) = self.strings.find(hash, |known| **known == *text) {
            return Arc::clone(known);
        }
        let new: Arc<str> = Arc::from(text);
        self.strings.insert(hash, Arc::clone(&new));
        new
    }
}

impl Database {
    /// Its measurements, by name.
    pub fn measurements(&self) -> impl Iterator<Item = (&Arc<str>, MeasurementId)> {
        self.measurements.iter().map(|(name, id)| (name, *id))
    }
}

fn put<T>(slots: &mut Vec<Option<T>>, index: u32, value: T) {
    reserve(slots, index as usize + 1);
    slots[index as usize] = Some(value);
}

/// Numbers below the end are in use from then on, if only by nothing.
fn reserve<T>(slots: &mut Vec<Option<T>>, end: usize) {
    if slots.len() < end {
        slots.resize_with(end, || None);
    }
}

fn same(what: &'static str, id: u32, known: &str, given: &str) -> Result<(), CatalogError> {
    if known == given {
        Ok(())
    } else {
        Err(CatalogError::Contradiction {
            what,
            id,
            known: known.to_owned(),
            given: given.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog() -> Catalog {
        let limits = CatalogLimits {
            databases_max: 2,
            series_max: 2,
            series_per_database_max: 0,
            columns_max: 3,
        };
        Catalog::new(limits, HashSeed(1))
    }

    #[test]
    fn a_field_has_a_lane_for_each_type() {
        let mut catalog = catalog();
        let database = catalog.ensure_database("d").expect("room");
        let m = catalog.ensure_measurement(database, "m").expect("room");
        let float = catalog
            .ensure_column(m, "t", FieldType::Float)
            .expect("room");
        let text = catalog
            .ensure_column(m, "t", FieldType::String)
            .expect("room");
        let again = catalog
            .ensure_column(m, "t", FieldType::Float)
            .expect("known");
        assert_eq!((float, float.field), (again, text.field));
        assert_ne!(float.id, text.id);
        catalog
            .ensure_column(m, "u", FieldType::Float)
            .expect("room");
        let refused = catalog.ensure_column(m, "v", FieldType::Float);
        assert!(matches!(
            refused,
            Err(CatalogError::TooManyColumns { limit: 3, .. })
        ));
    }

    #[test]
    fn series_are_found_by_their_tags_and_limited() {
        let mut catalog = catalog();
        let database = catalog.ensure_database("d").expect("room");
        let m = catalog.ensure_measurement(database, "m").expect("room");
        let key = |tags: &'static [(&'static str, &'static str)]| SeriesKey {
            measurement: m,
            tags,
        };
        let a = catalog.ensure_series(&key(&[("x", "1")])).expect("room");
        let b = catalog.ensure_series(&key(&[("x", "2")])).expect("room");
        assert_ne!(a, b);
        assert_eq!(catalog.ensure_series(&key(&[("x", "1")])), Ok(a));
        let refused = catalog.ensure_series(&key(&[]));
        assert!(matches!(
            refused,
            Err(CatalogError::TooManySeries {
                limit: 2,
                held: 2,
                ..
            })
        ));
        assert_eq!(catalog.find_series(&key(&[])), None);
    }

    #[test]
    fn what_is_dropped_gives_its_names_free_and_not_its_numbers() {
        let mut catalog = catalog();
        let database = catalog.ensure_database("d").expect("room");
        let old = catalog.ensure_measurement(database, "m").expect("room");
        let column = catalog.ensure_column(old, "t", FieldType::Float);
        column.expect("room");
        let tags: &[(&str, &str)] = &[("x", "1")];
        let key = |measurement| SeriesKey { measurement, tags };
        let series = catalog.ensure_series(&key(old)).expect("room");
        assert_eq!(catalog.drop_measurement(old, &[]), [series]);
        assert!(catalog.is_dropped(series) && catalog.series(series).is_none());
        assert_eq!(
            (catalog.find_series(&key(old)), catalog.series_count()),
            (None, 0)
        );
        assert!(catalog.measurement("d", "m").is_none());
        // Definitions that come back from the log change nothing.
        let again = catalog.define_measurement(old, database, "m");
        again.expect("passed over");
        catalog
            .define_series(series, old, tags)
            .expect("passed over");
        let later = catalog.define_column(old, ColumnId(0), "t", FieldType::String);
        later.expect("passed over");
        assert_eq!(catalog.drop_measurement(old, &[series]), []);
        let new = catalog.ensure_measurement(database, "m").expect("room");
        assert_ne!(new, old);
        assert_ne!(catalog.ensure_series(&key(new)), Ok(series));
        assert!(
            catalog
                .measurement_by_id(new)
                .is_some_and(|m| m.columns().is_empty())
        );
        // Known by its record alone.
        let mut other = self::catalog();
        other.drop_measurement(MeasurementId(4), &[SeriesId(9)]);
        assert_eq!(other.series_end(), 10);
        assert_eq!(other.dropped().len(), 1);
    }

    #[test]
    fn a_column_whose_definition_is_lost_keeps_its_number() {
        let mut catalog = catalog();
        let database = catalog.ensure_database("d").expect("room");
        let m = catalog.ensure_measurement(database, "m").expect("room");
        let define = |catalog: &mut Catalog, id, name, kind| {
            catalog.define_column(m, ColumnId(id), name, kind)
        };
        // The definition of column 0 is lost.
        define(&mut catalog, 1, "b", FieldType::Float).expect("free");
        let found = catalog.measurement_by_id(m).expect("is there");
        assert_eq!(found.layout_column(ColumnId(0)), None);
        assert!(!found.columns()[0].is_known());
        assert!(found.column("", FieldType::Float).is_none());
        // It comes back, once.
        define(&mut catalog, 0, "a", FieldType::String).expect("free");
        assert!(define(&mut catalog, 0, "c", FieldType::String).is_err());
        assert!(define(&mut catalog, 2, "a", FieldType::String).is_err());
        assert!(
            define(&mut catalog, 3, "d", FieldType::String).is_err(),
            "three at most"
        );
        let other = catalog.ensure_measurement(database, "other").expect("room");
        catalog.reserve_columns(other, 2);
        let new = catalog.ensure_column(other, "a", FieldType::Float);
        assert_eq!(new.map(|column| column.id), Ok(ColumnId(2)));
        assert!(catalog.ensure_column(other, "b", FieldType::Float).is_err());
    }

    #[test]
    fn definitions_come_back_under_their_numbers() {
        let mut catalog = catalog();
        catalog
            .define_database(DatabaseId(4), "late")
            .expect("free");
        catalog
            .define_measurement(MeasurementId(7), DatabaseId(4), "m")
            .expect("free");
        catalog
            .define_series(SeriesId(9), MeasurementId(7), &[("a", "b")])
            .expect("free");
        catalog
            .define_series(SeriesId(9), MeasurementId(7), &[("a", "b")])
            .expect("the same");
        assert!(
            catalog
                .define_series(SeriesId(9), MeasurementId(7), &[])
                .is_err()
        );
        assert!(catalog.define_database(DatabaseId(4), "other").is_err());
        assert_eq!(catalog.ensure_database("new"), Ok(DatabaseId(5)));
        assert_eq!(catalog.series_end(), 10);
    }
}
