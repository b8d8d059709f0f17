//! ORDER BY with LIMIT, per key: an ordered arrangement of the rows, of which only the first are read.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::SchemaRef;

use super::super::collection::Collection;
use super::super::columns::batch_of;
use super::super::context::Context;
use super::super::layout::Layout;
use super::super::plan::SortKey;
use super::changed::{Slice, changed};
use super::gather::{Gather, RowAt};
use super::heads::{End, Heads};
use super::matcher::KeyMatcher;
use super::results::Changes;
use crate::types::{Delta, Diff, Stamps, Time};

/// Which rows of a key are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub offset: u64,
    pub limit: Option<u64>,
    /// Whether a last column tells each row's position.
    pub row_number: bool,
}

/// The rows of [`Plan::TopK`](super::super::plan::Plan::TopK).
pub fn top_k<'s>(
    input: Collection<'s>,
    keys: &[usize],
    order: &[SortKey],
    window: Window,
    schema: &SchemaRef,
    context: &mut Context<'s>,
) -> Collection<'s> {
    let layout = Layout::ordered(input.schema.clone(), keys.to_vec(), order.to_vec(), context.hash_seed);
    let arranged = context.arrange(input.rows, &layout, "top k");
    let (key, output) = (keys.to_vec(), schema.clone());
    let logic = move |slice: &Slice| first_rows(slice, &key, window, &output);
    let (rows, _no_errors) = changed("top k", arranged, Box::new(logic), context);
    Collection { rows, errors: input.errors, schema: schema.clone() }
}

fn first_rows(slice: &Slice, key: &[usize], window: Window, schema: &SchemaRef) -> Changes {
    let wanted = window.limit.map_or(u64::MAX, |limit| limit.saturating_add(window.offset));
    let mut matcher = KeyMatcher::new(&slice.keys, key, slice.batches.len());
    let mut out = Rows { rows: Gather::new(&slice.batches), numbers: vec![], times: vec![], diffs: vec![] };
    for number in 0..slice.changes.len() {
        let heads = Heads::read(slice, &mut matcher, number, End::First, wanted, |_| true);
        for (pair, &time) in heads.heads.windows(2).zip(&slice.changes[number].times) {
            let (old, new) = (window.of(&pair[0]), window.of(&pair[1]));
            match window.row_number {
                true => out.give_positions(&heads.rows, &old, &new, window.offset, time),
                false => out.give_copies(&heads.rows, &old, &new, time),
            }
        }
    }
    out.into_changes(window, schema)
}

impl Window {
    /// The part of a head after the offset.
    fn of(&self, head: &[(usize, u64)]) -> Vec<(usize, u64)> {
        let mut skip = self.offset;
        let rest = |&(row, copies): &(usize, u64)| {
            let skipped = copies.min(skip);
            skip -= skipped;
            (copies > skipped).then_some((row, copies - skipped))
        };
        head.iter().filter_map(rest).collect()
    }
}

/// Rows of the output that are being made.
struct Rows<'a> {
    rows: Gather<'a>,
    numbers: Vec<i64>,
    times: Vec<Time>,
    diffs: Vec<Diff>,
}

impl Rows<'_> {
    fn give(&mut self, row: RowAt, number: u64, time: Time, diff: Diff) {
        self.rows.pick(Some(row));
        self.numbers.push(number as i64);
        self.times.push(time);
        self.diffs.push(diff);
    }

    /// Gives what differs in the number of copies. Rows have ascending numbers.
    fn give_copies(&mut self, rows: &[RowAt], old: &[(usize, u64)], new: &[(usize, u64)], time: Time) {
        let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
        while let Some(row) = [old.peek(), new.peek()].into_iter().flatten().map(|(row, _)| *row).min() {
            let copies = |head: &mut std::iter::Peekable<std::slice::Iter<(usize, u64)>>| {
                head.next_if(|(next, _)| *next == row).map_or(0, |(_, copies)| *copies as Diff)
            };
            let diff = copies(&mut new) - copies(&mut old);
            if diff != 0 {
                self.give(rows[row], 0, time, diff);
            }
        }
    }

    /// Gives what differs at each position.
    fn give_positions(&mut self, rows: &[RowAt], old: &[(usize, u64)], new: &[(usize, u64)], offset: u64, time: Time) {
        let copies = |&(row, copies): &(usize, u64)| std::iter::repeat_n(row, copies as usize);
        let (mut old, mut new) = (old.iter().flat_map(copies), new.iter().flat_map(copies));
        let mut position = offset;
        loop {
            position += 1;
            let (old, new) = (old.next(), new.next());
            if old.is_none() && new.is_none() {
                return;
            }
            if old != new {
                old.into_iter().for_each(|row| self.give(rows[row], position, time, -1));
                new.into_iter().for_each(|row| self.give(rows[row], position, time, 1));
            }
        }
    }

    fn into_changes(self, window: Window, schema: &SchemaRef) -> Changes {
        if self.rows.is_empty() {
            return Changes::default();
        }
        let width = schema.fields().len() - window.row_number as usize;
        let mut columns: Vec<ArrayRef> = (0..width).map(|column| self.rows.column(column)).collect();
        if window.row_number {
            columns.push(Arc::new(Int64Array::from(self.numbers)));
        }
        let rows = batch_of(schema, columns, self.times.len());
        let delta = Delta { rows, times: Stamps::of(self.times), diffs: Stamps::of(self.diffs) };
        Changes { rows: vec![delta], errors: vec![] }
    }
}
