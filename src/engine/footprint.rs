//! What a transaction has read of tables, by which its COMMIT tells whether another one has changed it since.
//!
//! Reading rows by the values of a key leaves the hashes of these values; any other reading leaves the whole table. A
//! write meets it if one of its rows, old or new, has such a value, or the table was read as a whole. Two values with
//! one hash make transactions meet that need not, which costs a retry and breaks nothing.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard};

use arrow::array::{ArrayRef, RecordBatch};

use crate::types::ObjectId;
use crate::types::hash::hash_columns;

/// Keys of a table that are remembered one by one; who reads more has read the table.
const KEYS_MAX: usize = 1 << 20;

/// What was read. Scans note it where they choose how to find their rows, so it is shared with them.
pub struct Footprint {
    hash_seed: u64,
    tables: Mutex<BTreeMap<ObjectId, Reads>>,
}

/// What was read of one table.
enum Reads {
    Whole,
    /// By positions of columns, the hashes of the values that were looked for there.
    Keys(BTreeMap<Vec<usize>, HashSet<u64>>),
}

impl Footprint {
    pub fn new(hash_seed: u64) -> Self {
        Footprint { hash_seed, tables: Mutex::default() }
    }

    /// All of a table was read.
    pub fn note_table(&self, table: ObjectId) {
        self.lock().insert(table, Reads::Whole);
    }

    /// The rows of a table were read whose `columns` equal a row of `keys`; there may have been none.
    pub fn note_keys(&self, table: ObjectId, columns: &[usize], keys: &[ArrayRef]) {
        let count = keys.first().map_or(0, |column| column.len());
        let mut tables = self.lock();
        let Reads::Keys(known) = tables.entry(table).or_insert_with(|| Reads::Keys(BTreeMap::new())) else { return };
        let hashes = known.entry(columns.to_vec()).or_default();
        hashes.extend(hash_columns(keys, count, self.hash_seed));
        if hashes.len() > KEYS_MAX {
            tables.insert(table, Reads::Whole);
        }
    }

    pub fn has_read(&self, table: ObjectId) -> bool {
        self.lock().contains_key(&table)
    }

    /// Whether rows that another transaction has written to a table are among what was read of it.
    pub fn meets(&self, table: ObjectId, rows: &RecordBatch) -> bool {
        match self.lock().get(&table) {
            None => false,
            Some(Reads::Whole) => true,
            Some(Reads::Keys(known)) => known.iter().any(|(columns, hashes)| {
                let values: Vec<ArrayRef> = columns.iter().map(|&column| rows.column(column).clone()).collect();
                hash_columns(&values, rows.num_rows(), self.hash_seed).iter().any(|hash| hashes.contains(hash))
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ObjectId, Reads>> {
        self.tables.lock().expect("no panic while holding a footprint")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int32Array;

    use super::*;

    const TABLE: ObjectId = ObjectId(7);

    fn rows(pairs: &[(i32, i32)]) -> RecordBatch {
        let column = |values: Vec<i32>| Arc::new(Int32Array::from(values)) as ArrayRef;
        let (left, right) = pairs.iter().copied().unzip();
        RecordBatch::try_from_iter([("a", column(left)), ("b", column(right))]).unwrap()
    }

    #[test]
    fn keys_meet_rows_with_their_values_in_their_columns() {
        let footprint = Footprint::new(1);
        assert!(!footprint.has_read(TABLE) && !footprint.meets(TABLE, &rows(&[(1, 2)])));
        footprint.note_keys(TABLE, &[0], &[rows(&[(1, 0), (5, 0)]).column(0).clone()]);
        assert!(footprint.meets(TABLE, &rows(&[(9, 9), (5, 3)])));
        assert!(!footprint.meets(TABLE, &rows(&[(2, 1), (3, 5)])));
        assert!(!footprint.meets(ObjectId(8), &rows(&[(1, 1)])));
    }

    #[test]
    fn a_table_read_as_a_whole_meets_everything() {
        let footprint = Footprint::new(1);
        footprint.note_table(TABLE);
        footprint.note_keys(TABLE, &[0], &[rows(&[(1, 0)]).column(0).clone()]);
        assert!(footprint.meets(TABLE, &rows(&[(2, 2)])));
    }

    #[test]
    fn too_many_keys_are_the_table() {
        let footprint = Footprint::new(1);
        let keys: ArrayRef = Arc::new(Int32Array::from_iter_values(0..=KEYS_MAX as i32));
        footprint.note_keys(TABLE, &[0], &[keys]);
        assert!(footprint.meets(TABLE, &rows(&[(-1, 0)])));
    }
}
