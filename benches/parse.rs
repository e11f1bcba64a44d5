//! Lines of the devops load through the parser, with and without what a connection knows of them.

use std::fmt::Write as _;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use edgetime_protocol::limits::Limits;
use edgetime_protocol::line::{Hints, Layout, NoHints, RawKey};
use edgetime_protocol::session::{Item, Session};
use std::hint::black_box;

const HOSTS: usize = 1_000;
const FIELDS: [&str; 10] = [
    "usage_user",
    "usage_system",
    "usage_idle",
    "usage_nice",
    "usage_iowait",
    "usage_irq",
    "usage_softirq",
    "usage_steal",
    "usage_guest",
    "usage_guest_nice",
];

fn lines() -> Vec<u8> {
    let mut text = String::new();
    for host in 0..HOSTS {
        let fields: Vec<String> = FIELDS
            .iter()
            .enumerate()
            .map(|(i, field)| format!("{field}={}i", (host * 7 + i * 13) % 101))
            .collect();
        writeln!(
            text,
            "cpu,hostname=host_{host},region=eu-west-1,datacenter=eu-west-1b,rack=21,os=Ubuntu15.10,arch=x86,\
             team=SF,service=6,service_version=0,service_environment=test {} 1451606400000000000",
            fields.join(",")
        )
        .expect("memory");
    }
    text.into_bytes()
}

/// A connection that has seen all lines once, in this order.
struct Seen {
    keys: Vec<Vec<u8>>,
    layout: Layout,
    next: usize,
}

impl Hints for Seen {
    fn predicted(&self) -> &[u8] {
        &self.keys[self.next]
    }

    fn layout(&mut self, key: &RawKey<'_>) -> Option<&Layout> {
        if key.predicted {
            self.next = (self.next + 1) % self.keys.len();
        }
        Some(&self.layout)
    }
}

fn drain<H: Hints>(text: &[u8], hints: &mut H) -> u64 {
    let mut session = Session::new(Limits::default());
    let mut sum = 0u64;
    loop {
        match session.next(text, hints) {
            Item::Row(row) => {
                sum = row
                    .cells()
                    .iter()
                    .fold(sum, |sum, cell| sum.wrapping_add(*cell));
            }
            Item::Incomplete { .. } => return sum,
            other => panic!("{other:?}"),
        }
    }
}

fn parse(criterion: &mut Criterion) {
    let text = lines();
    let mut session = Session::new(Limits::default());
    let mut keys = Vec::new();
    let mut layout = None;
    while let Item::Row(row) = session.next(&text, &mut NoHints) {
        keys.push(row.key.to_vec());
        layout = Some(Layout::from_row(&row));
    }
    let mut seen = Seen {
        keys,
        layout: layout.expect("lines"),
        next: 0,
    };
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Elements((HOSTS * FIELDS.len()) as u64));
    group.bench_function("known lines", |b| {
        b.iter(|| drain(black_box(&text), &mut seen));
    });
    group.bench_function("unknown lines", |b| {
        b.iter(|| drain(black_box(&text), &mut NoHints));
    });
    group.finish();
}

criterion_group!(benches, parse);
criterion_main!(benches);
