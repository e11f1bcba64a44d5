//! What was lost has a name, and keeps it until somebody has taken note.

use super::*;
use crate::engine::Loss;

/// Flips a bit of the first file of a folder that holds `text`, in the middle of it.
fn damage(folder: &Path, text: &[u8]) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let mut bytes = std::fs::read(&path).expect("readable");
        if let Some(at) = bytes.windows(text.len()).position(|part| part == text) {
            bytes[at + text.len() / 2] ^= 1;
            std::fs::write(&path, bytes).expect("writable");
            return;
        }
    }
    panic!("nothing in {} holds {text:?}", folder.display());
}

fn degraded(engine: &Engine) -> bool {
    engine.status().state == "degraded"
}

#[test]
fn a_gap_of_the_log_names_positions_times_and_series_until_it_is_acknowledged() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path(), options());
    let mut ends = Vec::new();
    for i in 0..9 {
        let host = ["a", "b", "c"][i as usize % 3];
        let text = format!("this is row {i}");
        ends.push(write_row(&engine, host, Some(NOW + i * SECOND), i, &text));
        engine.sync().expect("syncs");
    }
    assert!(!degraded(&engine));
    drop(engine);
    damage(&folder.path().join("log"), b"this is row 4");
    let first: Vec<Loss>;
    {
        let engine = open(folder.path(), options());
        assert!(degraded(&engine));
        first = engine.losses();
        let [loss] = &first[..] else {
            panic!("{first:?}")
        };
        assert_eq!((loss.id, &*loss.kind), (1, "log"));
        assert!(loss.from < loss.to && loss.to <= Some(ends[4]), "{loss:?}");
        assert_eq!(loss.series, ["default:cpu,host=b,zone=z"]);
        assert_eq!((loss.rows, loss.rows_salvaged), (Some(1), 4));
        // From the row before to the row behind.
        assert_eq!(loss.times, Some((NOW + 3 * SECOND, NOW + 5 * SECOND)));
        let name = loss.quarantine.as_ref().expect("a copy");
        let report = std::fs::read(folder.path().join(format!("{name}.json"))).expect("a report");
        let report: Loss = serde_json::from_slice(&report).expect("JSON");
        assert_eq!(report.series, loss.series);
        let rows: usize = ["a", "b", "c"]
            .map(|host| read_all(&engine, host).len())
            .iter()
            .sum();
        assert_eq!(rows, 8);
    }
    // Still in the log; then only in the checkpoint.
    for _ in 0..3 {
        let engine = open(folder.path(), options());
        assert_eq!(engine.losses(), first);
        engine.checkpoint_everything().expect("writes");
        assert!(degraded(&engine));
    }
    let engine = open(folder.path(), options());
    assert_eq!(
        engine.opened().log.corruption,
        [],
        "it is known from the checkpoint alone"
    );
    assert_eq!(engine.losses(), first);
    assert_eq!(engine.acknowledge_losses(0).expect("writes"), 0);
    assert_eq!(engine.acknowledge_losses(1).expect("writes"), 1);
    assert!(!degraded(&engine) && engine.losses().is_empty());
    drop(engine);
    let engine = open(folder.path(), options());
    assert!(!degraded(&engine) && engine.losses().is_empty());
}

#[test]
fn a_damaged_chunk_that_a_query_meets_is_named_and_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path(), options());
    for i in 0..5 {
        write_row(
            &engine,
            "a",
            Some(NOW + i),
            i,
            &format!("incompressible {}", i * 7_919),
        );
    }
    engine.seal_all().expect("seals");
    engine.checkpoint().expect("writes");
    drop(engine);
    damage(&folder.path().join("blocks"), b"incompressible");
    let engine = open(folder.path(), options());
    assert!(!degraded(&engine), "nobody has looked yet");
    let view = engine.measurement(&Access::full(), "default", "cpu");
    let view = view.expect("allowed").expect("there");
    let series = engine.select_series(view.id, &|_| true)[0].id;
    let mut reader = engine.read_series(series, TimeRange::ALL, &[view.columns[0].id]);
    assert!(reader.next_batch().is_err());
    engine.tick().expect("ticks");
    let losses = engine.losses();
    assert_eq!(losses.len(), 1, "{losses:?}");
    assert_eq!(losses[0].series, ["default:cpu,host=a,zone=z"]);
    assert_eq!(
        (losses[0].rows, losses[0].times),
        (Some(5), Some((NOW, NOW + 4)))
    );
    assert!(degraded(&engine));
    engine.checkpoint().expect("writes");
    drop(engine);
    let engine = open(folder.path(), options());
    assert_eq!(engine.losses(), losses);
}

#[test]
fn verify_finds_what_is_damaged_on_the_device_of_a_running_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path(), options());
    for i in 0..5 {
        write_row(
            &engine,
            "a",
            Some(NOW + i),
            i,
            &format!("incompressible {}", i * 7_919),
        );
    }
    engine.seal_all().expect("seals");
    engine.checkpoint().expect("writes");
    for i in 5..9 {
        write_row(&engine, "a", Some(NOW + i), i, &format!("this is row {i}"));
        engine.sync().expect("syncs");
    }
    let report = engine.verify().expect("reads");
    assert_eq!(
        (report.chunks, report.chunk_rows, &report.damage[..]),
        (1, 5, &[][..])
    );
    assert!(report.frames >= 4, "{report:?}");
    damage(&folder.path().join("log"), b"this is row 7");
    let report = engine.verify().expect("reads");
    assert_eq!(report.damage.len(), 1, "{report:?}");
    assert!(
        report.damage[0].contains("its rows are in memory"),
        "{report:?}"
    );
    assert!(!degraded(&engine), "nothing is lost as long as it runs");
    damage(&folder.path().join("blocks"), b"incompressible");
    let report = engine.verify().expect("reads");
    assert_eq!((report.chunks, report.damage.len()), (0, 2), "{report:?}");
    assert!(degraded(&engine));
    assert_eq!(engine.losses()[0].rows, Some(5));
    assert_eq!(read_all(&engine, "b").len(), 0);
}
