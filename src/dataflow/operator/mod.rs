//! The operators that [`render`](super::render::render) builds dataflows of, one file each.

mod changed;
#[cfg(test)]
mod cost_tests;
mod extremes;
pub mod flatten;
mod fold;
mod gather;
mod generic;
mod groups;
#[cfg(test)]
mod harness;
mod heads;
pub mod join;
mod join_matches;
mod join_pairs;
mod ledger;
pub mod map;
mod matcher;
mod partial;
mod reduce;
#[cfg(test)]
mod reduce_tests;
pub mod repeat;
mod results;
pub mod stateless;
mod tally;
mod top_k;
#[cfg(test)]
mod top_k_tests;
mod upsert;
#[cfg(test)]
mod upsert_tests;

pub use reduce::reduce;
pub use top_k::{Window, top_k};
pub use upsert::upsert;
