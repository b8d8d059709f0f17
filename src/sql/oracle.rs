//! Runs a query both ways for tests: by DataFusion over the optimized plan, and by the naive truth over its lowering.
//!
//! Text is bound by DataFusion's own SQL planner here, so that rules and lowering are tested apart from ours.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::cte_worktable::CteWorkTable;
use datafusion::common::Result as DataFusionResult;
use datafusion::common::config::ConfigOptions;
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::execution::SessionStateDefaults;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::logical_expr::{AggregateUDF, HigherOrderUDF, LogicalPlan, ScalarUDF, TableSource, WindowUDF};
use datafusion::physical_plan::collect;
use datafusion::sql::TableReference;
use datafusion::sql::planner::{ContextProvider, ParserOptions, SqlToRel};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::optimizer::optimize;
use super::physical::{BatchLimits, physical_plan, session_state};
use super::{PlanContext, RelationRef, RelationSource, lower};
use crate::dataflow::naive;
use crate::dataflow::plan::Plan;
use crate::types::{Error, ObjectId, Result};

/// Tables by name, with their rows; the n-th is object n.
pub struct Oracle {
    tables: Vec<(String, RecordBatch)>,
    options: ConfigOptions,
    expression_planners: Vec<Arc<dyn ExprPlanner>>,
    scalars: HashMap<String, Arc<ScalarUDF>>,
    aggregates: HashMap<String, Arc<AggregateUDF>>,
    windows: HashMap<String, Arc<WindowUDF>>,
}

impl Oracle {
    pub fn new(tables: Vec<(&str, RecordBatch)>) -> Self {
        let scalars = SessionStateDefaults::default_scalar_functions();
        let aggregates = SessionStateDefaults::default_aggregate_functions();
        let windows = SessionStateDefaults::default_window_functions();
        let names = |name: &str, aliases: &[String]| {
            [name.to_string()].into_iter().chain(aliases.iter().cloned()).collect::<Vec<_>>()
        };
        let scalars =
            scalars.into_iter().flat_map(|f| names(f.name(), f.aliases()).into_iter().map(move |n| (n, f.clone())));
        let aggregates =
            aggregates.into_iter().flat_map(|f| names(f.name(), f.aliases()).into_iter().map(move |n| (n, f.clone())));
        let windows =
            windows.into_iter().flat_map(|f| names(f.name(), f.aliases()).into_iter().map(move |n| (n, f.clone())));
        Oracle {
            tables: tables.into_iter().map(|(name, rows)| (name.to_string(), rows)).collect(),
            options: ConfigOptions::default(),
            expression_planners: SessionStateDefaults::default_expr_planners(),
            scalars: scalars.collect(),
            aggregates: aggregates.collect(),
            windows: windows.collect(),
        }
    }

    /// The optimized plan of a query.
    pub fn plan(&self, sql: &str) -> Result<LogicalPlan> {
        let mut parser = Parser::new(&PostgreSqlDialect {}).try_with_sql(sql).expect("the tests' SQL is well formed");
        let statement = parser.parse_statement().unwrap_or_else(|error| panic!("{sql}: {error}"));
        let options = ParserOptions::new().with_parse_float_as_decimal(true);
        let bound = SqlToRel::new_with_options(self, options).sql_statement_to_plan(statement)?;
        optimize(bound, &context())
    }

    pub fn lower(&self, sql: &str) -> Result<Plan> {
        lower(&self.plan(sql)?)
    }

    /// The rows that DataFusion computes.
    pub fn batch(&self, sql: &str) -> Result<Vec<String>> {
        let plan = self.plan(sql)?;
        let providers = |reference: &RelationRef| -> Result<Arc<dyn datafusion::catalog::TableProvider>> {
            let RelationRef::Object(ObjectId(id)) = reference else {
                return Err(Error::internal("no such relation"));
            };
            let rows = &self.tables[*id as usize].1;
            Ok(Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows.clone()]])?))
        };
        let limits = BatchLimits { partitions: 2, batch_rows: 7 };
        let state = session_state(Arc::new(RuntimeEnv::default()), limits, &context().time_zone);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime for a test");
        let batches = runtime.block_on(async {
            let physical = physical_plan(&plan, &providers, &state).await?;
            collect(physical, state.task_ctx()).await.map_err(Error::from)
        })?;
        Ok(naive::as_multiset(&batches))
    }

    /// The rows of the lowered plan, by definition.
    pub fn dataflow(&self, sql: &str) -> Result<Vec<String>> {
        let rows = naive::evaluate(&self.lower(sql)?, &|ObjectId(id)| self.tables[id as usize].1.clone())?;
        Ok(naive::as_multiset(&[rows]))
    }

    /// The rows that both ways of running the query give; else what differs, with the plan.
    pub fn compare(&self, sql: &str) -> std::result::Result<Vec<String>, String> {
        let plan = || self.plan(sql).map_or_else(|error| error.to_string(), |plan| plan.display_indent().to_string());
        let batch = self.batch(sql).map_err(|error| format!("{sql}\nbatch: {error:?}\n{}", plan()))?;
        let dataflow = self.dataflow(sql).map_err(|error| format!("{sql}\ndataflow: {error:?}\n{}", plan()))?;
        match batch == dataflow {
            true => Ok(batch),
            false => Err(format!("{sql}\nbatch: {batch:?}\ndataflow: {dataflow:?}\n{}", plan())),
        }
    }

    /// [`Oracle::compare`], where nothing may differ.
    pub fn agrees(&self, sql: &str) -> Vec<String> {
        self.compare(sql).unwrap_or_else(|difference| panic!("{difference}"))
    }

    /// Both ways fail with this SQLSTATE.
    pub fn fails(&self, sql: &str, state: &str) {
        for (mode, result) in [("batch", self.batch(sql)), ("dataflow", self.dataflow(sql))] {
            match result {
                Ok(rows) => panic!("{sql}\n{mode} gives {rows:?} instead of {state}"),
                Err(error) => assert_eq!(error.state().code(), state, "{sql}\n{mode}: {error:?}"),
            }
        }
    }
}

pub fn context() -> PlanContext {
    PlanContext {
        user: "millrace".into(),
        search_path: vec!["public".into()],
        time_zone: "UTC".into(),
        now: None,
        settings: vec![],
    }
}

impl ContextProvider for Oracle {
    fn get_table_source(&self, name: TableReference) -> DataFusionResult<Arc<dyn TableSource>> {
        let found = self.tables.iter().position(|(known, _)| known == name.table());
        let Some(position) = found else {
            return datafusion::common::plan_err!("no table {name}");
        };
        let reference = RelationRef::Object(ObjectId(position as u64));
        Ok(Arc::new(RelationSource { reference, schema: self.tables[position].1.schema() }))
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> DataFusionResult<Arc<dyn TableSource>> {
        Ok(provider_as_source(Arc::new(CteWorkTable::new(name, schema))))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.expression_planners
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.scalars.get(name).cloned()
    }

    fn get_higher_order_meta(&self, _: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.aggregates.get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.windows.get(name).cloned()
    }

    fn get_variable_type(&self, _: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.options
    }

    fn udf_names(&self) -> Vec<String> {
        self.scalars.keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.aggregates.keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.windows.keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        vec![]
    }
}
