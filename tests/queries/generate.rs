//! Random questions, all of which make sense.

use super::question::{Aggregate, Expr, FIELDS, Key, Question, Shape, Test};
use super::random::Random;
use super::value::{Type, Value};
use super::world::{END, START};

const SECOND: i64 = 1_000_000_000;

pub fn question(random: &mut Random) -> Question {
    let mut tests = Vec::new();
    for _ in 0..[0, 0, 1, 1, 2][random.below(5)] {
        tests.push(test(random, 2));
    }
    let shape = if random.once_in(3) {
        rows(random)
    } else {
        groups(random)
    };
    let filling = matches!(&shape, Shape::Groups { keys, .. }
        if keys.iter().any(|key| matches!(key, Key::Gapfill(_))));
    let mut at = || random.between(START, END) / SECOND * SECOND;
    let (from, to) = (at(), at());
    let (from, to) = (from.min(to), from.max(to) + 1);
    let range = match random.below(5) {
        _ if filling => (Some(from), Some(to)),
        0 => (None, None),
        1 => (Some(from), None),
        2 => (None, Some(to)),
        _ => (Some(from), Some(to)),
    };
    let order = order(random, &shape);
    Question {
        range,
        tests,
        shape,
        order,
        limit: random.once_in(3).then(|| random.below(30)),
        offset: if random.once_in(6) {
            random.below(10)
        } else {
            0
        },
    }
}

/// By columns that are exact, for a sum may be off in its last place.
fn order(random: &mut Random, shape: &Shape) -> Vec<(usize, bool)> {
    if !random.once_in(3) {
        return Vec::new();
    }
    let exact: Vec<usize> = match shape {
        Shape::Rows(items) => (0..items.len()).collect(),
        Shape::Groups {
            keys, aggregates, ..
        } => {
            let is_exact = |aggregate: &Aggregate| {
                let exact = ["count", "distinct", "min", "max", "first", "last", "mode"];
                aggregate.fill.is_none() && exact.contains(&aggregate.function)
            };
            let chosen = (0..aggregates.len()).filter(|&index| is_exact(&aggregates[index]));
            let keyed = 0..keys.len();
            keyed
                .chain(chosen.map(|index| keys.len() + index))
                .collect()
        }
    };
    let mut order = Vec::new();
    for _ in 0..=random.below(2) {
        if !exact.is_empty() {
            order.push((random.pick(&exact), random.once_in(2)));
        }
    }
    order
}

fn rows(random: &mut Random) -> Shape {
    let mut items = Vec::new();
    for _ in 0..=random.below(4) {
        items.push(match random.below(4) {
            0 => Expr::Time,
            1 => Expr::Tag(random.below(2)),
            2 => Expr::Field(random.below(FIELDS.len())),
            _ => {
                let kind = random.pick(&[Type::Float, Type::Int, Type::Unsigned, Type::Text]);
                expr(random, kind, 2)
            }
        });
    }
    Shape::Rows(items)
}

fn groups(random: &mut Random) -> Shape {
    let mut keys = Vec::new();
    let gapfill = random.once_in(6);
    match random.below(6) {
        _ if gapfill => keys.push(Key::Gapfill(random.pick(&[7_200, 10_000, 43_200]))),
        0 => keys.push(Key::Local(random.pick(&[24, 24, 1, 2, 6, 7]))),
        1..4 => keys.push(Key::Bucket(random.pick(&[1_800, 3_600, 10_000, 86_400]))),
        _ => {}
    }
    let other = match random.below(8) {
        0 => Some(Expr::Tag(0)),
        1 => Some(Expr::Tag(1)),
        2 => Some(Expr::Field(4)),
        3 => Some(Expr::Binary(
            '%',
            Box::new(Expr::Field(1)),
            Box::new(Expr::Literal(Value::Int(3), Type::Int)),
            Type::Int,
        )),
        4 if !gapfill => Some(Expr::Field(random.below(FIELDS.len()))),
        _ => None,
    };
    keys.extend(other.map(Key::Of));
    if random.once_in(2) {
        keys.reverse();
    }
    let mut aggregates = Vec::new();
    for _ in 0..=random.below(3) {
        aggregates.push(aggregate(random, gapfill));
    }
    let having = random.once_in(5).then(|| {
        aggregates.push(Aggregate {
            function: "count",
            argument: random.once_in(2).then_some(Expr::Field(0)),
            percent: 0.0,
            fill: None,
        });
        (aggregates.len() - 1, random.between(0, 5))
    });
    Shape::Groups {
        keys,
        aggregates,
        having,
    }
}

fn aggregate(random: &mut Random, gapfill: bool) -> Aggregate {
    const NUMBERS: [&str; 13] = [
        "sum",
        "avg",
        "spread",
        "stddev",
        "variance",
        "median",
        "percentile",
        "increase",
        "rate",
        "delta",
        "derivative",
        "integral",
        "time_weighted_avg",
    ];
    const ANY: [&str; 7] = ["count", "min", "max", "first", "last", "mode", "distinct"];
    let of_any = random.once_in(2);
    let function = if of_any {
        random.pick(&ANY)
    } else {
        random.pick(&NUMBERS)
    };
    let argument = if function == "count" && random.once_in(3) {
        None
    } else if random.once_in(5) {
        let kind = random.pick(&[Type::Float, Type::Int, Type::Unsigned]);
        Some(expr(random, kind, 1))
    } else if of_any {
        Some(random.pick(&[
            Expr::Time,
            Expr::Tag(0),
            Expr::Tag(1),
            Expr::Field(3),
            Expr::Field(4),
            Expr::Field(0),
            Expr::Field(1),
            Expr::Field(2),
        ]))
    } else {
        Some(Expr::Field(random.pick(&[0, 1, 2, 5, 6])))
    };
    let mut aggregate = Aggregate {
        function,
        argument,
        percent: random.pick(&[0.0, 1.0, 33.3, 50.0, 95.0, 99.9, 100.0]),
        fill: None,
    };
    if gapfill && random.once_in(2) {
        let number = aggregate.kind().is_number();
        aggregate.fill = Some(if number && random.once_in(2) {
            "interpolate"
        } else {
            "locf"
        });
    }
    aggregate
}

/// An expression of a type.
fn expr(random: &mut Random, kind: Type, depth: usize) -> Expr {
    let leaf = |random: &mut Random| {
        let fields: Vec<usize> = (0..FIELDS.len())
            .filter(|&field| FIELDS[field].1 == kind)
            .collect();
        match kind {
            Type::Text if random.once_in(2) => Expr::Tag(random.below(2)),
            Type::Time => Expr::Time,
            _ if random.once_in(3) || fields.is_empty() => literal(random, kind),
            _ => Expr::Field(random.pick(&fields)),
        }
    };
    if depth == 0 || random.once_in(3) {
        return leaf(random);
    }
    let below = depth - 1;
    match random.below(6) {
        0 => Expr::Coalesce(vec![expr(random, kind, below), expr(random, kind, below)]),
        1 => Expr::Case(
            Box::new(test(random, below)),
            Box::new(expr(random, kind, below)),
            Box::new(expr(random, kind, below)),
        ),
        2 if kind == Type::Float => {
            let from = random.pick(&[Type::Int, Type::Unsigned]);
            Expr::Widen(Box::new(expr(random, from, below)))
        }
        2 if kind.is_number() => {
            let function = random.pick(&["abs", "round", "floor", "ceil"]);
            Expr::Function(function, Box::new(expr(random, kind, below)))
        }
        3 if kind == Type::Int => Expr::Function("-", Box::new(expr(random, kind, below))),
        3..6 if kind.is_number() => {
            let operator = random.pick(&['+', '-', '*', '/', '%']);
            let left = expr(random, kind, below);
            let right = expr(random, kind, below);
            Expr::Binary(operator, Box::new(left), Box::new(right), kind)
        }
        _ => leaf(random),
    }
}

fn literal(random: &mut Random, kind: Type) -> Expr {
    let value = match kind {
        Type::Float => Value::Float(random.between(-200, 200) as f64 / 8.0 + 0.0625),
        Type::Unsigned | Type::Int => Value::Int(random.between(0, 12)),
        Type::Bool => Value::Bool(random.once_in(2)),
        Type::Text => Value::Text(random.pick(&["a", "b", "s1", "s3", ""]).to_owned()),
        Type::Time => Value::Int(random.between(START, END)),
    };
    // A literal that is not negative takes the type of what it stands beside: one alone would not.
    if kind == Type::Unsigned {
        return Expr::Coalesce(vec![Expr::Field(2), Expr::Field(2)]);
    }
    Expr::Literal(value, kind)
}

fn test(random: &mut Random, depth: usize) -> Test {
    if depth > 0 && random.once_in(3) {
        let parts = vec![test(random, depth - 1), test(random, depth - 1)];
        return match random.below(3) {
            0 => Test::And(parts),
            1 => Test::Or(parts),
            _ => Test::Not(Box::new(test(random, depth - 1))),
        };
    }
    let comparison = |random: &mut Random| random.pick(&["=", "<>", "<", "<=", ">", ">="]);
    let some = |random: &mut Random| {
        random.pick(&[
            Expr::Tag(0),
            Expr::Tag(1),
            Expr::Field(0),
            Expr::Field(1),
            Expr::Field(2),
            Expr::Field(4),
            Expr::Field(6),
        ])
    };
    match random.below(8) {
        0 => Test::Flag(3),
        1 => Test::IsNull(some(random), random.once_in(2)),
        2 => Test::Like(
            random.pick(&[Expr::Tag(0), Expr::Tag(1), Expr::Field(4)]),
            random.pick(&["a%", "%1", "_", "%", "s_", "b"]),
            random.once_in(2),
        ),
        3 => Test::Matches(
            random.pick(&[Expr::Tag(0), Expr::Field(4)]),
            random.pick(&["^[ab]$", "s[0-2]", "1$"]),
        ),
        4 => {
            let texts = ["a", "c", "s0", "s4", "1"].map(|text| Value::Text(text.to_owned()));
            let expr = random.pick(&[Expr::Tag(0), Expr::Tag(1), Expr::Field(4)]);
            Test::In(expr, texts[..=random.below(4)].to_vec(), random.once_in(2))
        }
        5 => {
            let kind = random.pick(&[Type::Float, Type::Int]);
            let (left, right) = (expr(random, kind, 1), expr(random, kind, 1));
            Test::Compare(comparison(random), left, right)
        }
        _ => {
            let (field, constant) = match random.below(4) {
                0 => (0, Value::Float(random.between(-900, 900) as f64 / 2.0)),
                1 => (1, Value::Int(random.between(-20, 20))),
                2 => (2, Value::Int(random.between(0, 60))),
                _ => (6, Value::Int(random.between(-5, 30))),
            };
            let kind = FIELDS[field].1;
            let constant = Expr::Literal(constant, kind);
            Test::Compare(comparison(random), Expr::Field(field), constant)
        }
    }
}
