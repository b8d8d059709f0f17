//! One client's conversation with the database: its settings, transaction, cursors and prepared statements.
//!
//! Everything is `async` and may be dropped at any await: dropping an execution cancels it, and its work stops.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::ScalarValue;
use datafusion::execution::session_state::SessionState;

use super::cursor::Cursor;
use super::database::Database;
use super::outcome::{CopyIn, Description, Notice, Outcome, Severity, TransactionStatus};
use super::plans::Plans;
use super::prepared::PreparedStatements;
use super::settings::Settings;
use super::statement;
use super::system::System;
use super::transaction::{Block, Transaction};
use crate::catalog::{Catalog, DATABASE, DEFAULT_SCHEMA};
use crate::sql::physical::{self, BatchLimits};
use crate::sql::statement::{Command, Statement};
use crate::sql::{self, PlanContext, Planned, Planner, SettingChange};
use crate::types::{Error, Relation, Result, SqlState, SqlType};

/// Rows that DataFusion's operators aim at per batch.
const BATCH_ROWS: usize = 8192;

/// How often a single statement that met a concurrent change is tried again before its client hears of it.
const RETRIES_MAX: usize = 10;

/// What a client said when it connected.
#[derive(Clone, Debug, Default)]
pub struct SessionOptions {
    pub user: String,
    pub database: String,
    /// Startup parameters (application_name, search_path, those of `options=-c name=value`), in order.
    pub settings: Vec<(String, String)>,
    pub process_id: i32,
}

impl Database {
    /// A new session; 3D000 if there is no such database, 42704 or 22023 if a setting is wrong.
    pub fn session(self: &Arc<Self>, options: SessionOptions) -> Result<Session> {
        if options.database != DATABASE {
            let message = format!("database \"{}\" does not exist", options.database);
            let hint = format!("The only database is \"{DATABASE}\".");
            return Err(Error::new(SqlState::INVALID_CATALOG_NAME, message).with_hint(hint));
        }
        let mut settings = vec![("session_authorization".to_string(), options.user.clone())];
        settings.extend(options.settings);
        Ok(Session {
            database: self.clone(),
            user: options.user,
            process_id: options.process_id,
            settings: Settings::new(&settings)?,
            settings_before: None,
            transaction: None,
            prepared: PreparedStatements::default(),
            plans: Plans::default(),
            cursors: HashMap::new(),
            notices: Vec::new(),
        })
    }
}

/// One client's session.
pub struct Session {
    pub(super) database: Arc<Database>,
    pub(super) user: String,
    process_id: i32,
    pub(super) settings: Settings,
    /// The settings at the beginning of the transaction, for ROLLBACK.
    settings_before: Option<Settings>,
    transaction: Option<Transaction>,
    prepared: PreparedStatements,
    plans: Plans,
    pub(super) cursors: HashMap<String, Cursor>,
    notices: Vec<Notice>,
}

impl Session {
    /// Parses a string of statements; a syntax error anywhere means that none of them runs.
    pub fn parse(&self, text: &str) -> Result<Vec<Statement>> {
        sql::parse(text)
    }

    /// Plans a statement to learn its parameters and columns. `declared` holds the types that the client gave.
    pub async fn describe(&mut self, statement: &Statement, declared: &[Option<SqlType>]) -> Result<Description> {
        if self.is_failed() && !ends_transaction(&statement.command) {
            return Err(aborted());
        }
        statement::describe(self, statement, declared)
    }

    /// Runs a statement. An error inside a transaction block makes the block fail (25P02 follows).
    pub async fn execute(&mut self, statement: &Statement, parameters: &[ScalarValue]) -> Result<Outcome> {
        self.drop_abandoned();
        if self.is_failed() && !ends_transaction(&statement.command) {
            return Err(aborted());
        }
        // What is a transaction by itself can be tried again; of a block, only its client knows what to do again.
        let alone = self.transaction.is_none();
        let mut retries = 0;
        loop {
            let outcome = self.attempt(statement, parameters).await;
            match outcome {
                Err(error) if alone && error.state() == SqlState::SERIALIZATION_FAILURE => {
                    retries += 1;
                    if retries > RETRIES_MAX {
                        return Err(error);
                    }
                }
                outcome => return outcome,
            }
        }
    }

    /// One try of a statement; a transaction that is only this statement's has ended when it returns.
    async fn attempt(&mut self, statement: &Statement, parameters: &[ScalarValue]) -> Result<Outcome> {
        let outcome = statement::run(self, statement, parameters).await;
        let alone = self.transaction.as_ref().is_some_and(|transaction| transaction.block == Block::Statement);
        match outcome {
            // A COPY goes on after its statement has returned, and commits at its end.
            Ok(Outcome::CopyIn(copy)) => Ok(Outcome::CopyIn(copy)),
            Ok(outcome) if alone => self.commit().await.map(|()| outcome),
            Ok(outcome) => Ok(outcome),
            Err(error) => {
                self.fail_transaction();
                Err(error)
            }
        }
    }

    /// Opens the implicit transaction of a multi-statement string or an extended-protocol pipeline; the first statement
    /// of it that is a BEGIN turns it into a block.
    pub fn begin_implicit(&mut self) {
        self.drop_abandoned();
        if self.transaction.is_none() {
            self.begin(Block::Implicit);
        }
    }

    /// Commits the implicit transaction, if one is open, or rolls it back after an error.
    pub async fn end_implicit(&mut self, succeeded: bool) -> Result<()> {
        match self.transaction.as_ref().map(|transaction| transaction.block) {
            Some(Block::Implicit) if succeeded && !self.is_failed() => self.commit().await,
            Some(Block::Implicit) => {
                self.rollback();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Rows of a COPY FROM STDIN: one Utf8 column per copied column, as the format's fields were (NULL resolved).
    /// Values are parsed here; `first_line` is the line number of the first row, for the error's context.
    pub async fn copy_rows(&mut self, copy: &mut CopyIn, rows: RecordBatch, first_line: u64) -> Result<()> {
        let result = statement::copy::rows(self, copy, rows, first_line);
        result.inspect_err(|_| self.fail_transaction())
    }

    /// Commits what was copied and gives the tag (`COPY n`); with an error (the client's CopyFail, say) drops it.
    pub async fn copy_end(&mut self, copy: CopyIn, result: Result<()>) -> Result<String> {
        let alone = self.transaction.as_ref().is_some_and(|transaction| transaction.block == Block::Statement);
        let checked = match result {
            Ok(()) => statement::copy::end(self, &copy.target).await,
            error => error,
        };
        let ended = match checked {
            Ok(()) if alone => self.commit().await,
            other => other,
        };
        ended.inspect_err(|_| self.fail_transaction())?;
        Ok(copy.target.tag())
    }

    pub fn transaction_status(&self) -> TransactionStatus {
        match &self.transaction {
            Some(transaction) if transaction.block == Block::Explicit && transaction.failed => {
                TransactionStatus::Failed
            }
            Some(transaction) if transaction.block == Block::Explicit => TransactionStatus::InTransaction,
            _ => TransactionStatus::Idle,
        }
    }

    /// An error inside a transaction: a block waits for its ROLLBACK, anything else is over.
    pub fn fail_transaction(&mut self) {
        match &mut self.transaction {
            Some(transaction) if transaction.block == Block::Statement => self.rollback(),
            Some(transaction) => transaction.failed = true,
            None => {}
        }
    }

    /// The prepared statements of the protocol and of PREPARE, which share their names.
    pub fn prepared(&mut self) -> &mut PreparedStatements {
        &mut self.prepared
    }

    /// The columns of an open cursor, which the protocol may describe as it does its own portals.
    pub fn cursor(&self, name: &str) -> Option<Relation> {
        self.cursors.get(name).map(|cursor| cursor.columns.clone())
    }

    /// A setting as SHOW prints it (`statement_timeout`, `TimeZone`, ...).
    pub fn setting(&self, name: &str) -> Option<String> {
        self.settings.show(name).ok().map(str::to_string)
    }

    /// The settings that clients are told of when they change (ParameterStatus), changed since the last call; all of
    /// them at the first.
    pub fn changed_settings(&mut self) -> Vec<(String, String)> {
        self.settings.take_unreported()
    }

    /// What set_config() does.
    pub(super) fn change_setting(&mut self, change: &SettingChange) -> Result<()> {
        // The setting comes back when the transaction ends, so there must be one.
        self.transaction();
        match (change.texts()?, change.is_local) {
            ((name, None), _) => self.settings.reset(&name),
            ((name, Some(value)), true) => self.settings.set_local(&name, &value),
            ((name, Some(value)), false) => self.settings.set(&name, &value),
        }
    }

    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    pub(super) fn notice(&mut self, severity: Severity, state: SqlState, message: impl Into<String>) {
        self.notices.push(Notice { severity, error: Error::new(state, message) });
    }

    /// The open transaction; one for this statement alone if there was none.
    pub(super) fn transaction(&mut self) -> &mut Transaction {
        if self.transaction.is_none() {
            self.begin(Block::Statement);
        }
        self.transaction.as_mut().expect("begun just now")
    }

    pub(super) fn has_transaction(&self) -> bool {
        self.transaction.is_some()
    }

    /// The block that statements run in, if BEGIN was said (or will be, by a string's first statement).
    pub(super) fn open_block(&mut self) -> Option<&mut Transaction> {
        self.transaction.as_mut().filter(|transaction| transaction.block == Block::Explicit)
    }

    pub(super) fn begin(&mut self, block: Block) {
        let mut transaction = Transaction::new(self.database.catalog(), self.database.runtime.hash_seed(), block);
        transaction.read_only = self.settings.show("default_transaction_read_only").is_ok_and(|value| value == "on");
        self.settings_before = Some(self.settings.clone());
        self.transaction = Some(transaction);
    }

    /// Ends the transaction for good. Cursors WITHOUT HOLD end with it.
    pub(super) async fn commit(&mut self) -> Result<()> {
        let Some(transaction) = self.transaction.take() else { return Ok(()) };
        let block = transaction.block;
        let committed = transaction.commit(&self.database);
        self.end(block, committed.is_ok());
        if let Some(time) = committed?
            && self.settings.waits_for_disk()
        {
            self.database.timeline.settled(time).await;
        }
        Ok(())
    }

    pub(super) fn rollback(&mut self) {
        if let Some(transaction) = self.transaction.take() {
            self.end(transaction.block, false);
        }
    }

    fn end(&mut self, block: Block, committed: bool) {
        if let Some(before) = self.settings_before.take() {
            self.settings.end_transaction(before, committed);
        }
        if block != Block::Statement {
            self.cursors.retain(|_, cursor| cursor.hold && committed);
        }
    }

    /// Plans something to be run once. Views over what this transaction has changed are computed when they are read.
    pub(super) fn plan<T>(&mut self, f: impl FnOnce(&Planner<'_>) -> Result<T>) -> Result<T> {
        let context = self.plan_context();
        let catalog = self.transaction().reading_catalog();
        let system = System { catalog: catalog.clone(), process_id: self.process_id };
        f(&Planner::new(&catalog, &context, &system))
    }

    /// Plans a query to be run once, or remembers how it was planned.
    pub(super) fn known_plan(
        &mut self,
        query: (&str, &[Option<SqlType>]),
        make: impl FnOnce(&Planner<'_>) -> Result<Planned>,
    ) -> Result<Arc<Planned>> {
        let context = self.plan_context();
        let catalog = self.transaction().reading_catalog();
        let system = System { catalog: catalog.clone(), process_id: self.process_id };
        self.plans.query((&catalog, &context), query, || make(&Planner::new(&catalog, &context, &system)))
    }

    /// What queries are planned for execution and run in.
    pub(super) fn execution_state(&mut self) -> Arc<SessionState> {
        let Session { plans, database, settings, .. } = self;
        plans.state(settings.time_zone(), || {
            let limits = BatchLimits { partitions: database.config.workers, batch_rows: BATCH_ROWS };
            physical::session_state(database.query_environment.clone(), limits, settings.time_zone())
        })
    }

    /// Plans something to be run once, with the values of its parameters.
    pub(super) fn plan_with<T>(
        &mut self,
        values: &[ScalarValue],
        f: impl FnOnce(&Planner<'_>) -> Result<T>,
    ) -> Result<T> {
        let context = self.plan_context();
        let catalog = self.transaction().reading_catalog();
        let system = System { catalog: catalog.clone(), process_id: self.process_id };
        f(&Planner::new(&catalog, &context, &system).with_values(values))
    }

    /// Plans something to be kept up to date, in which time does not stand still.
    pub(super) fn plan_maintained<T>(&mut self, f: impl FnOnce(&Planner<'_>) -> Result<T>) -> Result<T> {
        let context = PlanContext { now: None, ..self.plan_context() };
        let catalog = self.transaction().catalog.clone();
        let system = System { catalog: catalog.clone(), process_id: self.process_id };
        f(&Planner::new(&catalog, &context, &system))
    }

    /// What planning must know of this session.
    pub(super) fn plan_context(&mut self) -> PlanContext {
        let now = self.transaction().now;
        PlanContext {
            user: self.user.clone(),
            search_path: self.settings.search_path(&self.user),
            time_zone: self.settings.time_zone().to_string(),
            now: Some(now),
            settings: self.settings.all(),
        }
    }

    /// Whether the statement that runs is a transaction of its own.
    pub(super) fn is_alone(&self) -> bool {
        self.transaction.as_ref().is_none_or(|transaction| transaction.block == Block::Statement)
    }

    pub(super) fn search_path(&self) -> Vec<String> {
        self.settings.search_path(&self.user)
    }

    /// The schema that new objects go to: the first of the search path that exists.
    pub(super) fn creation_schema(&self, catalog: &Catalog) -> Result<String> {
        let path = self.search_path();
        let found = path.into_iter().find(|schema| catalog.schema(schema).is_some());
        found.ok_or_else(|| {
            Error::new(SqlState::INVALID_SCHEMA_NAME, "no schema has been selected to create in")
                .with_hint(format!("Add a schema to search_path, or write \"{DEFAULT_SCHEMA}.\" before the name."))
        })
    }

    fn is_failed(&self) -> bool {
        self.transaction.as_ref().is_some_and(|transaction| transaction.failed)
    }

    /// A statement whose execution was dropped (a cancel) leaves its own transaction behind.
    fn drop_abandoned(&mut self) {
        if self.transaction.as_ref().is_some_and(|transaction| transaction.block == Block::Statement) {
            self.rollback();
        }
    }
}

fn ends_transaction(command: &Command) -> bool {
    matches!(command, Command::Commit { .. } | Command::Rollback { .. } | Command::RollbackTo(_))
}

fn aborted() -> Error {
    let message = "current transaction is aborted, commands ignored until end of transaction block";
    Error::new(SqlState::IN_FAILED_SQL_TRANSACTION, message)
}
