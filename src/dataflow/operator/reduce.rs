//! GROUP BY and DISTINCT: which arrangements keep which aggregates, and the one fold that puts their results together.
//!
//! | aggregate | kept in |
//! |---|---|
//! | count, sum, avg | accumulators of the fold: no arrangement of the input |
//! | the same with DISTINCT | a fold per argument, whose rows come and go as values do; it feeds the same accumulators |
//! | min, max | an ordered arrangement per argument and filter, read at its ends |
//! | any other | an arrangement of the input, of which a changed group is read again |
//!
//! Every part but the accumulators gives each group that exists exactly one row of values, and the fold remembers it.

use std::sync::Arc;

use arrow::array::{RecordBatch, new_null_array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use timely::dataflow::operators::Concat;

use super::super::accumulator::Accumulates;
use super::super::collection::{Collection, Stream};
use super::super::columns::batch_of;
use super::super::context::Context;
use super::super::plan::{Aggregate, AggregateFunction};
use super::extremes::{Extremes, extremes};
use super::fold::{Fold, Source, fold};
use super::generic::{Generic, generic};
use super::results::Output;
use super::stateless::each;
use super::tally::{Contribution, Slot, StateLayout};
use crate::types::Delta;

/// The rows of [`Plan::Reduce`](super::super::plan::Plan::Reduce).
pub fn reduce<'s>(
    input: Collection<'s>,
    keys: &[usize],
    aggregates: &[Aggregate],
    schema: &SchemaRef,
    context: &mut Context<'s>,
) -> Collection<'s> {
    let mut parts = Parts::new(&input.schema, keys);
    let results: Vec<Planned> = aggregates.iter().map(|aggregate| parts.plan(aggregate)).collect();
    parts.render(input, &results, schema, context)
}

/// How one aggregate is computed.
enum Planned {
    Count(SlotAt),
    Total { count: SlotAt, sum: SlotAt, to: DataType },
    Mean { count: SlotAt, sum: SlotAt, to: DataType },
    Least { extremes: usize },
    Greatest { extremes: usize },
    Other { number: usize },
}

/// An accumulator: number `slot` of the rows themselves, or of the distinct values of a part.
#[derive(Clone, Copy)]
struct SlotAt {
    distinct: Option<usize>,
    slot: usize,
}

/// The parts of one reduction.
struct Parts {
    schema: SchemaRef,
    keys: Vec<usize>,
    /// The first counts the rows of a group.
    slots: Vec<Slot>,
    distinct: Vec<Distinct>,
    extremes: Vec<Extremes>,
    others: Vec<Aggregate>,
}

/// Aggregates over the distinct values of one argument.
struct Distinct {
    argument: usize,
    /// The filters in use; a value is present under one if a row with it passes.
    filters: Vec<usize>,
    /// Accumulators over rows of keys, the value, and whether it is present under each filter.
    slots: Vec<Slot>,
}

impl Parts {
    fn new(schema: &SchemaRef, keys: &[usize]) -> Self {
        let rows = Slot { accumulates: Accumulates::Count, argument: None, filter: None };
        Parts {
            schema: schema.clone(),
            keys: keys.to_vec(),
            slots: vec![rows],
            distinct: vec![],
            extremes: vec![],
            others: vec![],
        }
    }

    fn plan(&mut self, aggregate: &Aggregate) -> Planned {
        let to = aggregate.data_type.clone();
        match (&aggregate.function, aggregate.arguments.as_slice()) {
            (AggregateFunction::Count, []) => Planned::Count(self.slot(Accumulates::Count, None, aggregate)),
            (AggregateFunction::Count, [argument]) => Planned::Count(self.count(*argument, aggregate)),
            (AggregateFunction::Sum, [argument]) => {
                let (count, sum) = (self.count(*argument, aggregate), self.sum(*argument, aggregate));
                Planned::Total { count, sum, to }
            }
            (AggregateFunction::Avg, [argument]) => {
                let (count, sum) = (self.count(*argument, aggregate), self.sum(*argument, aggregate));
                Planned::Mean { count, sum, to }
            }
            (AggregateFunction::Min, [argument]) => {
                let extremes = self.extremes(*argument, aggregate);
                self.extremes[extremes].least = true;
                Planned::Least { extremes }
            }
            (AggregateFunction::Max, [argument]) => {
                let extremes = self.extremes(*argument, aggregate);
                self.extremes[extremes].greatest = true;
                Planned::Greatest { extremes }
            }
            _ => {
                self.others.push(aggregate.clone());
                Planned::Other { number: self.others.len() - 1 }
            }
        }
    }

    fn count(&mut self, argument: usize, aggregate: &Aggregate) -> SlotAt {
        // All values of a column without NULLs count, except that DISTINCT has to look at them.
        let needed = aggregate.distinct || self.schema.field(argument).is_nullable();
        self.slot(Accumulates::Count, needed.then_some(argument), aggregate)
    }

    fn sum(&mut self, argument: usize, aggregate: &Aggregate) -> SlotAt {
        let accumulates = Accumulates::sum_of(self.schema.field(argument).data_type());
        self.slot(accumulates.expect("the planner has checked that the type has a sum"), Some(argument), aggregate)
    }

    /// The accumulator for an argument under the aggregate's filter, shared with other aggregates.
    fn slot(&mut self, accumulates: Accumulates, argument: Option<usize>, aggregate: &Aggregate) -> SlotAt {
        let (keys, filter) = (self.keys.len(), aggregate.filter);
        let (Some(value), true) = (argument, aggregate.distinct) else {
            let slot = position_or_push(&mut self.slots, Slot { accumulates, argument, filter });
            return SlotAt { distinct: None, slot };
        };
        let known = self.distinct.iter().position(|part| part.argument == value);
        let number = known.unwrap_or_else(|| {
            self.distinct.push(Distinct { argument: value, filters: vec![], slots: vec![] });
            self.distinct.len() - 1
        });
        let part = &mut self.distinct[number];
        let filter = filter.map(|filter| keys + 1 + position_or_push(&mut part.filters, filter));
        let slot = position_or_push(&mut part.slots, Slot { accumulates, argument: Some(keys), filter });
        SlotAt { distinct: Some(number), slot }
    }

    fn extremes(&mut self, argument: usize, aggregate: &Aggregate) -> usize {
        let same = |part: &Extremes| (part.argument, part.filter) == (argument, aggregate.filter);
        self.extremes.iter().position(same).unwrap_or_else(|| {
            self.extremes.push(Extremes { argument, filter: aggregate.filter, least: false, greatest: false });
            self.extremes.len() - 1
        })
    }

    fn render<'s>(
        self,
        input: Collection<'s>,
        results: &[Planned],
        schema: &SchemaRef,
        context: &mut Context<'s>,
    ) -> Collection<'s> {
        if let Some(result) = self.alone(&input, results, schema, context) {
            return result;
        }
        let key_fields: Vec<Field> = self.keys.iter().map(|&key| self.schema.field(key).clone()).collect();
        let (mut sources, mut errors, mut defaults) = (vec![], input.errors.clone(), vec![]);
        let contribution = Contribution::Rows { keys: self.keys.clone(), slots: self.slots.clone(), first: 0 };
        sources.push(Source { rows: input.rows.clone(), contribution });
        let mut accumulators: Vec<Accumulates> = self.slots.iter().map(|slot| slot.accumulates).collect();
        let mut first_of_distinct = vec![];
        for part in &self.distinct {
            let first = accumulators.len();
            first_of_distinct.push(first);
            accumulators.extend(part.slots.iter().map(|slot| slot.accumulates));
            let keys = (0..self.keys.len()).collect();
            let contribution = Contribution::Rows { keys, slots: part.slots.clone(), first };
            sources.push(Source { rows: part.render(&input, &self.keys, context), contribution });
        }
        for part in &self.extremes {
            let contribution = Contribution::Values { source: defaults.len() };
            sources.push(Source { rows: extremes(&input, &self.keys, part, context), contribution });
            defaults.push(part.without_rows(&self.schema));
        }
        if !self.others.is_empty() {
            let part = Generic::new(&self.schema, &self.keys, &self.others);
            let contribution = Contribution::Values { source: defaults.len() };
            defaults.push(part.without_rows());
            let (rows, more_errors) = generic(&input, part, context);
            sources.push(Source { rows, contribution });
            errors = errors.concat(more_errors);
        }
        let layout = StateLayout::new(key_fields, &accumulators, defaults);
        let outputs = self.outputs(results, &layout, &first_of_distinct);
        let name = if results.is_empty() { "distinct" } else { "reduce" };
        let (rows, more_errors) = fold(name, Fold { layout, outputs, schema: schema.clone() }, sources, context);
        Collection { rows, errors: errors.concat(more_errors), schema: schema.clone() }
    }

    /// The result where one part has every column of it: there is nothing to put together, and no group without rows.
    fn alone<'s>(
        &self,
        input: &Collection<'s>,
        results: &[Planned],
        schema: &SchemaRef,
        context: &mut Context<'s>,
    ) -> Option<Collection<'s>> {
        let keys = self.keys.len();
        let columns: Option<Vec<usize>> = results
            .iter()
            .map(|planned| match planned {
                Planned::Least { .. } => Some(keys),
                Planned::Greatest { extremes } => Some(keys + self.extremes[*extremes].least as usize),
                Planned::Other { number } => Some(keys + number),
                _ => None,
            })
            .collect();
        let columns: Vec<usize> = (0..keys).chain(columns?).collect();
        let (rows, errors) = match (self.extremes.as_slice(), self.others.as_slice()) {
            _ if keys == 0 => return None,
            ([part], []) => (extremes(input, &self.keys, part, context), input.errors.clone()),
            ([], [_, ..]) => {
                let (rows, errors) = generic(input, Generic::new(&self.schema, &self.keys, &self.others), context);
                (rows, input.errors.clone().concat(errors))
            }
            _ => return None,
        };
        let output = schema.clone();
        let rows = each(rows, "results", move |delta| {
            let values = columns.iter().map(|&column| delta.rows.column(column).clone()).collect();
            Delta { rows: batch_of(&output, values, delta.len()), ..delta }
        });
        Some(Collection { rows, errors, schema: schema.clone() })
    }

    /// The columns of the result: keys, then aggregates.
    fn outputs(&self, results: &[Planned], layout: &StateLayout, first_of_distinct: &[usize]) -> Vec<Output> {
        let accumulator = |at: &SlotAt| at.distinct.map_or(0, |part| first_of_distinct[part]) + at.slot;
        let value = |source: usize, column: usize| Output::Column(layout.values[source].0.start + column);
        let aggregate = |planned: &Planned| match planned {
            Planned::Count(count) => Output::Count { accumulator: accumulator(count) },
            Planned::Total { count, sum, to } => {
                Output::Total { accumulator: accumulator(sum), count: accumulator(count), to: to.clone() }
            }
            Planned::Mean { count, sum, to } => {
                Output::Mean { accumulator: accumulator(sum), count: accumulator(count), to: to.clone() }
            }
            Planned::Least { extremes } => value(*extremes, 0),
            Planned::Greatest { extremes } => value(*extremes, self.extremes[*extremes].least as usize),
            Planned::Other { number } => value(self.extremes.len(), *number),
        };
        (0..self.keys.len()).map(Output::Column).chain(results.iter().map(aggregate)).collect()
    }
}

impl Distinct {
    /// Rows of keys, the value, and whether it is present under each filter.
    fn render<'s>(&self, input: &Collection<'s>, keys: &[usize], context: &mut Context<'s>) -> Stream<'s> {
        let mut columns = keys.to_vec();
        columns.push(self.argument);
        let fields: Vec<Field> = columns.iter().map(|&column| input.schema.field(column).clone()).collect();
        let count = |filter| Slot { accumulates: Accumulates::Count, argument: None, filter };
        let slots: Vec<Slot> =
            [None].into_iter().chain(self.filters.iter().map(|&filter| Some(filter))).map(count).collect();
        let accumulators = vec![Accumulates::Count; slots.len()];
        let layout = StateLayout::new(fields.clone(), &accumulators, vec![]);
        let present = (1..slots.len()).map(|accumulator| Output::Present { accumulator });
        let outputs = (0..columns.len()).map(Output::Column).chain(present).collect();
        let present = self.filters.iter().map(|_| Field::new("present", DataType::Boolean, false));
        let schema = Arc::new(Schema::new(fields.into_iter().chain(present).collect::<Vec<_>>()));
        let contribution = Contribution::Rows { keys: columns, slots, first: 0 };
        let sources = vec![Source { rows: input.rows.clone(), contribution }];
        // Counts can't fail.
        fold("distinct values", Fold { layout, outputs, schema }, sources, context).0
    }
}

impl Extremes {
    /// The values of a group without rows.
    fn without_rows(&self, schema: &SchemaRef) -> RecordBatch {
        let fields = self.fields(schema);
        let columns = fields.iter().map(|field| new_null_array(field.data_type(), 1)).collect();
        batch_of(&Arc::new(Schema::new(fields)), columns, 1)
    }
}

fn position_or_push<T: PartialEq>(list: &mut Vec<T>, item: T) -> usize {
    list.iter().position(|known| *known == item).unwrap_or_else(|| {
        list.push(item);
        list.len() - 1
    })
}
