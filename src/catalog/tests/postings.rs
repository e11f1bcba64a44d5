//! Conditions on tags answered by sets, against a walk over all series.

use proptest::prelude::*;

use super::*;

const TAGS: [&str; 3] = ["host", "rack", "zone"];
const VALUES: [&str; 4] = ["a", "b", "c", "d"];

/// Series by number, each with some of the tags.
fn series() -> impl Strategy<Value = Vec<Vec<Option<usize>>>> {
    let tag = proptest::option::of(0..VALUES.len());
    proptest::collection::vec(proptest::collection::vec(tag, TAGS.len()), 0..200)
}

#[derive(Clone, Debug)]
enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Is(usize, usize),
    /// True, false or unknown for each value and for none.
    Test(usize, [Option<bool>; 5]),
}

fn condition() -> impl Strategy<Value = Condition> {
    let leaf = prop_oneof![
        (0..TAGS.len(), 0..VALUES.len()).prop_map(|(tag, value)| Condition::Is(tag, value)),
        (0..TAGS.len(), any::<[Option<bool>; 5]>())
            .prop_map(|(tag, outcomes)| Condition::Test(tag, outcomes)),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let some = proptest::collection::vec(inner.clone(), 0..4);
        prop_oneof![
            some.clone().prop_map(Condition::All),
            some.prop_map(Condition::Any),
            inner.prop_map(|inner| Condition::Not(Box::new(inner))),
        ]
    })
}

/// What SQL says of one series.
fn holds(condition: &Condition, tags: &[Option<usize>]) -> Option<bool> {
    match condition {
        Condition::Is(tag, value) => tags[*tag].map(|known| known == *value),
        Condition::Test(tag, outcomes) => outcomes[tags[*tag].unwrap_or(4)],
        Condition::Not(inner) => holds(inner, tags).map(|held| !held),
        Condition::All(parts) => all(parts, tags, true),
        Condition::Any(parts) => all(parts, tags, false),
    }
}

/// Whether all parts have the outcome `wanted`, or one of them certainly not.
fn all(parts: &[Condition], tags: &[Option<usize>], wanted: bool) -> Option<bool> {
    let outcomes: Vec<_> = parts.iter().map(|part| holds(part, tags)).collect();
    if outcomes.contains(&Some(!wanted)) {
        return Some(!wanted);
    }
    (!outcomes.contains(&None)).then_some(wanted)
}

/// The filter; tests know their first `ahead` values already.
fn build(condition: &Condition, postings: &Postings, ahead: usize) -> TagFilter<'static> {
    let all = |parts: &[Condition]| {
        let parts = parts.iter();
        parts.map(|part| build(part, postings, ahead)).collect()
    };
    match condition {
        Condition::All(parts) => TagFilter::All(all(parts)),
        Condition::Any(parts) => TagFilter::Any(all(parts)),
        Condition::Not(inner) => TagFilter::Not(Box::new(build(inner, postings, ahead))),
        Condition::Is(tag, value) => TagFilter::Is(TAGS[*tag], VALUES[*value]),
        Condition::Test(tag, outcomes) => {
            let outcomes = *outcomes;
            let place = |value: &Arc<str>| VALUES.iter().position(|known| **known == **value);
            let mut test = TagTest::new(move |value| outcomes[value.and_then(place).unwrap_or(4)]);
            let values: Vec<Arc<str>> = postings
                .values(TAGS[*tag], 0)
                .take(ahead)
                .cloned()
                .collect();
            test.learn(postings.numbering(), &values);
            TagFilter::Test(TAGS[*tag], test)
        }
    }
}

fn tags_of(tags: &[Option<usize>]) -> Vec<Tag> {
    let tags = tags.iter().enumerate();
    tags.filter_map(|(tag, value)| Some((Arc::from(TAGS[tag]), Arc::from(VALUES[(*value)?]))))
        .collect()
}

fn postings(series: &[Vec<Option<usize>>]) -> Postings {
    let mut postings = Postings::new(HashSeed(3));
    for (id, tags) in series.iter().enumerate() {
        postings.insert(SeriesId(id as u32 * 3), &tags_of(tags));
    }
    postings
}

#[test]
fn values_that_no_series_has_any_more_are_forgotten_and_the_others_numbered_anew() {
    let mut postings = Postings::new(HashSeed(3));
    let tags = |id: u32| [(Arc::from("host"), Arc::from(format!("h{id}")))];
    let mut filter = TagFilter::Test(
        "host",
        TagTest::new(|value| Some(value.is_some_and(|value| value.ends_with('7')))),
    );
    for id in 0..1000 {
        postings.insert(SeriesId(id), &tags(id));
    }
    filter.visit_tests(&mut |tag, test| {
        let values: Vec<_> = postings.values(tag, 0).cloned().collect();
        test.learn(postings.numbering(), &values);
        assert_eq!(test.known(postings.numbering()), 1000);
    });
    let before = postings.numbering();
    for id in 0..700 {
        postings.remove(SeriesId(id), &tags(id));
        postings.remove(SeriesId(id), &tags(id));
    }
    assert!(postings.numbering() > before);
    filter.visit_tests(&mut |_, test| assert_eq!(test.known(postings.numbering()), 0));
    let found: Vec<u32> = postings.select(&filter).iter().collect();
    assert_eq!(
        found,
        (700..1000).filter(|id| id % 10 == 7).collect::<Vec<_>>()
    );
    let values = || postings.values("host", 0).filter(|value| !value.is_empty());
    assert_eq!(values().count(), 300);
    assert!(postings.values("host", 0).count() < 700);
    for id in 700..1000 {
        let value = format!("h{id}");
        let is = postings.select(&TagFilter::Is("host", &value));
        assert_eq!(is.iter().collect::<Vec<_>>(), [id]);
    }
    for id in 700..1000 {
        postings.remove(SeriesId(id), &tags(id));
    }
    assert_eq!((postings.len(), postings.values("host", 0).count()), (0, 0));
    assert_eq!(postings.names().count(), 1, "its name is known for good");
}

proptest! {
    #[test]
    fn sets_say_what_a_walk_says(
        series in series(),
        condition in condition(),
        ahead in 0..5usize,
        gone in proptest::collection::vec(any::<bool>(), 200),
    ) {
        let mut postings = postings(&series);
        // What was asked ahead may be of a numbering that is no more.
        let filter = build(&condition, &postings, ahead);
        for id in (0..series.len()).filter(|&id| gone[id]) {
            postings.remove(SeriesId(id as u32 * 3), &tags_of(&series[id]));
        }
        let found = postings.select(&filter);
        let expected: Vec<u32> = (0..series.len())
            .filter(|&id| !gone[id] && holds(&condition, &series[id]) == Some(true))
            .map(|id| id as u32 * 3)
            .collect();
        prop_assert_eq!(found.iter().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_value_is_kept_small_until_many_series_have_it() {
    let mut posting = Posting::One(50);
    let mut expected = vec![50];
    // Numbers come back out of order after a start.
    for id in [7, 3, 99, 7, 50]
        .into_iter()
        .chain(200..200 + FEW_MAX as u32 * 3)
    {
        posting.insert(id);
        expected.push(id);
        expected.sort_unstable();
        expected.dedup();
        assert_eq!(posting.to_set().iter().collect::<Vec<_>>(), expected);
        assert_eq!(
            matches!(posting, Posting::Many(_)),
            expected.len() > FEW_MAX
        );
    }
    assert_eq!(size_of::<Posting>(), 16);
}

#[test]
fn tags_are_listed_with_their_values() {
    let postings = postings(&[
        vec![Some(2), None, Some(1)],
        vec![Some(2), None, Some(0)],
        vec![Some(1), None, None],
    ]);
    assert_eq!(postings.len(), 3);
    let names: Vec<&str> = postings.names().map(|name| &**name).collect();
    assert_eq!(names, ["host", "zone"]);
    let values = |tag| {
        postings
            .values(tag, 0)
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(values("host"), ["c", "b"]);
    assert_eq!(values("rack"), Vec::<String>::new());
}
