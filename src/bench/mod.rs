//! `millrace bench`: programs that print figures. Tables for people; `--json` prints one object a line.

mod batch;
mod change;
mod harness;
mod latency;
mod lookup;
mod memory;
mod nexmark;
mod operators;
mod report;

use clap::{Args, Subcommand};

use crate::types::Result;

/// What to measure, and how.
#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
    /// One JSON object a line instead of tables.
    #[arg(long, global = true)]
    json: bool,
    /// Dataflow worker threads.
    #[arg(long, global = true, default_value_t = 2)]
    workers: usize,
}

#[derive(Subcommand)]
enum What {
    /// Nexmark queries as materialized views over the generator.
    Nexmark(nexmark::Options),
    /// Nexmark queries run once over tables, against plain DataFusion on the same batches.
    Batch(batch::Options),
    /// From INSERT to the visible change of a view.
    Latency(latency::Options),
    /// Point lookups on a view's key.
    Lookup(lookup::Options),
    /// One change in a group of growing size.
    Change(change::Options),
    /// Bytes of memory per row of state.
    Memory(memory::Options),
    /// Arrange, join and count against differential dataflow on typed tuples.
    Operators(operators::Options),
}

pub fn run(arguments: Arguments) -> Result<()> {
    let mut report = report::Report::new(arguments.json);
    let workers = arguments.workers;
    match arguments.what {
        What::Nexmark(options) => nexmark::run(&options, workers, &mut report),
        What::Batch(options) => batch::run(&options, workers, &mut report),
        What::Latency(options) => latency::run(&options, workers, &mut report),
        What::Lookup(options) => lookup::run(&options, workers, &mut report),
        What::Change(options) => change::run(&options, workers, &mut report),
        What::Memory(options) => memory::run(&options, workers, &mut report),
        What::Operators(options) => operators::run(&options, workers, &mut report),
    }?;
    report.finish();
    Ok(())
}
