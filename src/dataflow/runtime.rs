//! The workers: commands in, published arrangements out. The only door between timely's threads and everybody else.
//!
//! ```text
//!   engine ── Command ──▶ worker 0..n   every worker applies the same commands in the same order
//!   engine ── feed ─────▶ one worker    deltas; the dataflow exchanges rows by hash
//!   engine ◀─ Snapshot ── worker 0..n   after each step: sealed chunks, and the frontier they are complete to
//! ```

use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use super::plan::Plan;
use crate::types::{Delta, ObjectId, Result, Time};

/// How the workers are set up.
#[derive(Clone, Debug)]
pub struct Options {
    pub workers: usize,
    /// Seed of the row hash; one per database, kept for ever.
    pub hash_seed: u64,
}

/// Where rows come from that no plan computes.
#[derive(Clone, Debug)]
pub enum InputKind {
    /// Rows and diffs are taken as they are and kept in an arrangement by `key` (all columns if empty).
    Table { key: Vec<usize> },
    /// Each row is the new value of its `key` columns, or, where the column after the last (boolean `tombstone`) is true,
    /// its removal. Among rows of one key and time the greatest `sequence` (bigint, the column after that) wins.
    /// The arrangement holds the current row per key.
    Upsert { key: Vec<usize> },
    /// Nothing is kept: each view that reads the input gets its history from whoever owns it, then the live feed.
    Append,
}

/// What every worker does, in the same order.
#[derive(Clone, Debug)]
pub enum Command {
    /// A relation fed from outside; it is complete up to `from` (exclusive) and empty.
    CreateInput { id: ObjectId, kind: InputKind, schema: SchemaRef, from: Time },
    /// A view whose contents are right from `as_of` on, arranged by `key` (all columns if empty). For every
    /// [`InputKind::Append`] input that it reads, history must be fed and closed; until then its frontier stays at `as_of`.
    CreateView { id: ObjectId, plan: Arc<Plan>, as_of: Time, key: Vec<usize> },
    /// Another arrangement of a table, upsert source or view.
    CreateIndex { id: ObjectId, on: ObjectId, key: Vec<usize> },
    /// The dataflow and its arrangements go; what reads them must have been dropped before.
    Drop { id: ObjectId },
    /// No row with a time below `to` will be fed any more, on any input.
    Advance { to: Time },
    /// Nobody will read at a time below `to`.
    Compact { to: Time },
}

/// The running workers.
pub struct Runtime {}

impl Runtime {
    /// Starts the workers. `on_progress` is called from worker threads whenever a published frontier has moved;
    /// it must be quick and must not call back.
    pub fn start(options: Options, on_progress: Arc<dyn Fn() + Send + Sync>) -> Result<Runtime> {
        let _ = (options, on_progress);
        todo!()
    }

    pub fn execute(&self, command: Command) {
        let _ = command;
        todo!()
    }

    /// Rows of an input. Their times are at least the last `Advance`.
    pub fn feed(&self, input: ObjectId, delta: Delta) {
        let _ = (input, delta);
        todo!()
    }

    /// Rows of an append input from before the view was made, for that view alone, at times up to its `as_of`.
    /// Blocks while the view is more than a bounded number of rows behind.
    pub fn feed_history(&self, view: ObjectId, input: ObjectId, delta: Delta) {
        let _ = (view, input, delta);
        todo!()
    }

    /// The history of `input` for `view` is complete.
    pub fn close_history(&self, view: ObjectId, input: ObjectId) {
        let _ = (view, input);
        todo!()
    }
}
