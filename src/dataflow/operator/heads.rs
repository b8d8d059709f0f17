//! Reading the first rows of a key at several times at once, by merging the sorted runs that its batches hold.

use std::cmp::Ordering;

use super::super::compare::RowComparator;
use super::super::cursor::Position;
use super::changed::{KeyRange, Slice};
use super::gather::RowAt;
use super::matcher::KeyMatcher;
use crate::types::{Diff, Time};

/// From which end of the order rows are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    First,
    Last,
}

/// The first rows of a key before its first change, and after each.
pub struct Heads {
    /// Different rows, in order.
    pub rows: Vec<RowAt>,
    /// One for before, then one per time of the change: rows, by number, and how many copies there are.
    pub heads: Vec<Vec<(usize, u64)>>,
}

impl Heads {
    /// Reads until every head has `wanted` copies or the key ends. Rows for which `counts` is false are passed over.
    pub fn read(
        slice: &Slice,
        matcher: &mut KeyMatcher,
        key: usize,
        end: End,
        wanted: u64,
        counts: impl Fn(RowAt) -> bool,
    ) -> Heads {
        let times = &slice.changes[key].times;
        let mut heads = Heads { rows: vec![], heads: vec![vec![]; times.len() + 1] };
        let mut missing = vec![wanted; times.len() + 1];
        let mut merge = Merge::new(slice, matcher, key, end);
        let mut changes = vec![0; times.len() + 1];
        while missing.iter().any(|&missing| missing > 0) {
            let Some(row) = merge.next(times, &mut changes) else {
                break;
            };
            if counts(row) {
                heads.add(row, &changes, &mut missing);
            }
        }
        heads
    }

    /// Adds a row that changed by `changes` before, and at each time.
    fn add(&mut self, row: RowAt, changes: &[Diff], missing: &mut [u64]) {
        let (mut copies, mut number) = (0, None);
        for ((head, missing), change) in self.heads.iter_mut().zip(missing).zip(changes) {
            copies += change;
            let taken = (copies.max(0) as u64).min(*missing);
            if taken > 0 {
                let number = *number.get_or_insert_with(|| {
                    self.rows.push(row);
                    self.rows.len() - 1
                });
                head.push((number, taken));
                *missing -= taken;
            }
        }
    }
}

/// A key's rows from all batches in order.
struct Merge<'a> {
    slice: &'a Slice,
    matcher: &'a mut KeyMatcher,
    key: usize,
    end: End,
    runs: Vec<Run>,
}

/// The rest of a key's rows in one batch.
struct Run {
    batch: usize,
    next: Position,
    /// Where it ends: exclusive when reading forward, inclusive when reading backward.
    stop: Position,
}

impl<'a> Merge<'a> {
    fn new(slice: &'a Slice, matcher: &'a mut KeyMatcher, key: usize, end: End) -> Self {
        let mut merge = Merge { slice, matcher, key, end, runs: vec![] };
        for range in slice.ranges(key) {
            let mut run = merge.run(range);
            if merge.settle(&mut run) {
                merge.runs.push(run);
            }
        }
        merge
    }

    fn run(&self, range: &KeyRange) -> Run {
        let KeyRange { batch, start, end, .. } = *range;
        match self.end {
            End::First => Run { batch, next: start, stop: end },
            End::Last => Run { batch, next: self.before(batch, end), stop: start },
        }
    }

    fn before(&self, batch: usize, at: Position) -> Position {
        match at.row {
            0 => Position { chunk: at.chunk - 1, row: self.slice.batches[batch].page(at.chunk - 1).len() - 1 },
            row => Position { chunk: at.chunk, row: row - 1 },
        }
    }

    /// Moves a run one row on; false at its end.
    fn step(&self, run: &mut Run) -> bool {
        match self.end {
            End::First => {
                run.next.row += 1;
                if run.next.row == self.slice.batches[run.batch].page(run.next.chunk).len() {
                    run.next = Position { chunk: run.next.chunk + 1, row: 0 };
                }
                run.next < run.stop
            }
            End::Last if run.next == run.stop => false,
            End::Last => {
                run.next = self.before(run.batch, run.next);
                true
            }
        }
    }

    /// Moves a run to the next row of the key, which may be where it stands; false if there is none.
    fn settle(&mut self, run: &mut Run) -> bool {
        while !self.matcher.matches(&self.slice.batches, self.key, RowAt::new(run.batch, run.next)) {
            if !self.step(run) {
                return false;
            }
        }
        true
    }

    fn order(&self, left: RowAt, right: RowAt) -> Ordering {
        let (left_chunk, right_chunk) = (self.slice.chunk(left), self.slice.chunk(right));
        let values = RowComparator::new(left_chunk.rows().columns(), right_chunk.rows().columns());
        let order = left_chunk.compare(left.row, right_chunk, right.row, &values);
        if self.end == End::First { order } else { order.reverse() }
    }

    /// The next row; `changes` tells by how much it changed before and at each of the times.
    fn next(&mut self, times: &[Time], changes: &mut [Diff]) -> Option<RowAt> {
        let at = |run: &Run| RowAt::new(run.batch, run.next);
        let first = self.runs.iter().map(at).min_by(|left, right| self.order(*left, *right))?;
        changes.fill(0);
        let mut number = 0;
        while number < self.runs.len() {
            let mut open = true;
            while open && self.is_same(first, at(&self.runs[number])) {
                let row = at(&self.runs[number]);
                let place = self.slice.time(row).map_or(0, |time| times.partition_point(|&known| known < time) + 1);
                changes[place] += self.slice.chunk(row).diff(row.row);
                let Run { batch, next, stop } = self.runs[number];
                let mut run = Run { batch, next, stop };
                open = self.step(&mut run) && self.settle(&mut run);
                self.runs[number] = run;
            }
            if open {
                number += 1;
            } else {
                self.runs.swap_remove(number);
            }
        }
        Some(first)
    }

    /// Whether two rows are equal. One chunk has a row twice only at different times.
    fn is_same(&self, left: RowAt, right: RowAt) -> bool {
        left == right || self.order(left, right).is_eq()
    }
}
