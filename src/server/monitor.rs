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
///
/// What a host does not tell is left out.
struct Host {
    system: Option<System>,
    disks: Option<Disks>,
    networks: Option<Networks>,
    components: Option<Components>,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            system: System::new().ok(),
            disks: Disks::new_with_refreshed_list().ok(),
            networks: Networks::new_with_refreshed_list().ok(),
            components: Components::new_with_refreshed_list().ok(),
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
        if let Some(system) = &mut self.system {
            system.refresh_cpu_usage();
            system.refresh_memory();
            let usage = Figure::Share(f64::from(system.global_cpu_usage()));
            put(engine, "cpu", &[], &[("usage_percent", usage)])?;
            let memory = [
                ("total_bytes", Figure::Count(system.total_memory())),
                ("available_bytes", Figure::Count(system.available_memory())),
                ("swap_used_bytes", Figure::Count(system.used_swap())),
            ];
            put(engine, "memory", &[], &memory)?;
        }
        if let Ok(load) = System::load_average() {
            let figures = [
                ("load1", Figure::Share(load.one)),
                ("load5", Figure::Share(load.five)),
                ("load15", Figure::Share(load.fifteen)),
            ];
            put(engine, "load", &[], &figures)?;
        }
        self.write_devices(engine)?;
        self.write_server(shared)?;
        shared.committer.written();
        Ok(())
    }

    fn write_devices(&mut self, engine: &Engine) -> Result<(), EngineError> {
        if let Some(disks) = &mut self.disks {
            disks.refresh(false);
            for disk in disks.iter() {
                let mount = disk.mount_point().to_string_lossy();
                let figures = [
                    ("total_bytes", Figure::Count(disk.total_space())),
                    ("available_bytes", Figure::Count(disk.available_space())),
                ];
                put(engine, "disk", &[("mount", &mount)], &figures)?;
            }
        }
        if let Some(networks) = &mut self.networks {
            networks.refresh(false);
            for (name, network) in networks.iter() {
                let figures = [
                    ("received_bytes", Figure::Count(network.total_received())),
                    (
                        "transmitted_bytes",
                        Figure::Count(network.total_transmitted()),
                    ),
                ];
                put(
                    engine,
                    "network",
                    &[("interface", &name.to_string_lossy())],
                    &figures,
                )?;
            }
        }
        if let Some(components) = &mut self.components {
            components.refresh(false);
            for component in components.iter() {
                if let Some(celsius) = component.temperature() {
                    let figures = [("celsius", Figure::Share(f64::from(celsius)))];
                    put(
                        engine,
                        "temperature",
                        &[("sensor", component.label())],
                        &figures,
                    )?;
                }
            }
        }
        Ok(())
    }

    /// The server's own process and store.
    fn write_server(&mut self, shared: &Shared) -> Result<(), EngineError> {
        let engine = &shared.engine;
        let (memory, cpu) = self.process().unwrap_or_default();
        let rows = engine.row_counts();
        let log = engine.log_usage();
        let figures = [
            ("cpu_percent", Figure::Share(cpu)),
            ("resident_bytes", Figure::Count(memory)),
            (
                "connections",
                Figure::Count(shared.clients.list().len() as u64),
            ),
            ("rows_stored", Figure::Count(rows.stored)),
            ("rows_overwritten", Figure::Count(rows.overwritten)),
            ("rows_late", Figure::Count(rows.late)),
            ("rows_rejected", Figure::Count(engine.rejected_rows())),
            ("log_used_bytes", Figure::Count(log.used_bytes)),
            ("log_syncs", Figure::Count(log.syncs)),
        ];
        put(engine, "edgetime", &[], &figures)
    }

    /// Resident bytes and CPU per cent of this process.
    fn process(&mut self) -> Option<(u64, f64)> {
        let pid = sysinfo::Pid::from_u32(std::process::id());
        let what = ProcessRefreshKind::nothing().with_cpu().with_memory();
        let system = self.system.as_mut()?;
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, what);
        let process = system.process(pid)?;
        Some((process.memory(), f64::from(process.cpu_usage())))
    }
}

fn put(
    engine: &Engine,
    measurement: &str,
    tags: &[(&str, &str)],
    figures: &Figures<'_>,
) -> Result<(), EngineError> {
    // A tag without a value is no tag.
    let mut tags: Vec<(&str, &str)> = tags
        .iter()
        .copied()
        .filter(|(_, v)| !v.is_empty())
        .collect();
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
