//! From a plan to a running dataflow: one arm per node, each a call of its operator.

use super::collection::Collection;
use super::context::Context;
use super::operator::{Window, join, map, reduce, repeat, stateless, top_k};
use super::plan::Plan;
use crate::types::Delta;

/// Builds the operators of a plan in the context's scope.
pub fn render<'s>(plan: &Plan, context: &mut Context<'s>) -> Collection<'s> {
    let schema = plan.schema();
    match plan {
        Plan::Get { object, schema } => context.collection(*object, schema),
        Plan::Constant { .. } if context.restored_to() > 0 => {
            Collection { rows: stateless::empty(context.scope), errors: stateless::empty(context.scope), schema }
        }
        Plan::Constant { rows } => {
            let delta = Delta::insert(rows.clone(), context.as_of);
            let rows = stateless::constant(context.scope, delta, context.as_of);
            Collection { rows, errors: stateless::empty(context.scope), schema }
        }
        Plan::Map { .. } | Plan::Filter { .. } => map::chain(plan, context),
        Plan::Union { inputs, .. } => {
            let inputs: Vec<Collection> = inputs.iter().map(|input| render(input, context)).collect();
            let errors = stateless::union(context.scope, inputs.iter().map(|input| input.errors.clone()));
            let rows = stateless::union(context.scope, inputs.into_iter().map(|input| input.rows));
            Collection { rows, errors, schema }
        }
        Plan::Repeat { input, count, .. } => repeat::repeat(render(input, context), *count, schema),
        Plan::Join { left, right, kind, keys, nulls_equal, filter, .. } => {
            let on = join::On { keys, nulls_equal: *nulls_equal, filter: filter.as_ref() };
            join::join(left, right, *kind, on, schema, context)
        }
        Plan::Reduce { input, keys, aggregates, .. } => {
            let input = render(input, context);
            reduce(input, keys, aggregates, &schema, context)
        }
        Plan::TopK { input, keys, order, offset, limit, row_number, .. } => {
            let window = Window { offset: *offset, limit: *limit, row_number: *row_number };
            let input = render(input, context);
            top_k(input, keys, order, window, &schema, context)
        }
    }
}
