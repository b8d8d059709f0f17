//! COPY, with its options in the style of today and of before PostgreSQL 9.

use sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::{column_list, portal};
use crate::sql::statement::{Command, Copy, CopyDirection, CopyOptions, CopyWhat};
use crate::types::{Error, Result, SqlState};

pub fn copy(cursor: &mut Cursor) -> Result<Command> {
    cursor.expect_words("copy")?;
    let what = if cursor.token(&Token::LParen) {
        let what = match cursor.peek_word("subscribe") {
            true => CopyWhat::Subscribe(portal::subscribe(cursor)?),
            false => CopyWhat::Query(cursor.query()?),
        };
        cursor.expect_token(&Token::RParen)?;
        what
    } else {
        CopyWhat::Table { name: cursor.name()?, columns: column_list(cursor)? }
    };
    let direction = direction(cursor, matches!(what, CopyWhat::Table { .. }))?;
    let position = cursor.position();
    cursor.words("with");
    let mut options = CopyOptions::default();
    match cursor.peek() {
        Some(Token::LParen) => {
            cursor.in_parentheses(|cursor| option(cursor, &mut options))?;
        }
        _ => {
            while !cursor.at_end() {
                old_option(cursor, &mut options)?;
            }
        }
    }
    check(&options).map_err(|error| error.at(position))?;
    Ok(Command::Copy(Copy { what, direction, options }))
}

fn direction(cursor: &mut Cursor, may_read: bool) -> Result<CopyDirection> {
    let direction = match cursor.one_of(&["from", "to"]) {
        Some("from") if may_read => CopyDirection::FromStdin,
        Some("to") => CopyDirection::ToStdout,
        _ => return cursor.error(),
    };
    let stream = match direction {
        CopyDirection::FromStdin => "stdin",
        CopyDirection::ToStdout => "stdout",
    };
    if cursor.words(stream) || cursor.one_of(&["stdin", "stdout"]).is_some() {
        return Ok(direction);
    }
    match cursor.peek() {
        Some(Token::SingleQuotedString(_)) => {
            Err(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, "COPY to or from a file is not allowed")
                .with_hint("Anyone can COPY to stdout or from stdin. psql's \\copy command also works for anyone.")
                .at(cursor.position()))
        }
        _ => cursor.error(),
    }
}

/// `FORMAT csv`, `DELIMITER ','`, `NULL ''`, `HEADER [bool]`, `QUOTE '"'`, `ESCAPE '"'`
fn option(cursor: &mut Cursor, options: &mut CopyOptions) -> Result<()> {
    let position = cursor.position();
    let name = cursor.label()?;
    match name.as_str() {
        "format" => {
            let format = cursor.value()?.to_lowercase();
            options.csv = match format.as_str() {
                "csv" => true,
                "text" => false,
                "binary" => return Err(Error::unsupported("COPY in binary format is not supported").at(position)),
                _ => return Err(invalid(format!("COPY format \"{format}\" not recognized")).at(position)),
            };
        }
        "delimiter" => options.delimiter = Some(one_byte(cursor, "delimiter")?),
        "null" => options.null = Some(cursor.expect_string()?),
        "header" => options.header = header(cursor)?,
        "quote" => options.quote = Some(one_byte(cursor, "quote")?),
        "escape" => options.escape = Some(one_byte(cursor, "escape")?),
        "encoding" => encoding(cursor)?,
        "freeze" => {
            header(cursor)?;
        }
        "force_quote" | "force_not_null" | "force_null" => {
            return Err(
                Error::unsupported(format!("COPY option {} is not supported", name.to_uppercase())).at(position)
            );
        }
        _ => {
            let message = format!("option \"{name}\" not recognized");
            return Err(Error::new(SqlState::SYNTAX_ERROR, message).at(position));
        }
    }
    Ok(())
}

fn old_option(cursor: &mut Cursor, options: &mut CopyOptions) -> Result<()> {
    let position = cursor.position();
    let word =
        cursor.one_of(&["csv", "binary", "delimiter", "delimiters", "null", "header", "quote", "escape", "encoding"]);
    if !matches!(word, Some("csv" | "binary" | "header")) {
        cursor.words("as");
    }
    match word {
        Some("csv") => options.csv = true,
        Some("header") => options.header = true,
        Some("delimiter" | "delimiters") => options.delimiter = Some(one_byte(cursor, "delimiter")?),
        Some("null") => options.null = Some(cursor.expect_string()?),
        Some("quote") => options.quote = Some(one_byte(cursor, "quote")?),
        Some("escape") => options.escape = Some(one_byte(cursor, "escape")?),
        Some("encoding") => encoding(cursor)?,
        Some(_) => return Err(Error::unsupported("COPY in binary format is not supported").at(position)),
        None => return cursor.error(),
    }
    Ok(())
}

/// A flag that may stand alone. (`MATCH` would check the header's names, which nothing here does.)
fn header(cursor: &mut Cursor) -> Result<bool> {
    if matches!(cursor.peek(), Some(Token::Comma | Token::RParen) | None) {
        return Ok(true);
    }
    let position = cursor.position();
    match cursor.value()?.to_lowercase().as_str() {
        "true" | "on" | "1" => Ok(true),
        "false" | "off" | "0" => Ok(false),
        "match" => Err(Error::unsupported("COPY ... HEADER MATCH is not supported").at(position)),
        _ => Err(Error::new(SqlState::SYNTAX_ERROR, "header requires a Boolean value or \"match\"").at(position)),
    }
}

fn encoding(cursor: &mut Cursor) -> Result<()> {
    let position = cursor.position();
    let name = cursor.value()?.to_lowercase();
    match name.replace(['-', '_'], "").as_str() {
        "utf8" | "unicode" | "sqlascii" => Ok(()),
        _ => Err(Error::unsupported(format!("COPY in encoding \"{name}\" is not supported: use UTF8")).at(position)),
    }
}

fn one_byte(cursor: &mut Cursor, what: &str) -> Result<u8> {
    let position = cursor.position();
    match cursor.expect_string()?.as_bytes() {
        [byte] => Ok(*byte),
        _ => Err(Error::unsupported(format!("COPY {what} must be a single one-byte character")).at(position)),
    }
}

fn check(options: &CopyOptions) -> Result<()> {
    let delimiter = options.delimiter.unwrap_or(if options.csv { b',' } else { b'\t' });
    if matches!(delimiter, b'\n' | b'\r') {
        return Err(invalid("COPY delimiter cannot be newline or carriage return".into()));
    }
    if !options.csv && (options.quote.is_some() || options.escape.is_some()) {
        let name = if options.quote.is_some() { "quote" } else { "escape" };
        return Err(Error::unsupported(format!("COPY {name} available only in CSV mode")));
    }
    if options.csv && delimiter == options.quote.unwrap_or(b'"') {
        return Err(invalid("COPY delimiter and quote must be different".into()));
    }
    if !options.csv && (delimiter == b'\\' || delimiter.is_ascii_alphanumeric() || delimiter == b'.') {
        return Err(invalid(format!("COPY delimiter cannot be \"{}\"", delimiter as char)));
    }
    if options.null.as_deref().is_some_and(|null| null.contains(['\r', '\n'])) {
        return Err(invalid("COPY null representation cannot use newline or carriage return".into()));
    }
    Ok(())
}

fn invalid(message: String) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
}
