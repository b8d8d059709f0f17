//! Wakes a thread that waits for something to do.

use std::sync::{Condvar, Mutex};
use std::time::Duration;

/// Remembers one ring for who is not waiting yet.
#[derive(Default)]
pub struct Bell {
    rung: Mutex<bool>,
    condition: Condvar,
}

impl Bell {
    pub fn ring(&self) {
        *self.rung.lock().expect("no panic while ringing") = true;
        self.condition.notify_one();
    }

    /// Waits until it is rung, or a limit has passed.
    pub fn wait(&self, limit: Duration) {
        let rung = self.rung.lock().expect("no panic while ringing");
        let wait = self.condition.wait_timeout_while(rung, limit, |rung| !*rung);
        *wait.expect("no panic while ringing").0 = false;
    }
}
