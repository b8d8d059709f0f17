//! Every program in turn, each in a process of its own, with sizes that are done in about 15 minutes on two cores.

use super::apart;
use super::kafka;
use super::report::Report;
use crate::types::{Error, Result};

#[derive(clap::Args)]
pub struct Options {
    /// Multiplies the number of rows, events, records and samples of every program.
    #[arg(long, default_value_t = 1.0)]
    pub scale: f64,
}

impl Default for Options {
    fn default() -> Self {
        Options { scale: 1.0 }
    }
}

/// A program: its name, what its table is called, and what it is run with; numbers are scaled.
struct Program {
    name: &'static str,
    title: &'static str,
    sizes: &'static [(&'static str, u64)],
    names: &'static [&'static str],
}

/// The queries of Nexmark that are measured everywhere; the others of the file take long and say little more.
const QUERIES: &[&str] = &["q0", "q1", "q2", "q3", "q4", "q5", "q7", "q8", "q9", "q15", "q17", "q18", "q20", "q22"];

const PROGRAMS: &[Program] = &[
    Program {
        name: "nexmark",
        title: "Nexmark as materialized views, 40,000 events per timestamp, 10,000 events per second of event time",
        sizes: &[("--events", 10_000_000)],
        names: QUERIES,
    },
    Program {
        name: "batch",
        title: "Nexmark run once over tables, against plain DataFusion on the same batches",
        sizes: &[("--events", 1_000_000)],
        names: QUERIES,
    },
    Program {
        name: "operators",
        title: "Arrange, join and count, against differential dataflow on typed tuples",
        sizes: &[("--rows", 1_000_000), ("--keys", 100_000)],
        names: &[],
    },
    Program { name: "restart", title: "A restart, against computing again", sizes: &[], names: &[] },
    Program { name: "latency", title: "From INSERT to the visible change", sizes: &[("--samples", 1000)], names: &[] },
    Program {
        name: "lookup",
        title: "Point lookups on a view's key",
        sizes: &[("--rows", 1_000_000), ("--lookups", 20_000)],
        names: &[],
    },
    Program {
        name: "change",
        title: "One change in a group of growing size",
        sizes: &[("--changes", 300)],
        names: &[],
    },
    Program { name: "memory", title: "Memory per row of state", sizes: &[("--events", 2_000_000)], names: &[] },
    Program {
        name: "kafka",
        title: "JSON records from Kafka into a view",
        sizes: &[("--records", 2_000_000)],
        names: &[],
    },
];

/// Runs them all; one that fails is told of at the end, and does not keep the others from running.
pub fn run(options: &Options, workers: usize, report: &mut Report) -> Result<()> {
    let mut failed = Vec::new();
    for program in PROGRAMS {
        if program.name == "kafka" && kafka::broker(None).is_none() {
            eprintln!("kafka is left out: MILLRACE_KAFKA does not say where a broker is");
            continue;
        }
        let outcome = apart::run(&program.arguments(options.scale), workers, report);
        report.table(program.title);
        if let Err(error) = outcome {
            eprintln!("millrace: {error}");
            failed.push(program.name);
        }
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(Error::internal(format!("these benchmarks failed: {}", failed.join(", ")))),
    }
}

impl Program {
    fn arguments(&self, scale: f64) -> Vec<String> {
        let scaled = |size: u64| ((size as f64 * scale).round() as u64).max(1).to_string();
        let sizes = self.sizes.iter().flat_map(|(name, size)| [name.to_string(), scaled(*size)]);
        let names = self.names.iter().map(|name| name.to_string());
        let mut arguments: Vec<String> = [self.name.to_string()].into_iter().chain(sizes).chain(names).collect();
        if self.name == "change" {
            let sizes = [1_000, 10_000, 100_000, 1_000_000].map(scaled);
            arguments.extend(["--sizes".to_string(), sizes.join(",")]);
        }
        arguments
    }
}
