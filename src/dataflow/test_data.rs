//! Random updates and the naive truth about them, for the tests of this room.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::display::array_value_to_string;

use super::columns::concat_rows;
use crate::types::{Delta, Diff, Stamps, Time};

/// Rows as text, so that the truth shares no code with what is tested.
pub type Row = Vec<Option<String>>;

/// How often each row is there.
pub type Multiset = BTreeMap<Row, Diff>;

/// Reproducible randomness (SplitMix64).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % limit
    }
}

/// Columns `k bigint, a text, b bigint`, all nullable.
pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, true),
        Field::new("a", DataType::Utf8, true),
        Field::new("b", DataType::Int64, true),
    ]))
}

pub fn rows(values: &[(Option<i64>, Option<&str>, Option<i64>)]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter(values.iter().map(|row| row.0))),
        Arc::new(StringArray::from_iter(values.iter().map(|row| row.1))),
        Arc::new(Int64Array::from_iter(values.iter().map(|row| row.2))),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

/// `len` updates with keys below `keys` (one in eight NULL) and times in `times`.
pub fn random_delta(random: &mut Random, len: usize, keys: u64, times: std::ops::Range<Time>) -> Delta {
    const TEXTS: [Option<&str>; 4] = [None, Some(""), Some("x"), Some("longer than twelve bytes")];
    let mut nullable = |limit: u64| match random.below(8) {
        0 => None,
        _ => Some(random.below(limit) as i64),
    };
    let values: Vec<_> =
        (0..len).map(|_| (nullable(keys), TEXTS[nullable(4).unwrap_or(0) as usize], nullable(3))).collect();
    let stamps = (0..len).map(|_| times.start + random.below(times.end - times.start)).collect();
    let diffs = (0..len).map(|_| [1, 1, 2, -1][random.below(4) as usize]).collect();
    Delta { rows: rows(&values), times: Stamps::of(stamps), diffs: Stamps::of(diffs) }
}

/// A delta that retracts only what is there: at every time, every row of `present` is there a non-negative number of times.
pub fn random_changes(random: &mut Random, present: &mut Vec<RecordBatch>, len: usize, keys: u64, time: Time) -> Delta {
    let mut parts = vec![];
    let mut diffs = vec![];
    for _ in 0..len {
        if !present.is_empty() && random.below(3) == 0 {
            parts.push(present.swap_remove(random.below(present.len() as u64) as usize));
            diffs.push(-1);
        } else {
            let row = random_delta(random, 1, keys, 0..1).rows;
            present.push(row.clone());
            parts.push(row);
            diffs.push(1);
        }
    }
    let rows = concat_rows(&schema(), &parts.iter().collect::<Vec<_>>());
    Delta { rows, times: Stamps::Same(time), diffs: Stamps::of(diffs) }
}

pub fn row_of(rows: &RecordBatch, row: usize) -> Row {
    let value = |column: &ArrayRef| column.is_valid(row).then(|| array_value_to_string(column, row).unwrap());
    rows.columns().iter().map(value).collect()
}

/// What is there at `time`.
pub fn multiset_at<'a>(deltas: impl IntoIterator<Item = &'a Delta>, time: Time) -> Multiset {
    let mut multiset = Multiset::new();
    for delta in deltas {
        for row in (0..delta.len()).filter(|&row| delta.times.get(row) <= time) {
            *multiset.entry(row_of(&delta.rows, row)).or_default() += delta.diffs.get(row);
        }
    }
    multiset.retain(|_, diff| *diff != 0);
    multiset
}
