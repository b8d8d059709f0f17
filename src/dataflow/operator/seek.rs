//! Finding key hashes in sorted chunks, from where the last search ended: cheap if it is near, logarithmic if it is far.

use super::super::chunk::ArrowChunk;

/// A row of a batch: its chunk, and the row in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub chunk: usize,
    pub row: usize,
}

fn last_hash(chunk: &ArrowChunk) -> u64 {
    *chunk.key_hashes().last().expect("chunks are not empty")
}

/// The first position at or after `from` whose hash is at least `hash`.
pub fn seek(chunks: &[ArrowChunk], from: Position, hash: u64) -> Position {
    let chunk = gallop_by(chunks.len(), from.chunk, |chunk| last_hash(&chunks[chunk]) < hash);
    let start = if chunk == from.chunk { from.row } else { 0 };
    let row = chunks.get(chunk).map_or(0, |chunk| gallop(chunk.key_hashes(), start, hash));
    Position { chunk, row }
}

/// The first position at or after `from` whose hash is greater than `hash`.
pub fn seek_past(chunks: &[ArrowChunk], from: Position, hash: u64) -> Position {
    match hash.checked_add(1) {
        Some(next) => seek(chunks, from, next),
        None => Position { chunk: chunks.len(), row: 0 },
    }
}

/// All positions from `start` to `end` (exclusive).
pub fn rows_between(chunks: &[ArrowChunk], start: Position, end: Position) -> impl Iterator<Item = Position> {
    let rows = move |(chunk, len): (usize, usize)| {
        let first = if chunk == start.chunk { start.row } else { 0 };
        let last = if chunk == end.chunk { end.row } else { len };
        (first..last).map(move |row| Position { chunk, row })
    };
    let lens: Vec<(usize, usize)> = chunks.iter().map(ArrowChunk::len).enumerate().collect();
    let chunks = lens.into_iter().skip(start.chunk).take((end.chunk + 1).saturating_sub(start.chunk));
    chunks.flat_map(rows)
}

/// The first position at or after `from` whose hash is not below `hash`.
fn gallop(hashes: &[u64], from: usize, hash: u64) -> usize {
    gallop_by(hashes.len(), from, |position| hashes[position] < hash)
}

/// The first position in `from..len` that is not below; those that are come first.
fn gallop_by(len: usize, from: usize, is_below: impl Fn(usize) -> bool) -> usize {
    let (mut start, mut step) = (from, 1);
    while start < len && is_below((start + step - 1).min(len - 1)) {
        start += step;
        step *= 2;
    }
    // Everything before `start` is below, and what stands a step further is not.
    let (mut start, mut end) = (start.min(len), (start + step - 1).min(len));
    while start < end {
        let middle = (start + end) / 2;
        if is_below(middle) { start = middle + 1 } else { end = middle }
    }
    start
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
                assert_eq!(gallop(&hashes, from, hash), scanned, "{hash} from {from}");
            }
        }
    }
}
