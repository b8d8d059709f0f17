//! The wall clock and randomness: the only file that may read either, so that everything else can be replayed.

use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Time;

/// Mints timestamps: microseconds since the epoch, strictly increasing even when the wall clock is not.
pub struct Clock {
    last: Mutex<Time>,
}

impl Clock {
    /// A clock whose first time is later than `after` (the durable high-water mark of an earlier run, or 0).
    pub fn starting_after(after: Time) -> Self {
        Clock { last: Mutex::new(after) }
    }

    /// `max(wall clock, last + 1)`.
    pub fn mint(&self) -> Time {
        let mut last = self.last.lock().expect("no panic while minting");
        *last = wall_micros().max(*last + 1);
        *last
    }
}

/// Microseconds since the epoch by the wall clock, for reports to people; timestamps come from [`Clock::mint`].
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn wall_micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is after 1970");
    since.as_micros() as u64
}

/// A number that nobody can guess: cancel keys, hash seeds, names of temporary things.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn random_u64() -> u64 {
    rand::random()
}
