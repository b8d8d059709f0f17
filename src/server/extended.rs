//! The extended protocol: statements are parsed, bound and executed in separate messages, as many as the client likes,
//! and Sync ends the transaction that they share.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use datafusion::common::ScalarValue;

use super::decode::parameter;
use super::failure::Failure;
use super::request::{Bind, Format, Request, Target, violation};
use super::rows::{OpenRows, Sent, Wire};
use super::session_loop::Connection;
use super::watch::guard;
use crate::engine::{Description, Outcome, Prepared, Statement};
use crate::types::{Error, Relation, Result, SqlState, SqlType};

/// `unspecified` and `unknown` as a parameter's declared type: we are to find out.
const UNDECLARED_OIDS: [u32; 2] = [0, 705];

/// Portals that a session may have open at a time.
const PORTALS_MAX: usize = 10_000;

/// A statement with its parameters, on its way to being executed.
pub(super) struct Portal {
    prepared: Arc<Prepared>,
    parameters: Vec<ScalarValue>,
    formats: Vec<Format>,
    state: PortalState,
}

enum PortalState {
    Bound,
    /// Suspended by a row limit.
    Open(OpenRows),
    /// Everything was sent; a client may still ask and gets nothing more.
    Over {
        verb: &'static str,
    },
    /// It ran and gave no rows.
    Done,
}

impl Connection {
    /// Answers one message of the extended protocol.
    pub async fn extended(&mut self, request: Request) -> Result<(), Failure> {
        match request {
            Request::Parse { name, text, parameter_oids } => self.parse(&name, &text, &parameter_oids).await,
            Request::Bind(bind) => self.bind(bind),
            Request::Describe(Target::Statement(name)) => self.describe_statement(&name),
            Request::Describe(Target::Portal(name)) => self.describe_portal(&name),
            Request::Execute { portal, row_limit } => self.execute(&portal, row_limit).await,
            Request::Close(target) => {
                self.close(target);
                Ok(())
            }
            Request::Flush => Ok(self.watch.flush(&mut self.replies).await?),
            _ => Err(violation("unexpected message").into()),
        }
    }

    async fn parse(&mut self, name: &str, text: &str, parameter_oids: &[u32]) -> Result<(), Failure> {
        self.limit_time();
        if name.is_empty() {
            self.session.prepared().remove("");
        } else if self.session.prepared().get(name).is_ok() {
            let message = format!("prepared statement \"{name}\" already exists");
            return Err(Error::new(SqlState::DUPLICATE_PREPARED_STATEMENT, message).into());
        }
        let declared = parameter_oids.iter().map(|&oid| declared_type(oid)).collect::<Result<Vec<_>>>()?;
        let statements = guard(|| self.session.parse(text))?;
        let prepared = match <[Statement; 1]>::try_from(statements) {
            Ok([statement]) => {
                let description = self.watch.run(self.session.describe(&statement, &declared)).await??;
                Prepared { statement: Some(statement), description }
            }
            Err(none) if none.is_empty() => {
                Prepared { statement: None, description: Description { parameters: vec![], columns: None } }
            }
            Err(_) => {
                let message = "cannot insert multiple commands into a prepared statement";
                return Err(Error::new(SqlState::SYNTAX_ERROR, message).into());
            }
        };
        self.session.prepared().insert(name, prepared)?;
        self.replies.parse_complete();
        Ok(())
    }

    fn bind(&mut self, bind: Bind) -> Result<(), Failure> {
        let prepared = self.session.prepared().get(&bind.statement)?;
        let types = &prepared.description.parameters;
        if bind.parameters.len() != types.len() {
            let (given, statement, needed) = (bind.parameters.len(), &bind.statement, types.len());
            let message = format!(
                "bind message supplies {given} parameters, but prepared statement \"{statement}\" requires {needed}"
            );
            return Err(violation(message).into());
        }
        let style = self.style();
        let formats = Format::expand(&bind.parameter_formats, types.len(), "parameter")?;
        let values = bind.parameters.iter().zip(types).zip(formats).enumerate();
        let parameters = values
            .map(|(index, ((value, sql_type), format))| {
                guard(|| parameter(value.as_deref(), sql_type, format, &style, index + 1))
            })
            .collect::<Result<Vec<_>>>()?;
        let columns = prepared.description.columns.as_ref().map_or(0, |columns| columns.columns.len());
        let formats = match columns {
            0 => vec![],
            _ => Format::expand(&bind.result_formats, columns, "result column")?,
        };
        let portal = Portal { prepared, parameters, formats, state: PortalState::Bound };
        let is_full = self.portals.len() >= PORTALS_MAX;
        match self.portals.entry(bind.portal) {
            Entry::Occupied(mut taken) if taken.key().is_empty() => drop(taken.insert(portal)),
            Entry::Occupied(taken) => {
                let message = format!("cursor \"{}\" already exists", taken.key());
                return Err(Error::new(SqlState::DUPLICATE_CURSOR, message).into());
            }
            Entry::Vacant(_) if is_full => {
                let error = Error::new(SqlState::CONFIGURATION_LIMIT_EXCEEDED, "too many portals are open")
                    .with_detail(format!("A session may have {PORTALS_MAX}."))
                    .with_hint("Close portals, or end the transaction.");
                return Err(error.into());
            }
            Entry::Vacant(free) => drop(free.insert(portal)),
        }
        self.replies.bind_complete();
        Ok(())
    }

    fn describe_statement(&mut self, name: &str) -> Result<(), Failure> {
        let prepared = self.session.prepared().get(name)?;
        self.replies.parameter_description(&prepared.description.parameters);
        match &prepared.description.columns {
            Some(columns) => self.replies.row_description(columns, &vec![Format::Text; columns.columns.len()]),
            None => self.replies.no_data(),
        }
        Ok(())
    }

    fn describe_portal(&mut self, name: &str) -> Result<(), Failure> {
        if let Some(portal) = self.portals.get(name) {
            match &portal.prepared.description.columns {
                Some(columns) => self.replies.row_description(columns, &portal.formats),
                None => self.replies.no_data(),
            }
            return Ok(());
        }
        let Some(columns) = self.session.cursor(name) else {
            return Err(no_portal(name).into());
        };
        self.replies.row_description(&columns, &vec![Format::Text; columns.columns.len()]);
        Ok(())
    }

    async fn execute(&mut self, name: &str, row_limit: usize) -> Result<(), Failure> {
        self.limit_time();
        let Some(mut portal) = self.portals.remove(name) else {
            return Err(no_portal(name).into());
        };
        if matches!(portal.state, PortalState::Bound) {
            let parameters = std::mem::take(&mut portal.parameters);
            match self.start(&portal.prepared, parameters).await? {
                Started::Rows(rows) => portal.state = PortalState::Open(rows),
                Started::Over(tag) => {
                    self.complete(tag);
                    portal.state = PortalState::Done;
                }
            }
        } else if matches!(portal.state, PortalState::Done) {
            let message = format!("portal \"{name}\" cannot be run");
            return Err(Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message).into());
        }
        if let PortalState::Open(rows) = &mut portal.state {
            let style = self.style();
            let mut wire = Wire { watch: &mut self.watch, replies: &mut self.replies, style: &style };
            let verb = rows.verb;
            match rows.send(&mut wire, &portal.formats, row_limit).await? {
                Sent::Some(_) => self.replies.portal_suspended(),
                Sent::All(count) => {
                    self.complete(Some(format!("{verb} {count}")));
                    portal.state = PortalState::Over { verb };
                }
            }
        } else if let PortalState::Over { verb } = portal.state {
            self.complete(Some(format!("{verb} 0")));
        }
        self.portals.insert(name.to_string(), portal);
        Ok(())
    }

    /// Begins to execute a bound portal.
    async fn start(&mut self, prepared: &Prepared, parameters: Vec<ScalarValue>) -> Result<Started, Failure> {
        let Some(statement) = &prepared.statement else {
            return Ok(Started::Over(None));
        };
        // A statement that Sync follows at once is a transaction of its own, so that the engine may retry it.
        if self.in_pipeline || !self.watch.sync_is_next() {
            self.in_pipeline = true;
            self.session.begin_implicit();
        }
        match self.watch.run(self.session.execute(statement, &parameters)).await?? {
            Outcome::Rows { columns, rows, verb } => {
                check_columns(&prepared.description, &columns)?;
                Ok(Started::Rows(OpenRows::new(columns, rows, verb)))
            }
            other => Ok(Started::Over(self.deliver_rowless(other).await?)),
        }
    }

    /// Closing what is not there is no error.
    fn close(&mut self, target: Target) {
        match target {
            Target::Statement(name) => drop(self.session.prepared().remove(&name)),
            Target::Portal(name) => drop(self.portals.remove(&name)),
        }
        self.replies.close_complete();
    }
}

enum Started {
    Rows(OpenRows),
    /// With its tag.
    Over(Option<String>),
}

fn declared_type(oid: u32) -> Result<Option<SqlType>> {
    if UNDECLARED_OIDS.contains(&oid) {
        return Ok(None);
    }
    match SqlType::of_oid(oid) {
        // An OID has no length, and a client that says character means any.
        Some(SqlType::Char(_)) => Ok(Some(SqlType::Text)),
        Some(known) => Ok(Some(known)),
        None => Err(Error::new(SqlState::UNDEFINED_OBJECT, format!("type with OID {oid} does not exist"))),
    }
}

/// The client reads rows as they were described when the statement was parsed; a table may have changed since.
fn check_columns(described: &Description, given: &Relation) -> Result<()> {
    let types = |columns: &Relation| columns.columns.iter().map(|column| column.sql_type.clone()).collect::<Vec<_>>();
    match &described.columns {
        Some(columns) if types(columns) == types(given) => Ok(()),
        _ => {
            Err(Error::unsupported("cached plan must not change result type").with_hint("Prepare the statement again."))
        }
    }
}

fn no_portal(name: &str) -> Error {
    Error::new(SqlState::UNDEFINED_CURSOR, format!("portal \"{name}\" does not exist"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Column;

    #[test]
    fn declared_types_are_known_unknown_or_refused() {
        assert_eq!(declared_type(0).unwrap(), None);
        assert_eq!(declared_type(705).unwrap(), None);
        assert_eq!(declared_type(23).unwrap(), Some(SqlType::Int4));
        assert_eq!(declared_type(1007).unwrap(), Some(SqlType::Array(Box::new(SqlType::Int4))));
        assert_eq!(declared_type(4_000_000).unwrap_err().state(), SqlState::UNDEFINED_OBJECT);
    }

    #[test]
    fn rows_of_other_types_than_described_are_refused() {
        let columns = |sql_type| Relation::new(vec![Column::new("a", sql_type, true)]);
        let described = Description { parameters: vec![], columns: Some(columns(SqlType::Int4)) };
        assert!(check_columns(&described, &columns(SqlType::Int4)).is_ok());
        let error = check_columns(&described, &columns(SqlType::Int8)).unwrap_err();
        assert_eq!(error.state(), SqlState::FEATURE_NOT_SUPPORTED);
    }
}
