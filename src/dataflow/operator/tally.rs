//! What has arrived for one time, added up per group: the delta of a fold.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema, SchemaRef};

use super::super::accumulator::{Accumulates, Accumulator, weights};
use super::super::columns::{batch_of, interleave_column, take_rows};
use super::groups::Groups;
use crate::types::{Diff, Result, Stamps};

/// One accumulator of a group, and the input columns that it takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    pub accumulates: Accumulates,
    pub argument: Option<usize>,
    /// Rows where this boolean column is not true do not count.
    pub filter: Option<usize>,
}

/// The columns of a group's state: its key, the states of its accumulators, then values that were computed elsewhere.
#[derive(Clone, Debug)]
pub struct StateLayout {
    pub keys: usize,
    pub accumulators: Vec<(Accumulates, Range<usize>)>,
    /// Per source of values: where they stand, and what a group has before it is given any (one row).
    pub values: Vec<(Range<usize>, RecordBatch)>,
    pub schema: SchemaRef,
}

impl StateLayout {
    pub fn new(key_fields: Vec<Field>, accumulators: &[Accumulates], defaults: Vec<RecordBatch>) -> Self {
        let keys = key_fields.len();
        let mut fields = key_fields;
        let mut add = |more: Vec<Field>| {
            let start = fields.len();
            fields.extend(more);
            start..fields.len()
        };
        let state_fields = |accumulates: &Accumulates| -> Vec<Field> {
            accumulates.state_types().into_iter().map(|state| Field::new("state", state, false)).collect()
        };
        let accumulators = accumulators.iter().map(|each| (*each, add(state_fields(each)))).collect();
        let value_fields = |defaults: &RecordBatch| -> Vec<Field> {
            defaults.schema().fields().iter().map(|field| Field::clone(field).with_nullable(true)).collect()
        };
        let values = defaults.into_iter().map(|defaults| (add(value_fields(&defaults)), defaults)).collect();
        StateLayout { keys, accumulators, values, schema: Arc::new(Schema::new(fields)) }
    }

    pub fn key_schema(&self) -> SchemaRef {
        self.prefix(self.keys)
    }

    /// Keys, then the states of some accumulators.
    pub fn partial_schema(&self, slots: Range<usize>) -> SchemaRef {
        let states = slots.flat_map(|slot| self.schema.fields()[self.accumulators[slot].1.clone()].iter());
        Arc::new(Schema::new(self.schema.fields()[..self.keys].iter().chain(states).cloned().collect::<Vec<_>>()))
    }

    /// The schema of the first columns.
    fn prefix(&self, columns: usize) -> SchemaRef {
        Arc::new(Schema::new(self.schema.fields()[..columns].to_vec()))
    }
}

/// How the rows of one input contribute.
#[derive(Clone, Debug)]
pub enum Contribution {
    /// Rows, whose key is at `keys`; `slots` are the accumulators from number `first` on.
    Rows { keys: Vec<usize>, slots: Vec<Slot>, first: usize },
    /// What [`Tally::into_partial`] made of such rows before they came here.
    Partial { slots: Range<usize> },
    /// Keys and values: the row that enters has the values of its group from now on.
    Values { source: usize },
}

/// Accumulators per group of one time.
pub struct Tally {
    groups: Groups,
    accumulators: Vec<Accumulator>,
    values: Vec<Values>,
}

/// The latest values of each group from one source.
struct Values {
    /// The first is the row of defaults.
    batches: Vec<RecordBatch>,
    places: Vec<Option<(usize, usize)>>,
}

impl Tally {
    pub fn new(layout: &StateLayout) -> Self {
        let accumulators = layout.accumulators.iter().map(|(accumulates, _)| Accumulator::new(*accumulates));
        let values =
            layout.values.iter().map(|(_, defaults)| Values { batches: vec![defaults.clone()], places: vec![] });
        Tally {
            groups: Groups::new(&layout.key_schema()),
            accumulators: accumulators.collect(),
            values: values.collect(),
        }
    }

    /// Makes the group without key columns be there, even if nothing arrives for it.
    pub fn see(&mut self) {
        self.groups.see();
        self.resize();
    }

    pub fn add(&mut self, contribution: &Contribution, rows: &RecordBatch, diffs: &Stamps<Diff>) -> Result<()> {
        match contribution {
            Contribution::Rows { keys, slots, first } => {
                let keys: Vec<ArrayRef> = keys.iter().map(|&key| rows.column(key).clone()).collect();
                let groups = self.number(&keys, rows);
                for (slot, accumulator) in slots.iter().zip(&mut self.accumulators[*first..]) {
                    let argument = slot.argument.map(|column| rows.column(column));
                    let filter = slot.filter.map(|column| rows.column(column));
                    let weights = weights(rows.num_rows(), diffs, argument, filter);
                    accumulator.update(&groups, argument, &weights)?;
                }
            }
            Contribution::Partial { slots } => {
                let mut columns = rows.columns();
                let states = slots.clone().map(|slot| self.accumulators[slot].accumulates().state_types().len());
                let states: Vec<usize> = states.collect();
                let keys = columns.len() - states.iter().sum::<usize>();
                let groups = self.number(&columns[..keys], rows);
                columns = &columns[keys..];
                for (slot, width) in slots.clone().zip(states) {
                    self.accumulators[slot].merge(&groups, &columns[..width]);
                    columns = &columns[width..];
                }
            }
            Contribution::Values { source } => {
                let keys = rows.num_columns() - self.values[*source].batches[0].num_columns();
                let groups = self.number(&rows.columns()[..keys], rows);
                let columns: Vec<usize> = (keys..rows.num_columns()).collect();
                self.values[*source].take(rows.project(&columns)?, &groups, diffs);
            }
        }
        Ok(())
    }

    fn number(&mut self, keys: &[ArrayRef], rows: &RecordBatch) -> Vec<u32> {
        let groups = self.groups.number(keys, rows.num_rows());
        self.resize();
        groups
    }

    fn resize(&mut self) {
        let groups = self.groups.len();
        self.accumulators.iter_mut().for_each(|accumulator| accumulator.resize(groups));
        self.values.iter_mut().for_each(|values| values.places.resize(groups, None));
    }

    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// Keys and states of the accumulators `slots`, as rows for [`Contribution::Partial`].
    pub fn into_partial(self, layout: &StateLayout, slots: Range<usize>) -> RecordBatch {
        let changed = self.changed();
        let keys = self.groups.into_rows();
        let mut columns = keys.columns().to_vec();
        columns.extend(slots.clone().flat_map(|slot| self.accumulators[slot].state()));
        let rows = batch_of(&layout.partial_schema(slots), columns, keys.num_rows());
        if changed.len() == rows.num_rows() { rows } else { take_rows(&rows, &changed) }
    }

    /// The groups for which anything is left after adding up.
    pub fn changed(&self) -> Vec<u32> {
        let mut marks = vec![false; self.groups.len()];
        self.accumulators.iter().for_each(|accumulator| accumulator.mark_nonzero(&mut marks));
        for values in &self.values {
            marks.iter_mut().zip(&values.places).for_each(|(mark, place)| *mark |= place.is_some());
        }
        (0..marks.len() as u32).filter(|&group| marks[group as usize]).collect()
    }

    /// The tally as columns, one row per group.
    pub fn finish(self) -> Tallied {
        let states = self.accumulators.iter().map(Accumulator::state).collect();
        Tallied { keys: self.groups.into_rows(), states, values: self.values.into_iter().map(GivenValues).collect() }
    }
}

impl Values {
    fn take(&mut self, rows: RecordBatch, groups: &[u32], diffs: &Stamps<Diff>) {
        let batch = self.batches.len();
        self.batches.push(rows);
        for (row, &group) in groups.iter().enumerate() {
            let place = &mut self.places[group as usize];
            match diffs.get(row) > 0 {
                true => *place = Some((batch, row)),
                // What leaves without a successor leaves the default behind.
                false => *place = place.or(Some((0, 0))),
            }
        }
    }
}

/// What a tally came to.
pub struct Tallied {
    pub keys: RecordBatch,
    /// Per accumulator, the columns of its states.
    pub states: Vec<Vec<ArrayRef>>,
    pub values: Vec<GivenValues>,
}

/// The values that groups were given by one source.
pub struct GivenValues(Values);

impl GivenValues {
    /// The values of some groups: those given now, else what stood in the row `old` says of `state` from column `from` on,
    /// else the defaults.
    pub fn columns(&self, groups: &[u32], old: &[Option<usize>], state: &RecordBatch, from: usize) -> Vec<ArrayRef> {
        let Values { batches, places } = &self.0;
        let width = batches[0].num_columns();
        let stood: Vec<usize> = (from..from + width).collect();
        let stood = state.project(&stood).expect("the columns of a state");
        let sources: Vec<&RecordBatch> = batches.iter().chain([&stood]).collect();
        let pick = |(&group, old): (&u32, &Option<usize>)| match (places[group as usize], old) {
            (Some(place), _) => place,
            (None, Some(row)) => (batches.len(), *row),
            (None, None) => (0, 0),
        };
        let picks: Vec<(usize, usize)> = groups.iter().zip(old).map(pick).collect();
        (0..width).map(|column| interleave_column(&sources, column, &picks)).collect()
    }
}
