//! Running sources: followers are drained by ticks, what they give is bound to a timestamp and fed to the workers.
//!
//! A binding says how far each partition had been read at a time, so that all views of a source, and every SELECT on
//! it, see the same records at the same time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard};

use super::bell::Bell;
use super::durable;
use super::timeline::{Timeline, Turn};
use crate::connect::{Follower, Positions, RecordError, Source, SourceBatch};
use crate::store::Change;
use crate::types::{Delta, Error, ObjectId, Result, Time};

/// Batches that a follower may be ahead of the ticks.
const FOLLOWER_QUEUE_BATCHES: usize = 16;
/// Bytes of one source that one tick takes at most, so that no timestamp gets too large to handle at once.
const TICK_BYTES_MAX: usize = 16 << 20;
/// Undecodable records that are kept per source for `millrace.source_errors`; older ones are forgotten.
const ERRORS_KEPT: usize = 10_000;

/// All running sources.
#[derive(Default)]
pub struct Ingest {
    sources: Mutex<BTreeMap<ObjectId, Running>>,
    bell: Arc<Bell>,
}

/// One running source.
struct Running {
    source: Arc<dyn Source>,
    /// The catalog's id of each of the source's relations.
    relations: Vec<ObjectId>,
    /// Where reading began.
    start: Positions,
    /// Where reading is, and when it got there.
    bindings: VecDeque<(Time, Positions)>,
    /// None once the follower has given up.
    follower: Option<(Box<dyn Follower>, Receiver<Result<SourceBatch>>)>,
    /// Taken from the follower, and not bound yet.
    drained: Vec<SourceBatch>,
    /// With the numbers that they are kept under, which grow.
    errors: VecDeque<(u64, (Time, RecordError))>,
    next_error: u64,
    failure: Option<Error>,
    /// Why what was read can't be bound, if it can't.
    trouble: Option<String>,
    records: u64,
}

/// What is known of a source from before it is followed.
pub struct Known {
    /// Where reading began.
    pub start: Positions,
    /// The last is where reading goes on.
    pub bindings: Vec<(Time, Positions)>,
    pub errors: Vec<(u64, (Time, RecordError))>,
}

/// What `millrace.sources` shows.
#[derive(Clone, Debug)]
pub struct SourceStatus {
    pub id: ObjectId,
    pub positions: Positions,
    pub bound_at: Time,
    pub records: u64,
    pub errors: usize,
    pub lag: Option<u64>,
    pub trouble: Option<String>,
}

/// A relation of a source at a time: everything that is needed to read its history.
#[derive(Clone, Debug)]
pub struct History {
    pub source: Arc<dyn Source>,
    pub relation: usize,
    pub from: Positions,
    pub to: Positions,
}

impl Ingest {
    /// Begins to read `source`, or goes on; `relations` are the ids of what it gives. In the turn in which its inputs are
    /// made.
    pub fn start(&self, id: ObjectId, source: Arc<dyn Source>, relations: Vec<ObjectId>, known: Known) {
        let (sender, receiver) = sync_channel(FOLLOWER_QUEUE_BATCHES);
        let bell = self.bell.clone();
        let from = known.bindings.last().map_or_else(|| known.start.clone(), |(_, positions)| positions.clone());
        let followed = source.follow(from, sender, Arc::new(move || bell.ring()));
        let (follower, failure) = match followed {
            Ok(follower) => (Some((follower, receiver)), None),
            Err(error) => (None, Some(error)),
        };
        let next_error = known.errors.last().map_or(0, |(number, _)| number + 1);
        let running = Running {
            source,
            relations,
            start: known.start,
            bindings: known.bindings.into(),
            follower,
            drained: vec![],
            errors: known.errors.into(),
            next_error,
            failure,
            trouble: None,
            records: 0,
        };
        self.lock().insert(id, running);
    }

    /// Stops reading a source. Its follower ends outside the lock, since that may take a moment.
    pub fn stop(&self, id: ObjectId) {
        let stopped = self.lock().remove(&id);
        drop(stopped);
    }

    /// One tick: what the followers have read gets one timestamp, but not much more than `room` bytes of it; the rest
    /// waits in the followers' queues, and then in the systems that they read. Gives false if there was nothing. (Who
    /// needs both the timeline and the sources takes the timeline first.)
    pub fn tick(&self, timeline: &Timeline, room: usize) -> bool {
        let mut turn = timeline.turn();
        let mut sources = self.lock();
        let share = TICK_BYTES_MAX.min(room / sources.len().max(1));
        sources.values_mut().for_each(|running| running.drain(share));
        let drained: Vec<_> = sources.iter_mut().filter(|(_, running)| !running.drained.is_empty()).collect();
        if drained.is_empty() {
            return false;
        }
        let time = turn.mint();
        let changes = drained.iter().flat_map(|(id, running)| running.changes(**id, time)).collect();
        let logged = turn.log(time, changes);
        for (_, running) in drained {
            running.trouble = logged.as_ref().err().map(Error::to_string);
            if logged.is_ok() {
                running.bind(&turn, time);
            }
        }
        if let Err(error) = &logged {
            tracing::warn!(%error, "what sources have read can't be bound; they wait");
            return false;
        }
        turn.close(time);
        true
    }

    /// Waits until a follower has something, or a limit has passed.
    pub fn wait(&self, limit: std::time::Duration) {
        self.bell.wait(limit);
    }

    /// The records of a relation that are bound after `after` (0: all) and at or below `time`, and why the source stopped,
    /// if it did before.
    pub fn history(&self, relation: ObjectId, after: Time, time: Time) -> Option<Result<History>> {
        let sources = self.lock();
        let (running, index) = sources.values().find_map(|running| {
            let index = running.relations.iter().position(|&id| id == relation)?;
            Some((running, index))
        })?;
        if let Some(failure) = &running.failure {
            return Some(Err(failure.clone()));
        }
        let (from, to) = (running.bound_at(after), running.bound_at(time));
        Some(Ok(History { source: running.source.clone(), relation: index, from, to }))
    }

    /// Why the source of a relation stopped, if it did.
    pub fn failure(&self, relation: ObjectId) -> Option<Error> {
        let sources = self.lock();
        let running = sources.values().find(|running| running.relations.contains(&relation))?;
        running.failure.clone()
    }

    /// Forgets bindings that nobody can read at any more. (The log keeps those that a restart begins from.)
    pub fn trim(&self, before: Time) {
        for running in self.lock().values_mut() {
            while running.bindings.len() > 1 && running.bindings[1].0 <= before {
                running.bindings.pop_front();
            }
        }
    }

    pub fn topic(&self, id: ObjectId) -> Option<String> {
        self.lock().get(&id)?.source.topic().map(str::to_string)
    }

    pub fn status(&self) -> Vec<SourceStatus> {
        self.lock().iter().map(|(id, running)| running.status(*id)).collect()
    }

    /// The undecodable records that are kept: source, when they were met, and what is known of them.
    pub fn errors(&self) -> Vec<(ObjectId, Time, RecordError)> {
        let sources = self.lock();
        let of = |(id, running): (&ObjectId, &Running)| {
            let id = *id;
            running.errors.iter().map(move |(_, (time, error))| (id, *time, error.clone())).collect::<Vec<_>>()
        };
        sources.iter().flat_map(of).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ObjectId, Running>> {
        self.sources.lock().expect("no panic while holding the sources")
    }
}

impl Running {
    /// Takes what the follower has delivered since the last tick; the batch that goes beyond a limit is the last.
    fn drain(&mut self, bytes_max: usize) {
        let mut bytes: usize = self.drained.iter().map(|batch| batch.bytes).sum();
        while bytes < bytes_max {
            let Some((_, receiver)) = &self.follower else { break };
            match receiver.try_recv() {
                Ok(Ok(batch)) => {
                    bytes += batch.bytes;
                    self.drained.push(batch);
                }
                Ok(Err(error)) => {
                    tracing::error!(%error, "a source stopped");
                    self.failure = Some(error);
                    self.follower = None;
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
    }

    /// Where reading is after what was drained.
    fn drained_to(&self) -> Positions {
        let mut positions = self.bindings.back().expect("the start is bound").1.clone();
        self.drained.iter().for_each(|batch| positions.0.extend(&batch.positions.0));
        positions
    }

    /// What the log must hold before what was drained can be bound to a time: positions, and errors by growing numbers.
    fn changes(&self, id: ObjectId, time: Time) -> Vec<Change> {
        let new = self.drained.iter().flat_map(|batch| &batch.errors).zip(self.next_error..);
        let mut changes: Vec<Change> =
            new.map(|(error, number)| durable::source_error(id, number, time, error)).collect();
        let surplus = (self.errors.len() + changes.len()).saturating_sub(ERRORS_KEPT);
        let oldest = self.next_error - self.errors.len() as u64;
        changes.extend((oldest..oldest + surplus as u64).map(|number| durable::forget_source_error(id, number)));
        changes.push(durable::binding(id, time, &self.drained_to()));
        changes
    }

    /// Gives what was drained its time, which the log knows: positions are bound, errors kept, rows fed.
    fn bind(&mut self, turn: &Turn<'_>, time: Time) {
        self.bindings.push_back((time, self.drained_to()));
        for batch in self.drained.drain(..) {
            for error in batch.errors {
                self.errors.push_back((self.next_error, (time, error)));
                self.next_error += 1;
            }
            for (index, rows) in batch.rows {
                self.records += rows.num_rows() as u64;
                if rows.num_rows() > 0 {
                    turn.feed(self.relations[index], Delta::insert(rows, time));
                }
            }
        }
        self.errors.drain(..self.errors.len().saturating_sub(ERRORS_KEPT));
    }

    /// How far reading was at a time.
    fn bound_at(&self, time: Time) -> Positions {
        let bound = self.bindings.iter().rev().find(|(bound, _)| *bound <= time);
        bound.map_or_else(|| self.start.clone(), |(_, positions)| positions.clone())
    }

    fn status(&self, id: ObjectId) -> SourceStatus {
        let (bound_at, positions) = self.bindings.back().cloned().expect("the start is bound");
        let of_follower = || self.follower.as_ref().and_then(|(follower, _)| follower.trouble());
        let trouble = self.failure.as_ref().map(Error::to_string).or_else(|| self.trouble.clone()).or_else(of_follower);
        let lag = self.follower.as_ref().and_then(|(follower, _)| follower.lag());
        SourceStatus { id, positions, bound_at, records: self.records, errors: self.errors.len(), lag, trouble }
    }
}
