//! Cursors, prepared statements and SUBSCRIBE.

use sqlparser::tokenizer::Token;

use super::connector::{options, take_flag, take_text};
use super::cursor::Cursor;
use super::{plain_name, statement};
use crate::sql::statement::{Command, Declare, DeclareFor, Fetch, FetchCount, Subscribe, SubscribeTo, ViewQuery};
use crate::types::{Error, Result, SqlState};

pub fn declare(cursor: &mut Cursor) -> Result<Command> {
    cursor.expect_words("declare")?;
    let name = plain_name(cursor)?;
    let mut scroll = false;
    while let Some(option) = cursor.one_of(&["binary", "insensitive", "asensitive", "no scroll", "scroll"]) {
        if option == "binary" {
            return Err(Error::unsupported("DECLARE BINARY CURSOR is not supported").at(cursor.position()));
        }
        scroll |= option == "scroll";
    }
    cursor.expect_words("cursor")?;
    let hold = cursor.words("with hold");
    cursor.words("without hold");
    cursor.expect_words("for")?;
    let what = match cursor.peek_word("subscribe") {
        true => DeclareFor::Subscribe(subscribe(cursor)?),
        false => DeclareFor::Query(cursor.query()?),
    };
    Ok(Command::Declare(Declare { name, hold, scroll, what }))
}

pub fn fetch(cursor: &mut Cursor) -> Result<Command> {
    let moves = cursor.words("move");
    if !moves {
        cursor.expect_words("fetch")?;
    }
    let count = fetch_count(cursor)?;
    cursor.one_of(&["from", "in"]);
    let name = plain_name(cursor)?;
    let mut timeout = None;
    if cursor.words("with") {
        let mut options = options(cursor)?;
        timeout = take_text(&mut options, "timeout");
        if let Some(name) = options.keys().next() {
            return Err(Error::new(SqlState::SYNTAX_ERROR, format!("unrecognized FETCH option \"{name}\"")));
        }
    }
    let fetch = Fetch { cursor: name, count, timeout };
    Ok(if moves { Command::Move(fetch) } else { Command::Fetch(fetch) })
}

fn fetch_count(cursor: &mut Cursor) -> Result<FetchCount> {
    let backward = ["prior", "first", "last", "absolute", "relative", "backward"];
    if let Some(word) = backward.iter().find(|word| cursor.peek_word(word)) {
        // A cursor may have such a name: then it is all that follows.
        if cursor.peek_at(1).is_some() {
            let message = format!("FETCH {} is not supported: cursors only move forward", word.to_uppercase());
            return Err(Error::unsupported(message).at(cursor.position()));
        }
    }
    if cursor.words("all") || cursor.words("forward all") {
        return Ok(FetchCount::All);
    }
    if cursor.peek_at(1).is_some() {
        cursor.one_of(&["next", "forward"]);
    }
    match cursor.peek() {
        Some(Token::Number(digits, _)) => match digits.parse() {
            Ok(rows) => {
                cursor.advance();
                Ok(FetchCount::Rows(rows))
            }
            Err(_) => cursor.error(),
        },
        Some(Token::Minus) => {
            Err(Error::unsupported("FETCH backward is not supported: cursors only move forward").at(cursor.position()))
        }
        _ => Ok(FetchCount::Rows(1)),
    }
}

pub fn close(cursor: &mut Cursor) -> Result<Command> {
    cursor.expect_words("close")?;
    match cursor.words("all") {
        true => Ok(Command::Close(None)),
        false => Ok(Command::Close(Some(plain_name(cursor)?))),
    }
}

pub fn prepare(cursor: &mut Cursor) -> Result<Command> {
    cursor.expect_words("prepare")?;
    if cursor.peek_word("transaction") && !cursor.peek_word_at(1, "as") {
        return Err(Error::unsupported("two-phase commit is not supported").at(cursor.position()));
    }
    let name = plain_name(cursor)?;
    let types = match cursor.peek() {
        Some(Token::LParen) => cursor.in_parentheses(|cursor| cursor.data_type())?,
        _ => vec![],
    };
    cursor.expect_words("as")?;
    let prepared = ["select", "values", "table", "with", "insert", "update", "delete"];
    if cursor.peek() != Some(&Token::LParen) && !prepared.iter().any(|word| cursor.peek_word(word)) {
        return cursor.error();
    }
    let statement = Box::new(statement(cursor)?);
    Ok(Command::Prepare { name, types, statement })
}

pub fn execute(cursor: &mut Cursor) -> Result<Command> {
    cursor.expect_words("execute")?;
    let name = plain_name(cursor)?;
    let arguments = match cursor.peek() {
        Some(Token::LParen) => cursor.in_parentheses(|cursor| cursor.expression())?,
        _ => vec![],
    };
    Ok(Command::Execute { name, arguments })
}

pub fn deallocate(cursor: &mut Cursor) -> Result<Command> {
    cursor.expect_words("deallocate")?;
    cursor.words("prepare");
    match cursor.words("all") {
        true => Ok(Command::Deallocate(None)),
        false => Ok(Command::Deallocate(Some(plain_name(cursor)?))),
    }
}

/// `SUBSCRIBE [TO] view | (query) [AS OF t] [WITH (snapshot = false, progress = true)]`
pub fn subscribe(cursor: &mut Cursor) -> Result<Subscribe> {
    cursor.expect_words("subscribe")?;
    cursor.words("to");
    let to = match cursor.peek() {
        Some(Token::LParen) => SubscribeTo::Query(query_in_parentheses(cursor)?),
        _ => SubscribeTo::Name(cursor.name()?),
    };
    let as_of = match cursor.words("as of") {
        true => Some(cursor.expression()?),
        false => None,
    };
    let (mut snapshot, mut progress) = (true, false);
    if cursor.words("with") {
        let mut options = options(cursor)?;
        snapshot = take_flag(&mut options, "snapshot")?.unwrap_or(true);
        progress = take_flag(&mut options, "progress")?.unwrap_or(false);
        if let Some(name) = options.keys().next() {
            return Err(Error::new(SqlState::SYNTAX_ERROR, format!("unrecognized SUBSCRIBE option \"{name}\"")));
        }
    }
    Ok(Subscribe { to, as_of, snapshot, progress })
}

fn query_in_parentheses(cursor: &mut Cursor) -> Result<ViewQuery> {
    cursor.expect_token(&Token::LParen)?;
    let start = cursor.position();
    let query = cursor.query()?;
    let text = cursor.text(start, cursor.last_end());
    cursor.expect_token(&Token::RParen)?;
    Ok(ViewQuery { query, text })
}
