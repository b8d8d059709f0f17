//! A connection to whatever is tested, over the wire and nothing else: Millrace and PostgreSQL are asked alike.

use std::time::Duration;

use futures::StreamExt;
use tokio::time::timeout;
use tokio_postgres::types::Type;
use tokio_postgres::{CancelToken, Config, NoTls, Row, SimpleQueryMessage};

use crate::types::{Error, Result, SqlState};

/// How long one statement may take before it is cancelled.
const ANSWER_LIMIT: Duration = Duration::from_secs(120);

/// How long a cancelled statement may take to end.
const CANCEL_LIMIT: Duration = Duration::from_secs(10);

/// Rows as the server prints them; `None` is NULL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    pub columns: usize,
    pub rows: Vec<Vec<Option<String>>>,
}

/// The server's refusal of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub state: String,
    pub message: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.state, self.message)
    }
}

/// What a statement gave: rows (of the last statement that gave any) and the number of rows it counted.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub rows: Rows,
    pub count: u64,
}

/// The outer result is lost when the connection is; the inner one is what the server said.
pub type Reply<T> = Result<std::result::Result<T, Refusal>>;

pub struct Client {
    wire: tokio_postgres::Client,
    cancel: CancelToken,
}

impl Client {
    pub async fn connect(config: &Config) -> Result<Client> {
        let (wire, mut connection) = config.connect(NoTls).await.map_err(lost)?;
        // Notices are read and let go. An error ends the connection, and is then what the next statement is told.
        let mut messages = futures::stream::poll_fn(move |context| connection.poll_message(context));
        tokio::spawn(async move { while let Some(Ok(_)) = messages.next().await {} });
        Ok(Client { cancel: wire.cancel_token(), wire })
    }

    /// Runs a string of statements with the simple protocol.
    pub async fn run(&self, sql: &str) -> Reply<Answer> {
        let reply = self.limited(self.wire.simple_query(sql)).await?;
        Ok(reply.map(|messages| {
            let mut answer = Answer::default();
            for message in messages {
                match message {
                    SimpleQueryMessage::RowDescription(columns) => {
                        answer.rows = Rows { columns: columns.len(), rows: Vec::new() };
                    }
                    SimpleQueryMessage::Row(row) => {
                        let values = (0..row.len()).map(|column| row.get(column).map(str::to_string)).collect();
                        answer.rows.rows.push(values);
                    }
                    SimpleQueryMessage::CommandComplete(count) => answer.count = count,
                    _ => {}
                }
            }
            answer
        }))
    }

    /// The types of a query's columns, as the extended protocol describes them.
    pub async fn describe(&self, sql: &str) -> Reply<Vec<Type>> {
        let reply = self.limited(self.wire.prepare(sql)).await?;
        Ok(reply.map(|statement| statement.columns().iter().map(|column| column.type_().clone()).collect()))
    }

    /// Runs a query with the extended protocol, whose values come in binary.
    pub async fn run_extended(&self, sql: &str) -> Reply<Vec<Row>> {
        self.limited(self.wire.query(sql, &[])).await
    }

    async fn limited<T>(&self, work: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Reply<T> {
        tokio::pin!(work);
        if let Ok(result) = timeout(ANSWER_LIMIT, &mut work).await {
            return reply(result);
        }
        // The cancel goes over a connection of its own, and may fail if the server is gone: then the wait below ends it.
        let _ = self.cancel.cancel_query(NoTls).await;
        match timeout(CANCEL_LIMIT, &mut work).await {
            Ok(result) => reply(result),
            Err(_) => Err(Error::new(SqlState::CONNECTION_FAILURE, "the server neither answers nor cancels")),
        }
    }
}

fn reply<T>(result: Result<T, tokio_postgres::Error>) -> Reply<T> {
    let error = match result {
        Ok(value) => return Ok(Ok(value)),
        Err(error) => error,
    };
    match error.as_db_error() {
        Some(refused) => {
            Ok(Err(Refusal { state: refused.code().code().to_string(), message: refused.message().to_string() }))
        }
        None => Err(lost(error)),
    }
}

fn lost(error: tokio_postgres::Error) -> Error {
    let why = std::error::Error::source(&error).map_or(error.to_string(), |source| format!("{error}: {source}"));
    Error::new(SqlState::CONNECTION_FAILURE, format!("the connection is lost: {why}"))
}
