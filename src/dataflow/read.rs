//! Reading published arrangements at a time: scanning, finding by key, following changes. Nothing here runs on a worker.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;

use super::chunk::{ArrowChunk, CHUNK_ROWS};
use super::columns::{batch_of, interleave_columns, take_rows};
use super::compare::RowComparator;
use super::cursor::Position;
use super::errors::error_at;
use super::layout::{Layout, worker_of};
use super::page::{Opened, Page};
use super::published::{SharedBatch, Snapshot};
use crate::types::{Delta, Diff, Error, Stamps, Time};

/// An object at the times from [`since`](Self::since) to before [`upper`](Self::upper), in parts that can be read at once.
#[derive(Clone)]
pub struct Snapshots {
    layout: Arc<Layout>,
    parts: Vec<Part>,
    pub since: Time,
    pub upper: Time,
}

/// What one worker keeps; all copies of a row are in one part.
#[derive(Clone)]
pub struct Part {
    batches: Vec<SharedBatch>,
}

/// Rows whose keys were looked for.
pub struct Found {
    /// For each row, the position of the key that found it; ascending.
    pub probes: Vec<u32>,
    pub rows: RecordBatch,
    /// How many copies of each row there are.
    pub counts: Vec<Diff>,
}

impl Found {
    /// The rows, each as often as it is there.
    pub fn repeated(&self) -> RecordBatch {
        if self.counts.iter().all(|&count| count == 1) {
            return self.rows.clone();
        }
        let copies = self.counts.iter().enumerate();
        let positions = copies.flat_map(|(row, &count)| std::iter::repeat_n(row as u32, count as usize));
        take_rows(&self.rows, &positions.collect::<Vec<_>>())
    }
}

impl Snapshots {
    /// Of what workers have published: their rows, or their errors.
    pub fn new(layout: Arc<Layout>, workers: &[Arc<Snapshot>], batches: fn(&Snapshot) -> &Vec<SharedBatch>) -> Self {
        let parts = workers.iter().map(|worker| Part { batches: batches(worker).clone() }).collect();
        let since = workers.iter().map(|worker| worker.since).max().unwrap_or(0);
        let upper = workers.iter().map(|worker| worker.upper).min().unwrap_or(0);
        Snapshots { layout, parts, since, upper }
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.layout.schema
    }

    /// No rows, at any time.
    pub fn empty(layout: Arc<Layout>) -> Self {
        Snapshots { layout, parts: vec![Part { batches: vec![] }], since: 0, upper: Time::MAX }
    }

    /// With changes that are not published, as of `time`.
    pub fn with_writes(&self, layout: &Arc<Layout>, writes: &[Delta], time: Time) -> Snapshots {
        let writes = Delta { times: Stamps::Same(time), ..Delta::concat(&layout.schema, writes) };
        let pages = Page::sort(layout, &writes);
        let mut snapshots = self.clone();
        let workers = snapshots.parts.len();
        for (worker, part) in snapshots.parts.iter_mut().enumerate() {
            let own = pages.iter().filter_map(|page| {
                let chunk = page.chunk();
                let hashes = chunk.key_hashes();
                let start = hashes.partition_point(|&hash| worker_of(hash, workers) < worker);
                let end = hashes.partition_point(|&hash| worker_of(hash, workers) <= worker);
                (start < end).then(|| page.clone().slice(start, end - start))
            });
            part.batches.push(own.collect());
        }
        snapshots
    }

    pub fn parts(&self) -> impl Iterator<Item = Part> + use<> {
        self.parts.clone().into_iter()
    }

    /// How many rows there are, about.
    pub fn rows(&self) -> usize {
        let pages = self.parts.iter().flat_map(|part| &part.batches).flat_map(|batch| batch.iter());
        pages.map(Page::len).sum()
    }

    /// The rows whose key columns equal a row of `keys` (columns in the order of the layout's key) at `time`. NULLs in
    /// keys are equal to NULLs.
    pub fn find(&self, keys: &[ArrayRef], time: Time) -> Found {
        let probes = keys.first().map_or(0, |column| column.len());
        let hashes = self.layout.hashes(keys.to_vec(), probes);
        let (mut chunks, mut updates): (Vec<ArrowChunk>, Vec<(u32, Update)>) = (vec![], vec![]);
        let mut order: Vec<u32> = (0..probes as u32).collect();
        order.sort_unstable_by_key(|&probe| hashes[probe as usize]);
        for batch in self.parts.iter().flat_map(|part| &part.batches) {
            let (batch, mut place) = (&Opened::new(batch), Position::default());
            for &probe in &order {
                let hash = hashes[probe as usize];
                place = place.seek(batch, hash);
                // The next probe may have the same hash.
                for (number, rows) in
                    place.ranges_to(batch, place.past(batch, hash)).filter(|(_, rows)| !rows.is_empty())
                {
                    let chunk = batch.chunk(number);
                    let columns = chunk.layout().key_columns(chunk.rows());
                    let values = RowComparator::new(keys, &columns);
                    let rows = rows.filter(|&row| chunk.time(row) <= time && values.equal(probe as usize, row));
                    updates.extend(rows.map(|row| (probe, Update { chunk: chunks.len(), row, diff: chunk.diff(row) })));
                    chunks.push(chunk.clone());
                }
            }
        }
        self.found(&chunks, updates)
    }

    /// Adds up the updates of each probe by row.
    fn found(&self, chunks: &[ArrowChunk], mut updates: Vec<(u32, Update)>) -> Found {
        let hash = |update: &Update| chunks[update.chunk].row_hashes()[update.row];
        updates.sort_by_key(|(probe, update)| (*probe, hash(update)));
        let mut sums: Vec<(u32, Update)> = vec![];
        for run in updates.chunk_by(|left, right| (left.0, hash(&left.1)) == (right.0, hash(&right.1))) {
            let start = sums.len();
            for (probe, update) in run {
                let same = sums[start..]
                    .iter_mut()
                    .find(|(_, sum)| same_row(&chunks[sum.chunk], sum.row, &chunks[update.chunk], update.row));
                match same {
                    Some((_, sum)) => sum.diff += update.diff,
                    None => sums.push((*probe, *update)),
                }
            }
        }
        sums.retain(|(_, sum)| sum.diff > 0);
        let picks: Vec<(usize, usize)> = sums.iter().map(|(_, sum)| (sum.chunk, sum.row)).collect();
        let sources: Vec<&RecordBatch> = chunks.iter().map(ArrowChunk::rows).collect();
        let rows = match picks.is_empty() {
            true => RecordBatch::new_empty(self.layout.schema.clone()),
            false => batch_of(&self.layout.schema, interleave_columns(&sources, &picks), picks.len()),
        };
        let (probes, counts) = sums.iter().map(|(probe, sum)| (*probe, sum.diff)).unzip();
        Found { probes, rows, counts }
    }

    /// Updates with times after `from` and up to `to`, in the order of their times. `from` is at or after `since`.
    pub fn changes(&self, from: Time, to: Time) -> Vec<Delta> {
        let pages = self.parts.iter().flat_map(|part| &part.batches).flat_map(|batch| batch.iter());
        let is_new = |time: Time| from < time && time <= to;
        let new = pages.map(Page::open).filter_map(|chunk| match chunk.times() {
            Stamps::Same(time) => is_new(*time).then(|| chunk.to_delta()),
            Stamps::Each(times) => {
                let rows: Vec<u32> = (0..chunk.len() as u32).filter(|&row| is_new(times[row as usize])).collect();
                (!rows.is_empty()).then(|| Delta {
                    rows: take_rows(chunk.rows(), &rows),
                    times: chunk.times().take(&rows),
                    diffs: chunk.diffs().take(&rows),
                })
            }
        });
        in_order(&self.layout.schema, new.collect())
    }
}

/// The same updates, no earlier time after a later one.
fn in_order(schema: &SchemaRef, mut deltas: Vec<Delta>) -> Vec<Delta> {
    if deltas.iter().all(|delta| matches!(delta.times, Stamps::Same(_))) {
        deltas.sort_by_key(|delta| delta.times.get(0));
        return deltas;
    }
    let all = deltas.iter().enumerate().flat_map(|(delta, of)| (0..of.len()).map(move |row| (delta, row)));
    let mut picks: Vec<(usize, usize)> = all.collect();
    picks.sort_by_key(|&(delta, row)| deltas[delta].times.get(row));
    let sources: Vec<&RecordBatch> = deltas.iter().map(|delta| &delta.rows).collect();
    let piece = |picks: &[(usize, usize)]| Delta {
        rows: batch_of(schema, interleave_columns(&sources, picks), picks.len()),
        times: Stamps::of(picks.iter().map(|&(delta, row)| deltas[delta].times.get(row)).collect()),
        diffs: Stamps::of(picks.iter().map(|&(delta, row)| deltas[delta].diffs.get(row)).collect()),
    };
    picks.chunks(CHUNK_ROWS).map(piece).collect()
}

/// An update, by the number of its chunk.
#[derive(Clone, Copy)]
struct Update {
    chunk: usize,
    row: usize,
    diff: Diff,
}

fn same_row(left: &ArrowChunk, left_row: usize, right: &ArrowChunk, right_row: usize) -> bool {
    RowComparator::new(left.rows().columns(), right.rows().columns()).equal(left_row, right_row)
}

/// The least of a view's errors at `time`: by SQLSTATE, then message.
pub fn least_error(errors: &Snapshots, time: Time) -> Option<Error> {
    let batches = errors.parts().flat_map(|part| part.scan(time));
    let each = batches.flat_map(|batch| (0..batch.num_rows()).map(move |row| error_at(&batch, row)));
    let by = |error: &Error| (error.state().code(), error.message().to_string(), error.detail().map(str::to_string));
    each.min_by_key(by)
}

impl Part {
    /// The rows at `time`, each as often as it is there, some thousands at once.
    pub fn scan(self, time: Time) -> Scan {
        let mut negatives: Vec<Negative> = vec![];
        let pages: VecDeque<Page> = self.batches.iter().flat_map(|batch| batch.iter().cloned()).collect();
        let may_retract = |chunk: &ArrowChunk| !matches!(chunk.diffs(), Stamps::Same(diff) if *diff > 0);
        for chunk in pages.iter().map(Page::chunk).filter(may_retract) {
            let rows = (0..chunk.len()).filter(|&row| chunk.diff(row) < 0 && chunk.time(row) <= time);
            negatives.extend(rows.map(|row| Negative { chunk: chunk.clone(), row, left: -chunk.diff(row) }));
        }
        negatives.sort_by_key(Negative::hashes);
        Scan { time, pages, negatives, counted: None }
    }
}

/// Copies of a row that leave.
struct Negative {
    chunk: ArrowChunk,
    row: usize,
    left: Diff,
}

impl Negative {
    fn hashes(&self) -> (u64, u64) {
        (self.chunk.key_hashes()[self.row], self.chunk.row_hashes()[self.row])
    }
}

/// The rows of a part at a time. A chunk of which all rows are there is given as it is, without copying.
pub struct Scan {
    time: Time,
    pages: VecDeque<Page>,
    /// Sorted by hashes. What one row's updates take away is taken off others of the same row, wherever they are.
    negatives: Vec<Negative>,
    /// A chunk, how often each row is there, and the row that is next.
    counted: Option<(ArrowChunk, Vec<Diff>, usize)>,
}

impl Iterator for Scan {
    type Item = RecordBatch;

    fn next(&mut self) -> Option<RecordBatch> {
        loop {
            if let Some(rows) = self.next_counted() {
                return Some(rows);
            }
            let chunk = self.pages.pop_front()?.open();
            match self.count(&chunk) {
                None => return Some(chunk.rows().clone()),
                Some(counts) => self.counted = Some((chunk, counts, 0)),
            }
        }
    }
}

impl Scan {
    /// How often each row of a chunk is there; none if all are, once.
    fn count(&mut self, chunk: &ArrowChunk) -> Option<Vec<Diff>> {
        let time = self.time;
        let is_plain = matches!(chunk.diffs(), Stamps::Same(1))
            && match chunk.times() {
                Stamps::Same(at) => *at <= time,
                Stamps::Each(times) => times.iter().all(|&at| at <= time),
            };
        let count = |row: usize| {
            if chunk.time(row) <= time { chunk.diff(row).max(0) } else { 0 }
        };
        let mut counts: Option<Vec<Diff>> = (!is_plain).then(|| (0..chunk.len()).map(count).collect());
        let (hashes, last) = (chunk.key_hashes(), chunk.len() - 1);
        let first = self.negatives.partition_point(|negative| negative.hashes().0 < hashes[0]);
        for negative in self.negatives[first..].iter_mut() {
            let (key_hash, row_hash) = negative.hashes();
            if key_hash > hashes[last] {
                break;
            }
            let before = |row: usize| (hashes[row], chunk.row_hashes()[row]).cmp(&(key_hash, row_hash));
            let mut row = partition_point(chunk.len(), |row| before(row) == Ordering::Less);
            while negative.left > 0 && row <= last && before(row) == Ordering::Equal {
                let there = counts.as_ref().map_or(1, |counts| counts[row]);
                if there > 0 && same_row(chunk, row, &negative.chunk, negative.row) {
                    let taken = there.min(negative.left);
                    negative.left -= taken;
                    counts.get_or_insert_with(|| vec![1; chunk.len()])[row] -= taken;
                }
                row += 1;
            }
        }
        counts
    }

    /// Some of the rows of the counted chunk.
    fn next_counted(&mut self) -> Option<RecordBatch> {
        let (chunk, counts, row) = self.counted.as_mut()?;
        let mut positions: Vec<u32> = vec![];
        while *row < counts.len() && positions.len() < CHUNK_ROWS {
            let copies = counts[*row].min((CHUNK_ROWS - positions.len()) as Diff);
            positions.extend(std::iter::repeat_n(*row as u32, copies as usize));
            counts[*row] -= copies;
            if counts[*row] == 0 {
                *row += 1;
            }
        }
        let rows = (!positions.is_empty()).then(|| take_rows(chunk.rows(), &positions));
        if rows.is_none() {
            self.counted = None;
        }
        rows
    }
}

/// The first position for which `before` is false.
fn partition_point(len: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = (low + high) / 2;
        if before(middle) { low = middle + 1 } else { high = middle }
    }
    low
}
