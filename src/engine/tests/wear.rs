//! What rows cost the log: bytes a value, and bytes synced for a byte of payload.

use super::*;

/// Hosts of ten numbers that walk between 0 and 100, one row each in every step.
#[test]
fn rows_of_devops_take_few_bytes_of_the_log() {
    const HOSTS: usize = 500;
    const FIELDS: usize = 10;
    let folder = tempfile::tempdir().expect("a folder");
    let log = LogOptions {
        segment_size_bytes: 1 << 20,
        ..options().log
    };
    let engine = open(folder.path(), EngineOptions { log, ..options() });
    let database = engine.resolve_database(&Access::full(), "default");
    let database = database.expect("room");
    let hosts: Vec<SeriesRef> = (0..HOSTS)
        .map(|host| {
            let host = format!("host_{host}");
            let mut tags = [("hostname", host.as_str()), ("region", "eu-west-1")];
            let series = engine.resolve_series(database, "cpu", &mut tags);
            series.expect("room")
        })
        .collect();
    let names: Vec<String> = (0..FIELDS).map(|field| format!("usage_{field}")).collect();
    let fields: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), FieldType::Integer))
        .collect();
    let plan = engine.resolve_layout(hosts[0].measurement, &fields);
    let layout = plan.expect("room").layout;
    let mut values = vec![50_u64; HOSTS * FIELDS];
    let mut random = 1_u64;
    let mut batch = engine.batch();
    let mut step = |engine: &Engine, number: i64| {
        let index = batch.layout_index(&layout);
        for (host, &series) in hosts.iter().enumerate() {
            let cells = &mut values[host * FIELDS..][..FIELDS];
            for cell in &mut *cells {
                random = random.wrapping_mul(6_364_136_223_846_793_005) + 1;
                let up = random >> 63 == 1;
                *cell = if up {
                    (*cell + 1).min(100)
                } else {
                    cell.saturating_sub(1)
                };
            }
            let time = NOW + number * 10 * SECOND;
            batch.push(series, index, Some(time), (cells, &[0; FIELDS], &[]), 0);
        }
        assert!(engine.write(&mut batch).error.is_none(), "room");
    };
    // The first step names the series.
    step(&engine, 0);
    engine.sync().expect("syncs");
    for steps in [1, 10] {
        let before = engine.log_usage();
        for number in 1..=20 {
            step(&engine, steps * 100 + number);
            if number % steps == 0 {
                engine.sync().expect("syncs");
            }
        }
        let after = engine.log_usage();
        let logged = (after.bytes_appended - before.bytes_appended) as f64;
        let per_value = logged / (20 * HOSTS * FIELDS) as f64;
        assert!(per_value <= 4.0, "{per_value} bytes a value");
        // A group ends with its page, and a shard has a frame of it in every step: from 44 KiB on that is a tenth.
        let syncs = after.syncs - before.syncs;
        let payload = after.payload_bytes - before.payload_bytes;
        let synced = after.bytes_synced - before.bytes_synced;
        println!(
            "groups of {} bytes: {per_value:.3} bytes a value, {:.3} synced for a byte of payload",
            payload / syncs,
            synced as f64 / payload as f64
        );
        assert!(synced <= payload + syncs * 4096 + 20 * 3 * 32 + syncs * 32);
        assert!(steps == 1 || payload / syncs >= 44 << 10 && synced * 10 <= payload * 11);
    }
}
