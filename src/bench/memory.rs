//! Bytes of memory per row of state, against the Arrow bytes of the same rows.

use serde_json::json;

use super::harness::{Harness, memory_mb};
use super::report::Report;
use crate::connect::generator::nexmark::{DEFAULT_DENSITY, generate};
use crate::types::Result;

#[derive(clap::Args)]
pub struct Options {
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
}

pub fn run(options: &Options, workers: usize, report: &mut Report) -> Result<()> {
    let batches: Vec<_> = (0..options.events)
        .step_by(8192)
        .map(|from| generate(from..(from + 8192).min(options.events), DEFAULT_DENSITY))
        .collect::<Result<_>>()?;
    let arrow: usize = batches.iter().map(|batch| batch[2].get_array_memory_size()).sum();
    let rows: usize = batches.iter().map(|batch| batch[2].num_rows()).sum();
    drop(batches);
    let mut harness = Harness::new(workers)?;
    let events = options.events;
    harness.sql(&format!(
        "CREATE SOURCE nex FROM LOAD GENERATOR NEXMARK (EVENTS {events}, RATE 0, EVENTS_PER_EVENT_SECOND 10000)"
    ))?;
    while harness.count("SELECT 1 FROM nex.bid")? < rows {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let before = memory_mb().0;
    harness.sql("CREATE MATERIALIZED VIEW bids AS SELECT * FROM nex.bid")?;
    harness.catch_up("bids");
    std::thread::sleep(std::time::Duration::from_secs(2));
    let resident = (memory_mb().0 - before) * 1024.0 * 1024.0;
    let counted: usize = harness.database.runtime.arrangements().iter().map(|arrangement| arrangement.bytes).sum();
    report.row(vec![
        ("rows", json!(rows)),
        ("arrow_bytes_per_row", json!(arrow as f64 / rows as f64)),
        ("state_bytes_per_row", json!(counted as f64 / rows as f64)),
        ("resident_bytes_per_row", json!(resident / rows as f64)),
    ]);
    Ok(())
}
