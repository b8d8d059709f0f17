//! Sends rows as they come: never more than a batch is held, and the next is asked for when the last is written.

use std::time::Duration;

use arrow::array::RecordBatch;
use futures::{FutureExt, StreamExt};
use tokio::time::Instant;

use super::copy::CopyWriter;
use super::encode::RowEncoder;
use super::failure::Failure;
use super::reply::{REPLY_BYTES, Replies};
use super::request::Format;
use super::watch::{Watch, guard};
use crate::engine::{CopyOptions, RowStream};
use crate::types::Relation;
use crate::types::text::TextStyle;

/// The verb of rows that do not end.
const ENDLESS_VERB: &str = "SUBSCRIBE";
/// How long a portal with a row limit waits for more rows of an endless stream once it has some.
const LINGER: Duration = Duration::from_millis(20);

/// Rows on their way, with what was taken from their stream but not sent yet.
pub(super) struct OpenRows {
    pub columns: Relation,
    pub verb: &'static str,
    stream: RowStream,
    rest: Option<RecordBatch>,
}

/// How sending ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// The stream is over.
    All(u64),
    /// The limit was reached, or an endless stream has no more for the moment.
    Some(u64),
}

/// Everything that sending needs of a connection.
pub(super) struct Wire<'a> {
    pub watch: &'a mut Watch,
    pub replies: &'a mut Replies,
    pub style: &'a TextStyle,
}

impl OpenRows {
    pub fn new(columns: Relation, stream: RowStream, verb: &'static str) -> Self {
        OpenRows { columns, verb, stream, rest: None }
    }

    /// Sends rows, `limit` at most (0 is all).
    pub async fn send(&mut self, wire: &mut Wire<'_>, formats: &[Format], limit: usize) -> Result<Sent, Failure> {
        let limit = if limit == 0 { usize::MAX } else { limit };
        let lingers = self.verb == ENDLESS_VERB && limit != usize::MAX;
        let mut sent = 0;
        let mut until = None;
        while sent < limit {
            let Some(batch) = self.next(wire, until).await? else {
                return Ok(match until.is_some_and(|until| until <= Instant::now()) {
                    true => Sent::Some(sent as u64),
                    false => Sent::All(sent as u64),
                });
            };
            let rows = batch.num_rows().min(limit - sent);
            let now = batch.slice(0, rows);
            if rows < batch.num_rows() {
                self.rest = Some(batch.slice(rows, batch.num_rows() - rows));
            }
            send_batch(wire, &now, &self.columns, formats).await?;
            sent += rows;
            if lingers && sent > 0 && until.is_none() {
                until = Some(Instant::now() + LINGER);
            }
        }
        Ok(Sent::Some(sent as u64))
    }

    /// The next batch; what was gathered is written before waiting for it. None at the end of the stream, or when
    /// `until` has passed.
    async fn next(&mut self, wire: &mut Wire<'_>, until: Option<Instant>) -> Result<Option<RecordBatch>, Failure> {
        if let Some(rest) = self.rest.take() {
            return Ok(Some(rest));
        }
        next_batch(&mut self.stream, wire, until).await
    }
}

/// Sends rows in a COPY format, each as a message; gives their number.
pub(super) async fn send_copy(
    wire: &mut Wire<'_>,
    columns: &Relation,
    mut stream: RowStream,
    options: &CopyOptions,
) -> Result<u64, Failure> {
    let mut sent = 0;
    if options.header {
        CopyWriter::header(columns, options, wire.replies.buffer());
    }
    while let Some(batch) = next_batch(&mut stream, wire, None).await? {
        let mut writer = guard(|| CopyWriter::new(&batch, columns, options, wire.style))?;
        let mut row = 0;
        while row < batch.num_rows() {
            row = append(wire.replies, |buffer| writer.write(row, buffer, REPLY_BYTES))?;
            flush_if_full(wire).await?;
        }
        sent += batch.num_rows() as u64;
    }
    wire.replies.copy_done();
    Ok(sent)
}

async fn send_batch(
    wire: &mut Wire<'_>,
    batch: &RecordBatch,
    columns: &Relation,
    formats: &[Format],
) -> Result<(), Failure> {
    let mut encoder = guard(|| RowEncoder::new(batch, columns, formats, wire.style))?;
    let mut row = 0;
    while row < batch.num_rows() {
        row = append(wire.replies, |buffer| encoder.encode(row, buffer, REPLY_BYTES))?;
        flush_if_full(wire).await?;
    }
    Ok(())
}

/// Lets `write` append to the buffer; whatever goes wrong in it, no part of a message stays behind.
fn append(
    replies: &mut Replies,
    write: impl FnOnce(&mut bytes::BytesMut) -> crate::types::Result<usize>,
) -> Result<usize, Failure> {
    let buffer = replies.buffer();
    let before = buffer.len();
    let written = guard(|| write(buffer));
    if written.is_err() {
        buffer.truncate(before);
    }
    Ok(written?)
}

async fn flush_if_full(wire: &mut Wire<'_>) -> Result<(), Failure> {
    if wire.replies.is_full() {
        wire.watch.flush(wire.replies).await?;
    }
    Ok(())
}

async fn next_batch(
    stream: &mut RowStream,
    wire: &mut Wire<'_>,
    until: Option<Instant>,
) -> Result<Option<RecordBatch>, Failure> {
    // Ready rows are taken at once. Else the client gets what there is before we wait.
    if let Some(ready) = guard(|| Ok(stream.next().now_or_never()))? {
        // A stream that is always ready must not keep cancel requests from being seen.
        wire.watch.run(async { Ok(()) }).await??;
        return Ok(ready.transpose()?);
    }
    if !wire.replies.is_empty() {
        wire.watch.flush(wire.replies).await?;
    }
    let next = async {
        match until {
            None => stream.next().await.transpose(),
            Some(until) => match tokio::time::timeout_at(until, stream.next()).await {
                Ok(next) => next.transpose(),
                Err(_) => Ok(None),
            },
        }
    };
    Ok(wire.watch.run(next).await??)
}
