//! Millrace, a streaming SQL database: a view is one SQL text, kept up to date by differential dataflow or computed
//! once by DataFusion, with the same rows either way.
//!
//! The rooms, in reading order; each imports only from those above it (`src/README.md` is the map).

pub mod types;

pub mod dataflow;

pub mod store;

pub mod catalog;

pub mod connect;

pub mod sql;

pub mod engine;

pub mod server;

// Beside the rooms: a client of the server like any other, over the wire.
pub mod slt;

// Beside the rooms too: programs that print figures, over a database in their own process.
pub mod bench;
