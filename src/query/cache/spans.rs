//! A range of time in spans that are kept one by one: whole buckets, and what the ends of the range leave of one.
//!
//! Which spans there are depends on the width of buckets alone, not on where the range begins, so that a window that
//! moves finds again what it had.

use crate::query::source::Buckets;
use crate::types::{TimeRange, Timestamp};

/// A range, divided.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Division {
    /// One behind the other: whole spans.
    pub(crate) spans: Vec<TimeRange>,
    /// Of the range what lies before them.
    pub(crate) head: Option<TimeRange>,
    /// And behind them.
    pub(crate) tail: Option<TimeRange>,
    /// What rows are added up in: the query's buckets, or the spans where it has none.
    pub(crate) buckets: Buckets,
}

/// Spans of one range at most.
const SPANS_MAX: usize = 16_384;
/// Spans beyond which it is worth to ask how far the rows reach.
const SPANS_FEW: i128 = 512;
/// Spans are no shorter than this.
const SPAN_NS_MIN: i64 = 10_000_000_000;
/// Where the query has no buckets the range has about so many spans.
const SPANS_OF_ONE: i128 = 48;

/// Divides a range. `extent` tells the times of the first and the last row, or wider. The error says why nothing of
/// it can be kept.
pub(crate) fn divide(
    range: TimeRange,
    buckets: &Buckets,
    extent: &dyn Fn() -> Option<(Timestamp, Timestamp)>,
) -> Result<Division, &'static str> {
    let mut within = range;
    let bounded = range.start > Timestamp::MIN && range.end < Timestamp::MAX;
    let length = i128::from(range.end) - i128::from(range.start);
    let shortest = match buckets {
        Buckets::Fixed { width_ns, .. } => i128::from(span_of(*width_ns)),
        _ => i128::from(SPAN_NS_MIN) * 6,
    };
    if !bounded || length / shortest > SPANS_FEW {
        let (first, last) = extent().ok_or("there are no rows")?;
        within.start = within.start.max(first);
        within.end = within.end.min(last.saturating_add(1));
    }
    if within.is_empty() || within.end == Timestamp::MAX {
        return Err("there are no rows in the range");
    }
    let length = i128::from(within.end) - i128::from(within.start);
    let spans = match buckets {
        Buckets::One => Buckets::Fixed {
            width_ns: span_of_one(length),
            origin: 0,
        },
        Buckets::Fixed { width_ns, origin } => Buckets::Fixed {
            width_ns: span_of(*width_ns),
            origin: *origin,
        },
        Buckets::Local(_) => buckets.clone(),
    };
    let mut found = Vec::new();
    let mut time = within.start;
    while time < within.end {
        let (start, Some(end)) = spans.bounds(time) else {
            break;
        };
        if start >= range.start && end <= range.end {
            if found.len() == SPANS_MAX {
                return Err("the range has too many buckets");
            }
            found.push(TimeRange { start, end });
        }
        time = end;
    }
    let (Some(first), Some(last)) = (found.first(), found.last()) else {
        return Err("no bucket lies whole in the range");
    };
    let head = TimeRange {
        start: range.start,
        end: first.start,
    };
    let tail = TimeRange {
        start: last.end,
        end: range.end,
    };
    Ok(Division {
        head: (head.start < head.end).then_some(head),
        tail: (tail.start < tail.end).then_some(tail),
        spans: found,
        buckets: match buckets {
            Buckets::One => spans,
            _ => buckets.clone(),
        },
    })
}

/// As many buckets as make a span.
const fn span_of(width_ns: i64) -> i64 {
    if width_ns >= SPAN_NS_MIN || width_ns <= 0 {
        return width_ns;
    }
    let count = (SPAN_NS_MIN + width_ns - 1) / width_ns;
    match width_ns.checked_mul(count) {
        Some(span) => span,
        None => width_ns,
    }
}

/// A power of two of the shortest span.
fn span_of_one(length: i128) -> i64 {
    let mut span = SPAN_NS_MIN;
    while i128::from(span) * SPANS_OF_ONE < length && span < i64::MAX / 4 {
        span *= 2;
    }
    span
}

/// What is to be read: neighbours together, ascending.
pub(crate) fn joined(ranges: impl IntoIterator<Item = TimeRange>) -> Vec<TimeRange> {
    let mut joined: Vec<TimeRange> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => joined.push(range),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: i64 = 1_000_000_000;

    fn range(start: i64, end: i64) -> TimeRange {
        TimeRange { start, end }
    }

    fn fixed(width_ns: i64) -> Buckets {
        Buckets::Fixed {
            width_ns,
            origin: 0,
        }
    }

    #[test]
    fn a_window_that_moves_has_the_same_spans() {
        let nobody = || panic!("it is not asked");
        let one = divide(range(65 * S, 300 * S), &fixed(60 * S), &nobody).expect("divided");
        assert_eq!(
            one.spans,
            [120, 180, 240].map(|s| range(s * S, (s + 60) * S))
        );
        assert_eq!(one.head, Some(range(65 * S, 120 * S)));
        assert_eq!(one.tail, None);
        let two = divide(range(120 * S, 305 * S), &fixed(60 * S), &nobody).expect("divided");
        assert_eq!(two.spans, one.spans);
        assert_eq!((two.head, two.tail), (None, Some(range(300 * S, 305 * S))));
        assert!(divide(range(65 * S, 130 * S), &fixed(60 * S), &nobody).is_err());
    }

    #[test]
    fn short_buckets_share_a_span_and_none_are_made_of_nothing() {
        let nobody = || panic!("it is not asked");
        let short = divide(range(0, 60 * S), &fixed(3 * S), &nobody).expect("divided");
        assert_eq!(short.spans.len(), 5);
        assert_eq!(short.spans[0], range(0, 12 * S));
        let one = divide(range(5 * S, 3_605 * S), &Buckets::One, &nobody).expect("divided");
        assert_eq!(one.buckets, fixed(80 * S));
        assert_eq!(one.spans.len(), 44);
    }

    #[test]
    fn ranges_without_ends_have_those_of_the_rows() {
        let extent = || Some((100 * S, 200 * S));
        let all = divide(TimeRange::ALL, &fixed(60 * S), &extent).expect("divided");
        assert_eq!(
            all.spans,
            [60, 120, 180].map(|s| range(s * S, (s + 60) * S))
        );
        assert_eq!(all.head, Some(range(i64::MIN, 60 * S)));
        assert_eq!(all.tail, Some(range(240 * S, i64::MAX)));
        assert!(divide(TimeRange::ALL, &fixed(60 * S), &|| None).is_err());
        let far = range(500 * S, i64::MAX);
        assert!(divide(far, &fixed(60 * S), &extent).is_err());
        let wide = || Some((0, i64::MAX - 5));
        assert!(divide(TimeRange::ALL, &fixed(60 * S), &wide).is_err());
    }

    proptest! {
        #[test]
        fn nothing_is_missing_and_nothing_is_there_twice(
            (start, length) in (-10_000i64..10_000, 1i64..20_000),
            width in 1i64..400,
            origin in -50i64..50,
            (first, last) in (-9_000i64..9_000, 0i64..9_000),
            (open_start, open_end, one) in (any::<bool>(), any::<bool>(), any::<bool>()),
        ) {
            let range = range(
                if open_start { i64::MIN } else { start * S },
                if open_end { i64::MAX } else { (start + length) * S },
            );
            let buckets = if one {
                Buckets::One
            } else {
                Buckets::Fixed { width_ns: width * S, origin: origin * S }
            };
            let extent = || Some((first * S, (first + last) * S));
            let Ok(divided) = divide(range, &buckets, &extent) else {
                return Ok(());
            };
            let all = divided.head.into_iter().chain(divided.spans.clone()).chain(divided.tail);
            prop_assert_eq!(joined(all), [range]);
            for span in &divided.spans {
                let (at_start, at_end) = (divided.buckets.start(span.start), divided.buckets.start(span.end));
                prop_assert_eq!((at_start, at_end), (span.start, span.end));
            }
        }
    }
}
