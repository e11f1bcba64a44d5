//! The server's own figures and its host's, as rows of the database `_system`.

use std::sync::Arc;
use std::time::Duration;

use edgetime_protocol::cell::MARK_RAW;
use sysinfo::{Components, Disks, Networks, ProcessRefreshKind, ProcessesToUpdate, System};
use tokio_util::sync::CancellationToken;

use crate::engine::{Access, Engine, EngineError};
use crate::types::FieldType;

use super::Shared;

/// The database of the server's own figures.
const SYSTEM_DATABASE: &str = "_system";

/// Writes figures every `interval` until the server stops.
pub async fn run(shared: Arc<Shared>, interval: Duration, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut host = Host::default();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let shared = Arc::clone(&shared);
        let round = tokio::task::spawn_blocking(move || {
            let result = host.write(&shared);
            (host, result)
        });
        match round.await {
            Ok((returned, result)) => {
                host = returned;
                if let Err(error) = result {
                    tracing::debug!(%error, "the server's figures could not be written");
                }
            }
            Err(error) => {
                tracing::error!(%error, "monitoring failed");
                return;
            }
        }
    }
}

/// What is read from the host.
struct Host {
    system: System,
    disks: Disks,
    networks: Networks,
    components: Components,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            system: System::new(),
            disks: Disks::new_with_refreshed_list(),
            networks: Networks::new_with_refreshed_list(),
            components: Components::new_with_refreshed_list(),
        }
    }
}

/// A value of a figure.
#[derive(Clone, Copy)]
enum Figure {
    Count(u64),
    Share(f64),
}

type Figures<'a> = [(&'a str, Figure)];

impl Host {
    fn write(&mut self, shared: &Shared) -> Result<(), EngineError> {
        let engine = &shared.engine;
        self.system.refresh_cpu_usage();
        self.system.refresh_memory();
        let load = System::load_average();
        put(engine, "cpu", &mut [], &[("usage_percent", Figure::Share(f64::from(self.system.global_cpu_usage())))])?;
        put(
            engine,
            "memory",
            &mut [],
            &[
                ("total_bytes", Figure::Count(self.system.total_memory())),
                ("available_bytes", Figure::Count(self.system.available_memory())),
                ("swap_used_bytes", Figure::Count(self.system.used_swap())),
            ],
        )?;
        put(
            engine,
            "load",
            &mut [],
            &[
                ("load1", Figure::Share(load.one)),
                ("load5", Figure::Share(load.five)),
                ("load15", Figure::Share(load.fifteen)),
            ],
        )?;
        self.disks.refresh(false);
        for disk in &self.disks {
            let mount = disk.mount_point().to_string_lossy();
            let figures = [
                ("total_bytes", Figure::Count(disk.total_space())),
                ("available_bytes", Figure::Count(disk.available_space())),
            ];
            put(engine, "disk", &mut [("mount", &mount)], &figures)?;
        }
        self.networks.refresh(false);
        for (name, network) in &self.networks {
            let figures = [
                ("received_bytes", Figure::Count(network.total_received())),
                ("transmitted_bytes", Figure::Count(network.total_transmitted())),
            ];
            put(engine, "network", &mut [("interface", name)], &figures)?;
        }
        self.components.refresh(false);
        for component in &self.components {
            if let Some(celsius) = component.temperature() {
                let figures = [("celsius", Figure::Share(f64::from(celsius)))];
                put(engine, "temperature", &mut [("sensor", component.label())], &figures)?;
            }
        }
        self.write_server(shared)
    }

    /// The server's own process and store.
    fn write_server(&mut self, shared: &Shared) -> Result<(), EngineError> {
        let engine = &shared.engine;
        let pid = sysinfo::Pid::from_u32(std::process::id());
        let what = ProcessRefreshKind::nothing().with_cpu().with_memory();
        self.system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, what);
        let (memory, cpu) = self
            .system
            .process(pid)
            .map_or((0, 0.0), |process| (process.memory(), f64::from(process.cpu_usage())));
        let rows = engine.row_counts();
        let log = engine.log_usage();
        let figures = [
            ("cpu_percent", Figure::Share(cpu)),
            ("resident_bytes", Figure::Count(memory)),
            ("connections", Figure::Count(shared.clients.list().len() as u64)),
            ("rows_stored", Figure::Count(rows.stored)),
            ("rows_overwritten", Figure::Count(rows.overwritten)),
            ("rows_late", Figure::Count(rows.late)),
            ("rows_rejected", Figure::Count(engine.rejected_rows())),
            ("log_used_bytes", Figure::Count(log.used_bytes)),
            ("log_syncs", Figure::Count(log.syncs)),
        ];
        put(engine, "edgetime", &mut [], &figures)
    }
}

fn put(
    engine: &Engine,
    measurement: &str,
    tags: &mut [(&str, &str)],
    figures: &Figures<'_>,
) -> Result<(), EngineError> {
    // A tag without a value is no tag.
    let mut tags: Vec<(&str, &str)> = tags.iter().copied().filter(|(_, v)| !v.is_empty()).collect();
    let database = engine.resolve_database(&Access::full(), SYSTEM_DATABASE)?;
    let series = engine.resolve_series(database, measurement, &mut tags)?;
    let fields: Vec<(&str, FieldType)> = figures
        .iter()
        .map(|(name, figure)| match figure {
            Figure::Count(_) => (*name, FieldType::Integer),
            Figure::Share(_) => (*name, FieldType::Float),
        })
        .collect();
    let plan = engine.resolve_layout(series.measurement, &fields)?;
    let (mut bits, mut marks) = (Vec::new(), Vec::new());
    for (_, figure) in figures {
        match *figure {
            Figure::Count(count) => {
                bits.push(count);
                marks.push(0);
            }
            // Two decimals say enough and cost little.
            Figure::Share(share) if share.is_finite() && share.abs() < 1e9 => {
                bits.push((share * 100.0).round() as i64 as u64);
                marks.push(2);
            }
            Figure::Share(share) => {
                bits.push(share.to_bits());
                marks.push(MARK_RAW);
            }
        }
    }
    let mut batch = engine.batch();
    let layout = batch.layout_index(&plan.layout);
    batch.push(series, layout, None, (&bits, &marks, &[]), 0);
    match engine.write(&mut batch).error {
        Some(error) => Err(error),
        None => Ok(()),
    }
}
