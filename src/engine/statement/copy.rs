//! COPY FROM STDIN and COPY TO STDOUT: what is copied; how it is written on the wire is the server's.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};

use super::dml;
use crate::catalog::Table;
use crate::engine::outcome::{CopyFormat, CopyIn, CopyOptions, Outcome};
use crate::engine::read;
use crate::engine::session::Session;
use crate::sql::statement::{Copy, CopyDirection, CopyOptions as Said, CopyWhat, Name};
use crate::types::text::{self, TextStyle};
use crate::types::{Error, ObjectId, Relation, Result, SqlState};

/// Where copied rows go.
pub struct Target {
    id: ObjectId,
    table: Table,
    /// The table's position of each column that the client sends.
    columns: Vec<usize>,
    copied: usize,
    /// One row of the DEFAULTs of the other columns.
    defaults: Vec<ArrayRef>,
    _lock: Option<tokio::sync::OwnedMutexGuard<()>>,
}

impl Target {
    pub fn tag(&self) -> String {
        format!("COPY {}", self.copied)
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
    let search_path = session.search_path();
    let catalog = session.transaction().catalog.clone();
    let found = catalog.relation(name.schema.as_deref(), &name.name, &search_path);
    let entry = found.ok_or_else(|| {
        Error::new(SqlState::UNDEFINED_TABLE, format!("relation \"{name}\" does not exist")).at(name.position)
    })?;
    let table = dml::table_of(entry)?.clone();
    let mut places = Vec::new();
    for column in columns {
        let place = table.relation.position(column).ok_or_else(|| {
            let message = format!("column \"{column}\" of relation \"{}\" does not exist", entry.name);
            Error::new(SqlState::UNDEFINED_COLUMN, message)
        })?;
        if places.contains(&place) {
            let message = format!("column \"{column}\" specified more than once");
            return Err(Error::new(SqlState::DUPLICATE_COLUMN, message));
        }
        places.push(place);
    }
    if columns.is_empty() {
        places = (0..table.relation.columns.len()).collect();
    }
    let sent = Relation::new(places.iter().map(|&place| table.relation.columns[place].clone()).collect());
    let defaults = session.plan(|planner| planner.defaults(&table))?;
    let lock = dml::lock(session, entry.id, table.relation.key.is_some()).await;
    let target = Target { id: entry.id, table, columns: places, copied: 0, defaults, _lock: lock };
    Ok(Outcome::CopyIn(CopyIn { columns: sent, options, target }))
}

/// Parses fields and buffers the rows.
pub async fn rows(session: &mut Session, copy: &mut CopyIn, fields: RecordBatch, first_line: u64) -> Result<()> {
    let target = &mut copy.target;
    let style = TextStyle { time_zone: session.settings.time_zone().to_string() };
    let count = fields.num_rows();
    let mut values: Vec<Option<ArrayRef>> = vec![None; target.table.relation.columns.len()];
    for (place, field) in target.columns.iter().zip(fields.columns()) {
        let column = &target.table.relation.columns[*place];
        let parsed = text::parse(field.as_string(), &column.sql_type, &style);
        values[*place] = Some(parsed.map_err(|error| locate(error, field, column, &style, first_line))?);
    }
    let columns = values.into_iter().enumerate().map(|(place, value)| match value {
        Some(value) => Ok(value),
        None => repeat(&target.defaults[place], count),
    });
    let schema = target.table.relation.schema();
    let nullable: Vec<_> = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    let batch = RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(nullable)), columns.collect::<Result<_>>()?)?;
    let batch = dml::checked(batch, &target.table.relation, &schema)?;
    target.copied += count;
    let (id, table) = (target.id, target.table.clone());
    dml::add(session, id, &table, &[batch]).await
}

/// A parse error with the line of the first value that does not parse.
fn locate(error: Error, field: &ArrayRef, column: &crate::types::Column, style: &TextStyle, first_line: u64) -> Error {
    let bad = (0..field.len()).find(|&row| text::parse(field.slice(row, 1).as_string(), &column.sql_type, style).is_err());
    let line = first_line + bad.unwrap_or(0) as u64;
    error.with_detail(format!("COPY line {line}, column {}.", column.name))
}

fn repeat(value: &ArrayRef, count: usize) -> Result<ArrayRef> {
    Ok(arrow::compute::take(value, &arrow::array::UInt32Array::from(vec![0; count]), None)?)
}

/// What was said, and the rest as the format has it.
fn options(said: &Said) -> Result<CopyOptions> {
    let format = if said.csv { CopyFormat::Csv } else { CopyFormat::Text };
    let (delimiter, null) = match format {
        CopyFormat::Text => (b'\t', "\\N"),
        CopyFormat::Csv => (b',', ""),
    };
    if format == CopyFormat::Text && (said.quote.is_some() || said.escape.is_some()) {
        return Err(Error::new(SqlState::FEATURE_NOT_SUPPORTED, "COPY quote and escape are available only in CSV mode"));
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
