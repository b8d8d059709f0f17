//! SELECT, VALUES, WITH and the rest of what only reads.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use sqlparser::ast;

use crate::engine::outcome::{Description, Outcome};
use crate::engine::read;
use crate::engine::session::Session;
use crate::sql::Planned;
use crate::types::{Result, SqlType};

pub async fn run(session: &mut Session, query: &ast::Query, text: &str, parameters: &[ScalarValue]) -> Result<Outcome> {
    let planned = known_plan(session, query, text, &parameter_types(parameters))?.bind(parameters)?;
    let rows = read::rows(session, &planned).await?;
    Ok(Outcome::Rows { columns: planned.columns, rows, verb: "SELECT" })
}

pub fn describe(
    session: &mut Session,
    query: &ast::Query,
    text: &str,
    declared: &[Option<SqlType>],
) -> Result<Description> {
    let planned = known_plan(session, query, text, declared)?;
    Ok(Description { parameters: planned.parameters.clone(), columns: Some(planned.columns.clone()) })
}

/// The plan of a statement that may come again.
fn known_plan(
    session: &mut Session,
    query: &ast::Query,
    text: &str,
    declared: &[Option<SqlType>],
) -> Result<Arc<Planned>> {
    session.known_plan((text, declared), |planner| planner.query(query, declared))
}

pub fn plan(session: &mut Session, query: &ast::Query, declared: &[Option<SqlType>]) -> Result<Planned> {
    session.plan(|planner| planner.query(query, declared))
}

/// The types of values that a client has bound, where Arrow's type tells them: text carries several SQL types, which the
/// statement decides again as it did when it was described.
pub fn parameter_types(parameters: &[ScalarValue]) -> Vec<Option<SqlType>> {
    let known =
        |value: &ScalarValue| Some(SqlType::of_arrow(&value.data_type())).filter(|known| *known != SqlType::Text);
    parameters.iter().map(known).collect()
}
