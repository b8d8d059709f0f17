//! CREATE and DROP.

use sqlparser::tokenizer::Token;

use super::columns::{Definitions, definitions, refuse_nulls_not_distinct};
use super::connector::{create_connection, create_source, options};
use super::cursor::Cursor;
use super::{column_list, connector};
use crate::sql::statement::{
    Command, CreateIndex, CreateMaterializedView, CreateTable, CreateView, Drop, ObjectKind, TableQuery, ViewQuery,
};
use crate::types::{Error, Result};

pub fn create(cursor: &mut Cursor) -> Result<Command> {
    cursor.expect_words("create")?;
    let or_replace = cursor.words("or replace");
    if or_replace && !cursor.peek_word("view") {
        return match cursor.peek_word("materialized") {
            true => Err(Error::unsupported("CREATE OR REPLACE MATERIALIZED VIEW is not supported")
                .with_hint("Drop the view and create it anew.")
                .at(cursor.position())),
            false => refused(cursor),
        };
    }
    if cursor.words("view") {
        return create_view(cursor, or_replace);
    }
    if cursor.words("materialized view") {
        return create_materialized_view(cursor);
    }
    if cursor.words("connection") {
        return create_connection(cursor);
    }
    if cursor.words("source") {
        return create_source(cursor);
    }
    if cursor.words("index") {
        return create_index(cursor, false);
    }
    if cursor.words("unique index") {
        return create_index(cursor, true);
    }
    if cursor.words("schema") {
        let if_not_exists = cursor.words("if not exists");
        return Ok(Command::CreateSchema { name: cursor.identifier()?, if_not_exists });
    }
    let temporary = cursor.one_of(&["temporary", "temp"]).is_some();
    if cursor.words("table") {
        return create_table(cursor, temporary);
    }
    refused(cursor)
}

/// Things that PostgreSQL can create and Millrace can't; anything else is a syntax error.
fn refused(cursor: &mut Cursor) -> Result<Command> {
    const KNOWN: &[&str] = &[
        "access",
        "aggregate",
        "cast",
        "collation",
        "conversion",
        "database",
        "domain",
        "event",
        "extension",
        "foreign",
        "function",
        "group",
        "language",
        "operator",
        "policy",
        "procedure",
        "publication",
        "recursive",
        "role",
        "rule",
        "sequence",
        "server",
        "sink",
        "statistics",
        "subscription",
        "tablespace",
        "text",
        "transform",
        "trigger",
        "type",
        "unlogged",
        "user",
    ];
    match KNOWN.iter().find(|word| cursor.peek_word(word)) {
        Some(word) => {
            let message = format!("CREATE {} is not supported", word.to_uppercase());
            Err(Error::unsupported(message).at(cursor.position()))
        }
        None => cursor.error(),
    }
}

fn create_view(cursor: &mut Cursor, or_replace: bool) -> Result<Command> {
    let name = cursor.name()?;
    let columns = column_list(cursor)?;
    cursor.expect_words("as")?;
    let query = view_query(cursor)?;
    if cursor.peek_word("with") {
        return Err(Error::unsupported("WITH CHECK OPTION is not supported").at(cursor.position()));
    }
    Ok(Command::CreateView(CreateView { name, or_replace, columns, query }))
}

fn create_materialized_view(cursor: &mut Cursor) -> Result<Command> {
    let if_not_exists = cursor.words("if not exists");
    let name = cursor.name()?;
    let columns = column_list(cursor)?;
    let options = match cursor.words("with") {
        true => options(cursor)?,
        false => Default::default(),
    };
    cursor.expect_words("as")?;
    let query = view_query(cursor)?;
    if cursor.peek_word("with") {
        cursor.expect_words("with")?;
        if cursor.peek_word("no") {
            return Err(Error::unsupported("WITH NO DATA is not supported: a materialized view is always up to date")
                .at(cursor.position()));
        }
        cursor.expect_words("data")?;
    }
    Ok(Command::CreateMaterializedView(CreateMaterializedView { name, if_not_exists, columns, options, query }))
}

fn view_query(cursor: &mut Cursor) -> Result<ViewQuery> {
    let start = cursor.position();
    let query = cursor.query()?;
    Ok(ViewQuery { query, text: cursor.text(start, cursor.last_end()) })
}

fn create_index(cursor: &mut Cursor, unique: bool) -> Result<Command> {
    cursor.words("concurrently");
    let if_not_exists = cursor.words("if not exists");
    let name = match cursor.peek_word("on") {
        true => None,
        false => Some(cursor.identifier()?),
    };
    cursor.expect_words("on")?;
    cursor.words("only");
    let on = cursor.name()?;
    if cursor.words("using") {
        cursor.identifier()?;
    }
    let columns = cursor.in_parentheses(|cursor| {
        let position = cursor.position();
        let column = match cursor.peek() {
            Some(Token::Word(_)) if cursor.peek_at(1) != Some(&Token::LParen) => cursor.identifier()?,
            _ => return Err(Error::unsupported("indexes on expressions are not supported").at(position)),
        };
        cursor.one_of(&["asc", "desc"]);
        cursor.one_of(&["nulls first", "nulls last"]);
        Ok(column)
    })?;
    if cursor.peek_word("where") {
        return Err(Error::unsupported("partial indexes are not supported").at(cursor.position()));
    }
    refuse_nulls_not_distinct(cursor)?;
    Ok(Command::CreateIndex(CreateIndex { name, if_not_exists, unique, on, columns }))
}

fn create_table(cursor: &mut Cursor, temporary: bool) -> Result<Command> {
    let if_not_exists = cursor.words("if not exists");
    let name = cursor.name()?;
    let mut table =
        CreateTable { name, if_not_exists, temporary, columns: vec![], primary_key: None, unique: vec![], query: None };
    if is_table_query(cursor) {
        let columns = column_list(cursor)?;
        cursor.expect_words("as")?;
        let query = cursor.query()?;
        let with_data = !cursor.words("with no data");
        cursor.words("with data");
        table.query = Some(TableQuery { columns, query, with_data });
        return Ok(Command::CreateTable(table));
    }
    let Definitions { columns, primary_key, unique } = definitions(cursor)?;
    (table.columns, table.primary_key, table.unique) = (columns, primary_key, unique);
    if cursor.words("with") {
        connector::options(cursor)?;
    }
    const REFUSED: &[&str] = &["inherits", "partition", "on", "tablespace", "using"];
    if let Some(word) = REFUSED.iter().find(|word| cursor.peek_word(word)) {
        let message = format!("CREATE TABLE ... {} is not supported", word.to_uppercase());
        return Err(Error::unsupported(message).at(cursor.position()));
    }
    Ok(Command::CreateTable(table))
}

/// `AS ..` or `(name, name) AS ..`, unlike column definitions.
fn is_table_query(cursor: &Cursor) -> bool {
    let names = cursor.peek() == Some(&Token::LParen)
        && matches!(cursor.peek_at(1), Some(Token::Word(_)))
        && matches!(cursor.peek_at(2), Some(Token::Comma | Token::RParen));
    cursor.peek_word("as") || names
}

pub fn drop(cursor: &mut Cursor) -> Result<Command> {
    cursor.expect_words("drop")?;
    const KINDS: &[(&str, ObjectKind)] = &[
        ("connection", ObjectKind::Connection),
        ("source", ObjectKind::Source),
        ("table", ObjectKind::Table),
        ("view", ObjectKind::View),
        ("materialized view", ObjectKind::MaterializedView),
        ("index", ObjectKind::Index),
        ("schema", ObjectKind::Schema),
    ];
    let Some((_, kind)) = KINDS.iter().find(|(words, _)| cursor.words(words)) else {
        return match cursor.peek() {
            Some(Token::Word(word)) if word.keyword != sqlparser::keywords::Keyword::NoKeyword => {
                let message = format!("DROP {} is not supported", word.value.to_uppercase());
                Err(Error::unsupported(message).at(cursor.position()))
            }
            _ => cursor.error(),
        };
    };
    let if_exists = cursor.words("if exists");
    let names = cursor.list(|cursor| cursor.name())?;
    let cascade = cursor.words("cascade");
    if !cascade {
        cursor.words("restrict");
    }
    Ok(Command::Drop(Drop { kind: *kind, names, if_exists, cascade }))
}
