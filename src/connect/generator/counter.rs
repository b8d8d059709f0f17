//! COUNTER: 1, 2, 3, .. at a steady tick.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Int64Array, RecordBatch};

use super::{Generator, Sequence, refuse_what_records_have};
use crate::connect::declaration::SourceDeclaration;
use crate::connect::options::Options;
use crate::connect::{Envelope, Source, SourceRelation};
use crate::types::{Column, Relation, Result, SqlType};

const DEFAULT_TICK: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Counter {
    tick: Duration,
    events: Option<u64>,
    relations: Vec<SourceRelation>,
}

pub fn open(declaration: &SourceDeclaration) -> Result<Arc<dyn Source>> {
    refuse_what_records_have(declaration)?;
    let mut options = Options::new("the COUNTER load generator", &declaration.options);
    let tick = options.duration("tick_interval")?.unwrap_or(DEFAULT_TICK);
    let events = options.count("events")?;
    options.finish()?;
    let relation = Relation::new(vec![Column::new("counter", SqlType::Int8, false)]);
    let relations = vec![SourceRelation { name: None, relation, envelope: Envelope::Append }];
    Ok(Arc::new(Generator { sequence: Arc::new(Counter { tick, events, relations }) }))
}

impl Sequence for Counter {
    fn relations(&self) -> &[SourceRelation] {
        &self.relations
    }

    fn end(&self) -> Option<u64> {
        self.events
    }

    fn due(&self, elapsed: Duration) -> Option<u64> {
        Some((elapsed.as_micros() / self.tick.as_micros()) as u64)
    }

    fn pace(&self) -> Duration {
        self.tick.min(super::PACE)
    }

    fn rows(&self, relation: usize, events: Range<u64>) -> Result<RecordBatch> {
        let numbers = Int64Array::from_iter_values(events.map(|event| event as i64 + 1));
        Ok(RecordBatch::try_new(self.relations[relation].relation.schema(), vec![Arc::new(numbers)])?)
    }
}
