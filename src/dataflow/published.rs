//! What workers show of their arrangements to everybody else: after each step, the chunks that are sealed.
//!
//! A snapshot shares its chunks with the worker; taking one costs nothing, and a reader never meets a worker. What is
//! read at a time must have been kept at that time: [`Compact`](super::runtime::Command::Compact) does not go past a
//! [`Hold`].

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, RwLock};

use super::layout::Layout;
use super::page::Page;
use crate::types::{ObjectId, Time};

/// Rows of history that may be on their way to one view.
const HISTORY_ROWS_MAX: usize = 1 << 20;

/// The pages of one sealed batch.
pub type SharedBatch = Arc<[Page]>;

/// One worker's part of an object.
#[derive(Clone)]
pub struct Snapshot {
    pub rows: Vec<SharedBatch>,
    pub errors: Vec<SharedBatch>,
    /// Times before this one can't be told apart.
    pub since: Time,
    /// Complete at times before this one.
    pub upper: Time,
}

/// All objects that have arrangements.
#[derive(Default)]
pub struct Published {
    objects: RwLock<BTreeMap<ObjectId, Arc<PublishedObject>>>,
}

impl Published {
    pub fn get(&self, object: ObjectId) -> Option<Arc<PublishedObject>> {
        self.objects.read().expect("no panic while publishing").get(&object).cloned()
    }

    pub fn all(&self) -> Vec<Arc<PublishedObject>> {
        self.objects.read().expect("no panic while publishing").values().cloned().collect()
    }

    pub fn add(&self, object: ObjectId, published: Arc<PublishedObject>) {
        self.objects.write().expect("no panic while publishing").insert(object, published);
    }

    pub fn remove(&self, object: ObjectId) {
        let removed = self.objects.write().expect("no panic while publishing").remove(&object);
        if let Some(published) = removed {
            published.history.end();
        }
    }
}

/// One object, as its workers have last published it.
pub struct PublishedObject {
    /// Of its rows.
    pub layout: Arc<Layout>,
    workers: Vec<Mutex<Option<Arc<Snapshot>>>>,
    compaction: Mutex<Compaction>,
    pub history: HistoryGate,
}

#[derive(Default)]
struct Compaction {
    to: Time,
    /// How many holds there are at each time.
    holds: BTreeMap<Time, usize>,
}

impl PublishedObject {
    /// Readable from `since` on, once there is something.
    pub fn new(layout: Arc<Layout>, workers: usize, since: Time) -> Self {
        PublishedObject {
            layout,
            workers: (0..workers).map(|_| Mutex::default()).collect(),
            compaction: Mutex::new(Compaction { to: since, ..Compaction::default() }),
            history: HistoryGate::default(),
        }
    }

    pub fn publish(&self, worker: usize, snapshot: Snapshot) {
        *self.workers[worker].lock().expect("no panic while publishing") = Some(Arc::new(snapshot));
    }

    /// The latest of each worker; none while a worker has none.
    pub fn snapshots(&self) -> Option<Vec<Arc<Snapshot>>> {
        self.workers.iter().map(|worker| worker.lock().expect("no panic while publishing").clone()).collect()
    }

    /// Complete at times before this one, on all workers.
    pub fn frontier(&self) -> Time {
        let snapshots = self.snapshots().unwrap_or_default();
        snapshots.iter().map(|snapshot| snapshot.upper).min().unwrap_or(0)
    }

    /// Readable from this time on.
    pub fn since(&self) -> Time {
        self.compaction.lock().expect("no panic while compacting").to
    }

    /// Compacts to `to`, or as far as holds allow; gives how far that is.
    pub fn compact(&self, to: Time) -> Time {
        let mut compaction = self.compaction.lock().expect("no panic while compacting");
        let first_hold = compaction.holds.keys().next().copied().unwrap_or(Time::MAX);
        compaction.to = compaction.to.max(to.min(first_hold));
        compaction.to
    }

    /// Keeps the object readable at `time` and later; none if it no longer is.
    pub fn hold(self: &Arc<Self>, time: Time) -> Option<Hold> {
        let mut compaction = self.compaction.lock().expect("no panic while compacting");
        if compaction.to > time {
            return None;
        }
        *compaction.holds.entry(time).or_default() += 1;
        Some(Hold { object: self.clone(), time })
    }
}

/// While it lives, its object can be read at its time and later.
pub struct Hold {
    object: Arc<PublishedObject>,
    time: Time,
}

impl Hold {
    /// Lets go of the times before `time`.
    pub fn advance(&mut self, time: Time) {
        if let Some(later) = self.object.hold(time) {
            *self = later;
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut compaction = self.object.compaction.lock().expect("no panic while compacting");
        let count = compaction.holds.get_mut(&self.time).expect("a hold is counted while it lives");
        *count -= 1;
        if *count == 0 {
            compaction.holds.remove(&self.time);
        }
    }
}

/// Makes those who feed history wait while a view is too far behind.
#[derive(Default)]
pub struct HistoryGate {
    state: Mutex<HistoryState>,
    changed: Condvar,
}

#[derive(Default)]
struct HistoryState {
    rows_waiting: usize,
    ended: bool,
}

impl HistoryGate {
    /// Waits until there is room, then takes it; false if the view is gone.
    pub fn enter(&self, rows: usize) -> bool {
        let state = self.state.lock().expect("no panic while waiting");
        let is_full = |state: &mut HistoryState| !state.ended && state.rows_waiting >= HISTORY_ROWS_MAX;
        let mut state = self.changed.wait_while(state, is_full).expect("no panic while waiting");
        state.rows_waiting += rows;
        !state.ended
    }

    /// A worker has taken rows in.
    pub fn leave(&self, rows: usize) {
        self.state.lock().expect("no panic while waiting").rows_waiting -= rows;
        self.changed.notify_all();
    }

    fn end(&self) {
        self.state.lock().expect("no panic while waiting").ended = true;
        self.changed.notify_all();
    }
}
