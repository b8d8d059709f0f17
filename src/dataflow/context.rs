//! What the operators of one dataflow share while it is built, and how they keep to a pace while it runs.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use differential_dataflow::operators::arrange::ShutdownButton;
use differential_dataflow::trace::TraceReader;
use timely::dataflow::Scope;
use timely::dataflow::operators::CapabilitySet;
use timely::progress::Antichain;

use super::arrange::arrange;
use super::collection::{Arranged, Collection, Stream, Trace};
use super::layout::Layout;
use super::operator::flatten::flatten;
use super::saved::{Restored, Saved};
use crate::types::{ObjectId, Time};

/// How far the lazy operators of a dataflow are.
#[derive(Default)]
pub struct Pace {
    /// The dataflow was dropped: what is left to do needs not be done.
    pub stopped: Cell<bool>,
    /// Pieces of work that operators have put off; history waits while there are any.
    pub put_off: Cell<usize>,
}

impl Pace {
    pub fn add(&self, pieces: usize) {
        self.put_off.set(self.put_off.get() + pieces);
    }

    pub fn remove(&self, pieces: usize) {
        self.put_off.set(self.put_off.get() - pieces);
    }
}

/// An arrangement that another dataflow keeps.
#[derive(Clone)]
pub struct Kept {
    pub layout: Arc<Layout>,
    pub trace: Trace,
}

/// What a plan's `Get` reads.
pub enum Source<'s> {
    /// Rows that come in as they are.
    Stream(Collection<'s>),
    /// Rows, in at least one arrangement, and errors, which other dataflows keep.
    Kept { rows: Vec<Kept>, errors: Kept },
}

/// Keeps an import alive until it is dropped.
pub struct Import(ShutdownButton<CapabilitySet<Time>>);

impl Drop for Import {
    fn drop(&mut self) {
        self.0.press();
    }
}

/// Passed through [`render`](super::render::render).
pub struct Context<'s> {
    pub scope: Scope<'s, Time>,
    /// Contents are right from here on; earlier times may be taken for this one.
    pub as_of: Time,
    /// Arrangements begin with what was saved, up to [`as_of`](Self::as_of).
    saved: Option<(Arc<Saved>, usize)>,
    pub hash_seed: u64,
    pub pace: Rc<Pace>,
    sources: BTreeMap<ObjectId, Source<'s>>,
    imports: Vec<Import>,
    arrangements: Vec<(String, Trace)>,
}

impl<'s> Context<'s> {
    pub fn new(scope: Scope<'s, Time>, as_of: Time, hash_seed: u64, sources: BTreeMap<ObjectId, Source<'s>>) -> Self {
        let pace = Rc::default();
        Context { scope, as_of, saved: None, hash_seed, pace, sources, imports: vec![], arrangements: vec![] }
    }

    /// Begins with what was saved, at its time.
    pub fn restoring(self, saved: Arc<Saved>) -> Self {
        Context { as_of: saved.time, saved: Some((saved, 0)), ..self }
    }

    /// Nothing is to be done for times before this one: what they brought is in the arrangements.
    pub fn restored_to(&self) -> Time {
        self.saved.as_ref().map_or(0, |(saved, _)| saved.time + 1)
    }

    /// What the next arrangement begins with. Arrangements are made in the order in which they were made before.
    pub fn restored(&mut self, layout: &Arc<Layout>, name: &str) -> Option<Restored> {
        let (saved, next) = self.saved.as_mut()?;
        let arrangement = saved.arrangements.get(*next).filter(|arrangement| arrangement.name == name);
        *next += 1;
        let arrangement = arrangement.expect("a plan that is the same makes the same arrangements");
        let worker = (self.scope.index(), self.scope.peers());
        Some(Restored::new(arrangement, saved.time, layout, worker))
    }

    pub fn layout(&self, schema: SchemaRef, key: Vec<usize>) -> Arc<Layout> {
        Layout::hashed(schema, key, self.hash_seed)
    }

    /// Arranges rows; the arrangement is counted among those of this dataflow.
    pub fn arrange(&mut self, rows: Stream<'s>, layout: &Arc<Layout>, name: &str) -> Arranged<'s> {
        let restored = self.restored(layout, name);
        let arranged = arrange(rows, layout, name, restored);
        self.count(name, &arranged.trace);
        arranged
    }

    /// Has an arrangement counted among those of this dataflow.
    pub fn count(&mut self, name: &str, trace: &Trace) {
        self.arrangements.push((name.to_string(), watcher(trace)));
    }

    /// The rows and errors of an object.
    pub fn collection(&mut self, object: ObjectId, schema: &SchemaRef) -> Collection<'s> {
        if let Source::Stream(collection) = self.source(object) {
            return collection.clone();
        }
        let first = |_: &Layout| true;
        let (rows, errors) = self.arranged(object, first).expect("a kept object has an arrangement");
        let rows = flatten(rows.1, self);
        Collection { rows, errors, schema: schema.clone() }
    }

    /// An arrangement of an object that suits, and the object's errors.
    pub fn arranged(
        &mut self,
        object: ObjectId,
        suits: impl Fn(&Layout) -> bool,
    ) -> Option<((Arc<Layout>, Arranged<'s>), Stream<'s>)> {
        let Source::Kept { rows, errors } = self.source(object) else {
            return None;
        };
        let rows = rows.iter().find(|kept| suits(&kept.layout))?.clone();
        let errors = errors.clone();
        let arranged = self.import(rows.trace, &format!("import {object}"));
        let errors = self.import(errors.trace, &format!("import errors of {object}"));
        let errors = flatten(errors, self);
        Some(((rows.layout, arranged), errors))
    }

    fn source(&self, object: ObjectId) -> &Source<'s> {
        self.sources.get(&object).expect("a plan reads objects that exist")
    }

    fn import(&mut self, mut trace: Trace, name: &str) -> Arranged<'s> {
        let (arranged, button) = trace.import_core(self.scope, name);
        self.imports.push(Import(button));
        arranged
    }

    /// What must be kept while the dataflow runs, and its arrangements with their names.
    pub fn finish(self) -> (Rc<Pace>, Vec<Import>, Vec<(String, Trace)>) {
        (self.pace, self.imports, self.arrangements)
    }
}

/// A handle of a trace that lets it merge as it likes. How far times are kept apart for it is the worker's to say.
pub fn watcher(trace: &Trace) -> Trace {
    let mut trace = trace.clone();
    trace.set_physical_compaction(Antichain::new().borrow());
    trace
}
