//! Names of things that last: ids are never reused, so that whatever is kept under one can only mean one thing.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A catalog object (schema, connection, source, table, view, index): unique in the database for ever.
/// PostgreSQL's OIDs are separate (see the catalog), since clients expect them to be 32 bits wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectId(pub u64);

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "u{}", self.0)
    }
}
