//! Running sources: followers are drained by ticks, what they give is bound to a timestamp and fed to the workers.
//!
//! A binding says how far each partition had been read at a time, so that all views of a source, and every SELECT on
//! it, see the same records at the same time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use arrow::array::RecordBatch;

use super::timeline::{Timeline, Turn};
use crate::connect::{Follower, Positions, RecordError, Source, SourceBatch};
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
    errors: VecDeque<(Time, RecordError)>,
    failure: Option<Error>,
    records: u64,
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
    /// Begins to read `source`; `relations` are the ids of what it gives. In the turn in which its inputs are made.
    pub fn start(
        &self,
        turn: &Turn<'_>,
        id: ObjectId,
        source: Arc<dyn Source>,
        relations: Vec<ObjectId>,
        start: Positions,
    ) {
        let (sender, receiver) = sync_channel(FOLLOWER_QUEUE_BATCHES);
        let bell = self.bell.clone();
        let followed = source.follow(start.clone(), sender, Arc::new(move || bell.ring()));
        let (follower, failure) = match followed {
            Ok(follower) => (Some((follower, receiver)), None),
            Err(error) => (None, Some(error)),
        };
        let bindings = VecDeque::from([(turn.as_of(), start.clone())]);
        let errors = VecDeque::new();
        let running = Running { source, relations, start, bindings, follower, errors, failure, records: 0 };
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
        let drained: Vec<_> = sources.values_mut().map(|running| (running.drain(share), running)).collect();
        let drained: Vec<_> = drained.into_iter().filter(|(batches, _)| !batches.is_empty()).collect();
        if drained.is_empty() {
            return false;
        }
        let time = turn.mint();
        for (batches, running) in drained {
            running.bind(&turn, time, batches);
        }
        turn.close(time);
        true
    }

    /// Waits until a follower has something, or a limit has passed.
    pub fn wait(&self, limit: std::time::Duration) {
        self.bell.wait(limit);
    }

    /// The records of a relation that are bound at or below `time`, and why the source stopped, if it did before.
    pub fn history(&self, relation: ObjectId, time: Time) -> Option<Result<History>> {
        let sources = self.lock();
        let (running, index) = sources.values().find_map(|running| {
            let index = running.relations.iter().position(|&id| id == relation)?;
            Some((running, index))
        })?;
        if let Some(failure) = &running.failure {
            return Some(Err(failure.clone()));
        }
        let bound = running.bindings.iter().rev().find(|(bound, _)| *bound <= time);
        let to = bound.map_or_else(|| running.start.clone(), |(_, positions)| positions.clone());
        Some(Ok(History { source: running.source.clone(), relation: index, from: running.start.clone(), to }))
    }

    /// Why the source of a relation stopped, if it did.
    pub fn failure(&self, relation: ObjectId) -> Option<Error> {
        let sources = self.lock();
        let running = sources.values().find(|running| running.relations.contains(&relation))?;
        running.failure.clone()
    }

    /// Forgets bindings that nobody can read at any more.
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
            running.errors.iter().map(move |(time, error)| (id, *time, error.clone())).collect::<Vec<_>>()
        };
        sources.iter().flat_map(of).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ObjectId, Running>> {
        self.sources.lock().expect("no panic while holding the sources")
    }
}

impl Running {
    /// What the follower has delivered since the last tick; the batch that goes beyond a limit is the last.
    fn drain(&mut self, bytes_max: usize) -> Vec<SourceBatch> {
        let mut batches = Vec::new();
        let mut bytes = 0;
        while bytes < bytes_max {
            let Some((_, receiver)) = &self.follower else { break };
            match receiver.try_recv() {
                Ok(Ok(batch)) => {
                    bytes += batch.bytes;
                    batches.push(batch);
                }
                Ok(Err(error)) => {
                    tracing::error!(%error, "a source stopped");
                    self.failure = Some(error);
                    self.follower = None;
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        batches
    }

    /// Gives a tick's batches their time: rows are fed, positions bound, errors kept.
    fn bind(&mut self, turn: &Turn<'_>, time: Time, batches: Vec<SourceBatch>) {
        let mut positions = self.bindings.back().expect("the start is bound").1.clone();
        for batch in batches {
            for (index, rows) in batch.rows {
                self.records += rows.num_rows() as u64;
                feed(turn, self.relations[index], rows, time);
            }
            positions.0.extend(batch.positions.0);
            self.errors.extend(batch.errors.into_iter().map(|error| (time, error)));
        }
        while self.errors.len() > ERRORS_KEPT {
            self.errors.pop_front();
        }
        self.bindings.push_back((time, positions));
    }

    fn status(&self, id: ObjectId) -> SourceStatus {
        let (bound_at, positions) = self.bindings.back().cloned().expect("the start is bound");
        let trouble = match (&self.failure, &self.follower) {
            (Some(failure), _) => Some(failure.to_string()),
            (None, Some((follower, _))) => follower.trouble(),
            (None, None) => None,
        };
        let lag = self.follower.as_ref().and_then(|(follower, _)| follower.lag());
        SourceStatus { id, positions, bound_at, records: self.records, errors: self.errors.len(), lag, trouble }
    }
}

fn feed(turn: &Turn<'_>, relation: ObjectId, rows: RecordBatch, time: Time) {
    if rows.num_rows() > 0 {
        turn.feed(relation, Delta::insert(rows, time));
    }
}

/// Wakes the ticking thread.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    condition: Condvar,
}

impl Bell {
    fn ring(&self) {
        *self.rung.lock().expect("no panic while ringing") = true;
        self.condition.notify_one();
    }

    fn wait(&self, limit: std::time::Duration) {
        let rung = self.rung.lock().expect("no panic while ringing");
        let wait = self.condition.wait_timeout_while(rung, limit, |rung| !*rung);
        *wait.expect("no panic while ringing").0 = false;
    }
}
