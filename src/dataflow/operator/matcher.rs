//! Comparing keys with rows of chunks by value, since different keys may have one hash.

use arrow::array::{ArrayRef, DynComparator, RecordBatch, make_comparator};
use arrow::compute::SortOptions;

use super::super::page::{Opened, Pages};
use super::gather::RowAt;

/// A list of keys. Rows are best asked for chunk by chunk.
pub struct KeyMatcher {
    keys: Vec<ArrayRef>,
    columns: Vec<usize>,
    /// Per batch, the comparators for the chunk that was read last.
    latest: Vec<Option<(usize, Vec<DynComparator>)>>,
}

impl KeyMatcher {
    pub fn new(keys: &RecordBatch, columns: &[usize], batches: usize) -> Self {
        let latest = std::iter::repeat_with(|| None).take(batches).collect();
        KeyMatcher { keys: keys.columns().to_vec(), columns: columns.to_vec(), latest }
    }

    pub fn matches(&mut self, batches: &[Opened<impl Pages>], key: usize, at: RowAt) -> bool {
        #[cfg(test)]
        LOOKED_AT.set(LOOKED_AT.get() + 1);
        if self.columns.is_empty() {
            return true;
        }
        let latest = &mut self.latest[at.batch];
        if latest.as_ref().is_none_or(|(chunk, _)| *chunk != at.chunk) {
            let rows = batches[at.batch].chunk(at.chunk).rows();
            let comparator = |(key, &column): (&ArrayRef, &usize)| {
                make_comparator(key, rows.column(column), SortOptions::default())
                    .expect("keys have one comparable type")
            };
            *latest = Some((at.chunk, self.keys.iter().zip(&self.columns).map(comparator).collect()));
        }
        let comparators = latest.iter().flat_map(|(_, comparators)| comparators);
        comparators.into_iter().all(|compare| compare(key, at.row).is_eq())
    }
}

#[cfg(test)]
thread_local! {
    static LOOKED_AT: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// How many rows this thread has compared with a key: every row that is read is.
#[cfg(test)]
pub fn rows_looked_at() -> u64 {
    LOOKED_AT.get()
}
