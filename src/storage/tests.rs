//! What every back end must do, run on each of them.

use super::*;

fn on_each(test: impl Fn(&dyn Storage)) {
    for choice in [BackendChoice::Mmap, BackendChoice::File] {
        let folder = tempfile::tempdir().expect("a directory for the test");
        test(&*open(folder.path(), choice).expect("opens"));
    }
    test(&simulated::SimulatedStorage::new(1));
}

#[test]
fn a_segment_keeps_what_was_synced_and_knows_its_bounds() {
    on_each(|storage| {
        storage.create_folder("log").expect("folder");
        let segment = storage.create_segment("log/a", 65_536).expect("segment");
        assert_eq!(segment.size_bytes(), 65_536);
        segment.prefetch(0..1 << 30);
        segment.write(5_000, b"hello").expect("inside");
        segment.sync(4_096..8_192).expect("sync");
        drop(segment);
        let segment = storage.open_segment("log/a").expect("opens");
        let mut bytes = [1_u8; 7];
        segment.read(4_999, &mut bytes).expect("inside");
        assert_eq!(&bytes, b"\0hello\0");
        let file = storage.open_file("log/a").expect("the same bytes");
        segment.write(0, b"seen").expect("inside");
        let mut four = [0_u8; 4];
        file.read_at(0, &mut four).expect("inside");
        assert_eq!(&four, b"seen");
        for (offset, length) in [(65_536, 1), (65_530, 7), (u64::MAX, 2)] {
            let outside = segment.write(offset, &vec![0; length]);
            assert!(matches!(outside, Err(StorageError::OutOfBounds { .. })));
            let outside = segment.read(offset, &mut vec![0; length]);
            assert!(matches!(outside, Err(StorageError::OutOfBounds { .. })));
        }
        assert_eq!(
            storage.list("log").expect("lists"),
            ["a"],
            "nothing temporary is left"
        );
    });
}

#[test]
fn files_are_made_read_renamed_and_removed() {
    on_each(|storage| {
        assert!(storage.list("blocks/deep").expect("not there").is_empty());
        storage.create_folder("blocks/deep").expect("folders");
        let file = storage.create_file("blocks/deep/b").expect("file");
        file.write_at(0, b"0123456789").expect("writes");
        file.sync().expect("syncs");
        assert_eq!(file.len_bytes().expect("length"), 10);
        storage
            .rename("blocks/deep/b", "blocks/deep/a")
            .expect("renames");
        storage.sync_folder("blocks/deep").expect("syncs");
        let file = storage.open_file("blocks/deep/a").expect("opens");
        let mut bytes = [0_u8; 4];
        file.read_at(3, &mut bytes).expect("inside");
        assert_eq!(&bytes, b"3456");
        assert!(file.read_at(8, &mut bytes).is_err(), "beyond the end");
        storage.remove("blocks/deep/a").expect("removes");
        let gone = storage.open_file("blocks/deep/a").err().expect("gone");
        assert!(gone.is_not_found(), "{gone}");
        assert!(storage.free_bytes().expect("counted") > 0);
    });
}
