//! The `devops` workload: the cpu-only case of the Time Series Benchmark Suite.
//!
//! Measurement `cpu`, ten tags of a host, ten fields `usage_*` that walk between 0 and 100 in normal steps of
//! deviation 1. All values of a host come from its own generator, so they are the same in every order.

use std::io::Write as _;

use super::Values;
use super::prefixes::Prefixes;
use super::random::{SplitMix64, mix};
use super::text::{push_double, push_hundredths, push_unsigned};

/// Fields of a line.
pub const FIELDS: usize = 10;

/// All hosts of the load.
#[derive(Debug)]
pub struct Devops {
    values: Values,
    prefixes: Prefixes,
    hosts: Vec<Host>,
}

impl Devops {
    /// The hosts with these ids, in this order.
    pub fn new(ids: impl Iterator<Item = u64>, seed: u64, values: Values) -> Self {
        let mut prefixes = Prefixes::default();
        let hosts = ids
            .map(|id| {
                let mut random = SplitMix64::new(seed ^ mix(id));
                prefixes.push(|out| push_tags(out, id, &mut random));
                let usage = std::array::from_fn(|_| random.unit() * USAGE_MAX);
                Host { random, usage }
            })
            .collect();
        Self {
            values,
            prefixes,
            hosts,
        }
    }

    /// Hosts.
    pub fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Appends the next line of a host, with this time and newline behind it. Returns its number of values.
    #[inline]
    pub fn push_line(&mut self, index: usize, time: &[u8], out: &mut Vec<u8>) -> u64 {
        out.extend_from_slice(self.prefixes.get(index));
        let host = &mut self.hosts[index];
        for (usage, key) in host.usage.iter_mut().zip(KEYS) {
            *usage = (*usage + host.random.normal()).clamp(0.0, USAGE_MAX);
            out.extend_from_slice(key);
            match self.values {
                Values::Int => {
                    push_unsigned(out, *usage as u64);
                    out.push(b'i');
                }
                Values::Dec2 => push_hundredths(out, (*usage * 100.0) as i64),
                Values::Double => push_double(out, *usage),
            }
        }
        out.extend_from_slice(time);
        FIELDS as u64
    }
}

#[derive(Debug)]
struct Host {
    random: SplitMix64,
    usage: [f64; FIELDS],
}

/// Appends measurement, tags and a space.
fn push_tags(out: &mut Vec<u8>, id: u64, random: &mut SplitMix64) {
    let (region, zones) = REGIONS[random.below(REGIONS.len() as u64) as usize];
    let zone = pick(random, zones);
    let rack = random.below(100);
    let system = pick(random, &SYSTEMS);
    let arch = pick(random, &ARCHITECTURES);
    let team = pick(random, &TEAMS);
    let service = random.below(20);
    let version = random.below(2);
    let environment = pick(random, &ENVIRONMENTS);
    write!(
        out,
        "cpu,hostname=host_{id},region={region},datacenter={region}{zone},rack={rack},os={system},\
         arch={arch},team={team},service={service},service_version={version},\
         service_environment={environment} "
    )
    .expect("a vector takes every byte");
}

fn pick(random: &mut SplitMix64, from: &[&'static str]) -> &'static str {
    from[random.below(from.len() as u64) as usize]
}

/// Largest value of a field; the least is 0.
const USAGE_MAX: f64 = 100.0;

/// Keys of the fields, with the comma before and the sign behind.
const KEYS: [&[u8]; FIELDS] = [
    b"usage_user=",
    b",usage_system=",
    b",usage_idle=",
    b",usage_nice=",
    b",usage_iowait=",
    b",usage_irq=",
    b",usage_softirq=",
    b",usage_steal=",
    b",usage_guest=",
    b",usage_guest_nice=",
];

/// Regions, and the letters of their data centers.
const REGIONS: [(&str, &[&str]); 9] = [
    ("us-east-1", &["a", "b", "c", "e"]),
    ("us-west-1", &["a", "b"]),
    ("us-west-2", &["a", "b", "c"]),
    ("eu-west-1", &["a", "b", "c"]),
    ("eu-central-1", &["a", "b"]),
    ("ap-southeast-1", &["a", "b"]),
    ("ap-southeast-2", &["a", "b"]),
    ("ap-northeast-1", &["a", "c"]),
    ("sa-east-1", &["a", "b", "c"]),
];
const SYSTEMS: [&str; 3] = ["Ubuntu15.10", "Ubuntu16.04LTS", "Ubuntu16.10"];
const ARCHITECTURES: [&str; 2] = ["x64", "x86"];
const TEAMS: [&str; 4] = ["CHI", "LON", "NYC", "SF"];
const ENVIRONMENTS: [&str; 3] = ["production", "staging", "test"];
