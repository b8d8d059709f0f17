//! Time: the one place where timestamps are minted, given to data, and closed.
//!
//! ```text
//!   commit of a transaction ─┐
//!   tick of the sources ─────┼─▶ mint t ─▶ log ─▶ feed rows at t ─▶ Advance(t + 1) ─▶ sync ─▶ settled(t)
//!   CREATE / DROP ───────────┘   up to Advance under one lock, so every worker sees them in this order
//! ```
//! Frontiers of all inputs advance together, so a read at the newest time waits only for work, never for data. What is
//! read may not be on the disk yet; nobody outside is told of it, nor of a commit, before it is [`Timeline::settled`]. What
//! is closed while the disk is busy is synced together.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::watch;

use super::bell::Bell;
use super::durable;
use super::footprint::Footprint;
use super::write_log::WriteLog;
use crate::dataflow::runtime::{Command, Runtime};
use crate::store::{Change, Store};
use crate::types::{Clock, Delta, ObjectId, Result, Time};

/// How far compaction goes at least, since each step of it wakes all workers and has every arrangement published anew.
const COMPACTION_STEP_MICROS: Time = 250_000;

/// The timeline of the database.
pub struct Timeline {
    clock: Clock,
    pub runtime: Arc<Runtime>,
    store: Arc<Store>,
    /// Rung when something was closed that is not on the disk.
    unsynced: Bell,
    /// Everything before this time is on the disk.
    synced: watch::Sender<Time>,
    state: Mutex<State>,
    progress: watch::Receiver<u64>,
    retention_micros: u64,
}

struct State {
    /// No row below this time will be fed any more.
    closed: Time,
    /// Times that somebody reads at, with the number of readers; nothing is compacted beyond the least.
    holds: BTreeMap<Time, usize>,
    /// What was written to tables since `compacted`.
    written: WriteLog,
    /// The last `Compact`.
    compacted: Time,
}

impl Timeline {
    /// A timeline that begins after everything that is in the store; the first turn that is closed starts the workers.
    /// `progress` changes whenever a published frontier has moved.
    pub fn new(
        runtime: Arc<Runtime>,
        store: Arc<Store>,
        progress: watch::Receiver<u64>,
        retention_micros: u64,
    ) -> Result<Self> {
        let clock = Clock::starting_after(durable::clock(&store)?);
        let now = clock.mint();
        let written = WriteLog::default();
        let state = State { closed: now, holds: BTreeMap::new(), written, compacted: 0 };
        let (synced, unsynced) = (watch::Sender::new(now), Bell::default());
        let state = Mutex::new(state);
        Ok(Timeline { clock, runtime, store, unsynced, synced, state, progress, retention_micros })
    }

    /// The newest time that is closed: everything acknowledged so far is at or below it, and perhaps more.
    pub fn readable(&self) -> Time {
        self.lock().closed - 1
    }

    /// Keeps the present readable until the hold is dropped.
    pub fn hold_now(self: &Arc<Self>) -> Hold {
        let mut state = self.lock();
        let time = state.closed - 1;
        state.hold(time);
        Hold { time, timeline: self.clone() }
    }

    /// Keeps `time` readable if it still is; else gives the oldest time that is.
    pub fn hold_at(self: &Arc<Self>, time: Time) -> Result<Hold, Time> {
        let mut state = self.lock();
        if time < state.compacted {
            return Err(state.compacted);
        }
        let time = time.min(state.closed - 1);
        state.hold(time);
        Ok(Hold { time, timeline: self.clone() })
    }

    /// The order of the database: nothing is minted, fed, made or dropped but through the guard.
    pub fn turn(&self) -> Turn<'_> {
        Turn { timeline: self, state: self.lock() }
    }

    /// Nothing can be read at times before this one.
    pub fn begin_at(&self, time: Time) {
        self.lock().compacted = time;
    }

    /// Changes whenever a published frontier has moved.
    pub fn progress(&self) -> watch::Receiver<u64> {
        self.progress.clone()
    }

    /// Lets the workers forget what nobody may ask for any more.
    pub fn compact(&self) {
        let mut state = self.lock();
        let newest = (state.closed - 1).saturating_sub(self.retention_micros);
        let oldest_held = state.holds.keys().next().copied();
        let to = oldest_held.map_or(newest, |held| held.min(newest));
        if to >= state.compacted + COMPACTION_STEP_MICROS {
            state.compacted = to;
            state.written.trim(to);
            self.runtime.execute(Command::Compact { to });
        }
    }

    /// Waits until everything up to `time`, as far as that is closed, is on the disk.
    pub async fn settled(&self, time: Time) {
        let time = time.min(self.readable());
        // The sender lives as long as this does.
        self.synced.subscribe().wait_for(|synced| *synced > time).await.ok();
    }

    /// Waits a while for something that was closed, and brings it to the disk. What a thread of its own does for ever.
    pub fn sync(&self, limit: Duration) {
        self.unsynced.wait(limit);
        let closed = self.lock().closed;
        self.settle(closed - 1);
    }

    /// Brings everything up to `time` to the disk, if it is not there.
    pub fn settle(&self, time: Time) {
        if time < *self.synced.borrow() {
            return;
        }
        let closed = self.lock().closed;
        self.store.sync();
        self.synced.send_if_modified(|synced| {
            let is_later = closed > *synced;
            *synced = closed.max(*synced);
            is_later
        });
    }

    /// The oldest time that can still be read at.
    pub fn oldest_readable(&self) -> Time {
        self.lock().compacted
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while holding the timeline")
    }
}

impl State {
    fn hold(&mut self, time: Time) {
        *self.holds.entry(time).or_default() += 1;
    }
}

/// One turn in the order of the database.
pub struct Turn<'a> {
    timeline: &'a Timeline,
    state: MutexGuard<'a, State>,
}

impl Turn<'_> {
    /// The newest closed time; what is made in this turn is right from here on.
    pub fn as_of(&self) -> Time {
        self.state.closed - 1
    }

    /// Writes what is about to happen at `time` to the log. If that fails, nothing happens.
    pub fn log(&self, time: Time, mut changes: Vec<Change>) -> Result<()> {
        changes.push(durable::put_clock(time));
        self.timeline.store.write(changes)
    }

    /// Whether what was read at `since` has been written after it.
    pub fn conflicts(&self, footprint: &Footprint, since: Time) -> bool {
        self.state.written.conflicts(footprint, since)
    }

    pub fn execute(&self, command: Command) {
        self.timeline.runtime.execute(command);
    }

    /// A timestamp for what is fed next; [`close`](Self::close) must follow.
    pub fn mint(&self) -> Time {
        self.timeline.clock.mint().max(self.state.closed)
    }

    /// Rows of an input at a minted time.
    pub fn feed(&self, input: ObjectId, delta: Delta) {
        self.timeline.runtime.feed(input, delta);
    }

    /// Rows of a table at a minted time, which transactions that have read them must hear of.
    pub fn write(&mut self, table: ObjectId, delta: Delta, time: Time) {
        self.state.written.add(table, time, delta.clone());
        self.feed(table, delta);
    }

    /// Everything up to `time` has been fed.
    pub fn close(&mut self, time: Time) {
        self.state.closed = time + 1;
        self.execute(Command::Advance { to: time + 1 });
        self.timeline.unsynced.ring();
    }
}

/// A time that stays readable while this lives.
pub struct Hold {
    pub time: Time,
    timeline: Arc<Timeline>,
}

impl Clone for Hold {
    fn clone(&self) -> Self {
        self.timeline.lock().hold(self.time);
        Hold { time: self.time, timeline: self.timeline.clone() }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.timeline.lock();
        let count = state.holds.get_mut(&self.time).expect("a hold is counted while it lives");
        *count -= 1;
        if *count == 0 {
            state.holds.remove(&self.time);
        }
    }
}

impl std::fmt::Debug for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hold({})", self.time)
    }
}
