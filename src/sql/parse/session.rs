//! Settings, transactions, notifications.

use sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::plain_name;
use crate::sql::statement::{Command, Discard, Set, Show, TransactionMode};
use crate::types::{Error, Result};

pub fn show(cursor: &mut Cursor) -> Result<Command> {
    cursor.expect_words("show")?;
    let what = if cursor.words("all") {
        Show::All
    } else if cursor.words("time zone") {
        Show::Setting("timezone".into())
    } else if cursor.words("transaction isolation level") {
        Show::Setting("transaction_isolation".into())
    } else if cursor.words("session authorization") {
        Show::Setting("session_authorization".into())
    } else {
        Show::Setting(setting_name(cursor)?)
    };
    Ok(Command::Show(what))
}

/// `name` or `extension.name`, in lower case.
fn setting_name(cursor: &mut Cursor) -> Result<String> {
    let mut name = cursor.label()?;
    while cursor.token(&Token::Period) {
        name = format!("{name}.{}", cursor.label()?);
    }
    Ok(name.to_lowercase())
}

pub fn set(cursor: &mut Cursor) -> Result<Command> {
    cursor.expect_words("set")?;
    if cursor.words("session characteristics as transaction") {
        return Ok(Command::SetTransaction { modes: modes(cursor)?, session: true });
    }
    if cursor.words("transaction") {
        return Ok(Command::SetTransaction { modes: modes(cursor)?, session: false });
    }
    let local = cursor.words("local");
    if !local && !cursor.peek_word_at(1, "authorization") {
        cursor.words("session");
    }
    let name = match special_setting(cursor) {
        Some(name) => name.to_string(),
        None => {
            let name = setting_name(cursor)?;
            if !cursor.token(&Token::Eq) && !cursor.words("to") {
                return cursor.error();
            }
            name
        }
    };
    let value = if cursor.words("default") || (name == "timezone" && cursor.words("local")) {
        None
    } else {
        Some(cursor.list(|cursor| cursor.value())?.join(", "))
    };
    Ok(Command::Set(Set { name, local, value }))
}

/// Settings with a grammar of their own, without `=`.
fn special_setting(cursor: &mut Cursor) -> Option<&'static str> {
    if cursor.words("time zone") {
        return Some("timezone");
    }
    if cursor.words("session authorization") {
        return Some("session_authorization");
    }
    if cursor.words("names") {
        return Some("client_encoding");
    }
    let plain = cursor.peek_at(1) != Some(&Token::Eq) && !cursor.peek_word_at(1, "to");
    match plain && (cursor.peek_word("role") || cursor.peek_word("schema")) {
        true => cursor.one_of(&["role", "schema"]).map(|word| if word == "schema" { "search_path" } else { word }),
        false => None,
    }
}

pub fn reset(cursor: &mut Cursor) -> Result<Command> {
    cursor.expect_words("reset")?;
    if cursor.words("all") {
        return Ok(Command::Reset(None));
    }
    let name = match cursor.words("time zone") {
        true => "timezone".to_string(),
        false if cursor.words("session authorization") => "session_authorization".to_string(),
        false => setting_name(cursor)?,
    };
    Ok(Command::Reset(Some(name)))
}

pub fn discard(cursor: &mut Cursor) -> Result<Command> {
    cursor.expect_words("discard")?;
    let what = match cursor.one_of(&["all", "plans", "sequences", "temporary", "temp"]) {
        Some("all") => Discard::All,
        Some("plans") => Discard::Plans,
        Some("sequences") => Discard::Sequences,
        Some(_) => Discard::Temporary,
        None => return cursor.error(),
    };
    Ok(Command::Discard(what))
}

pub fn begin(cursor: &mut Cursor) -> Result<Command> {
    match cursor.words("begin") {
        true => {
            cursor.one_of(&["work", "transaction"]);
        }
        false => cursor.expect_words("start transaction")?,
    }
    let modes = if cursor.at_end() { vec![] } else { modes(cursor)? };
    Ok(Command::Begin { modes })
}

/// At least one mode; commas between them may be left out.
fn modes(cursor: &mut Cursor) -> Result<Vec<TransactionMode>> {
    let mut modes = vec![mode(cursor)?];
    while !cursor.at_end() {
        cursor.token(&Token::Comma);
        modes.push(mode(cursor)?);
    }
    Ok(modes)
}

fn mode(cursor: &mut Cursor) -> Result<TransactionMode> {
    if cursor.words("isolation level") {
        const LEVELS: &[&str] = &["serializable", "repeatable read", "read committed", "read uncommitted"];
        return match cursor.one_of(LEVELS) {
            Some(level) => Ok(TransactionMode::Isolation(level.into())),
            None => cursor.error(),
        };
    }
    match cursor.one_of(&["read only", "read write", "not deferrable", "deferrable"]) {
        Some("read only") => Ok(TransactionMode::ReadOnly(true)),
        Some("read write") => Ok(TransactionMode::ReadOnly(false)),
        Some("deferrable") => Ok(TransactionMode::Deferrable(true)),
        Some(_) => Ok(TransactionMode::Deferrable(false)),
        None => cursor.error(),
    }
}

pub fn commit(cursor: &mut Cursor) -> Result<Command> {
    cursor.advance();
    if cursor.peek_word("prepared") {
        return Err(Error::unsupported("two-phase commit is not supported").at(cursor.position()));
    }
    Ok(Command::Commit { chain: ending(cursor)? })
}

pub fn rollback(cursor: &mut Cursor) -> Result<Command> {
    cursor.advance();
    if cursor.peek_word("prepared") {
        return Err(Error::unsupported("two-phase commit is not supported").at(cursor.position()));
    }
    cursor.one_of(&["work", "transaction"]);
    if cursor.words("to") {
        cursor.words("savepoint");
        return Ok(Command::RollbackTo(plain_name(cursor)?));
    }
    Ok(Command::Rollback { chain: ending(cursor)? })
}

/// `[WORK | TRANSACTION] [AND [NO] CHAIN]`
fn ending(cursor: &mut Cursor) -> Result<bool> {
    cursor.one_of(&["work", "transaction"]);
    if cursor.words("and no chain") {
        return Ok(false);
    }
    Ok(cursor.words("and chain"))
}

pub fn savepoint(cursor: &mut Cursor) -> Result<Command> {
    cursor.expect_words("savepoint")?;
    Ok(Command::Savepoint(plain_name(cursor)?))
}

pub fn release(cursor: &mut Cursor) -> Result<Command> {
    cursor.expect_words("release")?;
    cursor.words("savepoint");
    Ok(Command::Release(plain_name(cursor)?))
}

pub fn notification(cursor: &mut Cursor) -> Result<Command> {
    if cursor.words("listen") {
        return Ok(Command::Listen(plain_name(cursor)?));
    }
    if cursor.words("unlisten") {
        return match cursor.token(&Token::Mul) {
            true => Ok(Command::Unlisten(None)),
            false => Ok(Command::Unlisten(Some(plain_name(cursor)?))),
        };
    }
    cursor.expect_words("notify")?;
    let channel = plain_name(cursor)?;
    let payload = match cursor.token(&Token::Comma) {
        true => Some(cursor.expect_string()?),
        false => None,
    };
    Ok(Command::Notify { channel, payload })
}
