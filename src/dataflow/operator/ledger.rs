//! An operator's own output arrangement with at most one row per key: written once per time, and read by key.
//!
//! This is all the state of a fold and of an upsert: the row that a key has now says what must be retracted.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use arrow::array::RecordBatch;
use differential_dataflow::trace::chunk::{Chunk, ChunkBatch};
use differential_dataflow::trace::{BatchReader, Description, TraceReader};
use timely::PartialOrder;
use timely::dataflow::Scope;
use timely::dataflow::operators::generic::OperatorInfo;
use timely::progress::Antichain;

use super::super::arrange::{begin, new_trace};
use super::super::chunk::ArrowChunk;
use super::super::collection::{Batch, Trace, TraceWriter};
use super::super::columns::{batch_of, interleave_columns};
use super::super::cursor::Position;
use super::super::layout::Layout;
use super::super::page::{Opened, Page};
use super::super::saved::Restored;
use super::gather::RowAt;
use super::matcher::KeyMatcher;
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
    /// A ledger of an operator, which begins with what was there before.
    pub fn new(
        layout: Arc<Layout>,
        scope: Scope<'_, Time>,
        operator: OperatorInfo,
        restored: Option<Restored>,
    ) -> Self {
        let (reader, mut writer) = new_trace(scope, operator);
        let upper = begin(&mut writer, restored);
        Ledger { layout, reader, writer, upper }
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
    pub fn commit(&mut self, mut changes: VecDeque<Page>, time: Time) -> Batch {
        let mut chunks = VecDeque::new();
        Page::settle(&mut changes, true, &mut chunks);
        let upper = Antichain::from_elem(time + 1);
        let description = Description::new(self.upper.clone(), upper.clone(), Antichain::from_elem(0));
        let batch = Rc::new(ChunkBatch::new(chunks.into(), description));
        self.writer.insert(batch.clone(), Some(time));
        self.advance(upper);
        batch
    }

    /// Nothing will be committed before `frontier` any more.
    pub fn seal(&mut self, frontier: Antichain<Time>) {
        if PartialOrder::less_than(&self.upper, &frontier) {
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
    let mut chunks: Vec<ArrowChunk> = vec![];
    for batch in batches.iter().rev().filter(|batch| !batch.is_empty()) {
        let mut reader = KeyReader::new(batch, keys, &layout.key);
        open.retain(|&key| match reader.latest(hashes[key as usize], key as usize) {
            None => true,
            Some(None) => false,
            Some(Some(Position { chunk, row })) => {
                let chunk = reader.batch.chunk(chunk);
                if chunks.last().is_none_or(|last| !last.is(chunk)) {
                    chunks.push(chunk.clone());
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
    batch: Opened<&'a Batch>,
    matcher: KeyMatcher,
    at: Position,
}

impl<'a> KeyReader<'a> {
    fn new(batch: &'a Batch, keys: &RecordBatch, columns: &[usize]) -> Self {
        KeyReader { batch: Opened::new(batch), matcher: KeyMatcher::new(keys, columns, 1), at: Position::default() }
    }

    /// Whether the batch has changes of a key at all, and the row that is left after the latest.
    fn latest(&mut self, hash: u64, key: usize) -> Option<Option<Position>> {
        self.at = self.at.seek(&self.batch, hash);
        let end = self.at.past(&self.batch, hash);
        let mut latest: Option<(Time, Option<Position>)> = None;
        for at in self.at.rows_to(&self.batch, end) {
            if !self.matcher.matches(std::slice::from_ref(&self.batch), key, RowAt::new(0, at)) {
                continue;
            }
            let chunk = self.batch.chunk(at.chunk);
            let (time, entered) = (chunk.time(at.row), (chunk.diff(at.row) > 0).then_some(at));
            latest = match latest {
                Some((known, place)) if known > time => Some((known, place)),
                Some((known, place)) if known == time => Some((time, entered.or(place))),
                _ => Some((time, entered)),
            };
        }
        latest.map(|(_, place)| place)
    }
}

/// Retractions and insertions as one list of diffs.
pub fn diffs(retracted: usize, inserted: usize) -> Vec<Diff> {
    let retracted = std::iter::repeat_n(-1, retracted);
    retracted.chain(std::iter::repeat_n(1, inserted)).collect()
}
