//! All names of a store, and the numbers they stand for.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use hashbrown::HashTable;

use crate::catalog::series::hash_tags;
use crate::catalog::{CatalogError, Column, Measurement, SeriesKey, Tag};
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
    measurements: HashMap<Arc<str>, MeasurementId>,
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

/// The catalog.
#[derive(Debug)]
pub struct Catalog {
    limits: CatalogLimits,
    generation: u64,
    databases: Vec<Option<Database>>,
    database_names: HashMap<Arc<str>, DatabaseId>,
    measurements: Vec<Option<Measurement>>,
    series: Vec<Option<SeriesEntry>>,
    by_key: HashTable<SeriesId>,
    series_count: usize,
    strings: HashSet<Arc<str>>,
    layouts: HashMap<(MeasurementId, Box<[ColumnId]>), Arc<Layout>>,
}

impl Catalog {
    /// An empty catalog.
    pub fn new(limits: CatalogLimits) -> Self {
        Self {
            limits,
            generation: 1,
            databases: Vec::new(),
            database_names: HashMap::new(),
            measurements: Vec::new(),
            series: Vec::new(),
            by_key: HashTable::new(),
            series_count: 0,
            strings: HashSet::new(),
            layouts: HashMap::new(),
        }
    }

    /// Rises with every change.
    pub fn generation(&self) -> u64 {
        self.generation
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
        let from = (first as usize).min(self.series.len());
        self.series[from..].iter().flatten()
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

    /// The series of a key.
    pub fn find_series(&self, key: &SeriesKey<'_>) -> Option<SeriesId> {
        self.by_key
            .find(key.hash(), |&id| {
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

    /// The series of a key, made if it is new.
    pub fn ensure_series(&mut self, key: &SeriesKey<'_>) -> Result<SeriesId, CatalogError> {
        if let Some(id) = self.find_series(key) {
            return Ok(id);
        }
        let limit = self.limits.series_max;
        if self.series_count >= limit {
            let measurement = self.measurement_mut(key.measurement)?;
            return Err(CatalogError::TooManySeries {
                limit,
                measurement: measurement.name.to_string(),
                held: measurement.series.len(),
            });
        }
        let id = SeriesId(self.series.len() as u32);
        self.define_series(id, key.measurement, key.tags)?;
        Ok(id)
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
                measurements: HashMap::new(),
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
            Measurement::new(id, database, name),
        );
        self.generation += 1;
        Ok(())
    }

    /// Adopts a column under its number, which must be the next or a known one.
    pub fn define_column(
        &mut self,
        measurement: MeasurementId,
        id: ColumnId,
        name: &str,
        field_type: FieldType,
    ) -> Result<(), CatalogError> {
        let known = self
            .measurement_mut(measurement)?
            .columns()
            .get(usize::from(id.0))
            .cloned();
        if let Some(Column {
            name: known_name,
            field_type: known_type,
            ..
        }) = known
        {
            let known = format!("{known_name}::{known_type}");
            return same(
                "column",
                u32::from(id.0),
                &known,
                &format!("{name}::{field_type}"),
            );
        }
        let made = self.ensure_column(measurement, name, field_type)?;
        if made.id == id {
            Ok(())
        } else {
            Err(CatalogError::Unknown {
                what: "column before",
                id: u32::from(id.0),
            })
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
        let interned: Arc<[Tag]> = tags
            .iter()
            .map(|(name, value)| (self.intern(name), self.intern(value)))
            .collect();
        let owner = self.measurement_mut(measurement)?;
        for (name, _) in interned.iter() {
            if !owner.tag_names.contains(name) {
                owner.tag_names.insert(Arc::clone(name));
            }
        }
        owner.series.push(id);
        put(
            &mut self.series,
            id.0,
            SeriesEntry {
                id,
                measurement,
                tags: interned,
            },
        );
        let series = &self.series;
        self.by_key.insert_unique(key.hash(), id, |&id| {
            series
                .get(id.0 as usize)
                .and_then(Option::as_ref)
                .map_or(0, |s| hash_tags(s.measurement, &s.tags))
        });
        self.series_count += 1;
        self.generation += 1;
        Ok(())
    }

    /// Numbers below these are not given out again, whether or not it is known whose they were.
    pub fn reserve(&mut self, databases: u32, measurements: u32, series: u32) {
        reserve(&mut self.databases, databases);
        reserve(&mut self.measurements, measurements);
        reserve(&mut self.series, series);
    }

    fn measurement_mut(&mut self, id: MeasurementId) -> Result<&mut Measurement, CatalogError> {
        self.measurements
            .get_mut(id.0 as usize)
            .and_then(Option::as_mut)
            .ok_or(CatalogError::Unknown {
                what: "measurement",
                id: id.0,
            })
    }

    /// One copy of a string, however many series have it as a tag.
    fn intern(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.strings.get(text) {
            return Arc::clone(known);
        }
        let new: Arc<str> = Arc::from(text);
        self.strings.insert(Arc::clone(&new));
        new
    }
}

impl Database {
    /// Its measurements, by name.
    pub fn measurements(&self) -> impl Iterator<Item = (&Arc<str>, MeasurementId)> {
        self.measurements.iter().map(|(name, id)| (name, *id))
    }
}

fn reserve<T>(list: &mut Vec<Option<T>>, end: u32) {
    if list.len() < end as usize {
        list.resize_with(end as usize, || None);
    }
}

fn put<T>(slots: &mut Vec<Option<T>>, index: u32, value: T) {
    let index = index as usize;
    if slots.len() <= index {
        slots.resize_with(index + 1, || None);
    }
    slots[index] = Some(value);
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
        Catalog::new(CatalogLimits {
            databases_max: 2,
            series_max: 2,
            columns_max: 3,
        })
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
