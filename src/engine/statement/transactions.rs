//! BEGIN, COMMIT, ROLLBACK and savepoints.

use crate::engine::outcome::{Outcome, Severity};
use crate::engine::session::Session;
use crate::engine::transaction::Block;
use crate::sql::statement::TransactionMode;
use crate::types::{Error, Result, SqlState};

pub fn begin(session: &mut Session, modes: &[TransactionMode]) -> Result<Outcome> {
    if session.open_block().is_some() {
        let message = "there is already a transaction in progress";
        session.notice(Severity::Warning, SqlState::ACTIVE_SQL_TRANSACTION, message);
    } else {
        // A string's implicit transaction becomes the block, with what it has done so far.
        session.transaction().block = Block::Explicit;
    }
    apply(session, modes)?;
    Ok(Outcome::done("BEGIN"))
}

pub async fn commit(session: &mut Session, chain: bool) -> Result<Outcome> {
    let Some(block) = session.open_block() else {
        no_block(session);
        return Ok(Outcome::done("COMMIT"));
    };
    let failed = block.failed;
    match failed {
        true => session.rollback(),
        false => session.commit().await?,
    }
    again(session, chain);
    Ok(Outcome::done(if failed { "ROLLBACK" } else { "COMMIT" }))
}

pub fn rollback(session: &mut Session, chain: bool) -> Result<Outcome> {
    match session.open_block() {
        Some(_) => session.rollback(),
        None => no_block(session),
    }
    again(session, chain);
    Ok(Outcome::done("ROLLBACK"))
}

pub fn savepoint(session: &mut Session, name: &str) -> Result<Outcome> {
    block(session, "SAVEPOINT")?.savepoint(name.to_string());
    Ok(Outcome::done("SAVEPOINT"))
}

pub fn release(session: &mut Session, name: &str) -> Result<Outcome> {
    block(session, "RELEASE SAVEPOINT")?.release(name)?;
    Ok(Outcome::done("RELEASE"))
}

pub fn rollback_to(session: &mut Session, name: &str) -> Result<Outcome> {
    block(session, "ROLLBACK TO SAVEPOINT")?.rollback_to(name)?;
    Ok(Outcome::done("ROLLBACK"))
}

/// SET TRANSACTION for the block, SET SESSION CHARACTERISTICS for all that follow.
pub fn set(session: &mut Session, modes: &[TransactionMode], for_session: bool) -> Result<Outcome> {
    if !for_session {
        if session.open_block().is_none() {
            let message = "SET TRANSACTION can only be used in transaction blocks";
            session.notice(Severity::Warning, SqlState::NO_ACTIVE_SQL_TRANSACTION, message);
            return Ok(Outcome::done("SET"));
        }
        apply(session, modes)?;
        return Ok(Outcome::done("SET"));
    }
    for mode in modes {
        match mode {
            TransactionMode::Isolation(level) => {
                session.settings.set("default_transaction_isolation", level)?;
                session.settings.reset("transaction_isolation")?;
            }
            TransactionMode::ReadOnly(on) => {
                session.settings.set("default_transaction_read_only", if *on { "on" } else { "off" })?;
            }
            TransactionMode::Deferrable(_) => {}
        }
    }
    Ok(Outcome::done("SET"))
}

fn apply(session: &mut Session, modes: &[TransactionMode]) -> Result<()> {
    for mode in modes {
        match mode {
            TransactionMode::Isolation(level) => session.settings.set_local("transaction_isolation", level)?,
            TransactionMode::ReadOnly(on) => session.transaction().read_only = *on,
            TransactionMode::Deferrable(_) => {}
        }
    }
    Ok(())
}

fn block<'a>(session: &'a mut Session, verb: &str) -> Result<&'a mut crate::engine::transaction::Transaction> {
    session.open_block().ok_or_else(|| {
        let message = format!("{verb} can only be used in transaction blocks");
        Error::new(SqlState::NO_ACTIVE_SQL_TRANSACTION, message)
    })
}

fn no_block(session: &mut Session) {
    let message = "there is no transaction in progress";
    session.notice(Severity::Warning, SqlState::NO_ACTIVE_SQL_TRANSACTION, message);
}

/// AND CHAIN: a block like the last begins at once.
fn again(session: &mut Session, chain: bool) {
    if chain {
        session.begin(Block::Explicit);
    }
}
