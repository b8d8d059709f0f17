//! Cursors: a statement's rows, handed out as they are fetched.

use std::time::Duration;

use arrow::array::RecordBatch;
use futures::StreamExt;

use super::outcome::RowStream;
use crate::types::{Relation, Result};

/// An open cursor.
pub struct Cursor {
    pub columns: Relation,
    /// It outlives its transaction.
    pub hold: bool,
    /// Rows never end (SUBSCRIBE), so FETCH waits for the first only.
    pub endless: bool,
    rows: RowStream,
    /// What has been read of the stream and not handed out yet.
    rest: Option<RecordBatch>,
}

impl Cursor {
    pub fn new(columns: Relation, rows: RowStream, hold: bool, endless: bool) -> Self {
        Cursor { columns, hold, endless, rows, rest: None }
    }

    /// Up to `count` rows. Of an endless stream: waits (at most for `timeout`) until there is one, then takes what is
    /// there. Dropping the future loses nothing: what has been taken stays in the cursor until it is returned.
    pub async fn fetch(&mut self, count: usize, timeout: Option<Duration>) -> Result<Vec<RecordBatch>> {
        let deadline = timeout.map(|timeout| tokio::time::Instant::now() + timeout);
        let mut taken = Taken { cursor: self, batches: Vec::new() };
        let mut missing = count;
        while missing > 0 {
            let Some(batch) = taken.next(deadline).await? else { break };
            let rows = batch.num_rows().min(missing);
            if rows < batch.num_rows() {
                taken.cursor.rest = Some(batch.slice(rows, batch.num_rows() - rows));
            }
            taken.batches.push(batch.slice(0, rows));
            missing -= rows;
        }
        Ok(std::mem::take(&mut taken.batches))
    }
}

/// Batches on their way out; what is not returned goes back into the cursor.
struct Taken<'a> {
    cursor: &'a mut Cursor,
    batches: Vec<RecordBatch>,
}

impl Taken<'_> {
    async fn next(&mut self, deadline: Option<tokio::time::Instant>) -> Result<Option<RecordBatch>> {
        if let Some(rest) = self.cursor.rest.take() {
            return Ok(Some(rest));
        }
        let has_some = !self.batches.is_empty();
        let next = self.cursor.rows.next();
        let next = match (self.cursor.endless && has_some, deadline) {
            // What is there already, but no waiting.
            (true, _) => tokio::time::timeout(Duration::from_millis(1), next).await.ok().flatten(),
            (false, Some(deadline)) => tokio::time::timeout_at(deadline, next).await.ok().flatten(),
            (false, None) => next.await,
        };
        next.transpose()
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let Some(first) = self.batches.first() else { return };
        let all = self.batches.iter().chain(self.cursor.rest.as_ref());
        let together = arrow::compute::concat_batches(&first.schema(), all);
        self.cursor.rest = Some(together.expect("batches of one stream have one schema"));
    }
}
