//! Statements: one file per verb, and the table that sends each to its file.

pub(super) mod copy;
mod create_index;
mod create_relation;
pub(super) mod create_source;
mod create_view;
mod cursors;
mod dml;
mod drop_object;
mod explain;
mod maintenance;
mod prepare;
mod query;
mod settings;
mod subscribe;
mod transactions;

use datafusion::common::ScalarValue;

use super::outcome::{Description, Outcome};
use super::session::Session;
use crate::sql::statement::{Command, CopyDirection, Statement};
use crate::types::{Error, Result, SqlState, SqlType};

/// Runs one statement in the session's transaction.
pub(super) async fn run(session: &mut Session, statement: &Statement, parameters: &[ScalarValue]) -> Result<Outcome> {
    if writes(&statement.command) {
        session.database.wait_for_room().await;
    }
    match &statement.command {
        Command::Query(query) => query::run(session, query, &statement.text, parameters).await,
        Command::Insert(insert) => dml::insert(session, insert, parameters).await,
        Command::Update(update) => dml::update(session, update, parameters).await,
        Command::Delete(delete) => dml::delete(session, delete, parameters).await,
        Command::Truncate(names) => dml::truncate(session, names).await,
        Command::Copy(copy) => copy::run(session, copy).await,
        Command::CreateConnection(create) => create_source::connection(session, create, &statement.text),
        Command::CreateSource(create) => create_source::source(session, create, &statement.text).await,
        Command::CreateTable(create) => create_relation::table(session, create, &statement.text).await,
        Command::CreateView(create) => create_view::view(session, create),
        Command::CreateMaterializedView(create) => create_view::materialized_view(session, create),
        Command::CreateIndex(create) => create_index::index(session, create, &statement.text).await,
        Command::CreateSchema { name, if_not_exists } => create_relation::schema(session, name, *if_not_exists),
        Command::Drop(drop) => drop_object::drop(session, drop),
        Command::Explain(explain) => explain::run(session, explain, parameters).await,
        Command::Show(show) => settings::show(session, show),
        Command::Set(set) => settings::set(session, set),
        Command::Reset(name) => settings::reset(session, name.as_deref()),
        Command::Discard(discard) => settings::discard(session, *discard),
        Command::Checkpoint => maintenance::checkpoint(session).await,
        Command::Backup(path) => maintenance::backup(session, path).await,
        Command::SetTransaction { modes, session: for_session } => transactions::set(session, modes, *for_session),
        Command::Begin { modes } => transactions::begin(session, modes),
        Command::Commit { chain } => transactions::commit(session, *chain).await,
        Command::Rollback { chain } => transactions::rollback(session, *chain),
        Command::Savepoint(name) => transactions::savepoint(session, name),
        Command::Release(name) => transactions::release(session, name),
        Command::RollbackTo(name) => transactions::rollback_to(session, name),
        Command::Declare(declare) => cursors::declare(session, declare).await,
        Command::Fetch(fetch) => cursors::fetch(session, fetch).await,
        Command::Move(fetch) => cursors::skip(session, fetch).await,
        Command::Close(name) => cursors::close(session, name.as_deref()),
        Command::Prepare { name, types, statement } => prepare::prepare(session, name, types, statement),
        Command::Execute { name, arguments } => Box::pin(prepare::execute(session, name, arguments)).await,
        Command::Deallocate(name) => prepare::deallocate(session, name.as_deref()),
        Command::Subscribe(subscribe) => subscribe::run(session, subscribe).await,
        Command::Listen(_) | Command::Notify { .. } => {
            Err(Error::unsupported("LISTEN and NOTIFY are not supported").with_hint("Use SUBSCRIBE to follow a view."))
        }
        Command::Unlisten(_) => Ok(Outcome::done("UNLISTEN")),
    }
}

/// Whether rows come with a statement, which must wait while views are too far behind.
fn writes(command: &Command) -> bool {
    match command {
        Command::Insert(_) | Command::Update(_) | Command::Delete(_) => true,
        Command::Copy(copy) => copy.direction == CopyDirection::FromStdin,
        _ => false,
    }
}

/// Plans a statement to learn what it takes and gives. `declared` holds the parameter types that the client gave.
pub(super) fn describe(
    session: &mut Session,
    statement: &Statement,
    declared: &[Option<SqlType>],
) -> Result<Description> {
    let alone = !session.has_transaction();
    let description = describe_command(session, statement, declared);
    if alone {
        session.rollback();
    }
    description
}

fn describe_command(session: &mut Session, statement: &Statement, declared: &[Option<SqlType>]) -> Result<Description> {
    match &statement.command {
        Command::Query(query) => query::describe(session, query, &statement.text, declared),
        Command::Insert(insert) => dml::describe_insert(session, insert, declared),
        Command::Update(update) => dml::describe_update(session, update, declared),
        Command::Delete(delete) => dml::describe_delete(session, delete, declared),
        Command::Explain(_) => Ok(explain::describe()),
        Command::Show(show) => settings::describe_show(show),
        Command::Fetch(fetch) => cursors::describe(session, &fetch.cursor),
        Command::Execute { name, .. } => prepare::describe(session, name),
        Command::Subscribe(subscribe) => subscribe::describe(session, subscribe),
        _ => Ok(Description::default()),
    }
}

/// A name that an outcome of DDL mentions when there was nothing to do.
fn skipping(session: &mut Session, state: SqlState, message: String) {
    session.notice(super::outcome::Severity::Notice, state, format!("{message}, skipping"));
}
