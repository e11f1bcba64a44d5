//! Series of sensors as `ts_ms,value` files: real ones from the folder that `EDGETIME_TEST_DATA` names, else
//! generated ones of the same shapes from a fixed seed.
#![allow(dead_code, reason = "tests and benchmarks use a part each")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use edgetime_protocol::cell::{MANTISSA_MAX, MARK_RAW, SCALE_MAX};

/// One series.
pub struct Sensor {
    /// What it measures; the name of its file.
    pub name: String,
    /// The file.
    pub text: String,
    /// Whether it comes from a device.
    pub real: bool,
}

impl Sensor {
    /// Whether it is one of [`TYPICAL`].
    pub fn is_typical(&self) -> bool {
        TYPICAL.iter().any(|shape| shape.name == self.name)
    }

    /// Milliseconds and values as they are written, by time; of repeated times the last.
    pub fn rows(&self) -> BTreeMap<i64, &str> {
        let rows = self.text.lines().skip(1).map(|line| {
            let (time, value) = line.split_once(',').expect("two columns");
            (time.parse().expect("a time"), value.trim())
        });
        rows.collect()
    }
}

/// The folder with real series.
fn folder() -> Option<PathBuf> {
    std::env::var_os("EDGETIME_TEST_DATA").map(|path| PathBuf::from(path).join("data"))
}

/// The typical series.
pub fn typical() -> Vec<Sensor> {
    let series = TYPICAL.iter().map(|shape| match folder() {
        Some(folder) => {
            let path = folder.join(format!("{}.csv", shape.name));
            Sensor {
                name: shape.name.to_owned(),
                text: std::fs::read_to_string(&path)
                    .unwrap_or_else(|error| panic!("{}: {error}", path.display())),
                real: true,
            }
        }
        None => shape.generate(),
    });
    series.collect()
}

/// A decimal as it is written, or the double: bits and mark of a cell.
pub fn cell(text: &str) -> (u64, u8) {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mantissa = format!("{whole}{fraction}").parse::<i64>().ok();
    let negative_zero = text.starts_with('-') && mantissa == Some(0);
    match mantissa {
        Some(mantissa)
            if mantissa.abs() <= MANTISSA_MAX
                && fraction.len() <= usize::from(SCALE_MAX)
                && !negative_zero =>
        {
            (mantissa as u64, fraction.len() as u8)
        }
        _ => (text.parse::<f64>().expect("a number").to_bits(), MARK_RAW),
    }
}

/// The typical series, and all others that there are: those without times, in `alp_samples`, as one a second.
pub fn all() -> Vec<Sensor> {
    let mut all = typical();
    if let Some(folder) = folder() {
        all.extend(samples(&folder.join("alp_samples")));
        let entries = std::fs::read_dir(folder).expect("EDGETIME_TEST_DATA/data is a folder");
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "csv"));
        paths.sort();
        for path in paths {
            let name = path.file_stem().expect("a name").to_string_lossy();
            if !TYPICAL.iter().any(|shape| shape.name == name) {
                all.push(Sensor {
                    real: !name.starts_with("syn_"),
                    text: std::fs::read_to_string(&path).expect("readable"),
                    name: name.into_owned(),
                });
            }
        }
    }
    all
}

fn samples(folder: &Path) -> Vec<Sensor> {
    let entries =
        std::fs::read_dir(folder).expect("EDGETIME_TEST_DATA/data/alp_samples is a folder");
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "csv"));
    paths.sort();
    let samples = paths.iter().map(|path| {
        let values = std::fs::read_to_string(path).expect("readable");
        let mut text = "ts_ms,value\n".to_owned();
        for (row, value) in values.lines().enumerate() {
            writeln!(text, "{},{value}", 1_600_000_000_000 + row * 1_000).expect("memory");
        }
        let name = path.file_stem().expect("a name").to_string_lossy();
        Sensor {
            name: format!("alp_{name}"),
            text,
            real: true,
        }
    });
    samples.collect()
}

/// How a series looks.
pub struct Shape {
    /// What it measures.
    pub name: &'static str,
    rows: u64,
    interval_ms: u64,
    /// Times waver by as much.
    jitter_ms: u64,
    /// Decimals.
    scale: u32,
    start: i64,
    course: Course,
}

/// How values follow one another.
enum Course {
    /// Up or down by at most `step`, after at least `hold` rows without a change.
    Walk { step: i64, hold: u64 },
    /// A speed that wavers by `step`, summed up.
    Glide { step: i64, speed: i64 },
    /// Nothing for a while, then anything up to `most`.
    Bursts { most: i64 },
    /// Sums of doubles, with the errors that these have.
    Sums { step: i64 },
}

const fn shape(
    name: &'static str,
    rows: u64,
    (interval_ms, jitter_ms): (u64, u64),
    (scale, start): (u32, i64),
    course: Course,
) -> Shape {
    Shape {
        name,
        rows,
        interval_ms,
        jitter_ms,
        scale,
        start,
        course,
    }
}

/// The series that stand for what sensors of an edge gateway send.
pub const TYPICAL: [Shape; 16] = [
    shape(
        "bike_altitude",
        4_391,
        (1_000, 0),
        (1, 128),
        Course::Sums { step: 2 },
    ),
    shape(
        "bike_cadence",
        4_391,
        (1_000, 0),
        (0, 70),
        Course::Walk { step: 4, hold: 1 },
    ),
    shape(
        "bike_distance",
        4_391,
        (1_000, 0),
        (2, 207),
        Course::Glide {
            step: 12,
            speed: 700,
        },
    ),
    shape(
        "bike_position_lat",
        4_391,
        (1_000, 0),
        (0, -138_827_872),
        Course::Glide {
            step: 40,
            speed: 200,
        },
    ),
    shape(
        "bike_power",
        4_391,
        (1_000, 0),
        (0, 160),
        Course::Walk { step: 25, hold: 0 },
    ),
    shape(
        "bike_speed",
        4_391,
        (1_000, 0),
        (3, 7_100),
        Course::Walk { step: 90, hold: 0 },
    ),
    shape(
        "cgm_glucose",
        8_000,
        (300_000, 0),
        (0, 140),
        Course::Walk { step: 6, hold: 0 },
    ),
    shape(
        "cgm_isig",
        8_000,
        (300_000, 0),
        (2, 2_259),
        Course::Walk { step: 50, hold: 0 },
    ),
    shape(
        "nab_nyc_taxi",
        8_000,
        (1_800_000, 0),
        (0, 14_000),
        Course::Walk { step: 900, hold: 0 },
    ),
    shape(
        "occ_co2",
        8_000,
        (60_000, 1_000),
        (2, 72_125),
        Course::Walk { step: 300, hold: 1 },
    ),
    shape(
        "occ_humidity",
        8_000,
        (60_000, 1_000),
        (3, 27_272),
        Course::Walk { step: 40, hold: 2 },
    ),
    shape(
        "occ_light",
        8_000,
        (60_000, 1_000),
        (0, 0),
        Course::Bursts { most: 550 },
    ),
    shape(
        "occ_occupied",
        8_000,
        (60_000, 1_000),
        (0, 0),
        Course::Bursts { most: 1 },
    ),
    shape(
        "occ_temp",
        8_000,
        (60_000, 1_000),
        (2, 2_318),
        Course::Walk { step: 5, hold: 3 },
    ),
    shape(
        "sea_temp",
        8_000,
        (1_800_000, 0),
        (3, 4_929),
        Course::Walk { step: 60, hold: 0 },
    ),
    shape(
        "sf_hourly_temp",
        8_000,
        (3_600_000, 0),
        (1, 478),
        Course::Walk { step: 8, hold: 0 },
    ),
];

impl Shape {
    fn generate(&self) -> Sensor {
        let mut state = 42 + self.start.unsigned_abs() + self.rows * u64::from(self.scale + 1);
        let mut random = move |bound: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % bound
        };
        let mut text = "ts_ms,value\n".to_owned();
        let (mut value, mut speed, mut held, mut sum) = (self.start, 0, 0, 0.0);
        let mut time = 1_600_000_000_000;
        for _ in 0..self.rows {
            let mut waver = |step: i64| random(2 * step as u64 + 1) as i64 - step;
            match self.course {
                Course::Walk { step, hold } => {
                    if held >= hold {
                        value += waver(step);
                        held = 0;
                    } else {
                        held += 1;
                    }
                }
                Course::Glide { step, speed: most } => {
                    speed = (speed + waver(step)).clamp(0, most);
                    value += speed;
                }
                Course::Bursts { most } => {
                    held = if held == 0 { random(400) + 1 } else { held - 1 };
                    if held == 0 {
                        value = if value == 0 {
                            1 + random(most as u64) as i64
                        } else {
                            0
                        };
                    }
                }
                Course::Sums { step } => sum += waver(step) as f64 / 10.0,
            }
            let unit = 10_i64.pow(self.scale);
            let scale = self.scale as usize;
            let written = match self.course {
                Course::Sums { .. } => (self.start as f64 / unit as f64 + sum).to_string(),
                _ if scale == 0 => value.to_string(),
                _ => {
                    let sign = if value < 0 { "-" } else { "" };
                    let (whole, rest) = (value.abs() / unit, value.abs() % unit);
                    format!("{sign}{whole}.{rest:0scale$}")
                }
            };
            writeln!(text, "{time},{written}").expect("memory");
            let jitter = random(2 * self.jitter_ms + 1);
            time += self.interval_ms - self.jitter_ms + jitter;
        }
        Sensor {
            name: self.name.to_owned(),
            text,
            real: false,
        }
    }
}
