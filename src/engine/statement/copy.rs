//! COPY FROM STDIN and COPY TO STDOUT: what is copied; how it is written on the wire is the server's.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};

use super::dml;
use crate::catalog::Table;
use crate::engine::outcome::{CopyFormat, CopyIn, CopyOptions, Outcome};
use crate::engine::session::Session;
use crate::engine::{read, upsert};
use crate::sql::CopyPlan;
use crate::sql::statement::{Copy, CopyDirection, CopyOptions as Said, CopyWhat, Name};
use crate::types::text::{self, TextStyle};
use crate::types::{Error, Result, SqlState};

/// Where copied rows go.
pub struct Target {
    plan: CopyPlan,
    table: Table,
    copied: Vec<RecordBatch>,
    _lock: Option<tokio::sync::OwnedMutexGuard<()>>,
}

impl Target {
    pub fn tag(&self) -> String {
        format!("COPY {}", self.copied.iter().map(RecordBatch::num_rows).sum::<usize>())
    }
}

pub async fn run(session: &mut Session, copy: &Copy) -> Result<Outcome> {
    let options = options(&copy.options)?;
    match (&copy.what, copy.direction) {
        (CopyWhat::Table { name, columns }, CopyDirection::FromStdin) => from(session, name, columns, options).await,
        (CopyWhat::Table { name, columns }, CopyDirection::ToStdout) => {
            let planned = session.plan(|planner| planner.table(name, columns))?;
            let rows = read::rows(session, &planned).await?;
            Ok(Outcome::CopyOut { columns: planned.columns, rows, options })
        }
        (CopyWhat::Query(query), CopyDirection::ToStdout) => {
            let planned = super::query::plan(session, query, &[])?;
            let rows = read::rows(session, &planned).await?;
            Ok(Outcome::CopyOut { columns: planned.columns, rows, options })
        }
        (CopyWhat::Subscribe(subscribe), CopyDirection::ToStdout) => {
            let (columns, rows) = super::subscribe::open(session, subscribe).await?;
            Ok(Outcome::CopyOut { columns, rows, options })
        }
        (_, CopyDirection::FromStdin) => Err(Error::new(SqlState::SYNTAX_ERROR, "COPY FROM needs a table")),
    }
}

async fn from(session: &mut Session, name: &Name, columns: &[String], options: CopyOptions) -> Result<Outcome> {
    let plan = session.plan(|planner| planner.copy_from(name, columns))?;
    let table = dml::target(session, plan.table)?;
    let lock = dml::lock_to_insert(session, plan.table, false).await;
    let columns = plan.copied.clone();
    let target = Target { plan, table, copied: vec![], _lock: lock };
    Ok(Outcome::CopyIn(CopyIn { columns, options, target }))
}

/// Parses fields and buffers the rows.
pub fn rows(session: &mut Session, copy: &mut CopyIn, fields: RecordBatch, first_line: u64) -> Result<()> {
    let Target { plan, table, copied, .. } = &mut copy.target;
    let style = TextStyle { time_zone: session.settings.time_zone().to_string() };
    let parsed = plan.copied.columns.iter().zip(fields.columns()).map(|(column, field)| {
        let parsed = text::parse(field.as_string(), &column.sql_type, &style);
        parsed.map_err(|error| locate(error, field, column, &style, first_line))
    });
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(fields.num_rows()));
    let columns = parsed.collect::<Result<Vec<_>>>()?;
    let sent = RecordBatch::try_new_with_options(plan.copied.schema(), columns, &options)?;
    let complete = read::project(&plan.complete, &sent)?;
    let batch = dml::checked(complete, &table.relation, &table.relation.schema())?;
    session.transaction().write(plan.table, batch.clone(), 1)?;
    copied.push(batch);
    Ok(())
}

/// What is to be checked when all rows are there.
pub async fn end(session: &mut Session, target: &Target) -> Result<()> {
    upsert::check_unique(session, target.plan.table, &target.table, &target.copied).await
}

/// A parse error with the line of the first value that does not parse.
fn locate(error: Error, field: &ArrayRef, column: &crate::types::Column, style: &TextStyle, first_line: u64) -> Error {
    let bad =
        (0..field.len()).find(|&row| text::parse(field.slice(row, 1).as_string(), &column.sql_type, style).is_err());
    let line = first_line + bad.unwrap_or(0) as u64;
    error.with_detail(format!("COPY line {line}, column {}.", column.name))
}

/// What was said, and the rest as the format has it.
fn options(said: &Said) -> Result<CopyOptions> {
    let format = if said.csv { CopyFormat::Csv } else { CopyFormat::Text };
    let (delimiter, null) = match format {
        CopyFormat::Text => (b'\t', "\\N"),
        CopyFormat::Csv => (b',', ""),
    };
    if format == CopyFormat::Text && (said.quote.is_some() || said.escape.is_some()) {
        return Err(Error::new(
            SqlState::FEATURE_NOT_SUPPORTED,
            "COPY quote and escape are available only in CSV mode",
        ));
    }
    let quote = said.quote.unwrap_or(b'"');
    Ok(CopyOptions {
        format,
        delimiter: said.delimiter.unwrap_or(delimiter),
        null: said.null.clone().unwrap_or_else(|| null.to_string()),
        header: said.header,
        quote,
        escape: said.escape.unwrap_or(quote),
    })
}
