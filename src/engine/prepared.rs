//! A session's prepared statements: one namespace for the protocol's Parse and SQL's PREPARE, as clients expect
//! (psycopg drops what it parsed with DEALLOCATE, poolers with DISCARD ALL).

use std::collections::HashMap;
use std::sync::Arc;

use super::{Description, Statement};
use crate::types::{Error, Result, SqlState};

/// A statement with what it takes and gives.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// None for the empty string, which may be prepared and executed too.
    pub statement: Option<Statement>,
    pub description: Description,
}

/// By name; the protocol's unnamed statement is the one called "".
#[derive(Debug, Default)]
pub struct PreparedStatements {
    by_name: HashMap<String, Arc<Prepared>>,
}

impl PreparedStatements {
    /// 42P05 if the name is taken; the unnamed statement is replaced.
    pub fn insert(&mut self, name: &str, prepared: Prepared) -> Result<()> {
        if !name.is_empty() && self.by_name.contains_key(name) {
            let message = format!("prepared statement \"{name}\" already exists");
            return Err(Error::new(SqlState::DUPLICATE_PREPARED_STATEMENT, message));
        }
        self.by_name.insert(name.to_string(), Arc::new(prepared));
        Ok(())
    }

    /// 26000 if there is none.
    pub fn get(&self, name: &str) -> Result<Arc<Prepared>> {
        self.by_name.get(name).cloned().ok_or_else(|| missing(name))
    }

    /// Whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        self.by_name.remove(name).is_some()
    }

    /// DEALLOCATE ALL.
    pub fn clear(&mut self) {
        self.by_name.clear();
    }

    /// Names and statements, for pg_prepared_statements.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Prepared)> {
        self.by_name.iter().map(|(name, prepared)| (name.as_str(), &**prepared))
    }
}

/// DEALLOCATE, EXECUTE and Bind say the same.
fn missing(name: &str) -> Error {
    let message = match name {
        "" => "unnamed prepared statement does not exist".to_string(),
        name => format!("prepared statement \"{name}\" does not exist"),
    };
    Error::new(SqlState::INVALID_SQL_STATEMENT_NAME, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> Prepared {
        Prepared { statement: None, description: Description { parameters: vec![], columns: None } }
    }

    #[test]
    fn a_name_is_taken_once_and_the_unnamed_statement_is_replaced() {
        let mut statements = PreparedStatements::default();
        statements.insert("a", empty()).unwrap();
        let error = statements.insert("a", empty()).unwrap_err();
        assert_eq!(error.state(), SqlState::DUPLICATE_PREPARED_STATEMENT);
        statements.insert("", empty()).unwrap();
        statements.insert("", empty()).unwrap();
        assert!(statements.remove("a") && !statements.remove("a"));
        assert_eq!(statements.get("a").unwrap_err().state(), SqlState::INVALID_SQL_STATEMENT_NAME);
        statements.clear();
        assert!(statements.get("").is_err());
    }
}
