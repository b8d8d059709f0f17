//! Finding keys in sorted chunks: what joins, reductions and reads have in common.

use std::ops::Range;

use super::chunk::ArrowChunk;

/// A place in one sorted sequence of chunks, which only moves on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place {
    chunk: usize,
    row: usize,
}

impl Place {
    /// The key hash at this place; none at the end.
    pub fn key_hash(&self, chunks: &[ArrowChunk]) -> Option<u64> {
        chunks.get(self.chunk).map(|chunk| chunk.key_hashes()[self.row])
    }

    /// Moves to the first row whose key hash is at least `key_hash`.
    pub fn seek(&mut self, chunks: &[ArrowChunk], key_hash: u64) {
        let is_below = |chunk: usize| chunks[chunk].key_hashes().last().is_none_or(|&last| last < key_hash);
        let chunk = gallop(self.chunk, chunks.len(), is_below);
        if chunk != self.chunk {
            *self = Place { chunk, row: 0 };
        }
        if let Some(chunk) = chunks.get(self.chunk) {
            let hashes = chunk.key_hashes();
            self.row = gallop(self.row, hashes.len(), |row| hashes[row] < key_hash);
        }
    }

    /// Moves past the rows with this key hash, which begin at this place. Shows those of each chunk, by its number.
    pub fn pass(&mut self, chunks: &[ArrowChunk], key_hash: u64, mut show: impl FnMut(usize, Range<usize>)) {
        while let Some(chunk) = chunks.get(self.chunk) {
            let hashes = chunk.key_hashes();
            let end = gallop(self.row, hashes.len(), |row| hashes[row] == key_hash);
            if end > self.row {
                show(self.chunk, self.row..end);
            }
            if end < hashes.len() {
                self.row = end;
                return;
            }
            *self = Place { chunk: self.chunk + 1, row: 0 };
        }
    }
}

/// The first position from `start` on for which `is_before` is false, if it is true up to some position and false from
/// there on. Looks near `start` first.
pub fn gallop(start: usize, len: usize, is_before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut step) = (start, 1);
    while low + step <= len && is_before(low + step - 1) {
        low += step;
        step *= 2;
    }
    let mut high = (low + step - 1).min(len);
    while low < high {
        let middle = (low + high) / 2;
        if is_before(middle) { low = middle + 1 } else { high = middle }
    }
    low
}
