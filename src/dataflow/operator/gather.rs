//! Copying rows out of batches: which rows, in which order.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::compute::interleave;

use super::super::collection::Batch;
use super::super::columns::batch_of;
use super::super::cursor::Position;
use super::super::page::Opened;

/// A row in a list of batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowAt {
    pub batch: usize,
    pub chunk: usize,
    pub row: usize,
}

impl RowAt {
    pub fn new(batch: usize, at: Position) -> Self {
        RowAt { batch, chunk: at.chunk, row: at.row }
    }
}

/// Rows to copy out of batches (which are not empty), and rows of NULLs.
pub struct Gather<'a> {
    batches: &'a [Opened<Batch>],
    /// Numbers of the chunks in use, from 1; 0 is the row of NULLs.
    numbers: HashMap<(usize, usize), usize>,
    sources: Vec<&'a RecordBatch>,
    latest: Option<((usize, usize), usize)>,
    picks: Vec<(usize, usize)>,
}

impl<'a> Gather<'a> {
    pub fn new(batches: &'a [Opened<Batch>]) -> Self {
        Gather { batches, numbers: HashMap::new(), sources: vec![], latest: None, picks: vec![] }
    }

    /// Adds a row; none is a row of NULLs.
    pub fn pick(&mut self, at: Option<RowAt>) {
        let Some(RowAt { batch, chunk, row }) = at else {
            self.picks.push((0, 0));
            return;
        };
        let source = match self.latest {
            Some((place, source)) if place == (batch, chunk) => source,
            _ => *self.numbers.entry((batch, chunk)).or_insert_with(|| {
                self.sources.push(self.batches[batch].chunk(chunk).rows());
                self.sources.len()
            }),
        };
        self.latest = Some(((batch, chunk), source));
        self.picks.push((source, row));
    }

    pub fn len(&self) -> usize {
        self.picks.len()
    }

    pub fn is_empty(&self) -> bool {
        self.picks.is_empty()
    }

    /// One column of the rows.
    pub fn column(&self, column: usize) -> ArrayRef {
        let nulls = new_null_array(self.any_rows().column(column).data_type(), 1);
        let parts: Vec<_> = std::iter::once(nulls.as_ref())
            .chain(self.sources.iter().map(|source| source.column(column).as_ref()))
            .collect();
        interleave(&parts, &self.picks).expect("chunks of one layout have one type")
    }

    /// Some columns of the rows.
    pub fn rows(&self, columns: &[usize]) -> RecordBatch {
        let schema = self.any_rows().schema().project(columns).expect("the columns are there");
        batch_of(&Arc::new(schema), columns.iter().map(|&column| self.column(column)).collect(), self.len())
    }

    fn any_rows(&self) -> &RecordBatch {
        self.batches[0].chunk(0).rows()
    }
}
