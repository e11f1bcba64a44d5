//! The process's memory as the kernel counts it, and what of it the server can tell.

use serde_json::{Value, json};

use super::Shared;

/// Anonymous memory of this process, bytes: heap, stacks, what is in no file. `None` where the system does not tell.
pub fn anonymous_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = text.split_ascii_whitespace().skip(1);
    let mut next = || pages.next()?.parse::<u64>().ok();
    let (resident, shared) = (next()?, next()?);
    Some(resident.saturating_sub(shared) * rustix::param::page_size() as u64)
}

/// Memory against its limit, by pool, and what was done where it ran short.
pub fn report(shared: &Shared) -> Value {
    if let Some(bytes) = anonymous_bytes() {
        shared.engine.check_memory(bytes);
    }
    let state = shared.engine.memory();
    let pools = shared.engine.status().memory;
    let results = shared.results.stats();
    let connections = shared.clients.held_bytes() + shared.buffers.free_bytes();
    let known = [
        ("series_bytes", pools.series_bytes),
        ("tiers_bytes", pools.tiers_bytes),
        ("unflushed_bytes", pools.unflushed_bytes),
        ("catalog_bytes", shared.engine.catalog_bytes()),
        ("cache_bytes", pools.cache_bytes),
        ("results_bytes", results.total.bytes + results.plans_bytes),
        ("log_unsynced_bytes", pools.log_unsynced_bytes),
        ("connections_bytes", connections as u64),
        ("queries_bytes", shared.query_memory.used_bytes() as u64),
    ];
    let sum: u64 = known.iter().map(|(_, bytes)| bytes).sum();
    let mut pools: serde_json::Map<String, Value> = known
        .into_iter()
        .map(|(name, bytes)| (name.to_owned(), bytes.into()))
        .collect();
    let other = state.anonymous_bytes.saturating_sub(sum);
    pools.insert("other_bytes".to_owned(), other.into());
    let relief = state.relief;
    json!({
        "level": state.level.name(),
        "limit_bytes": state.limit_bytes,
        "used_bytes": state.anonymous_bytes + state.log_bytes,
        "anonymous_bytes": state.anonymous_bytes,
        "anonymous_max_bytes": state.anonymous_max_bytes,
        "log_bytes": state.log_bytes,
        "pools": pools,
        "relief": {
            "caches_eighths": state.cache_eighths,
            "cache_shrinks": relief.shrinks,
            "flushes": relief.flushes,
            "unloaded_series": relief.unloaded_series,
            "refused_series": relief.refused_series,
            "refused_rows": relief.refused_rows,
            "times_full": relief.times_full,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_used_is_seen() {
        let before = anonymous_bytes().expect("Linux");
        let used = vec![1u8; 64 << 20];
        let after = anonymous_bytes().expect("Linux");
        assert!(
            after >= before + (48 << 20),
            "{before} {after} {}",
            used.len()
        );
        // Others run beside this test; the whole process is far from this.
        assert!(after < 16 << 30);
    }
}
