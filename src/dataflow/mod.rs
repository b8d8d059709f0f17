//! Keeps the answer of a plan up to date as its inputs change: differential dataflow over Arrow.

pub mod accumulator;
pub mod plan;
pub mod runtime;
