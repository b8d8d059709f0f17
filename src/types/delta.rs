//! A delta: rows that enter or leave a collection, each with a time and a count; the container on every dataflow edge.

use std::sync::{Arc, LazyLock};

use arrow::array::RecordBatch;
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{ArrowNativeType, Schema, SchemaRef};

/// Microseconds since the epoch, totally ordered; see [`Clock`](super::Clock).
pub type Time = u64;

/// How many copies of a row appear (positive) or disappear (negative).
pub type Diff = i64;

/// One value per row, stored once when all rows share it, as most do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stamps<T: ArrowNativeType> {
    Same(T),
    Each(ScalarBuffer<T>),
}

impl<T: ArrowNativeType> Stamps<T> {
    /// `values`, stored once if they are all the same.
    pub fn of(values: Vec<T>) -> Self {
        match values.first() {
            Some(&first) if values.iter().all(|&value| value == first) => Stamps::Same(first),
            _ => Stamps::Each(values.into()),
        }
    }

    pub fn get(&self, row: usize) -> T {
        match self {
            Stamps::Same(value) => *value,
            Stamps::Each(values) => values[row],
        }
    }

    /// The values of the rows `start..start + len`.
    pub fn slice(&self, start: usize, len: usize) -> Self {
        match self {
            Stamps::Same(value) => Stamps::Same(*value),
            Stamps::Each(values) => Stamps::of(values[start..start + len].to_vec()),
        }
    }

    /// The values of `rows`, in that order.
    pub fn take(&self, rows: &[u32]) -> Self {
        match self {
            Stamps::Same(value) => Stamps::Same(*value),
            Stamps::Each(values) => Stamps::of(rows.iter().map(|&row| values[row as usize]).collect()),
        }
    }

    /// The values of several parts of the given lengths, one after the other.
    pub fn concat<'a>(parts: impl Iterator<Item = (&'a Self, usize)> + Clone) -> Self
    where
        T: 'a,
    {
        let mut same = parts.clone().map(|(part, _)| match part {
            Stamps::Same(value) => Some(*value),
            Stamps::Each(_) => None,
        });
        match same.next().flatten() {
            Some(first) if same.all(|value| value == Some(first)) => Stamps::Same(first),
            _ => Stamps::of(parts.flat_map(|(part, len)| (0..len).map(|row| part.get(row))).collect()),
        }
    }

    pub fn to_vec(&self, len: usize) -> Vec<T> {
        match self {
            Stamps::Same(value) => vec![*value; len],
            Stamps::Each(values) => values.to_vec(),
        }
    }

    /// The least value of any row.
    pub fn least(&self) -> T
    where
        T: Ord,
    {
        match self {
            Stamps::Same(value) => *value,
            Stamps::Each(values) => values.iter().copied().min().unwrap_or_default(),
        }
    }

    /// The greatest value of any row.
    pub fn greatest(&self) -> T
    where
        T: Ord,
    {
        match self {
            Stamps::Same(value) => *value,
            Stamps::Each(values) => values.iter().copied().max().unwrap_or_default(),
        }
    }

    pub fn map<U: ArrowNativeType>(&self, f: impl Fn(T) -> U) -> Stamps<U> {
        match self {
            Stamps::Same(value) => Stamps::Same(f(*value)),
            Stamps::Each(values) => Stamps::of(values.iter().map(|&value| f(value)).collect()),
        }
    }
}

/// Rows with their times and diffs, in no order and not consolidated. The three have the same number of rows.
#[derive(Clone, Debug)]
pub struct Delta {
    pub rows: RecordBatch,
    pub times: Stamps<Time>,
    pub diffs: Stamps<Diff>,
}

impl Delta {
    /// Every row enters once at `time`.
    pub fn insert(rows: RecordBatch, time: Time) -> Self {
        Delta { rows, times: Stamps::Same(time), diffs: Stamps::Same(1) }
    }

    /// Every row leaves once at `time`.
    pub fn delete(rows: RecordBatch, time: Time) -> Self {
        Delta { rows, times: Stamps::Same(time), diffs: Stamps::Same(-1) }
    }

    pub fn empty(schema: SchemaRef) -> Self {
        Delta::insert(RecordBatch::new_empty(schema), 0)
    }

    pub fn len(&self) -> usize {
        self.rows.num_rows()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

static NO_COLUMNS: LazyLock<SchemaRef> = LazyLock::new(|| Arc::new(Schema::empty()));

/// Timely takes containers away and leaves the default behind.
impl Default for Delta {
    fn default() -> Self {
        Delta::empty(NO_COLUMNS.clone())
    }
}
