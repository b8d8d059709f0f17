//! Bytes of memory per row of state, against the Arrow bytes of the same rows, for views that keep different things;
//! each in a process of its own.

use arrow::array::RecordBatch;
use serde_json::json;

use super::apart;
use super::harness::{Harness, expect, memory_mb};
use super::report::Report;
use crate::dataflow::columns::bytes_of;
use crate::types::{Error, Result, SqlState};

#[derive(clap::Args)]
pub struct Options {
    #[arg(long, default_value_t = 2_000_000)]
    events: u64,
    /// In this process, one after the other; what the first leaves to the allocator is then free for the second.
    #[arg(long)]
    together: bool,
    /// Which shapes; all if none is named.
    shapes: Vec<String>,
}

/// A view, and the queries that give the rows that its state is made of.
struct Shape {
    name: &'static str,
    view: &'static str,
    state: &'static [&'static str],
}

const AUCTIONS: &str = "SELECT id, item_name, description, initial_bid, seller, extra FROM nex.auction";
const SELLERS: &str = "SELECT id, name, email_address, city FROM nex.person";

const SHAPES: &[Shape] = &[
    Shape { name: "bids", view: "SELECT * FROM nex.bid", state: &["SELECT * FROM nex.bid"] },
    Shape {
        name: "count",
        view: "SELECT auction, bidder, count(*) AS n FROM nex.bid GROUP BY auction, bidder",
        state: &["SELECT * FROM answer"],
    },
    Shape {
        name: "max",
        view: "SELECT auction, max(price) AS highest FROM nex.bid GROUP BY auction",
        // The bids by price below each auction, which is what a deletion needs, and the answer.
        state: &["SELECT auction, price FROM nex.bid", "SELECT * FROM answer"],
    },
    Shape {
        name: "join",
        view:
            "SELECT a.id, a.item_name, a.description, a.initial_bid, a.seller, a.extra, p.name, p.email_address, p.city
               FROM nex.auction a JOIN nex.person p ON a.seller = p.id",
        // Both sides by their key, and the answer.
        state: &[AUCTIONS, SELLERS, "SELECT * FROM answer"],
    },
];

pub fn run(options: &Options, workers: usize, report: &mut Report) -> Result<()> {
    let wanted = |shape: &&Shape| options.shapes.is_empty() || options.shapes.iter().any(|name| name == shape.name);
    if let Some(unknown) = options.shapes.iter().find(|name| !SHAPES.iter().any(|shape| shape.name == **name)) {
        let known: Vec<&str> = SHAPES.iter().map(|shape| shape.name).collect();
        return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("there is no shape {unknown}"))
            .with_hint(format!("The shapes are {}.", known.join(", "))));
    }
    for shape in SHAPES.iter().filter(wanted) {
        if options.together {
            measure(shape, options.events, workers, report)?;
        } else {
            let arguments = ["memory", "--events", &options.events.to_string(), "--together", shape.name];
            apart::run(&arguments.map(str::to_string), workers, report)?;
        }
    }
    Ok(())
}

fn measure(shape: &Shape, events: u64, workers: usize, report: &mut Report) -> Result<()> {
    let mut harness = Harness::new(workers)?;
    harness.generate(events)?;
    harness.settle();
    let before = memory_mb().0;
    harness.sql(&format!("CREATE MATERIALIZED VIEW answer AS {}", shape.view))?;
    harness.catch_up("answer")?;
    harness.settle();
    let (now, peak) = memory_mb();
    let kept = harness.arrangements();
    let (kept_rows, kept_bytes) =
        kept.iter().fold((0, 0), |(rows, bytes), kept| (rows + kept.rows, bytes + kept.bytes));

    let (mut rows, mut arrow) = (0, 0);
    for query in shape.state {
        let batches = harness.sql(query)?;
        rows += batches.iter().map(RecordBatch::num_rows).sum::<usize>();
        arrow += batches.iter().map(bytes_of).sum::<usize>();
    }
    let (once, view) = (harness.count(shape.view)?, harness.count("SELECT 1 FROM answer")?);
    let per_row = |bytes: f64| bytes / rows as f64;
    report.row(vec![
        ("state", json!(shape.name)),
        ("rows", json!(rows)),
        ("rows_arranged", json!(kept_rows)),
        ("arrow_bytes_per_row", json!(per_row(arrow as f64))),
        ("arranged_bytes_per_row", json!(per_row(kept_bytes as f64))),
        ("resident_bytes_per_row", json!(per_row((now - before) * 1048576.0))),
        ("resident_to_arrow", json!((now - before) * 1048576.0 / arrow as f64)),
        ("peak_mb", json!(peak.round() as u64)),
    ]);
    expect(&format!("rows of {}", shape.name), once, view)
}
