//! The cost of one change must not grow with its group: counted in rows that are looked at, not in time.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::{Input, Probe, probe};

use super::harness::{Build, schema, widened};
use super::matcher::rows_looked_at;
use super::{Window, reduce, stateless, top_k};
use crate::dataflow::collection::Collection;
use crate::dataflow::context::Context;
use crate::dataflow::plan::{Aggregate, AggregateFunction, SortKey};
use crate::dataflow::test_data;
use crate::types::{Delta, Time};

const CHANGES: u64 = 50;

/// Rows that one change looks at, on average, in a group of so many rows.
fn rows_per_change(group: i64, build: &Build) -> u64 {
    let build = build.clone();
    timely::execute_directly(move |worker| {
        let probe = probe::Handle::new();
        let (mut input, _kept) = worker.dataflow::<Time, _, _>(|scope| {
            let (input, rows) = scope.new_input_with_builder::<CapacityContainerBuilder<Delta>>();
            let mut context = Context::new(scope, 0, 1, Default::default());
            let input_collection = Collection { rows, errors: stateless::empty(scope), schema: schema() };
            build(input_collection, &mut context).rows.probe_with(&probe);
            (input, context.finish())
        });
        let rows = |values: std::ops::Range<i64>| -> RecordBatch {
            widened(&test_data::rows(&values.map(|value| (Some(1), Some("x"), Some(value))).collect::<Vec<_>>()))
        };
        for start in (0..group).step_by(1_000) {
            input.send_batch(&mut Delta::insert(rows(start..(start + 1_000).min(group)), 0));
        }
        input.advance_to(1);
        worker.step_while(|| probe.less_than(&1));
        let before = rows_looked_at();
        for time in 1..=CHANGES {
            // A row in the middle leaves, and two come.
            let (middle, end) = (group / 2 + time as i64, group + 2 * time as i64);
            input.send_batch(&mut Delta::delete(rows(middle..middle + 1), time));
            input.send_batch(&mut Delta::insert(rows(end..end + 2), time));
            input.advance_to(time + 1);
            worker.step_while(|| probe.less_than(&(time + 1)));
        }
        (rows_looked_at() - before) / CHANGES
    })
}

fn check_cost(name: &str, build: Build) {
    let (small, large) = (rows_per_change(1_000, &build), rows_per_change(100_000, &build));
    assert!(small > 0, "{name}: nothing was counted");
    assert!(large <= 2 * small + 10, "{name}: {large} rows in a group of 100,000, {small} in one of 1,000");
}

fn reduction(function: AggregateFunction) -> Build {
    let data_type = DataType::Int64;
    let aggregate =
        Aggregate { function, arguments: vec![2], distinct: false, filter: None, order_by: vec![], data_type };
    let fields = vec![schema().field(0).clone(), Field::new("value", DataType::Int64, true)];
    let schema = Arc::new(Schema::new(fields));
    Arc::new(move |input, context| reduce(input, &[0], std::slice::from_ref(&aggregate), &schema, context))
}

#[test]
fn accumulators() {
    check_cost("count", reduction(AggregateFunction::Count));
    check_cost("sum", reduction(AggregateFunction::Sum));
}

#[test]
fn ends() {
    check_cost("min", reduction(AggregateFunction::Min));
    check_cost("max", reduction(AggregateFunction::Max));
}

#[test]
fn first_rows() {
    let window = Window { offset: 1, limit: Some(10), row_number: true };
    let order = vec![SortKey { column: 2, descending: true, nulls_first: false }];
    let number = Field::new("row_number", DataType::Int64, false);
    let fields = schema().fields().iter().map(|field| Field::clone(field)).chain([number]).collect::<Vec<_>>();
    let output = Arc::new(Schema::new(fields));
    check_cost("top k", Arc::new(move |input, context| top_k(input, &[0], &order, window, &output, context)));
}
