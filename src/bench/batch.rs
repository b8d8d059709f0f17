//! Nexmark queries run once over tables, against plain DataFusion on a MemTable of the same batches.

use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use serde_json::json;
use std::sync::Arc;

use super::harness::{Harness, Stopwatch};
use super::nexmark::queries;
use super::report::Report;
use crate::connect::generator::nexmark::{DEFAULT_DENSITY, RELATIONS, generate};
use crate::types::Result;

#[derive(clap::Args)]
pub struct Options {
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// Each query runs this often on both sides; the fastest run counts.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    queries: Vec<String>,
}

pub fn run(options: &Options, workers: usize, report: &mut Report) -> Result<()> {
    let mut harness = Harness::new(workers)?;
    let plain = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(workers));
    let batches: Vec<_> = (0..options.events)
        .step_by(8192)
        .map(|from| generate(from..(from + 8192).min(options.events), DEFAULT_DENSITY))
        .collect::<Result<_>>()?;
    let events = options.events;
    harness.sql(&format!(
        "CREATE SOURCE nex FROM LOAD GENERATOR NEXMARK (EVENTS {events}, RATE 0, EVENTS_PER_EVENT_SECOND 10000)"
    ))?;
    for (index, relation) in RELATIONS.iter().enumerate() {
        let name = relation.name.clone().unwrap_or_default();
        while harness.count(&format!("SELECT 1 FROM nex.{name}"))?
            < batches.iter().map(|batch| batch[index].num_rows()).sum()
        {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        harness.sql(&format!("CREATE TABLE {name} AS SELECT * FROM nex.{name}"))?;
        let rows = batches.iter().map(|batch| batch[index].clone()).filter(|batch| batch.num_rows() > 0).collect();
        let table = MemTable::try_new(relation.relation.schema(), vec![rows])?;
        plain.register_table(name.as_str(), Arc::new(table))?;
    }
    let runtime = tokio::runtime::Runtime::new().map_err(|error| crate::types::Error::internal(error.to_string()))?;
    for query in queries(&options.queries) {
        let mut ours = f64::INFINITY;
        let mut theirs = f64::INFINITY;
        let mut rows = (0, 0);
        let mut refused = String::new();
        for _ in 0..options.runs {
            let watch = Stopwatch::start();
            rows.0 = harness.count(&query.sql)?;
            ours = ours.min(watch.wall_s());
            let watch = Stopwatch::start();
            let collected = runtime.block_on(async { plain.sql(&query.sql).await?.collect().await });
            match collected {
                Ok(batches) => rows.1 = batches.iter().map(|batch| batch.num_rows()).sum(),
                Err(error) => refused = error.strip_backtrace().chars().take(60).collect(),
            }
            theirs = theirs.min(watch.wall_s());
        }
        report.row(vec![
            ("query", json!(query.name)),
            ("millrace_ms", json!(ours * 1000.0)),
            ("datafusion_ms", json!(theirs * 1000.0)),
            ("ratio", json!(ours / theirs)),
            ("rows", json!(rows.0)),
            ("rows_datafusion", json!(rows.1)),
            ("datafusion_refused", json!(refused)),
        ]);
    }
    Ok(())
}
