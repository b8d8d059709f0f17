//! EXPLAIN: the batch plan of a query, or the dataflow of a materialized view.

use std::time::Instant;

use datafusion::common::ScalarValue;
use futures::TryStreamExt;

use super::query::parameter_types;
use crate::catalog::Item;
use crate::engine::outcome::{Description, Outcome};
use crate::engine::read;
use crate::engine::session::Session;
use crate::engine::views;
use crate::sql::statement::{Command, Explain, ExplainWhat, Name, Statement};
use crate::sql::{self, Planned};
use crate::types::{Column, Error, Relation, Result, SqlState, SqlType};

const COLUMN: &str = "QUERY PLAN";

pub async fn run(session: &mut Session, explain: &Explain, parameters: &[ScalarValue]) -> Result<Outcome> {
    let text = match &explain.what {
        ExplainWhat::MaterializedView(name) => dataflow_of_view(session, name)?,
        ExplainWhat::Statement(statement) => of_statement(session, explain, statement, parameters).await?,
    };
    let lines = text.lines().map(|line| [line.to_string()]).collect();
    Outcome::text([COLUMN], lines, "EXPLAIN")
}

pub fn describe() -> Description {
    let columns = Relation::new(vec![Column::new(COLUMN, SqlType::Text, false)]);
    Description { parameters: vec![], columns: Some(columns) }
}

async fn of_statement(
    session: &mut Session,
    explain: &Explain,
    statement: &Statement,
    parameters: &[ScalarValue],
) -> Result<String> {
    let types = parameter_types(parameters);
    let planned = match &statement.command {
        Command::Query(query) => super::query::plan(session, query, &types)?.bind(parameters)?,
        Command::Insert(insert) => session.plan_with(parameters, |planner| planner.insert(insert, &types))?.rows,
        Command::Update(update) => session.plan_with(parameters, |planner| planner.update(update, &types))?.rows,
        Command::Delete(delete) => session.plan_with(parameters, |planner| planner.delete(delete, &types))?.rows,
        Command::CreateMaterializedView(create) => {
            let planned = session.plan_maintained(|planner| planner.query(&create.query.query, &[]))?;
            return dataflow(session, &planned);
        }
        _ => {
            let message = "only queries, INSERT, UPDATE, DELETE and CREATE MATERIALIZED VIEW can be explained";
            return Err(Error::unsupported(message));
        }
    };
    let (plan, _) = read::physical_plan(session, &planned).await?;
    let mut text = lines(sql::explain::explain_batch(&plan));
    if explain.analyze {
        let Command::Query(_) = &statement.command else {
            return Err(Error::unsupported("EXPLAIN ANALYZE is supported for queries only"));
        };
        text += &analyze(session, &planned).await?;
    }
    Ok(text)
}

/// Runs the query and says how long it took and what it gave.
async fn analyze(session: &mut Session, planned: &Planned) -> Result<String> {
    let began = Instant::now();
    let rows = read::rows(session, planned).await?;
    let count = rows.try_fold(0, async |count, batch| Ok(count + batch.num_rows())).await?;
    let millis = began.elapsed().as_secs_f64() * 1000.0;
    Ok(format!("Rows: {count}\nExecution time: {millis:.3} ms\n"))
}

fn dataflow_of_view(session: &mut Session, name: &Name) -> Result<String> {
    let search_path = session.search_path();
    let catalog = session.transaction().catalog.clone();
    let found = catalog.relation(name.schema.as_deref(), &name.name, &search_path);
    let entry = found.ok_or_else(|| {
        Error::new(SqlState::UNDEFINED_TABLE, format!("relation \"{name}\" does not exist")).at(name.position)
    })?;
    let Item::MaterializedView(view) = &entry.item else {
        let message = format!("\"{name}\" is not a materialized view");
        let hint = "EXPLAIN a query to see how it is run once.";
        return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message).with_hint(hint).at(name.position));
    };
    let planned = views::plan(&catalog, view)?;
    dataflow(session, &planned)
}

fn dataflow(session: &mut Session, planned: &Planned) -> Result<String> {
    let plan = sql::lower(&planned.logical)?;
    let catalog = session.transaction().catalog.clone();
    let name = |id| catalog.get(id).map_or_else(|| format!("{id}"), |entry| entry.name.clone());
    Ok(lines(sql::explain::explain_dataflow(&plan, &name)))
}

fn lines(lines: Vec<String>) -> String {
    lines.into_iter().map(|line| line + "\n").collect()
}
