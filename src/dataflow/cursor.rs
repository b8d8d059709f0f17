//! Finding keys in sorted pages, from where the last search ended: cheap if it is near, logarithmic if it is far.
//! What joins, reductions and reads have in common.

use std::ops::Range;

use super::page::{Opened, Pages};

/// A place in one sorted sequence of pages: a row, or the end, which is after the last page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub chunk: usize,
    pub row: usize,
}

impl Position {
    /// The key hash here; none at the end.
    pub fn key_hash(self, pages: &Opened<impl Pages>) -> Option<u64> {
        (self.chunk < pages.len()).then(|| pages.chunk(self.chunk).key_hashes()[self.row])
    }

    /// The first position from here on whose key hash is at least `key_hash`.
    pub fn seek(self, pages: &Opened<impl Pages>, key_hash: u64) -> Position {
        self.skip(pages, |hash| hash < key_hash)
    }

    /// The first position from here on whose key hash is greater than `key_hash`.
    pub fn past(self, pages: &Opened<impl Pages>, key_hash: u64) -> Position {
        self.skip(pages, |hash| hash <= key_hash)
    }

    fn skip(self, pages: &Opened<impl Pages>, is_before: impl Fn(u64) -> bool) -> Position {
        let chunk = gallop(self.chunk, pages.len(), |page| is_before(pages.page(page).last_hash()));
        let start = if chunk == self.chunk { self.row } else { 0 };
        if chunk == pages.len() || (start == 0 && !is_before(pages.page(chunk).first_hash())) {
            return Position { chunk, row: 0 };
        }
        let hashes = pages.chunk(chunk).key_hashes();
        Position { chunk, row: gallop(start, hashes.len(), |row| is_before(hashes[row])) }
    }

    /// The rows from here to `end` (exclusive), by the chunks that they are in.
    pub fn ranges_to<P: Pages>(
        self,
        pages: &Opened<P>,
        end: Position,
    ) -> impl Iterator<Item = (usize, Range<usize>)> + use<'_, P> {
        (self.chunk..pages.len().min(end.chunk + 1)).map(move |chunk| {
            let first = if chunk == self.chunk { self.row } else { 0 };
            let last = if chunk == end.chunk { end.row } else { pages.page(chunk).len() };
            (chunk, first..last)
        })
    }

    /// All positions from here to `end` (exclusive).
    pub fn rows_to<P: Pages>(self, pages: &Opened<P>, end: Position) -> impl Iterator<Item = Position> + use<'_, P> {
        self.ranges_to(pages, end).flat_map(|(chunk, rows)| rows.map(move |row| Position { chunk, row }))
    }
}

/// The first position from `start` on for which `is_before` is false, if it is true up to some position and false from
/// there on. Looks near `start` first.
fn gallop(start: usize, len: usize, is_before: impl Fn(usize) -> bool) -> usize {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_a_scan_finds() {
        let hashes: Vec<u64> = (0..100).map(|n| n / 3 * 2).collect();
        for from in 0..=hashes.len() {
            for hash in 0..70 {
                let scanned = (from..hashes.len()).find(|&at| hashes[at] >= hash).unwrap_or(hashes.len().max(from));
                assert_eq!(gallop(from, hashes.len(), |at| hashes[at] < hash), scanned, "{hash} from {from}");
            }
        }
    }
}
