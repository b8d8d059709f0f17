//! The operator under every join: pairs of rows of two arrangements whose keys are equal.
//!
//! New batches of one side meet all that is known of the other. That is put off and worked off in small pieces, each
//! giving at most some thousand rows, so that a view over much data, or a key with many rows, neither fills the memory
//! nor holds up the worker.

use std::collections::VecDeque;
use std::rc::Rc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, make_comparator};
use arrow::compute::kernels::cmp::{eq, not_distinct};
use arrow::compute::{SortOptions, and, prep_null_mask_filter};
use arrow::datatypes::SchemaRef;
use differential_dataflow::trace::{BatchReader, TraceReader};
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::order::PartialOrder;
use timely::progress::Antichain;
use timely::progress::frontier::AntichainRef;

use super::super::chunk::ArrowChunk;
use super::super::collection::{Arranged, Batch, Stream, Trace};
use super::super::columns::{batch_of, try_interleave_column};
use super::super::context::{Context, Pace};
use super::super::errors::error_schema;
use super::super::evaluate::{error_delta, evaluate_predicate};
use super::super::plan::Scalar;
use super::join_matches::{Candidates, Matches, Side};
use super::map::keep;
use super::stateless::give;
use crate::types::{Delta, Stamps, Time};

/// Pieces of work, of some thousand pairs each, between which nobody else gets a turn.
const TURN_PIECES: usize = 16;

/// What pairs are made of.
pub struct Pairing {
    /// Positions of key columns that are compared, left and right.
    pub keys: Vec<(usize, usize)>,
    pub nulls_equal: bool,
    /// What else must be true, over left ++ right columns.
    pub filter: Option<Scalar>,
    /// The columns of left ++ right.
    pub both: SchemaRef,
    /// How many of them, from the left, are given.
    pub given: SchemaRef,
}

/// Pairs of rows of arrangements by these keys, and errors of the filter.
pub fn pairs<'s>(
    left: Arranged<'s>,
    right: Arranged<'s>,
    pairing: Pairing,
    context: &Context<'s>,
) -> (Stream<'s>, Stream<'s>) {
    let scope = context.scope;
    let mut builder = OperatorBuilder::new("join".to_string(), scope);
    let mut left_input = builder.new_input(left.stream, Pipeline);
    let mut right_input = builder.new_input(right.stream, Pipeline);
    let (rows_output, rows) = builder.new_output::<Delta>();
    let (errors_output, errors) = builder.new_output::<Delta>();
    let (mut rows_output, mut errors_output) = (OutputBuilder::from(rows_output), OutputBuilder::from(errors_output));
    let activator = scope.activator_for(builder.operator_info().address);
    let (as_of, restored_to, pace) = (context.as_of, context.restored_to(), context.pace.clone());
    builder.build(move |capabilities| {
        let mut work = Work { pairing, as_of, pace, left: VecDeque::new(), right: VecDeque::new() };
        let (mut left, mut right) = (Known::new(left.trace), Known::new(right.trace));
        let capabilities = Capabilities { rows: capabilities[0].clone(), errors: capabilities[1].clone() };
        if restored_to == 0 {
            work.put_off(capabilities, left.batches(), right.batches(), From::Left);
        }
        move |frontiers| {
            left_input.for_each(|capability, batches| {
                let capabilities = Capabilities { rows: capability.retain(0), errors: capability.retain(1) };
                for batch in batches.drain(..) {
                    if left.is_new(&batch) {
                        work.put_off(capabilities.clone(), vec![batch.clone()], right.batches(), From::Left);
                        left.know(&batch);
                    }
                }
            });
            right_input.for_each(|capability, batches| {
                let capabilities = Capabilities { rows: capability.retain(0), errors: capability.retain(1) };
                for batch in batches.drain(..) {
                    if right.is_new(&batch) {
                        work.put_off(capabilities.clone(), left.batches(), vec![batch.clone()], From::Right);
                        right.know(&batch);
                    }
                }
            });
            let (mut rows, mut errors) = (rows_output.activate(), errors_output.activate());
            for _ in 0..TURN_PIECES {
                let Some((capabilities, made)) = work.next() else { break };
                for (good, bad) in made {
                    give(&mut rows, &capabilities.rows, good);
                    give(&mut errors, &capabilities.errors, bad);
                }
            }
            if !work.is_done() {
                activator.activate();
            }
            left.compact(frontiers[1].frontier());
            right.compact(frontiers[0].frontier());
        }
    });
    (rows, errors)
}

/// What is known of one side: the batches of its trace up to a frontier.
struct Known {
    /// None when nothing more can come from the other side.
    trace: Option<Trace>,
    upper: Antichain<Time>,
    /// What was there at the start was taken from the trace; it comes in the stream as well.
    start: Antichain<Time>,
}

impl Known {
    fn new(trace: Trace) -> Self {
        let mut upper = Antichain::from_elem(0);
        trace.map_batches(|batch| upper.clone_from(batch.upper()));
        Known { trace: Some(trace), start: upper.clone(), upper }
    }

    fn is_new(&self, batch: &Batch) -> bool {
        !PartialOrder::less_equal(batch.upper(), &self.start)
    }

    fn know(&mut self, batch: &Batch) {
        if PartialOrder::less_equal(&self.upper, batch.lower()) {
            self.upper.clone_from(batch.upper());
        }
    }

    fn batches(&mut self) -> Vec<Batch> {
        let trace = self.trace.as_mut().expect("nothing comes from a side that has ended");
        trace.batches_through(self.upper.borrow()).expect("merges keep to the frontiers that were asked for")
    }

    /// Times before those that the other side will bring need not be told apart.
    fn compact(&mut self, other: AntichainRef<Time>) {
        let Some(trace) = &mut self.trace else { return };
        trace.advance_upper(&mut self.upper);
        if other.is_empty() {
            self.trace = None;
            return;
        }
        trace.set_logical_compaction(other);
        trace.set_physical_compaction(self.upper.borrow());
    }
}

#[derive(Clone)]
struct Capabilities {
    rows: Capability<Time>,
    errors: Capability<Time>,
}

/// Which side's new batches are the reason of a piece of work.
enum From {
    Left,
    Right,
}

/// What is put off, a queue for each side, so that much on one does not hold up the other.
struct Work {
    pairing: Pairing,
    as_of: Time,
    pace: Rc<Pace>,
    left: VecDeque<(Capabilities, Matches)>,
    right: VecDeque<(Capabilities, Matches)>,
}

impl Work {
    fn put_off(&mut self, capabilities: Capabilities, left: Vec<Batch>, right: Vec<Batch>, from: From) {
        if left.is_empty() || right.is_empty() {
            return;
        }
        let floor = self.as_of.max(*capabilities.rows.time());
        let capabilities =
            Capabilities { rows: capabilities.rows.delayed(&floor), errors: capabilities.errors.delayed(&floor) };
        let (left_key, right_key) = self.pairing.keys.iter().copied().unzip();
        let skips_null_keys = !self.pairing.nulls_equal;
        let (left, right) = (Side::new(left, left_key, skips_null_keys), Side::new(right, right_key, skips_null_keys));
        let queue = match from {
            From::Left => &mut self.left,
            From::Right => &mut self.right,
        };
        queue.push_back((capabilities, Matches::new(left, right, floor)));
        self.pace.add(1);
    }

    fn is_done(&self) -> bool {
        self.left.is_empty() && self.right.is_empty()
    }

    /// A piece of work: some pairs, perhaps none.
    fn next(&mut self) -> Option<(Capabilities, Vec<(Delta, Delta)>)> {
        if self.pace.stopped.get() {
            self.pace.remove(self.left.len() + self.right.len());
            self.left.clear();
            self.right.clear();
        }
        if self.left.is_empty() {
            std::mem::swap(&mut self.left, &mut self.right);
        }
        let (capabilities, matches) = self.left.front_mut()?;
        let capabilities = capabilities.clone();
        let candidates = matches.next();
        if candidates.is_none() {
            self.left.pop_front();
            self.pace.remove(1);
        }
        // The other queue is next.
        std::mem::swap(&mut self.left, &mut self.right);
        Some((capabilities, self.pairing.make(candidates.unwrap_or_default())))
    }
}

impl Pairing {
    /// The pairs whose keys are equal by value and which pass the filter, and errors; in several parts if they are too
    /// many bytes for one.
    fn make(&self, candidates: Candidates) -> Vec<(Delta, Delta)> {
        if candidates.left.is_empty() {
            return vec![];
        }
        match self.try_make(&candidates) {
            Some(made) => vec![made],
            None => candidates.halves().into_iter().flat_map(|half| self.make(half)).collect(),
        }
    }

    fn try_make(&self, candidates: &Candidates) -> Option<(Delta, Delta)> {
        let equal = self.equal_keys(candidates)?;
        let really = (equal.false_count() > 0).then(|| candidates.filtered(&equal));
        let candidates = really.as_ref().unwrap_or(candidates);
        let columns = if self.filter.is_some() { &self.both } else { &self.given };
        let delta = Delta {
            rows: candidates.gather(columns)?,
            times: Stamps::of(candidates.times.clone()),
            diffs: Stamps::of(candidates.diffs.clone()),
        };
        let Some(filter) = self.filter.as_ref().filter(|_| !delta.is_empty()) else {
            return Some((delta, Delta::empty(error_schema())));
        };
        let (mask, bad) = evaluate_predicate(filter, &delta.rows);
        let errors = error_delta(&delta, bad);
        let mut delta = keep(delta, &mask);
        let given = delta.rows.columns()[..self.given.fields().len()].to_vec();
        delta.rows = batch_of(&self.given, given, delta.rows.num_rows());
        Some((delta, errors))
    }

    /// Rows of keys that differ can have one hash; nearly never do they.
    fn equal_keys(&self, candidates: &Candidates) -> Option<BooleanArray> {
        let (left, right) = candidates.rows();
        let mut equal = BooleanArray::from(vec![true; candidates.left.len()]);
        for &(left_key, right_key) in &self.keys {
            let left = try_interleave_column(&left, left_key, &candidates.left)?;
            let right = try_interleave_column(&right, right_key, &candidates.right)?;
            equal = and(&equal, &equal_values(&left, &right, self.nulls_equal)).expect("masks have one length");
        }
        Some(equal)
    }
}

impl Candidates {
    /// The rows of the chunks.
    fn rows(&self) -> (Vec<&RecordBatch>, Vec<&RecordBatch>) {
        (
            self.left_chunks.iter().map(ArrowChunk::rows).collect(),
            self.right_chunks.iter().map(ArrowChunk::rows).collect(),
        )
    }

    /// The first columns of left ++ right.
    fn gather(&self, schema: &SchemaRef) -> Option<RecordBatch> {
        let (left, right) = self.rows();
        let left_columns = left[0].num_columns();
        let columns = (0..schema.fields().len()).map(|column| match column.checked_sub(left_columns) {
            None => try_interleave_column(&left, column, &self.left),
            Some(column) => try_interleave_column(&right, column, &self.right),
        });
        Some(batch_of(schema, columns.collect::<Option<_>>()?, self.left.len()))
    }

    fn filtered(&self, mask: &BooleanArray) -> Candidates {
        self.picked(&mask.values().set_indices().collect::<Vec<_>>())
    }

    fn halves(&self) -> [Candidates; 2] {
        let (all, middle) = (self.left.len(), self.left.len() / 2);
        assert!(middle > 0, "a row of a join is more than two gigabytes");
        [self.picked(&(0..middle).collect::<Vec<_>>()), self.picked(&(middle..all).collect::<Vec<_>>())]
    }

    fn picked(&self, pairs: &[usize]) -> Candidates {
        Candidates {
            left_chunks: self.left_chunks.clone(),
            right_chunks: self.right_chunks.clone(),
            left: pairs.iter().map(|&pair| self.left[pair]).collect(),
            right: pairs.iter().map(|&pair| self.right[pair]).collect(),
            times: pairs.iter().map(|&pair| self.times[pair]).collect(),
            diffs: pairs.iter().map(|&pair| self.diffs[pair]).collect(),
        }
    }
}

/// Which values are equal, without NULLs.
fn equal_values(left: &ArrayRef, right: &ArrayRef, nulls_equal: bool) -> BooleanArray {
    let compared = if nulls_equal { not_distinct(left, right) } else { eq(left, right) };
    if let Ok(mask) = compared {
        return if mask.null_count() > 0 { prep_null_mask_filter(&mask) } else { mask };
    }
    // Lists and structs have no kernel.
    let compare = make_comparator(left, right, SortOptions::default()).expect("keys of a join have one type");
    let is_comparable = |row: usize| nulls_equal || (left.is_valid(row) && right.is_valid(row));
    (0..left.len()).map(|row| Some(is_comparable(row) && compare(row, row).is_eq())).collect()
}
