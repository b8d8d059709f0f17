//! Sorts that look at the columns which only break ties where rows do tie.
//!
//! An order is made total by all remaining columns, so that both modes keep the same rows. Sorting by all of them would
//! compare and copy every column of every row; nearly always the keys that the user wrote decide already. So DataFusion
//! sorts by those, and [`TieOrderExec`] puts the rows that are equal in them into the order of the rest.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, DynComparator, RecordBatch, UInt32Array, make_comparator};
use datafusion::arrow::compute::{concat_batches, partition, take_record_batch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result as DataFusionResult, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};

use super::stepwise::stepwise;

/// Tie-breaking columns from which on a sort is split. One more key costs less than looking for ties.
const TIES_MIN: usize = 2;

/// The plan with its sorts split, where they end in columns that break ties.
pub fn sort_ties_late(plan: Arc<dyn ExecutionPlan>) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
    let split = plan.transform_up(|plan| match plan.downcast_ref::<SortExec>().and_then(split) {
        Some(split) => Ok(Transformed::yes(split)),
        None => Ok(Transformed::no(plan)),
    });
    split.data()
}

fn split(sort: &SortExec) -> Option<Arc<dyn ExecutionPlan>> {
    let keys: Vec<&PhysicalSortExpr> = sort.expr().iter().collect();
    let deciding = keys.len() - ties_at_end(&keys);
    let schema = sort.input().schema();
    let nested = |key: &&PhysicalSortExpr| key.expr.data_type(&schema).map_or(true, |found| found.is_nested());
    // A sort with a limit keeps few rows anyway.
    if sort.fetch().is_some() || keys.len() - deciding < TIES_MIN || keys[..deciding].iter().any(nested) {
        return None;
    }
    let first = LexOrdering::new(keys[..deciding].iter().map(|&key| key.clone()))?;
    let input = SortExec::new(first, sort.input().clone()).with_preserve_partitioning(sort.preserve_partitioning());
    Some(Arc::new(TieOrderExec {
        input: Arc::new(input),
        order: sort.expr().clone(),
        deciding,
        properties: sort.properties().clone(),
    }))
}

/// How many keys at the end look as if they were added to break ties: columns, ascending, NULLs last, from the left.
/// One key decides at least.
pub(super) fn ties_at_end(keys: &[&PhysicalSortExpr]) -> usize {
    let mut next = usize::MAX;
    let is_tie = |key: &&&PhysicalSortExpr| {
        let column = key.expr.downcast_ref::<Column>().map(Column::index);
        let is_tie = !key.options.descending && !key.options.nulls_first && column.is_some_and(|column| column < next);
        next = column.unwrap_or(next);
        is_tie
    };
    keys[1..].iter().rev().take_while(is_tie).count()
}

/// Rows sorted by the first `deciding` keys of `order`, sorted by all of them.
#[derive(Debug)]
struct TieOrderExec {
    input: Arc<dyn ExecutionPlan>,
    order: LexOrdering,
    deciding: usize,
    /// Those of the whole sort that this and its input stand for.
    properties: Arc<PlanProperties>,
}

impl DisplayAs for TieOrderExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ties: Vec<String> = self.order[self.deciding..].iter().map(|key| key.to_string()).collect();
        write!(f, "TieOrderExec: expr=[{}]", ties.join(", "))
    }
}

impl ExecutionPlan for TieOrderExec {
    fn name(&self) -> &str {
        "TieOrderExec"
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
        let Some(input) = children.pop() else {
            return internal_err!("TieOrderExec has one input");
        };
        let (order, properties) = (self.order.clone(), self.properties.clone());
        Ok(Arc::new(TieOrderExec { input, order, deciding: self.deciding, properties }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DataFusionResult<SendableRecordBatchStream> {
        let schema = self.schema();
        let (deciding, ties) = self.order.split_at(self.deciding);
        let mut runs = Runs {
            deciding: deciding.to_vec(),
            ties: ties.to_vec(),
            schema: schema.clone(),
            open: vec![],
            memory: MemoryConsumer::new("TieOrderExec").register(context.memory_pool()),
        };
        let input = self.input.execute(partition, context)?;
        // The end of the input closes the last run.
        Ok(stepwise(schema, input, move |batch| match batch {
            Some(batch) => runs.push(&batch),
            None => runs.close(),
        }))
    }
}

/// Puts runs of rows that are equal in the deciding keys in order. The last run of a batch may go on in the next.
struct Runs {
    deciding: Vec<PhysicalSortExpr>,
    ties: Vec<PhysicalSortExpr>,
    schema: SchemaRef,
    /// The run that is not known to have ended.
    open: Vec<RecordBatch>,
    memory: MemoryReservation,
}

impl Runs {
    /// The rows whose runs have ended, in order.
    fn push(&mut self, batch: &RecordBatch) -> DataFusionResult<Vec<RecordBatch>> {
        if batch.num_rows() == 0 {
            return Ok(vec![]);
        }
        let mut runs = partition(&values(&self.deciding, batch)?)?.ranges();
        let mut closed = vec![];
        if self.goes_on(batch)? {
            let first = runs.remove(0);
            self.keep_open(batch, first)?;
        }
        let Some(last) = runs.pop() else {
            return Ok(vec![]);
        };
        closed.extend(self.close()?);
        if let Some(first) = runs.first() {
            let rows = first.start..last.start;
            let runs = runs.iter().map(|run| run.start - rows.start..run.end - rows.start).collect::<Vec<_>>();
            closed.push(self.ordered(batch.slice(rows.start, rows.len()), &runs)?);
        }
        self.keep_open(batch, last)?;
        Ok(closed)
    }

    /// Whether the first row of `batch` belongs to the open run.
    fn goes_on(&self, batch: &RecordBatch) -> DataFusionResult<bool> {
        let Some(open) = self.open.last() else {
            return Ok(false);
        };
        let (left, right) = (values(&self.deciding, open)?, values(&self.deciding, batch)?);
        for (key, (left, right)) in self.deciding.iter().zip(left.iter().zip(&right)) {
            if make_comparator(left, right, key.options)?(left.len() - 1, 0) != Ordering::Equal {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn keep_open(&mut self, batch: &RecordBatch, run: Range<usize>) -> DataFusionResult<()> {
        self.memory.try_grow(batch.get_array_memory_size() * run.len() / batch.num_rows())?;
        self.open.push(batch.slice(run.start, run.len()));
        Ok(())
    }

    /// The rows of the open run, in order.
    fn close(&mut self) -> DataFusionResult<Vec<RecordBatch>> {
        let open = std::mem::take(&mut self.open);
        self.memory.free();
        if open.is_empty() {
            return Ok(vec![]);
        }
        let rows = concat_batches(&self.schema, &open)?;
        let run = 0..rows.num_rows();
        Ok(vec![self.ordered(rows, &[run])?])
    }

    fn ordered(&self, rows: RecordBatch, runs: &[Range<usize>]) -> DataFusionResult<RecordBatch> {
        if runs.len() == rows.num_rows() {
            return Ok(rows);
        }
        let columns = values(&self.ties, &rows)?;
        let keys = self.ties.iter().zip(&columns);
        let comparators: Vec<DynComparator> =
            keys.map(|(key, column)| make_comparator(column, column, key.options)).collect::<Result<_, _>>()?;
        let compare = |left: &u32, right: &u32| {
            let decide =
                |order: Ordering, compare: &DynComparator| order.then_with(|| compare(*left as usize, *right as usize));
            comparators.iter().fold(Ordering::Equal, decide)
        };
        let mut positions: Vec<u32> = (0..rows.num_rows() as u32).collect();
        for run in runs.iter().filter(|run| run.len() > 1) {
            positions[run.clone()].sort_unstable_by(compare);
        }
        Ok(take_record_batch(&rows, &UInt32Array::from(positions))?)
    }
}

fn values(keys: &[PhysicalSortExpr], batch: &RecordBatch) -> DataFusionResult<Vec<ArrayRef>> {
    keys.iter().map(|key| key.expr.evaluate(batch)?.into_array(batch.num_rows())).collect()
}
