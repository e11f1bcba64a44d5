//! The `iot` workload: sensors with one to four fields, once a second.
//!
//! Measurement `readings`, tags `sensor`, `site` and `model`. A sensor whose id leaves the remainder r on division
//! by four has the first r + 1 of these fields, so the load averages 2.5 values a line:
//!
//! | field | what it does |
//! | --- | --- |
//! | `temperature` | walks between -40 and 85 in normal steps of deviation 0.05; its form is `--values` |
//! | `open` | a boolean that changes every 200 rows or so |
//! | `pulses` | an integer counter that grows by 0 to 3 a row |
//! | `vibration` | noise of deviation 0.1 around 0.5, a double in all its digits |

use std::io::Write as _;

use super::Values;
use super::prefixes::Prefixes;
use super::random::{SplitMix64, mix};
use super::text::{push_double, push_hundredths, push_integer, push_unsigned};

/// All sensors of the load.
#[derive(Debug)]
pub struct Iot {
    values: Values,
    prefixes: Prefixes,
    sensors: Vec<Sensor>,
}

impl Iot {
    /// The sensors with these ids, in this order.
    pub fn new(ids: impl Iterator<Item = u64>, seed: u64, values: Values) -> Self {
        let mut prefixes = Prefixes::default();
        let sensors = ids
            .map(|id| {
                let mut random = SplitMix64::new(seed ^ mix(id));
                let kind = (id % KINDS) as u8;
                prefixes.push(|out| {
                    let site = random.below(SITES);
                    let model = MODELS[usize::from(kind)];
                    write!(
                        out,
                        "readings,sensor=sensor_{id},site=site_{site},model={model} "
                    )
                    .expect("a vector takes every byte");
                });
                Sensor {
                    kind,
                    open: random.below(2) == 1,
                    temperature: 15.0 + random.unit() * 15.0,
                    pulses: random.below(1_000_000),
                    random,
                }
            })
            .collect();
        Self {
            values,
            prefixes,
            sensors,
        }
    }

    /// Sensors.
    pub fn len(&self) -> usize {
        self.sensors.len()
    }

    /// Appends the next line of a sensor, with this time and newline behind it. Returns its number of values.
    #[inline]
    pub fn push_line(&mut self, index: usize, time: &[u8], out: &mut Vec<u8>) -> u64 {
        out.extend_from_slice(self.prefixes.get(index));
        let sensor = &mut self.sensors[index];
        let random = &mut sensor.random;

        let step = random.normal() * TEMPERATURE_STEP;
        sensor.temperature = (sensor.temperature + step).clamp(TEMPERATURE_MIN, TEMPERATURE_MAX);
        out.extend_from_slice(b"temperature=");
        match self.values {
            Values::Int => {
                push_integer(out, sensor.temperature as i64);
                out.push(b'i');
            }
            Values::Dec2 => push_hundredths(out, (sensor.temperature * 100.0) as i64),
            Values::Double => push_double(out, sensor.temperature),
        }
        if sensor.kind >= 1 {
            sensor.open ^= random.below(OPEN_ROWS) == 0;
            let text: &[u8] = if sensor.open {
                b",open=true"
            } else {
                b",open=false"
            };
            out.extend_from_slice(text);
        }
        if sensor.kind >= 2 {
            sensor.pulses += random.below(4);
            out.extend_from_slice(b",pulses=");
            push_unsigned(out, sensor.pulses);
            out.push(b'i');
        }
        if sensor.kind >= 3 {
            out.extend_from_slice(b",vibration=");
            push_double(out, 0.5 + random.normal() * 0.1);
        }
        out.extend_from_slice(time);
        u64::from(sensor.kind) + 1
    }
}

#[derive(Debug)]
struct Sensor {
    random: SplitMix64,
    temperature: f64,
    pulses: u64,
    open: bool,
    /// One less than its number of fields.
    kind: u8,
}

/// Kinds of sensors, by their number of fields.
const KINDS: u64 = 4;
/// Models, one a kind.
const MODELS: [&str; KINDS as usize] = ["t1", "td2", "tdp3", "tdpv4"];
/// Sites over which sensors are spread.
const SITES: u64 = 20;
/// Rows after which `open` changes, on average.
const OPEN_ROWS: u64 = 200;
/// Bounds and step of `temperature`, degrees Celsius.
const TEMPERATURE_MIN: f64 = -40.0;
const TEMPERATURE_MAX: f64 = 85.0;
const TEMPERATURE_STEP: f64 = 0.05;
