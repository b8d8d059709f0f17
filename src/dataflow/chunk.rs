//! A sorted, consolidated run of updates on Arrow columns: what arrangements are made of.
//!
//! ```text
//!   key hash │ row hash (or order bytes) │ columns ... │ time │ diff
//!   ─────────┼───────────────────────────┼─────────────┼──────┼─────
//!   comparing the two on the left settles nearly every step of a merge; rows that tie are compared by value
//! ```
//!
//! Updates are ordered as [`Layout`] says, then by time, and no two have the same row and time. Times and diffs are
//! stored once where all updates of a chunk share them, as nearly all do after compaction. A chunk is immutable and
//! shared: workers merge it, readers on other threads hold it. Arrangements keep it as a [`Page`](super::page::Page).

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, BinaryArray, RecordBatch, UInt32Array};
use arrow::buffer::ScalarBuffer;
use arrow::compute::{concat, take};

use super::columns::{batch_of, bytes_of, concat_rows, interleave_columns, take_rows};
use super::compare::RowComparator;
use super::layout::Layout;
use super::memory::{Charge, Memory};
use super::saved::{SavedChunk, SavedOrder};
use crate::types::{Delta, Diff, Stamps, Time};

/// Rows of a full chunk.
pub const CHUNK_ROWS: usize = 8192;

/// Bytes of a full chunk; a chunk with more has one row. Offsets are 32 bits wide, and a merge reads a few at a time.
pub const CHUNK_BYTES: usize = 64 << 20;

#[derive(Clone)]
pub struct ArrowChunk(Arc<Body>);

/// What a chunk holds. Everybody asks the chunk's methods, so that a body may as well lie in a mapped file.
struct Body {
    layout: Arc<Layout>,
    key_hashes: ScalarBuffer<u64>,
    within_key: WithinKey,
    rows: RecordBatch,
    times: Stamps<Time>,
    diffs: Stamps<Diff>,
    /// Rows in the buffers, of which a slice shows a part.
    held_rows: usize,
    bytes: OnceLock<usize>,
    /// The columns lie in a mapped file: the kernel takes their memory when it needs it.
    is_mapped: bool,
    /// What the buffers count for in the budget of memory; who shares them shares it.
    charge: OnceLock<Arc<Charge>>,
}

/// What orders the rows of one key.
#[derive(Clone)]
enum WithinKey {
    RowHashes(ScalarBuffer<u64>),
    OrderBytes(BinaryArray),
}

impl ArrowChunk {
    /// Sorts and consolidates updates into full chunks.
    pub fn sort(layout: &Arc<Layout>, delta: &Delta) -> VecDeque<ArrowChunk> {
        let unsorted = ArrowChunk::unsorted(layout, &delta.rows);
        let (rows, times, diffs) = consolidate(&unsorted, &sorted_rows(&unsorted, &delta.times), delta);
        let (times, diffs) = (Stamps::of(times), Stamps::of(diffs));
        let piece_rows = unsorted.rows_within(CHUNK_BYTES);
        let pieces = (0..rows.len()).step_by(piece_rows).map(|start| {
            let len = piece_rows.min(rows.len() - start);
            unsorted.take(&rows[start..start + len], times.slice(start, len), diffs.slice(start, len))
        });
        pieces.collect()
    }

    /// Rows as they come, with what they are to be sorted by.
    pub(super) fn unsorted(layout: &Arc<Layout>, rows: &RecordBatch) -> ArrowChunk {
        let key_hashes: ScalarBuffer<u64> = layout.key_hashes(rows).into();
        let within_key = match layout.order_bytes(rows) {
            Some(bytes) => WithinKey::OrderBytes(bytes),
            None => WithinKey::RowHashes(layout.row_hashes(rows, &key_hashes)),
        };
        ArrowChunk::new(layout, key_hashes, within_key, rows.clone(), Stamps::Same(0), Stamps::Same(1))
    }

    fn new(
        layout: &Arc<Layout>,
        key_hashes: ScalarBuffer<u64>,
        within_key: WithinKey,
        rows: RecordBatch,
        times: Stamps<Time>,
        diffs: Stamps<Diff>,
    ) -> Self {
        debug_assert_eq!(key_hashes.len(), rows.num_rows());
        ArrowChunk(Arc::new(Body {
            layout: layout.clone(),
            held_rows: rows.num_rows(),
            key_hashes,
            within_key,
            rows,
            times,
            diffs,
            bytes: OnceLock::new(),
            is_mapped: false,
            charge: OnceLock::new(),
        }))
    }

    /// The chunk that was saved, in the file's mapping.
    pub fn mapped(layout: &Arc<Layout>, saved: &SavedChunk) -> Self {
        let within_key = match &saved.within_key {
            SavedOrder::ByKey => WithinKey::RowHashes(saved.key_hashes.clone()),
            SavedOrder::RowHashes(hashes) => WithinKey::RowHashes(hashes.clone()),
            SavedOrder::OrderBytes(bytes) => WithinKey::OrderBytes(bytes.clone()),
        };
        let SavedChunk { key_hashes, rows, times, diffs, .. } = saved.clone();
        ArrowChunk(Arc::new(Body {
            layout: layout.clone(),
            held_rows: rows.num_rows(),
            key_hashes,
            within_key,
            // Columns come back under the arrangement's own names and metadata.
            rows: batch_of(&layout.schema, rows.columns().to_vec(), rows.num_rows()),
            times,
            diffs,
            bytes: OnceLock::new(),
            is_mapped: true,
            charge: OnceLock::new(),
        }))
    }

    /// Whether the columns lie in a mapped file, and so need no memory of their own.
    pub fn is_mapped(&self) -> bool {
        self.0.is_mapped
    }

    /// Counts what is in memory, once.
    pub(super) fn charge_to(&self, memory: &Arc<Memory>) {
        if !self.is_mapped() {
            self.0.charge.get_or_init(|| Charge::new(memory, self.bytes()));
        }
    }

    /// What of the chunk must be written to have it back.
    pub fn saved_order(&self) -> SavedOrder {
        match &self.0.within_key {
            WithinKey::RowHashes(_) if self.layout().is_keyed_by_row() => SavedOrder::ByKey,
            WithinKey::RowHashes(hashes) => SavedOrder::RowHashes(hashes.clone()),
            WithinKey::OrderBytes(bytes) => SavedOrder::OrderBytes(bytes.clone()),
        }
    }

    /// The updates at or before `time`, if there are any.
    pub fn up_to(&self, time: Time) -> Option<Self> {
        let rows: Vec<u32> = (0..self.len() as u32).filter(|&row| self.time(row as usize) <= time).collect();
        let (times, diffs) = (self.times().take(&rows), self.diffs().take(&rows));
        (!rows.is_empty()).then(|| self.take(&rows, times, diffs))
    }

    pub fn len(&self) -> usize {
        self.0.key_hashes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn layout(&self) -> &Arc<Layout> {
        &self.0.layout
    }

    /// Ascending.
    pub fn key_hashes(&self) -> &[u64] {
        &self.0.key_hashes
    }

    /// The same, to be shared.
    pub fn key_hash_buffer(&self) -> &ScalarBuffer<u64> {
        &self.0.key_hashes
    }

    /// The hash of each row's other columns, ascending within a key hash; empty in an ordered layout.
    pub fn row_hashes(&self) -> &[u64] {
        match &self.0.within_key {
            WithinKey::RowHashes(hashes) => hashes,
            WithinKey::OrderBytes(_) => &[],
        }
    }

    pub fn rows(&self) -> &RecordBatch {
        &self.0.rows
    }

    pub fn time(&self, row: usize) -> Time {
        self.0.times.get(row)
    }

    pub fn times(&self) -> &Stamps<Time> {
        &self.0.times
    }

    pub fn diff(&self, row: usize) -> Diff {
        self.0.diffs.get(row)
    }

    pub fn diffs(&self) -> &Stamps<Diff> {
        &self.0.diffs
    }

    /// Bytes of memory, about.
    pub fn bytes(&self) -> usize {
        *self.0.bytes.get_or_init(|| {
            let within_key = match &self.0.within_key {
                WithinKey::RowHashes(_) if self.layout().is_keyed_by_row() => 0,
                WithinKey::RowHashes(hashes) => hashes.len() * 8,
                WithinKey::OrderBytes(bytes) => bytes.value_offsets().len() * 4 + bytes.value_data().len(),
            };
            let stamps = match (self.times(), self.diffs()) {
                (Stamps::Same(_), Stamps::Same(_)) => 0,
                (Stamps::Each(_), Stamps::Each(_)) => 16,
                _ => 8,
            };
            bytes_of(self.rows()) + within_key + self.len() * (8 + stamps) + size_of::<Body>()
        })
    }

    /// The updates, without the order.
    pub fn to_delta(&self) -> Delta {
        Delta { rows: self.rows().clone(), times: self.times().clone(), diffs: self.diffs().clone() }
    }

    /// Compares rows (not times) of two chunks of one layout; `values` compares their columns.
    pub fn compare(&self, row: usize, other: &Self, other_row: usize, values: &RowComparator) -> Ordering {
        let keys = self.0.key_hashes[row].cmp(&other.0.key_hashes[other_row]);
        let within_key = || match (&self.0.within_key, &other.0.within_key) {
            (WithinKey::RowHashes(left), WithinKey::RowHashes(right)) => left[row].cmp(&right[other_row]),
            (WithinKey::OrderBytes(left), WithinKey::OrderBytes(right)) => left.value(row).cmp(right.value(other_row)),
            _ => unreachable!("chunks of one layout are ordered alike"),
        };
        keys.then_with(within_key).then_with(|| values.compare(row, other_row))
    }

    /// The rows from `start` on, in the same buffers.
    pub fn slice(&self, start: usize, len: usize) -> Self {
        let body = &self.0;
        let within_key = match &body.within_key {
            WithinKey::RowHashes(hashes) => WithinKey::RowHashes(hashes.slice(start, len)),
            WithinKey::OrderBytes(bytes) => WithinKey::OrderBytes(bytes.slice(start, len)),
        };
        ArrowChunk(Arc::new(Body {
            layout: body.layout.clone(),
            key_hashes: body.key_hashes.slice(start, len),
            within_key,
            rows: body.rows.slice(start, len),
            times: body.times.slice(start, len),
            diffs: body.diffs.slice(start, len),
            held_rows: body.held_rows,
            bytes: OnceLock::new(),
            is_mapped: body.is_mapped,
            charge: body.charge.clone(),
        }))
    }

    /// The same rows with other times and diffs.
    pub(super) fn restamped(&self, times: Stamps<Time>, diffs: Stamps<Diff>) -> Self {
        let body = &self.0;
        ArrowChunk(Arc::new(Body {
            layout: body.layout.clone(),
            key_hashes: body.key_hashes.clone(),
            within_key: body.within_key.clone(),
            rows: body.rows.clone(),
            times,
            diffs,
            held_rows: body.held_rows,
            bytes: OnceLock::new(),
            is_mapped: body.is_mapped,
            charge: body.charge.clone(),
        }))
    }

    /// Copies of the rows at ascending positions, with new times and diffs.
    pub(super) fn take(&self, rows: &[u32], times: Stamps<Time>, diffs: Stamps<Diff>) -> Self {
        let hashes = |hashes: &ScalarBuffer<u64>| rows.iter().map(|&row| hashes[row as usize]).collect();
        let key_hashes: ScalarBuffer<u64> = hashes(&self.0.key_hashes);
        let within_key = match &self.0.within_key {
            WithinKey::RowHashes(_) if self.layout().is_keyed_by_row() => WithinKey::RowHashes(key_hashes.clone()),
            WithinKey::RowHashes(each) => WithinKey::RowHashes(hashes(each)),
            WithinKey::OrderBytes(bytes) => {
                let taken = take(bytes, &UInt32Array::from(rows.to_vec()), None).expect("the rows are there");
                WithinKey::OrderBytes(binary(taken.as_ref()))
            }
        };
        ArrowChunk::new(self.layout(), key_hashes, within_key, take_rows(self.rows(), rows), times, diffs)
    }

    /// Copies of rows of several chunks, given as (chunk, row) in ascending order.
    pub(super) fn gather(
        chunks: &[ArrowChunk],
        picks: &[(usize, usize)],
        times: Stamps<Time>,
        diffs: Stamps<Diff>,
    ) -> Self {
        let layout = chunks[0].layout();
        let key_hashes: ScalarBuffer<u64> = picks.iter().map(|&(chunk, row)| chunks[chunk].key_hashes()[row]).collect();
        let within_key = match &chunks[0].0.within_key {
            WithinKey::RowHashes(_) if layout.is_keyed_by_row() => WithinKey::RowHashes(key_hashes.clone()),
            WithinKey::RowHashes(_) => {
                let sources: Vec<&[u64]> = chunks.iter().map(ArrowChunk::row_hashes).collect();
                WithinKey::RowHashes(picks.iter().map(|&(chunk, row)| sources[chunk][row]).collect())
            }
            WithinKey::OrderBytes(_) => {
                let sources: Vec<&BinaryArray> = chunks.iter().filter_map(ArrowChunk::order_bytes).collect();
                let bytes = picks.iter().map(|&(chunk, row)| sources[chunk].value(row));
                WithinKey::OrderBytes(BinaryArray::from_iter_values(bytes))
            }
        };
        let sources: Vec<&RecordBatch> = chunks.iter().map(ArrowChunk::rows).collect();
        let columns = interleave_columns(&sources, picks);
        ArrowChunk::new(layout, key_hashes, within_key, batch_of(&layout.schema, columns, picks.len()), times, diffs)
    }

    /// One chunk of several that follow one another; a single one is copied too, and so lets go of what it is a slice of.
    pub(super) fn concat(chunks: &[ArrowChunk]) -> Self {
        let layout = chunks[0].layout();
        let hashes = |of: fn(&ArrowChunk) -> &[u64]| -> ScalarBuffer<u64> {
            let parts: Vec<&[u64]> = chunks.iter().map(of).collect();
            parts.concat().into()
        };
        let key_hashes = hashes(ArrowChunk::key_hashes);
        let within_key = match &chunks[0].0.within_key {
            WithinKey::RowHashes(_) if layout.is_keyed_by_row() => WithinKey::RowHashes(key_hashes.clone()),
            WithinKey::RowHashes(_) => WithinKey::RowHashes(hashes(ArrowChunk::row_hashes)),
            WithinKey::OrderBytes(_) => {
                let parts = chunks.iter().filter_map(ArrowChunk::order_bytes).map(|bytes| bytes as &dyn Array);
                let joined = concat(&parts.collect::<Vec<_>>()).expect("chunks are limited in bytes");
                WithinKey::OrderBytes(binary(joined.as_ref()))
            }
        };
        let sources: Vec<&RecordBatch> = chunks.iter().map(ArrowChunk::rows).collect();
        let rows = concat_rows(&layout.schema, &sources);
        let times = Stamps::concat(chunks.iter().map(|chunk| (chunk.times(), chunk.len())));
        let diffs = Stamps::concat(chunks.iter().map(|chunk| (chunk.diffs(), chunk.len())));
        ArrowChunk::new(layout, key_hashes, within_key, rows, times, diffs)
    }

    /// Rows in the buffers, of which this may be a slice.
    pub(super) fn held_rows(&self) -> usize {
        self.0.held_rows
    }

    /// Whether both are one chunk, not only equal ones.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn order_bytes(&self) -> Option<&BinaryArray> {
        match &self.0.within_key {
            WithinKey::RowHashes(_) => None,
            WithinKey::OrderBytes(bytes) => Some(bytes),
        }
    }

    /// How many rows of average size make a chunk of at most so many bytes.
    pub(super) fn rows_within(&self, bytes: usize) -> usize {
        let row_bytes = self.bytes() / self.len().max(1) + 1;
        (bytes / row_bytes).clamp(1, CHUNK_ROWS)
    }

    /// Whether the rows at `row` and at the one before are the same.
    pub(super) fn repeats(&self, row: usize, values: &RowComparator) -> bool {
        self.compare(row - 1, self, row, values).is_eq()
    }
}

fn binary(array: &dyn Array) -> BinaryArray {
    array.as_any().downcast_ref::<BinaryArray>().expect("order bytes are binary").clone()
}

/// The positions of the rows of an unsorted chunk, in order.
fn sorted_rows(unsorted: &ArrowChunk, times: &Stamps<Time>) -> Vec<u32> {
    let values = RowComparator::new(unsorted.rows().columns(), unsorted.rows().columns());
    let len = unsorted.len();
    let time = |row: u32| times.get(row as usize);
    let WithinKey::RowHashes(row_hashes) = &unsorted.0.within_key else {
        let mut rows: Vec<u32> = (0..len as u32).collect();
        rows.sort_unstable_by(|&left, &right| {
            let order = unsorted.compare(left as usize, unsorted, right as usize, &values);
            order.then_with(|| time(left).cmp(&time(right)))
        });
        return rows;
    };
    let mut hashed: Vec<(u64, u64, u32)> =
        (0..len).map(|row| (unsorted.key_hashes()[row], row_hashes[row], row as u32)).collect();
    hashed.sort_unstable();
    for run in hashed.chunk_by_mut(|left, right| (left.0, left.1) == (right.0, right.1)).filter(|run| run.len() > 1) {
        run.sort_unstable_by(|left, right| {
            let order = values.compare(left.2 as usize, right.2 as usize);
            order.then_with(|| time(left.2).cmp(&time(right.2)))
        });
    }
    hashed.into_iter().map(|(_, _, row)| row).collect()
}

/// Sums the diffs of equal updates, which are adjacent in `sorted`, and leaves out those that cancel.
fn consolidate(unsorted: &ArrowChunk, sorted: &[u32], delta: &Delta) -> (Vec<u32>, Vec<Time>, Vec<Diff>) {
    let values = RowComparator::new(unsorted.rows().columns(), unsorted.rows().columns());
    let (mut rows, mut times, mut diffs) = (vec![], vec![], vec![]);
    let same = |left: u32, right: u32| {
        let (left, right) = (left as usize, right as usize);
        delta.times.get(left) == delta.times.get(right) && unsorted.compare(left, unsorted, right, &values).is_eq()
    };
    for run in sorted.chunk_by(|&left, &right| same(left, right)) {
        let diff: Diff = run.iter().map(|&row| delta.diffs.get(row as usize)).sum();
        if diff != 0 {
            rows.push(run[0]);
            times.push(delta.times.get(run[0] as usize));
            diffs.push(diff);
        }
    }
    (rows, times, diffs)
}
