//! Questions as trees, and as text for the server and, where it can answer the same, for SQLite.

use std::fmt::Write as _;

use super::value::{Type, Value};

/// Fields of the measurement; `v` is written as float and as integer.
pub const FIELDS: [(&str, Type); 7] = [
    ("x", Type::Float),
    ("k", Type::Int),
    ("u", Type::Unsigned),
    ("on", Type::Bool),
    ("s", Type::Text),
    ("c", Type::Int),
    ("v", Type::Float),
];

/// Tags of the measurement.
pub const TAGS: [&str; 2] = ["host", "rack"];

/// Where buckets are asked for by the clock.
pub const PLACE: &str = "Europe/Berlin";

/// An expression over a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    Time,
    Tag(usize),
    Field(usize),
    Literal(Value, Type),
    Binary(char, Box<Expr>, Box<Expr>, Type),
    /// `abs`, `round`, `floor`, `ceil`, `-`.
    Function(&'static str, Box<Expr>),
    Coalesce(Vec<Expr>),
    Case(Box<Test>, Box<Expr>, Box<Expr>),
    /// To a float.
    Widen(Box<Expr>),
}

/// A condition over a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    Flag(usize),
    Compare(&'static str, Expr, Expr),
    In(Expr, Vec<Value>, bool),
    /// A pattern of `LIKE`.
    Like(Expr, &'static str, bool),
    /// A regular expression, and the texts among all that it matches.
    Matches(Expr, &'static str),
    IsNull(Expr, bool),
    And(Vec<Test>),
    Or(Vec<Test>),
    Not(Box<Test>),
}

/// A key of `GROUP BY`.
#[derive(Clone, Debug, PartialEq)]
pub enum Key {
    Of(Expr),
    /// Seconds.
    Bucket(i64),
    /// Hours in the place; 24 is a day of the calendar.
    Local(i64),
    /// Seconds.
    Gapfill(i64),
}

/// An aggregate.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    pub function: &'static str,
    pub argument: Option<Expr>,
    /// Of `percentile`.
    pub percent: f64,
    pub fill: Option<&'static str>,
}

/// `ORDER BY` a selected column, falling or not.
pub type Order = (usize, bool);

#[derive(Clone, Debug)]
pub enum Shape {
    Rows(Vec<Expr>),
    Groups {
        keys: Vec<Key>,
        aggregates: Vec<Aggregate>,
        /// An aggregate and the least that passes.
        having: Option<(usize, i64)>,
    },
}

#[derive(Clone, Debug)]
pub struct Question {
    /// From and to, nanoseconds; either may be missing.
    pub range: (Option<i64>, Option<i64>),
    pub tests: Vec<Test>,
    pub shape: Shape,
    pub order: Vec<Order>,
    pub limit: Option<usize>,
    pub offset: usize,
}

impl Expr {
    pub fn kind(&self) -> Type {
        match self {
            Self::Time => Type::Time,
            Self::Tag(_) => Type::Text,
            Self::Field(field) => FIELDS[*field].1,
            Self::Literal(_, kind) | Self::Binary(_, _, _, kind) => *kind,
            Self::Function(_, inner) => inner.kind(),
            Self::Coalesce(parts) => parts[0].kind(),
            Self::Case(_, then, _) => then.kind(),
            Self::Widen(_) => Type::Float,
        }
    }

    /// `None` where SQLite means something else.
    pub fn sql(&self, sqlite: bool) -> Option<String> {
        Some(match self {
            Self::Time => "time".to_owned(),
            Self::Tag(tag) => TAGS[*tag].to_owned(),
            Self::Field(field) => format!("\"{}\"", FIELDS[*field].0),
            Self::Literal(value, _) => value.sql(),
            Self::Binary(operator, left, right, kind) => {
                if sqlite && *kind == Type::Float && matches!(operator, '/' | '%') {
                    return None;
                }
                let (left, right) = (left.sql(sqlite)?, right.sql(sqlite)?);
                format!("({left} {operator} {right})")
            }
            Self::Function("-", inner) => format!("(- {})", inner.sql(sqlite)?),
            Self::Function(name, inner) => {
                if sqlite && *name != "abs" {
                    return None;
                }
                format!("{name}({})", inner.sql(sqlite)?)
            }
            Self::Coalesce(parts) => {
                let parts: Option<Vec<_>> = parts.iter().map(|part| part.sql(sqlite)).collect();
                format!("coalesce({})", parts?.join(", "))
            }
            Self::Case(test, then, otherwise) => format!(
                "case when {} then {} else {} end",
                test.sql(sqlite)?,
                then.sql(sqlite)?,
                otherwise.sql(sqlite)?
            ),
            Self::Widen(inner) if sqlite => format!("cast({} as real)", inner.sql(sqlite)?),
            Self::Widen(inner) => format!("cast({} as float)", inner.sql(sqlite)?),
        })
    }
}

impl Test {
    pub fn sql(&self, sqlite: bool) -> Option<String> {
        let joined = |parts: &[Self], word: &str| -> Option<String> {
            let parts: Option<Vec<_>> = parts.iter().map(|part| part.sql(sqlite)).collect();
            Some(format!("({})", parts?.join(word)))
        };
        let not = |negated: bool| if negated { "NOT " } else { "" };
        Some(match self {
            Self::Flag(field) => format!("\"{}\"", FIELDS[*field].0),
            Self::Compare(operator, left, right) => {
                let (left, right) = (left.sql(sqlite)?, right.sql(sqlite)?);
                format!("{left} {operator} {right}")
            }
            Self::In(expr, list, negated) => {
                let list: Vec<String> = list.iter().map(Value::sql).collect();
                let (expr, list) = (expr.sql(sqlite)?, list.join(", "));
                format!("{expr} {}IN ({list})", not(*negated))
            }
            Self::Like(expr, pattern, negated) => {
                format!("{} {}LIKE '{pattern}'", expr.sql(sqlite)?, not(*negated))
            }
            Self::Matches(..) if sqlite => return None,
            Self::Matches(expr, pattern) => format!("{} ~ '{pattern}'", expr.sql(sqlite)?),
            Self::IsNull(expr, negated) => {
                format!("{} IS {}NULL", expr.sql(sqlite)?, not(*negated))
            }
            Self::And(parts) => joined(parts, " AND ")?,
            Self::Or(parts) => joined(parts, " OR ")?,
            Self::Not(inner) => format!("NOT ({})", inner.sql(sqlite)?),
        })
    }
}

impl Key {
    pub fn sql(&self, sqlite: bool) -> Option<String> {
        Some(match self {
            Self::Of(expr) => expr.sql(sqlite)?,
            Self::Bucket(seconds) if sqlite => {
                let width = seconds * 1_000_000_000;
                format!("(time - time % {width})")
            }
            Self::Bucket(seconds) => format!("time_bucket('{seconds} s', time)"),
            _ if sqlite => return None,
            Self::Local(24) => format!("time_bucket('1 day', time, '{PLACE}')"),
            Self::Local(hours) => format!("time_bucket('{hours} hours', time, '{PLACE}')"),
            Self::Gapfill(seconds) => format!("time_bucket_gapfill('{seconds} s', time)"),
        })
    }
}

impl Aggregate {
    pub fn sql(&self, sqlite: bool) -> Option<String> {
        const BOTH: [&str; 5] = ["count", "sum", "avg", "min", "max"];
        if sqlite && !BOTH.contains(&self.function) && self.function != "distinct" {
            return None;
        }
        let argument = match &self.argument {
            None => "*".to_owned(),
            Some(argument) => argument.sql(sqlite)?,
        };
        let plain = match self.function {
            "distinct" => format!("count(distinct {argument})"),
            "percentile" => format!("percentile({argument}, {:?})", self.percent),
            name => format!("{name}({argument})"),
        };
        Some(match self.fill {
            None => plain,
            Some(_) if sqlite => return None,
            Some(fill) => format!("{fill}({plain})"),
        })
    }

    pub fn kind(&self) -> Type {
        let input = self.argument.as_ref().map_or(Type::Int, Expr::kind);
        if self.fill == Some("interpolate") {
            return Type::Float;
        }
        match self.function {
            "count" | "distinct" => Type::Int,
            "delta" if input == Type::Unsigned => Type::Int,
            "sum" | "min" | "max" | "first" | "last" | "spread" | "mode" | "increase" | "delta" => {
                input
            }
            _ => Type::Float,
        }
    }
}

impl Question {
    /// `None` where SQLite means something else.
    pub fn sql(&self, sqlite: bool) -> Option<String> {
        let mut columns = Vec::new();
        let mut tail = String::new();
        match &self.shape {
            Shape::Rows(items) => {
                for item in items {
                    columns.push(item.sql(sqlite)?);
                }
            }
            Shape::Groups {
                keys,
                aggregates,
                having,
            } => {
                for key in keys {
                    columns.push(key.sql(sqlite)?);
                }
                if !keys.is_empty() {
                    tail = format!(" GROUP BY {}", columns.join(", "));
                }
                for aggregate in aggregates {
                    columns.push(aggregate.sql(sqlite)?);
                }
                if let Some((aggregate, least)) = having {
                    let aggregate = aggregates[*aggregate].sql(sqlite)?;
                    let _ = write!(tail, " HAVING {aggregate} >= {least}");
                }
            }
        }
        let mut tests = Vec::new();
        if let Some(from) = self.range.0 {
            tests.push(format!("time >= {from}"));
        }
        if let Some(to) = self.range.1 {
            tests.push(format!("time < {to}"));
        }
        for test in &self.tests {
            tests.push(test.sql(sqlite)?);
        }
        let mut text = format!("SELECT {} FROM m", columns.join(", "));
        if !tests.is_empty() {
            let _ = write!(text, " WHERE {}", tests.join(" AND "));
        }
        text += &tail;
        let mut order: Vec<String> = self
            .order
            .iter()
            .map(|(column, falling)| {
                let way = if *falling {
                    " DESC NULLS FIRST"
                } else {
                    " NULLS LAST"
                };
                format!("{}{way}", column + 1)
            })
            .collect();
        if sqlite {
            // What the server's order is without being told.
            match &self.shape {
                Shape::Rows(_) => {
                    for name in ["time", "host", "rack NULLS FIRST"] {
                        order.push(name.to_owned());
                    }
                }
                Shape::Groups { keys, .. } => {
                    order.extend((0..keys.len()).map(|key| format!("{} NULLS LAST", key + 1)));
                }
            }
        }
        if !order.is_empty() {
            let _ = write!(text, " ORDER BY {}", order.join(", "));
        }
        if let Some(limit) = self.limit {
            let _ = write!(text, " LIMIT {limit}");
        }
        if self.offset > 0 {
            if self.limit.is_none() && sqlite {
                text += " LIMIT -1";
            }
            let _ = write!(text, " OFFSET {}", self.offset);
        }
        Some(text)
    }
}
