//! Searching sorted things from where the last search ended: cheap if it is near, logarithmic if it is far.

/// The first position at or after `from` whose hash is not below `hash`.
pub fn gallop(hashes: &[u64], from: usize, hash: u64) -> usize {
    gallop_by(hashes.len(), from, |position| hashes[position] < hash)
}

/// The first position in `from..len` that is not below; those that are come first.
pub fn gallop_by(len: usize, from: usize, is_below: impl Fn(usize) -> bool) -> usize {
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
