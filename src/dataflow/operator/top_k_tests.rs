//! The first rows per key against naive recomputation from the multiset at every time.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};

use super::harness::{Build, check, schema};
use super::{Window, top_k};
use crate::dataflow::plan::SortKey;
use crate::dataflow::test_data::Row;

const BY_B: SortKey = SortKey { column: 2, descending: true, nulls_first: false };
const BY_A: SortKey = SortKey { column: 1, descending: false, nulls_first: true };

fn build(keys: Vec<usize>, order: Vec<SortKey>, window: Window) -> Build {
    let fields = schema().fields().iter().map(|field| Field::clone(field)).collect::<Vec<_>>();
    let number = window.row_number.then(|| Field::new("row_number", DataType::Int64, false));
    let schema = Arc::new(Schema::new(fields.into_iter().chain(number).collect::<Vec<_>>()));
    Arc::new(move |input, context| top_k(input, &keys, &order, window, &schema, context))
}

fn compare(left: &Row, right: &Row, key: &SortKey) -> Ordering {
    let (left, right) = (&left[key.column], &right[key.column]);
    // Columns before the last are text, or integers, or of one length.
    let number = |text: &String| if key.column == 0 { text.parse().unwrap() } else { 0 };
    let order = |left: &String, right: &String| number(left).cmp(&number(right)).then_with(|| left.cmp(right));
    match (left, right) {
        (Some(left), Some(right)) if key.descending => order(right, left),
        (Some(left), Some(right)) => order(left, right),
        _ if key.nulls_first => left.is_some().cmp(&right.is_some()),
        _ => left.is_none().cmp(&right.is_none()),
    }
}

fn naive(keys: &[usize], order: &[SortKey], window: Window, rows: &[Row]) -> Vec<Row> {
    let mut groups: BTreeMap<Row, Vec<Row>> = BTreeMap::new();
    for row in rows {
        groups.entry(keys.iter().map(|&key| row[key].clone()).collect()).or_default().push(row.clone());
    }
    let ties = (0..6).map(|column| SortKey { column, descending: false, nulls_first: false });
    let order: Vec<SortKey> = order.iter().copied().chain(ties).collect();
    let mut wanted = vec![];
    for mut group in groups.into_values() {
        group.sort_by(|left, right| {
            let orders = order.iter().map(|key| compare(left, right, key));
            orders.fold(Ordering::Equal, Ordering::then)
        });
        let limit = window.limit.map_or(usize::MAX, |limit| limit as usize);
        for (position, mut row) in group.into_iter().enumerate().skip(window.offset as usize).take(limit) {
            row.extend(window.row_number.then(|| Some((position + 1).to_string())));
            wanted.push(row);
        }
    }
    wanted
}

fn check_top_k(keys: &[usize], order: &[SortKey], offset: u64, limit: Option<u64>, row_number: bool) {
    let window = Window { offset, limit, row_number };
    let naive = |rows: &[Row]| naive(keys, order, window, rows);
    check(&format!("{window:?}"), build(keys.to_vec(), order.to_vec(), window), naive);
}

#[test]
fn the_first_row() {
    check_top_k(&[0], &[BY_B], 0, Some(1), false);
    check_top_k(&[1, 2], &[], 0, Some(1), false);
}

#[test]
fn the_first_few() {
    check_top_k(&[0], &[BY_A, BY_B], 1, Some(3), false);
    check_top_k(&[], &[BY_B, BY_A], 0, Some(5), false);
}

#[test]
fn all_but_the_first() {
    check_top_k(&[0], &[BY_B], 2, None, false);
    check_top_k(&[], &[BY_B], 3, None, true);
}

#[test]
fn numbered() {
    check_top_k(&[0], &[BY_B, BY_A], 0, Some(3), true);
    check_top_k(&[], &[BY_A], 2, Some(4), true);
}
