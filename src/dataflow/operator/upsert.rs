//! Upsert sources: of all rows with a key, the last is the current one, and a tombstone leaves none.
//!
//! What arrives is reduced to the last row per key and time before it is sent to the key's worker and there again; what the
//! key had before, which must leave, stands in the output arrangement itself.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, SchemaRef};
use differential_dataflow::operators::arrange::Arranged as ArrangedStream;
use timely::container::NoopBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;

use super::super::collection::{Arranged, Batch, Stream};
use super::super::columns::{batch_of, concat_rows, interleave_columns, take_rows};
use super::super::exchange::by_key;
use super::super::layout::Layout;
use super::super::page::Page;
use super::super::saved::Restored;
use super::fold::for_each_time;
use super::groups::Groups;
use super::ledger::{Ledger, diffs, find};
use crate::types::{Delta, Stamps, Time};

/// Keys that are looked up and written in one go.
const SLICE_KEYS: usize = 8192;
/// Slices after which other operators get their turn.
const SLICES_PER_TURN: usize = 8;

/// The current rows, as [`InputKind::Upsert`](super::super::runtime::InputKind::Upsert) says. `rows` have the columns of
/// `layout`, then `tombstone` and `sequence`.
pub fn upsert<'s>(rows: Stream<'s>, layout: &Arc<Layout>, name: &str, restored: Option<Restored>) -> Arranged<'s> {
    let scope = rows.scope();
    let layout = layout.clone();
    let key = layout.key.clone();
    let rows = if scope.peers() > 1 { last_of_turn(rows, key.clone()) } else { rows };
    // The exchange looks at the key columns alone, which are the same with and without the last two.
    let pact = by_key(&layout);
    let mut reader = None;
    let stream = rows.unary_frontier(pact, name, |_capability, info| {
        let activator = scope.activator_for(info.address.clone());
        let ledger = Ledger::new(layout.clone(), scope, info, restored);
        reader = Some(ledger.trace());
        let mut upserting = Upserting { ledger, key, latest: BTreeMap::new(), retirement: None };
        move |(input, frontier), output| {
            input.for_each(|capability, delta| {
                for_each_time(std::mem::take(delta), |time, rows, _| {
                    let fresh = || (capability.delayed(&time, 0), Latest::new(&upserting.key, &rows.schema()));
                    upserting.latest.entry(time).or_insert_with(fresh).1.add(rows);
                });
            });
            let done = upserting.work(&frontier.frontier().to_owned(), &mut |capability, batch| {
                output.session(capability).give(batch);
            });
            if !done {
                activator.activate();
            }
        }
    });
    ArrangedStream { stream, trace: reader.expect("the operator was built") }
}

/// The last row per key of what arrives together, so that less travels.
fn last_of_turn<'s>(rows: Stream<'s>, key: Vec<usize>) -> Stream<'s> {
    rows.unary::<NoopBuilder<Delta>, _, _, _>(Pipeline, "last of turn", move |_, _| {
        move |input, output| {
            let mut latest: BTreeMap<Time, (Capability<Time>, Latest)> = BTreeMap::new();
            input.for_each(|capability, delta| {
                for_each_time(std::mem::take(delta), |time, rows, _| {
                    let fresh = || (capability.delayed(&time, 0), Latest::new(&key, &rows.schema()));
                    latest.entry(time).or_insert_with(fresh).1.add(rows);
                });
            });
            for (time, (capability, latest)) in latest {
                super::stateless::give(output, &capability, Delta::insert(latest.finish().1, time));
            }
        }
    })
}

/// The last row of each key of one time.
struct Latest {
    key: Vec<usize>,
    groups: Groups,
    batches: Vec<RecordBatch>,
    /// Per key, the greatest sequence and where its row is.
    places: Vec<(i64, (usize, usize))>,
}

impl Latest {
    fn new(key: &[usize], schema: &SchemaRef) -> Self {
        let keys: SchemaRef = Arc::new(schema.project(key).expect("key columns are columns"));
        Latest { key: key.to_vec(), groups: Groups::new(&keys), batches: vec![], places: vec![] }
    }

    fn add(&mut self, rows: &RecordBatch) {
        let keys: Vec<ArrayRef> = self.key.iter().map(|&key| rows.column(key).clone()).collect();
        let groups = self.groups.number(&keys, rows.num_rows());
        self.places.resize(self.groups.len(), (i64::MIN, (0, 0)));
        let sequences = rows.column(rows.num_columns() - 1).as_primitive::<Int64Type>().values();
        for (row, (&group, &sequence)) in groups.iter().zip(sequences).enumerate() {
            let place = &mut self.places[group as usize];
            if sequence >= place.0 {
                *place = (sequence, (self.batches.len(), row));
            }
        }
        self.batches.push(rows.clone());
    }

    /// The keys, and the last row of each.
    fn finish(self) -> (RecordBatch, RecordBatch) {
        let sources: Vec<&RecordBatch> = self.batches.iter().collect();
        let picks: Vec<(usize, usize)> = self.places.iter().map(|(_, place)| *place).collect();
        let rows = batch_of(&self.batches[0].schema(), interleave_columns(&sources, &picks), picks.len());
        (self.groups.into_rows(), rows)
    }
}

/// What has arrived and not been applied yet, and what has been.
struct Upserting {
    ledger: Ledger,
    key: Vec<usize>,
    latest: BTreeMap<Time, (Capability<Time>, Latest)>,
    retirement: Option<Retirement>,
}

/// The application of one time, a slice of its keys after the other, in the order of their hashes.
struct Retirement {
    time: Time,
    capability: Capability<Time>,
    keys: RecordBatch,
    rows: RecordBatch,
    hashes: Vec<u64>,
    order: Vec<u32>,
    position: usize,
    batches: Vec<Batch>,
    changes: VecDeque<Page>,
}

impl Upserting {
    /// Applies complete times, in order, for one turn; false if there is more to do.
    fn work(
        &mut self,
        frontier: &timely::progress::Antichain<Time>,
        ship: &mut dyn FnMut(&Capability<Time>, Batch),
    ) -> bool {
        for _ in 0..SLICES_PER_TURN {
            if self.retirement.is_none() {
                let Some(next) = self.latest.first_entry().filter(|next| !frontier.less_equal(next.key())) else {
                    self.ledger.seal(frontier.clone());
                    self.ledger.exert();
                    return true;
                };
                let (time, (capability, latest)) = next.remove_entry();
                self.retirement = Some(Retirement::new(time, capability, latest, &mut self.ledger));
            }
            let Some(retirement) = &mut self.retirement else {
                continue;
            };
            retirement.slice(self.ledger.layout());
            if retirement.position == retirement.order.len() {
                let Some(done) = self.retirement.take() else { continue };
                let batch = self.ledger.commit(done.changes, done.time);
                ship(&done.capability, batch);
            }
        }
        self.ledger.exert();
        false
    }
}

impl Retirement {
    fn new(time: Time, capability: Capability<Time>, latest: Latest, ledger: &mut Ledger) -> Self {
        let batches = ledger.batches();
        let (keys, rows) = latest.finish();
        let hashes = ledger.layout().key_hashes(&rows);
        let mut order: Vec<u32> = (0..hashes.len() as u32).collect();
        order.sort_unstable_by_key(|&key| hashes[key as usize]);
        Retirement { time, capability, keys, rows, hashes, order, position: 0, batches, changes: VecDeque::new() }
    }

    /// Applies the next keys. A slice ends between hashes, so that what slices write is sorted.
    fn slice(&mut self, layout: &Arc<Layout>) {
        let hash = |position: usize| self.hashes[self.order[position] as usize];
        let mut end = (self.position + SLICE_KEYS).min(self.order.len());
        while end > self.position && end < self.order.len() && hash(end) == hash(end - 1) {
            end += 1;
        }
        let picked = &self.order[self.position..end];
        self.position = end;
        let keys = take_rows(&self.keys, picked);
        let hashes: Vec<u64> = picked.iter().map(|&key| self.hashes[key as usize]).collect();
        let old = find(layout, &self.batches, &keys, &hashes);
        let tombstones = self.rows.column(self.rows.num_columns() - 2).as_boolean();
        let is_tombstone = |row: u32| tombstones.is_valid(row as usize) && tombstones.value(row as usize);
        let alive: Vec<u32> = picked.iter().copied().filter(|&row| !is_tombstone(row)).collect();
        let taken = take_rows(&self.rows, &alive);
        let columns = taken.columns()[..layout.schema.fields().len()].to_vec();
        let new = batch_of(&layout.schema, columns, alive.len());
        let written = Delta {
            rows: concat_rows(&layout.schema, &[&old.rows, &new]),
            times: Stamps::Same(self.time),
            diffs: Stamps::of(diffs(old.rows.num_rows(), new.num_rows())),
        };
        self.changes.extend(Page::sort(layout, &written));
    }
}
