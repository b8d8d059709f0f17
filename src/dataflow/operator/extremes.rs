//! min and max: an ordered arrangement of a group's values, of which only the ends are read.
//!
//! min and max of one argument share the arrangement: its rows are the keys and the value, so that a value that many rows
//! have is one row. Rows that do not count (filtered out, or NULL) stay in it with a NULL value, which comes last: so each
//! group that exists has a row, and the first row of a group tells both that it exists and what its least value is.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, UInt32Array};
use arrow::compute::{nullif, take};
use arrow::datatypes::{Field, Schema, SchemaRef};

use super::super::collection::{Collection, Stream};
use super::super::columns::batch_of;
use super::super::context::Context;
use super::super::layout::Layout;
use super::super::plan::SortKey;
use super::changed::{Slice, changed};
use super::gather::{Gather, RowAt};
use super::heads::{End, Heads};
use super::matcher::KeyMatcher;
use super::results::Changes;
use super::stateless;
use crate::types::{Delta, Diff, Stamps, Time};

/// min, max or both of one argument.
pub struct Extremes {
    pub argument: usize,
    pub filter: Option<usize>,
    pub least: bool,
    pub greatest: bool,
}

impl Extremes {
    /// The columns that a group is given: the least value, the greatest, or both.
    pub fn fields(&self, schema: &SchemaRef) -> Vec<Field> {
        let field = schema.field(self.argument).clone().with_nullable(true);
        vec![field; self.least as usize + self.greatest as usize]
    }
}

/// Rows of keys and values: one per group that exists.
pub fn extremes<'s>(input: &Collection<'s>, keys: &[usize], part: &Extremes, context: &mut Context<'s>) -> Stream<'s> {
    let key_fields: Vec<Field> = keys.iter().map(|&key| input.schema.field(key).clone()).collect();
    let value = input.schema.field(part.argument).clone().with_nullable(true);
    let schema: SchemaRef = Arc::new(Schema::new(key_fields.iter().cloned().chain([value]).collect::<Vec<_>>()));
    let values = values(input, keys, part, schema.clone());
    // Without min the first row is the greatest.
    let order = SortKey { column: keys.len(), descending: !part.least, nulls_first: false };
    let key: Vec<usize> = (0..keys.len()).collect();
    let layout = Layout::ordered(schema.clone(), key.clone(), vec![order], context.hash_seed);
    let arranged = context.arrange(values, &layout, "min and max");
    let output: SchemaRef =
        Arc::new(Schema::new(key_fields.into_iter().chain(part.fields(&input.schema)).collect::<Vec<_>>()));
    let both = part.least && part.greatest;
    let logic = move |slice: &Slice| ends(slice, &key, both, &output);
    changed("min and max", arranged, Box::new(logic), context).0
}

/// Keys, and the value if it counts.
fn values<'s>(input: &Collection<'s>, keys: &[usize], part: &Extremes, schema: SchemaRef) -> Stream<'s> {
    let (keys, argument, filter) = (keys.to_vec(), part.argument, part.filter);
    stateless::each(input.rows.clone(), "min and max values", move |delta| {
        let rows = &delta.rows;
        let mut columns: Vec<ArrayRef> = keys.iter().map(|&key| rows.column(key).clone()).collect();
        let value = rows.column(argument);
        columns.push(match filter {
            None => value.clone(),
            Some(filter) => {
                let filter = rows.column(filter).as_boolean();
                let passed_over = (0..rows.num_rows()).map(|row| Some(filter.is_null(row) || !filter.value(row)));
                nullif(value, &passed_over.collect::<BooleanArray>()).expect("both have a value per row")
            }
        });
        Delta { rows: batch_of(&schema, columns, rows.num_rows()), times: delta.times, diffs: delta.diffs }
    })
}

/// The groups' new ends, and the retraction of the old ones.
fn ends(slice: &Slice, key: &[usize], both: bool, schema: &SchemaRef) -> Changes {
    let value = key.len();
    let mut matcher = KeyMatcher::new(&slice.keys, key, slice.batches.len());
    let mut out = Ends::new(slice);
    for number in 0..slice.changes.len() {
        let first = Heads::read(slice, &mut matcher, number, End::First, 1, |_| true);
        let last = both.then(|| {
            let is_value = |at: RowAt| slice.chunk(at).rows().column(value).is_valid(at.row);
            Heads::read(slice, &mut matcher, number, End::Last, 1, is_value)
        });
        let state = |at: usize| (first.head(at), last.as_ref().and_then(|last| last.head(at)));
        for (at, &time) in slice.changes[number].times.iter().enumerate() {
            let (old, new) = (state(at), state(at + 1));
            if old != new {
                out.give(number, old, time, -1);
                out.give(number, new, time, 1);
            }
        }
    }
    out.into_changes(value, both, schema)
}

impl Heads {
    /// The first row of a head.
    fn head(&self, at: usize) -> Option<RowAt> {
        self.heads[at].first().map(|&(row, _)| self.rows[row])
    }
}

/// Rows of the output that are being made.
struct Ends<'a> {
    slice: &'a Slice,
    keys: Vec<u32>,
    first: Gather<'a>,
    last: Gather<'a>,
    times: Vec<Time>,
    diffs: Vec<Diff>,
}

impl<'a> Ends<'a> {
    fn new(slice: &'a Slice) -> Self {
        let (first, last) = (Gather::new(&slice.batches), Gather::new(&slice.batches));
        Ends { slice, keys: vec![], first, last, times: vec![], diffs: vec![] }
    }

    /// A group without a first row does not exist.
    fn give(&mut self, key: usize, (first, last): (Option<RowAt>, Option<RowAt>), time: Time, diff: Diff) {
        if first.is_some() {
            self.keys.push(key as u32);
            self.first.pick(first);
            self.last.pick(last);
            self.times.push(time);
            self.diffs.push(diff);
        }
    }

    fn into_changes(self, value: usize, both: bool, schema: &SchemaRef) -> Changes {
        if self.keys.is_empty() {
            return Changes::default();
        }
        let rows = self.keys.len();
        let keys = UInt32Array::from(self.keys);
        let key = |column: &ArrayRef| take(column, &keys, None).expect("the keys are there");
        let mut columns: Vec<ArrayRef> = self.slice.keys.columns().iter().map(key).collect();
        columns.push(self.first.column(value));
        columns.extend(both.then(|| self.last.column(value)));
        let rows = batch_of(schema, columns, rows);
        let delta = Delta { rows, times: Stamps::of(self.times), diffs: Stamps::of(self.diffs) };
        Changes { rows: vec![delta], errors: vec![] }
    }
}
