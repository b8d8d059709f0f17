//! Every query of `sql-tests/functions` by DataFusion with our registry and rules; the expected rows are PostgreSQL's.

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::Array;
use datafusion::arrow::datatypes::FieldRef;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::optimizer::AnalyzerRule;
use datafusion::optimizer::analyzer::type_coercion::TypeCoercion;
use datafusion::physical_plan::collect;
use datafusion::prelude::SessionConfig;
use datafusion::sql::sqlparser::ast::DataType as WrittenType;
use sqllogictest::{DefaultColumnType, Record, parse_file};

use super::{planners, registry};
use crate::sql::coerce::{guard, rules};
use crate::sql::type_name::sql_type;
use crate::types::text::{TextStyle, TextWriter};
use crate::types::{Error, Result, SqlType};

#[derive(Debug)]
struct Types;

impl TypePlanner for Types {
    fn plan_type_field(&self, written: &WrittenType) -> datafusion::common::Result<Option<FieldRef>> {
        Ok(Some(Arc::new(sql_type(written)?.field("", true))))
    }
}

fn state() -> SessionState {
    let mut config = SessionConfig::new().with_target_partitions(1).with_batch_size(7);
    config.options_mut().execution.time_zone = Some("UTC".into());
    config.options_mut().sql_parser.parse_float_as_decimal = true;
    config.options_mut().sql_parser.dialect = datafusion::config::Dialect::PostgreSQL;
    let mut analyzers: Vec<Arc<dyn AnalyzerRule + Send + Sync>> = rules();
    analyzers.push(Arc::new(TypeCoercion::new()));
    SessionStateBuilder::new_with_default_features()
        .with_config(config)
        .with_scalar_functions(registry().scalars.values().cloned().collect())
        .with_aggregate_functions(registry().aggregates.values().cloned().collect())
        .with_window_functions(registry().windows.values().cloned().collect())
        .with_expr_planners(planners())
        .with_type_planner(Arc::new(Types))
        .with_analyzer_rules(analyzers)
        .build()
}

/// The rows of a query as text; NULL is `NULL`.
pub fn rows_of(sql: &str) -> Result<Vec<Vec<String>>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| Error::internal(e.to_string()))?;
    runtime.block_on(async {
        let state = state();
        let plan = state.create_logical_plan(sql).await?;
        let plan = guard(state.optimize(&plan)?)?;
        let physical = state.query_planner().create_physical_plan(&plan, &state).await?;
        let batches = collect(physical, state.task_ctx()).await?;
        let mut rows = vec![];
        for batch in batches {
            let schema = batch.schema();
            let columns = batch.columns().iter().zip(schema.fields());
            let writers = columns
                .map(|(column, field)| TextWriter::new(column, &SqlType::of_field(field), &TextStyle::default()))
                .collect::<Result<Vec<_>>>()?;
            for row in 0..batch.num_rows() {
                let cell = |(place, writer): (usize, &TextWriter)| match batch.column(place).is_null(row) {
                    true => "NULL".to_string(),
                    false => {
                        let mut text = String::new();
                        writer.write(row, &mut text);
                        if text.is_empty() { "(empty)".into() } else { text }
                    }
                };
                rows.push(writers.iter().enumerate().map(cell).collect());
            }
        }
        Ok(rows)
    })
}

/// What is wrong with one record of a file, if anything is.
fn complaint(record: Record<DefaultColumnType>) -> Option<String> {
    let Record::Query { sql, expected, .. } = record else { return None };
    let found = rows_of(&sql);
    match (expected, found) {
        (sqllogictest::QueryExpect::Results { results, .. }, Ok(rows)) => {
            let rows: Vec<String> = rows.iter().map(|row| row.join(" ")).collect();
            let wanted: Vec<String> = results.iter().map(|line| line.trim().to_string()).collect();
            (rows != wanted).then(|| format!("{sql}\n  wanted {wanted:?}\n  found  {rows:?}"))
        }
        (sqllogictest::QueryExpect::Error(wanted), Err(error)) => {
            let text = format!("({}) {error}", error.state());
            (!wanted.is_match(&text, Some(error.state().code()))).then(|| format!("{sql}\n  wanted {wanted}\n  found  {text}"))
        }
        (sqllogictest::QueryExpect::Results { results, .. }, Err(error)) => {
            Some(format!("{sql}\n  wanted {results:?}\n  found  {error:?}"))
        }
        (sqllogictest::QueryExpect::Error(wanted), Ok(rows)) => {
            Some(format!("{sql}\n  wanted {wanted}\n  found  {rows:?}"))
        }
    }
}

#[test]
fn functions_answer_as_postgresql_does() {
    let mut complaints = vec![];
    let mut files: Vec<_> = std::fs::read_dir(Path::new("sql-tests/functions"))
        .expect("the tests are there")
        .map(|entry| entry.expect("the directory can be read").path())
        .collect();
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "slt")) {
        let records = parse_file::<DefaultColumnType>(file).expect("the file is well-formed");
        for record in records {
            complaints.extend(complaint(record).map(|text| format!("{}: {text}", file.display())));
        }
    }
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}
