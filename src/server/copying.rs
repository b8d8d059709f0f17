//! COPY FROM STDIN within a connection: the client sends rows until it says that they are all, or that they are not.

use super::copy::CopyReader;
use super::failure::Failure;
use super::request::{Request, violation};
use super::session_loop::Connection;
use super::watch::Interrupt;
use crate::engine::CopyIn;
use crate::types::{Error, SqlState};

impl Connection {
    /// Receives the rows and hands them to the session; gives the command's tag.
    pub async fn copy_in(&mut self, mut copy: CopyIn) -> Result<String, Failure> {
        self.replies.copy_in(copy.columns.columns.len());
        self.watch.flush(&mut self.replies).await?;
        match self.receive_copy(&mut copy).await {
            Ok(()) => Ok(self.watch.run(self.session.copy_end(copy, Ok(()))).await??),
            Err(failure) => {
                let error = failure.error();
                // The deadline may be what failed; giving up has none.
                self.watch.set_timeout(None);
                // What copy_end says to an error is that error.
                let _ = self.watch.run(self.session.copy_end(copy, Err(error))).await;
                Err(failure)
            }
        }
    }

    async fn receive_copy(&mut self, copy: &mut CopyIn) -> Result<(), Failure> {
        let mut reader = CopyReader::new(&copy.columns, &copy.options);
        loop {
            let is_over = match self.watch.receive().await {
                Ok(Request::CopyData(data)) => {
                    reader.feed(&data)?;
                    false
                }
                Ok(Request::CopyDone) => {
                    reader.finish()?;
                    true
                }
                Ok(Request::CopyFail(message)) => {
                    let message = format!("COPY from stdin failed: {message}");
                    return Err(Error::new(SqlState::QUERY_CANCELED, message).into());
                }
                // Clients send Sync right after the Execute that started the COPY.
                Ok(Request::Flush | Request::Sync) => false,
                Ok(Request::Terminate) => return Err(Interrupt::Gone.into()),
                Ok(_) => return Err(violation("unexpected message type during COPY from stdin").into()),
                Err(interrupt) => return Err(interrupt.into()),
            };
            while let Some((rows, first_line)) = reader.take_batch(is_over) {
                self.watch.run(self.session.copy_rows(copy, rows, first_line)).await??;
            }
            if is_over {
                return Ok(());
            }
        }
    }
}
