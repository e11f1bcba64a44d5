//! What is kept and for how long: classes of importance, the rules that say which series are of which class, and
//! the budget of the store. Plain values: no clock, no lock, no input or output.
//!
//! A policy that was decoded or changed passed [`RetentionPolicy::check`]: names are unique, the class
//! [`DEFAULT_CLASS`] is there, every rule names a class that is there, and all of it fits one frame of the log.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::catalog::Tag;
use crate::limits::{
    NAME_BYTES, RETENTION_CLASS_NAME_BYTES, RETENTION_CLASSES, RETENTION_POLICY_BYTES,
    RETENTION_RULE_TAGS, RETENTION_RULES, RETENTION_TIERS,
};
use crate::rollup::Tier;

/// The class of whatever no rule names.
pub const DEFAULT_CLASS: &str = "normal";

/// What a class keeps. 0: no limit; `None`: what the server is configured with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionClass {
    /// Its name.
    pub name: String,
    /// Where the store is over its budget, the least important rows go first.
    pub importance: u32,
    /// Seconds that a row is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_age_s: Option<u64>,
    /// Bytes of all sealed chunks of the class together.
    #[serde(default)]
    pub raw_bytes: u64,
    /// Rows that a series keeps in sealed chunks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_per_series: Option<u64>,
    /// The buckets that are made of rows that leave, finest first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tiers: Option<Vec<RetentionTier>>,
}

/// Buckets of one width, and how long they are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionTier {
    /// Their width.
    pub width: Tier,
    /// Seconds that a bucket is kept; 0: no limit.
    pub age_s: u64,
}

impl RetentionClass {
    fn new(name: &str, importance: u32) -> Self {
        Self {
            name: name.to_owned(),
            importance,
            raw_age_s: None,
            raw_bytes: 0,
            rows_per_series: None,
            tiers: None,
        }
    }

    /// The buckets that it has where a server is configured with those.
    #[must_use]
    pub fn tiers_or<'a>(&'a self, configured: &'a [RetentionTier]) -> &'a [RetentionTier] {
        self.tiers.as_deref().unwrap_or(configured)
    }
}

impl RetentionTier {
    /// Some tiers, finest first, with changes: how many seconds buckets of a width are kept, 0 without a limit, or `None`
    /// where there are to be none any more.
    pub fn changed(
        tiers: &[Self],
        changes: &[(Tier, Option<u64>)],
    ) -> Result<Vec<Self>, PolicyError> {
        let mut tiers = tiers.to_vec();
        for &(width, age_s) in changes {
            tiers.retain(|known| known.width != width);
            tiers.extend(age_s.map(|age_s| Self { width, age_s }));
        }
        tiers.sort_unstable_by_key(|tier| tier.width);
        check_tiers(&tiers)?;
        Ok(tiers)
    }
}

/// Which series a rule is for: those that have all that it names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionSelector {
    /// Of this database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// Of this measurement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measurement: Option<String>,
    /// With these tags.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

impl RetentionSelector {
    fn matches(&self, database: &str, measurement: &str, tags: &[Tag]) -> bool {
        let is = |named: &Option<String>, name: &str| named.as_ref().is_none_or(|n| n == name);
        let has = |(name, value): (&String, &String)| {
            tags.iter().any(|(n, v)| **n == **name && **v == **value)
        };
        is(&self.database, database)
            && is(&self.measurement, measurement)
            && self.tags.iter().all(has)
    }

    /// The more it says, the more it counts: tags first, then the measurement, then the database.
    fn precision(&self) -> (usize, bool, bool) {
        let named = (self.measurement.is_some(), self.database.is_some());
        (self.tags.len(), named.0, named.1)
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Series and their class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionRule {
    /// The class.
    pub class: String,
    /// The series.
    #[serde(flatten)]
    pub series: RetentionSelector,
}

/// Classes, rules and budget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionPolicy {
    /// The classes, in the order in which they were made.
    pub classes: Vec<RetentionClass>,
    /// The rules, in the order in which they were made.
    #[serde(default)]
    pub rules: Vec<RetentionRule>,
    /// Bytes that the store may take on its device; 0: no limit.
    #[serde(default)]
    pub disk_bytes: u64,
}

impl Default for RetentionPolicy {
    fn default() -> Self {
        let classes = [("critical", 100), (DEFAULT_CLASS, 50), ("bulk", 10)];
        let own = RetentionSelector {
            database: Some("_system".to_owned()),
            ..RetentionSelector::default()
        };
        Self {
            classes: classes.map(|(n, i)| RetentionClass::new(n, i)).to_vec(),
            rules: vec![RetentionRule {
                class: "bulk".to_owned(),
                series: own,
            }],
            disk_bytes: 0,
        }
    }
}

/// A bound as a change gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetentionBound {
    /// What the server is configured with.
    Configured,
    /// So much; 0: no limit.
    At(u64),
}

impl RetentionBound {
    const fn stored(self) -> Option<u64> {
        match self {
            Self::Configured => None,
            Self::At(bound) => Some(bound),
        }
    }
}

/// One change of a policy. What is `None` stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RetentionChange {
    /// Changes a class, or makes a new one.
    Class {
        /// Its name.
        name: String,
        /// As in [`RetentionClass`].
        importance: Option<u32>,
        /// As in [`RetentionClass`].
        raw_age_s: Option<RetentionBound>,
        /// As in [`RetentionClass`].
        raw_bytes: Option<u64>,
        /// As in [`RetentionClass`].
        rows_per_series: Option<RetentionBound>,
        /// Tiers, and how many seconds they are kept, 0: without a limit; `None`: there are none of that width any more.
        tiers: Vec<(Tier, Option<u64>)>,
    },
    /// Gives a class these tiers and no others, or those that the server is configured with.
    Tiers {
        /// The class.
        class: String,
        /// As in [`RetentionClass`].
        tiers: Option<Vec<RetentionTier>>,
    },
    /// Makes a rule, in the place of one for the same series.
    Assign(RetentionRule),
    /// Takes the rule for exactly these series away.
    Unassign(RetentionSelector),
    /// Takes a class away that no rule names.
    DropClass(String),
    /// Changes the budget of the store.
    DiskBytes(u64),
}

/// Why a policy is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// A class that is not there.
    #[error("there is no class {name:?}; there are {known}")]
    UnknownClass {
        /// What was named.
        name: String,
        /// What there is.
        known: String,
    },
    /// A new class needs a place among the others.
    #[error("{name:?} is a new class: say its importance, such as importance=30")]
    NoImportance {
        /// The class.
        name: String,
    },
    /// A name that a class cannot have.
    #[error(
        "a class cannot be called {name:?}: 1 to {RETENTION_CLASS_NAME_BYTES} letters, digits, `_` or `-`"
    )]
    ClassName {
        /// The name.
        name: String,
    },
    /// The class is named by a rule, or is the default.
    #[error("the class {name:?} cannot be dropped: {reason}")]
    InUse {
        /// The class.
        name: String,
        /// Why.
        reason: &'static str,
    },
    /// There is no such rule.
    #[error("there is no rule for exactly these series; `retention show` lists the rules")]
    UnknownRule,
    /// A rule for everything.
    #[error(
        "a rule names a database, a measurement or a tag; what no rule names is `{DEFAULT_CLASS}`"
    )]
    RuleForAll,
    /// Beyond a limit.
    #[error("{what}: {found}, at most {max}")]
    TooMany {
        /// What is counted.
        what: &'static str,
        /// How many there would be.
        found: usize,
        /// How many there may be.
        max: usize,
    },
    /// Tiers that do not go together.
    #[error(
        "buckets of {coarse} are not made of whole ones of {fine}: of the tiers of a class each has to divide the next"
    )]
    Tiers {
        /// The finer one.
        fine: Tier,
        /// The coarser one.
        coarse: Tier,
    },
    /// A budget that the store cannot keep.
    #[error("a budget of {asked} bytes is too small: log and catalog take {least} bytes alone")]
    Budget {
        /// What was asked for.
        asked: u64,
        /// What has to fit.
        least: u64,
    },
    /// A name twice, or no default class: nothing that a change leads to.
    #[error("not a policy: {reason}")]
    Broken {
        /// What is wrong.
        reason: String,
    },
}

impl RetentionPolicy {
    /// The payload of a policy frame, and of a state record.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("names and numbers are JSON")
    }

    /// Reads a payload, all of it.
    pub fn decode(payload: &[u8]) -> Result<Self, PolicyError> {
        too_many("bytes of a policy", payload.len(), RETENTION_POLICY_BYTES)?;
        let policy: Self =
            serde_json::from_slice(payload).map_err(|error| PolicyError::Broken {
                reason: error.to_string(),
            })?;
        policy.check()?;
        Ok(policy)
    }

    /// Whether it is one.
    pub fn check(&self) -> Result<(), PolicyError> {
        too_many("classes", self.classes.len(), RETENTION_CLASSES)?;
        too_many("rules", self.rules.len(), RETENTION_RULES)?;
        let broken = |reason: String| Err(PolicyError::Broken { reason });
        for (index, class) in self.classes.iter().enumerate() {
            check_name(&class.name)?;
            if self.classes[..index].iter().any(|c| c.name == class.name) {
                return broken(format!("the class {:?} is there twice", class.name));
            }
            check_tiers(class.tiers_or(&[]))?;
        }
        self.index_of(DEFAULT_CLASS)?;
        for (index, rule) in self.rules.iter().enumerate() {
            self.index_of(&rule.class)?;
            let RetentionSelector {
                database,
                measurement,
                tags,
            } = &rule.series;
            if rule.series.is_empty() {
                return Err(PolicyError::RuleForAll);
            }
            too_many("tags of a rule", tags.len(), RETENTION_RULE_TAGS)?;
            let named = database.iter().chain(measurement);
            for name in named.chain(tags.keys()).chain(tags.values()) {
                too_many("bytes of a name in a rule", name.len(), NAME_BYTES)?;
            }
            if self.rules[..index].iter().any(|r| r.series == rule.series) {
                return broken("two rules are for the same series".to_owned());
            }
        }
        too_many(
            "bytes of a policy",
            self.encode().len(),
            RETENTION_POLICY_BYTES,
        )
    }

    /// Changes it; after an error nothing is changed. Classes of which nothing else is said have the tiers that the server
    /// is configured with.
    pub fn change(
        &mut self,
        change: &RetentionChange,
        configured: &[RetentionTier],
    ) -> Result<(), PolicyError> {
        let mut changed = self.clone();
        changed.apply(change, configured)?;
        changed.check()?;
        *self = changed;
        Ok(())
    }

    fn apply(
        &mut self,
        change: &RetentionChange,
        configured: &[RetentionTier],
    ) -> Result<(), PolicyError> {
        match change {
            RetentionChange::Class {
                name,
                importance,
                raw_age_s,
                raw_bytes,
                rows_per_series,
                tiers,
            } => {
                check_name(name)?;
                let index = match (self.index_of(name), importance) {
                    (Ok(index), _) => index,
                    (Err(_), None) => return Err(PolicyError::NoImportance { name: name.clone() }),
                    (Err(_), Some(importance)) => {
                        self.classes.push(RetentionClass::new(name, *importance));
                        self.classes.len() - 1
                    }
                };
                let class = &mut self.classes[index];
                class.importance = importance.unwrap_or(class.importance);
                class.raw_age_s = raw_age_s.map_or(class.raw_age_s, RetentionBound::stored);
                class.raw_bytes = raw_bytes.unwrap_or(class.raw_bytes);
                class.rows_per_series =
                    rows_per_series.map_or(class.rows_per_series, RetentionBound::stored);
                if !tiers.is_empty() {
                    let known = class.tiers_or(configured);
                    class.tiers = Some(RetentionTier::changed(known, tiers)?);
                }
            }
            RetentionChange::Tiers { class, tiers } => {
                let index = self.index_of(class)?;
                self.classes[index].tiers.clone_from(tiers);
            }
            RetentionChange::Assign(rule) => {
                self.index_of(&rule.class)?;
                self.rules.retain(|known| known.series != rule.series);
                self.rules.push(rule.clone());
            }
            RetentionChange::Unassign(series) => {
                let before = self.rules.len();
                self.rules.retain(|known| known.series != *series);
                if self.rules.len() == before {
                    return Err(PolicyError::UnknownRule);
                }
            }
            RetentionChange::DropClass(name) => {
                let index = self.index_of(name)?;
                let in_use = |reason| PolicyError::InUse {
                    name: name.clone(),
                    reason,
                };
                if name == DEFAULT_CLASS {
                    return Err(in_use("it is the class of whatever no rule names"));
                }
                if self.rules.iter().any(|rule| rule.class == *name) {
                    return Err(in_use("a rule names it"));
                }
                self.classes.remove(index);
            }
            RetentionChange::DiskBytes(bytes) => self.disk_bytes = *bytes,
        }
        Ok(())
    }

    /// Which of the classes a series is of: that of the rule that says most about it, of two the newer.
    #[must_use]
    pub fn class_of(&self, database: &str, measurement: &str, tags: &[Tag]) -> usize {
        let rules = self.rules.iter();
        let matching = rules.filter(|rule| rule.series.matches(database, measurement, tags));
        let chosen = matching.max_by_key(|rule| rule.series.precision());
        let name = chosen.map_or(DEFAULT_CLASS, |rule| &rule.class);
        self.index_of(name).unwrap_or(0)
    }

    /// Where a class stands.
    pub fn index_of(&self, name: &str) -> Result<usize, PolicyError> {
        let found = self.classes.iter().position(|class| class.name == name);
        found.ok_or_else(|| {
            let known: Vec<&str> = self.classes.iter().map(|class| &*class.name).collect();
            PolicyError::UnknownClass {
                name: name.to_owned(),
                known: known.join(", "),
            }
        })
    }
}

fn check_name(name: &str) -> Result<(), PolicyError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if name.is_empty() || name.len() > RETENTION_CLASS_NAME_BYTES || !name.bytes().all(is_plain) {
        return Err(PolicyError::ClassName {
            name: name.to_owned(),
        });
    }
    Ok(())
}

fn check_tiers(tiers: &[RetentionTier]) -> Result<(), PolicyError> {
    too_many("tiers of a class", tiers.len(), RETENTION_TIERS)?;
    for pair in tiers.windows(2) {
        let (fine, coarse) = (pair[0].width, pair[1].width);
        if coarse <= fine {
            return Err(PolicyError::Broken {
                reason: format!("the tier {coarse} is there twice, or out of order"),
            });
        }
        if !coarse.is_made_of(fine) {
            return Err(PolicyError::Tiers { fine, coarse });
        }
    }
    Ok(())
}

const fn too_many(what: &'static str, found: usize, max: usize) -> Result<(), PolicyError> {
    if found > max {
        return Err(PolicyError::TooMany { what, found, max });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(database: &str, measurement: &str, tags: &[(&str, &str)]) -> RetentionSelector {
        let named = |name: &str| (!name.is_empty()).then(|| name.to_owned());
        let tags = tags.iter().map(|&(n, v)| (n.to_owned(), v.to_owned()));
        RetentionSelector {
            database: named(database),
            measurement: named(measurement),
            tags: tags.collect(),
        }
    }

    fn assign(class: &str, series: RetentionSelector) -> RetentionChange {
        RetentionChange::Assign(RetentionRule {
            class: class.to_owned(),
            series,
        })
    }

    fn class(name: &str, importance: Option<u32>) -> RetentionChange {
        RetentionChange::Class {
            name: name.to_owned(),
            importance,
            raw_age_s: Some(RetentionBound::At(60)),
            raw_bytes: None,
            rows_per_series: None,
            tiers: vec![
                (Tier::MINUTE, Some(0)),
                (Tier::TEN_SECONDS, Some(7)),
                (Tier::HOUR, None),
            ],
        }
    }

    fn name_of(policy: &RetentionPolicy, place: (&str, &str), tags: &[(&str, &str)]) -> String {
        let tags: Vec<Tag> = tags.iter().map(|&(n, v)| (n.into(), v.into())).collect();
        let index = policy.class_of(place.0, place.1, &tags);
        policy.classes[index].name.clone()
    }

    #[test]
    fn the_rule_that_says_most_counts() {
        let mut policy = RetentionPolicy::default();
        for change in [
            class("medical", Some(200)),
            assign("bulk", selector("", "", &[("site", "roof")])),
            assign("critical", selector("plant", "", &[])),
            assign("bulk", selector("", "vibration", &[])),
            assign(
                "critical",
                selector("", "", &[("pump", "7"), ("site", "roof")]),
            ),
            assign("medical", selector("", "", &[("pump", "8")])),
        ] {
            policy.change(&change, &[]).expect("taken");
        }
        let of = |place, tags: &[(&str, &str)]| name_of(&policy, place, tags);
        assert_eq!(of(("default", "cpu"), &[]), "normal");
        assert_eq!(of(("plant", "cpu"), &[]), "critical");
        assert_eq!(of(("plant", "vibration"), &[]), "bulk");
        assert_eq!(of(("plant", "vibration"), &[("pump", "8")]), "medical");
        let two = [("pump", "7"), ("site", "roof")];
        assert_eq!(of(("default", "cpu"), &two), "critical");
        // Two that say as much: the newer one.
        let either = [("pump", "8"), ("site", "roof")];
        assert_eq!(of(("default", "cpu"), &either), "medical");
        assert_eq!(of(("_system", "host"), &[]), "bulk");
    }

    #[test]
    fn a_rule_takes_the_place_of_one_for_the_same_series() {
        let mut policy = RetentionPolicy::default();
        let series = || selector("", "cpu", &[]);
        policy
            .change(&assign("bulk", series()), &[])
            .expect("taken");
        policy
            .change(&assign("critical", series()), &[])
            .expect("taken");
        assert_eq!(policy.rules.len(), 2);
        assert_eq!(name_of(&policy, ("default", "cpu"), &[]), "critical");
        let gone = RetentionChange::Unassign(series());
        policy.change(&gone, &[]).expect("taken");
        assert_eq!(name_of(&policy, ("default", "cpu"), &[]), "normal");
        assert_eq!(policy.change(&gone, &[]), Err(PolicyError::UnknownRule));
    }

    #[test]
    fn what_makes_no_sense_changes_nothing() {
        let mut policy = RetentionPolicy::default();
        let before = policy.clone();
        let drop = |name: &str| RetentionChange::DropClass(name.to_owned());
        let many: Vec<(String, String)> = (0..=RETENTION_RULE_TAGS)
            .map(|i| (format!("t{i}"), "v".to_owned()))
            .collect();
        let many: Vec<(&str, &str)> = many.iter().map(|(n, v)| (&**n, &**v)).collect();
        for change in [
            class("new", None),
            class("two words", Some(1)),
            class("", Some(1)),
            assign("none", selector("", "cpu", &[])),
            assign("bulk", selector("", "", &[])),
            assign("bulk", selector("", "", &many)),
            drop("normal"),
            drop("bulk"),
            drop("none"),
        ] {
            assert!(policy.change(&change, &[]).is_err(), "{change:?}");
            assert_eq!(policy, before);
        }
        for index in 0..RETENTION_CLASSES - policy.classes.len() {
            let one = class(&format!("c{index}"), Some(1));
            policy.change(&one, &[]).expect("room for it");
        }
        assert!(policy.change(&class("more", Some(1)), &[]).is_err());
        policy.change(&drop("c0"), &[]).expect("nothing names it");
    }

    #[test]
    fn tiers_of_a_class_divide_one_another() {
        let with = |tiers: &[(&str, Option<u64>)]| {
            let named = |&(name, age): &(&str, Option<u64>)| {
                let tier: Result<Tier, _> = str::parse(name);
                (tier.expect("a width"), age)
            };
            RetentionChange::Class {
                name: DEFAULT_CLASS.to_owned(),
                importance: None,
                raw_age_s: None,
                raw_bytes: None,
                rows_per_series: None,
                tiers: tiers.iter().map(named).collect(),
            }
        };
        let mut policy = RetentionPolicy::default();
        let names = |policy: &RetentionPolicy| -> Vec<&str> {
            let class = &policy.classes[policy.index_of(DEFAULT_CLASS).expect("there")];
            let tiers = class.tiers_or(&[]).iter();
            tiers.map(|tier| tier.width.name()).collect()
        };
        let change = with(&[("1h", Some(0)), ("5m", Some(60)), ("1s", Some(1))]);
        policy.change(&change, &[]).expect("taken");
        assert_eq!(names(&policy), ["1s", "5m", "1h"]);
        // In one change, whatever the order.
        let change = with(&[("15m", Some(0)), ("10s", None), ("5m", None), ("1s", None)]);
        policy.change(&change, &[]).expect("taken");
        assert_eq!(names(&policy), ["15m", "1h"]);
        let error = policy.change(&with(&[("10m", Some(0))]), &[]);
        let error = error.expect_err("10 does not divide 15").to_string();
        assert!(
            error.contains("15m are not made of whole ones of 10m"),
            "{error}"
        );
        let many = ["1s", "5s", "30s", "5m"].map(|name| (name, Some(0)));
        assert!(policy.change(&with(&many), &[]).is_err(), "six tiers");
        assert_eq!(names(&policy), ["15m", "1h"]);
        // All of them at once; and changes of what a server is configured with.
        let all = |tiers| RetentionChange::Tiers {
            class: DEFAULT_CLASS.to_owned(),
            tiers,
        };
        policy.change(&all(Some(Vec::new())), &[]).expect("taken");
        assert!(names(&policy).is_empty());
        policy.change(&all(None), &[]).expect("taken");
        let configured = RetentionTier::changed(&[], &[(Tier::MINUTE, Some(7))]);
        let configured = configured.expect("tiers");
        let class = policy.index_of(DEFAULT_CLASS).expect("there");
        assert_eq!(policy.classes[class].tiers_or(&configured), configured);
        let change = with(&[("1h", Some(0))]);
        policy.change(&change, &configured).expect("taken");
        assert_eq!(names(&policy), ["1m", "1h"]);
    }

    #[test]
    fn policies_round_trip_and_others_are_errors() {
        let mut policy = RetentionPolicy::default();
        policy
            .change(&class("medical", Some(200)), &[])
            .and_then(|()| {
                policy.change(&assign("medical", selector("a", "b", &[("c", "d")])), &[])
            })
            .and_then(|()| policy.change(&RetentionChange::DiskBytes(1 << 40), &[]))
            .expect("taken");
        let payload = policy.encode();
        assert_eq!(RetentionPolicy::decode(&payload), Ok(policy));
        for len in 0..payload.len() {
            assert!(RetentionPolicy::decode(&payload[..len]).is_err(), "{len}");
        }
        for text in [
            r#"{"classes":[]}"#,
            r#"{"classes":[{"name":"normal","importance":1},{"name":"normal","importance":1}]}"#,
            r#"{"classes":[{"name":"normal","importance":1}],"rules":[{"class":"bulk","measurement":"m"}]}"#,
            r#"{"classes":[{"name":"normal","importance":1}],"rules":[{"class":"normal"}]}"#,
            r#"{"classes":[{"name":"normal","importance":-1}]}"#,
            r#"{"classes":[{"name":"normal","importance":1,"tiers":[{"width":"2s","age_s":0}]}]}"#,
            r#"{"classes":[{"name":"normal","importance":1,"tiers":[{"width":"1m","age_s":0},{"width":"10s","age_s":0}]}]}"#,
        ] {
            assert!(RetentionPolicy::decode(text.as_bytes()).is_err(), "{text}");
        }
    }
}
