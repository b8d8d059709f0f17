//! CREATE CONNECTION and CREATE SOURCE, and the options in parentheses that they and others take.

use std::collections::BTreeMap;

use sqlparser::tokenizer::Token;

use super::columns::{Definitions, definitions};
use super::cursor::Cursor;
use crate::sql::statement::{Command, CreateConnection, CreateSource, Include, OptionValue, Options, SourceFrom};
use crate::types::{Error, Result, SqlState};

/// `CREATE CONNECTION name TO KAFKA (BROKER '..')`, after CREATE CONNECTION.
pub fn create_connection(cursor: &mut Cursor) -> Result<Command> {
    let if_not_exists = cursor.words("if not exists");
    let name = cursor.name()?;
    cursor.expect_words("to")?;
    let kind = cursor.identifier()?;
    let options = options(cursor)?;
    Ok(Command::CreateConnection(CreateConnection { name, if_not_exists, kind, options }))
}

/// `CREATE SOURCE name [(columns)] FROM ..`, after CREATE SOURCE.
pub fn create_source(cursor: &mut Cursor) -> Result<Command> {
    let if_not_exists = cursor.words("if not exists");
    let name = cursor.name()?;
    let position = cursor.position();
    let Definitions { columns, primary_key, unique } = match cursor.peek() {
        Some(Token::LParen) => definitions(cursor)?,
        _ => Definitions::default(),
    };
    if !unique.is_empty() {
        return Err(Error::unsupported("UNIQUE is not supported for sources")
            .with_detail("What another system holds can't be refused here.")
            .at(position));
    }
    cursor.expect_words("from")?;
    let from = source_from(cursor)?;
    let mut source = CreateSource {
        name,
        if_not_exists,
        columns,
        primary_key,
        from,
        key_format: None,
        format: None,
        envelope: None,
        include: vec![],
        options: BTreeMap::new(),
    };
    if cursor.words("key format") {
        source.key_format = Some(cursor.identifier()?);
        cursor.words("value");
    }
    if cursor.words("format") {
        source.format = Some(cursor.identifier()?);
    }
    if cursor.words("envelope") {
        source.envelope = Some(cursor.identifier()?);
    }
    if cursor.words("include") {
        source.include = cursor.list(include)?;
    }
    if cursor.words("with") {
        source.options = options(cursor)?;
    }
    Ok(Command::CreateSource(source))
}

fn source_from(cursor: &mut Cursor) -> Result<SourceFrom> {
    if cursor.words("load generator") {
        let kind = cursor.identifier()?;
        return Ok(SourceFrom::Generator { kind, options: options_if_any(cursor)? });
    }
    let kind = cursor.identifier()?;
    cursor.expect_words("connection")?;
    let connection = cursor.name()?;
    Ok(SourceFrom::Connection { kind, connection, options: options_if_any(cursor)? })
}

fn include(cursor: &mut Cursor) -> Result<Include> {
    let Some(part) = cursor.one_of(&["key", "partition", "offset", "timestamp"]) else {
        return cursor.error();
    };
    let name = match cursor.words("as") {
        true => cursor.identifier()?,
        false => part.to_string(),
    };
    Ok(Include { part: part.to_string(), name })
}

fn options_if_any(cursor: &mut Cursor) -> Result<Options> {
    match cursor.peek() {
        Some(Token::LParen) => options(cursor),
        _ => Ok(BTreeMap::new()),
    }
}

/// `(NAME value, NAME = value, NAME (key => value, ..), NAME)`; a name alone means `true`.
pub fn options(cursor: &mut Cursor) -> Result<Options> {
    cursor.expect_token(&Token::LParen)?;
    let mut options = BTreeMap::new();
    if cursor.token(&Token::RParen) {
        return Ok(options);
    }
    loop {
        let position = cursor.position();
        let name = cursor.label()?.to_lowercase();
        let value = option_value(cursor)?;
        if options.insert(name.clone(), value).is_some() {
            return Err(Error::new(SqlState::SYNTAX_ERROR, format!("option \"{name}\" is given twice")).at(position));
        }
        if !cursor.token(&Token::Comma) {
            cursor.expect_token(&Token::RParen)?;
            return Ok(options);
        }
    }
}

fn option_value(cursor: &mut Cursor) -> Result<OptionValue> {
    let signed = cursor.token(&Token::Eq);
    match cursor.peek() {
        Some(Token::LParen) => {
            let pairs = cursor.in_parentheses(|cursor| {
                let key = cursor.value()?;
                cursor.expect_token(&Token::RArrow)?;
                Ok((key, cursor.value()?))
            })?;
            Ok(OptionValue::Map(pairs.into_iter().collect()))
        }
        Some(Token::Comma | Token::RParen) if !signed => Ok(OptionValue::Text("true".into())),
        _ => Ok(OptionValue::Text(cursor.value()?)),
    }
}

/// Takes an option's text out of the others; a map is none.
pub fn take_text(options: &mut Options, name: &str) -> Option<String> {
    match options.remove(name)? {
        OptionValue::Text(text) => Some(text),
        OptionValue::Map(_) => None,
    }
}

pub fn take_flag(options: &mut Options, name: &str) -> Result<Option<bool>> {
    let Some(text) = take_text(options, name) else {
        return Ok(None);
    };
    match text.to_lowercase().as_str() {
        "true" | "on" | "yes" | "1" => Ok(Some(true)),
        "false" | "off" | "no" | "0" => Ok(Some(false)),
        _ => Err(Error::new(SqlState::SYNTAX_ERROR, format!("{name} requires a Boolean value"))),
    }
}
