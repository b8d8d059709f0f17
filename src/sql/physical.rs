//! Batch mode: an optimized logical plan as a DataFusion execution plan, over rows that the caller provides.
//!
//! Everything that decides what a query means has happened in [`super::optimizer`]; here DataFusion's own physical
//! planner and physical rules choose how: join sides, repartitioning, scans that filter and project by themselves.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::common::Result as DataFusionResult;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{
    Expr, Filter, LogicalPlan, TableProviderFilterPushDown, TableScan, UserDefinedLogicalNode,
};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use datafusion::prelude::SessionConfig;

use super::keep_top::keep_top;
use super::late_ties::sort_ties_late;
use super::optimizer::{Repeat, RepeatExec, Series, SeriesExec};
use super::{RelationRef, RelationSource};
use crate::types::{Error, Result};

/// How wide a query runs and how large its batches are.
#[derive(Clone, Copy, Debug)]
pub struct BatchLimits {
    pub partitions: usize,
    pub batch_rows: usize,
}

/// What plans are made and run in: limits, and the memory pool of `runtime`.
pub fn session_state(runtime: Arc<RuntimeEnv>, limits: BatchLimits, time_zone: &str) -> SessionState {
    let mut config = SessionConfig::new()
        .with_target_partitions(limits.partitions)
        .with_batch_size(limits.batch_rows)
        .with_information_schema(false)
        .with_create_default_catalog_and_schema(false);
    config.options_mut().execution.time_zone = Some(time_zone.to_string());
    // The metadata of fields names SQL types, which rules of DataFusion carry along or drop as they like.
    config.options_mut().execution.skip_physical_aggregate_schema_check = true;
    SessionStateBuilder::new().with_config(config).with_runtime_env(runtime).build()
}

/// Gives the rows of a relation.
pub type Providers<'a> = &'a (dyn Fn(&RelationRef) -> Result<Arc<dyn TableProvider>> + Send + Sync);

/// The execution plan of an analyzed and optimized logical plan.
pub async fn physical_plan(
    plan: &LogicalPlan,
    providers: Providers<'_>,
    state: &SessionState,
) -> Result<Arc<dyn ExecutionPlan>> {
    let provided = push_filters(provide(plan.clone(), providers)?)?;
    let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(OwnNodes)]);
    Ok(sort_ties_late(keep_top(planner.create_physical_plan(&provided, state).await?)?)?)
}

/// Puts the providers of rows in the place of names.
fn provide(plan: LogicalPlan, providers: Providers<'_>) -> Result<LogicalPlan> {
    let provided = plan.transform_up_with_subqueries(|plan| match plan {
        LogicalPlan::TableScan(scan) => match scan.source.downcast_ref::<RelationSource>() {
            Some(source) => {
                let source = provider_as_source(providers(&source.reference)?);
                Ok(Transformed::yes(LogicalPlan::TableScan(TableScan { source, ..scan })))
            }
            None => Ok(Transformed::no(LogicalPlan::TableScan(scan))),
        },
        other => Ok(Transformed::no(other)),
    });
    Ok(provided.data()?)
}

/// Hands the filters over a scan to the scan, as far as its provider takes them.
fn push_filters(plan: LogicalPlan) -> Result<LogicalPlan> {
    let pushed = plan.transform_up_with_subqueries(|plan| match plan {
        LogicalPlan::Filter(Filter { predicate, input, .. }) => match input.as_ref() {
            LogicalPlan::TableScan(scan) => push_filter(predicate, scan).map(Transformed::yes),
            _ => Ok(Transformed::no(LogicalPlan::Filter(Filter::try_new(predicate, input)?))),
        },
        other => Ok(Transformed::no(other)),
    });
    Ok(pushed.data()?)
}

fn push_filter(predicate: Expr, scan: &TableScan) -> DataFusionResult<LogicalPlan> {
    let conjuncts: Vec<Expr> = split_conjunction(&predicate).into_iter().cloned().collect();
    let provider = source_as_provider(&scan.source)?;
    // A scan must not evaluate what may differ from one evaluation to the next.
    let asked: Vec<&Expr> = conjuncts.iter().collect();
    let answers = provider.supports_filters_pushdown(&asked)?;
    let mut scan = scan.clone();
    let mut rest = vec![];
    for (conjunct, answer) in conjuncts.into_iter().zip(answers) {
        let answer = if conjunct.is_volatile() { TableProviderFilterPushDown::Unsupported } else { answer };
        if answer != TableProviderFilterPushDown::Unsupported {
            scan.filters.push(conjunct.clone());
        }
        if answer != TableProviderFilterPushDown::Exact {
            rest.push(conjunct);
        }
    }
    let scan = LogicalPlan::TableScan(scan);
    match conjunction(rest) {
        Some(rest) => Ok(LogicalPlan::Filter(Filter::try_new(rest, Arc::new(scan))?)),
        None => Ok(scan),
    }
}

/// Plans the nodes that are ours.
struct OwnNodes;

#[async_trait]
impl ExtensionPlanner for OwnNodes {
    async fn plan_extension(
        &self,
        _: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        _: &SessionState,
    ) -> DataFusionResult<Option<Arc<dyn ExecutionPlan>>> {
        let [input] = inputs else {
            return Err(Error::internal(format!("{} has one input", node.name())).into());
        };
        if node.as_any().is::<Repeat>() {
            return Ok(Some(Arc::new(RepeatExec::new(input.clone()))));
        }
        Ok(node.as_any().downcast_ref::<Series>().map(|series| {
            let schema = node.schema().inner().clone();
            Arc::new(SeriesExec::new(input.clone(), schema, series.order().is_some())) as Arc<dyn ExecutionPlan>
        }))
    }
}
