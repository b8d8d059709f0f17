//! Map and Filter: rows through expressions, without state. A chain of them is one operator.

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;

use super::stateless::{each_fallible, union};
use crate::dataflow::collection::Collection;
use crate::dataflow::context::Context;
use crate::dataflow::errors::error_schema;
use crate::dataflow::evaluate::{error_delta, evaluate, evaluate_predicate};
use crate::dataflow::plan::{Plan, Scalar};
use crate::dataflow::render::render;
use crate::types::{Delta, Stamps};

/// One step of a chain.
enum Step {
    Map(Vec<Scalar>, SchemaRef),
    Filter(Scalar),
}

/// A Map or Filter with all those below it.
pub fn chain<'s>(plan: &Plan, context: &mut Context<'s>) -> Collection<'s> {
    let (mut below, mut steps) = (plan, vec![]);
    loop {
        match below {
            Plan::Map { input, expressions, schema } => {
                steps.push(Step::Map(expressions.clone(), schema.clone()));
                below = input;
            }
            Plan::Filter { input, predicate } => {
                steps.push(Step::Filter(predicate.clone()));
                below = input;
            }
            _ => break,
        }
    }
    steps.reverse();
    let input = render(below, context);
    let (rows, errors) = each_fallible(input.rows, "map", move |delta| run(&steps, delta));
    Collection { rows, errors: union(context.scope, [input.errors, errors]), schema: plan.schema() }
}

/// The rows that come through all steps, and the errors of those that do not.
fn run(steps: &[Step], mut delta: Delta) -> (Delta, Delta) {
    let mut errors: Vec<Delta> = vec![];
    for step in steps {
        if delta.is_empty() {
            break;
        }
        let (next, bad) = match step {
            Step::Map(expressions, schema) => map(expressions, schema, delta),
            Step::Filter(predicate) => filter(predicate, delta),
        };
        delta = next;
        errors.extend(Some(bad).filter(|bad| !bad.is_empty()));
    }
    let errors = match errors.len() {
        0 | 1 => errors.pop().unwrap_or_else(|| Delta::empty(error_schema())),
        _ => Delta::concat(&error_schema(), &errors),
    };
    (delta, errors)
}

fn map(expressions: &[Scalar], schema: &SchemaRef, delta: Delta) -> (Delta, Delta) {
    let evaluated = evaluate(expressions, &delta.rows, schema);
    let errors = error_delta(&delta, evaluated.bad);
    let good = match evaluated.good {
        None => Delta { rows: evaluated.rows, ..delta },
        Some(good) => Delta { rows: evaluated.rows, times: delta.times.take(&good), diffs: delta.diffs.take(&good) },
    };
    (good, errors)
}

fn filter(predicate: &Scalar, delta: Delta) -> (Delta, Delta) {
    let (mask, bad) = evaluate_predicate(predicate, &delta.rows);
    let errors = error_delta(&delta, bad);
    (keep(delta, &mask), errors)
}

/// The rows for which the mask is true.
pub fn keep(delta: Delta, mask: &BooleanArray) -> Delta {
    if mask.true_count() == mask.len() {
        return delta;
    }
    let rows: RecordBatch = filter_record_batch(&delta.rows, mask).expect("there is one value per row");
    let positions = || mask.values().set_indices_u32().collect::<Vec<u32>>();
    let (times, diffs) = match (&delta.times, &delta.diffs) {
        (Stamps::Same(time), Stamps::Same(diff)) => (Stamps::Same(*time), Stamps::Same(*diff)),
        (times, diffs) => {
            let positions = positions();
            (times.take(&positions), diffs.take(&positions))
        }
    };
    Delta { rows, times, diffs }
}
