//! `millrace bench`: programs that print figures and fail on wrong results. Tables for people, `--markdown` for
//! docs/performance.md, `--json` prints one object a line. Without a program, all of them.

mod all;
mod apart;
mod batch;
mod budget;
mod change;
mod checkpoints;
mod feldera;
mod harness;
mod kafka;
mod latency;
mod lookup;
mod memory;
mod nexmark;
mod operators;
mod report;
mod restart;
mod typed;
mod wire;

use clap::{Args, Subcommand};

use self::report::{Report, Style};
use crate::types::Result;

/// What to measure, and how.
#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    /// One JSON object a line instead of tables.
    #[arg(long, global = true, conflicts_with = "markdown")]
    json: bool,
    /// Tables in Markdown.
    #[arg(long, global = true)]
    markdown: bool,
    /// Dataflow worker threads.
    #[arg(long, global = true, default_value_t = 2)]
    workers: usize,
    /// Makes a checkpoint each so many seconds; none otherwise.
    #[arg(long, global = true)]
    checkpoints: Option<u64>,
}

#[derive(Subcommand)]
enum What {
    /// Every program in turn; about 15 minutes.
    All(all::Options),
    /// Nexmark queries as materialized views over the generator.
    Nexmark(nexmark::Options),
    /// Nexmark queries run once over tables, against plain DataFusion on the same batches.
    Batch(batch::Options),
    /// From INSERT to the visible change of a view.
    Latency(latency::Options),
    /// Point lookups on a view's key.
    Lookup(lookup::Options),
    /// JSON records from a Kafka topic into a view.
    Kafka(kafka::Options),
    /// One change in a group of growing size.
    Change(change::Options),
    /// Bytes of memory per row of state.
    Memory(memory::Options),
    /// State that is larger than the memory it may have.
    Budget(budget::Options),
    /// Checkpoints while events come in, against none.
    Checkpoints(checkpoints::Options),
    /// A restart that goes on with its state, against computing it again.
    Restart(restart::Options),
    /// Arrange, join and count against differential dataflow on typed tuples.
    Operators(operators::Options),
}

pub fn run(arguments: Arguments) -> Result<()> {
    let style = match (arguments.json, arguments.markdown) {
        (true, _) => Style::Json,
        (_, true) => Style::Markdown,
        _ => Style::Table,
    };
    let mut report = Report::new(style);
    let workers = arguments.workers;
    if let Some(seconds) = arguments.checkpoints {
        harness::CHECKPOINT_INTERVAL.get_or_init(|| std::time::Duration::from_secs(seconds));
    }
    let outcome = match arguments.what.unwrap_or(What::All(all::Options::default())) {
        What::All(options) => all::run(&options, workers, &mut report),
        What::Nexmark(options) => nexmark::run(&options, workers, &mut report),
        What::Batch(options) => batch::run(&options, workers, &mut report),
        What::Latency(options) => latency::run(&options, workers, &mut report),
        What::Lookup(options) => lookup::run(&options, workers, &mut report),
        What::Kafka(options) => kafka::run(&options, workers, &mut report),
        What::Change(options) => change::run(&options, workers, &mut report),
        What::Memory(options) => memory::run(&options, workers, &mut report),
        What::Checkpoints(options) => checkpoints::run(&options, workers, &mut report),
        What::Budget(options) => budget::run(&options, workers, &mut report),
        What::Restart(options) => restart::run(&options, workers, &mut report),
        What::Operators(options) => operators::run(&options, workers, &mut report),
    };
    // What was measured before a failure is worth reading too.
    report.table("");
    outcome
}
