//! What was lately written to tables: COMMIT compares it with what its transaction has read.

use std::collections::{HashMap, VecDeque};

use super::footprint::Footprint;
use crate::types::{Delta, ObjectId, Time};

/// Bytes of rows that are remembered. Of what goes beyond it only the time is known, as if it had been all rows.
const LOG_BYTES_MAX: usize = 64 << 20;

/// Writes in the order of their times.
#[derive(Default)]
pub struct WriteLog {
    writes: VecDeque<Write>,
    bytes: usize,
    /// The last write of a table whose rows were too many to remember.
    forgotten: HashMap<ObjectId, Time>,
}

struct Write {
    table: ObjectId,
    delta: Delta,
    time: Time,
    bytes: usize,
}

impl WriteLog {
    /// Notes rows that entered or left a table at `time`.
    pub fn add(&mut self, table: ObjectId, time: Time, delta: Delta) {
        let bytes = delta.rows.get_array_memory_size();
        self.bytes += bytes;
        self.writes.push_back(Write { table, delta, time, bytes });
        while self.bytes > LOG_BYTES_MAX {
            let Some(write) = self.writes.pop_front() else { break };
            self.bytes -= write.bytes;
            self.forgotten.insert(write.table, write.time);
        }
    }

    /// Whether anything was written after `since` that meets what was read at `since`.
    pub fn conflicts(&self, footprint: &Footprint, since: Time) -> bool {
        let mut forgotten = self.forgotten.iter();
        let later = self.writes.iter().rev().take_while(|write| write.time > since);
        forgotten.any(|(table, time)| *time > since && footprint.has_read(*table))
            || later.into_iter().any(|write| footprint.meets(write.table, &write.delta.rows))
    }

    /// Forgets writes up to `time`: nobody reads from before it.
    pub fn trim(&mut self, time: Time) {
        while self.writes.front().is_some_and(|write| write.time <= time) {
            self.bytes -= self.writes.pop_front().map_or(0, |write| write.bytes);
        }
        self.forgotten.retain(|_, at| *at > time);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch};

    use super::*;

    const TABLE: ObjectId = ObjectId(1);

    fn delta(values: std::ops::Range<i64>) -> Delta {
        let values: ArrayRef = Arc::new(Int64Array::from_iter_values(values));
        Delta::insert(RecordBatch::try_from_iter([("a", values)]).unwrap(), 0)
    }

    fn reader_of(value: i64) -> Footprint {
        let footprint = Footprint::new(3);
        footprint.note_keys(TABLE, &[0], &[Arc::new(Int64Array::from(vec![value]))]);
        footprint
    }

    #[test]
    fn only_later_writes_of_what_was_read_conflict() {
        let mut log = WriteLog::default();
        log.add(TABLE, 10, delta(0..3));
        log.add(ObjectId(2), 11, delta(5..6));
        assert!(log.conflicts(&reader_of(2), 9));
        assert!(!log.conflicts(&reader_of(2), 10));
        assert!(!log.conflicts(&reader_of(5), 9));
        log.trim(10);
        assert_eq!(log.writes.len(), 1);
        log.trim(11);
        assert_eq!((log.writes.len(), log.bytes), (0, 0));
    }

    #[test]
    fn what_is_too_large_to_remember_conflicts_with_all_readers_of_its_table() {
        let mut log = WriteLog::default();
        log.add(TABLE, 10, delta(0..(LOG_BYTES_MAX / 8 + 1) as i64));
        assert_eq!((log.writes.len(), log.bytes), (0, 0));
        assert!(log.conflicts(&reader_of(-1), 9));
        assert!(!log.conflicts(&reader_of(-1), 10));
        assert!(!log.conflicts(&Footprint::new(3), 9));
    }
}
