//! Comparing rows by value, for when their hashes are equal: the only place where every row costs dynamic calls.

use std::cell::OnceCell;
use std::cmp::Ordering;

use arrow::array::{ArrayRef, DynComparator, make_comparator};
use arrow::compute::SortOptions;

const ASCENDING_NULLS_LAST: SortOptions = SortOptions { descending: false, nulls_first: false };

/// Compares rows of two lists of columns, from the left, ascending, NULLs last. Built at the first comparison, since most
/// pairs of batches are merged without any.
pub struct RowComparator<'a> {
    left: &'a [ArrayRef],
    right: &'a [ArrayRef],
    columns: OnceCell<Vec<DynComparator>>,
}

impl<'a> RowComparator<'a> {
    /// The columns have equal types in pairs.
    pub fn new(left: &'a [ArrayRef], right: &'a [ArrayRef]) -> Self {
        RowComparator { left, right, columns: OnceCell::new() }
    }

    pub fn compare(&self, left: usize, right: usize) -> Ordering {
        let columns = self.columns.get_or_init(|| {
            let pairs = self.left.iter().zip(self.right);
            let comparator = |(left, right): (&ArrayRef, &ArrayRef)| {
                make_comparator(left, right, ASCENDING_NULLS_LAST)
                    .expect("columns of one layout have one comparable type")
            };
            pairs.map(comparator).collect()
        });
        let mut orders = columns.iter().map(|compare| compare(left, right));
        orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }

    pub fn equal(&self, left: usize, right: usize) -> bool {
        self.compare(left, right).is_eq()
    }
}
