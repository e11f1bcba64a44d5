//! Expressions with resolved names and known types, and their evaluation over a batch of rows.
//!
//! Evaluation is by column: an operation makes one vector of its operands' vectors. What is the same in
//! every row, literals and the tags of a series, stays one value.

mod arithmetic;
mod cast;
mod compare;
mod evaluate;
mod lane;
mod pattern;
pub(crate) mod vector;

pub(crate) use cast::can_cast;
pub(crate) use evaluate::evaluate;
pub(crate) use pattern::Pattern;

use super::source::Buckets;
use super::sql::ast::BinaryOperator;
use super::value::{Scalar, Type};

/// An expression and the type of its values.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Typed {
    pub(crate) node: Node,
    pub(crate) kind: Type,
}

/// The operations. Operands have the types that the operation asks for: the binder put casts between.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    /// An input of the frame.
    Slot(usize),
    /// A literal.
    Constant(Scalar),
    /// Minus.
    Negate(Box<Typed>),
    /// `+ - * / %`, both sides of the result's type; times and intervals count as integers.
    Arithmetic(BinaryOperator, Box<Typed>, Box<Typed>),
    /// Any comparison; numbers of different types compare exactly.
    Compare(BinaryOperator, Box<Typed>, Box<Typed>),
    /// All of them.
    And(Vec<Typed>),
    /// Any of them.
    Or(Vec<Typed>),
    /// Negation.
    Not(Box<Typed>),
    /// `IS NULL`, or with `true` `IS NOT NULL`.
    IsNull(Box<Typed>, bool),
    /// `LIKE` and `~`, negated with `true`.
    Match(Box<Typed>, Pattern, bool),
    /// A conversion to the type of this expression.
    Cast(Box<Typed>),
    /// A function of one number.
    Function(Function, Box<Typed>),
    /// The first that is not null.
    Coalesce(Vec<Typed>),
    /// Condition and result, and what holds otherwise.
    Case(Vec<(Typed, Typed)>, Option<Box<Typed>>),
    /// The start of the bucket of a time.
    Bucket(Buckets, Box<Typed>),
}

/// Functions of one number that keep or make doubles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Abs,
    Round,
    Floor,
    Ceil,
    Sqrt,
    Ln,
    Exp,
}

impl Function {
    /// The function of that name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "abs" => Self::Abs,
            "round" => Self::Round,
            "floor" => Self::Floor,
            "ceil" | "ceiling" => Self::Ceil,
            "sqrt" => Self::Sqrt,
            "ln" => Self::Ln,
            "exp" => Self::Exp,
            _ => return None,
        })
    }

    /// Whether whole numbers stay what they are.
    pub(crate) const fn keeps_integers(self) -> bool {
        matches!(self, Self::Abs | Self::Round | Self::Floor | Self::Ceil)
    }
}

impl Typed {
    pub(crate) const fn new(node: Node, kind: Type) -> Self {
        Self { node, kind }
    }

    pub(crate) const fn constant(value: Scalar, kind: Type) -> Self {
        Self::new(Node::Constant(value), kind)
    }

    /// The literal, if it is one.
    pub(crate) const fn as_constant(&self) -> Option<&Scalar> {
        match &self.node {
            Node::Constant(value) => Some(value),
            _ => None,
        }
    }

    /// Calls `visit` with every slot that is read.
    pub(crate) fn visit_slots(&self, visit: &mut impl FnMut(usize)) {
        match &self.node {
            Node::Slot(slot) => visit(*slot),
            Node::Constant(_) => {}
            Node::Negate(inner)
            | Node::Not(inner)
            | Node::IsNull(inner, _)
            | Node::Match(inner, ..)
            | Node::Cast(inner)
            | Node::Function(_, inner)
            | Node::Bucket(_, inner) => inner.visit_slots(visit),
            Node::Arithmetic(_, left, right) | Node::Compare(_, left, right) => {
                left.visit_slots(visit);
                right.visit_slots(visit);
            }
            Node::And(parts) | Node::Or(parts) | Node::Coalesce(parts) => {
                for part in parts {
                    part.visit_slots(visit);
                }
            }
            Node::Case(branches, otherwise) => {
                for (condition, result) in branches {
                    condition.visit_slots(visit);
                    result.visit_slots(visit);
                }
                if let Some(otherwise) = otherwise {
                    otherwise.visit_slots(visit);
                }
            }
        }
    }

    /// Gives every slot that is read the number that `number` makes of its own.
    pub(crate) fn renumber(&mut self, number: &impl Fn(usize) -> usize) {
        match &mut self.node {
            Node::Slot(slot) => *slot = number(*slot),
            Node::Constant(_) => {}
            Node::Negate(inner)
            | Node::Not(inner)
            | Node::IsNull(inner, _)
            | Node::Match(inner, ..)
            | Node::Cast(inner)
            | Node::Function(_, inner)
            | Node::Bucket(_, inner) => inner.renumber(number),
            Node::Arithmetic(_, left, right) | Node::Compare(_, left, right) => {
                left.renumber(number);
                right.renumber(number);
            }
            Node::And(parts) | Node::Or(parts) | Node::Coalesce(parts) => {
                for part in parts {
                    part.renumber(number);
                }
            }
            Node::Case(branches, otherwise) => {
                for (condition, result) in branches {
                    condition.renumber(number);
                    result.renumber(number);
                }
                if let Some(otherwise) = otherwise {
                    otherwise.renumber(number);
                }
            }
        }
    }
}
