//! What a source delivers, collected as text.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use millrace::connect::{Follower, Positions, RecordError, Source, SourceBatch};
use millrace::types::{Error, Result};

const TIMEOUT: Duration = Duration::from_secs(60);

/// A source being followed.
pub struct Live {
    pub follower: Box<dyn Follower>,
    batches: Receiver<Result<SourceBatch>>,
    pub rows: Vec<String>,
    /// How many rows came, also when they are forgotten.
    pub taken: usize,
    pub forget_rows: bool,
    pub errors: Vec<RecordError>,
    pub positions: Positions,
    pub failure: Option<Error>,
}

impl Live {
    pub fn from_start(source: &Arc<dyn Source>) -> Live {
        Live::from(source, source.start().expect("the topic is there"))
    }

    pub fn from(source: &Arc<dyn Source>, from: Positions) -> Live {
        let (sender, batches) = sync_channel(2);
        let follower = source.follow(from, sender, Arc::new(|| {})).expect("following begins");
        Live {
            follower,
            batches,
            rows: vec![],
            taken: 0,
            forget_rows: false,
            errors: vec![],
            positions: Positions::default(),
            failure: None,
        }
    }

    /// Takes batches until `done`.
    pub fn wait(&mut self, what: &str, done: impl Fn(&Live) -> bool) {
        let began = Instant::now();
        while !done(self) {
            let (rows, errors, failure) = (self.taken, &self.errors, &self.failure);
            assert!(began.elapsed() < TIMEOUT, "no {what}: {rows} rows, errors {errors:?}, failure {failure:?}");
            match self.batches.recv_timeout(Duration::from_millis(50)) {
                Ok(Ok(batch)) => self.take(batch),
                Ok(Err(error)) => self.failure = Some(error),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    fn take(&mut self, batch: SourceBatch) {
        for (relation, rows) in &batch.rows {
            assert_eq!(*relation, 0);
            self.taken += rows.num_rows();
            if !self.forget_rows {
                self.rows.extend(texts(rows));
            }
        }
        self.errors.extend(batch.errors);
        for (partition, next) in batch.positions.0 {
            let before = self.positions.0.insert(partition, next);
            assert!(before < Some(next), "partition {partition} went from {before:?} to {next}");
        }
    }
}

/// The rows of the source's only relation between two positions.
pub fn rows_between(source: &Arc<dyn Source>, from: &Positions, to: &Positions) -> Result<Vec<String>> {
    let mut rows = vec![];
    for batch in source.read(0, from, to)? {
        rows.extend(texts(&batch?.rows));
    }
    Ok(rows)
}

/// Each row as its values with `|` between.
fn texts(rows: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::new().with_null("NULL");
    let columns = rows.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).expect("a formatter"));
    let columns: Vec<ArrayFormatter> = columns.collect();
    let row = |row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|");
    (0..rows.num_rows()).map(row).collect()
}
