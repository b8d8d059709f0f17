//! `row_number() <= k`: rows that can't be among the first k of their group are dropped before they are sorted.
//!
//! ```text
//!   Filter: n <= k  ◀─  Window: row_number() AS n  ◀─  Sort by group and order  ◀─  KeepTop  ◀─  all rows
//! ```
//! What is above stays as it is and decides; [`KeepTopExec`] gives it any superset of the rows that matter. So rows that tie
//! at the border are all kept, the sort may spill as it likes, and what does not fit into memory is just passed on.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::compute::interleave_record_batch;
use datafusion::arrow::row::{Row, RowConverter, Rows, SortField};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result as DataFusionResult, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, Literal};
use datafusion::physical_expr::utils::split_conjunction;
use datafusion::physical_expr::window::{StandardWindowExpr, WindowExpr};
use datafusion::physical_expr::{PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowUDFExpr};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};

use super::late_ties::ties_at_end;
use super::stepwise::stepwise;
use crate::dataflow::columns::bytes_of;

/// Rows that are gathered before some are dropped, at least.
const ROWS_MIN: usize = if cfg!(test) { 256 } else { 65_536 };
/// If more than this share of the rows stays, looking for those that don't costs more than sorting them (measured with
/// Nexmark's q18 and q19).
const WORTH_IT: f64 = 0.25;

/// The plan with rows dropped early, where only the first of each group are asked for.
pub fn keep_top(plan: Arc<dyn ExecutionPlan>) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
    let kept = plan.transform_up(|plan| match plan.downcast_ref::<FilterExec>().map(below_filter) {
        Some(Ok(Some(input))) => Ok(Transformed::yes(plan.with_new_children(vec![input])?)),
        Some(Err(error)) => Err(error),
        _ => Ok(Transformed::no(plan)),
    });
    kept.data()
}

/// The input of a filter on row numbers, with rows dropped below its sort.
fn below_filter(filter: &FilterExec) -> DataFusionResult<Option<Arc<dyn ExecutionPlan>>> {
    let projection = filter.input().downcast_ref::<ProjectionExec>();
    let numbered = projection.map_or(filter.input(), |projection| projection.input());
    let Some(window) = numbered.downcast_ref::<BoundedWindowAggExec>() else { return Ok(None) };
    let Some(sort) = window.input().downcast_ref::<SortExec>() else { return Ok(None) };
    // Nothing but row numbers: other functions look at rows that come later.
    if sort.fetch().is_some() || !window.window_expr().iter().all(is_row_number) {
        return Ok(None);
    }
    let below_window = |column: usize| match projection {
        Some(projection) => projection.expr()[column].expr.downcast_ref::<Column>().map(Column::index),
        None => Some(column),
    };
    let is_number = |column: usize| below_window(column) >= Some(window.input().schema().fields().len());
    let limits = split_conjunction(filter.predicate()).into_iter().filter_map(limit);
    let Some(limit) = limits.filter(|(column, _)| is_number(*column)).map(|(_, limit)| limit).min() else {
        return Ok(None);
    };
    let Some(top) = KeepTopExec::below(sort, window.window_expr()[0].partition_by(), limit) else { return Ok(None) };
    let sort = window.input().clone().with_new_children(vec![Arc::new(top)])?;
    let window = numbered.clone().with_new_children(vec![sort])?;
    Ok(Some(match projection {
        Some(_) => filter.input().clone().with_new_children(vec![window])?,
        None => window,
    }))
}

fn is_row_number(expr: &Arc<dyn WindowExpr>) -> bool {
    let function = expr.as_any().downcast_ref::<StandardWindowExpr>().map(StandardWindowExpr::get_standard_func_expr);
    let function = function.and_then(|function| function.as_any().downcast_ref::<WindowUDFExpr>());
    function.is_some_and(|function| function.fun().name() == "row_number")
}

/// The column, and how large it can be at most, where a predicate says so.
fn limit(predicate: &Arc<dyn PhysicalExpr>) -> Option<(usize, usize)> {
    let comparison = predicate.downcast_ref::<BinaryExpr>()?;
    let parts = |column: &Arc<dyn PhysicalExpr>, literal: &Arc<dyn PhysicalExpr>| {
        let value = literal.downcast_ref::<Literal>()?.value().to_string().parse::<usize>().ok()?;
        Some((column.downcast_ref::<Column>()?.index(), value))
    };
    let (left, right) = (comparison.left(), comparison.right());
    let (found, operator) = match parts(left, right) {
        Some(found) => (found, *comparison.op()),
        None => (parts(right, left)?, comparison.op().swap()?),
    };
    // One row more than needed does no harm.
    matches!(operator, Operator::Eq | Operator::Lt | Operator::LtEq).then_some(found)
}

/// Drops rows that are not among the first `limit` of their group; not all of them, and none that ties with the last.
#[derive(Debug)]
struct KeepTopExec {
    input: Arc<dyn ExecutionPlan>,
    groups: Vec<PhysicalSortExpr>,
    order: Vec<PhysicalSortExpr>,
    limit: usize,
    properties: Arc<PlanProperties>,
}

impl KeepTopExec {
    /// What goes below a sort whose first keys are the groups.
    fn below(sort: &SortExec, partition_by: &[Arc<dyn PhysicalExpr>], limit: usize) -> Option<Self> {
        let keys: Vec<&PhysicalSortExpr> = sort.expr().iter().collect();
        let groups = partition_by.len();
        let deciding = (keys.len() - ties_at_end(&keys)).max(groups + 1).min(keys.len());
        let is_group = |key: &&PhysicalSortExpr| partition_by.iter().any(|expr| expr == &key.expr);
        // Without groups, a sort with a limit does better.
        if groups == 0 || groups >= deciding || !keys[..groups].iter().all(is_group) {
            return None;
        }
        let keys: Vec<PhysicalSortExpr> = keys[..deciding].iter().map(|&key| key.clone()).collect();
        let fields = fields(&keys, sort.input()).ok()?;
        let (groups, order) = keys.split_at(groups);
        RowConverter::supports_fields(&fields).then(|| KeepTopExec {
            input: sort.input().clone(),
            groups: groups.to_vec(),
            order: order.to_vec(),
            limit,
            properties: sort.input().properties().clone(),
        })
    }
}

fn fields(keys: &[PhysicalSortExpr], input: &Arc<dyn ExecutionPlan>) -> DataFusionResult<Vec<SortField>> {
    let schema = input.schema();
    let field = |key: &PhysicalSortExpr| Ok(SortField::new_with_options(key.expr.data_type(&schema)?, key.options));
    keys.iter().map(field).collect()
}

impl DisplayAs for KeepTopExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |keys: &[PhysicalSortExpr]| keys.iter().map(|key| key.to_string()).collect::<Vec<_>>().join(", ");
        let (groups, order) = (names(&self.groups), names(&self.order));
        write!(f, "KeepTopExec: limit={}, groups=[{groups}], order=[{order}]", self.limit)
    }
}

impl ExecutionPlan for KeepTopExec {
    fn name(&self) -> &str {
        "KeepTopExec"
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
            return internal_err!("KeepTopExec has one input");
        };
        let (groups, order, limit) = (self.groups.clone(), self.order.clone(), self.limit);
        let properties = input.properties().clone();
        Ok(Arc::new(KeepTopExec { input, groups, order, limit, properties }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DataFusionResult<SendableRecordBatchStream> {
        let keys = |keys: &[PhysicalSortExpr]| {
            Ok::<_, datafusion::error::DataFusionError>(Keys {
                keys: keys.to_vec(),
                converter: RowConverter::new(fields(keys, &self.input)?)?,
                rows: vec![],
            })
        };
        let mut kept = Kept {
            batches: vec![],
            groups: keys(&self.groups)?,
            order: keys(&self.order)?,
            limit: self.limit,
            rows: 0,
            pruned_rows: 0,
            batch_rows: context.session_config().batch_size(),
            is_worth_it: true,
            memory: MemoryConsumer::new("KeepTopExec").register(context.memory_pool()),
        };
        let input = self.input.execute(partition, context)?;
        Ok(stepwise(self.schema(), input, move |batch| match batch {
            Some(batch) => kept.push(batch),
            None => kept.close(),
        }))
    }
}

/// Some of the keys of all kept batches, in an encoding that compares as the values do.
struct Keys {
    keys: Vec<PhysicalSortExpr>,
    converter: RowConverter,
    rows: Vec<Rows>,
}

impl Keys {
    fn push(&mut self, batch: &RecordBatch) -> DataFusionResult<usize> {
        let values = self.keys.iter().map(|key| key.expr.evaluate(batch)?.into_array(batch.num_rows()));
        let rows = self.converter.convert_columns(&values.collect::<DataFusionResult<Vec<ArrayRef>>>()?)?;
        let bytes = rows.size();
        self.rows.push(rows);
        Ok(bytes)
    }

    fn row(&self, (batch, row): (usize, usize)) -> Row<'_> {
        self.rows[batch].row(row)
    }
}

/// Rows that may be among the first of their group.
struct Kept {
    batches: Vec<RecordBatch>,
    groups: Keys,
    order: Keys,
    limit: usize,
    rows: usize,
    /// How many there were when rows were last dropped.
    pruned_rows: usize,
    batch_rows: usize,
    is_worth_it: bool,
    memory: MemoryReservation,
}

impl Kept {
    /// Takes a batch in. Gives rows that will be looked at no more: all, when nearly all would stay or memory is short.
    fn push(&mut self, batch: RecordBatch) -> DataFusionResult<Vec<RecordBatch>> {
        if !self.is_worth_it {
            return Ok(vec![batch]);
        }
        self.keep(batch)?;
        if self.rows < (2 * self.pruned_rows).max(ROWS_MIN) {
            return Ok(vec![]);
        }
        let before = self.rows;
        self.prune()?;
        self.is_worth_it = self.rows as f64 <= WORTH_IT * before as f64;
        match self.is_worth_it && self.memory.try_resize(self.bytes()).is_ok() {
            true => Ok(vec![]),
            false => Ok(self.let_go()),
        }
    }

    fn close(&mut self) -> DataFusionResult<Vec<RecordBatch>> {
        if self.rows > 2 * self.pruned_rows {
            self.prune()?;
        }
        Ok(self.let_go())
    }

    fn keep(&mut self, batch: RecordBatch) -> DataFusionResult<()> {
        self.groups.push(&batch)?;
        self.order.push(&batch)?;
        self.rows += batch.num_rows();
        self.batches.push(batch);
        Ok(())
    }

    fn let_go(&mut self) -> Vec<RecordBatch> {
        self.memory.free();
        (self.rows, self.pruned_rows) = (0, 0);
        self.groups.rows.clear();
        self.order.rows.clear();
        std::mem::take(&mut self.batches)
    }

    fn bytes(&self) -> usize {
        let keys = self.groups.rows.iter().chain(&self.order.rows).map(Rows::size).sum::<usize>();
        keys + self.batches.iter().map(bytes_of).sum::<usize>()
    }

    /// Drops the rows that others come before.
    fn prune(&mut self) -> DataFusionResult<()> {
        let mut first = self.first();
        first.sort_unstable();
        let batches = std::mem::take(&mut self.batches);
        let sources: Vec<&RecordBatch> = batches.iter().collect();
        let pieces = first.chunks(self.batch_rows).map(|rows| interleave_record_batch(&sources, rows));
        let pieces = pieces.collect::<Result<Vec<_>, _>>()?;
        self.let_go();
        pieces.into_iter().try_for_each(|piece| self.keep(piece))?;
        self.pruned_rows = self.rows;
        Ok(())
    }

    /// The first rows of each group, as (batch, row), and those that tie with the last of them.
    fn first(&self) -> Vec<(usize, usize)> {
        let Kept { groups, order, .. } = self;
        let sizes = self.batches.iter().map(RecordBatch::num_rows).enumerate();
        let mut all: Vec<(usize, usize)> =
            sizes.flat_map(|(batch, rows)| (0..rows).map(move |row| (batch, row))).collect();
        all.sort_unstable_by(|&left, &right| {
            let by_group = groups.row(left).cmp(&groups.row(right));
            by_group.then_with(|| order.row(left).cmp(&order.row(right)))
        });
        let (mut first, mut taken) = (vec![], 0);
        let mut last: Option<(usize, usize)> = None;
        for at in all {
            let is_new = last.is_none_or(|last| groups.row(last) != groups.row(at));
            taken = if is_new { 0 } else { taken };
            if taken < self.limit || (!is_new && last.is_some_and(|last| order.row(last) == order.row(at))) {
                first.push(at);
                last = Some(at);
                taken += 1;
            }
        }
        first
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{ArrayRef, Int64Array, StringArray};
    use datafusion::arrow::util::pretty::pretty_format_batches;
    use datafusion::datasource::MemTable;
    use datafusion::physical_plan::{collect, displayable};
    use datafusion::prelude::{SessionConfig, SessionContext};

    use super::*;

    /// Rows in batches: a group, a value with NULLs that often ties, and a text that is nobody else's.
    fn rows(count: i64, groups: i64) -> MemTable {
        let spread = |number: i64| number.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as i64) >> 33;
        let batch = |from: i64| {
            let numbers = from..(from + 100).min(count);
            let group: Int64Array = numbers.clone().map(|number| Some(spread(number).rem_euclid(groups))).collect();
            let value = |number: i64| (number % 11 != 0).then(|| spread(number * 7).rem_euclid(5));
            let value: Int64Array = numbers.clone().map(value).collect();
            let name: StringArray = numbers.map(|number| Some(format!("{:x}", spread(number * 3)))).collect();
            let columns: [(&str, ArrayRef); 3] =
                [("g", Arc::new(group)), ("v", Arc::new(value)), ("name", Arc::new(name))];
            RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
        };
        let batches: Vec<RecordBatch> = (0..count).step_by(100).map(batch).collect();
        MemTable::try_new(batches[0].schema(), vec![batches]).unwrap()
    }

    async fn ordered(plan: Arc<dyn ExecutionPlan>, context: &SessionContext) -> Vec<String> {
        let batches = collect(plan, context.task_ctx()).await.unwrap();
        let text = pretty_format_batches(&batches).unwrap().to_string();
        let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
        lines.sort_unstable();
        lines
    }

    /// Whether the query drops rows early; in any case it must have the rows that it has without.
    async fn drops_early(from: &str, over: &str, filter: &str, groups: i64) -> bool {
        let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
        context.register_table("t", Arc::new(rows(5000, groups))).unwrap();
        let sql = format!("SELECT * FROM (SELECT *, {from} OVER ({over}) AS n FROM t) x WHERE {filter}");
        let plan = context.sql(&sql).await.unwrap().create_physical_plan().await.unwrap();
        let kept = keep_top(plan.clone()).unwrap();
        let shown = displayable(kept.as_ref()).indent(false).to_string();
        assert_eq!(ordered(kept, &context).await, ordered(plan, &context).await, "{sql}");
        shown.contains("KeepTopExec")
    }

    #[tokio::test]
    async fn the_first_of_each_group_are_what_they_were() {
        let over = "PARTITION BY g ORDER BY v DESC, name";
        for filter in ["n <= 1", "n <= 3", "3 > n", "n = 2", "n <= 7 AND v < 3", "n <= 0"] {
            for groups in [1, 10, 700, 5000] {
                assert!(drops_early("row_number()", over, filter, groups).await, "{filter}");
            }
        }
        assert!(drops_early("row_number()", "PARTITION BY g, v ORDER BY name DESC", "n < 3", 20).await);
    }

    #[tokio::test]
    async fn what_looks_at_other_rows_keeps_them() {
        let over = "PARTITION BY g ORDER BY v, name";
        assert!(!drops_early("lead(v)", over, "n <= 1", 10).await);
        assert!(!drops_early("row_number()", over, "n >= 2", 10).await);
        assert!(!drops_early("row_number()", over, "v <= 2", 10).await);
        assert!(!drops_early("row_number()", "ORDER BY v, name", "n <= 2", 10).await);
    }
}
