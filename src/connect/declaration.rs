//! What CREATE SOURCE and CREATE CONNECTION said, as plain data: all that a connector is made from.

use std::collections::BTreeMap;

use super::Envelope;
use crate::types::{Error, Relation, Result, SqlState};

/// Options by name, in lower case.
pub type OptionMap = BTreeMap<String, String>;

/// A CREATE SOURCE statement. Each connector refuses the parts that mean nothing to it.
#[derive(Clone, Debug, Default)]
pub struct SourceDeclaration {
    /// `kafka`, `counter` or `nexmark`.
    pub kind: String,
    /// The options of its connection.
    pub connection: OptionMap,
    /// Its own options, without `OFFSETS`.
    pub options: OptionMap,
    /// `OFFSETS (partition => offset, ..)`.
    pub offsets: BTreeMap<i32, i64>,
    /// The declared columns; the key is the PRIMARY KEY.
    pub relation: Relation,
    /// `FORMAT name`, in lower case.
    pub format: Option<String>,
    /// `KEY FORMAT name`, in lower case.
    pub key_format: Option<String>,
    /// `ENVELOPE name`, in lower case; none is `none`.
    pub envelope: Option<String>,
    pub include: Vec<Include>,
    /// `WITH (..)`.
    pub with: OptionMap,
}

/// A part of a record other than its value, as a column after the declared ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Include {
    pub what: Included,
    /// `AS name`; without one the column is called what it is (`partition`).
    pub name: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Included {
    /// The record's key as text.
    Key,
    Partition,
    Offset,
    /// When the record was written, as the broker has it.
    Timestamp,
}

/// What becomes of a source when a record does not decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// The record is reported and left out.
    Skip,
    /// Nothing after the record is read.
    Stop,
}

impl Included {
    pub fn column_name(self) -> &'static str {
        match self {
            Included::Key => "key",
            Included::Partition => "partition",
            Included::Offset => "offset",
            Included::Timestamp => "timestamp",
        }
    }
}

impl SourceDeclaration {
    /// The declared envelope, if this Millrace has it.
    pub fn envelope(&self) -> Result<Envelope> {
        match self.envelope.as_deref() {
            None | Some("none") => Ok(Envelope::Append),
            Some("upsert") => Ok(Envelope::Upsert),
            Some(other) => {
                let message = format!("envelope {} is not supported", other.to_uppercase());
                Err(Error::unsupported(message).with_hint("The envelopes are NONE and UPSERT."))
            }
        }
    }

    /// `WITH (on_error = ..)`.
    pub fn on_error(&self) -> Result<OnError> {
        let mut on_error = OnError::Skip;
        for (name, value) in &self.with {
            if name != "on_error" {
                return Err(Error::new(SqlState::SYNTAX_ERROR, format!("a source has no setting \"{name}\""))
                    .with_hint("The settings in WITH are: on_error."));
            }
            on_error = match value.to_lowercase().as_str() {
                "skip" => OnError::Skip,
                "stop" => OnError::Stop,
                _ => {
                    let message = format!("invalid value for on_error: \"{value}\"");
                    return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
                        .with_hint("It is 'skip' (the record is listed in millrace.source_errors) or 'stop'."));
                }
            };
        }
        Ok(on_error)
    }
}
