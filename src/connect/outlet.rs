//! The reader's end of the bounded channel to the engine: sending waits while the channel is full, and stops waiting
//! when the follower is dropped, so that no reader outlives its source.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use super::SourceBatch;
use crate::types::{Error, Result, SqlState};

/// How soon a reader that waits for room looks again.
const FULL_RETRY: Duration = Duration::from_millis(1);

/// Told by the follower that is dropped, heard by its threads.
#[derive(Clone, Default)]
pub struct Stop(Arc<StopState>);

#[derive(Default)]
struct StopState {
    stopped: AtomicBool,
    lock: Mutex<()>,
    changed: Condvar,
}

impl Stop {
    pub fn stop(&self) {
        let _guard = self.0.lock.lock().expect("nothing panics while holding the lock");
        self.0.stopped.store(true, Ordering::Release);
        self.0.changed.notify_all();
    }

    pub fn is_stopped(&self) -> bool {
        self.0.stopped.load(Ordering::Acquire)
    }

    /// Sleeps, but not longer than until the stop.
    pub fn sleep(&self, duration: Duration) {
        let guard = self.0.lock.lock().expect("nothing panics while holding the lock");
        let waited = self.0.changed.wait_timeout_while(guard, duration, |()| !self.is_stopped());
        drop(waited.expect("nothing panics while holding the lock"));
    }
}

/// Starts a reader's thread.
pub fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<()> {
    let thread = std::thread::Builder::new().name(name.to_string()).spawn(run);
    thread.map(drop).map_err(|error| {
        Error::new(SqlState::INSUFFICIENT_RESOURCES, format!("can't start a thread for a source: {error}"))
    })
}

/// Where a reader's batches go.
pub struct Outlet {
    batches: SyncSender<Result<SourceBatch>>,
    wake: Arc<dyn Fn() + Send + Sync>,
    stop: Stop,
}

impl Outlet {
    pub fn new(batches: SyncSender<Result<SourceBatch>>, wake: Arc<dyn Fn() + Send + Sync>, stop: Stop) -> Self {
        Outlet { batches, wake, stop }
    }

    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    /// Sends, waiting for room; `false` if nobody wants more. While it waits, `meanwhile` is called again and again.
    pub fn send(&self, batch: Result<SourceBatch>, mut meanwhile: impl FnMut()) -> bool {
        let mut unsent = batch;
        loop {
            match self.batches.try_send(unsent) {
                Ok(()) => {
                    (self.wake)();
                    return true;
                }
                Err(TrySendError::Disconnected(_)) => return false,
                Err(TrySendError::Full(back)) => unsent = back,
            }
            meanwhile();
            self.stop.sleep(FULL_RETRY);
            if self.stop.is_stopped() {
                return false;
            }
        }
    }
}
