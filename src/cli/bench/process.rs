//! Processor time of a process, as the system counts it.

use std::fs;

use crate::cli::CommandError;

/// A process whose time is counted from now on.
#[derive(Debug)]
pub(super) struct CpuTime {
    pid: u32,
    before_s: f64,
}

impl CpuTime {
    /// Starts to count, if there is a process to watch.
    pub(super) fn of(pid: Option<u32>) -> Result<Option<Self>, CommandError> {
        pid.map(|pid| {
            Ok(Self {
                pid,
                before_s: total_s(pid)?,
            })
        })
        .transpose()
    }

    /// Seconds since then, of all threads, user and system.
    pub(super) fn seconds(&self) -> Result<f64, CommandError> {
        Ok(total_s(self.pid)? - self.before_s)
    }
}

fn total_s(pid: u32) -> Result<f64, CommandError> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).map_err(|error| {
        CommandError::Failed(format!(
            "{path}: {error}; give --server-pid a process of this machine"
        ))
    })?;
    parse(&text).ok_or_else(|| CommandError::Failed(format!("{path}: not in the form of proc(5)")))
}

/// User and system time are the 14th and 15th word; the second is a name in brackets that may hold anything.
fn parse(stat: &str) -> Option<f64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut words = behind_name.split_ascii_whitespace().skip(11);
    let user: u64 = words.next()?.parse().ok()?;
    let system: u64 = words.next()?.parse().ok()?;
    Some((user + system) as f64 / TICKS_PER_SECOND)
}

/// What Linux shows to programs on all machines that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_process_does_not_confuse() {
        let stat = "42 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 1";
        assert_eq!(parse(stat), Some(3.0));
        assert_eq!(parse("42"), None);
        assert!(CpuTime::of(Some(std::process::id())).is_ok_and(|own| own.is_some()));
    }
}
