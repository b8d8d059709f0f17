//! Every kind of join, composed of pairs of equal keys.
//!
//! | kind | is |
//! |---|---|
//! | inner | the pairs |
//! | semi | left rows paired with the distinct keys of the right; with a filter, with the distinct left rows that have a pair |
//! | anti | left rows without those of the semi join |
//! | left | inner, and the rows of the anti join with NULLs |
//! | right, full | the same from the other side |
//!
//! Every part is right for any multiplicities and retractions, and so is the whole.

use std::sync::Arc;

use arrow::array::{RecordBatch, new_null_array};
use arrow::datatypes::{Schema, SchemaRef};

use super::flatten::flatten;
use super::join_pairs::{Pairing, pairs};
use super::reduce;
use super::stateless::{each, negate, union};
use crate::dataflow::collection::{Arranged, Collection, Stream};
use crate::dataflow::columns::batch_of;
use crate::dataflow::context::Context;
use crate::dataflow::plan::{JoinKind, Plan, Scalar};
use crate::dataflow::render::render;
use crate::types::Delta;

/// What rows are joined on.
#[derive(Clone, Copy)]
pub struct On<'a> {
    pub keys: &'a [(usize, usize)],
    pub nulls_equal: bool,
    /// Over left ++ right columns.
    pub filter: Option<&'a Scalar>,
}

/// One side of a join, arranged by its keys.
#[derive(Clone)]
struct Input<'s> {
    arranged: Arranged<'s>,
    schema: SchemaRef,
    keys: Vec<usize>,
}

pub fn join<'s>(
    left: &Plan,
    right: &Plan,
    kind: JoinKind,
    on: On,
    schema: SchemaRef,
    context: &mut Context<'s>,
) -> Collection<'s> {
    let mut keys = on.keys.to_vec();
    let (left, left_errors) = input(left, &mut keys, |pair| pair.0, context);
    let (right, right_errors) = input(right, &mut keys, |pair| pair.1, context);
    let mut join = Join { left, right, keys, on, errors: vec![left_errors, right_errors] };
    let rows = match kind {
        JoinKind::Inner => join.inner(&schema, context),
        JoinKind::LeftSemi => join.semi(None, Keep::Left, context),
        JoinKind::LeftAnti => join.anti(None, Keep::Left, context),
        JoinKind::Left | JoinKind::Right | JoinKind::Full => join.outer(kind, &schema, context),
    };
    Collection { rows, errors: union(context.scope, join.errors), schema }
}

/// A side arranged by its keys: an arrangement that is there already, or a new one. The order of the keys is free until
/// the first side has settled it.
fn input<'s>(
    plan: &Plan,
    keys: &mut [(usize, usize)],
    side: fn(&(usize, usize)) -> usize,
    context: &mut Context<'s>,
) -> (Input<'s>, Stream<'s>) {
    let wanted: Vec<usize> = keys.iter().map(side).collect();
    if let Plan::Get { object, schema } = plan
        && let Some(((layout, arranged), errors)) = context.arranged(*object, |layout| layout.key == wanted)
    {
        return (Input { arranged, schema: schema.clone(), keys: layout.key.clone() }, errors);
    }
    let collection = render(plan, context);
    let layout = context.layout(plan.schema(), wanted.clone());
    let arranged = context.arrange(collection.rows, &layout, "join input");
    (Input { arranged, schema: plan.schema(), keys: wanted }, collection.errors)
}

/// The side whose rows a semi or anti join keeps.
#[derive(Clone, Copy, PartialEq)]
enum Keep {
    Left,
    Right,
}

struct Join<'a, 's> {
    left: Input<'s>,
    right: Input<'s>,
    keys: Vec<(usize, usize)>,
    on: On<'a>,
    errors: Vec<Stream<'s>>,
}

impl<'s> Join<'_, 's> {
    fn inner(&mut self, schema: &SchemaRef, context: &mut Context<'s>) -> Stream<'s> {
        let pairing = Pairing {
            keys: self.keys.clone(),
            nulls_equal: self.on.nulls_equal,
            filter: self.on.filter.cloned(),
            both: schema.clone(),
            given: schema.clone(),
        };
        let (rows, errors) = pairs(self.left.arranged.clone(), self.right.arranged.clone(), pairing, context);
        self.errors.extend(self.on.filter.map(|_| errors));
        rows
    }

    /// Rows of one side that have a match. `inner`: all pairs, if they are computed anyway.
    fn semi(&mut self, inner: Option<Stream<'s>>, keep: Keep, context: &mut Context<'s>) -> Stream<'s> {
        if self.on.filter.is_none() { self.semi_by_key(keep, context) } else { self.semi_by_row(inner, keep, context) }
    }

    /// Without a filter a row has a match if the other side has its key.
    fn semi_by_key(&mut self, keep: Keep, context: &mut Context<'s>) -> Stream<'s> {
        let (kept, other) = self.sides(keep);
        let keys = distinct(flatten(other.arranged, context), &other.schema, other.keys, context);
        let distinct_keys: Vec<usize> = (0..kept.keys.len()).collect();
        let layout = context.layout(keys.schema, distinct_keys.clone());
        let arranged = context.arrange(keys.rows, &layout, "distinct keys");
        let keys = kept.keys.iter().copied().zip(distinct_keys).collect();
        with_partner(kept, arranged, &layout.schema, keys, self.on.nulls_equal, context)
    }

    /// With a filter matches are counted per row.
    fn semi_by_row(&mut self, inner: Option<Stream<'s>>, keep: Keep, context: &mut Context<'s>) -> Stream<'s> {
        let (kept, _) = self.sides(keep);
        let left_columns = self.left.schema.fields().len();
        let both = concat_schemas(&self.left.schema, &self.right.schema);
        let inner = match inner {
            Some(inner) => inner,
            None => self.inner(&both, context),
        };
        let columns = match keep {
            Keep::Left => (0..left_columns).collect(),
            Keep::Right => (left_columns..both.fields().len()).collect(),
        };
        let matched = distinct(inner, &both, columns, context);
        let all: Vec<usize> = (0..kept.schema.fields().len()).collect();
        let layout = context.layout(kept.schema.clone(), all.clone());
        let matched = context.arrange(matched.rows, &layout, "matched rows");
        let by_row = context.arrange(flatten(kept.arranged, context), &layout, "rows to match");
        let kept = Input { arranged: by_row, schema: kept.schema, keys: all.clone() };
        let keys = all.iter().copied().zip(all.iter().copied()).collect();
        with_partner(kept, matched, &layout.schema, keys, true, context)
    }

    fn anti(&mut self, inner: Option<Stream<'s>>, keep: Keep, context: &mut Context<'s>) -> Stream<'s> {
        let matched = self.semi(inner, keep, context);
        let all = flatten(self.sides(keep).0.arranged, context);
        union(context.scope, [all, negate(matched)])
    }

    fn outer(&mut self, kind: JoinKind, schema: &SchemaRef, context: &mut Context<'s>) -> Stream<'s> {
        let inner = self.inner(schema, context);
        let mut parts = vec![inner.clone()];
        if matches!(kind, JoinKind::Left | JoinKind::Full) {
            let unmatched = self.anti(Some(inner.clone()), Keep::Left, context);
            parts.push(padded(unmatched, schema, 0));
        }
        if matches!(kind, JoinKind::Right | JoinKind::Full) {
            let unmatched = self.anti(Some(inner), Keep::Right, context);
            parts.push(padded(unmatched, schema, self.left.schema.fields().len()));
        }
        union(context.scope, parts)
    }

    /// The side that is kept, and the other.
    fn sides(&self, keep: Keep) -> (Input<'s>, Input<'s>) {
        match keep {
            Keep::Left => (self.left.clone(), self.right.clone()),
            Keep::Right => (self.right.clone(), self.left.clone()),
        }
    }
}

/// The rows of `kept` whose key is in `partners`, which holds each once.
fn with_partner<'s>(
    kept: Input<'s>,
    partners: Arranged<'s>,
    partner_schema: &SchemaRef,
    keys: Vec<(usize, usize)>,
    nulls_equal: bool,
    context: &mut Context<'s>,
) -> Stream<'s> {
    let both = concat_schemas(&kept.schema, partner_schema);
    let pairing = Pairing { keys, nulls_equal, filter: None, both, given: kept.schema };
    // Without a filter nothing fails.
    pairs(kept.arranged, partners, pairing, context).0
}

/// Each value of these columns once.
fn distinct<'s>(
    rows: Stream<'s>,
    schema: &SchemaRef,
    columns: Vec<usize>,
    context: &mut Context<'s>,
) -> Collection<'s> {
    let schema: SchemaRef = Arc::new(schema.project(&columns).expect("the columns are there"));
    let projected = schema.clone();
    let rows = each(rows, "project", move |delta| {
        let values = columns.iter().map(|&column| delta.rows.column(column).clone()).collect();
        Delta { rows: batch_of(&projected, values, delta.rows.num_rows()), ..delta }
    });
    let all: Vec<usize> = (0..schema.fields().len()).collect();
    let errors = super::stateless::empty(context.scope);
    reduce(Collection { rows, errors, schema: schema.clone() }, &all, &[], &schema, context)
}

/// Rows in their place among the columns of `schema`, from `first` on; the others are NULL.
fn padded<'s>(rows: Stream<'s>, schema: &SchemaRef, first: usize) -> Stream<'s> {
    let schema = schema.clone();
    each(rows, "pad", move |delta| {
        let null = |column: usize| new_null_array(schema.field(column).data_type(), delta.len());
        let present = delta.rows.columns();
        let columns = (0..schema.fields().len()).map(|column| match column.checked_sub(first) {
            Some(own) if own < present.len() => present[own].clone(),
            _ => null(column),
        });
        let rows: RecordBatch = batch_of(&schema, columns.collect(), delta.len());
        Delta { rows, ..delta }
    })
}

fn concat_schemas(left: &SchemaRef, right: &SchemaRef) -> SchemaRef {
    Arc::new(Schema::new(left.fields().iter().chain(right.fields()).cloned().collect::<Vec<_>>()))
}
