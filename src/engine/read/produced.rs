//! Rows that a task of its own makes, a few batches ahead of whoever takes them. They end when the task says that it is
//! done, and not because it failed or panicked: what looks like all rows is all rows.

use arrow::array::RecordBatch;
use futures::Stream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::sql::stop::Stop;
use crate::types::{Error, Result, SqlState};

/// What sends the rows. It stops when nobody wants them any more.
pub struct Producer {
    pub task: JoinHandle<()>,
    pub stop: Stop,
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.stop.set();
        self.task.abort();
    }
}

/// The rows that `producer` sends. A panic of it goes on here.
pub fn produced(
    receiver: mpsc::Receiver<Result<RecordBatch>>,
    producer: Producer,
) -> impl Stream<Item = Result<RecordBatch>> + Send {
    futures::stream::unfold((receiver, Some(producer)), async |(mut receiver, producer)| {
        if let Some(batch) = receiver.recv().await {
            return Some((batch, (receiver, producer)));
        }
        let error = (&mut producer?.task).await.err()?;
        if error.is_panic() {
            std::panic::resume_unwind(error.into_panic());
        }
        let error = Error::new(SqlState::ADMIN_SHUTDOWN, "the database is shutting down");
        Some((Err(error), (receiver, None)))
    })
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, StreamExt};

    use super::*;

    #[tokio::test]
    async fn rows_that_end_by_a_fault_do_not_look_complete() {
        let rows = |panics: bool| {
            let (sender, receiver) = mpsc::channel(1);
            let task = tokio::spawn(async move {
                sender.send(Err(Error::internal("a row"))).await.unwrap();
                assert!(!panics, "a fault");
            });
            produced(receiver, Producer { task, stop: Stop::default() }).count()
        };
        assert_eq!(rows(false).await, 1);
        let fault = std::panic::AssertUnwindSafe(rows(true)).catch_unwind().await.unwrap_err();
        assert_eq!(fault.downcast_ref::<&str>(), Some(&"a fault"));
    }
}
