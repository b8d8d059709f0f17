//! Scans, VALUES and constants.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::logical_expr::{EmptyRelation, LogicalPlan, TableScan, Values};

use super::{refusal, scalar};
use crate::dataflow::plan::Plan;
use crate::sql::optimizer::{Series, SeriesRows};
use crate::sql::{RelationRef, RelationSource};
use crate::types::text::Zone;
use crate::types::{Error, Result};

/// The longest series that a view holds as a constant.
const SERIES_ROWS_MAX: usize = 100_000;

/// A relation with its filters, then its projection (the filters may need columns that the projection drops).
pub fn scan(scan: &TableScan) -> Result<Plan> {
    let Some(source) = scan.source.downcast_ref::<RelationSource>() else {
        return Err(refusal::of_table_function(scan.table_name.table()));
    };
    let object = match &source.reference {
        RelationRef::Object(object) => *object,
        RelationRef::System { schema, name } => return Err(refusal::of_system_relation(schema, name)),
    };
    if scan.fetch.is_some() {
        return Err(Error::internal("a limit was pushed into a scan"));
    }
    let names = DFSchema::try_from_qualified_schema(scan.table_name.clone(), &source.schema)?;
    let mut plan = Plan::Get { object, schema: source.schema.clone() };
    for filter in &scan.filters {
        plan = Plan::Filter { predicate: scalar::scalar(filter, &names)?, input: plan.into() };
    }
    match &scan.projection {
        Some(positions) => Ok(scalar::select(plan, positions, scan.projected_schema.inner().clone())),
        None => Ok(plan),
    }
}

pub fn empty(empty: &EmptyRelation) -> Result<Plan> {
    let schema = empty.schema.inner().clone();
    let rows = match empty.produce_one_row {
        false => RecordBatch::new_empty(schema),
        true => {
            let nulls = schema.fields().iter().map(|field| arrow::array::new_null_array(field.data_type(), 1));
            RecordBatch::try_new_with_options(schema.clone(), nulls.collect(), &one_row())?
        }
    };
    Ok(Plan::Constant { rows })
}

/// VALUES are computed when the view is made; an expression that fails is an error then.
pub fn values(values: &Values) -> Result<Plan> {
    let schema = values.schema.inner().clone();
    let no_columns = DFSchema::empty();
    let unit = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &one_row())?;
    let mut columns: Vec<Vec<ArrayRef>> = vec![vec![]; schema.fields().len()];
    for row in &values.values {
        for (column, expression) in columns.iter_mut().zip(row) {
            let value = scalar::scalar(expression, &no_columns)?.physical.evaluate(&unit)?.into_array(1)?;
            column.push(value);
        }
    }
    let whole = |(parts, field): (&Vec<ArrayRef>, &Arc<arrow::datatypes::Field>)| -> Result<ArrayRef> {
        let parts: Vec<&dyn arrow::array::Array> = parts.iter().map(AsRef::as_ref).collect();
        let column = concat(&parts)?;
        Ok(if column.data_type() == field.data_type() {
            column
        } else {
            arrow::compute::cast(&column, field.data_type())?
        })
    };
    let arrays = columns.iter().zip(schema.fields()).map(whole).collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(values.values.len()));
    Ok(Plan::Constant { rows: RecordBatch::try_new_with_options(schema, arrays, &options)? })
}

/// A short series of constants is a constant too, computed when the view is made.
pub fn series(series: &Series, schema: SchemaRef) -> Result<Plan> {
    let LogicalPlan::Projection(arguments) = series.input.as_ref() else {
        return Err(refusal::of_series());
    };
    let is_alone = matches!(arguments.input.as_ref(), LogicalPlan::EmptyRelation(empty) if empty.produce_one_row);
    let of_columns = arguments.expr.iter().any(|argument| argument.any_column_refs());
    // What a day is in a time zone is for the session to say, which a view has none of.
    let zoned = schema.fields().iter().any(|field| matches!(field.data_type(), DataType::Timestamp(_, Some(_))));
    if !is_alone || of_columns || zoned {
        return Err(refusal::of_series());
    }
    let no_columns = DFSchema::empty();
    let unit = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &one_row())?;
    let mut columns = Vec::new();
    for argument in &arguments.expr {
        columns.push(scalar::scalar(argument, &no_columns)?.physical.evaluate(&unit)?.into_array(1)?);
    }
    let batch = RecordBatch::try_new(arguments.schema.inner().clone(), columns)?;
    let mut batches = SeriesRows::new(&batch, schema.clone(), SERIES_ROWS_MAX, Zone::UTC);
    let rows = batches.next().transpose()?.unwrap_or_else(|| RecordBatch::new_empty(schema));
    match batches.next() {
        None => Ok(Plan::Constant { rows }),
        Some(_) => Err(refusal::of_series()),
    }
}

fn one_row() -> RecordBatchOptions {
    RecordBatchOptions::new().with_row_count(Some(1))
}
