//! The workers: commands in, published arrangements out. The only door between timely's threads and everybody else.
//!
//! ```text
//!   engine ── Command ──▶ worker 0..n   every worker applies the same commands in the same order
//!   engine ── feed ─────▶ one worker    deltas; the dataflow exchanges rows by hash
//!   engine ◀─ Snapshot ── worker 0..n   after each step: sealed chunks, and the frontier they are complete to
//! ```

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::Thread;

use arrow::datatypes::SchemaRef;
use differential_dataflow::trace::ExertionLogic;
use timely::WorkerConfig;
use timely::communication::{Config as Communication, WorkerGuards};
use timely::execute::Config;

use super::backlog::Backlog;
use super::errors::error_schema;
use super::layout::Layout;
use super::memory::Memory;
use super::page::Page;
use super::plan::Plan;
use super::published::{Hold, Published, PublishedObject};
use super::read::Snapshots;
use super::saved::Saved;
use super::subscription::{Change, Subscriptions};
use super::worker;
use crate::types::{Delta, Error, ObjectId, Result, Stamps, Time};

/// Rows of an arrangement that are merged per step beyond what new rows pay for.
const IDLE_MERGE_ROWS: usize = 65_536;

/// Runs of an arrangement that are left as they are. Merging them all would copy a large arrangement for every small
/// change; leaving many makes every search look into many.
const IDLE_RUNS: usize = 3;

/// What differential asks an arrangement's layers, each given by its number, its batches (two are being merged) and its
/// rows: whether there is more to merge.
///
/// The runs beside the largest may hold half as many rows as it does, no more: what is deleted goes away in time even
/// where nothing new arrives, and a row is copied three times at most on its way there.
fn idle_merge_rows(layers: &[(usize, usize, usize)]) -> Option<usize> {
    let is_merging = layers.iter().any(|&(_, batches, _)| batches > 1);
    let rows = || layers.iter().map(|&(_, _, rows)| rows).filter(|&rows| rows > 0);
    let largest = rows().max().unwrap_or(0);
    let beside = rows().sum::<usize>() - largest;
    (is_merging || rows().count() > IDLE_RUNS || beside > largest / 2).then_some(IDLE_MERGE_ROWS)
}

/// How the workers are set up.
#[derive(Clone, Debug)]
pub struct Options {
    pub workers: usize,
    /// Seed of the row hash; one per database, kept for ever.
    pub hash_seed: u64,
}

/// Where rows come from that no plan computes.
#[derive(Clone, Debug)]
pub enum InputKind {
    /// Rows and diffs are taken as they are and kept in an arrangement by `key` (all columns if empty).
    Table { key: Vec<usize> },
    /// Each row is the new value of its `key` columns, or, where the column after the last (boolean `tombstone`) is true,
    /// its removal. Among rows of one key and time the greatest `sequence` (bigint, the column after that) wins.
    /// The arrangement holds the current row per key.
    Upsert { key: Vec<usize> },
    /// Nothing is kept: each view that reads the input gets its history from whoever owns it, then the live feed.
    Append,
}

/// What every worker does, in the same order.
#[derive(Clone, Debug)]
pub enum Command {
    /// A relation fed from outside; it is complete up to `from` (exclusive) and holds what `start` says.
    CreateInput { id: ObjectId, kind: InputKind, schema: SchemaRef, from: Time, start: Start },
    /// A view whose contents are right from `as_of` on, arranged by `key` (all columns if empty). For every
    /// [`InputKind::Append`] input that it reads, history must be fed and closed; until then its frontier stays at `as_of`.
    /// Live rows at times up to `as_of` are taken to be in the history. One that was saved is right from that time on, and
    /// its history begins there.
    CreateView { id: ObjectId, plan: Arc<Plan>, as_of: Time, key: Vec<usize>, saved: Option<Arc<Saved>> },
    /// Another arrangement of a table, upsert source or view.
    CreateIndex { id: ObjectId, on: ObjectId, key: Vec<usize>, saved: Option<Arc<Saved>> },
    /// The dataflow and its arrangements go; what reads them must have been dropped before.
    Drop { id: ObjectId },
    /// No row with a time below `to` will be fed any more, on any input.
    Advance { to: Time },
    /// Nobody will read at a time below `to`.
    Compact { to: Time },
    /// No arrangement merges what is there now with what comes, until [`Runtime::capture`]: so what each was at a time
    /// that has not been fed yet can be told.
    Pin,
}

/// What a relation that is fed from outside holds before it is fed.
#[derive(Clone, Debug, Default)]
pub struct Start {
    pub saved: Option<Arc<Saved>>,
    /// What was read before this time comes as history, as for a view of the same id.
    pub history_to: Option<Time>,
}

/// What goes to a worker.
pub enum Message {
    /// With what the object that it creates is published through: asked for later, a drop might have taken it away for some
    /// workers, and all must build the same dataflows.
    Command(Command, Option<Arc<PublishedObject>>),
    Feed {
        input: ObjectId,
        delta: Delta,
    },
    /// History for one view: rows for this worker, or only the news that no earlier time will come.
    History {
        view: ObjectId,
        input: ObjectId,
        step: HistoryStep,
    },
    Arrangements {
        reply: Sender<Vec<Arrangement>>,
    },
    Capture {
        reply: Sender<Vec<Captured>>,
    },
    Stop,
}

pub enum HistoryStep {
    Rows(Delta),
    Advance(Time),
    Close,
}

/// What one worker keeps for one operator.
#[derive(Clone, Debug)]
pub struct Arrangement {
    pub object: ObjectId,
    pub operator: String,
    pub worker: usize,
    pub rows: usize,
    pub bytes: usize,
    /// Of those, what a checkpoint holds too.
    pub bytes_on_disk: usize,
    pub batches: usize,
}

/// What one worker keeps for one object: the pages of each of its arrangements, oldest runs first.
pub struct Captured {
    pub object: ObjectId,
    pub worker: usize,
    pub arrangements: Vec<(String, Vec<Vec<Page>>)>,
}

/// What workers share with everybody.
pub struct Shared {
    pub options: Options,
    pub published: Published,
    /// Of the pages of all arrangements.
    pub memory: Arc<Memory>,
    /// Called when a published frontier has moved.
    pub on_progress: Box<dyn Fn() + Send + Sync>,
}

/// The running workers.
pub struct Runtime {
    shared: Arc<Shared>,
    /// Locked while sending, so that all workers get commands in one order.
    senders: Mutex<Vec<(Sender<Message>, Thread)>>,
    next_worker: AtomicUsize,
    backlog: Backlog,
    subscriptions: Arc<Subscriptions>,
    /// Dropped last: waits for the workers. (Behind a lock, since guards are not for several threads.)
    _guards: Mutex<WorkerGuards<()>>,
}

impl Runtime {
    /// Starts the workers. `on_progress` is called from worker threads whenever a published frontier has moved;
    /// it must be quick and must not call back.
    pub fn start(options: Options, on_progress: Arc<dyn Fn() + Send + Sync>) -> Result<Runtime> {
        let subscriptions = Subscriptions::start()?;
        let wakes = subscriptions.clone();
        let on_progress = Box::new(move || {
            on_progress();
            wakes.wake();
        });
        let shared = Arc::new(Shared {
            options: options.clone(),
            published: Published::default(),
            memory: Arc::default(),
            on_progress,
        });
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..options.workers).map(|_| channel()).unzip();
        let receivers: Vec<Mutex<Option<Receiver<Message>>>> =
            receivers.into_iter().map(|receiver| Mutex::new(Some(receiver))).collect();
        let for_workers = shared.clone();
        let run = move |timely: &mut timely::worker::Worker| {
            let receiver = receivers[timely.index()].lock().expect("each worker takes its own").take();
            worker::run(timely, receiver.expect("a worker starts once"), for_workers.clone());
        };
        let communication = match options.workers {
            1 => Communication::Thread,
            workers => Communication::Process(workers),
        };
        let mut config = WorkerConfig::default();
        config.set::<ExertionLogic>("differential/default_exert_logic".to_string(), Arc::new(idle_merge_rows));
        let guards = timely::execute(Config { communication, worker: config }, run);
        let guards = guards.map_err(|error| Error::internal(format!("the workers could not be started: {error}")))?;
        let threads = guards.guards().iter().map(|guard| guard.thread().clone());
        Ok(Runtime {
            shared,
            senders: Mutex::new(senders.into_iter().zip(threads).collect()),
            next_worker: AtomicUsize::new(0),
            backlog: Backlog::default(),
            subscriptions,
            _guards: Mutex::new(guards),
        })
    }

    /// What the pages of all arrangements take.
    pub fn memory(&self) -> &Arc<Memory> {
        &self.shared.memory
    }

    pub fn hash_seed(&self) -> u64 {
        self.shared.options.hash_seed
    }

    pub fn execute(&self, command: Command) {
        let published = &self.shared.published;
        let object = match &command {
            Command::CreateInput { kind: InputKind::Append, .. }
            | Command::Advance { .. }
            | Command::Compact { .. }
            | Command::Pin => None,
            Command::CreateInput {
                id,
                kind: InputKind::Table { key } | InputKind::Upsert { key },
                schema,
                from,
                start,
            } => Some(self.publish(*id, schema, key, begin(&start.saved, *from))),
            Command::CreateView { id, plan, as_of, key, saved } => {
                Some(self.publish(*id, &plan.schema(), key, begin(saved, *as_of)))
            }
            Command::CreateIndex { id, on, key, .. } => {
                published.get(*on).map(|on| self.publish(*id, &on.layout.schema, key, 0))
            }
            Command::Drop { id } => {
                published.remove(*id);
                None
            }
        };
        self.to_all(|| Message::Command(command.clone(), object.clone()));
    }

    fn publish(&self, id: ObjectId, schema: &SchemaRef, key: &[usize], since: Time) -> Arc<PublishedObject> {
        let layout = Layout::hashed(schema.clone(), key_or_all(key, schema), self.hash_seed());
        let object = Arc::new(PublishedObject::new(layout, self.shared.options.workers, since));
        self.shared.published.add(id, object.clone());
        object
    }

    /// Rows of an input. Their times are at least the last `Advance`.
    pub fn feed(&self, input: ObjectId, delta: Delta) {
        if delta.is_empty() {
            return;
        }
        self.backlog.fed(&delta);
        self.to_one(Message::Feed { input, delta });
    }

    /// Rows of an append input from before the view was made, for that view alone, at times up to its `as_of`, which do
    /// not go back. Blocks while the view is more than a bounded number of rows behind.
    pub fn feed_history(&self, view: ObjectId, input: ObjectId, delta: Delta) {
        let Some(published) = self.shared.published.get(view) else {
            return;
        };
        if delta.is_empty() || !published.history.enter(delta.len()) {
            return;
        }
        let first = match &delta.times {
            Stamps::Same(time) => *time,
            Stamps::Each(times) => times.iter().copied().min().unwrap_or_default(),
        };
        self.to_all(|| Message::History { view, input, step: HistoryStep::Advance(first) });
        self.to_one(Message::History { view, input, step: HistoryStep::Rows(delta) });
    }

    /// The history of `input` for `view` is complete.
    pub fn close_history(&self, view: ObjectId, input: ObjectId) {
        self.to_all(|| Message::History { view, input, step: HistoryStep::Close });
    }

    /// The rows of a table, upsert source, view or index, as last published by all workers; none if it was dropped or is
    /// an append input.
    pub fn snapshots(&self, object: ObjectId) -> Option<Snapshots> {
        let published = self.shared.published.get(object)?;
        let workers = published.snapshots().unwrap_or_default();
        Some(Snapshots::new(published.layout.clone(), &workers, |snapshot| &snapshot.rows))
    }

    /// The errors of an object, likewise.
    pub fn errors(&self, object: ObjectId) -> Option<Snapshots> {
        let workers = self.shared.published.get(object)?.snapshots()?;
        Some(Snapshots::new(error_layout(self.hash_seed()), &workers, |snapshot| &snapshot.errors))
    }

    /// The time up to which (exclusive) an object is complete on all workers; none if it was dropped.
    pub fn frontier(&self, object: ObjectId) -> Option<Time> {
        Some(self.shared.published.get(object)?.frontier())
    }

    /// The time from which on an object can be read; none if it was dropped.
    pub fn since(&self, object: ObjectId) -> Option<Time> {
        Some(self.shared.published.get(object)?.since())
    }

    /// Keeps an object readable at `time` and later; none if it is not any more.
    pub fn hold(&self, object: ObjectId, time: Time) -> Option<Hold> {
        self.shared.published.get(object)?.hold(time)
    }

    /// Gives a consumer all updates of an object after `from`, and how far they are complete, from a thread that is no
    /// worker. It ends when the consumer returns false, the object is dropped, or the subscription is. None if the times
    /// after `from` can't be told apart any more.
    pub fn subscribe(
        &self,
        object: ObjectId,
        from: Time,
        consumer: impl FnMut(Change) -> bool + Send + 'static,
    ) -> Option<super::subscription::Subscription> {
        let published = self.shared.published.get(object)?;
        let hold = published.hold(from)?;
        Some(self.subscriptions.add(object, self.shared.clone(), hold, from, Box::new(consumer)))
    }

    /// Bytes that were fed and that some dataflow has not finished, about.
    pub fn backlog(&self) -> usize {
        let objects = self.shared.published.all();
        self.backlog.unfinished(objects.iter().map(|object| object.frontier()).min().unwrap_or(Time::MAX))
    }

    /// What all workers keep. Asks them, and so waits for a step of each.
    pub fn arrangements(&self) -> Vec<Arrangement> {
        let (reply, replies) = channel();
        self.to_all(|| Message::Arrangements { reply: reply.clone() });
        drop(reply);
        replies.into_iter().flatten().collect()
    }

    /// What all workers keep, as of the [`Command::Pin`] before, and what has come since; pins nothing any more.
    pub fn capture(&self) -> Vec<Captured> {
        let (reply, replies) = channel();
        self.to_all(|| Message::Capture { reply: reply.clone() });
        drop(reply);
        replies.into_iter().flatten().collect()
    }

    fn to_all(&self, message: impl Fn() -> Message) {
        for (sender, thread) in self.senders.lock().expect("no panic while sending").iter() {
            // A worker that does not receive has stopped, and with it the process or the runtime.
            let _ = sender.send(message());
            thread.unpark();
        }
    }

    fn to_one(&self, message: Message) {
        let senders = self.senders.lock().expect("no panic while sending");
        let worker = self.next_worker.fetch_add(1, Ordering::Relaxed) % senders.len();
        let (sender, thread) = &senders[worker];
        let _ = sender.send(message);
        thread.unpark();
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.subscriptions.stop();
        self.to_all(|| Message::Stop);
    }
}

/// The time from which on an object can be read.
fn begin(saved: &Option<Arc<Saved>>, from: Time) -> Time {
    saved.as_ref().map_or(from, |saved| saved.since)
}

/// The key of an arrangement: the columns given, or all.
pub fn key_or_all(key: &[usize], schema: &SchemaRef) -> Vec<usize> {
    match key {
        [] => (0..schema.fields().len()).collect(),
        key => key.to_vec(),
    }
}

/// How errors are arranged.
pub fn error_layout(hash_seed: u64) -> Arc<Layout> {
    let schema = error_schema();
    Layout::hashed(schema.clone(), key_or_all(&[], &schema), hash_seed)
}
