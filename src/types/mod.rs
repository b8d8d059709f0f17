//! The words everyone uses: deltas, time, ids, SQL types, relations, errors, the clock.

mod clock;
mod delta;
mod error;
pub mod hash;
mod id;
mod relation;
mod sql_type;
mod sqlstate;
pub mod text;

pub use clock::{Clock, random_u64, wall_micros};
pub use delta::{Delta, Diff, Stamps, Time};
pub use error::{Error, Result};
pub use id::ObjectId;
pub use relation::{Column, Relation};
pub use sql_type::{SqlType, TYPE_KEY};
pub use sqlstate::SqlState;
