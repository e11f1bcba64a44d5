//! A device without room: writers get a retryable error, readers their rows, and writing resumes by itself.
//!
//! The file system is a real one of a few MB, in memory, mounted where this process may mount: it is root, or
//! it can be root of a user and mount namespace of its own, in which the test then runs once more.
//! `EDGETIME_FULL_ROUNDS` makes it the soak run of `tests/README.md`.

mod support;

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use support::Server;

const START_NS: u64 = 1_700_000_000_000_000_000;
const SIZE: &str = "size=12m";
/// A log of 1 MiB.
const ARGUMENTS: [&str; 9] = [
    "--no-self-monitor",
    "--set",
    "log.segment_size_bytes=131072",
    "--set",
    "log.log_size_bytes=1048576",
    "--set",
    "checkpoint.interval_s=1",
    "--set",
    "meta.pool_size_max=1",
];

/// Bounds that fit the device; and none, so that it is a failed write that tells.
const BOUNDS: [[&str; 4]; 2] = [
    [
        "--set",
        "limits.disk_low_bytes=3000000",
        "--set",
        "limits.disk_full_bytes=1000000",
    ],
    [
        "--set",
        "limits.disk_low_bytes=0",
        "--set",
        "limits.disk_full_bytes=0",
    ],
];

/// A mounted file system, unmounted when dropped.
struct Device {
    root: PathBuf,
    _folder: tempfile::TempDir,
}

impl Device {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().to_owned();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", SIZE, "tmpfs"])
            .arg(&root)
            .output()
            .expect("mount(8) is there");
        mounted.status.success().then_some(Self {
            root,
            _folder: folder,
        })
    }

    fn ballast(&self) -> PathBuf {
        self.root.join("ballast")
    }

    /// Takes all the room there is.
    fn fill(&self) {
        let mut file = File::options()
            .append(true)
            .create(true)
            .open(self.ballast())
            .expect("a file");
        for size in [64 * 1024, 4096] {
            while file.write_all(&vec![0xee; size]).is_ok() {}
        }
    }

    fn free(&self) {
        std::fs::remove_file(self.ballast()).expect("there");
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // Lazily: a server may be ending.
        let _ = Command::new("umount").arg("-l").arg(&self.root).status();
    }
}

/// Runs a test again as root of a namespace of its own. It fails where that cannot be had either.
fn in_a_namespace(test: &str) {
    assert!(
        std::env::var_os(INSIDE).is_none(),
        "nothing can be mounted in the namespace either"
    );
    let program = std::env::current_exe().expect("this test");
    let status = Command::new("unshare")
        .arg("-Urm")
        .arg(program)
        .args([test, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .expect("unshare(1) is there");
    assert!(status.success(), "in a namespace of its own: {status}");
}

const INSIDE: &str = "EDGETIME_TEST_INSIDE_NAMESPACE";

/// What the server said of one batch.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Durable,
    Refused,
}

/// The rows that were acknowledged: row i has the value 7 i.
#[derive(Default)]
struct Ledger {
    acknowledged: Vec<u64>,
    next: u64,
}

const BATCH_ROWS: u64 = 50;

impl Ledger {
    /// Writes one batch and waits for what becomes of it.
    fn write(&mut self, server: &Server) -> Answer {
        let mut text = String::from("#edge ack durable\n");
        let first = self.next;
        for row in first..first + BATCH_ROWS {
            // Noise, which no codec makes smaller.
            let noise = row.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let noise = format!("{noise:016x}{:016x}", noise.rotate_left(29) ^ (row << 40));
            let time = START_NS + row;
            writeln!(text, "m,s=s{} v={}i,w=\"{noise}\" {time}", row % 3, row * 7).expect("memory");
        }
        self.next += BATCH_ROWS;
        let mut session = server.text();
        session.send(text);
        let (mut accepted, mut refused) = (0, 0);
        while accepted + refused < BATCH_ROWS {
            let line = session.answer();
            if let Some(rows) = line.strip_prefix('+') {
                let rows = rows.split_once(' ').expect("position and rows").1;
                accepted += rows.parse::<u64>().expect("a number");
            } else {
                let code = line.split(' ').nth(1);
                assert!(line.starts_with('-') && code == Some("full"), "{line:?}");
                refused += 1;
            }
        }
        if refused > 0 {
            return Answer::Refused;
        }
        self.acknowledged.extend(first..first + BATCH_ROWS);
        Answer::Durable
    }

    /// Writes until a batch is refused.
    fn write_until_refused(&mut self, server: &Server) {
        while self.write(server) == Answer::Durable {}
    }

    /// Writes until a batch is taken; how long that was.
    fn write_until_taken(&mut self, server: &Server) -> Duration {
        let began = Instant::now();
        while self.write(server) == Answer::Refused {
            std::thread::yield_now();
        }
        began.elapsed()
    }

    /// Every acknowledged row is there, and none was made up.
    fn check(&self, server: &Server) {
        let rows = server.query("SELECT time, v FROM m ORDER BY time");
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            let i = row[0].parse::<u64>().expect("a time") - START_NS;
            assert!(i < self.next && row[1] == (i * 7).to_string(), "{row:?}");
            found.push(i);
        }
        for row in &self.acknowledged {
            assert!(found.binary_search(row).is_ok(), "row {row} is lost");
        }
    }
}

fn start(root: &Path, settings: &[&str]) -> Server {
    let mut arguments = ARGUMENTS.to_vec();
    arguments.extend(settings);
    Server::start(&root.join("data"), &arguments)
}

fn state(server: &Server) -> String {
    let status = server.admin("status --json");
    let status: serde_json::Value =
        serde_json::from_str(status.lines().next().expect("an answer")).expect("JSON");
    status["state"].as_str().expect("a string").to_owned()
}

fn rounds(settings: &[&str], device: &Device) {
    let rounds: u64 =
        std::env::var("EDGETIME_FULL_ROUNDS").map_or(4, |text| text.parse().expect("a number"));
    let mut ledger = Ledger::default();
    let mut longest = Duration::ZERO;
    let mut server = start(&device.root, settings);
    ledger.write_until_taken(&server);
    for round in 0..rounds {
        device.fill();
        ledger.write_until_refused(&server);
        assert_eq!(state(&server), "full");
        ledger.check(&server);
        if round % 2 == 1 {
            // It dies while full, and starts while full.
            server.kill();
            server = start(&device.root, settings);
            ledger.write_until_refused(&server);
            assert_eq!(state(&server), "full");
            ledger.check(&server);
        }
        device.free();
        longest = longest.max(ledger.write_until_taken(&server));
        assert_eq!(state(&server), "ok");
        ledger.check(&server);
    }
    println!(
        "{settings:?}: {rounds} rounds, {} rows acknowledged, resumed within {longest:?}",
        ledger.acknowledged.len()
    );
    assert!(longest < Duration::from_secs(2), "{longest:?}");
    assert!(server.stop());
    let server = start(&device.root, settings);
    assert_eq!(state(&server), "ok");
    ledger.check(&server);
    server.kill();
}

#[test]
fn a_full_device_refuses_rows_and_resumes_by_itself() {
    for backend in ["log.backend=mmap", "log.backend=file"] {
        let Some(device) = Device::mount() else {
            return in_a_namespace("a_full_device_refuses_rows_and_resumes_by_itself");
        };
        for bounds in BOUNDS {
            let mut settings = bounds.to_vec();
            settings.extend(["--set", backend]);
            rounds(&settings, &device);
            std::fs::remove_dir_all(device.root.join("data")).expect("its server has ended");
        }
    }
}
