//! Running views: the history of append sources is read for each new view, and what can go wrong with that is kept.
//!
//! The live feed of a source goes to every view by itself; what came before a view was made is read again from the
//! source, up to the positions that are bound at the view's first time, by a thread of the view's own. Rows come in
//! steps of growing times, so that the view works them off in bounded pieces while other views stay live.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::ingest::History;
use crate::connect::Positions;
use crate::dataflow::runtime::Runtime;
use crate::types::{Delta, Error, ObjectId, Result, Time};

/// Rows of history that share a timestamp.
const HISTORY_STEP_ROWS: u64 = 262_144;

/// The views that run, beyond what the workers know of them.
#[derive(Default)]
pub struct Views {
    running: Mutex<HashMap<ObjectId, Arc<RunningView>>>,
}

/// One running view.
#[derive(Default)]
pub struct RunningView {
    stopped: AtomicBool,
    failure: Mutex<Option<Error>>,
    /// Records of history that have been fed, and that there are, over all sources that the view reads.
    pub history_done: AtomicU64,
    pub history_total: AtomicU64,
}

impl Views {
    /// Begins to keep track of a view and to feed it the history of each append source that it reads.
    pub fn start(&self, runtime: &Arc<Runtime>, id: ObjectId, as_of: Time, histories: Vec<(ObjectId, Result<History>)>) {
        let view = Arc::new(RunningView::default());
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
                    let (runtime, view) = (runtime.clone(), view.clone());
                    let feeder = move || feed_history(&runtime, &view, id, input, as_of, history);
                    let thread = std::thread::Builder::new().name(format!("history-{id}"));
                    if let Err(error) = thread.spawn(feeder) {
                        self.fail(id, Error::internal(format!("could not start a thread: {error}")));
                    }
                }
                Err(error) => view.fail(error),
            }
        }
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

    fn fail(&self, id: ObjectId, error: Error) {
        if let Some(view) = self.get(id) {
            view.fail(error);
        }
    }
}

impl RunningView {
    fn fail(&self, error: Error) {
        tracing::error!(%error, "a view can't be completed");
        *self.failure.lock().expect("no panic while holding a failure") = Some(error);
    }
}

/// How many records lie between two positions (offsets may have gaps, so at most that many).
fn records(from: &Positions, to: &Positions) -> u64 {
    let count = |(partition, to): (&i32, &i64)| (to - from.0.get(partition).copied().unwrap_or(0)).max(0) as u64;
    to.0.iter().map(count).sum()
}

/// Reads the history of one input and feeds it, then closes it; a failure is kept in the view.
fn feed_history(runtime: &Runtime, view: &RunningView, id: ObjectId, input: ObjectId, as_of: Time, history: History) {
    let total = records(&history.from, &history.to);
    let mut done = 0;
    let batches = match history.source.read(history.relation, &history.from, &history.to) {
        Ok(batches) => batches,
        Err(error) => return view.fail(error),
    };
    for batch in batches {
        if view.stopped.load(Ordering::Relaxed) {
            return;
        }
        let rows = match batch {
            Ok(rows) => rows,
            Err(error) => return view.fail(error),
        };
        let count = rows.num_rows() as u64;
        // The last step ends at as_of, from which on the view is right.
        let steps_left = total.saturating_sub(done + count) / HISTORY_STEP_ROWS;
        runtime.feed_history(id, input, Delta::insert(rows, as_of - steps_left));
        done += count;
        view.history_done.fetch_add(count, Ordering::Relaxed);
    }
    runtime.close_history(id, input);
}
