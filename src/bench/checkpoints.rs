//! What checkpoints cost while events come in: Nexmark queries over a live source, with and without, each in a process of
//! its own.

use std::time::Duration;

use serde_json::json;

use super::apart;
use super::harness::{Harness, Stopwatch, disk_written_mb, expect};
use super::nexmark::queries;
use super::report::Report;
use crate::types::Result;

#[derive(clap::Args)]
pub struct Options {
    #[arg(long, default_value_t = 20_000_000)]
    events: u64,
    /// Seconds between checkpoints.
    #[arg(long, default_value_t = 10)]
    interval: u64,
    /// In this process, once.
    #[arg(long)]
    alone: bool,
    #[arg(default_values_t = ["q4".to_string(), "q7".to_string(), "q9".to_string()])]
    queries: Vec<String>,
}

/// More than any measurement takes.
const NEVER_S: u64 = 86_400;

pub fn run(options: &Options, workers: usize, report: &mut Report) -> Result<()> {
    if options.alone {
        return options.queries.iter().try_for_each(|query| measure(query, options, workers, report));
    }
    for query in &options.queries {
        for interval in [NEVER_S, options.interval] {
            let (events, interval) = (options.events.to_string(), interval.to_string());
            let arguments = ["checkpoints", "--alone", "--events", &events, "--interval", &interval, query];
            apart::run(&arguments.map(str::to_string), workers, report)?;
        }
    }
    Ok(())
}

fn measure(name: &str, options: &Options, workers: usize, report: &mut Report) -> Result<()> {
    let (events, query) = (options.events, queries(&[name.to_string()])?.remove(0));
    let interval = Duration::from_secs(options.interval);
    let mut harness = Harness::with(workers, |config| {
        config.checkpoint_interval = interval;
        // For the query that tells whether the rows are right.
        config.query_memory_bytes = 8 << 30;
    })?;
    let (watch, written) = (Stopwatch::start(), disk_written_mb());
    harness.sql(&format!("CREATE SOURCE nex FROM LOAD GENERATOR NEXMARK (EVENTS {events}, RATE 0)"))?;
    harness.sql("SET search_path = nex, public")?;
    harness.sql(&format!("CREATE MATERIALIZED VIEW public.answer AS {}", query.sql))?;
    harness.read_to(events)?;
    harness.catch_up("answer")?;
    let (wall_s, cpu_s) = (watch.wall_s(), watch.cpu_s());
    let kept = harness.database.checkpoints.kept();
    let state_mb = kept.last().map(|newest| newest.bytes() as f64 / 1e6);
    report.row(vec![
        ("query", json!(name)),
        ("interval_s", json!((options.interval < NEVER_S).then_some(options.interval))),
        ("wall_s", json!(wall_s)),
        ("events_per_s", json!((events as f64 / wall_s).round())),
        ("events_per_cpu_s", json!((events as f64 / cpu_s).round())),
        ("checkpoints", json!(harness.database.checkpoints.made())),
        // Of the newest, at its time.
        ("checkpoint_mb", json!(state_mb)),
        ("slowest_ms", json!(kept.iter().map(|manifest| manifest.micros / 1000).max())),
        ("written_mb", json!(disk_written_mb() - written)),
    ]);
    expect(name, harness.count(&query.sql)?, harness.count("SELECT 1 FROM public.answer")?)
}
