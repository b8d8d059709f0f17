//! Series: every row as often as its series has values, with them. What generate_series() in FROM or in the select list
//! becomes, so that its rows are made as they are asked for.
//!
//! ```text
//!   kept columns, start, stop, step  ──▶  kept columns, value, position
//! ```
//! The position counts a row's values from 1. It is what WITH ORDINALITY shows, and the order of a series that stands
//! alone: a LIMIT takes its first values and computes no more.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, UInt32Array};
use datafusion::arrow::compute::take_arrays;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::{Column, DFSchema, DFSchemaRef, DataFusionError, Result as DataFusionResult, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};
use datafusion::physical_expr::expressions::Column as PhysicalColumn;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalSortExpr};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
};
use futures::{StreamExt, TryStreamExt};

use super::cardinality::at_most_one_row;
use crate::sql::function::definition::style_of;
use crate::sql::function::series::{Values, column};
use crate::types::text::Zone;
use crate::types::{Result, SqlType};

/// Start, stop and step are the last columns of the input.
const ARGUMENTS: usize = 3;

/// The logical node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Series {
    pub input: Arc<LogicalPlan>,
    value: String,
    position: String,
    schema: DFSchemaRef,
}

impl Series {
    /// `value` and `position` are the names of the new columns.
    pub fn try_new(input: LogicalPlan, value: &str, position: &str) -> DataFusionResult<Self> {
        let mut fields: Vec<_> = input.schema().iter().map(|(table, field)| (table.cloned(), field.clone())).collect();
        if fields.len() < ARGUMENTS {
            return internal_err!("Series needs a start, a stop and a step");
        }
        let arguments = fields.split_off(fields.len() - ARGUMENTS);
        let sql_type = SqlType::of_field(&arguments[0].1);
        fields.push((None, Arc::new(sql_type.field(value, true))));
        fields.push((None, Arc::new(SqlType::Int8.field(position, true))));
        let schema = DFSchema::new_with_metadata(fields, input.schema().metadata().clone())?;
        let (value, position) = (value.to_string(), position.to_string());
        Ok(Series { input: Arc::new(input), value, position, schema: Arc::new(schema) })
    }

    /// How many columns of the input are kept.
    pub fn kept(&self) -> usize {
        self.input.schema().fields().len() - ARGUMENTS
    }

    /// The same over another input.
    pub fn over(&self, input: LogicalPlan) -> DataFusionResult<Self> {
        Series::try_new(input, &self.value, &self.position)
    }

    /// The column that the rows are in the order of, if the series is the only one.
    pub fn order(&self) -> Option<Expr> {
        at_most_one_row(&self.input).then(|| Expr::Column(Column::new_unqualified(&self.position)))
    }
}

/// The node of a plan that is a series.
pub fn as_series(plan: &LogicalPlan) -> Option<&Series> {
    match plan {
        LogicalPlan::Extension(extension) => extension.node.as_any().downcast_ref::<Series>(),
        _ => None,
    }
}

impl PartialOrd for Series {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.input.partial_cmp(&other.input)
    }
}

impl UserDefinedLogicalNodeCore for Series {
    fn name(&self) -> &str {
        "generate_series()"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![]
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Series: value={}", self.value)
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> DataFusionResult<Self> {
        match inputs.pop() {
            Some(input) => self.over(input),
            None => internal_err!("Series has one input"),
        }
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let kept = self.kept();
        let needed = output_columns.iter().copied().filter(|&column| column < kept);
        Some(vec![needed.chain(kept..kept + ARGUMENTS).collect()])
    }
}

/// Series in a batch plan.
#[derive(Debug)]
pub struct SeriesExec {
    input: Arc<dyn ExecutionPlan>,
    /// Whether the input has one row at most, so that the rows are in the order of their positions.
    is_alone: bool,
    properties: Arc<PlanProperties>,
}

impl SeriesExec {
    pub fn new(input: Arc<dyn ExecutionPlan>, schema: SchemaRef, is_alone: bool) -> Self {
        let mut equivalences = EquivalenceProperties::new(schema.clone());
        if let (true, Some(last)) = (is_alone, schema.fields().len().checked_sub(1)) {
            let position = Arc::new(PhysicalColumn::new(schema.field(last).name(), last));
            equivalences.add_ordering([PhysicalSortExpr::new_default(position).nulls_last()]);
        }
        let properties = PlanProperties::new(
            equivalences,
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            input.pipeline_behavior(),
            input.boundedness(),
        );
        SeriesExec { input, is_alone, properties: Arc::new(properties) }
    }
}

impl DisplayAs for SeriesExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SeriesExec")
    }
}

impl ExecutionPlan for SeriesExec {
    fn name(&self) -> &str {
        "SeriesExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![!self.is_alone]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        match children.pop() {
            Some(input) => Ok(Arc::new(SeriesExec::new(input, self.schema(), self.is_alone))),
            None => internal_err!("SeriesExec has one input"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DataFusionResult<SendableRecordBatchStream> {
        let schema = self.schema();
        let rows_max = context.session_config().batch_size();
        let zone = Zone::of_name(&style_of(context.session_config().options()).time_zone)?;
        let output = schema.clone();
        let rows = self.input.execute(partition, context)?.map(move |batch| {
            let rows = Rows::new(&batch?, output.clone(), rows_max, zone);
            Ok::<_, DataFusionError>(futures::stream::iter(rows))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows.try_flatten())))
    }
}

/// The rows that one batch becomes, in batches of at most `rows_max`.
pub struct Rows {
    kept: Vec<ArrayRef>,
    arguments: Vec<ArrayRef>,
    count: usize,
    schema: SchemaRef,
    rows_max: usize,
    zone: Zone,
    /// The row whose series is next, or of whose series values are left.
    row: usize,
    begun: Option<(Values, i64)>,
}

impl Rows {
    pub fn new(batch: &RecordBatch, schema: SchemaRef, rows_max: usize, zone: Zone) -> Self {
        let mut kept = batch.columns().to_vec();
        let arguments = kept.split_off(kept.len() - ARGUMENTS);
        Rows { kept, arguments, count: batch.num_rows(), schema, rows_max, zone, row: 0, begun: None }
    }

    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        let (mut rows, mut values, mut positions) = (vec![], vec![], vec![]);
        while values.len() < self.rows_max && self.row < self.count {
            let (series, position) = match &mut self.begun {
                Some(begun) => begun,
                None => self.begun.insert((Values::new(&self.arguments, self.row, &self.zone)?, 0)),
            };
            let taken = series.take(self.rows_max - values.len(), &mut values)?;
            rows.extend(std::iter::repeat_n(self.row as u32, taken));
            positions.extend(*position + 1..=*position + taken as i64);
            *position += taken as i64;
            if series.is_empty() {
                self.begun = None;
                self.row += 1;
            }
        }
        if values.is_empty() {
            return Ok(None);
        }
        let mut columns = take_arrays(&self.kept, &UInt32Array::from(rows), None)?;
        columns.push(column(&values, self.arguments[0].data_type())?);
        columns.push(Arc::new(Int64Array::from(positions)));
        Ok(Some(RecordBatch::try_new(self.schema.clone(), columns)?))
    }
}

impl Iterator for Rows {
    type Item = DataFusionResult<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.batch() {
            Ok(batch) => batch.map(Ok),
            Err(error) => {
                // An error is the last that is said.
                self.row = self.count;
                Some(Err(error.into()))
            }
        }
    }
}
