//! PREPARE, EXECUTE and DEALLOCATE, which share their statements with the extended protocol.

use datafusion::common::ScalarValue;
use sqlparser::ast;

use crate::engine::outcome::{Description, Outcome};
use crate::engine::prepared::Prepared;
use crate::engine::session::Session;
use crate::sql::statement::Statement;
use crate::types::{Error, Result, SqlState, SqlType};

pub fn prepare(session: &mut Session, name: &str, types: &[SqlType], statement: &Statement) -> Result<Outcome> {
    let declared: Vec<_> = types.iter().cloned().map(Some).collect();
    let description = super::describe(session, statement, &declared)?;
    session.prepared().insert(name, Prepared { statement: Some(statement.clone()), description })?;
    Ok(Outcome::done("PREPARE"))
}

pub async fn execute(session: &mut Session, name: &str, arguments: &[ast::Expr]) -> Result<Outcome> {
    let prepared = session.prepared().get(name)?;
    let types = &prepared.description.parameters;
    if types.len() != arguments.len() {
        let message = format!("wrong number of parameters for prepared statement \"{name}\"");
        let detail = format!("Expected {} parameters but got {}.", types.len(), arguments.len());
        return Err(Error::new(SqlState::SYNTAX_ERROR, message).with_detail(detail));
    }
    let pairs = arguments.iter().zip(types);
    let values: Vec<ScalarValue> = session
        .plan(|planner| pairs.map(|(argument, sql_type)| planner.constant(argument, Some(sql_type))).collect())?;
    match &prepared.statement {
        Some(statement) => super::run(session, statement, &values).await,
        None => Ok(Outcome::Empty),
    }
}

pub fn describe(session: &mut Session, name: &str) -> Result<Description> {
    let columns = session.prepared().get(name)?.description.columns.clone();
    Ok(Description { parameters: vec![], columns })
}

pub fn deallocate(session: &mut Session, name: Option<&str>) -> Result<Outcome> {
    let Some(name) = name else {
        session.prepared().clear();
        return Ok(Outcome::done("DEALLOCATE ALL"));
    };
    if !session.prepared().remove(name) {
        let message = format!("prepared statement \"{name}\" does not exist");
        return Err(Error::new(SqlState::INVALID_SQL_STATEMENT_NAME, message));
    }
    Ok(Outcome::done("DEALLOCATE"))
}
