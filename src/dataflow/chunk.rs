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
//! shared: workers merge it, readers on other threads hold it.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::{Arc, LazyLock, Mutex, OnceLock};

use arrow::array::{Array, BinaryArray, RecordBatch, UInt32Array};
use arrow::buffer::ScalarBuffer;
use arrow::compute::{concat, take};
use arrow::datatypes::Schema;
use differential_dataflow::trace::chunk::Chunk;
use timely::Accountable;
use timely::progress::Antichain;
use timely::progress::frontier::AntichainRef;

use super::columns::{batch_of, bytes_of, concat_rows, interleave_columns, take_rows};
use super::compare::RowComparator;
use super::layout::Layout;
use super::saved::{Place, SavedChunk, SavedOrder};
use super::selection::Selection;
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
    place: Mutex<Option<Place>>,
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
        let rows = &delta.rows;
        let key_hashes: ScalarBuffer<u64> = layout.key_hashes(rows).into();
        let within_key = match layout.order_bytes(rows) {
            Some(bytes) => WithinKey::OrderBytes(bytes),
            None => WithinKey::RowHashes(layout.row_hashes(rows, &key_hashes)),
        };
        let unsorted = ArrowChunk::new(layout, key_hashes, within_key, rows.clone(), Stamps::Same(0), Stamps::Same(1));
        let (rows, times, diffs) = consolidate(&unsorted, &sorted_rows(&unsorted, &delta.times), delta);
        let (times, diffs) = (Stamps::of(times), Stamps::of(diffs));
        let piece_rows = unsorted.rows_within(CHUNK_BYTES);
        let pieces = (0..rows.len()).step_by(piece_rows).map(|start| {
            let len = piece_rows.min(rows.len() - start);
            unsorted.take(&rows[start..start + len], times.slice(start, len), diffs.slice(start, len))
        });
        pieces.collect()
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
        let (layout, held_rows, bytes, place) = (layout.clone(), rows.num_rows(), OnceLock::new(), Mutex::default());
        ArrowChunk(Arc::new(Body { layout, key_hashes, within_key, rows, times, diffs, held_rows, bytes, place }))
    }

    /// The chunk that was saved.
    pub fn restored(layout: &Arc<Layout>, saved: &SavedChunk) -> Self {
        let within_key = match &saved.within_key {
            SavedOrder::ByKey => WithinKey::RowHashes(saved.key_hashes.clone()),
            SavedOrder::RowHashes(hashes) => WithinKey::RowHashes(hashes.clone()),
            SavedOrder::OrderBytes(bytes) => WithinKey::OrderBytes(bytes.clone()),
        };
        let SavedChunk { key_hashes, rows, times, diffs, place, .. } = saved.clone();
        // Columns come back under the arrangement's own names and metadata.
        let rows = batch_of(&layout.schema, rows.columns().to_vec(), rows.num_rows());
        let chunk = ArrowChunk::new(layout, key_hashes, within_key, rows, times, diffs);
        chunk.set_place(place);
        chunk
    }

    /// What of the chunk must be written to have it back.
    pub fn saved_order(&self) -> SavedOrder {
        match &self.0.within_key {
            WithinKey::RowHashes(_) if self.layout().is_keyed_by_row() => SavedOrder::ByKey,
            WithinKey::RowHashes(hashes) => SavedOrder::RowHashes(hashes.clone()),
            WithinKey::OrderBytes(bytes) => SavedOrder::OrderBytes(bytes.clone()),
        }
    }

    /// Where the chunk stands on disk, if it does.
    pub fn place(&self) -> Option<Place> {
        *self.0.place.lock().expect("no panic while placing")
    }

    pub fn set_place(&self, place: Place) {
        *self.0.place.lock().expect("no panic while placing") = Some(place);
    }

    /// The updates at or before `time`, if there are any.
    pub fn up_to(self, time: Time) -> Option<Self> {
        if self.times().greatest() <= time {
            return Some(self);
        }
        let rows: Vec<u32> = (0..self.len() as u32).filter(|&row| self.time(row as usize) <= time).collect();
        let (times, diffs) = (self.times().take(&rows), self.diffs().take(&rows));
        (!rows.is_empty()).then(|| self.take(&rows, times, diffs))
    }

    /// The rows from `start` on; itself, with its place, if that is all of them.
    pub fn slice_or_all(self, start: usize, len: usize) -> Self {
        if len == self.len() { self } else { self.slice(start, len) }
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
            place: Mutex::default(),
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
            place: Mutex::default(),
        }))
    }

    /// Copies of the rows at ascending positions, with new times and diffs.
    fn take(&self, rows: &[u32], times: Stamps<Time>, diffs: Stamps<Diff>) -> Self {
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
    fn concat(chunks: &[ArrowChunk]) -> Self {
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
    fn rows_within(&self, bytes: usize) -> usize {
        let row_bytes = self.bytes() / self.len().max(1) + 1;
        (bytes / row_bytes).clamp(1, CHUNK_ROWS)
    }

    /// Whether the rows at `row` and at the one before are the same.
    fn repeats(&self, row: usize, values: &RowComparator) -> bool {
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

impl Chunk for ArrowChunk {
    type Time = Time;
    const TARGET: usize = CHUNK_ROWS;

    fn len(&self) -> usize {
        ArrowChunk::len(self)
    }

    fn merge(left: &mut VecDeque<Self>, right: &mut VecDeque<Self>, out: &mut VecDeque<Self>) {
        let mut selection = Selection::default();
        let (mut left_at, mut right_at) = (0, 0);
        while let (Some(left_chunk), Some(right_chunk)) = (left.front(), right.front()) {
            let (left_chunk, right_chunk) = (left_chunk.clone(), right_chunk.clone());
            if left_at == 0 && is_below(&left_chunk, &right_chunk, right_at) {
                selection.flush(out);
                out.extend(left.pop_front());
                continue;
            }
            if right_at == 0 && is_below(&right_chunk, &left_chunk, left_at) {
                selection.flush(out);
                out.extend(right.pop_front());
                continue;
            }
            selection.merge((&left_chunk, &mut left_at), (&right_chunk, &mut right_at), out);
            if left_at == left_chunk.len() {
                left.pop_front();
                left_at = 0;
            }
            if right_at == right_chunk.len() {
                right.pop_front();
                right_at = 0;
            }
        }
        selection.flush(out);
        for (queue, at) in [(left, left_at), (right, right_at)] {
            if let Some(rest) = queue.front_mut().filter(|_| at > 0) {
                *rest = rest.slice(at, rest.len() - at);
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
        let Some(chunk) = input.pop_front() else { return };
        let is_kept = |row: u32| frontier.less_equal(&chunk.time(row as usize));
        let (kept, shipped): (Vec<u32>, Vec<u32>) = (0..chunk.len() as u32).partition(|&row| is_kept(row));
        residual.extend(kept.iter().map(|&row| chunk.time(row as usize)).min());
        for (rows, queue) in [(kept, keep), (shipped, ship)] {
            if rows.len() == chunk.len() {
                queue.push_back(chunk.clone());
            } else if !rows.is_empty() {
                queue.push_back(chunk.take(&rows, chunk.times().take(&rows), chunk.diffs().take(&rows)));
            }
        }
    }

    fn advance(input: &mut VecDeque<Self>, frontier: AntichainRef<Time>, done: bool, out: &mut VecDeque<Self>) {
        let since = frontier.iter().next().copied().unwrap_or_default();
        while let Some(chunk) = input.pop_front() {
            if input.is_empty() && !done {
                // Its last row may go on in the chunk that comes next.
                return input.push_front(chunk);
            }
            let next = input.pop_front();
            if let Some(next) = advance_chunk(chunk, since, next, out) {
                input.push_front(next);
            }
        }
    }

    fn settle(input: &mut VecDeque<Self>, done: bool, out: &mut VecDeque<Self>) {
        let mut carry: Vec<ArrowChunk> = vec![];
        let (mut rows, mut bytes) = (0, 0);
        for chunk in std::mem::take(input) {
            for piece in pieces(chunk) {
                if rows + piece.len() > CHUNK_ROWS || (rows > 0 && bytes + piece.bytes() > CHUNK_BYTES) {
                    out.extend(packed(std::mem::take(&mut carry)));
                    (rows, bytes) = (0, 0);
                }
                (rows, bytes) = (rows + piece.len(), bytes + piece.bytes());
                carry.push(piece);
            }
        }
        let last = packed(carry);
        if done { out.extend(last) } else { input.extend(last) }
    }
}

/// Whether all of a chunk comes before the other's row at `at` and everything after it.
fn is_below(chunk: &ArrowChunk, other: &ArrowChunk, at: usize) -> bool {
    let values = RowComparator::new(chunk.rows().columns(), other.rows().columns());
    chunk.compare(chunk.len() - 1, other, at, &values).is_lt()
}

/// Advances the times of a chunk to `since` and consolidates it. If its last update goes on in `next`, it is added there.
fn advance_chunk(
    chunk: ArrowChunk,
    since: Time,
    next: Option<ArrowChunk>,
    out: &mut VecDeque<ArrowChunk>,
) -> Option<ArrowChunk> {
    let last = chunk.len() - 1;
    let time = |row: usize| chunk.time(row).max(since);
    let goes_on = next.as_ref().filter(|next| {
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
        out.push_back(chunk.restamped(chunk.times().map(|time| time.max(since)), chunk.diffs().clone()));
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
            Some(next.restamped(next.times().clone(), Stamps::of(next_diffs)))
        }
        None => next,
    };
    let (rows, diffs): (Vec<u32>, Vec<Diff>) = rows.into_iter().zip(diffs).filter(|&(_, diff)| diff != 0).unzip();
    if !rows.is_empty() {
        let times = Stamps::of(rows.iter().map(|&row| time(row as usize)).collect());
        out.push_back(chunk.take(&rows, times, Stamps::of(diffs)));
    }
    next
}

/// A chunk in pieces that keep the limits.
fn pieces(chunk: ArrowChunk) -> Vec<ArrowChunk> {
    let piece_rows = chunk.rows_within(CHUNK_BYTES);
    if chunk.len() <= piece_rows {
        return vec![chunk];
    }
    let starts = (0..chunk.len()).step_by(piece_rows);
    starts.map(|start| chunk.slice(start, piece_rows.min(chunk.len() - start))).collect()
}

/// Chunks as one, in buffers that hold little else.
fn packed(mut chunks: Vec<ArrowChunk>) -> Option<ArrowChunk> {
    match chunks.len() {
        0 => None,
        1 if chunks[0].0.held_rows <= 2 * chunks[0].len() => chunks.pop(),
        _ => Some(ArrowChunk::concat(&chunks)),
    }
}

static EMPTY: LazyLock<ArrowChunk> = LazyLock::new(|| {
    let schema = Arc::new(Schema::empty());
    let layout = Layout::hashed(schema.clone(), vec![], 0);
    let hashes: ScalarBuffer<u64> = vec![].into();
    let (rows, within_key) = (RecordBatch::new_empty(schema), WithinKey::RowHashes(hashes.clone()));
    ArrowChunk::new(&layout, hashes, within_key, rows, Stamps::Same(0), Stamps::Same(1))
});

/// Differential takes chunks away and leaves the default behind.
impl Default for ArrowChunk {
    fn default() -> Self {
        EMPTY.clone()
    }
}

impl Accountable for ArrowChunk {
    fn record_count(&self) -> i64 {
        self.len() as i64
    }
}
