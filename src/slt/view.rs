//! The view that the runner makes of a query.
//!
//! It stands in a schema of its own and has column names of its own, since a query may name two columns alike.

use super::client::{Client, Refusal, Reply, Rows};
use super::sql::Order;
use crate::types::Result;

/// Where the runner keeps its views, and what it sets aside.
pub const SCHEMA: &str = "slt_views";

/// SQLSTATE of what is not supported.
const NOT_SUPPORTED: &str = "0A000";

/// A view of one query, or why there is none.
#[derive(Clone, Debug)]
pub struct QueryView {
    name: String,
    order: Order,
    made: std::result::Result<(), Refusal>,
}

/// How a view compares with the SELECT of the same query.
pub enum Comparison {
    Rows(Rows),
    SameError,
    Refused(String),
    /// The view could not be made though the SELECT works, or fails with another error.
    NotMade(Refusal),
    /// The view fails when it is read, though the SELECT works, or fails with another error.
    NotRead(Refusal),
    /// The SELECT fails and the view does not.
    NoError(Rows),
}

impl QueryView {
    /// Makes the view of the query of this step.
    pub async fn make(client: &Client, step: usize, sql: &str) -> Result<QueryView> {
        let name = format!("{SCHEMA}.v{step}");
        let order = Order::of(sql);
        let columns = match client.describe(sql).await? {
            Ok(types) => types.len(),
            Err(refusal) => {
                return Ok(QueryView { name, order, made: Err(refusal) });
            }
        };
        let names: Vec<String> = (1..=columns).map(|column| format!("c{column}")).collect();
        let query = sql.trim().trim_end_matches(';');
        let create = format!("CREATE MATERIALIZED VIEW {name} ({}) AS {query}", names.join(", "));
        let made = client.run(&create).await?.map(|_| ());
        Ok(QueryView { name, order, made })
    }

    pub fn order(&self) -> &Order {
        &self.order
    }

    /// Reads the view and sets what it says beside what the SELECT said.
    pub async fn compare(&self, client: &Client, select: &std::result::Result<Rows, Refusal>) -> Result<Comparison> {
        if let Err(refusal) = &self.made {
            return Ok(match select {
                Err(error) if error.state == refusal.state => Comparison::SameError,
                _ if refusal.state == NOT_SUPPORTED => Comparison::Refused(refusal.message.clone()),
                _ => Comparison::NotMade(refusal.clone()),
            });
        }
        Ok(match (self.read(client).await?, select) {
            (Ok(rows), Ok(_)) => Comparison::Rows(rows),
            (Ok(rows), Err(_)) => Comparison::NoError(rows),
            (Err(refusal), Err(error)) if refusal.state == error.state => Comparison::SameError,
            (Err(refusal), _) => Comparison::NotRead(refusal),
        })
    }

    async fn read(&self, client: &Client) -> Reply<Rows> {
        let reply = client.run(&format!("SELECT * FROM {}{}", self.name, self.order.clause())).await?;
        Ok(reply.map(|answer| answer.rows))
    }

    pub async fn drop(self, client: &Client) -> Result<std::result::Result<(), Refusal>> {
        match self.made {
            Ok(()) => Ok(client.run(&format!("DROP MATERIALIZED VIEW {}", self.name)).await?.map(|_| ())),
            Err(_) => Ok(Ok(())),
        }
    }
}
