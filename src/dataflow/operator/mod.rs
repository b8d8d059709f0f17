//! The operators that plans are rendered to: a thin driver each, which knows frontiers, around logic that does not.

pub mod flatten;
pub mod join;
mod join_matches;
mod join_pairs;
pub mod map;
mod reduce;
pub mod repeat;
pub mod stateless;

pub use reduce::reduce;
