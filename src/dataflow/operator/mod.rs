//! The operators that [`render`](super::render::render) builds dataflows of, one file each.

mod changed;
mod extremes;
pub mod flatten;
mod fold;
mod gather;
mod generic;
mod groups;
mod heads;
pub mod join;
mod join_matches;
mod join_pairs;
mod ledger;
pub mod map;
mod matcher;
mod partial;
pub mod reduce;
pub mod repeat;
mod results;
mod seek;
pub mod stateless;
mod tally;
pub mod top_k;
pub mod upsert;
