//! One worker: applies commands, steps the dataflows, publishes what they have sealed, and sleeps when there is nothing.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use arrow::datatypes::SchemaRef;
use differential_dataflow::trace::{BatchReader, TraceReader};
use timely::container::NoopBuilder;
use timely::dataflow::{InputHandle, Scope};
use timely::progress::Antichain;

use super::arrange::arrange;
use super::collection::{Batch, Collection, Stream, Trace};
use super::context::{Context, Import, Kept, Pace, Source, watcher};
use super::layout::Layout;
use super::operator::{stateless, upsert};
use super::plan::Plan;
use super::published::{PublishedObject, SharedBatch, Snapshot};
use super::render::render;
use super::runtime::{Arrangement, Captured, Command, HistoryStep, InputKind, Message, Shared, Start, error_layout};
use super::saved::{Restored, Saved};
use crate::types::{Delta, ObjectId, Time};

/// Messages after which the dataflows get their turn.
const TURN_MESSAGES: usize = 256;

/// Rows of history that a view takes in per turn.
const TURN_HISTORY_ROWS: usize = 262_144;

/// Microseconds after which times before are not told apart any more; each step looks at every arrangement.
const KEPT_APART_STEP: Time = 250_000;

type Input = InputHandle<Time, NoopBuilder<Delta>>;

/// Works until told to stop. What panics here leaves dataflows half done, so the whole process goes, loudly.
pub fn run(timely: &mut timely::worker::Worker, messages: Receiver<Message>, shared: Arc<Shared>) {
    let index = timely.index();
    shared.memory.enter();
    let mut worker = Worker { timely, shared, objects: BTreeMap::new(), now: 0, kept_apart: 0, is_pinned: false };
    if catch_unwind(AssertUnwindSafe(|| worker.work(&messages))).is_err() {
        tracing::error!(worker = index, "a worker has panicked; the process ends");
        std::process::abort();
    }
}

struct Worker<'a> {
    timely: &'a mut timely::worker::Worker,
    shared: Arc<Shared>,
    objects: BTreeMap<ObjectId, Object>,
    /// No row with an earlier time will be fed. Nothing runs before the first such news, so that what begins with saved
    /// arrangements is all there when the first of them changes.
    now: Time,
    /// Arrangements tell times apart from here on, so that a checkpoint finds what was there at its own.
    kept_apart: Time,
    /// That stays so while a checkpoint is made.
    is_pinned: bool,
}

/// What this worker knows of an object.
enum Object {
    /// Fed to the views that read it.
    Append {
        schema: SchemaRef,
        views: Vec<ObjectId>,
    },
    Running(Box<Dataflow>),
}

/// A dataflow that keeps an object.
struct Dataflow {
    published: Arc<PublishedObject>,
    /// Of a table or upsert source.
    input: Option<Input>,
    /// Of a view, by the append inputs that it reads.
    feeds: BTreeMap<ObjectId, Feed>,
    rows: Kept,
    errors: Kept,
    /// Other arrangements of the same rows, by the objects that keep them.
    indexes: BTreeMap<ObjectId, Kept>,
    /// The object that this is an index of.
    on: Option<ObjectId>,
    /// What was read up to this time comes as history.
    history_to: Time,
    pace: Rc<Pace>,
    _imports: Vec<Import>,
    arrangements: Vec<(String, Trace)>,
    last: Option<Last>,
}

/// An append input of a view.
struct Feed {
    handle: Input,
    history: VecDeque<HistoryStep>,
    /// Live rows that wait until the history is complete.
    live: Option<Vec<Delta>>,
}

/// What was published last: the batches, which as long as they are kept have addresses of their own, and their chunks.
struct Last {
    upper: Time,
    since: Time,
    rows: Vec<(Batch, SharedBatch)>,
    errors: Vec<(Batch, SharedBatch)>,
}

impl Worker<'_> {
    fn work(&mut self, messages: &Receiver<Message>) {
        while self.now == 0 {
            match messages.recv() {
                Ok(Message::Stop) | Err(_) => return,
                Ok(message) => self.receive(message),
            }
        }
        loop {
            let mut busy = false;
            for message in messages.try_iter().take(TURN_MESSAGES) {
                busy = true;
                if matches!(message, Message::Stop) {
                    self.objects.values_mut().for_each(Object::stop);
                    self.objects.clear();
                    return;
                }
                self.receive(message);
            }
            busy |= self.take_in_history();
            // After a message the wake-up is spent, and more may have come: only who had nothing to do may sleep.
            if busy {
                self.timely.step();
            } else {
                self.timely.step_or_park(None);
            }
            self.publish();
            self.shared.memory.rest();
        }
    }

    fn receive(&mut self, message: Message) {
        match message {
            Message::Command(command, object) => self.apply(command, object),
            Message::Feed { input, delta } => self.feed(input, delta),
            Message::History { view, input, step } => {
                if let Some(feed) = self.dataflow(view).and_then(|dataflow| dataflow.feeds.get_mut(&input)) {
                    feed.history.push_back(step);
                }
            }
            Message::Arrangements { reply } => {
                // Who asked may have gone.
                let _ = reply.send(self.arrangements());
            }
            Message::Capture { reply } => {
                self.is_pinned = false;
                // Who asked may have gone.
                let _ = reply.send(self.capture());
            }
            Message::Stop => {}
        }
    }

    /// `object` is there for every command that creates one which has arrangements.
    fn apply(&mut self, command: Command, object: Option<Arc<PublishedObject>>) {
        match (command, object) {
            (Command::CreateInput { id, kind: InputKind::Append, schema, .. }, _) => {
                self.objects.insert(id, Object::Append { schema, views: vec![] });
            }
            (Command::CreateInput { id, kind: InputKind::Table { .. }, from, start, .. }, Some(object)) => {
                self.create_input(id, object, (from, start), arrange);
            }
            (Command::CreateInput { id, kind: InputKind::Upsert { .. }, from, start, .. }, Some(object)) => {
                self.create_input(id, object, (from, start), upsert);
            }
            (Command::CreateView { id, plan, as_of, saved, .. }, Some(object)) => {
                self.create_view(id, object, &plan, as_of, saved);
            }
            (Command::CreateIndex { id, on, saved, .. }, Some(object)) => self.create_index(id, object, on, saved),
            (Command::Drop { id }, _) => self.drop_object(id),
            (Command::Advance { to }, _) => self.advance(to),
            (Command::Compact { to }, _) => self.compact(to),
            (Command::Pin, _) => self.is_pinned = true,
            // An index on what was dropped before.
            (_, None) => {}
        }
    }

    fn dataflow(&mut self, id: ObjectId) -> Option<&mut Dataflow> {
        match self.objects.get_mut(&id) {
            Some(Object::Running(dataflow)) => Some(dataflow),
            _ => None,
        }
    }

    fn create_input(
        &mut self,
        id: ObjectId,
        published: Arc<PublishedObject>,
        (from, start): (Time, Start),
        keep: for<'s> fn(Stream<'s>, &Arc<Layout>, &str, Option<Restored>) -> super::collection::Arranged<'s>,
    ) {
        let seed = self.shared.options.hash_seed;
        let layout = published.layout.clone();
        let mut input = Input::new_with_builder();
        let worker = (self.timely.index(), self.timely.peers());
        // Rows come after what was saved, and readable is that too.
        let (since, from) = start.saved.as_ref().map_or((from, from), |saved| (saved.since, saved.time + 1));
        let restored = start.saved.as_ref().and_then(|saved| {
            let rows = saved.arrangements.first()?;
            Some(Restored::new(rows, saved.time, &layout, worker))
        });
        let (rows, errors) = self.timely.dataflow_named(&format!("input {id}"), |scope| {
            let rows = keep(input.to_stream(scope), &layout, "rows", restored);
            let errors = arrange(stateless::empty(scope), &error_layout(seed), "errors", None);
            (rows.trace, errors.trace)
        });
        let arrangements = vec![("rows".to_string(), watcher(&rows))];
        let (rows, errors) = (Kept { layout, trace: rows }, Kept { layout: error_layout(seed), trace: errors });
        let mut dataflow = Dataflow::new(published, rows, errors, since);
        dataflow.arrangements = arrangements;
        match start.history_to {
            None => {
                input.advance_to(self.now.max(from));
                dataflow.input = Some(input);
            }
            Some(time) => {
                dataflow.history_to = time;
                dataflow.feeds.insert(id, Feed { handle: input, history: VecDeque::new(), live: Some(vec![]) });
            }
        }
        self.objects.insert(id, Object::Running(Box::new(dataflow)));
    }

    fn create_view(
        &mut self,
        id: ObjectId,
        published: Arc<PublishedObject>,
        plan: &Plan,
        as_of: Time,
        saved: Option<Arc<Saved>>,
    ) {
        let seed = self.shared.options.hash_seed;
        let since = saved.as_ref().map_or(as_of, |saved| saved.since);
        let layout = published.layout.clone();
        let mut feeds = BTreeMap::new();
        let objects = &self.objects;
        let built = self.timely.dataflow_named(&format!("view {id}"), |scope| {
            let sources = plan
                .objects()
                .into_iter()
                .filter_map(|object| Some((object, source(object, objects.get(&object)?, scope, &mut feeds))));
            let context = Context::new(scope, as_of, seed, sources.collect());
            let mut context = match saved {
                Some(saved) => context.restoring(saved),
                None => context,
            };
            let collection = render(plan, &mut context);
            let rows = context.arrange(collection.rows, &layout, "rows").trace;
            let errors = context.arrange(collection.errors, &error_layout(seed), "errors").trace;
            (rows, errors, context.finish())
        });
        let (rows, errors, (pace, imports, arrangements)) = built;
        for &input in feeds.keys() {
            if let Some(Object::Append { views, .. }) = self.objects.get_mut(&input) {
                views.push(id);
            }
        }
        let (rows, errors) = (Kept { layout, trace: rows }, Kept { layout: error_layout(seed), trace: errors });
        let dataflow = Dataflow::new(published, rows, errors, since);
        let dataflow = Dataflow { feeds, history_to: as_of, pace, _imports: imports, arrangements, ..dataflow };
        self.objects.insert(id, Object::Running(Box::new(dataflow)));
    }

    /// An index is a view of all rows whose arrangement is known to the object it is on.
    fn create_index(&mut self, id: ObjectId, published: Arc<PublishedObject>, on: ObjectId, saved: Option<Arc<Saved>>) {
        let Some(dataflow) = self.dataflow(on) else { return };
        let (schema, since) = (dataflow.rows.layout.schema.clone(), dataflow.rows.since());
        self.create_view(id, published, &Plan::Get { object: on, schema }, since, saved);
        let Some(index) = self.dataflow(id) else { return };
        index.on = Some(on);
        let kept = index.rows.clone();
        if let Some(dataflow) = self.dataflow(on) {
            dataflow.indexes.insert(id, kept);
        }
    }

    fn drop_object(&mut self, id: ObjectId) {
        let Some(mut object) = self.objects.remove(&id) else {
            return;
        };
        object.stop();
        let Object::Running(dataflow) = &object else { return };
        for input in dataflow.feeds.keys() {
            if let Some(Object::Append { views, .. }) = self.objects.get_mut(input) {
                views.retain(|view| *view != id);
            }
        }
        if let Some(on) = dataflow.on.and_then(|on| self.dataflow(on)) {
            on.indexes.remove(&id);
        }
    }

    fn feed(&mut self, input: ObjectId, mut delta: Delta) {
        let views = match self.objects.get_mut(&input) {
            Some(Object::Append { views, .. }) => views.clone(),
            Some(Object::Running(dataflow)) => {
                let history_to = dataflow.history_to;
                match (&mut dataflow.input, dataflow.feeds.get_mut(&input)) {
                    (Some(input), _) => input.send_batch(&mut delta),
                    (None, Some(feed)) => feed.feed(delta, history_to),
                    (None, None) => {}
                }
                return;
            }
            None => return,
        };
        for view in views {
            if let Some(dataflow) = self.dataflow(view) {
                let history_to = dataflow.history_to;
                if let Some(feed) = dataflow.feeds.get_mut(&input) {
                    feed.feed(delta.clone(), history_to);
                }
            }
        }
    }

    fn advance(&mut self, to: Time) {
        self.now = self.now.max(to);
        if self.now >= self.kept_apart + KEPT_APART_STEP {
            self.keep_apart();
        }
        for object in self.objects.values_mut() {
            let Object::Running(dataflow) = object else { continue };
            let inputs = dataflow.feeds.values_mut().filter(|feed| feed.live.is_none()).map(|feed| &mut feed.handle);
            for input in dataflow.input.iter_mut().chain(inputs) {
                if *input.time() < to {
                    input.advance_to(to);
                }
            }
        }
    }

    /// Times before this moment need not be told apart in any arrangement, but for who reads it.
    fn keep_apart(&mut self) {
        if self.is_pinned {
            return;
        }
        self.kept_apart = self.now;
        let now = Antichain::from_elem(self.kept_apart);
        for object in self.objects.values_mut() {
            let Object::Running(dataflow) = object else { continue };
            dataflow.arrangements.iter_mut().for_each(|(_, trace)| trace.set_logical_compaction(now.borrow()));
        }
    }

    fn compact(&mut self, to: Time) {
        self.keep_apart();
        for object in self.objects.values_mut() {
            let Object::Running(dataflow) = object else { continue };
            let to = Antichain::from_elem(dataflow.published.compact(to));
            for kept in [&mut dataflow.rows, &mut dataflow.errors].into_iter().chain(dataflow.indexes.values_mut()) {
                kept.trace.set_logical_compaction(to.borrow());
            }
        }
    }

    /// Gives history to the views that keep up with it; true if there was some.
    fn take_in_history(&mut self) -> bool {
        let mut busy = false;
        for object in self.objects.values_mut() {
            let Object::Running(dataflow) = object else { continue };
            let Dataflow { feeds, pace, published, history_to, .. } = dataflow.as_mut();
            for feed in feeds.values_mut().filter(|feed| !feed.history.is_empty()) {
                busy = true;
                if pace.put_off.get() == 0 {
                    let rows = feed.take_in(*history_to, self.now);
                    published.history.leave(rows);
                }
            }
        }
        busy
    }

    fn publish(&mut self) {
        let index = self.timely.index();
        let mut moved = false;
        for object in self.objects.values_mut() {
            if let Object::Running(dataflow) = object {
                moved |= dataflow.publish(index);
            }
        }
        if moved {
            (self.shared.on_progress)();
        }
    }

    fn capture(&self) -> Vec<Captured> {
        let worker = self.timely.index();
        let mut captured = vec![];
        for (&object, kept) in &self.objects {
            let Object::Running(dataflow) = kept else { continue };
            let chunks = |(name, trace): &(String, Trace)| {
                let mut runs: Vec<Vec<_>> = vec![];
                trace.map_batches(|batch| runs.push(batch.chunks.to_vec()));
                runs.retain(|run| !run.is_empty());
                (name.clone(), runs)
            };
            captured.push(Captured {
                object,
                worker,
                arrangements: dataflow.arrangements.iter().map(chunks).collect(),
            });
        }
        captured
    }

    fn arrangements(&self) -> Vec<Arrangement> {
        let worker = self.timely.index();
        let mut arrangements = vec![];
        for (&object, kept) in &self.objects {
            let Object::Running(dataflow) = kept else { continue };
            for (operator, trace) in &dataflow.arrangements {
                let operator = operator.clone();
                let mut arrangement =
                    Arrangement { object, operator, worker, rows: 0, bytes: 0, bytes_on_disk: 0, batches: 0 };
                trace.map_batches(|batch| {
                    arrangement.rows += batch.len();
                    for page in &batch.chunks {
                        let chunk = page.chunk();
                        arrangement.bytes += if chunk.is_mapped() { 0 } else { chunk.bytes() };
                        arrangement.bytes_on_disk += if page.saved_at().is_some() { chunk.bytes() } else { 0 };
                    }
                    arrangement.batches += 1;
                });
                arrangements.push(arrangement);
            }
        }
        arrangements
    }
}

/// What a view's plan reads of an object.
fn source<'s>(
    id: ObjectId,
    object: &Object,
    scope: Scope<'s, Time>,
    feeds: &mut BTreeMap<ObjectId, Feed>,
) -> Source<'s> {
    match object {
        Object::Append { schema, .. } => {
            let mut handle = Input::new_with_builder();
            let rows = handle.to_stream(scope);
            feeds.insert(id, Feed { handle, history: VecDeque::new(), live: Some(vec![]) });
            Source::Stream(Collection { rows, errors: stateless::empty(scope), schema: schema.clone() })
        }
        Object::Running(dataflow) => {
            let rows = [&dataflow.rows].into_iter().chain(dataflow.indexes.values()).cloned().collect();
            Source::Kept { rows, errors: dataflow.errors.clone() }
        }
    }
}

impl Object {
    /// What is left to do needs not be done any more.
    fn stop(&mut self) {
        if let Object::Running(dataflow) = self {
            dataflow.pace.stopped.set(true);
        }
    }
}

impl Kept {
    fn since(&self) -> Time {
        self.trace.clone().get_logical_compaction().first().copied().unwrap_or(Time::MAX)
    }

    /// Complete at times before this one. Merges may join all that is.
    fn complete(&mut self) -> Time {
        let mut upper = Antichain::new();
        self.trace.read_upper(&mut upper);
        self.trace.set_physical_compaction(upper.borrow());
        upper.first().copied().unwrap_or(Time::MAX)
    }

    /// The batches there are; those that were there before share their chunks with what was published then.
    fn shared(&self, last: &[(Batch, SharedBatch)]) -> Vec<(Batch, SharedBatch)> {
        let mut batches = vec![];
        self.trace.map_batches(|batch| {
            if !batch.is_empty() {
                let known = last.iter().find(|(known, _)| Rc::ptr_eq(known, batch));
                let chunks = known.map_or_else(|| batch.chunks.clone().into(), |(_, chunks)| chunks.clone());
                batches.push((batch.clone(), chunks));
            }
        });
        batches
    }
}

impl Dataflow {
    fn new(published: Arc<PublishedObject>, mut rows: Kept, mut errors: Kept, as_of: Time) -> Self {
        let since = Antichain::from_elem(as_of);
        rows.trace.set_logical_compaction(since.borrow());
        errors.trace.set_logical_compaction(since.borrow());
        Dataflow {
            published,
            input: None,
            feeds: BTreeMap::new(),
            rows,
            errors,
            indexes: BTreeMap::new(),
            on: None,
            history_to: as_of,
            pace: Rc::default(),
            _imports: vec![],
            arrangements: vec![],
            last: None,
        }
    }

    /// Shows what is new, if anything is; true if more is complete.
    fn publish(&mut self, worker: usize) -> bool {
        let upper = self.rows.complete().min(self.errors.complete());
        for kept in self.indexes.values_mut() {
            kept.complete();
        }
        let since = self.rows.since();
        let none = Last { upper: 0, since: 0, rows: vec![], errors: vec![] };
        let before = self.last.as_ref().unwrap_or(&none);
        let next =
            Last { upper, since, rows: self.rows.shared(&before.rows), errors: self.errors.shared(&before.errors) };
        let moved = self.last.is_none() || upper != before.upper;
        let same = |left: &[(Batch, SharedBatch)], right: &[(Batch, SharedBatch)]| {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| Rc::ptr_eq(&left.0, &right.0))
        };
        let unchanged = since == before.since && same(&before.rows, &next.rows) && same(&before.errors, &next.errors);
        if moved || !unchanged {
            let chunks = |batches: &[(Batch, SharedBatch)]| batches.iter().map(|(_, chunks)| chunks.clone()).collect();
            let snapshot = Snapshot { rows: chunks(&next.rows), errors: chunks(&next.errors), since, upper };
            self.published.publish(worker, snapshot);
            self.last = Some(next);
        }
        moved
    }
}

impl Feed {
    /// Live rows; those that the history holds too are left out.
    fn feed(&mut self, delta: Delta, history_to: Time) {
        let delta = delta.after(history_to);
        match &mut self.live {
            Some(waiting) => waiting.push(delta),
            None => self.send(delta),
        }
    }

    fn send(&mut self, mut delta: Delta) {
        if !delta.is_empty() {
            self.handle.send_batch(&mut delta);
        }
    }

    /// Takes in some history; gives the number of its rows.
    fn take_in(&mut self, history_to: Time, now: Time) -> usize {
        let mut rows = 0;
        while rows < TURN_HISTORY_ROWS {
            match self.history.pop_front() {
                Some(HistoryStep::Rows(delta)) => {
                    rows += delta.len();
                    self.send(delta);
                }
                Some(HistoryStep::Advance(to)) => self.advance_to(to.min(history_to)),
                Some(HistoryStep::Close) => {
                    self.advance_to(history_to);
                    for delta in self.live.take().unwrap_or_default() {
                        self.send(delta);
                    }
                    self.advance_to(now);
                }
                None => break,
            }
        }
        rows
    }

    fn advance_to(&mut self, to: Time) {
        if *self.handle.time() < to {
            self.handle.advance_to(to);
        }
    }
}
