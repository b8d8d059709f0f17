//! The one error of the house: what went wrong in PostgreSQL's terms, and what the reader can do about it.

use std::fmt;

use arrow::error::ArrowError;
use datafusion::common::DataFusionError;

use super::SqlState;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A message in lower case, a SQLSTATE always, and where they help: facts (detail), the next step (hint) and the
/// place in the statement (position, in characters from 1).
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Box<Parts>);

#[derive(Clone, PartialEq, Eq)]
struct Parts {
    state: SqlState,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
    position: Option<usize>,
}

impl Error {
    pub fn new(state: SqlState, message: impl Into<String>) -> Self {
        Error(Box::new(Parts { state, message: message.into(), detail: None, hint: None, position: None }))
    }

    /// Something that PostgreSQL or Millrace could do, but this Millrace does not (0A000).
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(SqlState::FEATURE_NOT_SUPPORTED, message)
    }

    /// A fault of ours (XX000).
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(SqlState::INTERNAL_ERROR, message)
    }

    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// `position` counts characters of the statement's text from 1.
    pub fn at(mut self, position: usize) -> Self {
        self.0.position = Some(position);
        self
    }

    pub fn state(&self) -> SqlState {
        self.0.state
    }

    pub fn message(&self) -> &str {
        &self.0.message
    }

    pub fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    pub fn position(&self) -> Option<usize> {
        self.0.position
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.state(), self.message())?;
        if let Some(detail) = self.detail() {
            write!(f, " (detail: {detail})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// Inside DataFusion our errors travel as `External`, and come out as what they were.
impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        DataFusionError::External(Box::new(error))
    }
}

impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        match error {
            DataFusionError::External(inner) => match inner.downcast::<Error>() {
                Ok(ours) => *ours,
                Err(inner) => match inner.downcast::<DataFusionError>() {
                    Ok(wrapped) => (*wrapped).into(),
                    Err(other) => Error::internal(other.to_string()),
                },
            },
            DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => (*inner).into(),
            DataFusionError::Shared(inner) => of_shared(&inner),
            DataFusionError::ArrowError(inner, _) => (*inner).into(),
            DataFusionError::ResourcesExhausted(message) => {
                Error::new(SqlState::OUT_OF_MEMORY, message).with_hint("Raise --query-memory, or read less at once.")
            }
            DataFusionError::NotImplemented(message) => Error::unsupported(lower_first(&message)),
            DataFusionError::Plan(message) => Error::new(SqlState::SYNTAX_ERROR, lower_first(&message)),
            DataFusionError::Execution(message) => Error::new(SqlState::INTERNAL_ERROR, lower_first(&message)),
            other => Error::internal(other.strip_backtrace()),
        }
    }
}

/// A shared error can't be taken apart; our own are cloned out of it, the rest is reported by its text.
fn of_shared(error: &DataFusionError) -> Error {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(inner) = source {
        if let Some(ours) = inner.downcast_ref::<Error>() {
            return ours.clone();
        }
        source = inner.source();
    }
    Error::internal(error.strip_backtrace())
}

impl From<ArrowError> for Error {
    fn from(error: ArrowError) -> Self {
        match error {
            ArrowError::DivideByZero => Error::new(SqlState::DIVISION_BY_ZERO, "division by zero"),
            ArrowError::ArithmeticOverflow(_) => Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range"),
            ArrowError::ExternalError(inner) => match inner.downcast::<Error>() {
                Ok(ours) => *ours,
                Err(inner) => match inner.downcast::<DataFusionError>() {
                    Ok(wrapped) => (*wrapped).into(),
                    Err(other) => Error::internal(other.to_string()),
                },
            },
            ArrowError::CastError(message) | ArrowError::ParseError(message) => {
                Error::new(SqlState::INVALID_TEXT_REPRESENTATION, lower_first(&message))
            }
            other => Error::internal(other.to_string()),
        }
    }
}

fn lower_first(message: &str) -> String {
    let mut chars = message.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}
