//! Running views: the history of append sources is read for each new view, and what can go wrong with that is kept.
//!
//! The live feed of a source goes to every view by itself; what came before a view was made is read again from the
//! source, up to the positions that are bound at the view's first time, by a thread of the view's own. Rows come in
//! steps of growing times, so that the view works them off in bounded pieces while other views stay live.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::ingest::History;
use super::system::System;
use crate::catalog::{Catalog, MaterializedView, PlannedWith};
use crate::connect::Positions;
use crate::dataflow::runtime::{Command, Runtime};
use crate::sql::{self, PlanContext, Planned, Planner};
use crate::types::{Delta, Error, ObjectId, Result, SqlState, Time};

/// Between two attempts to read a history from a system that is away.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// The views that run, beyond what the workers know of them.
pub struct Views {
    running: Mutex<HashMap<ObjectId, Arc<RunningView>>>,
    /// Records of history that share a timestamp.
    step_records: u64,
}

/// One running view.
#[derive(Default)]
pub struct RunningView {
    /// Of the plan that it runs by.
    fingerprint: u64,
    /// It began with what was saved, and shows that when nothing can be added to it.
    is_restored: bool,
    stopped: AtomicBool,
    /// Inputs whose history is being read.
    histories: AtomicUsize,
    failure: Mutex<Option<Error>>,
    /// Records of history that have been fed, and that there are, over all sources that the view reads.
    pub history_done: AtomicU64,
    pub history_total: AtomicU64,
}

impl Views {
    pub fn new(step_records: u64) -> Self {
        Views { running: Mutex::default(), step_records }
    }

    /// Begins to keep track of a view, with its plan's fingerprint, and to feed it the history of each append source that
    /// it reads: at times up to `as_of`, after `after`.
    pub fn start(
        &self,
        runtime: &Arc<Runtime>,
        (id, fingerprint): (ObjectId, u64),
        (after, as_of): (Time, Time),
        histories: Vec<(ObjectId, Result<History>)>,
    ) {
        let view = Arc::new(RunningView { fingerprint, is_restored: after > 0, ..RunningView::default() });
        self.running.lock().expect("no panic while holding the views").insert(id, view.clone());
        for (input, history) in histories {
            match history {
                Ok(history) => {
                    let total = records(&history.from, &history.to);
                    view.history_total.fetch_add(total, Ordering::Relaxed);
                    if total == 0 {
                        runtime.close_history(id, input);
                        continue;
                    }
                    let (failed, running) = (view.clone(), runtime.clone());
                    let (runtime, view) = (runtime.clone(), view.clone());
                    view.histories.fetch_add(1, Ordering::Relaxed);
                    let steps = Steps { after, as_of, records: self.step_records };
                    let feeder = move || {
                        let feed = || feed_history(&runtime, &view, id, input, steps, history);
                        if catch_unwind(AssertUnwindSafe(feed)).is_err() {
                            view.fail(
                                &runtime,
                                id,
                                Error::internal("reading its history failed by a fault of the server"),
                            );
                        }
                    };
                    let thread = std::thread::Builder::new().name(format!("history-{id}"));
                    if let Err(error) = thread.spawn(feeder) {
                        failed.fail(&running, id, Error::internal(format!("could not start a thread: {error}")));
                    }
                }
                Err(error) => view.fail(runtime, id, error),
            }
        }
    }

    /// The view can't be completed: its readers are told why, and its dataflow goes unless it holds what was saved.
    pub fn fail(&self, runtime: &Runtime, id: ObjectId, error: Error) {
        let view = self.running.lock().expect("no panic while holding the views").entry(id).or_default().clone();
        view.fail(runtime, id, error);
    }

    /// Whether a view is still taking in what was there before it.
    pub fn reads_history(&self, id: ObjectId) -> bool {
        self.get(id).is_some_and(|view| view.histories.load(Ordering::Relaxed) > 0)
    }

    /// Of the plan that a view runs by; 0 for what has none.
    pub fn fingerprint(&self, id: ObjectId) -> u64 {
        self.get(id).map_or(0, |view| view.fingerprint)
    }

    /// Why a view can't be completed, if so.
    pub fn failure(&self, id: ObjectId) -> Option<Error> {
        self.get(id)?.failure.lock().expect("no panic while holding a failure").clone()
    }

    pub fn get(&self, id: ObjectId) -> Option<Arc<RunningView>> {
        self.running.lock().expect("no panic while holding the views").get(&id).cloned()
    }

    pub fn stop(&self, id: ObjectId) {
        let view = self.running.lock().expect("no panic while holding the views").remove(&id);
        if let Some(view) = view {
            view.stopped.store(true, Ordering::Relaxed);
        }
    }
}

/// The plan of a view, as it was made when the view was.
pub fn plan(catalog: &Arc<Catalog>, view: &MaterializedView) -> Result<Planned> {
    let PlannedWith { user, search_path, time_zone, settings } = view.planned_with.clone();
    let context = PlanContext { user, search_path, time_zone, now: None, settings };
    let system = System { catalog: catalog.clone(), process_id: 0 };
    let columns: Vec<String> = view.relation.columns.iter().map(|column| column.name.clone()).collect();
    Planner::new(catalog, &context, &system).view(&*sql::parse_query(&view.query)?, &columns)
}

impl RunningView {
    fn fail(&self, runtime: &Runtime, id: ObjectId, error: Error) {
        tracing::error!(%error, view = %id, "a view can't be completed");
        *self.failure.lock().expect("no panic while holding a failure") = Some(error);
        if !self.is_restored {
            runtime.execute(Command::Drop { id });
        }
    }
}

/// How many records lie between two positions (offsets may have gaps, so at most that many).
pub fn records(from: &Positions, to: &Positions) -> u64 {
    let count = |(partition, to): (&i32, &i64)| (to - from.0.get(partition).copied().unwrap_or(0)).max(0) as u64;
    to.0.iter().map(count).sum()
}

/// The times that history gets: so many records at each.
#[derive(Clone, Copy)]
struct Steps {
    after: Time,
    as_of: Time,
    records: u64,
}

/// Reads the history of one input and feeds it, then closes it; a failure is kept in the view.
fn feed_history(runtime: &Runtime, view: &RunningView, id: ObjectId, input: ObjectId, steps: Steps, history: History) {
    let total = records(&history.from, &history.to);
    let mut done = 0;
    let batches = loop {
        match history.source.read(history.relation, &history.from, &history.to) {
            Ok(batches) => break batches,
            // A system that is away is waited for, as it is when it is followed.
            Err(error) if error.state() == SqlState::CONNECTION_FAILURE => {
                if view.stopped.load(Ordering::Relaxed) {
                    return;
                }
                tracing::warn!(%error, view = %id, "the history of a view can't be read yet");
                std::thread::sleep(RETRY_PAUSE);
            }
            Err(error) => return view.fail(runtime, id, error),
        }
    };
    for batch in batches {
        if view.stopped.load(Ordering::Relaxed) {
            return;
        }
        let read = match batch {
            Ok(read) => read,
            Err(error) => return view.fail(runtime, id, error),
        };
        // The last step ends at as_of, from which on the view is right.
        let steps_left = total.saturating_sub(read.records_done) / steps.records;
        let time = steps.as_of.saturating_sub(steps_left).max(steps.after + 1);
        runtime.feed_history(id, input, Delta::insert(read.rows, time));
        view.history_done.fetch_add(read.records_done - done, Ordering::Relaxed);
        done = read.records_done;
    }
    runtime.close_history(id, input);
    view.histories.fetch_sub(1, Ordering::Relaxed);
}
