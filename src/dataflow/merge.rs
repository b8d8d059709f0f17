//! What differential asks of chunks: merging, splitting and compacting sorted sequences of pages.

use std::collections::VecDeque;

use differential_dataflow::trace::chunk::Chunk;
use timely::progress::Antichain;
use timely::progress::frontier::AntichainRef;

use super::chunk::{ArrowChunk, CHUNK_BYTES, CHUNK_ROWS};
use super::compare::RowComparator;
use super::memory::settled;
use super::page::Page;
use super::selection::Selection;
use crate::types::{Diff, Stamps, Time};

impl Chunk for Page {
    type Time = Time;
    const TARGET: usize = CHUNK_ROWS;

    fn len(&self) -> usize {
        Page::len(self)
    }

    fn merge(left: &mut VecDeque<Self>, right: &mut VecDeque<Self>, out: &mut VecDeque<Self>) {
        let mut selection = Selection::default();
        let (mut left_at, mut right_at) = (0, 0);
        while let (Some(left_page), Some(right_page)) = (left.front(), right.front()) {
            if left_at == 0 && is_below(left_page, right_page, right_at) {
                selection.flush(out);
                out.extend(left.pop_front());
                continue;
            }
            if right_at == 0 && is_below(right_page, left_page, left_at) {
                selection.flush(out);
                out.extend(right.pop_front());
                continue;
            }
            selection.merge((&left_page.open(), &mut left_at), (&right_page.open(), &mut right_at), out);
            if left_at == left_page.len() {
                left.pop_front();
                left_at = 0;
            }
            if right_at == right_page.len() {
                right.pop_front();
                right_at = 0;
            }
        }
        selection.flush(out);
        for (queue, at) in [(left, left_at), (right, right_at)] {
            if let Some(rest) = queue.front_mut().filter(|_| at > 0) {
                *rest = rest.clone().slice(at, rest.len() - at);
            }
        }
    }

    fn extract(
        input: &mut VecDeque<Self>,
        frontier: AntichainRef<Time>,
        residual: &mut Antichain<Time>,
        keep: &mut VecDeque<Self>,
        ship: &mut VecDeque<Self>,
    ) {
        let Some(page) = input.pop_front() else { return };
        let chunk = page.open();
        let is_kept = |row: u32| frontier.less_equal(&chunk.time(row as usize));
        let (kept, shipped): (Vec<u32>, Vec<u32>) = (0..chunk.len() as u32).partition(|&row| is_kept(row));
        residual.extend(kept.iter().map(|&row| chunk.time(row as usize)).min());
        for (rows, queue) in [(kept, keep), (shipped, ship)] {
            if rows.len() == chunk.len() {
                queue.push_back(page.clone());
            } else if !rows.is_empty() {
                queue.push_back(Page::new(chunk.take(&rows, chunk.times().take(&rows), chunk.diffs().take(&rows))));
            }
        }
    }

    fn advance(input: &mut VecDeque<Self>, frontier: AntichainRef<Time>, done: bool, out: &mut VecDeque<Self>) {
        let since = frontier.iter().next().copied().unwrap_or_default();
        while let Some(page) = input.pop_front() {
            if input.is_empty() && !done {
                // Its last row may go on in the chunk that comes next.
                return input.push_front(page);
            }
            let next = input.pop_front();
            if let Some(next) = advance_page(page, since, next, out) {
                input.push_front(next);
            }
        }
    }

    fn settle(input: &mut VecDeque<Self>, done: bool, out: &mut VecDeque<Self>) {
        let mut carry: Vec<Page> = vec![];
        let (mut rows, mut bytes) = (0, 0);
        for page in std::mem::take(input) {
            for piece in pieces(page) {
                let piece_bytes = piece.chunk().bytes();
                if rows + piece.len() > CHUNK_ROWS || (rows > 0 && bytes + piece_bytes > CHUNK_BYTES) {
                    out.extend(packed(std::mem::take(&mut carry)).map(settled));
                    (rows, bytes) = (0, 0);
                }
                (rows, bytes) = (rows + piece.len(), bytes + piece_bytes);
                carry.push(piece);
            }
        }
        let last = packed(carry);
        if done { out.extend(last.map(settled)) } else { input.extend(last) }
    }
}

/// Whether all of a page comes before the other's row at `at` and everything after it.
fn is_below(page: &Page, other: &Page, at: usize) -> bool {
    if page.last_hash() < other.first_hash() {
        return true;
    }
    let (chunk, other) = (page.open(), other.open());
    let values = RowComparator::new(chunk.rows().columns(), other.rows().columns());
    chunk.compare(chunk.len() - 1, &other, at, &values).is_lt()
}

/// Advances the times of a page to `since` and consolidates it. If its last update goes on in `next`, it is added there.
fn advance_page(page: Page, since: Time, next: Option<Page>, out: &mut VecDeque<Page>) -> Option<Page> {
    let chunk = page.open();
    let last = chunk.len() - 1;
    let time = |row: usize| chunk.time(row).max(since);
    let goes_on = next.as_ref().filter(|next| chunk.key_hashes()[last] == next.first_hash()).map(Page::open);
    let goes_on = goes_on.filter(|next| {
        let values = RowComparator::new(chunk.rows().columns(), next.rows().columns());
        time(last) == next.time(0).max(since) && chunk.compare(last, next, 0, &values).is_eq()
    });
    let values = RowComparator::new(chunk.rows().columns(), chunk.rows().columns());
    // Updates with one time are of different rows, and updates that are not advanced stay different.
    let may_join = match chunk.times() {
        Stamps::Same(_) => false,
        Stamps::Each(times) => times.iter().any(|&time| time < since),
    };
    let joins = |row: usize| may_join && time(row - 1) == time(row) && chunk.repeats(row, &values);
    let untouched = goes_on.is_none() && chunk.diff(0) != 0 && !(1..=last).any(joins);
    if untouched {
        out.push_back(match chunk.times().least() < since {
            true => Page::new(chunk.restamped(chunk.times().map(|time| time.max(since)), chunk.diffs().clone())),
            false => page,
        });
        return next;
    }
    let (mut rows, mut diffs): (Vec<u32>, Vec<Diff>) = (vec![0], vec![chunk.diff(0)]);
    for row in 1..=last {
        match diffs.last_mut().filter(|_| joins(row)) {
            Some(diff) => *diff += chunk.diff(row),
            None => {
                rows.push(row as u32);
                diffs.push(chunk.diff(row));
            }
        }
    }
    let next = match goes_on {
        Some(next) => {
            rows.pop();
            let mut next_diffs = next.diffs().to_vec(next.len());
            next_diffs[0] += diffs.pop().expect("a chunk is not empty");
            Some(Page::new(next.restamped(next.times().clone(), Stamps::of(next_diffs))))
        }
        None => next,
    };
    let (rows, diffs): (Vec<u32>, Vec<Diff>) = rows.into_iter().zip(diffs).filter(|&(_, diff)| diff != 0).unzip();
    if !rows.is_empty() {
        let times = Stamps::of(rows.iter().map(|&row| time(row as usize)).collect());
        out.push_back(Page::new(chunk.take(&rows, times, Stamps::of(diffs))));
    }
    next
}

/// A page in pieces that keep the limits.
fn pieces(page: Page) -> Vec<Page> {
    let chunk = page.chunk();
    let piece_rows = chunk.rows_within(CHUNK_BYTES);
    if chunk.len() <= piece_rows {
        return vec![page];
    }
    let starts = (0..chunk.len()).step_by(piece_rows);
    starts.map(|start| Page::new(chunk.slice(start, piece_rows.min(chunk.len() - start)))).collect()
}

/// Pages as one, in buffers that hold little else.
fn packed(mut pages: Vec<Page>) -> Option<Page> {
    match pages.as_slice() {
        [] => None,
        [one] if one.chunk().held_rows() <= 2 * one.len() => pages.pop(),
        _ => {
            let chunks: Vec<ArrowChunk> = pages.iter().map(Page::open).collect();
            Some(Page::new(ArrowChunk::concat(&chunks)))
        }
    }
}
