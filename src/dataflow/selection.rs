//! The output of a merge while it is made: which rows of which chunks come next.

use std::cmp::Ordering;
use std::collections::VecDeque;

use super::chunk::{ArrowChunk, CHUNK_BYTES, CHUNK_ROWS};
use super::compare::RowComparator;
use super::page::Page;
use crate::types::{Diff, Stamps, Time};

/// Bytes of the chunks that one gathering reads; what it writes is no more, and offsets are 32 bits wide.
const SOURCE_BYTES: usize = 8 * CHUNK_BYTES;

/// Rows in order, not copied yet.
#[derive(Default)]
pub struct Selection {
    sources: Vec<ArrowChunk>,
    source_bytes: usize,
    picks: Vec<(usize, usize)>,
    times: Vec<Time>,
    diffs: Vec<Diff>,
}

impl Selection {
    /// Merges two chunks from the given rows on, until one of them ends.
    pub fn merge(
        &mut self,
        (left, left_at): (&ArrowChunk, &mut usize),
        (right, right_at): (&ArrowChunk, &mut usize),
        out: &mut VecDeque<Page>,
    ) {
        let values = RowComparator::new(left.rows().columns(), right.rows().columns());
        let (mut left_source, mut right_source) = self.sources(left, right, out);
        while *left_at < left.len() && *right_at < right.len() {
            if self.picks.len() == CHUNK_ROWS {
                self.flush(out);
                (left_source, right_source) = self.sources(left, right, out);
            }
            let (left_time, right_time) = (left.time(*left_at), right.time(*right_at));
            let rows = left.compare(*left_at, right, *right_at, &values);
            match rows.then(left_time.cmp(&right_time)) {
                Ordering::Less => {
                    self.pick((left_source, *left_at), left_time, left.diff(*left_at));
                    *left_at += 1;
                }
                Ordering::Greater => {
                    self.pick((right_source, *right_at), right_time, right.diff(*right_at));
                    *right_at += 1;
                }
                Ordering::Equal => {
                    let diff = left.diff(*left_at) + right.diff(*right_at);
                    if diff != 0 {
                        self.pick((left_source, *left_at), left_time, diff);
                    }
                    *left_at += 1;
                    *right_at += 1;
                }
            }
        }
    }

    /// The numbers of two chunks among the sources.
    fn sources(&mut self, left: &ArrowChunk, right: &ArrowChunk, out: &mut VecDeque<Page>) -> (usize, usize) {
        if self.source_bytes + left.bytes() + right.bytes() > SOURCE_BYTES {
            self.flush(out);
        }
        (self.source(left), self.source(right))
    }

    fn source(&mut self, chunk: &ArrowChunk) -> usize {
        let latest = self.sources.len().saturating_sub(2);
        let known = self.sources[latest..].iter().position(|source| source.is(chunk));
        known.map(|position| latest + position).unwrap_or_else(|| {
            self.source_bytes += chunk.bytes();
            self.sources.push(chunk.clone());
            self.sources.len() - 1
        })
    }

    fn pick(&mut self, pick: (usize, usize), time: Time, diff: Diff) {
        self.picks.push(pick);
        self.times.push(time);
        self.diffs.push(diff);
    }

    /// Copies the selected rows into a chunk.
    pub fn flush(&mut self, out: &mut VecDeque<Page>) {
        let Selection { sources, picks, times, diffs, .. } = std::mem::take(self);
        if !picks.is_empty() {
            let chunk = ArrowChunk::gather(&sources, &picks, Stamps::of(times), Stamps::of(diffs));
            out.push_back(Page::new(chunk));
        }
    }
}
