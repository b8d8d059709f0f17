//! Folds: operators whose new row for a key follows from the delta and the key's old row, whatever the group's size.
//!
//! ```text
//!   rows ──▶ partial ──exchange──▶ tally per time ──when the time is complete──▶ old row + delta = new row
//!   values (min, max, ...) ───────▶                                             ◀── ledger: key, states, values
//! ```
//!
//! Columns of the ledger's rows that nobody sees hold the states of accumulators. There is no arrangement of the input:
//! the cost is in the change. What arrives is added up per key at once, before it is sent to the key's worker and there
//! again, so that a time with many rows of few keys costs little more than reading them.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use arrow::array::{ArrayRef, AsArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::Int64Type;
use timely::communication::Pull;
use timely::dataflow::channels::Message;
use timely::dataflow::channels::pact::{ParallelizationContract, Pipeline};
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::{InputHandleCore, OutputBuilder};
use timely::dataflow::operators::{Capability, InputCapability};
use timely::progress::frontier::MutableAntichain;
use timely::progress::{Antichain, Timestamp};

use super::super::accumulator::Accumulator;
use super::super::collection::{Batch, Stream};
use super::super::columns::{batch_of, concat_rows, take_rows};
use super::super::context::Context;
use super::super::exchange::by_key;
use super::super::layout::{Layout, worker_of};
use super::super::page::Page;
use super::ledger::{Ledger, diffs, find};
use super::partial::partial;
use super::results::{Changes, Output, Results, States};
use super::stateless::give;
use super::tally::{Contribution, StateLayout, Tallied, Tally};
use crate::types::{Delta, Stamps, Time};

/// Groups that are looked up and written in one go.
const SLICE_GROUPS: usize = 8192;
/// Slices after which other operators get their turn.
const SLICES_PER_TURN: usize = 8;

/// What is folded, and into what.
pub struct Fold {
    pub layout: StateLayout,
    pub outputs: Vec<Output>,
    pub schema: arrow::datatypes::SchemaRef,
}

/// An input of a fold, and how its rows contribute.
pub struct Source<'s> {
    pub rows: Stream<'s>,
    pub contribution: Contribution,
}

/// Hands over all that has arrived.
type Pump = Box<dyn FnMut(&mut dyn FnMut(InputCapability<Time>, &mut Delta))>;

/// Rows and errors of the groups. Accumulator 0 counts the rows of a group, which is there while it is not 0; without keys
/// there is always one group.
pub fn fold<'s>(
    name: &str,
    fold: Fold,
    sources: Vec<Source<'s>>,
    context: &mut Context<'s>,
) -> (Stream<'s>, Stream<'s>) {
    let (scope, pace) = (context.scope, context.pace.clone());
    let mut builder = OperatorBuilder::new(name.to_string(), scope);
    let (rows_output, rows_stream) = builder.new_output::<Delta>();
    let (errors_output, errors_stream) = builder.new_output::<Delta>();
    let (mut rows_output, mut errors_output) = (OutputBuilder::from(rows_output), OutputBuilder::from(errors_output));
    let mut pumps: Vec<(Pump, Contribution)> = vec![];
    for Source { rows, contribution } in sources {
        pumps.push(match contribution {
            Contribution::Rows { .. } if scope.peers() > 1 => {
                let (partial, pact, contribution) = exchanged(rows, contribution, &fold, context.hash_seed);
                (pump(builder.new_input(partial, pact)), contribution)
            }
            placed => (pump(builder.new_input(rows, Pipeline)), placed),
        });
    }
    let info = builder.operator_info();
    let activator = scope.activator_for(info.address.clone());
    let key = (0..fold.layout.keys).collect();
    let layout = context.layout(fold.layout.schema.clone(), key);
    let restored = context.restored(&layout, name);
    let begins = restored.is_none();
    let ledger = Ledger::new(layout, scope, info, restored);
    context.count(name, &ledger.trace());
    let begins_without_rows = begins && owns_the_empty_key(&ledger, scope.index(), scope.peers());
    builder.build(move |mut capabilities| {
        let mut folding = Folding::new(fold, ledger);
        let capability = (capabilities.remove(0), capabilities.remove(0));
        if begins_without_rows {
            folding.begin_without_rows(capability);
        }
        let mut behind = false;
        move |frontiers| {
            for (pump, contribution) in &mut pumps {
                pump(&mut |capability, delta| folding.take(contribution, &capability, std::mem::take(delta)));
            }
            if pace.stopped.get() {
                folding.stop();
            }
            let (mut rows, mut errors) = (rows_output.activate(), errors_output.activate());
            let finished = folding.work(&least(frontiers), &mut |(rows_at, errors_at), changes| {
                changes.rows.into_iter().for_each(|delta| give(&mut rows, rows_at, delta));
                changes.errors.into_iter().for_each(|delta| give(&mut errors, errors_at, delta));
            });
            if finished == behind {
                behind = !finished;
                if behind { pace.add(1) } else { pace.remove(1) }
            }
            if behind {
                activator.activate();
            }
        }
    });
    (rows_stream, errors_stream)
}

fn pump<P: Pull<Message<Time, Delta>> + 'static>(mut input: InputHandleCore<Time, Delta, P>) -> Pump {
    Box::new(move |give| input.for_each(|capability, delta| give(capability, delta)))
}

/// Adds rows up where they are, and brings the sums to the workers of their keys.
fn exchanged<'s>(
    rows: Stream<'s>,
    contribution: Contribution,
    fold: &Fold,
    seed: u64,
) -> (Stream<'s>, impl ParallelizationContract<Time, Delta, Puller: 'static> + use<>, Contribution) {
    let slots = match &contribution {
        Contribution::Rows { slots, first, .. } => *first..first + slots.len(),
        _ => 0..0,
    };
    let schema = fold.layout.partial_schema(slots.clone());
    let keys = (0..fold.layout.keys).collect();
    let layout = Layout::hashed(schema, keys, seed);
    (partial(rows, fold.layout.clone(), contribution, slots.clone()), by_key(&layout), Contribution::Partial { slots })
}

fn owns_the_empty_key(ledger: &Ledger, worker: usize, workers: usize) -> bool {
    let layout = ledger.layout();
    let no_key = batch_of(&layout.schema.project(&[]).expect("no columns are in any schema").into(), vec![], 1);
    layout.key.is_empty() && worker_of(layout.key_hashes(&no_key)[0], workers) == worker
}

/// The frontier of all inputs together.
pub fn least(frontiers: &[MutableAntichain<Time>]) -> Antichain<Time> {
    let mut least = Antichain::new();
    frontiers.iter().for_each(|frontier| {
        least.extend(frontier.frontier().iter().copied());
    });
    least
}

/// Capabilities for rows and for errors.
type Capabilities = (Capability<Time>, Capability<Time>);

/// What has arrived and not been folded yet, and what has been.
struct Folding {
    layout: StateLayout,
    results: Results,
    ledger: Ledger,
    tallies: BTreeMap<Time, (Capabilities, Tally)>,
    retirement: Option<Retirement>,
}

impl Folding {
    fn new(fold: Fold, ledger: Ledger) -> Self {
        let results = Results { outputs: fold.outputs, schema: fold.schema };
        Folding { layout: fold.layout, results, ledger, tallies: BTreeMap::new(), retirement: None }
    }

    /// The one group without keys is there before any row.
    fn begin_without_rows(&mut self, capabilities: Capabilities) {
        let mut tally = Tally::new(&self.layout);
        tally.see();
        self.tallies.insert(Time::minimum(), (capabilities, tally));
    }

    fn take(&mut self, contribution: &Contribution, capability: &InputCapability<Time>, delta: Delta) {
        for_each_time(delta, |time, rows, diffs| {
            let (_, tally) = self.tallies.entry(time).or_insert_with(|| {
                ((capability.delayed(&time, 0), capability.delayed(&time, 1)), Tally::new(&self.layout))
            });
            tally.add(contribution, rows, diffs).expect("the planner has checked the types");
        });
    }

    /// Nobody wants the results any more.
    fn stop(&mut self) {
        self.tallies.clear();
        self.retirement = None;
    }

    /// Folds complete times, in order, for one turn; false if there is more to do.
    fn work(
        &mut self,
        frontier: &Antichain<Time>,
        emit: &mut dyn FnMut((&Capability<Time>, &Capability<Time>), Changes),
    ) -> bool {
        for _ in 0..SLICES_PER_TURN {
            if self.retirement.is_none() {
                let Some(next) = self.tallies.first_entry().filter(|next| !frontier.less_equal(next.key())) else {
                    self.ledger.seal(frontier.clone());
                    self.ledger.exert();
                    return true;
                };
                let (time, (capabilities, tally)) = next.remove_entry();
                self.retirement = Some(Retirement::new(time, capabilities, tally, &mut self.ledger));
            }
            let Some(retirement) = &mut self.retirement else {
                continue;
            };
            let changes = retirement.slice(&self.layout, &self.results, &self.ledger);
            emit((&retirement.capabilities.0, &retirement.capabilities.1), changes);
            if retirement.is_done() {
                let Some(done) = self.retirement.take() else { continue };
                self.ledger.commit(done.changes, done.time);
            }
        }
        self.ledger.exert();
        false
    }
}

/// The folding of one time, a slice of its groups after the other, in the order of their hashes.
struct Retirement {
    time: Time,
    capabilities: Capabilities,
    tallied: Tallied,
    hashes: Vec<u64>,
    /// The groups that have changed.
    order: Vec<u32>,
    position: usize,
    batches: Vec<Batch>,
    changes: VecDeque<Page>,
}

impl Retirement {
    fn new(time: Time, capabilities: Capabilities, tally: Tally, ledger: &mut Ledger) -> Self {
        let batches = ledger.batches();
        let mut order = match ledger.layout().key.is_empty() {
            true => (0..tally.groups() as u32).collect(),
            false => tally.changed(),
        };
        let tallied = tally.finish();
        let hashes = ledger.layout().key_hashes(&tallied.keys);
        order.sort_unstable_by_key(|&group| hashes[group as usize]);
        Retirement { time, capabilities, tallied, hashes, order, position: 0, batches, changes: VecDeque::new() }
    }

    fn is_done(&self) -> bool {
        self.position == self.order.len()
    }

    /// Folds the next groups. A slice ends between hashes, so that what slices write is sorted.
    fn slice(&mut self, layout: &StateLayout, results: &Results, ledger: &Ledger) -> Changes {
        let hash = |position: usize| self.hashes[self.order[position] as usize];
        let mut end = (self.position + SLICE_GROUPS).min(self.order.len());
        while end > self.position && end < self.order.len() && hash(end) == hash(end - 1) {
            end += 1;
        }
        let groups = &self.order[self.position..end];
        self.position = end;
        let keys = take_rows(&self.tallied.keys, groups);
        let hashes: Vec<u64> = groups.iter().map(|&group| self.hashes[group as usize]).collect();
        let old = find(ledger.layout(), &self.batches, &keys, &hashes);
        let new = new_states(layout, &self.tallied, groups, keys.columns(), &old);
        let exist: Vec<u32> = match layout.keys {
            0 => (0..groups.len() as u32).collect(),
            _ => {
                let rows = new.column(layout.accumulators[0].1.start).as_primitive::<Int64Type>().values();
                (0..groups.len() as u32).filter(|&group| rows[group as usize] != 0).collect()
            }
        };
        let new = if exist.len() == new.num_rows() { new } else { take_rows(&new, &exist) };
        let written = Delta {
            rows: concat_rows(&layout.schema, &[&old.rows, &new]),
            times: Stamps::Same(self.time),
            diffs: Stamps::of(diffs(old.rows.num_rows(), new.num_rows())),
        };
        self.changes.extend(Page::sort(ledger.layout(), &written));
        let (old, new) = (States { groups: &old.keys, rows: &old.rows }, States { groups: &exist, rows: &new });
        results.changes(layout, old, new, self.time)
    }
}

/// Old states, where there are any, and the tallied deltas.
fn new_states(
    layout: &StateLayout,
    tallied: &Tallied,
    groups: &[u32],
    keys: &[ArrayRef],
    old: &super::ledger::Found,
) -> arrow::array::RecordBatch {
    let everyone: Vec<u32> = (0..groups.len() as u32).collect();
    let indices = UInt32Array::from(groups.to_vec());
    let mut columns = keys.to_vec();
    for ((accumulates, range), delta) in layout.accumulators.iter().zip(&tallied.states) {
        let delta: Vec<ArrayRef> =
            delta.iter().map(|column| take(column, &indices, None).expect("the groups are there")).collect();
        let mut accumulator = Accumulator::new(*accumulates);
        accumulator.resize(groups.len());
        accumulator.merge(&everyone, &delta);
        accumulator.merge(&old.keys, &old.rows.columns()[Range::clone(range)]);
        columns.extend(accumulator.state());
    }
    let mut stood = vec![None; groups.len()];
    old.keys.iter().enumerate().for_each(|(row, &key)| stood[key as usize] = Some(row));
    for ((range, _), values) in layout.values.iter().zip(&tallied.values) {
        columns.extend(values.columns(groups, &stood, &old.rows, range.start));
    }
    batch_of(&layout.schema, columns, groups.len())
}

/// Splits a delta by time.
pub fn for_each_time(delta: Delta, mut f: impl FnMut(Time, &arrow::array::RecordBatch, &Stamps<i64>)) {
    let times = match &delta.times {
        _ if delta.is_empty() => return,
        Stamps::Same(time) => return f(*time, &delta.rows, &delta.diffs),
        Stamps::Each(times) => times,
    };
    let mut rows_of: BTreeMap<Time, Vec<u32>> = BTreeMap::new();
    times.iter().enumerate().for_each(|(row, &time)| rows_of.entry(time).or_default().push(row as u32));
    for (time, rows) in rows_of {
        f(time, &take_rows(&delta.rows, &rows), &delta.diffs.take(&rows));
    }
}
