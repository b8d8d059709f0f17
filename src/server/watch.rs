//! What may end a statement before it ends itself: a cancel request, its deadline, the client's going away, the
//! server's shutdown, and a fault of ours. Each drops the work; the connection decides what is said.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures::FutureExt;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::watch;
use tokio::time::Instant;

use super::cancel::{CancelFlag, Registration};
use super::reply::Replies;
use super::request::{Request, RequestError, next_request, sync_is_next};
use crate::types::{Error, Result, SqlState};

/// How much of what a client sends ahead is read while a statement runs.
const READ_AHEAD_BYTES_MAX: usize = 1 << 20;

/// The reading side of a connection, and everything else that can interrupt it.
pub(super) struct Watch {
    socket: Box<dyn AsyncRead + Send + Unpin>,
    /// Received, not yet decoded.
    buffer: BytesMut,
    cancel: Arc<CancelFlag>,
    /// As long as it lives, the session can be cancelled.
    _registration: Registration,
    shutdown: watch::Receiver<bool>,
    deadline: Option<Instant>,
}

/// Why something that was waited for did not happen.
#[derive(Debug)]
pub(super) enum Interrupt {
    Cancelled,
    TimedOut,
    /// The client closed the connection, or it broke.
    Gone,
    Shutdown,
    /// The client sent something that is no message, or one that we do not take.
    Request(RequestError),
}

impl Watch {
    pub fn new(
        socket: Box<dyn AsyncRead + Send + Unpin>,
        buffer: BytesMut,
        registration: Registration,
        shutdown: watch::Receiver<bool>,
    ) -> Self {
        let cancel = registration.flag.clone();
        Watch { socket, buffer, cancel, _registration: registration, shutdown, deadline: None }
    }

    /// From now on cancel requests are meant for what is being done.
    pub fn begin(&mut self) {
        self.cancel.begin();
    }

    pub fn end(&mut self) {
        self.cancel.end();
        self.deadline = None;
    }

    /// How long the next steps may take together.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.deadline = timeout.map(|timeout| Instant::now() + timeout);
    }

    /// Whether the next message is here and a Sync.
    pub fn sync_is_next(&self) -> bool {
        sync_is_next(&self.buffer)
    }

    /// The next message. An interrupt loses no message.
    pub async fn receive(&mut self) -> Result<Request, Interrupt> {
        loop {
            if let Some(request) = next_request(&mut self.buffer).map_err(Interrupt::Request)? {
                return Ok(request);
            }
            tokio::select! {
                biased;
                () = self.cancel.requested() => return Err(Interrupt::Cancelled),
                () = shut_down(&mut self.shutdown) => return Err(Interrupt::Shutdown),
                read = self.socket.read_buf(&mut self.buffer) => match read {
                    Ok(0) | Err(_) => return Err(Interrupt::Gone),
                    Ok(_) => {}
                },
                () = passed(self.deadline) => return Err(Interrupt::TimedOut),
            }
        }
    }

    /// Does `work` unless something interrupts it; then it is dropped. A panic in it becomes an error of the statement.
    pub async fn run<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<Result<T>, Interrupt> {
        let guarded = AssertUnwindSafe(work).catch_unwind();
        tokio::select! {
            biased;
            () = self.cancel.requested() => Err(Interrupt::Cancelled),
            () = shut_down(&mut self.shutdown) => Err(Interrupt::Shutdown),
            () = closed(&mut self.socket, &mut self.buffer) => Err(Interrupt::Gone),
            () = passed(self.deadline) => Err(Interrupt::TimedOut),
            output = guarded => Ok(output.unwrap_or_else(|panic| Err(fault(&*panic)))),
        }
    }

    /// Writes what was gathered; waits as long as the client takes to read it.
    pub async fn flush(&mut self, replies: &mut Replies) -> Result<(), Interrupt> {
        let written = self.run(async { Ok(replies.flush().await) }).await?;
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Interrupt::Gone),
        }
    }
}

/// Does something that takes no time; a panic becomes an error of the statement.
pub(super) fn guard<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    std::panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(fault(&*panic)))
}

/// Returns when the client is gone; reads ahead meanwhile, as far as the limit goes.
async fn closed(socket: &mut (dyn AsyncRead + Send + Unpin), buffer: &mut BytesMut) {
    while buffer.len() < READ_AHEAD_BYTES_MAX {
        match socket.read_buf(buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    std::future::pending().await
}

/// Returns when the server is to stop.
pub(super) async fn shut_down(shutdown: &mut watch::Receiver<bool>) {
    if shutdown.wait_for(|&stop| stop).await.is_err() {
        // Whoever could tell us to stop is gone without having done so.
        std::future::pending().await
    }
}

async fn passed(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// What a client is told of a panic; the log has its message and place from the panic hook.
fn fault(panic: &(dyn Any + Send)) -> Error {
    let said = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = said.unwrap_or("(no message)"), "a statement failed by a fault of the server");
    Error::new(SqlState::INTERNAL_ERROR, "the statement failed by a fault of the server")
        .with_detail(said.unwrap_or("The fault gave no message."))
        .with_hint("Please report it with the statement and the server's log.")
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::server::cancel::Cancels;

    struct Watched {
        watch: Watch,
        cancels: Arc<Cancels>,
        process_id: i32,
        key: bytes::Bytes,
        stop: watch::Sender<bool>,
    }

    fn watch_over(socket: tokio::io::DuplexStream) -> Watched {
        let cancels = Arc::new(Cancels::default());
        let registration = cancels.register(true);
        let (process_id, key) = (registration.process_id, registration.key.clone());
        let (stop, shutdown) = watch::channel(false);
        let watch = Watch::new(Box::new(socket), BytesMut::new(), registration, shutdown);
        Watched { watch, cancels, process_id, key, stop }
    }

    async fn never() -> Result<()> {
        std::future::pending().await
    }

    #[tokio::test]
    async fn each_interrupt_drops_the_work() {
        let (mut client, socket) = tokio::io::duplex(1 << 10);
        let Watched { mut watch, cancels, process_id, key, stop } = watch_over(socket);
        watch.begin();
        cancels.cancel(process_id, &key);
        assert!(matches!(watch.run(never()).await, Err(Interrupt::Cancelled)));

        watch.set_timeout(Some(Duration::from_millis(1)));
        assert!(matches!(watch.run(never()).await, Err(Interrupt::TimedOut)));
        watch.end();

        client.write_all(b"S\0\0\0\x04").await.unwrap();
        assert_eq!(watch.run(async { Ok(7) }).await.unwrap().unwrap(), 7);
        assert_eq!(watch.receive().await.unwrap(), Request::Sync);

        stop.send(true).unwrap();
        assert!(matches!(watch.run(never()).await, Err(Interrupt::Shutdown)));
        stop.send(false).unwrap();
        drop(client);
        assert!(matches!(watch.run(never()).await, Err(Interrupt::Gone)));
        assert!(matches!(watch.receive().await, Err(Interrupt::Gone)));
    }

    #[tokio::test]
    async fn a_panic_is_an_error_of_the_statement() {
        let (_client, socket) = tokio::io::duplex(1 << 10);
        let Watched { mut watch, stop: _stop, .. } = watch_over(socket);
        let outcome: Result<()> = watch.run(async { panic!("seven") }).await.unwrap();
        assert_eq!(outcome.unwrap_err().state(), SqlState::INTERNAL_ERROR);
        assert_eq!(guard::<()>(|| panic!("eight")).unwrap_err().detail(), Some("eight"));
    }
}
