//! From the states of groups to the rows that a fold gives: results, errors, and what of them has changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::kernels::cmp::distinct;
use arrow::datatypes::{DataType, Int64Type, SchemaRef};

use super::super::accumulator::{mean, total};
use super::super::columns::{batch_of, take_rows};
use super::super::errors::error_rows;
use super::tally::StateLayout;
use crate::types::{Delta, Error, Stamps, Time};

/// One column of a fold's output.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// A key or a value, as it stands in the state.
    Column(usize),
    /// The state of a count.
    Count {
        accumulator: usize,
    },
    /// Whether a count is not 0.
    Present {
        accumulator: usize,
    },
    Total {
        accumulator: usize,
        count: usize,
        to: DataType,
    },
    Mean {
        accumulator: usize,
        count: usize,
        to: DataType,
    },
}

/// What a fold gives for each group.
pub struct Results {
    pub outputs: Vec<Output>,
    pub schema: SchemaRef,
}

/// Results of some groups; a group with an error has no row.
struct Computed {
    columns: Vec<ArrayRef>,
    errors: BTreeMap<usize, Error>,
}

/// States of some groups: `groups` numbers the rows, ascending.
pub struct States<'a> {
    pub groups: &'a [u32],
    pub rows: &'a RecordBatch,
}

/// The output's changes at one time.
#[derive(Default)]
pub struct Changes {
    pub rows: Vec<Delta>,
    pub errors: Vec<Delta>,
}

impl Results {
    /// What leaves and what enters when groups go from their old states to their new ones.
    pub fn changes(&self, layout: &StateLayout, old: States, new: States, time: Time) -> Changes {
        let (old_results, new_results) = (self.compute(layout, old.rows), self.compute(layout, new.rows));
        let (same_old, same_new) = self.unchanged(layout, (&old, &old_results), (&new, &new_results));
        let mut changes = Changes::default();
        changes.add(self, old_results, &same_old, Stamps::Same(-1), time);
        changes.add(self, new_results, &same_new, Stamps::Same(1), time);
        changes
    }

    fn compute(&self, layout: &StateLayout, states: &RecordBatch) -> Computed {
        let mut errors = BTreeMap::new();
        let state = |accumulator: usize| &states.columns()[layout.accumulators[accumulator].1.clone()];
        let count = |accumulator: usize| state(accumulator)[0].as_primitive::<Int64Type>();
        let mut column = |output: &Output| match output {
            Output::Column(column) => states.column(*column).clone(),
            Output::Count { accumulator } => state(*accumulator)[0].clone(),
            Output::Present { accumulator } => Arc::new(present(count(*accumulator))),
            Output::Total { accumulator, count: counted, to } => {
                let outcome = total(layout.accumulators[*accumulator].0, state(*accumulator), count(*counted), to);
                errors.extend(outcome.errors);
                outcome.values
            }
            Output::Mean { accumulator, count: counted, to } => {
                let outcome = mean(layout.accumulators[*accumulator].0, state(*accumulator), count(*counted), to);
                errors.extend(outcome.errors);
                outcome.values
            }
        };
        let columns = self.outputs.iter().map(&mut column).collect();
        Computed { columns, errors }
    }

    /// Marks the rows of groups that were there and still are, with the same results.
    fn unchanged(
        &self,
        layout: &StateLayout,
        (old, old_results): (&States, &Computed),
        (new, new_results): (&States, &Computed),
    ) -> (Vec<bool>, Vec<bool>) {
        let (mut same_old, mut same_new) = (vec![false; old.groups.len()], vec![false; new.groups.len()]);
        let pairs = pairs(old.groups, new.groups);
        let (old_rows, new_rows): (Vec<u32>, Vec<u32>) = pairs.iter().copied().unzip();
        let mut same = vec![true; pairs.len()];
        for (number, output) in self.outputs.iter().enumerate() {
            if matches!(output, Output::Column(column) if *column < layout.keys) {
                continue;
            }
            let differ = differ(&old_results.columns[number], &old_rows, &new_results.columns[number], &new_rows);
            same.iter_mut().zip(differ).for_each(|(same, differ)| *same &= !differ);
        }
        for (same, (old_row, new_row)) in same.into_iter().zip(pairs) {
            let (old_row, new_row) = (old_row as usize, new_row as usize);
            let same = same && old_results.errors.get(&old_row) == new_results.errors.get(&new_row);
            (same_old[old_row], same_new[new_row]) = (same, same);
        }
        (same_old, same_new)
    }
}

impl Changes {
    fn add(&mut self, results: &Results, computed: Computed, skip: &[bool], diffs: Stamps<i64>, time: Time) {
        let Computed { columns, errors } = computed;
        let wanted = (0..skip.len()).filter(|row| !skip[*row]);
        let (failed, good): (Vec<usize>, Vec<usize>) = wanted.partition(|row| errors.contains_key(row));
        if !good.is_empty() {
            let rows = batch_of(&results.schema, columns, skip.len());
            let good: Vec<u32> = good.into_iter().map(|row| row as u32).collect();
            let rows = if good.len() == rows.num_rows() { rows } else { take_rows(&rows, &good) };
            self.rows.push(Delta { rows, times: Stamps::Same(time), diffs: diffs.clone() });
        }
        if !failed.is_empty() {
            let failed: Vec<Error> = failed.into_iter().map(|row| errors[&row].clone()).collect();
            self.errors.push(Delta { rows: error_rows(&failed), times: Stamps::Same(time), diffs });
        }
    }
}

fn present(counts: &Int64Array) -> BooleanArray {
    counts.values().iter().map(|&count| Some(count != 0)).collect()
}

/// Positions in both of what is in both; both ascend.
fn pairs(left: &[u32], right: &[u32]) -> Vec<(u32, u32)> {
    let mut position = 0;
    let pair = |(at, &group): (usize, &u32)| {
        while right.get(position).is_some_and(|&other| other < group) {
            position += 1;
        }
        (right.get(position) == Some(&group)).then_some((at as u32, position as u32))
    };
    left.iter().enumerate().filter_map(pair).collect()
}

/// Whether rows of two columns differ, pair by pair; what can't be compared counts as different.
fn differ(left: &ArrayRef, left_rows: &[u32], right: &ArrayRef, right_rows: &[u32]) -> Vec<bool> {
    let all = |rows: &[u32], column: &ArrayRef| rows.len() == column.len();
    let pick = |column: &ArrayRef, rows: &[u32]| match all(rows, column) {
        true => column.clone(),
        false => arrow::compute::take(column, &arrow::array::UInt32Array::from(rows.to_vec()), None)
            .expect("the rows are there"),
    };
    match distinct(&pick(left, left_rows), &pick(right, right_rows)) {
        Ok(differ) => differ.values().iter().collect(),
        Err(_) => vec![true; left_rows.len()],
    }
}
