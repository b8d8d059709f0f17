//! Repeat: every row as often as its last column says, without that column. What EXCEPT ALL and INTERSECT ALL end in.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array};
use datafusion::arrow::compute::take_arrays;
use datafusion::arrow::datatypes::{Int64Type, Schema, SchemaRef};
use datafusion::common::{DFSchema, DFSchemaRef, DataFusionError, Result as DataFusionResult, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
};
use futures::{StreamExt, TryStreamExt};

/// The logical node. The count (bigint, not NULL) is the input's last column; zero and less mean no row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Repeat {
    pub input: Arc<LogicalPlan>,
    schema: DFSchemaRef,
}

impl Repeat {
    pub fn try_new(input: LogicalPlan) -> DataFusionResult<Self> {
        let all: Vec<_> = input.schema().iter().map(|(table, field)| (table.cloned(), field.clone())).collect();
        let Some((_, kept)) = all.split_last() else {
            return internal_err!("Repeat needs a column to count by");
        };
        let schema = DFSchema::new_with_metadata(kept.to_vec(), input.schema().metadata().clone())?;
        Ok(Repeat { input: Arc::new(input), schema: Arc::new(schema) })
    }

    /// Position of the count in the input.
    pub fn count(&self) -> usize {
        self.schema.fields().len()
    }
}

impl PartialOrd for Repeat {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.input.partial_cmp(&other.input)
    }
}

impl UserDefinedLogicalNodeCore for Repeat {
    fn name(&self) -> &str {
        "Repeat"
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

    /// Copies of a row pass a filter together, so every predicate may go below.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        HashSet::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Repeat: times={}", self.input.schema().field(self.count()).name())
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> DataFusionResult<Self> {
        match inputs.pop() {
            Some(input) => Repeat::try_new(input),
            None => internal_err!("Repeat has one input"),
        }
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![output_columns.iter().copied().chain([self.count()]).collect()])
    }
}

/// Repeat in a batch plan.
#[derive(Debug)]
pub struct RepeatExec {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl RepeatExec {
    pub fn new(input: Arc<dyn ExecutionPlan>) -> Self {
        let fields = input.schema().fields().iter().cloned().collect::<Vec<_>>();
        let kept = fields.split_last().map(|(_, kept)| kept.to_vec()).unwrap_or_default();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::new(Schema::new(kept))),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            input.pipeline_behavior(),
            input.boundedness(),
        );
        RepeatExec { input, properties: Arc::new(properties) }
    }
}

impl DisplayAs for RepeatExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RepeatExec")
    }
}

impl ExecutionPlan for RepeatExec {
    fn name(&self) -> &str {
        "RepeatExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        match children.pop() {
            Some(input) => Ok(Arc::new(RepeatExec::new(input))),
            None => internal_err!("RepeatExec has one input"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DataFusionResult<SendableRecordBatchStream> {
        let schema = self.schema();
        let rows_max = context.session_config().batch_size();
        let output = schema.clone();
        let repeated = self.input.execute(partition, context)?.map(move |batch| {
            let batches = Copies::new(&batch?, output.clone(), rows_max);
            Ok::<_, DataFusionError>(futures::stream::iter(batches))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, repeated.try_flatten())))
    }
}

/// The copies of one batch's rows, in batches of at most `rows_max`: a row may be repeated more often than fits memory.
struct Copies {
    columns: Vec<ArrayRef>,
    counts: Vec<i64>,
    schema: SchemaRef,
    rows_max: usize,
    /// The first row that has copies left.
    row: usize,
}

impl Copies {
    fn new(batch: &RecordBatch, schema: SchemaRef, rows_max: usize) -> Self {
        let mut columns = batch.columns().to_vec();
        let counts = columns.pop().map(|counts| counts.as_primitive::<Int64Type>().values().to_vec());
        Copies { columns, counts: counts.unwrap_or_default(), schema, rows_max, row: 0 }
    }
}

impl Iterator for Copies {
    type Item = DataFusionResult<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut rows: Vec<u32> = vec![];
        while rows.len() < self.rows_max && self.row < self.counts.len() {
            let left = self.counts[self.row].max(0);
            let taken = left.min((self.rows_max - rows.len()) as i64);
            rows.extend(std::iter::repeat_n(self.row as u32, taken as usize));
            self.counts[self.row] = left - taken;
            if taken == left {
                self.row += 1;
            }
        }
        if rows.is_empty() {
            return None;
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let batch = take_arrays(&self.columns, &UInt32Array::from(rows), None)
            .and_then(|columns| RecordBatch::try_new_with_options(self.schema.clone(), columns, &options));
        Some(batch.map_err(DataFusionError::from))
    }
}
