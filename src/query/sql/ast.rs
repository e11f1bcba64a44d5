//! The tree of a query as it was written: names not yet resolved, types not yet known.
//!
//! Equality of expressions ignores where they stand, so that `GROUP BY` finds its expressions again.

use crate::query::error::SqlPosition;

/// A statement.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Statement {
    /// `SELECT ..`
    Select(Box<Select>),
    /// `EXPLAIN [ANALYZE] SELECT ..`
    Explain(Box<Select>, Explained),
    /// `SHOW ..`
    Show(Show),
    /// `DELETE FROM .. WHERE ..`
    Delete(Delete),
    /// `DROP MEASUREMENT ..`
    Drop(Name),
}

/// What `EXPLAIN` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Explained {
    /// What would be done.
    Plan,
    /// What was done, too: the query is executed, its rows are dropped.
    Execution,
}

/// A name and its place.
#[derive(Clone, Debug)]
pub struct Name {
    /// The name without quotes.
    pub text: String,
    /// Where it stands.
    pub at: SqlPosition,
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// What `SHOW` lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShowKind {
    /// Databases.
    Databases,
    /// Measurements of the database.
    Measurements,
    /// Series: measurement and tags.
    Series,
    /// Tag keys, with the number of their values.
    Tags,
    /// Fields and their types.
    Fields,
    /// Tags and fields together.
    Schema,
}

/// `SHOW kind [FROM measurement]`
#[derive(Clone, Debug, PartialEq)]
pub struct Show {
    /// What is listed.
    pub kind: ShowKind,
    /// Of which measurement; all of them without one.
    pub from: Option<Name>,
}

/// `DELETE FROM measurement WHERE ..`
#[derive(Clone, Debug, PartialEq)]
pub struct Delete {
    /// The measurement.
    pub from: Name,
    /// `WHERE`
    pub filter: Expr,
}

/// `SELECT ..`
#[derive(Clone, Debug, PartialEq)]
pub struct Select {
    /// `DISTINCT`: each different row once.
    pub distinct: bool,
    /// What is selected.
    pub items: Vec<Item>,
    /// The measurement.
    pub from: Name,
    /// `WHERE`
    pub filter: Option<Expr>,
    /// `GROUP BY`
    pub group_by: Vec<Expr>,
    /// `HAVING`
    pub having: Option<Expr>,
    /// `ORDER BY`
    pub order_by: Vec<Order>,
    /// `LIMIT`
    pub limit: Option<u64>,
    /// `OFFSET`
    pub offset: u64,
}

/// One entry between `SELECT` and `FROM`.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// `*`
    Wildcard(SqlPosition),
    /// An expression and the name it is given.
    Expr(Expr, Option<Name>),
}

/// One entry of `ORDER BY`.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// What is compared.
    pub expr: Expr,
    /// Largest first.
    pub descending: bool,
    /// Nulls first; without it they come last when ascending, first when descending.
    pub nulls_first: Option<bool>,
}

/// An expression and its place.
#[derive(Clone, Debug)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where it starts.
    pub at: SqlPosition,
}

impl PartialEq for Expr {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

/// The forms of an expression.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// A literal.
    Literal(Literal),
    /// A column.
    Name(String),
    /// `name::lane`: a lane of a field, or a cast of something else.
    Lane(String, String),
    /// A unary operator.
    Unary(UnaryOperator, Box<Expr>),
    /// A binary operator.
    Binary(BinaryOperator, Box<Expr>, Box<Expr>),
    /// All of them.
    And(Vec<Expr>),
    /// Any of them.
    Or(Vec<Expr>),
    /// `IS [NOT] NULL`
    IsNull {
        /// What is tested.
        expr: Box<Expr>,
        /// `NOT`
        negated: bool,
    },
    /// `[NOT] IN (..)`
    InList {
        /// What is looked up.
        expr: Box<Expr>,
        /// Where.
        list: Vec<Expr>,
        /// `NOT`
        negated: bool,
    },
    /// `LIKE`, `ILIKE`, `~`, `~*` and their negations.
    Match {
        /// The text.
        expr: Box<Expr>,
        /// The pattern.
        pattern: String,
        /// A regular expression; otherwise a pattern of `LIKE`.
        regex: bool,
        /// `NOT`, `!~`
        negated: bool,
        /// Without regard to case.
        insensitive: bool,
    },
    /// `CAST(expr AS type)`
    Cast(Box<Expr>, String),
    /// A function; the name in lower case.
    Call(Call),
    /// `CASE`
    Case {
        /// `CASE operand WHEN`
        operand: Option<Box<Expr>>,
        /// Condition and result.
        branches: Vec<(Expr, Expr)>,
        /// `ELSE`
        otherwise: Option<Box<Expr>>,
    },
}

/// A function and its arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Name in lower case.
    pub function: String,
    /// `f(*)`
    pub star: bool,
    /// `f(DISTINCT ..)`
    pub distinct: bool,
    /// Arguments.
    pub arguments: Vec<Expr>,
}

/// A literal.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// `NULL`
    Null,
    /// `TRUE`, `FALSE`
    Boolean(bool),
    /// Digits; up to the largest unsigned integer, and negative only once a minus was folded in.
    Integer(i128),
    /// With a point or an exponent.
    Float(f64),
    /// `'..'`
    String(String),
    /// `INTERVAL '..'`, in nanoseconds.
    Interval(i64),
}

/// Unary operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnaryOperator {
    /// `-`
    Negate,
    /// `NOT`
    Not,
}

/// Binary operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryOperator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Modulo,
    /// `=`
    Equal,
    /// `<>`, `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl BinaryOperator {
    /// The operator as it is written.
    #[must_use]
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    /// Whether it compares.
    #[must_use]
    pub const fn is_comparison(self) -> bool {
        !matches!(
            self,
            Self::Add | Self::Subtract | Self::Multiply | Self::Divide | Self::Modulo
        )
    }

    /// The comparison with its sides exchanged.
    #[must_use]
    pub const fn flipped(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            other => other,
        }
    }
}
