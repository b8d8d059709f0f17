//! Sources that make their rows up. Every event is a function of its number, which is also the source's position (its
//! only partition is 0), so any range can be made again: history, restarts and SELECTs need nothing kept.

mod counter;
pub mod nexmark;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;

pub use counter::open as open_counter;
pub use nexmark::open as open_nexmark;

use super::declaration::SourceDeclaration;
use super::outlet::{Outlet, Stop, spawn};
use super::{Batches, Follower, Positions, ReadRows, Source, SourceBatch, SourceRelation};
use crate::types::{Error, Result, SqlState};

/// Events of one batch at most, followed or read.
const BATCH_EVENTS: u64 = 10_000;

/// How often a generator with a rate looks what is due.
const PACE: Duration = Duration::from_millis(10);

const PARTITION: i32 = 0;

/// The events of one kind of generator.
trait Sequence: Send + Sync + fmt::Debug {
    fn relations(&self) -> &[SourceRelation];

    /// How many events there are in all, if they end.
    fn end(&self) -> Option<u64>;

    /// How many events are due after following for so long; None if all are, as fast as they are taken.
    fn due(&self, elapsed: Duration) -> Option<u64>;

    /// How long to wait before looking again what is due.
    fn pace(&self) -> Duration {
        PACE
    }

    /// The rows that a range of events puts into one relation.
    fn rows(&self, relation: usize, events: Range<u64>) -> Result<RecordBatch>;
}

/// A declared generator.
#[derive(Debug)]
struct Generator {
    sequence: Arc<dyn Sequence>,
}

impl Source for Generator {
    fn relations(&self) -> &[SourceRelation] {
        self.sequence.relations()
    }

    fn start(&self) -> Result<Positions> {
        Ok(position(0))
    }

    fn follow(
        &self,
        from: Positions,
        batches: SyncSender<Result<SourceBatch>>,
        wake: Arc<dyn Fn() + Send + Sync>,
    ) -> Result<Box<dyn Follower>> {
        let first = event_number(&from)?;
        let run = Arc::new(Run {
            sequence: self.sequence.clone(),
            first,
            next: AtomicU64::new(first),
            began: Instant::now(),
            outlet: Outlet::new(batches, wake, Stop::default()),
        });
        let reader = run.clone();
        spawn("generator", move || reader.run())?;
        Ok(Box::new(GeneratorFollower { run }))
    }

    fn read(&self, relation: usize, from: &Positions, to: &Positions) -> Result<Batches> {
        let (from, to) = (event_number(from)?, event_number(to)?);
        let sequence = self.sequence.clone();
        let starts = (from..to).step_by(BATCH_EVENTS as usize);
        let batches = starts.map(move |start| {
            let end = to.min(start + BATCH_EVENTS);
            let rows = sequence.rows(relation, start..end)?;
            Ok(ReadRows { rows, records_done: end - from })
        });
        Ok(Box::new(batches.filter(|batch| !matches!(batch, Ok(read) if read.rows.num_rows() == 0))))
    }
}

/// A generator being followed: shared by the follower and its thread. It keeps the channel open after the last event:
/// a generator that has ended is quiet, not broken.
struct Run {
    sequence: Arc<dyn Sequence>,
    first: u64,
    next: AtomicU64,
    began: Instant,
    outlet: Outlet,
}

impl Run {
    fn run(&self) {
        let mut next = self.first;
        while !self.outlet.stop().is_stopped() && self.sequence.end().is_none_or(|end| next < end) {
            let until = self.due().min(next + BATCH_EVENTS);
            if until <= next {
                self.outlet.stop().sleep(self.sequence.pace());
                continue;
            }
            let batch = self.batch(next..until);
            let failed = batch.is_err();
            if !self.outlet.send(batch, || {}) || failed {
                return;
            }
            next = until;
            self.next.store(next, Ordering::Relaxed);
        }
    }

    /// The first event that is not due yet.
    fn due(&self) -> u64 {
        let due = self.sequence.due(self.began.elapsed()).map_or(u64::MAX, |count| self.first.saturating_add(count));
        self.sequence.end().map_or(due, |end| due.min(end))
    }

    fn batch(&self, events: Range<u64>) -> Result<SourceBatch> {
        let mut batch = SourceBatch { positions: position(events.end), ..SourceBatch::default() };
        for relation in 0..self.sequence.relations().len() {
            let rows = self.sequence.rows(relation, events.clone())?;
            if rows.num_rows() > 0 {
                batch.bytes += rows.get_array_memory_size();
                batch.rows.push((relation, rows));
            }
        }
        Ok(batch)
    }
}

struct GeneratorFollower {
    run: Arc<Run>,
}

impl Follower for GeneratorFollower {
    fn lag(&self) -> Option<u64> {
        let due = self.run.due();
        (due < u64::MAX).then(|| due.saturating_sub(self.run.next.load(Ordering::Relaxed)))
    }

    fn trouble(&self) -> Option<String> {
        None
    }
}

impl Drop for GeneratorFollower {
    fn drop(&mut self) {
        self.run.outlet.stop().stop();
    }
}

fn position(event: u64) -> Positions {
    Positions([(PARTITION, event as i64)].into())
}

fn event_number(positions: &Positions) -> Result<u64> {
    match positions.0.get(&PARTITION) {
        None => Ok(0),
        Some(&event) => u64::try_from(event).map_err(|_| Error::internal(format!("no event has the number {event}"))),
    }
}

/// A generator decides its own columns and format.
fn refuse_what_records_have(declaration: &SourceDeclaration) -> Result<()> {
    let refused = [
        (!declaration.relation.columns.is_empty(), "a list of columns"),
        (!declaration.connection.is_empty(), "a connection"),
        (!declaration.offsets.is_empty(), "OFFSETS"),
        (declaration.format.is_some() || declaration.key_format.is_some(), "a FORMAT"),
        (declaration.envelope.as_deref().is_some_and(|envelope| envelope != "none"), "an ENVELOPE"),
        (!declaration.include.is_empty(), "INCLUDE"),
    ];
    if let Some((_, what)) = refused.iter().find(|(given, _)| *given) {
        let message = format!("a load generator can't have {what}");
        return Err(Error::new(SqlState::SYNTAX_ERROR, message).with_hint("It decides its own columns and rows."));
    }
    declaration.on_error().map(drop)
}
