//! Plays the tasks of one pass over a file against one database, and tallies what comes of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sqllogictest::{ExpectedError, QueryExpect, RetryConfig, StatementExpect};
use tokio::process::Command;
use tokio_postgres::Config;

use super::answer::{Expected, same_rows};
use super::client::{Answer, Client, Refusal, Rows};
use super::mode::Mode;
use super::schedule::Task;
use super::script::{Action, Script, Step};
use super::server::Instance;
use super::sql::{self, Order};
use super::tally::{Failure, Tally, Verdict};
use super::view::{self, Comparison, QueryView};
use crate::types::{Error, Result};

/// What the server said to a query, or would not say.
type Told = std::result::Result<Rows, Refusal>;

/// SQLSTATE of a relation that does not exist.
const NO_SUCH_TABLE: &str = "42P01";

pub struct Player<'a> {
    script: &'a Script,
    mode: Mode,
    config: Config,
    clients: BTreeMap<Option<String>, Arc<Client>>,
    /// PostgreSQL, which is told everything and asked where rows differ from the expected ones.
    oracle: Option<Client>,
    /// Connections that are in a transaction block.
    in_transaction: BTreeSet<Option<String>>,
    /// What was set in each connection, for those that take its place.
    settings: Vec<(Option<String>, String)>,
    /// A session has something that no other can have, like a prepared statement.
    is_bound: bool,
    /// The tables that the file has made, for the churn.
    tables: BTreeSet<String>,
    views: BTreeMap<usize, QueryView>,
    /// A word of this run alone, for names outside of the database.
    run: String,
    /// Whether statements count: only in the first pass over a file.
    first_pass: bool,
}

impl<'a> Player<'a> {
    pub async fn new(script: &'a Script, mode: Mode, config: Config, oracle: Option<&Config>) -> Result<Player<'a>> {
        let oracle = match oracle {
            Some(config) => Some(Client::connect(config).await?),
            None => None,
        };
        let player = Player {
            script,
            mode,
            config,
            clients: BTreeMap::new(),
            oracle,
            in_transaction: BTreeSet::new(),
            settings: Vec::new(),
            is_bound: false,
            tables: BTreeSet::new(),
            views: BTreeMap::new(),
            run: format!("r{:08x}", crate::types::random_u64() as u32),
            first_pass: true,
        };
        Ok(player)
    }

    pub fn in_later_pass(mut self) -> Self {
        self.first_pass = false;
        self
    }

    /// Plays the tasks. An error means that the server or the connection is gone.
    pub async fn play(&mut self, tasks: &[Task], instance: &mut Instance, tally: &mut Tally) -> Result<()> {
        if self.mode != Mode::OneShot {
            let made = self.client(&None).await?.run(&format!("CREATE SCHEMA {}", view::SCHEMA)).await?;
            made.map_err(|refusal| Error::internal(format!("no schema for the views: {refusal}")))?;
        }
        for task in tasks {
            match task {
                Task::Run(step) => self.run_step(*step, false, tally).await?,
                Task::Feed(step) => self.run_step(*step, true, tally).await?,
                Task::CreateViews(queries) => self.create_views(queries).await?,
                Task::Churn => self.churn(tally).await?,
                Task::DropViews => self.drop_views(tally).await?,
                // What a session alone knows would be lost.
                Task::Checkpoint | Task::Restart(_) if self.is_bound || !self.in_transaction.is_empty() => {}
                Task::Checkpoint => {
                    let made = self.client(&None).await?.run("CHECKPOINT").await?;
                    made.map_err(|refusal| Error::internal(format!("no checkpoint: {refusal}")))?;
                }
                Task::Restart(workers) => {
                    self.clients.clear();
                    instance.restart(*workers).await?;
                }
            }
        }
        Ok(())
    }

    async fn run_step(&mut self, index: usize, feed: bool, tally: &mut Tally) -> Result<()> {
        let script = self.script;
        let step = &script.steps[index];
        let verdict = match &step.action {
            Action::Sleep(duration) => {
                tokio::time::sleep(*duration).await;
                return Ok(());
            }
            Action::System { command } => self.system(step, command).await,
            Action::Statement { sql, expected } => self.statement(step, sql, expected, feed).await?,
            Action::Query { .. } => self.retried_query(index).await?,
        };
        match verdict {
            Verdict::Agreed if !step.is_query() => tally.statements += u64::from(self.first_pass),
            _ if !step.is_query() && !self.first_pass => {}
            verdict => tally.add(step.line, verdict),
        }
        Ok(())
    }

    async fn system(&self, step: &Step, command: &str) -> Verdict {
        let command = self.named(command);
        match Command::new("bash").args(["-c", &command]).output().await {
            Ok(output) if output.status.success() => Verdict::Agreed,
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                Verdict::Failed(Failure::new(step.line, &command, format!("the command failed: {said}")))
            }
            Err(error) => Verdict::Failed(Failure::new(step.line, &command, format!("no shell: {error}"))),
        }
    }

    async fn statement(&mut self, step: &Step, sql: &str, expected: &StatementExpect, feed: bool) -> Result<Verdict> {
        let sql = &self.named(sql);
        let pieces = match expected {
            StatementExpect::Error(_) => None,
            _ if feed => sql::row_by_row(sql),
            _ => None,
        };
        let mut attempt = 0;
        loop {
            let verdict = self.statement_once(step, sql, pieces.as_deref(), expected).await?;
            if !matches!(verdict, Verdict::Failed(_)) {
                if !matches!(expected, StatementExpect::Error(_)) {
                    self.note(&step.connection, sql).await?;
                }
                return Ok(verdict);
            }
            if !again(&step.retry, &mut attempt).await {
                return Ok(verdict);
            }
        }
    }

    async fn statement_once(
        &mut self,
        step: &Step,
        sql: &str,
        pieces: Option<&[String]>,
        expected: &StatementExpect,
    ) -> Result<Verdict> {
        let oracle_says = match &self.oracle {
            Some(oracle) => Some(oracle.run(sql).await?),
            None => None,
        };
        let client = self.client(&step.connection).await?;
        let mut count = 0;
        let mut reply: std::result::Result<Answer, Refusal> = Ok(Answer::default());
        for piece in pieces.unwrap_or(&[sql.to_string()]) {
            reply = client.run(piece).await?;
            match &reply {
                Ok(answer) => count += answer.count,
                Err(_) => break,
            }
        }
        let cause = match (expected, reply) {
            (StatementExpect::Error(expected), Err(refusal)) => return Ok(judge_error(step, sql, expected, &refusal)),
            (StatementExpect::Error(_), Ok(_)) => "no error where one is expected".to_string(),
            (_, Err(refusal)) => match oracle_says {
                Some(Err(theirs)) if theirs.state == refusal.state => return Ok(Verdict::AgreedWithOracle),
                _ => format!("error: {refusal}"),
            },
            (StatementExpect::Count(expected), Ok(_)) if *expected != count => {
                format!("{count} rows affected, {expected} expected")
            }
            (_, Ok(_)) => return Ok(Verdict::Agreed),
        };
        Ok(Verdict::Failed(Failure::new(step.line, sql, cause)))
    }

    /// Keeps in mind what later steps depend on: open transactions, and the tables there are.
    async fn note(&mut self, connection: &Option<String>, sql: &str) -> Result<()> {
        let words: Vec<String> = sql.split_whitespace().take(2).map(str::to_uppercase).collect();
        let words: Vec<&str> = words.iter().map(|word| word.trim_end_matches(';')).collect();
        match words.as_slice() {
            ["BEGIN" | "START", ..] => drop(self.in_transaction.insert(connection.clone())),
            ["ROLLBACK", "TO"] => {}
            ["COMMIT" | "ROLLBACK" | "END" | "ABORT", ..] => drop(self.in_transaction.remove(connection)),
            ["CREATE", "TABLE"] => {
                for name in sql::table_names(sql) {
                    let name = self.qualified(connection, name).await?;
                    self.tables.insert(name);
                }
            }
            // What a CASCADE took with it is not known here: the churn leaves out what is not there any more.
            ["DROP", ..] => {
                for name in sql::table_names(sql) {
                    let name = self.qualified(connection, name).await?;
                    self.tables.remove(&name);
                }
            }
            ["SET", "LOCAL" | "TRANSACTION"] => {}
            ["SET" | "RESET", ..] => self.settings.push((connection.clone(), sql.to_string())),
            ["PREPARE" | "DECLARE" | "DEALLOCATE" | "LISTEN" | "DISCARD", ..] => self.is_bound = true,
            _ => {}
        }
        Ok(())
    }

    /// A table's name with its schema: the first of the search path, if it is not said.
    async fn qualified(&mut self, connection: &Option<String>, name: String) -> Result<String> {
        if name.contains('.') {
            return Ok(name);
        }
        let current = self.client(connection).await?.run("SELECT current_schema()").await?;
        let schema = current.ok().and_then(|answer| answer.rows.rows.first()?.first()?.clone());
        Ok(format!("{}.{name}", schema.unwrap_or_else(|| "public".to_string())))
    }

    async fn retried_query(&mut self, index: usize) -> Result<Verdict> {
        let script = self.script;
        let step = &script.steps[index];
        let mut attempt = 0;
        loop {
            let verdict = self.query(index, step).await?;
            if !matches!(verdict, Verdict::Failed(_)) || !again(&step.retry, &mut attempt).await {
                return Ok(verdict);
            }
        }
    }

    async fn query(&mut self, index: usize, step: &Step) -> Result<Verdict> {
        let Action::Query { sql, expected, .. } = &step.action else {
            return Ok(Verdict::Agreed);
        };
        let sql = &self.named(sql);
        let client = self.client(&step.connection).await?;
        let told: Told = client.run(sql).await?.map(|answer| answer.rows);
        let verdict = match self.judge(step, sql, expected, &told) {
            Verdict::Failed(failure) => match self.oracle_says(sql, &told).await? {
                true => Verdict::AgreedWithOracle,
                false => Verdict::Failed(failure),
            },
            verdict => verdict,
        };
        if matches!(verdict, Verdict::Failed(_)) || !step.is_query() {
            return Ok(verdict);
        }
        // In a transaction block an error leaves nothing to ask a second time.
        let gone = told.is_err() && self.in_transaction.contains(&step.connection);
        if self.mode == Mode::OneShot && !gone {
            return Ok(extended_verdict(&client, step, sql, &told).await?.unwrap_or(verdict));
        }
        if self.mode == Mode::OneShot {
            return Ok(verdict);
        }
        if self.in_transaction.contains(&step.connection) {
            return Ok(Verdict::Skipped("inside a transaction block, where no view is made"));
        }
        Ok(self.view_verdict(index, step, sql, &told).await?.unwrap_or(verdict))
    }

    /// What the file says of what the server told.
    fn judge(
        &self,
        step: &Step,
        sql: &str,
        expected: &QueryExpect<sqllogictest::DefaultColumnType>,
        told: &Told,
    ) -> Verdict {
        let Action::Query { sort, .. } = &step.action else {
            return Verdict::Agreed;
        };
        let failure = match (expected, told) {
            (QueryExpect::Error(expected), Err(refusal)) => return judge_error(step, sql, expected, refusal),
            (QueryExpect::Error(_), Ok(rows)) => Failure::new(step.line, sql, "no error where one is expected")
                .with_rows(Vec::new(), super::answer::printed(rows)),
            (QueryExpect::Results { .. }, Err(refusal)) => Failure::new(step.line, sql, format!("error: {refusal}")),
            (QueryExpect::Results { types, results, .. }, Ok(rows)) => {
                let expected = Expected { style: self.script.style, types, sort: *sort, lines: results };
                match expected.compare(rows, &Order::of(sql)) {
                    Ok(()) => return Verdict::Agreed,
                    Err(difference) => Failure::new(step.line, sql, "rows differ from the expected ones")
                        .with_rows(difference.expected, difference.got),
                }
            }
        };
        Verdict::Failed(failure)
    }

    /// Whether PostgreSQL, having been told the same, answers as the server did.
    async fn oracle_says(&self, sql: &str, told: &Told) -> Result<bool> {
        let Some(oracle) = &self.oracle else { return Ok(false) };
        let says = oracle.run(sql).await?;
        Ok(match (says, told) {
            (Ok(answer), Ok(rows)) => same_rows(&answer.rows, rows, &Order::of(sql)).is_ok(),
            (Err(theirs), Err(ours)) => theirs.state == ours.state,
            _ => false,
        })
    }

    /// What is wrong with the view of a query, if anything is.
    async fn view_verdict(&mut self, index: usize, step: &Step, sql: &str, told: &Told) -> Result<Option<Verdict>> {
        let client = self.client(&step.connection).await?;
        let (comparison, order) = match self.views.get(&index) {
            Some(view) => (view.compare(&client, told).await?, view.order().clone()),
            None => {
                let view = QueryView::make(&client, index, sql).await?;
                let compared = (view.compare(&client, told).await?, view.order().clone());
                if let Err(refusal) = view.drop(&client).await? {
                    let cause = format!("the view could not be dropped: {refusal}");
                    return Ok(Some(Verdict::Failed(Failure::new(step.line, sql, cause))));
                }
                compared
            }
        };
        let failure = |cause: String| Failure::new(step.line, sql, cause);
        let select = || match told {
            Ok(_) => "though the SELECT works".to_string(),
            Err(refusal) => format!("where the SELECT says {}", refusal.state),
        };
        let failed = match (comparison, told) {
            (Comparison::SameError, _) => return Ok(None),
            (Comparison::Refused(reason), _) => return Ok(Some(Verdict::Refused(reason))),
            (Comparison::NotMade(refusal), _) => failure(format!("no view could be made, {}: {refusal}", select())),
            (Comparison::NotRead(refusal), _) => failure(format!("reading the view failed, {}: {refusal}", select())),
            (Comparison::NoError(rows), _) => failure(format!("the view gives rows {}", select()))
                .with_rows(Vec::new(), super::answer::printed(&rows)),
            (Comparison::Rows(rows), Ok(selected)) => match same_rows(selected, &rows, &order) {
                Ok(()) => return Ok(None),
                Err(difference) => failure("the view's rows differ from the SELECT's".to_string())
                    .with_rows(difference.expected, difference.got),
            },
            (Comparison::Rows(_), Err(_)) => unreachable!("rows are compared only where the SELECT gave rows"),
        };
        Ok(Some(Verdict::Failed(failed)))
    }

    async fn create_views(&mut self, queries: &[usize]) -> Result<()> {
        let script = self.script;
        for &index in queries {
            let step = &script.steps[index];
            let Action::Query { sql, .. } = &step.action else {
                continue;
            };
            // Inside a block a definition takes effect at its end: such a query gets its view when its turn comes.
            if self.in_transaction.contains(&step.connection) {
                continue;
            }
            let sql = self.named(sql);
            let view = QueryView::make(&*self.client(&step.connection).await?, index, &sql).await?;
            self.views.insert(index, view);
        }
        Ok(())
    }

    async fn drop_views(&mut self, tally: &mut Tally) -> Result<()> {
        for (index, view) in std::mem::take(&mut self.views) {
            let step = &self.script.steps[index];
            if let Err(refusal) = view.drop(&*self.client(&step.connection).await?).await? {
                let cause = format!("the view could not be dropped: {refusal}");
                tally.add(step.line, Verdict::Failed(Failure::new(step.line, "DROP MATERIALIZED VIEW", cause)));
            }
        }
        Ok(())
    }

    /// Takes every row out of every table and puts it in again, so that views see each row retracted.
    async fn churn(&mut self, tally: &mut Tally) -> Result<()> {
        if !self.in_transaction.is_empty() {
            return Ok(());
        }
        for table in self.tables.clone() {
            let kept = format!("{}.kept", view::SCHEMA);
            let statements = [
                format!("CREATE TABLE {kept} AS SELECT * FROM {table}"),
                format!("DELETE FROM {table}"),
                format!("INSERT INTO {table} SELECT * FROM {kept}"),
                format!("DROP TABLE {kept}"),
            ];
            for sql in statements {
                if let Err(refusal) = self.client(&None).await?.run(&sql).await? {
                    if refusal.state == NO_SUCH_TABLE {
                        self.tables.remove(&table);
                        break;
                    }
                    tally.add(
                        0,
                        Verdict::Failed(Failure::new(0, &sql, format!("deleting and inserting again: {refusal}"))),
                    );
                }
            }
        }
        Ok(())
    }

    async fn client(&mut self, name: &Option<String>) -> Result<Arc<Client>> {
        if let Some(client) = self.clients.get(name) {
            return Ok(Arc::clone(client));
        }
        let client = Arc::new(Client::connect(&self.config).await?);
        for (_, sql) in self.settings.iter().filter(|(connection, _)| connection == name) {
            // It was taken before.
            let _ = client.run(sql).await?;
        }
        self.clients.insert(name.clone(), Arc::clone(&client));
        Ok(client)
    }

    fn named(&self, text: &str) -> String {
        text.replace("${RUN}", &self.run)
    }
}

/// What is wrong with the answer over the extended protocol, if anything is. Only a plain query can be asked twice.
async fn extended_verdict(client: &Client, step: &Step, sql: &str, told: &Told) -> Result<Option<Verdict>> {
    if !sql::is_query(sql) {
        return Ok(None);
    }
    let failure = |cause: String| Failure::new(step.line, sql, cause);
    let failed = match (client.run_extended(sql).await?, told) {
        (Ok(binary), Ok(text)) => match super::binary::compare(text, &binary, &Order::of(sql)) {
            Ok(()) => return Ok(None),
            Err(difference) => failure("the extended protocol gives other rows than the simple one".to_string())
                .with_rows(difference.expected, difference.got),
        },
        (Err(extended), Err(simple)) if extended.state == simple.state => return Ok(None),
        (Err(extended), _) => failure(format!("over the extended protocol: {extended}")),
        (Ok(_), Err(simple)) => failure(format!("the extended protocol gives rows, the simple one {simple}")),
    };
    Ok(Some(Verdict::Failed(failed)))
}

fn judge_error(step: &Step, sql: &str, expected: &ExpectedError, refusal: &Refusal) -> Verdict {
    if expected.is_match(&refusal.message, Some(&refusal.state)) {
        return Verdict::Agreed;
    }
    let failure = Failure::new(step.line, sql, "another error than the expected one");
    Verdict::Failed(failure.with_rows(vec![expected.to_string()], vec![refusal.to_string()]))
}

/// Waits for the next attempt, if the record allows another one.
async fn again(retry: &Option<RetryConfig>, attempt: &mut usize) -> bool {
    let Some(retry) = retry else { return false };
    *attempt += 1;
    if *attempt >= retry.attempts {
        return false;
    }
    tokio::time::sleep(retry.backoff).await;
    true
}
