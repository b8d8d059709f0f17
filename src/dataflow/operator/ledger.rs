//! An operator's own output arrangement with at most one row per key: written once per time, and read by key.
//!
//! This is all the state of a fold and of an upsert: the row that a key has now says what must be retracted.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use differential_dataflow::operators::arrange::TraceAgent;
use differential_dataflow::trace::chunk::{Chunk, ChunkBatch};
use differential_dataflow::trace::{BatchReader, Description, Trace as _, TraceReader};
use timely::dataflow::operators::generic::OperatorInfo;
use timely::progress::Antichain;
use timely::scheduling::Activator;

use super::super::chunk::ArrowChunk;
use super::super::collection::{Batch, Spine, Trace, TraceWriter};
use super::super::columns::{batch_of, interleave_columns};
use super::super::compare::RowComparator;
use super::super::layout::Layout;
use super::gallop::{gallop, gallop_by};
use crate::types::{Diff, Time};

pub struct Ledger {
    layout: Arc<Layout>,
    reader: Trace,
    writer: TraceWriter,
    upper: Antichain<Time>,
}

/// Current rows of some keys.
pub struct Found {
    /// The keys that have a row, by position in what was asked for, ascending.
    pub keys: Vec<u32>,
    pub rows: RecordBatch,
}

impl Ledger {
    /// An empty ledger. The key columns of `layout` are the first of its rows.
    pub fn new(layout: Arc<Layout>, operator: OperatorInfo, activator: Activator) -> Self {
        let trace = Spine::new(operator.clone(), None, Some(activator));
        let (reader, writer) = TraceAgent::new(trace, operator, None);
        Ledger { layout, reader, writer, upper: Antichain::from_elem(0) }
    }

    /// Another reader of the arrangement.
    pub fn trace(&self) -> Trace {
        self.reader.clone()
    }

    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// Everything that was committed, oldest first.
    pub fn batches(&mut self) -> Vec<Batch> {
        self.reader.batches_through(self.upper.borrow()).expect("nobody else merges past what is committed")
    }

    /// Adds the changes of `time`, in pieces whose concatenation is sorted.
    pub fn commit(&mut self, mut changes: VecDeque<ArrowChunk>, time: Time) -> Batch {
        let mut chunks = VecDeque::new();
        ArrowChunk::settle(&mut changes, true, &mut chunks);
        let upper = Antichain::from_elem(time + 1);
        let description = Description::new(self.upper.clone(), upper.clone(), Antichain::from_elem(0));
        let batch = Rc::new(ChunkBatch::new(chunks.into(), description));
        self.writer.insert(batch.clone(), Some(time));
        self.advance(upper);
        batch
    }

    /// Nothing will be committed before `frontier` any more.
    pub fn seal(&mut self, frontier: Antichain<Time>) {
        if self.upper != frontier {
            self.writer.seal(frontier.clone());
            self.advance(frontier);
        }
    }

    /// Lets the trace merge if it has been asked to.
    pub fn exert(&mut self) {
        self.writer.exert();
    }

    fn advance(&mut self, upper: Antichain<Time>) {
        self.reader.set_logical_compaction(upper.borrow());
        self.reader.set_physical_compaction(upper.borrow());
        self.upper = upper;
    }
}

/// The current row of each key that has one. `hashes` are those of `keys`, ascending.
///
/// A batch says what changed between two times, and a key has at most one row at a time: so the newest batch that has
/// rows of a key, and in it the latest time, decide. Most keys that change have changed lately, and need no older batch.
pub fn find(layout: &Layout, batches: &[Batch], keys: &RecordBatch, hashes: &[u64]) -> Found {
    let mut found: Vec<Option<(usize, usize)>> = vec![None; hashes.len()];
    let mut open: Vec<u32> = (0..hashes.len() as u32).collect();
    let mut chunks: Vec<&ArrowChunk> = vec![];
    for batch in batches.iter().rev().filter(|batch| !batch.is_empty()) {
        let mut reader = KeyReader::new(batch, keys);
        open.retain(|&key| match reader.latest(hashes[key as usize], key as usize) {
            None => true,
            Some(None) => false,
            Some(Some((chunk, row))) => {
                let chunk = &batch.chunks[chunk];
                if chunks.last().is_none_or(|last| !std::ptr::eq(*last, chunk)) {
                    chunks.push(chunk);
                }
                found[key as usize] = Some((chunks.len() - 1, row));
                false
            }
        });
        if open.is_empty() {
            break;
        }
    }
    let keys = (0..found.len() as u32).filter(|&key| found[key as usize].is_some()).collect();
    let picks: Vec<(usize, usize)> = found.into_iter().flatten().collect();
    let sources: Vec<&RecordBatch> = chunks.iter().map(|chunk| chunk.rows()).collect();
    let rows = match sources.is_empty() {
        true => RecordBatch::new_empty(layout.schema.clone()),
        false => batch_of(&layout.schema, interleave_columns(&sources, &picks), picks.len()),
    };
    Found { keys, rows }
}

/// Reads a batch at ascending key hashes.
struct KeyReader<'a> {
    chunks: &'a [ArrowChunk],
    keys: &'a [ArrayRef],
    chunk: usize,
    row: usize,
}

impl<'a> KeyReader<'a> {
    fn new(batch: &'a Batch, keys: &'a RecordBatch) -> Self {
        KeyReader { chunks: &batch.chunks, keys: keys.columns(), chunk: 0, row: 0 }
    }

    /// Whether the batch has changes of a key at all, and the row that is left after the latest.
    fn latest(&mut self, hash: u64, key: usize) -> Option<Option<(usize, usize)>> {
        let last_hash = |chunk: &ArrowChunk| *chunk.key_hashes().last().expect("chunks are not empty");
        let chunk = gallop_by(self.chunks.len(), self.chunk, |chunk| last_hash(&self.chunks[chunk]) < hash);
        if chunk != self.chunk {
            (self.chunk, self.row) = (chunk, 0);
        }
        let mut latest: Option<(Time, Option<(usize, usize)>)> = None;
        let mut start = self.row;
        for (number, chunk) in self.chunks.iter().enumerate().skip(self.chunk) {
            let hashes = chunk.key_hashes();
            start = gallop(hashes, start, hash);
            if number == self.chunk {
                self.row = start;
            }
            let comparator = RowComparator::new(self.keys, &chunk.rows().columns()[..self.keys.len()]);
            let mut row = start;
            while row < hashes.len() && hashes[row] == hash {
                if comparator.equal(key, row) {
                    let (time, entered) = (chunk.time(row), (chunk.diff(row) > 0).then_some((number, row)));
                    latest = match latest {
                        Some((known, place)) if known > time => Some((known, place)),
                        Some((known, place)) if known == time => Some((time, entered.or(place))),
                        _ => Some((time, entered)),
                    };
                }
                row += 1;
            }
            if row < hashes.len() {
                break;
            }
            start = 0;
        }
        latest.map(|(_, place)| place)
    }
}

/// Retractions and insertions as one list of diffs.
pub fn diffs(retracted: usize, inserted: usize) -> Vec<Diff> {
    let retracted = std::iter::repeat_n(-1, retracted);
    retracted.chain(std::iter::repeat_n(1, inserted)).collect()
}
