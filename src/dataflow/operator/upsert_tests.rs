//! Upserts against the last row per key, at every time.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::harness::{Build, ROUND, multiset, run, widened};
use super::{flatten, stateless, upsert};
use crate::dataflow::collection::Collection;
use crate::dataflow::layout::Layout;
use crate::dataflow::test_data::{self, Random, Row, multiset_at, row_of};
use crate::types::{Delta, Time};

const ROUNDS: u64 = 9;

/// `b` is the sequence, and rows whose text is `x` are tombstones.
fn build() -> Build {
    Arc::new(|input, context| {
        let stamps =
            [Field::new("tombstone", DataType::Boolean, false), Field::new("sequence", DataType::Int64, false)];
        let fields =
            test_data::schema().fields().iter().map(|field| Field::clone(field)).chain(stamps).collect::<Vec<_>>();
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let rows = stateless::each(input.rows, "records", move |delta| {
            let column = |column: usize| delta.rows.column(column).clone();
            let tombstone: BooleanArray = texts(&delta.rows).map(|text| Some(text == "x")).collect();
            let columns: Vec<ArrayRef> = vec![column(0), column(1), column(2), Arc::new(tombstone), column(2)];
            Delta { rows: RecordBatch::try_new(schema.clone(), columns).unwrap(), ..delta }
        });
        // The key need not come first.
        let layout = Layout::hashed(test_data::schema(), vec![0], context.hash_seed);
        let arranged = upsert(rows, &layout, "upsert", None);
        Collection { rows: flatten::flatten(arranged, context), errors: input.errors, schema: test_data::schema() }
    })
}

fn texts(rows: &RecordBatch) -> impl Iterator<Item = String> {
    (0..rows.num_rows()).map(|row| row_of(rows, row)[1].clone().unwrap_or_default())
}

/// Records of random keys, whose sequences are in no order.
fn records(random: &mut Random, keys: u64) -> Vec<Vec<Delta>> {
    let mut sequences: Vec<i64> = (0..2_000).collect();
    let mut sequence = |random: &mut Random| sequences.swap_remove(random.below(sequences.len() as u64) as usize);
    let round = |round: u64| {
        let delta = |_| {
            let time = round * ROUND + random.below(ROUND);
            let mut record = |_| {
                let text = [None, Some("x"), Some("y"), Some("z")][random.below(4) as usize];
                (Some(random.below(keys) as i64), text, Some(sequence(random)))
            };
            let records: Vec<_> = (0..6).map(&mut record).collect();
            Delta::insert(widened(&test_data::rows(&records)), time)
        };
        (0..8).map(delta).collect()
    };
    (0..ROUNDS).map(round).collect()
}

/// The last record of each key by time, then by sequence, unless it is a tombstone.
fn naive(records: &[Delta], time: Time) -> Vec<Row> {
    let mut last: BTreeMap<Option<String>, ((Time, i64), Row)> = BTreeMap::new();
    for delta in records.iter().filter(|delta| delta.times.get(0) <= time) {
        for row in 0..delta.len() {
            let values = row_of(&delta.rows, row);
            let sequence: i64 = values[2].clone().unwrap().parse().unwrap();
            let candidate = ((delta.times.get(row), sequence), values[..3].to_vec());
            let known = last.entry(values[0].clone()).or_insert_with(|| candidate.clone());
            if candidate.0 > known.0 {
                *known = candidate;
            }
        }
    }
    last.into_values().map(|(_, row)| row).filter(|row| row[1].as_deref() != Some("x")).collect()
}

#[test]
fn the_last_record_of_a_key_is_its_row() {
    for workers in 1..=3 {
        for (seed, keys) in [(1, 3), (2, 30)] {
            for hash_seed in [1, crate::dataflow::layout::colliding::SEED] {
                let rounds = records(&mut Random(seed), keys);
                let (rows, _) = run(workers, hash_seed, &rounds, build());
                let records: Vec<Delta> = rounds.into_iter().flatten().collect();
                for time in 0..ROUNDS * ROUND {
                    let (given, wanted) = (multiset_at(&rows, time), multiset(naive(&records, time)));
                    assert_eq!(given, wanted, "at {time}, {workers} workers, seed {seed}, hashes {hash_seed}");
                }
            }
        }
    }
}
