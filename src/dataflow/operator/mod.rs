//! The operators that [`render`](super::render::render) builds dataflows of, one file each.

pub mod flatten;
pub mod join;
mod join_matches;
mod join_pairs;
pub mod map;
pub mod repeat;
pub mod stateless;
