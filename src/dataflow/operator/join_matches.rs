//! Which rows of two lists of batches have equal key hashes: candidates for a join, found a bounded number at a time.
//!
//! Both lists are walked in the order of key hashes, each seeking what the other has next, so that a small change costs
//! little against a large state. A key with many rows on both sides is given out in parts, too.

use super::super::chunk::ArrowChunk;
use super::super::collection::Batch;
use super::super::compare::RowComparator;
use super::super::cursor::Position;
use super::super::page::Opened;
use crate::types::{Diff, Time};

/// Pairs that are given at once.
pub const MATCHES: usize = 8192;

/// Keys that are looked for before giving what was found, be it nothing.
const STEP_KEYS: usize = 65_536;

/// An update of one side, by the number of its chunk.
#[derive(Clone, Copy)]
struct Found {
    chunk: usize,
    row: usize,
    time: Time,
    diff: Diff,
}

/// One side of a join: batches, and how far they have been walked.
pub struct Side {
    batches: Vec<(Opened<Batch>, Position)>,
    key: Vec<usize>,
    skips_null_keys: bool,
    /// The rows of the key at hand.
    found: Vec<Found>,
    /// The chunks that found rows and given pairs are in: per batch, the number of the latest one and its number here.
    chunks: Vec<ArrowChunk>,
    latest: Vec<Option<(usize, usize)>>,
}

/// Pairs of rows with equal key hashes; a row is given by the number of its chunk.
#[derive(Default)]
pub struct Candidates {
    pub left_chunks: Vec<ArrowChunk>,
    pub right_chunks: Vec<ArrowChunk>,
    pub left: Vec<(usize, usize)>,
    pub right: Vec<(usize, usize)>,
    pub times: Vec<Time>,
    pub diffs: Vec<Diff>,
}

/// A walk through both sides.
pub struct Matches {
    pub left: Side,
    pub right: Side,
    /// No pair is of use at an earlier time.
    floor: Time,
    /// How many of the left rows of the key at hand are done, and of the right ones for the next.
    done: (usize, usize),
}

impl Side {
    pub fn new(batches: Vec<Batch>, key: Vec<usize>, skips_null_keys: bool) -> Self {
        let latest = vec![None; batches.len()];
        let batches = batches.into_iter().map(|batch| (Opened::new(batch), Position::default())).collect();
        Side { batches, key, skips_null_keys, found: vec![], chunks: vec![], latest }
    }

    /// The least key hash that is left.
    fn key_hash(&self) -> Option<u64> {
        self.batches.iter().filter_map(|(batch, place)| place.key_hash(batch)).min()
    }

    fn seek(&mut self, key_hash: u64) {
        self.batches.iter_mut().for_each(|(batch, place)| *place = place.seek(batch, key_hash));
    }

    /// Finds the rows with this key hash.
    fn find(&mut self, key_hash: u64, floor: Time) {
        let Side { batches, found, chunks, latest, .. } = self;
        for ((batch, place), latest) in batches.iter_mut().zip(latest) {
            let end = place.past(batch, key_hash);
            for (number, rows) in place.ranges_to(batch, end).filter(|(_, rows)| !rows.is_empty()) {
                let chunk = batch.chunk(number);
                let here = match latest {
                    Some((of, here)) if *of == number => *here,
                    _ => {
                        chunks.push(chunk.clone());
                        chunks.len() - 1
                    }
                };
                *latest = Some((number, here));
                found.extend(rows.map(|row| {
                    let time = chunk.time(row).max(floor);
                    Found { chunk: here, row, time, diff: chunk.diff(row) }
                }));
            }
            *place = end;
        }
        if self.skips_null_keys {
            let (chunks, key) = (&self.chunks, &self.key);
            self.found.retain(|found| !has_null(&chunks[found.chunk], key, found.row));
        }
        if self.found.iter().any(|found| found.diff < 0) {
            self.consolidate();
        }
    }

    /// Adds up updates of one row at one time: a row that has often changed would match as often, and for nothing.
    fn consolidate(&mut self) {
        let Side { found, chunks, .. } = self;
        let position = |found: &Found| (chunks[found.chunk].row_hashes()[found.row], found.time);
        found.sort_by_key(position);
        let mut sums: Vec<Found> = vec![];
        for run in found.chunk_by(|left, right| position(left) == position(right)) {
            let start = sums.len();
            for update in run {
                let same = sums[start..].iter_mut().find(|sum| {
                    let (left, right) = (&chunks[sum.chunk], &chunks[update.chunk]);
                    RowComparator::new(left.rows().columns(), right.rows().columns()).equal(sum.row, update.row)
                });
                match same {
                    Some(sum) => sum.diff += update.diff,
                    None => sums.push(*update),
                }
            }
        }
        sums.retain(|sum| sum.diff != 0);
        *found = sums;
    }

    /// Lets go of chunks, since no found row is left.
    fn forget(&mut self) {
        self.chunks.clear();
        self.batches.iter_mut().for_each(|(batch, _)| batch.close());
        self.latest.fill(None);
    }
}

fn has_null(chunk: &ArrowChunk, key: &[usize], row: usize) -> bool {
    key.iter().any(|&column| chunk.rows().column(column).is_null(row))
}

impl Matches {
    pub fn new(left: Side, right: Side, floor: Time) -> Self {
        Matches { left, right, floor, done: (0, 0) }
    }

    /// The next pairs, perhaps few or none; `None` after the last.
    pub fn next(&mut self) -> Option<Candidates> {
        let mut candidates = Candidates::default();
        for _ in 0..STEP_KEYS {
            if self.left.found.is_empty() && !self.find() {
                return (!candidates.left.is_empty()).then(|| self.give(candidates));
            }
            if !self.pair(&mut candidates) {
                break;
            }
            self.left.found.clear();
            self.right.found.clear();
            self.done = (0, 0);
        }
        Some(self.give(candidates))
    }

    /// Finds the next key hash that both sides have, and its rows.
    fn find(&mut self) -> bool {
        while let (Some(left), Some(right)) = (self.left.key_hash(), self.right.key_hash()) {
            if left < right {
                self.left.seek(right);
            } else if right < left {
                self.right.seek(left);
            } else {
                self.left.find(left, self.floor);
                self.right.find(right, self.floor);
                return true;
            }
        }
        false
    }

    /// Pairs the rows of the key at hand; false if there were too many for now.
    fn pair(&mut self, candidates: &mut Candidates) -> bool {
        let (left_done, right_done) = &mut self.done;
        while let Some(left) = self.left.found.get(*left_done) {
            let room = MATCHES - candidates.left.len();
            let rights = &self.right.found[*right_done..];
            let rights = &rights[..rights.len().min(room)];
            for right in rights {
                candidates.left.push((left.chunk, left.row));
                candidates.right.push((right.chunk, right.row));
                candidates.times.push(left.time.max(right.time));
                candidates.diffs.push(left.diff * right.diff);
            }
            *right_done += rights.len();
            if *right_done < self.right.found.len() {
                return false;
            }
            (*left_done, *right_done) = (*left_done + 1, 0);
            if candidates.left.len() == MATCHES && *left_done < self.left.found.len() {
                return false;
            }
        }
        true
    }

    fn give(&mut self, candidates: Candidates) -> Candidates {
        let (left_chunks, right_chunks) = (self.left.chunks.clone(), self.right.chunks.clone());
        if self.left.found.is_empty() {
            self.left.forget();
            self.right.forget();
        }
        Candidates { left_chunks, right_chunks, ..candidates }
    }
}
