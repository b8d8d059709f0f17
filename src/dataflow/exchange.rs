//! Moving rows to the worker that keeps their key.

use std::sync::Arc;

use timely::communication::Push;
use timely::dataflow::channels::Message;
use timely::dataflow::channels::pact::DistributorPact;
use timely::dataflow::channels::pushers::exchange::Distributor;

use super::columns::take_rows;
use super::layout::{Layout, worker_of};
use crate::types::Delta;

/// Every row goes to the worker of its key in `layout`; with one worker nothing moves.
pub fn by_key(layout: &Arc<Layout>) -> DistributorPact<impl FnOnce(usize) -> ByKey + use<>> {
    let layout = layout.clone();
    DistributorPact(move |_workers| ByKey { layout })
}

/// Splits deltas by the hash of their keys.
pub struct ByKey {
    layout: Arc<Layout>,
}

impl Distributor<Delta> for ByKey {
    fn partition<T: Clone, P: Push<Message<T, Delta>>>(&mut self, delta: &mut Delta, time: &T, workers: &mut [P]) {
        let mut positions = vec![vec![]; workers.len()];
        for (row, hash) in self.layout.key_hashes(&delta.rows).into_iter().enumerate() {
            positions[worker_of(hash, workers.len())].push(row as u32);
        }
        for (rows, worker) in positions.iter().zip(workers).filter(|(rows, _)| !rows.is_empty()) {
            let mut part = match rows.len() == delta.len() {
                true => delta.clone(),
                false => Delta {
                    rows: take_rows(&delta.rows, rows),
                    times: delta.times.take(rows),
                    diffs: delta.diffs.take(rows),
                },
            };
            Message::push_at(&mut part, time.clone(), worker);
        }
    }

    /// Nothing is kept back.
    fn flush<T: Clone, P: Push<Message<T, Delta>>>(&mut self, _time: &T, _workers: &mut [P]) {}
}
