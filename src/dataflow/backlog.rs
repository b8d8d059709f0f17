//! How much was fed that is not finished: what the engine looks at before it feeds more.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::columns::bytes_of;
use crate::types::{Delta, Time};

/// Bytes fed, by their time.
#[derive(Default)]
pub struct Backlog {
    bytes: Mutex<BTreeMap<Time, usize>>,
}

impl Backlog {
    pub fn fed(&self, delta: &Delta) {
        *self.bytes.lock().expect("no panic while counting").entry(delta.times.greatest()).or_default() +=
            bytes_of(&delta.rows);
    }

    /// What was fed at `frontier` or later; the rest is forgotten.
    pub fn unfinished(&self, frontier: Time) -> usize {
        let mut bytes = self.bytes.lock().expect("no panic while counting");
        *bytes = bytes.split_off(&frontier);
        bytes.values().sum()
    }
}
