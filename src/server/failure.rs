//! Why something was not done, and what the client is told of it.

use super::watch::Interrupt;
use crate::types::{Error, SqlState};

/// Why a message was not answered as it wished.
#[derive(Debug)]
pub(super) enum Failure {
    /// The client is told, and the connection goes on.
    Statement(Error),
    Interrupted(Interrupt),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Statement(error)
    }
}

impl From<Interrupt> for Failure {
    fn from(interrupt: Interrupt) -> Self {
        Failure::Interrupted(interrupt)
    }
}

/// How a connection ends.
pub(super) enum End {
    Quietly,
    Saying(Error),
}

impl Failure {
    /// What the client is told.
    pub fn error(&self) -> Error {
        match self {
            Failure::Statement(error) => error.clone(),
            Failure::Interrupted(Interrupt::Cancelled) => {
                Error::new(SqlState::QUERY_CANCELED, "canceling statement due to user request")
            }
            Failure::Interrupted(Interrupt::TimedOut) => {
                Error::new(SqlState::QUERY_CANCELED, "canceling statement due to statement timeout")
            }
            Failure::Interrupted(Interrupt::Request(request)) => request.error.clone(),
            Failure::Interrupted(Interrupt::Shutdown) => shutting_down(),
            Failure::Interrupted(Interrupt::Gone) => {
                Error::new(SqlState::CONNECTION_FAILURE, "connection to client lost")
            }
        }
    }
}

pub(super) fn end_of(interrupt: Interrupt) -> End {
    match interrupt {
        Interrupt::Gone | Interrupt::Cancelled | Interrupt::TimedOut => End::Quietly,
        Interrupt::Shutdown => End::Saying(shutting_down()),
        Interrupt::Request(request) => End::Saying(request.error),
    }
}

fn shutting_down() -> Error {
    Error::new(SqlState::ADMIN_SHUTDOWN, "terminating connection due to administrator command")
}

pub(super) fn idle_too_long() -> Error {
    let message = "terminating connection due to idle-in-transaction timeout";
    Error::new(SqlState::IDLE_IN_TRANSACTION_TIMEOUT, message)
}
