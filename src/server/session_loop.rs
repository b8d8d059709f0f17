//! One client's connection after start-up: messages in, results out, until either side ends it.

use std::collections::HashMap;
use std::time::Duration;

use super::extended::Portal;
use super::failure::{End, Failure, end_of, idle_too_long};
use super::listener::Slot;
use super::reply::{Replies, Weight};
use super::request::{Format, Recovery, Request, RequestError};
use super::rows::{OpenRows, Sent, Wire, send_copy};
use super::watch::{Interrupt, Watch, guard};
use crate::engine::{Outcome, Session, TransactionStatus};
use crate::types::text::TextStyle;
use crate::types::{Error, Result};

/// A session and its wire.
pub(super) struct Connection {
    pub session: Session,
    pub watch: Watch,
    pub replies: Replies,
    pub portals: HashMap<String, Portal>,
    /// After an error in the extended protocol everything up to the next Sync is thrown away.
    pub skips_until_sync: bool,
    /// Whether an implicit transaction spans the messages up to the next Sync.
    pub in_pipeline: bool,
    _slot: Slot,
}

impl Connection {
    pub fn new(session: Session, watch: Watch, replies: Replies, slot: Slot) -> Self {
        let portals = HashMap::new();
        Connection { session, watch, replies, portals, skips_until_sync: false, in_pipeline: false, _slot: slot }
    }

    /// Serves the client until it leaves or must leave.
    pub async fn serve(mut self) {
        let end = match self.finish().await {
            Ok(()) => self.answer_all().await,
            Err(end) => end,
        };
        if let End::Saying(error) = end {
            self.replies.error(Weight::Fatal, &error);
            // The client may have gone meanwhile, which is what we want of it.
            let _ = tokio::time::timeout(FAREWELL, self.replies.close()).await;
        }
    }

    async fn answer_all(&mut self) -> End {
        loop {
            self.watch.set_timeout(self.idle_timeout());
            let request = match self.watch.receive().await {
                Ok(Request::Terminate) => return End::Quietly,
                Ok(request) => request,
                Err(Interrupt::TimedOut) => return End::Saying(idle_too_long()),
                Err(Interrupt::Request(refused)) => match self.refuse(refused).await {
                    Ok(()) => continue,
                    Err(end) => return end,
                },
                Err(interrupt) => return end_of(interrupt),
            };
            self.watch.begin();
            let answered = self.answer(request).await;
            self.watch.end();
            if let Err(end) = answered {
                return end;
            }
        }
    }

    async fn answer(&mut self, request: Request) -> Result<(), End> {
        match request {
            Request::Query(text) if !self.skips_until_sync => {
                let outcome = self.simple_query(&text).await;
                self.settle(outcome).await?;
                self.finish().await
            }
            Request::Sync => self.sync().await,
            // What a client still sends after a COPY that failed.
            Request::CopyData(_) | Request::CopyDone | Request::CopyFail(_) => Ok(()),
            _ if self.skips_until_sync => Ok(()),
            Request::FunctionCall => {
                let refusal = Error::unsupported("function calls outside of statements are not supported")
                    .with_hint("Call the function in a SELECT.");
                self.settle(Err(refusal.into())).await?;
                self.finish().await
            }
            request => {
                let outcome = self.extended(request).await;
                self.skips_until_sync = outcome.is_err();
                self.settle(outcome).await
            }
        }
    }

    /// A message that was cut out of the stream but not understood.
    async fn refuse(&mut self, RequestError { error, recovery }: RequestError) -> Result<(), End> {
        match recovery {
            Recovery::Impossible => Err(End::Saying(error)),
            _ if self.skips_until_sync => Ok(()),
            Recovery::SkipToSync => {
                self.skips_until_sync = true;
                self.settle(Err(error.into())).await
            }
            Recovery::Ready => {
                self.settle(Err(error.into())).await?;
                self.finish().await
            }
        }
    }

    /// All statements of one string, each answered before the next begins.
    async fn simple_query(&mut self, text: &str) -> Result<(), Failure> {
        self.portals.remove("");
        self.session.prepared().remove("");
        let statements = guard(|| self.session.parse(text))?;
        if statements.is_empty() {
            self.replies.empty_query();
            return Ok(());
        }
        let is_several = statements.len() > 1;
        for (index, statement) in statements.iter().enumerate() {
            self.limit_time();
            if is_several {
                self.session.begin_implicit();
            }
            let outcome = self.watch.run(self.session.execute(statement, &[])).await??;
            let tag = self.deliver(outcome).await?;
            if is_several && index + 1 == statements.len() {
                self.watch.run(self.session.end_implicit(true)).await??;
            }
            self.complete(tag);
        }
        Ok(())
    }

    /// Sends what a statement of a simple query gave. The tag is for the caller to send; None after an empty one.
    async fn deliver(&mut self, outcome: Outcome) -> Result<Option<String>, Failure> {
        match outcome {
            Outcome::Rows { columns, rows, verb } => {
                let formats = vec![Format::Text; columns.columns.len()];
                self.replies.row_description(&columns, &formats);
                let mut rows = OpenRows::new(columns, rows, verb);
                let style = self.style();
                let mut wire = Wire { watch: &mut self.watch, replies: &mut self.replies, style: &style };
                let (Sent::All(count) | Sent::Some(count)) = rows.send(&mut wire, &formats, 0).await?;
                Ok(Some(format!("{verb} {count}")))
            }
            other => self.deliver_rowless(other).await,
        }
    }

    /// Both protocols answer these in the same way.
    pub async fn deliver_rowless(&mut self, outcome: Outcome) -> Result<Option<String>, Failure> {
        match outcome {
            Outcome::Rows { .. } => Err(Error::internal("rows came where none were announced").into()),
            Outcome::Done { tag } => Ok(Some(tag)),
            Outcome::Empty => Ok(None),
            Outcome::CopyOut { columns, rows, options } => {
                self.replies.copy_out(columns.columns.len());
                let style = self.style();
                let mut wire = Wire { watch: &mut self.watch, replies: &mut self.replies, style: &style };
                let count = send_copy(&mut wire, &columns, rows, &options).await?;
                Ok(Some(format!("COPY {count}")))
            }
            Outcome::CopyIn(copy) => Ok(Some(self.copy_in(copy).await?)),
        }
    }

    pub fn complete(&mut self, tag: Option<String>) {
        self.send_notices();
        match tag {
            Some(tag) => self.replies.command_complete(tag),
            None => self.replies.empty_query(),
        }
    }

    /// Tells the client what went wrong, if something did, and leaves the transaction as it then must be.
    async fn settle(&mut self, outcome: Result<(), Failure>) -> Result<(), End> {
        let Err(failure) = outcome else { return Ok(()) };
        let failure = match failure {
            Failure::Interrupted(Interrupt::Cancelled | Interrupt::TimedOut) | Failure::Statement(_) => failure,
            Failure::Interrupted(Interrupt::Request(refused)) if refused.recovery != Recovery::Impossible => {
                Failure::Statement(refused.error)
            }
            Failure::Interrupted(interrupt) => return Err(end_of(interrupt)),
        };
        self.send_notices();
        self.replies.error(Weight::Error, &failure.error());
        // The deadline was the failed statement's, and a second cancel request would mean it too.
        self.watch.end();
        self.in_pipeline = false;
        match self.watch.run(self.session.end_implicit(false)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(?error, "a rollback failed"),
            Err(interrupt) => return Err(end_of(interrupt)),
        }
        if self.session.transaction_status() == TransactionStatus::InTransaction {
            self.session.fail_transaction();
        }
        // Some clients send the Sync that ends a failed pipeline only once they have seen the error.
        self.watch.flush(&mut self.replies).await.map_err(end_of)
    }

    async fn sync(&mut self) -> Result<(), End> {
        self.skips_until_sync = false;
        if std::mem::take(&mut self.in_pipeline) {
            self.limit_time();
            let outcome = self.watch.run(self.session.end_implicit(true)).await;
            let outcome = outcome.map_err(Failure::from).and_then(|committed| committed.map_err(Failure::from));
            self.settle(outcome).await?;
        }
        self.finish().await
    }

    /// Ready for the next: settings that changed, notices, the transaction's status.
    async fn finish(&mut self) -> Result<(), End> {
        let status = self.session.transaction_status();
        if status == TransactionStatus::Idle {
            self.portals.clear();
        }
        self.send_notices();
        for (name, value) in self.session.changed_settings() {
            self.replies.parameter_status(name, value);
        }
        self.replies.ready_for_query(status);
        // The statement is over; its deadline is not the client's for reading the answer.
        self.watch.end();
        self.watch.flush(&mut self.replies).await.map_err(end_of)
    }

    fn send_notices(&mut self) {
        for notice in self.session.take_notices() {
            self.replies.notice(&notice);
        }
    }

    /// The statement that begins now must end within statement_timeout.
    pub fn limit_time(&mut self) {
        self.watch.set_timeout(self.timeout("statement_timeout"));
    }

    fn idle_timeout(&self) -> Option<Duration> {
        match self.session.transaction_status() {
            TransactionStatus::Idle => None,
            _ => self.timeout("idle_in_transaction_session_timeout"),
        }
    }

    fn timeout(&self, setting: &str) -> Option<Duration> {
        self.session.setting(setting).and_then(|value| duration_of(&value)).filter(|timeout| !timeout.is_zero())
    }

    pub fn style(&self) -> TextStyle {
        match self.session.setting("TimeZone") {
            Some(time_zone) => TextStyle { time_zone },
            None => TextStyle::default(),
        }
    }
}

/// How long a client that must go has to take the reason.
const FAREWELL: Duration = Duration::from_secs(1);

/// A duration as SHOW prints it: a number with a unit, or without one in milliseconds.
fn duration_of(value: &str) -> Option<Duration> {
    let value = value.trim();
    let digits = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let (number, unit) = value.split_at(digits);
    let number: u64 = number.parse().ok()?;
    Some(match unit.trim() {
        "us" => Duration::from_micros(number),
        "" | "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "min" => Duration::from_secs(number.checked_mul(60)?),
        "h" => Duration::from_secs(number.checked_mul(3600)?),
        "d" => Duration::from_secs(number.checked_mul(86_400)?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_show_prints_them() {
        let cases = [("0", 0), ("250", 250), ("250ms", 250), ("5s", 5_000), ("2min", 120_000), ("1h", 3_600_000)];
        for (text, millis) in cases {
            assert_eq!(duration_of(text), Some(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(duration_of("soon"), None);
    }
}
