//! What arrangements start from when a database is opened again: the chunks that a checkpoint at some time holds.
//!
//! The updates of an arrangement at or before the checkpoint's time are its batches; operators begin as if they had
//! worked them off already. Every worker takes the rows whose hashes are its own, so their number may be another.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, AsArray, BinaryArray, RecordBatch};
use arrow::buffer::ScalarBuffer;
use differential_dataflow::trace::Description;
use differential_dataflow::trace::chunk::ChunkBatch;
use serde::{Deserialize, Serialize};
use timely::progress::Antichain;

use super::chunk::ArrowChunk;
use super::collection::Batch;
use super::layout::{Layout, worker_of};
use super::page::Page;
use crate::types::{Diff, Stamps, Time};

/// Where a chunk stands on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "(u64, u32, u32)", into = "(u64, u32, u32)")]
pub struct Place {
    pub file: u64,
    /// Which of the file's segments, and which of the segment's chunks.
    pub segment: u32,
    pub chunk: u32,
}

impl From<(u64, u32, u32)> for Place {
    fn from((file, segment, chunk): (u64, u32, u32)) -> Self {
        Place { file, segment, chunk }
    }
}

impl From<Place> for (u64, u32, u32) {
    fn from(place: Place) -> Self {
        (place.file, place.segment, place.chunk)
    }
}

/// One segment of a file, as a manifest knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    pub offset: u64,
    pub bytes: u64,
    /// xxh3 of the bytes.
    pub checksum: u64,
    pub chunks: u32,
}

/// A file of chunks; it is there as long as somebody has this, or a manifest names it.
#[derive(Debug)]
pub struct SavedFile {
    pub id: u64,
    /// Of one that is written whole.
    pub segments: OnceLock<Vec<Segment>>,
    /// Whether it would outlive the machine; what is only paged out need not.
    pub is_synced: AtomicBool,
}

impl SavedFile {
    pub fn segments(&self) -> &[Segment] {
        self.segments.get().map_or(&[], Vec::as_slice)
    }
}

/// Where a chunk stands, and the file that holds it.
#[derive(Clone, Debug)]
pub struct SavedAt {
    pub place: Place,
    pub file: Arc<SavedFile>,
}

/// The parts of a chunk, as they stand in a file. What says how they are sorted is the arrangement's.
#[derive(Clone, Debug)]
pub struct SavedChunk {
    pub key_hashes: ScalarBuffer<u64>,
    pub within_key: SavedOrder,
    pub rows: RecordBatch,
    pub times: Stamps<Time>,
    pub diffs: Stamps<Diff>,
    pub at: SavedAt,
}

impl SavedChunk {
    /// The chunk, in the file's mapping.
    pub fn page(&self, layout: &Arc<Layout>) -> Page {
        Page::saved(ArrowChunk::mapped(layout, self), self.at.clone())
    }
}

/// What orders the rows of one key.
#[derive(Clone, Debug)]
pub enum SavedOrder {
    /// The key is the whole row.
    ByKey,
    RowHashes(ScalarBuffer<u64>),
    OrderBytes(BinaryArray),
}

/// The sorted runs of an arrangement, of all workers, each worker's older ones first.
#[derive(Clone, Debug, Default)]
pub struct SavedArrangement {
    /// As the operator called it.
    pub name: String,
    pub runs: Vec<Vec<SavedChunk>>,
}

/// What is kept of one object, in the order in which its dataflow makes arrangements.
#[derive(Clone, Debug)]
pub struct Saved {
    /// Everything up to here is in the arrangements, and nothing else counts.
    pub time: Time,
    /// Times from here on can be told apart in the rows.
    pub since: Time,
    pub arrangements: Vec<SavedArrangement>,
}

/// One worker's part of a saved arrangement, from which a trace starts.
pub struct Restored {
    pub batches: Vec<Batch>,
    /// The trace is complete at times before this one.
    pub upper: Time,
}

impl Restored {
    /// The part of a worker. The batches' times are told by the descriptions only: all rows are at or before `time`.
    pub fn new(saved: &SavedArrangement, time: Time, layout: &Arc<Layout>, (worker, workers): (usize, usize)) -> Self {
        let own = |chunk: &SavedChunk| {
            let hashes = &chunk.key_hashes;
            let start = hashes.partition_point(|&hash| worker_of(hash, workers) < worker);
            let end = hashes.partition_point(|&hash| worker_of(hash, workers) <= worker);
            (start < end).then(|| chunk.page(layout).slice(start, end - start))
        };
        let runs = saved.runs.iter().map(|run| {
            let pages = run.iter().filter_map(own).filter_map(|page| page.up_to(time));
            pages.collect::<VecDeque<_>>()
        });
        let runs: Vec<_> = runs.filter(|pages| !pages.is_empty()).collect();
        let (last, upper) = (runs.len(), time + 1);
        let bound = |number: usize| Antichain::from_elem(if number == last { upper } else { number as Time });
        let batches = runs.into_iter().enumerate().map(|(number, pages)| {
            let description = Description::new(bound(number), bound(number + 1), Antichain::from_elem(0));
            Rc::new(ChunkBatch::new(pages.into(), description))
        });
        Restored { batches: batches.collect(), upper }
    }
}

impl SavedOrder {
    /// Of a chunk's column, which is there unless the key is the whole row.
    pub fn of_column(column: Option<&dyn Array>) -> Option<Self> {
        match column {
            None => Some(SavedOrder::ByKey),
            Some(column) => {
                let hashes = column.as_primitive_opt::<arrow::datatypes::UInt64Type>();
                let hashes = hashes.map(|hashes| SavedOrder::RowHashes(hashes.values().clone()));
                hashes.or_else(|| column.as_binary_opt::<i32>().map(|bytes| SavedOrder::OrderBytes(bytes.clone())))
            }
        }
    }
}
