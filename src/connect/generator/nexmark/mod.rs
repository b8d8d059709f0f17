//! NEXMARK: the auction site of the Nexmark benchmark, as the relations person, auction and bid.

mod event;
mod random;
#[cfg(test)]
mod tests;
mod vocabulary;

use std::ops::Range;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

pub use event::generate;

use super::{Generator, Sequence, refuse_what_records_have};
use crate::connect::declaration::SourceDeclaration;
use crate::connect::options::{Options, invalid};
use crate::connect::{Envelope, Source, SourceRelation};
use crate::types::{Column, Relation, Result, SqlType};

/// Events in a second of event time, unless EVENTS_PER_EVENT_SECOND says otherwise.
pub const DEFAULT_DENSITY: u64 = 10_000;

/// The most events: their numbers and times stay far inside 64 bits.
const EVENTS_MAX: u64 = 1_000_000_000_000;

const PERSON: usize = 0;
const AUCTION: usize = 1;
const BID: usize = 2;

#[derive(Debug)]
struct Nexmark {
    events: u64,
    /// Events per second of real time; 0 for as many as are taken.
    rate: u64,
    density: u64,
}

pub fn open(declaration: &SourceDeclaration) -> Result<Arc<dyn Source>> {
    refuse_what_records_have(declaration)?;
    let mut options = Options::new("the NEXMARK load generator", &declaration.options);
    let events = options.count("events")?.unwrap_or(EVENTS_MAX);
    let rate = options.count("rate")?.unwrap_or(0);
    let density = options.count("events_per_event_second")?.unwrap_or(DEFAULT_DENSITY);
    options.finish()?;
    if events > EVENTS_MAX {
        let hint = format!("There are at most {EVENTS_MAX}.");
        return Err(invalid("events", &events.to_string()).with_hint(hint));
    }
    if !(1..=1_000_000_000).contains(&density) {
        let hint = "It is between 1 and 1000000000.";
        return Err(invalid("events_per_event_second", &density.to_string()).with_hint(hint));
    }
    Ok(Arc::new(Generator { sequence: Arc::new(Nexmark { events, rate, density }) }))
}

impl Sequence for Nexmark {
    fn relations(&self) -> &[SourceRelation] {
        &*RELATIONS
    }

    fn end(&self) -> Option<u64> {
        Some(self.events)
    }

    fn due(&self, elapsed: Duration) -> Option<u64> {
        let due = u128::from(self.rate) * elapsed.as_micros() / 1_000_000;
        (self.rate > 0).then(|| due.min(u128::from(EVENTS_MAX)) as u64)
    }

    fn rows(&self, relation: usize, events: Range<u64>) -> Result<RecordBatch> {
        match relation {
            PERSON => event::persons(events, self.density),
            AUCTION => event::auctions(events, self.density),
            _ => event::bids(events, self.density),
        }
    }
}

fn schema(relation: usize) -> SchemaRef {
    SCHEMAS[relation].clone()
}

static SCHEMAS: LazyLock<Vec<SchemaRef>> =
    LazyLock::new(|| RELATIONS.iter().map(|relation| relation.relation.schema()).collect());

pub static RELATIONS: LazyLock<Vec<SourceRelation>> = LazyLock::new(|| {
    use SqlType::{Int8, Text, Timestamp};
    let relation = |name: &str, columns: &[(&str, SqlType)]| SourceRelation {
        name: Some(name.to_string()),
        relation: Relation::new(columns.iter().map(|(name, of)| Column::new(*name, of.clone(), false)).collect()),
        envelope: Envelope::Append,
    };
    vec![
        relation(
            "person",
            &[
                ("id", Int8),
                ("name", Text),
                ("email_address", Text),
                ("credit_card", Text),
                ("city", Text),
                ("state", Text),
                ("date_time", Timestamp),
                ("extra", Text),
            ],
        ),
        relation(
            "auction",
            &[
                ("id", Int8),
                ("item_name", Text),
                ("description", Text),
                ("initial_bid", Int8),
                ("reserve", Int8),
                ("date_time", Timestamp),
                ("expires", Timestamp),
                ("seller", Int8),
                ("category", Int8),
                ("extra", Text),
            ],
        ),
        relation(
            "bid",
            &[
                ("auction", Int8),
                ("bidder", Int8),
                ("price", Int8),
                ("channel", Text),
                ("url", Text),
                ("date_time", Timestamp),
                ("extra", Text),
            ],
        ),
    ]
});
