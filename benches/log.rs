//! The log: appends of 16 KiB, alone and with a sync after each.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use edgetimedb::log::{AppendError, FrameParts, FrameType, Log, LogOptions};
use edgetimedb::storage::{self, BackendChoice};
use edgetimedb::types::{Position, StoreId};

fn log(criterion: &mut Criterion) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let payload = vec![0x5a_u8; FRAME_BYTES];
    let frame = FrameParts {
        kind: FrameType::Rows,
        producer: None,
        payload: &payload,
    };
    let mut group = criterion.benchmark_group("log");
    group.throughput(Throughput::Bytes(payload.len() as u64));
    group
        .sample_size(20)
        .measurement_time(Duration::from_secs(4));
    for choice in [BackendChoice::Mmap, BackendChoice::File] {
        let root = folder.path().join(format!("{choice:?}"));
        let storage = storage::open(&root, choice).expect("opens");
        let kind = storage.kind();
        let options = LogOptions::default();
        let opened = Log::open(storage, StoreId(1), options, Position(0), &mut |_| Ok(()));
        let (log, _) = opened.expect("opens");
        group.bench_function(BenchmarkId::new("append 16 KiB", kind), |bencher| {
            bencher.iter_custom(|count| {
                let mut spent = Duration::ZERO;
                for number in 0..count {
                    if number % SYNC_EVERY == 0 {
                        make_room(&log);
                    }
                    let start = std::time::Instant::now();
                    append(&log, black_box(&[frame]));
                    spent += start.elapsed();
                }
                spent
            });
        });
        group.bench_function(
            BenchmarkId::new("append 16 KiB and sync", kind),
            |bencher| {
                bencher.iter(|| {
                    append(&log, black_box(&[frame]));
                    log.sync().expect("syncs");
                    log.recycle(log.durable()).expect("recycles");
                    log.prepare().expect("prepares");
                });
            },
        );
        group.bench_function(BenchmarkId::new("append 512 B and sync", kind), |bencher| {
            let frame = FrameParts {
                payload: &payload[..512],
                ..frame
            };
            bencher.iter(|| {
                append(&log, black_box(&[frame]));
                log.sync().expect("syncs");
                log.recycle(log.durable()).expect("recycles");
                log.prepare().expect("prepares");
            });
        });
    }
    group.finish();
}

/// What the thread that syncs does, outside of what is measured.
fn make_room(log: &Log) {
    log.sync().expect("syncs");
    log.recycle(log.durable()).expect("recycles");
    log.prepare().expect("prepares");
}

fn append(log: &Log, frames: &[FrameParts<'_>]) {
    loop {
        match log.append(log.epoch(), frames) {
            Ok(_) => return,
            Err(AppendError::EpochChanged(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

const FRAME_BYTES: usize = 16 << 10;
/// Appends between two syncs: 1 MiB.
const SYNC_EVERY: u64 = 64;

criterion_group!(benches, log);
criterion_main!(benches);
