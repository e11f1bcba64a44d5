//! State and image files: any bytes, and a checkpoint that the input alters. What is heard is what was written, in
//! its order, and what is not heard is reported.
#![no_main]

use std::sync::Arc;

use edgetimedb::blocks::{
    Account, BlockOptions, BlockStore, ChunkEntry, CommitInfo, ImageRecord, Opened, SideRecord,
    Visitor,
};
use edgetimedb::storage::simulated::SimulatedStorage;
use edgetimedb::types::{Position, SeriesId, StoreId};
use libfuzzer_sys::fuzz_target;

#[derive(Default)]
struct Heard {
    states: Vec<Vec<u8>>,
    images: Vec<(u32, Vec<u8>)>,
    expiries: Vec<Vec<u8>>,
    accounts: Vec<Account>,
}

impl Visitor for Heard {
    fn state(&mut self, _: u8, payload: &[u8]) {
        self.states.push(payload.to_vec());
    }

    fn chunk(&mut self, _: &ChunkEntry) {
        panic!("no chunk was written");
    }

    fn deletion(&mut self, _: &[u8]) -> bool {
        true
    }

    fn expiry(&mut self, payload: &[u8]) -> bool {
        self.expiries.push(payload.to_vec());
        true
    }

    fn account(&mut self, account: Account) {
        self.accounts.push(account);
    }

    fn image(&mut self, image: ImageRecord<'_>) {
        self.images.push((image.series.0, image.bytes.to_vec()));
    }
}

fn open(disk: &SimulatedStorage) -> (BlockStore, Opened, Heard) {
    let options = BlockOptions {
        expected: None,
        fresh: StoreId(9),
        log_is_blank: false,
        cache_bytes: 0,
    };
    let mut heard = Heard::default();
    let (store, opened) = BlockStore::open(Arc::new(disk.clone()), options, &mut heard)
        .expect("opens whatever is there");
    (store, opened, heard)
}

fuzz_target!(|input: &[u8]| {
    // Any bytes as the files of a store without a manifest.
    let disk = SimulatedStorage::new(1);
    disk.put("blocks/state-1.cat", input.to_vec());
    disk.put("blocks/image-2.img", input.to_vec());
    open(&disk);

    let Some((control, rest)) = input.split_at_checked(16) else {
        return;
    };
    let disk = SimulatedStorage::new(1);
    let (store, _, _) = open(&disk);
    let records: Vec<&[u8]> = rest
        .chunks(usize::from(control[0]) * 4 + 1)
        .take(100)
        .collect();
    let (states, images) = records.split_at(records.len() / 2);
    store
        .append_state(states.iter().map(|bytes| (1, bytes)))
        .expect("nothing fails");
    let image = |(series, bytes): (usize, &&'_ [u8])| (series as u32, bytes.to_vec());
    let images: Vec<(u32, Vec<u8>)> = images.iter().enumerate().map(image).collect();
    let account = |(series, bytes): (usize, &&[u8])| Account {
        series: SeriesId(series as u32),
        through: Position(bytes.len() as u64),
        overwritten: 7,
    };
    let accounts: Vec<Account> = states.iter().enumerate().map(account).collect();
    let expiries = states
        .iter()
        .map(|bytes| SideRecord::Expiry(bytes.to_vec()));
    let sides: Vec<SideRecord> = expiries
        .chain(accounts.iter().map(|account| SideRecord::Account(*account)))
        .collect();
    let mut writer = store.image_writer();
    for (series, bytes) in &images {
        let image = ImageRecord {
            series: SeriesId(*series),
            first_position: Position(1),
            last_position: Position(u64::from(*series) + 1),
            bytes,
        };
        writer.append(&image).expect("nothing fails");
    }
    writer.finish(&sides).expect("nothing fails");
    store.commit(CommitInfo::default()).expect("nothing fails");
    drop(store);
    let names = disk.names();
    for change in control[1..].chunks_exact(5) {
        let name = &names[usize::from(change[0]) % names.len()];
        disk.change(name, |bytes| {
            let place = usize::from(u16::from_le_bytes([change[1], change[2]]));
            if let Some(byte) = bytes.get_mut(place) {
                *byte ^= change[3];
                if change[4] == 255 {
                    bytes.truncate(place);
                }
            }
        });
    }
    let (_, opened, heard) = open(&disk);
    let mut expected = states.iter();
    assert!(
        heard
            .states
            .iter()
            .all(|state| expected.any(|one| one == state))
    );
    let mut expected = images.iter();
    assert!(
        heard
            .images
            .iter()
            .all(|image| expected.any(|one| one == image))
    );
    let mut expected = states.iter();
    let mut expiries = heard.expiries.iter();
    assert!(expiries.all(|expiry| expected.any(|one| one == expiry)));
    let mut expected = accounts.iter();
    let mut heard_accounts = heard.accounts.iter();
    assert!(heard_accounts.all(|account| expected.any(|one| one == account)));
    let complete = heard.states.len() == states.len()
        && heard.images.len() == images.len()
        && heard.expiries.len() == states.len()
        && heard.accounts.len() == accounts.len();
    assert!(complete || !opened.damage.is_empty(), "{:?}", opened.damage);
});
