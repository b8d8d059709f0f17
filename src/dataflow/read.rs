//! Reading published arrangements off the workers' threads: the multiset at one time, rows by key, the least error.
//!
//! What a worker publishes are immutable chunks behind `Arc`s, so a reader needs no lock and no worker waits for it.
//! At a time T, with since <= T < upper, a row is there as often as its diffs at times up to T add up to.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};

use super::chunk::ArrowChunk;
use super::columns::{concat_rows, interleave_columns, take_rows};
use super::compare::RowComparator;
use super::errors::error_at;
use super::layout::{Layout, worker_of};
use crate::types::hash::hash_columns;
use crate::types::{Delta, Diff, Error, Result, Stamps, Time};

/// What one worker has published of one arrangement: batches of sorted chunks.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub batches: Vec<Arc<[ArrowChunk]>>,
    /// Times below it can no longer be told apart.
    pub since: Time,
    /// Complete up to here, exclusive.
    pub upper: Time,
}

/// An arrangement as all workers have published it; each has the keys of its own range of hashes.
#[derive(Clone, Debug)]
pub struct Snapshots {
    layout: Arc<Layout>,
    workers: Vec<Arc<Snapshot>>,
}

/// The rows that [`Snapshots::find`] found.
#[derive(Debug)]
pub struct Found {
    pub rows: RecordBatch,
    /// For each row the position of the key that it was found by.
    pub probes: Vec<u32>,
    /// For each row how often it is there.
    pub counts: Vec<Diff>,
}

/// One worker's part of an arrangement.
#[derive(Clone, Debug)]
pub struct Part {
    layout: Arc<Layout>,
    snapshot: Arc<Snapshot>,
}

impl Snapshots {
    pub fn new(layout: Arc<Layout>, workers: Vec<Arc<Snapshot>>) -> Self {
        Snapshots { layout, workers }
    }

    /// An arrangement without rows, at any time.
    pub fn empty(layout: Arc<Layout>) -> Self {
        let nothing = Snapshot { batches: vec![], since: 0, upper: Time::MAX };
        Snapshots { layout, workers: vec![Arc::new(nothing)] }
    }

    /// About how many rows there are: updates that are not merged yet count too.
    pub fn rows(&self) -> usize {
        let chunks = self.workers.iter().flat_map(|worker| worker.batches.iter().flat_map(|batch| batch.iter()));
        chunks.map(ArrowChunk::len).sum()
    }

    pub fn parts(&self) -> impl Iterator<Item = Part> + use<> {
        let layout = self.layout.clone();
        let workers = self.workers.clone().into_iter();
        workers.map(move |snapshot| Part { layout: layout.clone(), snapshot })
    }

    /// The arrangement with changes that are nobody else's to see, as of `time`.
    pub fn with_writes(&self, writes: &[Delta], time: Time) -> Snapshots {
        let batches: Vec<&RecordBatch> = writes.iter().map(|delta| &delta.rows).collect();
        let rows = concat_rows(&self.layout.schema, &batches);
        let diffs = writes.iter().flat_map(|delta| delta.diffs.to_vec(delta.len())).collect();
        let delta = Delta { rows, times: Stamps::Same(time), diffs: Stamps::of(diffs) };
        let mut workers: Vec<Snapshot> = self.workers.iter().map(|worker| Snapshot::clone(worker)).collect();
        let count = workers.len();
        let mut own: Vec<Vec<ArrowChunk>> = vec![vec![]; count];
        for chunk in ArrowChunk::sort(&self.layout, &delta) {
            let mut start = 0;
            while start < chunk.len() {
                let worker = worker_of(chunk.key_hashes()[start], count);
                let rest = &chunk.key_hashes()[start..];
                let len = rest.partition_point(|&hash| worker_of(hash, count) <= worker);
                own[worker].push(chunk.slice(start, len));
                start += len;
            }
        }
        for (worker, chunks) in workers.iter_mut().zip(own) {
            worker.batches.push(chunks.into());
        }
        Snapshots { layout: self.layout.clone(), workers: workers.into_iter().map(Arc::new).collect() }
    }

    /// The rows whose key columns equal a row of `keys` (columns in the order of the layout's key), at `time`.
    pub fn find(&self, keys: &[ArrayRef], time: Time) -> Found {
        let probes = keys.first().map_or(0, |column| column.len());
        let hashes = hash_columns(keys, probes, self.layout.seed);
        let mut order: Vec<u32> = (0..probes as u32).collect();
        order.sort_unstable_by_key(|&probe| hashes[probe as usize]);
        let mut hits = Hits::default();
        for (worker, snapshot) in self.workers.iter().enumerate() {
            let owns = |probe: &&u32| worker_of(hashes[**probe as usize], self.workers.len()) == worker;
            let own: Vec<u32> = order.iter().filter(owns).copied().collect();
            for batch in &snapshot.batches {
                self.seek(batch, keys, &hashes, &own, time, &mut hits);
            }
        }
        hits.found(&self.layout)
    }

    /// Looks for sorted probes in one batch, from front to back in both.
    fn seek(&self, batch: &[ArrowChunk], keys: &[ArrayRef], hashes: &[u64], probes: &[u32], time: Time, hits: &mut Hits) {
        let mut probes = probes;
        for chunk in batch {
            let (Some(first), Some(last)) = (chunk.key_hashes().first(), chunk.key_hashes().last()) else { continue };
            probes = &probes[probes.partition_point(|&probe| hashes[probe as usize] < *first)..];
            let here = &probes[..probes.partition_point(|&probe| hashes[probe as usize] <= *last)];
            if here.is_empty() {
                continue;
            }
            let key_columns = self.layout.key_columns(chunk.rows());
            let comparator = RowComparator::new(keys, &key_columns);
            let mut row = 0;
            for &probe in here {
                let hash = hashes[probe as usize];
                row += chunk.key_hashes()[row..].partition_point(|&other| other < hash);
                let same = chunk.key_hashes()[row..].iter().take_while(|&&other| other == hash).count();
                for candidate in row..row + same {
                    if chunk.time(candidate) <= time && comparator.equal(probe as usize, candidate) {
                        hits.add(probe, chunk, candidate);
                    }
                }
            }
        }
    }
}

/// Rows found so far, equal ones added up.
#[derive(Default)]
struct Hits {
    chunks: Vec<ArrowChunk>,
    /// (probe, chunk, row, count).
    rows: Vec<(u32, usize, usize, Diff)>,
    /// Positions in `rows` by probe and row hash.
    by_hash: HashMap<(u32, u64), Vec<usize>>,
}

impl Hits {
    fn add(&mut self, probe: u32, chunk: &ArrowChunk, row: usize) {
        let same = self.by_hash.entry((probe, chunk.row_hashes()[row])).or_default();
        for &place in same.iter() {
            let (_, other, other_row, count) = &mut self.rows[place];
            let comparator = RowComparator::new(self.chunks[*other].rows().columns(), chunk.rows().columns());
            if comparator.equal(*other_row, row) {
                *count += chunk.diff(row);
                return;
            }
        }
        same.push(self.rows.len());
        let known = self.chunks.last().is_some_and(|last| last.rows().columns().as_ptr() == chunk.rows().columns().as_ptr());
        if !known {
            self.chunks.push(chunk.clone());
        }
        self.rows.push((probe, self.chunks.len() - 1, row, chunk.diff(row)));
    }

    fn found(mut self, layout: &Layout) -> Found {
        self.rows.retain(|(_, _, _, count)| *count > 0);
        let batches: Vec<&RecordBatch> = self.chunks.iter().map(ArrowChunk::rows).collect();
        let picks: Vec<(usize, usize)> = self.rows.iter().map(|(_, chunk, row, _)| (*chunk, *row)).collect();
        let rows = match picks.is_empty() {
            true => RecordBatch::new_empty(layout.schema.clone()),
            false => super::columns::batch_of(&layout.schema, interleave_columns(&batches, &picks), picks.len()),
        };
        let probes = self.rows.iter().map(|(probe, ..)| *probe).collect();
        let counts = self.rows.iter().map(|(.., count)| *count).collect();
        Found { rows, probes, counts }
    }
}

impl Found {
    /// The rows as often as they are there.
    pub fn repeated(&self) -> Result<RecordBatch> {
        if self.counts.iter().all(|&count| count == 1) {
            return Ok(self.rows.clone());
        }
        let counted = self.counts.iter().enumerate();
        let positions = counted.flat_map(|(row, &count)| std::iter::repeat_n(row as u32, count as usize));
        Ok(take_rows(&self.rows, &positions.collect::<Vec<_>>()))
    }
}

impl Part {
    /// The rows at `time`, each as often as it is there. Chunks in which nothing is cancelled come as they are.
    pub fn scan(self, time: Time) -> impl Iterator<Item = RecordBatch> + Send {
        let mut cancelled = Cancelled::of(&self.snapshot, time);
        let batches = self.snapshot.batches.clone().into_iter();
        let chunks = batches.flat_map(|batch| (0..batch.len()).map(move |place| batch[place].clone()));
        chunks.filter_map(move |chunk| visible(&chunk, time, &mut cancelled)).filter(|batch| batch.num_rows() > 0)
    }

    /// The columns of the rows.
    pub fn schema(&self) -> arrow::datatypes::SchemaRef {
        self.layout.schema.clone()
    }
}

/// The rows of a chunk that are there at `time`.
fn visible(chunk: &ArrowChunk, time: Time, cancelled: &mut Cancelled) -> Option<RecordBatch> {
    let all_once = matches!((chunk.times(), chunk.diffs()), (Stamps::Same(at), Stamps::Same(1)) if *at <= time);
    if all_once && cancelled.is_empty() {
        return Some(chunk.rows().clone());
    }
    let mut positions: Vec<u32> = Vec::with_capacity(chunk.len());
    for row in 0..chunk.len() {
        let diff = chunk.diff(row);
        if chunk.time(row) <= time && diff > 0 {
            let left = diff - cancelled.take(chunk, row, diff);
            positions.extend(std::iter::repeat_n(row as u32, left as usize));
        }
    }
    let untouched = positions.len() == chunk.len() && all_once;
    match untouched {
        true => Some(chunk.rows().clone()),
        false if positions.is_empty() => None,
        false => Some(take_rows(chunk.rows(), &positions)),
    }
}

/// Updates that take rows away, by their hashes; each is used up by the rows that it cancels.
struct Cancelled {
    chunks: Vec<ArrowChunk>,
    /// (chunk, row, copies left to take away).
    by_hash: HashMap<(u64, u64), Vec<(usize, usize, Diff)>>,
}

impl Cancelled {
    fn of(snapshot: &Snapshot, time: Time) -> Self {
        let mut cancelled = Cancelled { chunks: vec![], by_hash: HashMap::new() };
        for chunk in snapshot.batches.iter().flat_map(|batch| batch.iter()) {
            if matches!(chunk.diffs(), Stamps::Same(diff) if *diff > 0) {
                continue;
            }
            let place = cancelled.chunks.len();
            cancelled.chunks.push(chunk.clone());
            for row in 0..chunk.len() {
                if chunk.diff(row) < 0 && chunk.time(row) <= time {
                    let hashes = (chunk.key_hashes()[row], chunk.row_hashes()[row]);
                    cancelled.by_hash.entry(hashes).or_default().push((place, row, -chunk.diff(row)));
                }
            }
        }
        cancelled
    }

    fn is_empty(&self) -> bool {
        self.by_hash.is_empty()
    }

    /// How many of up to `copies` copies of a row are taken away.
    fn take(&mut self, chunk: &ArrowChunk, row: usize, copies: Diff) -> Diff {
        if self.is_empty() {
            return 0;
        }
        let hashes = (chunk.key_hashes()[row], chunk.row_hashes()[row]);
        let Some(candidates) = self.by_hash.get_mut(&hashes) else { return 0 };
        let mut taken = 0;
        for (place, other, left) in candidates.iter_mut().filter(|(_, _, left)| *left > 0) {
            let comparator = RowComparator::new(self.chunks[*place].rows().columns(), chunk.rows().columns());
            if comparator.equal(*other, row) {
                let count = (copies - taken).min(*left);
                *left -= count;
                taken += count;
            }
            if taken == copies {
                break;
            }
        }
        taken
    }
}

/// The least of a view's errors at `time`, by SQLSTATE, then message: which row failed first is nobody's business.
pub fn least_error(errors: &Snapshots, time: Time) -> Option<Error> {
    let rows = errors.parts().flat_map(|part| part.scan(time));
    let found = rows.flat_map(|batch| (0..batch.num_rows()).map(|row| error_at(&batch, row)).collect::<Vec<_>>());
    found.min_by(|left, right| {
        let key = |error: &Error| (error.state(), error.message().to_string());
        key(left).cmp(&key(right))
    })
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};

    use super::*;

    fn layout() -> Arc<Layout> {
        let fields = ["k", "v"].map(|name| Field::new(name, DataType::Int64, true));
        Layout::hashed(Arc::new(Schema::new(fields.to_vec())), vec![0], 7)
    }

    fn delta(updates: &[(i64, i64, Time, Diff)]) -> Delta {
        let column = |pick: fn(&(i64, i64, Time, Diff)) -> i64| -> ArrayRef {
            Arc::new(updates.iter().map(|update| Some(pick(update))).collect::<Int64Array>())
        };
        let rows = RecordBatch::try_new(layout().schema.clone(), vec![column(|update| update.0), column(|update| update.1)]);
        Delta {
            rows: rows.unwrap(),
            times: Stamps::of(updates.iter().map(|update| update.2).collect()),
            diffs: Stamps::of(updates.iter().map(|update| update.3).collect()),
        }
    }

    /// Two batches on two workers.
    fn snapshots() -> Snapshots {
        let first = delta(&[(1, 10, 5, 1), (2, 20, 5, 2), (3, 30, 5, 1), (4, 40, 9, 1)]);
        let second = delta(&[(1, 10, 7, -1), (1, 11, 7, 1), (2, 20, 8, -1)]);
        let empty = Snapshot { batches: vec![], since: 0, upper: 10 };
        let none = Snapshots::new(layout(), vec![Arc::new(empty.clone()), Arc::new(empty)]);
        none.with_batch(&first).with_batch(&second)
    }

    impl Snapshots {
        /// With updates at their own times.
        fn with_batch(&self, delta: &Delta) -> Snapshots {
            let mut workers: Vec<Snapshot> = self.workers.iter().map(|worker| Snapshot::clone(worker)).collect();
            for chunk in ArrowChunk::sort(&self.layout, delta) {
                for row in 0..chunk.len() {
                    let worker = worker_of(chunk.key_hashes()[row], workers.len());
                    workers[worker].batches.push(vec![chunk.slice(row, 1)].into());
                }
            }
            Snapshots::new(self.layout.clone(), workers.into_iter().map(Arc::new).collect())
        }
    }

    fn rows(batches: impl Iterator<Item = RecordBatch>) -> Vec<(i64, i64)> {
        let pairs = batches.flat_map(|batch| {
            let column = |place: usize| batch.column(place).as_primitive::<Int64Type>().values().to_vec();
            column(0).into_iter().zip(column(1)).collect::<Vec<_>>()
        });
        let mut pairs: Vec<_> = pairs.collect();
        pairs.sort_unstable();
        pairs
    }

    #[test]
    fn a_scan_gives_the_multiset_at_its_time() {
        let at = |time| rows(snapshots().parts().flat_map(|part| part.scan(time)));
        assert_eq!(at(4), []);
        assert_eq!(at(5), [(1, 10), (2, 20), (2, 20), (3, 30)]);
        assert_eq!(at(7), [(1, 11), (2, 20), (2, 20), (3, 30)]);
        assert_eq!(at(9), [(1, 11), (2, 20), (3, 30), (4, 40)]);
    }

    #[test]
    fn own_writes_are_seen_and_cancel() {
        let own = [delta(&[(3, 30, 0, -1), (5, 50, 0, 1)]), delta(&[(5, 50, 0, -1), (6, 60, 0, 1)])];
        let seen = snapshots().with_writes(&own, 9);
        assert_eq!(rows(seen.parts().flat_map(|part| part.scan(9))), [(1, 11), (2, 20), (4, 40), (6, 60)]);
    }

    #[test]
    fn keys_are_found_with_their_counts() {
        let keys: ArrayRef = Arc::new(Int64Array::from(vec![Some(2), Some(9), Some(1), None]));
        let found = snapshots().find(&[keys], 7);
        let mut hits: Vec<_> = found.probes.iter().zip(&found.counts).map(|(probe, count)| (*probe, *count)).collect();
        hits.sort_unstable();
        assert_eq!(hits, [(0, 2), (2, 1)]);
        assert_eq!(rows([found.repeated().unwrap()].into_iter()), [(1, 11), (2, 20), (2, 20)]);
    }
}
