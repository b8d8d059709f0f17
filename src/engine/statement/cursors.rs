//! DECLARE, FETCH, MOVE and CLOSE.

use std::time::Duration;

use crate::engine::cursor::Cursor;
use crate::engine::outcome::{Description, Outcome};
use crate::engine::read;
use crate::engine::session::Session;
use crate::sql::statement::{Declare, DeclareFor, Fetch, FetchCount};
use crate::types::{Error, Result, SqlState};

pub async fn declare(session: &mut Session, declare: &Declare) -> Result<Outcome> {
    if session.is_alone() && !declare.hold {
        let message = "DECLARE CURSOR can only be used in transaction blocks";
        return Err(Error::new(SqlState::NO_ACTIVE_SQL_TRANSACTION, message));
    }
    if session.cursors.contains_key(&declare.name) {
        let message = format!("cursor \"{}\" already exists", declare.name);
        return Err(Error::new(SqlState::DUPLICATE_CURSOR, message));
    }
    if declare.scroll {
        return Err(Error::unsupported("SCROLL cursors are not supported").with_hint("Leave out SCROLL."));
    }
    let cursor = match &declare.what {
        DeclareFor::Query(query) => {
            let planned = super::query::plan(session, query, &[])?;
            let rows = read::rows(session, &planned).await?;
            Cursor::new(planned.columns, rows, declare.hold, false)
        }
        DeclareFor::Subscribe(subscribe) => {
            let (columns, rows) = super::subscribe::open(session, subscribe).await?;
            Cursor::new(columns, rows, declare.hold, true)
        }
    };
    session.cursors.insert(declare.name.clone(), cursor);
    Ok(Outcome::done("DECLARE CURSOR"))
}

pub async fn fetch(session: &mut Session, fetch: &Fetch) -> Result<Outcome> {
    let cursor = find(session, &fetch.cursor)?;
    let batches = take(cursor, fetch).await?;
    let columns = cursor.columns.clone();
    Ok(Outcome::rows(columns, batches, "FETCH"))
}

pub async fn skip(session: &mut Session, fetch: &Fetch) -> Result<Outcome> {
    let cursor = find(session, &fetch.cursor)?;
    let batches = take(cursor, fetch).await?;
    let rows: usize = batches.iter().map(|batch| batch.num_rows()).sum();
    Ok(Outcome::done(format!("MOVE {rows}")))
}

pub fn close(session: &mut Session, name: Option<&str>) -> Result<Outcome> {
    match name {
        None => {
            session.cursors.clear();
            Ok(Outcome::done("CLOSE CURSOR ALL"))
        }
        Some(name) => {
            find(session, name)?;
            session.cursors.remove(name);
            Ok(Outcome::done("CLOSE CURSOR"))
        }
    }
}

pub fn describe(session: &mut Session, name: &str) -> Result<Description> {
    let columns = find(session, name)?.columns.clone();
    Ok(Description { parameters: vec![], columns: Some(columns) })
}

fn find<'a>(session: &'a mut Session, name: &str) -> Result<&'a mut Cursor> {
    let missing = || Error::new(SqlState::INVALID_CURSOR_NAME, format!("cursor \"{name}\" does not exist"));
    session.cursors.get_mut(name).ok_or_else(missing)
}

async fn take(cursor: &mut Cursor, fetch: &Fetch) -> Result<Vec<arrow::array::RecordBatch>> {
    let timeout = fetch.timeout.as_deref().map(timeout).transpose()?;
    let count = match fetch.count {
        FetchCount::All => usize::MAX,
        FetchCount::Rows(rows) => rows as usize,
    };
    cursor.fetch(count, timeout).await
}

/// `'1s'`, `'500ms'`, `'2min'`, `'0.5s'`.
fn timeout(text: &str) -> Result<Duration> {
    let text = text.trim();
    let invalid = || {
        let message = format!("invalid timeout: \"{text}\"");
        Error::new(SqlState::INVALID_PARAMETER_VALUE, message).with_hint("Write it like '500ms' or '1.5s'.")
    };
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..split].parse().map_err(|_| invalid())?;
    let seconds = match text[split..].trim() {
        "ms" => number / 1000.0,
        "s" | "" => number,
        "min" | "m" => number * 60.0,
        "h" => number * 3600.0,
        _ => return Err(invalid()),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| invalid())
}
