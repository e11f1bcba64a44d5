//! Loads are what they promise: repeatable, counted, well formed, in range.

use std::collections::{HashMap, HashSet};

use super::*;

const MINUTE_NS: u64 = 60_000_000_000;

fn all(mut generator: Generator, bytes_min: usize) -> (String, Summary) {
    let mut out = Vec::new();
    while generator.fill(&mut out, bytes_min) {}
    let text = String::from_utf8(out).expect("lines are text");
    assert_eq!(generator.summary().bytes, text.len() as u64);
    assert_eq!(generator.summary().lines, text.lines().count() as u64);
    (text, generator.summary())
}

fn made(options: WorkloadOptions) -> (String, Summary) {
    all(Generator::new(options).expect("options are valid"), 1000)
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

/// A line taken apart: measurement and tags, fields, time.
fn parts(line: &str) -> (&str, Vec<(&str, &str)>, i64) {
    let [series, fields, time] = line
        .split(' ')
        .collect::<Vec<_>>()
        .try_into()
        .expect("two spaces");
    let fields = fields
        .split(',')
        .map(|field| field.split_once('=').expect("key=value"))
        .collect();
    (series, fields, time.parse().expect("time in nanoseconds"))
}

#[test]
fn the_same_seed_makes_the_same_bytes() {
    for workload in [Workload::Devops, Workload::Iot] {
        let options = WorkloadOptions {
            order: Order::Random,
            late: 0.1,
            ..WorkloadOptions::new(workload, 20, 5 * MINUTE_NS)
        };
        let (first, _) = made(options);
        assert_eq!(first, made(options).0);
        assert_ne!(first, made(WorkloadOptions { seed: 2, ..options }).0);
    }
}

#[test]
fn bytes_do_not_change_between_versions() {
    let (devops, _) = made(WorkloadOptions::new(Workload::Devops, 1, 10_000_000_000));
    assert_eq!(
        devops,
        "cpu,hostname=host_0,region=ap-southeast-2,datacenter=ap-southeast-2a,rack=43,os=Ubuntu16.10,\
         arch=x64,team=NYC,service=9,service_version=0,service_environment=production \
         usage_user=90i,usage_system=51i,usage_idle=55i,usage_nice=94i,usage_iowait=21i,usage_irq=13i,\
         usage_softirq=54i,usage_steal=8i,usage_guest=49i,usage_guest_nice=50i 1767225600000000000\n"
    );
    for (workload, crc) in [
        (Workload::Devops, 2_546_478_597),
        (Workload::Iot, 1_181_746_496),
    ] {
        let options = WorkloadOptions {
            order: Order::Random,
            late: 0.1,
            ..WorkloadOptions::new(workload, 20, 5 * MINUTE_NS)
        };
        assert_eq!(
            crc32fast::hash(made(options).0.as_bytes()),
            crc,
            "{workload:?}"
        );
    }
}

#[test]
fn the_size_of_buffers_changes_nothing() {
    let options = WorkloadOptions {
        late: 0.2,
        ..WorkloadOptions::new(Workload::Iot, 7, 3 * MINUTE_NS)
    };
    let generator = || Generator::new(options).expect("options are valid");
    let (whole, summary) = all(generator(), usize::MAX);
    for bytes_min in [1, 100, 65_536] {
        assert_eq!(all(generator(), bytes_min), (whole.clone(), summary));
    }
}

#[test]
fn counts_are_exact() {
    let (_, devops) = made(WorkloadOptions::new(Workload::Devops, 30, 10 * MINUTE_NS));
    assert_eq!((devops.lines, devops.values), (30 * 60, 30 * 60 * 10));
    let (_, iot) = made(WorkloadOptions::new(Workload::Iot, 40, MINUTE_NS));
    assert_eq!((iot.lines, iot.values), (40 * 60, 40 * 60 * 5 / 2));
    let uneven = WorkloadOptions {
        interval_ns: 7_000_000_000,
        ..WorkloadOptions::new(Workload::Iot, 1, MINUTE_NS)
    };
    assert_eq!(made(uneven).1.lines, 9, "0, 7, .. 56 s");
}

#[test]
fn rows_do_not_depend_on_order_lateness_or_parts() {
    for workload in [Workload::Devops, Workload::Iot] {
        let plain = WorkloadOptions::new(workload, 10, 4 * MINUTE_NS);
        let (expected, counts) = made(plain);
        let shuffled = WorkloadOptions {
            order: Order::Random,
            late: 0.3,
            ..plain
        };
        let (text, summary) = made(shuffled);
        assert_ne!(text, expected);
        assert_eq!(sorted(&text), sorted(&expected));
        assert_eq!(
            (summary.lines, summary.values),
            (counts.lines, counts.values)
        );

        let mut together = String::new();
        for index in 0..3 {
            let part = Generator::part(shuffled, index, 3).expect("a part of three");
            together += &all(part, 1).0;
        }
        assert_eq!(sorted(&together), sorted(&expected));
    }
}

#[test]
fn devops_lines_have_ten_tags_and_ten_walks() {
    for values in [Values::Int, Values::Dec2, Values::Double] {
        let options = WorkloadOptions {
            values,
            ..WorkloadOptions::new(Workload::Devops, 50, 10 * MINUTE_NS)
        };
        let mut before: HashMap<(String, String), f64> = HashMap::new();
        for line in made(options).0.lines() {
            let (series, fields, time) = parts(line);
            assert!(series.starts_with("cpu,hostname=host_"), "{line}");
            assert_eq!(
                (series.matches(',').count(), fields.len()),
                (10, 10),
                "{line}"
            );
            assert_eq!((time - START_NS) % 10_000_000_000, 0, "{line}");
            for (key, value) in fields {
                assert!(key.starts_with("usage_"), "{line}");
                let number: f64 = match values {
                    Values::Int => value.strip_suffix('i').expect("an integer"),
                    Values::Dec2 => {
                        assert_eq!(value.split_once('.').expect("a point").1.len(), 2);
                        value
                    }
                    Values::Double => value,
                }
                .parse()
                .expect("a number");
                assert!((0.0..=100.0).contains(&number), "{line}");
                let was = before.insert((series.to_owned(), key.to_owned()), number);
                assert!(
                    (was.unwrap_or(number) - number).abs() < 5.0,
                    "no walk: {line}"
                );
            }
        }
        assert_eq!(before.len(), 500);
    }
}

#[test]
fn doubles_use_their_digits() {
    let options = WorkloadOptions {
        values: Values::Double,
        ..WorkloadOptions::new(Workload::Devops, 1, 10_000_000_000)
    };
    let text = made(options).0;
    let (_, fields, _) = parts(text.trim_end());
    assert!(fields.iter().all(|(_, value)| value.len() > 12), "{text}");
}

#[test]
fn iot_lines_have_three_tags_and_one_to_four_fields() {
    let (text, _) = made(WorkloadOptions::new(Workload::Iot, 8, 20 * MINUTE_NS));
    let mut pulses_before: HashMap<String, i64> = HashMap::new();
    let mut open_seen = HashSet::new();
    for line in text.lines() {
        let (series, fields, _) = parts(line);
        assert!(series.starts_with("readings,sensor=sensor_"), "{line}");
        assert_eq!(series.matches(',').count(), 3, "{line}");
        let id: usize = series["readings,sensor=sensor_".len()..]
            .split_once(',')
            .and_then(|(id, _)| id.parse().ok())
            .expect("an id");
        assert_eq!(fields.len(), id % 4 + 1, "{line}");
        for (key, value) in fields {
            match key {
                "temperature" => {
                    let degrees: f64 = value.parse().expect("a number");
                    assert!((-40.0..=85.0).contains(&degrees), "{line}");
                }
                "open" => {
                    open_seen.insert(value.parse::<bool>().expect("a boolean"));
                }
                "pulses" => {
                    let count = value.trim_end_matches('i').parse().expect("an integer");
                    let was = pulses_before.insert(series.to_owned(), count);
                    assert!((0..=3).contains(&(count - was.unwrap_or(count))), "{line}");
                }
                "vibration" => {
                    let noise: f64 = value.parse().expect("a number");
                    assert!((0.15..=0.85).contains(&noise), "{line}");
                }
                _ => panic!("no such field: {line}"),
            }
        }
    }
    assert_eq!(open_seen.len(), 2, "both states occur");
}

#[test]
fn time_order_keeps_the_order_of_series_and_random_order_does_not() {
    let options = WorkloadOptions::new(Workload::Devops, 50, MINUTE_NS);
    let orders = |options| {
        let text = made(options).0;
        let mut times = Vec::new();
        let mut orders: Vec<Vec<String>> = Vec::new();
        for line in text.lines() {
            let (series, _, time) = parts(line);
            if times.last() != Some(&time) {
                times.push(time);
                orders.push(Vec::new());
            }
            orders
                .last_mut()
                .expect("just pushed")
                .push(series.to_owned());
        }
        assert_eq!(times.len(), 6, "steps come one after another");
        assert!(times.is_sorted());
        orders
    };
    let in_time = orders(options);
    assert!(in_time.windows(2).all(|pair| pair[0] == pair[1]));
    let random = orders(WorkloadOptions {
        order: Order::Random,
        ..options
    });
    assert!(random.windows(2).all(|pair| pair[0] != pair[1]));
}

#[test]
fn the_share_of_late_rows_is_the_one_asked_for() {
    let options = WorkloadOptions {
        late: 0.05,
        ..WorkloadOptions::new(Workload::Iot, 10, 60 * MINUTE_NS)
    };
    let (text, summary) = made(options);
    let mut newest: HashMap<&str, i64> = HashMap::new();
    let mut overtaken = 0_u64;
    for line in text.lines() {
        let (series, _, time) = parts(line);
        let newest = newest.entry(series).or_insert(time);
        if time < *newest {
            overtaken += 1;
            assert!((*newest - time) as u64 <= LATE_STEPS_MAX * options.interval_ns);
        }
        *newest = time.max(*newest);
    }
    for late in [summary.late, overtaken] {
        let share = late as f64 / summary.lines as f64;
        assert!((0.04..0.06).contains(&share), "{share}");
    }
    let (text, summary) = made(WorkloadOptions {
        late: 0.0,
        ..options
    });
    assert_eq!(summary.late, 0);
    assert!(text.lines().map(|line| parts(line).2).is_sorted());
}

#[test]
fn what_cannot_be_made_is_refused() {
    let options = WorkloadOptions::new(Workload::Devops, 3, MINUTE_NS);
    let refused =
        |options: WorkloadOptions| Generator::new(options).map(|_| ()).expect_err("refused");
    assert_eq!(
        refused(WorkloadOptions {
            series: 0,
            ..options
        }),
        WorkloadError::Series { series: 0 }
    );
    assert_eq!(
        refused(WorkloadOptions {
            interval_ns: 0,
            ..options
        }),
        WorkloadError::Interval
    );
    assert_eq!(
        refused(WorkloadOptions {
            span_ns: 0,
            ..options
        }),
        WorkloadError::Span
    );
    for late in [-0.1, 1.1, f64::NAN] {
        assert!(matches!(
            refused(WorkloadOptions { late, ..options }),
            WorkloadError::Late { .. }
        ));
    }
    for (span_ns, start_ns) in [(1, i64::MAX), (1, -1), (u64::MAX, 0)] {
        assert_eq!(
            refused(WorkloadOptions {
                span_ns,
                start_ns,
                ..options
            }),
            WorkloadError::Times { start_ns, span_ns }
        );
    }
    for (index, parts) in [(0, 0), (2, 2), (0, 4)] {
        let error = Generator::part(options, index, parts)
            .map(|_| ())
            .expect_err("refused");
        assert_eq!(error, WorkloadError::Part { index, parts });
    }
}
