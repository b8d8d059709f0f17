//! Keeps the answer of a plan up to date as its inputs change: differential dataflow over Arrow.

pub mod accumulator;
pub mod arrange;
mod backlog;
pub mod chunk;
#[cfg(test)]
mod chunk_tests;
pub mod collection;
pub mod columns;
pub mod compare;
pub mod context;
pub mod cursor;
pub mod errors;
pub mod evaluate;
pub mod exchange;
pub mod layout;
pub mod memory;
mod merge;
#[cfg(test)]
pub mod naive;
pub mod operator;
pub mod page;
pub mod plan;
pub mod published;
pub mod read;
pub mod render;
pub mod runtime;
#[cfg(test)]
mod runtime_tests;
pub mod saved;
mod selection;
pub mod subscription;
#[cfg(test)]
pub mod test_data;
mod worker;
