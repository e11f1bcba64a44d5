//! Copies of what is damaged, with a report, for those who want to look.

use crate::storage::Storage;
use crate::types::Position;

use super::recovery::Gap;
use super::survey::{Chain, read_segment};

/// Copies the bytes of a gap to `quarantine/`, with a JSON report beside them. Returns the name of
/// the copy. What was copied by an earlier start is left as it is.
pub(super) fn keep(storage: &dyn Storage, chain: &Chain, gap: &Gap) -> Result<String, String> {
    let name = format!("{FOLDER}/log-{:020}-{:020}", gap.from.0, gap.to.0);
    let kept = copy(storage, chain, gap, &name);
    kept.map(|()| name).map_err(|error| error.to_string())
}

fn copy(
    storage: &dyn Storage,
    chain: &Chain,
    gap: &Gap,
    name: &str,
) -> Result<(), super::LogError> {
    storage.create_folder(FOLDER)?;
    let report_name = format!("{name}.json");
    if storage.open_file(&report_name).is_ok() {
        return Ok(());
    }
    let bytes_file = storage.create_file(&format!("{name}.bin"))?;
    let mut written = 0;
    for extent in &chain.extents {
        let header = &extent.header;
        let limit = extent.limit.unwrap_or(header.limit());
        let from = gap.from.max(header.base);
        let to = gap.to.min(limit);
        if from >= to {
            continue;
        }
        let bytes = read_segment(storage, header)?;
        let offset = |position: Position| (position.0 - header.base.0) as usize;
        let range = offset(from)..offset(to).min(bytes.len());
        if let Some(part) = bytes.get(range) {
            bytes_file.write_at(written, part)?;
            written += part.len() as u64;
        }
    }
    bytes_file.sync()?;
    let report = serde_json::json!({
        "from": gap.from.0,
        "to": gap.to.0,
        "segment": gap.segment,
        "reason": gap.reason.name(),
        "bytes_copied": written,
    });
    let report = format!("{report:#}\n");
    let report_file = storage.create_file(&report_name)?;
    report_file.write_at(0, report.as_bytes())?;
    report_file.sync()?;
    storage.sync_folder(FOLDER)?;
    Ok(())
}

const FOLDER: &str = "quarantine";
