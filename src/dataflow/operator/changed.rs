//! Operators that read changed keys of their input's arrangement again: the driver, and the slices of keys it hands out.
//!
//! ```text
//!   arrangement ──batches──▶ unit: what was there, what has come ──slices of changed keys──▶ logic ──▶ rows, errors
//! ```
//!
//! The input's arrangement is all the state there is: what a key gave before is computed from the rows before. A unit holds
//! the batches it needs, so it can be worked off in turns, however much has come, while the trace goes on merging.

use std::collections::VecDeque;

use arrow::array::RecordBatch;
use differential_dataflow::trace::{BatchReader, TraceReader};
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::Antichain;

use super::super::chunk::ArrowChunk;
use super::super::collection::{Arranged, Batch, Stream};
use super::super::context::Context;
use super::super::cursor::Position;
use super::super::page::Opened;
use super::gather::{Gather, RowAt};
use super::matcher::KeyMatcher;
use super::results::Changes;
use super::stateless::give;
use crate::types::{Delta, Time};

/// Rows of each new batch that one slice takes, about.
const SLICE_ROWS: usize = 8192;
/// Slices after which other operators get their turn.
const SLICES_PER_TURN: usize = 4;

/// What is to be given for the changed keys of a slice.
pub type Logic = Box<dyn FnMut(&Slice) -> Changes>;

/// Rows and errors that `logic` gives for the keys of `input` that change.
pub fn changed<'s>(
    name: &str,
    input: Arranged<'s>,
    mut logic: Logic,
    context: &Context<'s>,
) -> (Stream<'s>, Stream<'s>) {
    let (scope, pace, restored_to) = (context.scope, context.pace.clone(), context.restored_to());
    let mut builder = OperatorBuilder::new(name.to_string(), scope);
    let (rows_output, rows_stream) = builder.new_output::<Delta>();
    let (errors_output, errors_stream) = builder.new_output::<Delta>();
    let (mut rows_output, mut errors_output) = (OutputBuilder::from(rows_output), OutputBuilder::from(errors_output));
    let mut batches = builder.new_input(input.stream, Pipeline);
    let activator = scope.activator_for(builder.operator_info().address);
    let mut trace = input.trace;
    builder.build(move |_capabilities| {
        let mut units: VecDeque<Unit> = VecDeque::new();
        let mut upper = Antichain::from_elem(restored_to);
        move |frontiers| {
            let mut arrived: Option<((Capability<Time>, Capability<Time>), Vec<Batch>)> = None;
            batches.for_each(|capability, more| {
                let (_, arrived) =
                    arrived.get_or_insert_with(|| ((capability.retain(0), capability.retain(1)), vec![]));
                arrived.append(more);
            });
            if let Some((capabilities, fresh)) = arrived {
                let before = trace.batches_through(upper.borrow()).expect("the trace is held at what was read");
                upper = fresh.last().expect("something has arrived").upper().clone();
                units.push_back(Unit::new(capabilities, before, fresh));
                pace.add(1);
            }
            trace.advance_upper(&mut upper);
            if frontiers[0].is_empty() {
                upper = Antichain::new();
            }
            trace.set_logical_compaction(upper.borrow());
            trace.set_physical_compaction(upper.borrow());
            if pace.stopped.get() {
                pace.remove(units.len());
                units.clear();
            }
            let (mut rows, mut errors) = (rows_output.activate(), errors_output.activate());
            for _ in 0..SLICES_PER_TURN {
                let Some(unit) = units.front_mut() else { return };
                match unit.next_slice() {
                    Some(slice) => {
                        let changes = logic(&slice);
                        changes.rows.into_iter().for_each(|delta| give(&mut rows, &unit.capabilities.0, delta));
                        changes.errors.into_iter().for_each(|delta| give(&mut errors, &unit.capabilities.1, delta));
                    }
                    None => {
                        units.pop_front();
                        pace.remove(1);
                    }
                }
            }
            if !units.is_empty() {
                activator.activate();
            }
        }
    });
    (rows_stream, errors_stream)
}

/// New batches, and all that was there before them.
struct Unit {
    /// For rows and for errors.
    capabilities: (Capability<Time>, Capability<Time>),
    /// Those before, then the new ones.
    batches: Vec<Batch>,
    before: usize,
    /// For each new batch, the first row that no slice has had yet.
    positions: Vec<Position>,
}

impl Unit {
    fn new(capabilities: (Capability<Time>, Capability<Time>), before: Vec<Batch>, mut fresh: Vec<Batch>) -> Self {
        let mut batches: Vec<Batch> = before.into_iter().filter(|batch| !batch.is_empty()).collect();
        fresh.retain(|batch| !batch.is_empty());
        let (before, positions) = (batches.len(), vec![Position::default(); fresh.len()]);
        batches.append(&mut fresh);
        Unit { capabilities, batches, before, positions }
    }

    /// The next keys, in the order of their hashes.
    fn next_slice(&mut self) -> Option<Slice> {
        let fresh = &self.batches[self.before..];
        if fresh.iter().zip(&self.positions).all(|(batch, at)| at.chunk == batch.chunks.len()) {
            return None;
        }
        let batches: Vec<Opened<Batch>> = self.batches.iter().cloned().map(Opened::new).collect();
        let fresh = batches[self.before..].iter().zip(&self.positions);
        let last = fresh.filter_map(|(batch, at)| last_hash_within(batch, *at)).min();
        let mut entries = vec![];
        for (number, at) in self.positions.iter_mut().enumerate() {
            let number = self.before + number;
            let batch = &batches[number];
            let end = match last {
                Some(last) => at.past(batch, last),
                None => Position { chunk: batch.len(), row: 0 },
            };
            entries.extend(at.rows_to(batch, end).map(|at| RowAt::new(number, at)));
            *at = end;
        }
        let floor = *self.capabilities.0.time();
        Some(Slice::new(batches, self.before, floor, entries))
    }
}

/// The hash of the row so many rows on, or of the last one: a slice includes all rows up to this hash.
fn last_hash_within(batch: &Opened<Batch>, from: Position) -> Option<u64> {
    let (mut chunk, mut row) = (from.chunk, from.row + SLICE_ROWS);
    while chunk < batch.len() {
        let rows = batch.page(chunk).len();
        if row < rows {
            return Some(batch.chunk(chunk).key_hashes()[row]);
        }
        row -= rows;
        chunk += 1;
    }
    None
}

/// Keys that have changed, and where their rows are.
pub struct Slice {
    pub batches: Vec<Opened<Batch>>,
    /// Batches before this one are from before the first time.
    before: usize,
    /// The columns of the changed keys.
    pub keys: RecordBatch,
    pub changes: Vec<KeyChange>,
    /// Of each key, its hash's rows per batch.
    ranges: Vec<KeyRange>,
    floor: Time,
}

/// A key that has changed.
pub struct KeyChange {
    /// The times at which it has, ascending.
    pub times: Vec<Time>,
    hash: u64,
    ranges: std::ops::Range<usize>,
}

/// Where the rows of a key hash are in one batch.
#[derive(Clone, Copy, Debug)]
pub struct KeyRange {
    pub batch: usize,
    pub start: Position,
    /// Exclusive.
    pub end: Position,
    key: usize,
}

impl Slice {
    fn new(batches: Vec<Opened<Batch>>, before: usize, floor: Time, mut entries: Vec<RowAt>) -> Self {
        let chunk = |at: &RowAt| batches[at.batch].chunk(at.chunk);
        let hash = |at: &RowAt| chunk(at).key_hashes()[at.row];
        if batches.len() - before > 1 {
            entries.sort_by_key(hash);
        }
        let layout = batches[before].chunk(0).layout().clone();
        let mut keys = Gather::new(&batches);
        let mut changes: Vec<KeyChange> = vec![];
        for run in entries.chunk_by(|left, right| hash(left) == hash(right)) {
            for same in by_key(&batches, &layout.key, run) {
                keys.pick(Some(same[0]));
                let mut times: Vec<Time> = same.iter().map(|at| chunk(at).time(at.row).max(floor)).collect();
                times.sort_unstable();
                times.dedup();
                changes.push(KeyChange { times, hash: hash(&same[0]), ranges: 0..0 });
            }
        }
        let keys = keys.rows(&layout.key);
        let ranges = locate(&batches, &mut changes);
        Slice { batches, before, keys, changes, ranges, floor }
    }

    pub fn ranges(&self, key: usize) -> &[KeyRange] {
        &self.ranges[self.changes[key].ranges.clone()]
    }

    pub fn chunk(&self, at: RowAt) -> &ArrowChunk {
        self.batches[at.batch].chunk(at.chunk)
    }

    /// When an update counts: before the first time of the slice, or at its own.
    pub fn time(&self, at: RowAt) -> Option<Time> {
        (at.batch >= self.before).then(|| self.chunk(at).time(at.row).max(self.floor))
    }
}

/// Tells rows of one key hash apart by their keys; nearly always they have one.
fn by_key(batches: &[Opened<Batch>], key: &[usize], run: &[RowAt]) -> Vec<Vec<RowAt>> {
    if run.len() == 1 || key.is_empty() {
        return vec![run.to_vec()];
    }
    let mut groups: Vec<(KeyMatcher, Vec<RowAt>)> = vec![];
    for &at in run {
        match groups.iter_mut().find_map(|(matcher, rows)| matcher.matches(batches, 0, at).then_some(rows)) {
            Some(rows) => rows.push(at),
            None => {
                let chunk = batches[at.batch].chunk(at.chunk);
                let keys = chunk.rows().slice(at.row, 1).project(key).expect("key columns are columns");
                groups.push((KeyMatcher::new(&keys, key, batches.len()), vec![at]));
            }
        }
    }
    groups.into_iter().map(|(_, rows)| rows).collect()
}

/// Finds the rows of the changes' hashes in every batch; a change's ranges are adjacent.
fn locate(batches: &[Opened<Batch>], changes: &mut [KeyChange]) -> Vec<KeyRange> {
    let mut ranges = vec![];
    for (batch, pages) in batches.iter().enumerate() {
        let (mut start, mut end) = (Position::default(), Position::default());
        for (key, change) in changes.iter().enumerate() {
            // Keys with one hash have one range.
            if key == 0 || changes[key - 1].hash != change.hash {
                start = end.seek(pages, change.hash);
                end = start.past(pages, change.hash);
            }
            if start != end {
                ranges.push(KeyRange { batch, start, end, key });
            }
        }
    }
    ranges.sort_by_key(|range| range.key);
    let mut next = 0;
    for (key, change) in changes.iter_mut().enumerate() {
        let len = ranges[next..].iter().take_while(|range| range.key == key).count();
        change.ranges = next..next + len;
        next += len;
    }
    ranges
}
