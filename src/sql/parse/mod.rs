//! From a string to [`Statement`]s.
//!
//! The words at the start of a statement decide who reads it: what PostgreSQL and sqlparser share goes to sqlparser, what
//! is ours (sources, SUBSCRIBE) or what sqlparser reads otherwise than PostgreSQL is read here, token by token. The whole
//! string is read before any of it runs.

mod columns;
mod connector;
mod copy;
mod cursor;
mod definition;
mod dialect;
mod maintenance;
mod portal;
mod reserved;
mod session;
mod source_text;
#[cfg(test)]
mod tests;

use cursor::Cursor;
use source_text::SourceText;
use sqlparser::ast;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::statement::{Command, Modification, Name, Statement};
use crate::types::{Error, Result, SqlState};

/// The statements of a string; empty ones are left out. A syntax error anywhere is an error of the whole.
pub fn parse(text: &str) -> Result<Vec<Statement>> {
    let source = SourceText::new(text)?;
    let mut statements = Vec::new();
    for tokens in source.tokens.split(|token| token.token == Token::SemiColon) {
        let end = tokens.iter().rposition(is_solid).map_or(0, |last| last + 1);
        let start = tokens.iter().position(is_solid).unwrap_or(end);
        if start < end {
            let mut cursor = Cursor::new(&source, &tokens[start..end]);
            let statement = statement(&mut cursor)?;
            cursor.expect_end()?;
            statements.push(statement);
        }
    }
    Ok(statements)
}

/// A query's text as the catalog keeps it (that of a view, say).
pub fn parse_query(text: &str) -> Result<Box<ast::Query>> {
    let source = SourceText::new(text)?;
    let tokens = source.tokens.iter().filter(|token| is_solid(token)).cloned().collect::<Vec<_>>();
    let mut cursor = Cursor::new(&source, &tokens);
    let query = cursor.query()?;
    cursor.expect_end()?;
    Ok(query)
}

/// An expression's text as the catalog keeps it (that of a DEFAULT).
pub fn parse_expression(text: &str) -> Result<ast::Expr> {
    let source = SourceText::new(text)?;
    let tokens = source.tokens.iter().filter(|token| is_solid(token)).cloned().collect::<Vec<_>>();
    let mut cursor = Cursor::new(&source, &tokens);
    let expression = cursor.expression()?;
    cursor.expect_end()?;
    Ok(expression)
}

fn is_solid(token: &TokenWithSpan) -> bool {
    !matches!(token.token, Token::Whitespace(_) | Token::EOF)
}

/// One statement, from where the cursor is to its end.
fn statement(cursor: &mut Cursor) -> Result<Statement> {
    let start = cursor.position();
    let command = command(cursor)?;
    let text = cursor.text(start, cursor.last_end());
    Ok(Statement { text, offset: start - 1, command })
}

fn command(cursor: &mut Cursor) -> Result<Command> {
    let Some(Token::Word(word)) = cursor.peek() else {
        return match cursor.peek() {
            Some(Token::LParen) => Ok(Command::Query(cursor.query()?)),
            _ => cursor.error(),
        };
    };
    if word.quote_style.is_some() {
        return cursor.error();
    }
    match word.value.to_lowercase().as_str() {
        "select" | "values" | "table" => Ok(Command::Query(cursor.query()?)),
        "with" => with(cursor),
        "insert" | "update" | "delete" => modification(cursor),
        "truncate" => truncate(cursor),
        "copy" => copy::copy(cursor),
        "create" => definition::create(cursor),
        "drop" => definition::drop(cursor),
        "explain" => explain(cursor),
        "show" => session::show(cursor),
        "set" => session::set(cursor),
        "reset" => session::reset(cursor),
        "discard" => session::discard(cursor),
        "checkpoint" => maintenance::checkpoint(cursor),
        "backup" => maintenance::backup(cursor),
        "begin" | "start" => session::begin(cursor),
        "commit" | "end" => session::commit(cursor),
        "rollback" | "abort" => session::rollback(cursor),
        "savepoint" => session::savepoint(cursor),
        "release" => session::release(cursor),
        "listen" | "unlisten" | "notify" => session::notification(cursor),
        "declare" => portal::declare(cursor),
        "fetch" | "move" => portal::fetch(cursor),
        "close" => portal::close(cursor),
        "prepare" => portal::prepare(cursor),
        "execute" => portal::execute(cursor),
        "deallocate" => portal::deallocate(cursor),
        "subscribe" => Ok(Command::Subscribe(portal::subscribe(cursor)?)),
        other => refused(cursor, other),
    }
}

/// WITH before a query, or before an INSERT, UPDATE or DELETE (which sqlparser hides inside a query).
fn with(cursor: &mut Cursor) -> Result<Command> {
    let mut query = cursor.query()?;
    match *query.body {
        ast::SetExpr::Insert(statement) | ast::SetExpr::Update(statement) | ast::SetExpr::Delete(statement) => {
            modification_of(query.with, statement)
        }
        body => {
            query.body = Box::new(body);
            Ok(Command::Query(query))
        }
    }
}

fn modification(cursor: &mut Cursor) -> Result<Command> {
    let start = cursor.position();
    modification_of(None, cursor.statement()?).map_err(|error| error.at(start))
}

fn modification_of(with: Option<ast::With>, statement: ast::Statement) -> Result<Command> {
    Ok(match statement {
        ast::Statement::Insert(statement) => Command::Insert(Box::new(Modification { with, statement })),
        ast::Statement::Update(statement) => Command::Update(Box::new(Modification { with, statement })),
        ast::Statement::Delete(statement) => Command::Delete(Box::new(Modification { with, statement })),
        _ => return Err(Error::new(SqlState::SYNTAX_ERROR, "syntax error")),
    })
}

fn truncate(cursor: &mut Cursor) -> Result<Command> {
    cursor.expect_words("truncate")?;
    cursor.words("table");
    let tables = cursor.list(|cursor| {
        cursor.words("only");
        cursor.name()
    })?;
    if cursor.words("restart identity") {
        return Err(Error::unsupported("TRUNCATE ... RESTART IDENTITY is not supported"));
    }
    cursor.words("continue identity");
    cursor.one_of(&["cascade", "restrict"]);
    Ok(Command::Truncate(tables))
}

fn explain(cursor: &mut Cursor) -> Result<Command> {
    use super::statement::{Explain, ExplainWhat};
    cursor.expect_words("explain")?;
    let (mut analyze, mut verbose) = (false, false);
    if cursor.peek() == Some(&Token::LParen) && !cursor.peek_word_at(1, "select") {
        for (name, on) in cursor.in_parentheses(explain_option)? {
            match name.as_str() {
                "analyze" => analyze = on,
                "verbose" => verbose = on,
                "costs" | "settings" | "buffers" | "wal" | "timing" | "summary" | "format" => {}
                _ => {
                    let message = format!("unrecognized EXPLAIN option \"{name}\"");
                    return Err(Error::new(SqlState::SYNTAX_ERROR, message));
                }
            }
        }
    } else {
        analyze = cursor.words("analyze") || cursor.words("analyse");
        verbose = cursor.words("verbose");
    }
    let what = if cursor.words("materialized view") {
        ExplainWhat::MaterializedView(cursor.name()?)
    } else {
        let statement = statement(cursor)?;
        if !is_explainable(&statement.command) {
            return Err(Error::unsupported("EXPLAIN is for queries, INSERT, UPDATE, DELETE and materialized views")
                .at(statement.offset + 1));
        }
        ExplainWhat::Statement(Box::new(statement))
    };
    Ok(Command::Explain(Explain { analyze, verbose, what }))
}

fn is_explainable(command: &Command) -> bool {
    matches!(
        command,
        Command::Query(_)
            | Command::Insert(_)
            | Command::Update(_)
            | Command::Delete(_)
            | Command::CreateMaterializedView(_)
            | Command::CreateTable(_)
            | Command::Execute { .. }
    )
}

/// `ANALYZE`, `VERBOSE off`, `FORMAT text`; other formats are refused.
fn explain_option(cursor: &mut Cursor) -> Result<(String, bool)> {
    let position = cursor.position();
    let name = cursor.label()?;
    let value = match cursor.peek() {
        Some(Token::Comma | Token::RParen) | None => "on".to_string(),
        _ => cursor.value()?.to_lowercase(),
    };
    if name == "format" && value != "text" {
        return Err(Error::unsupported(format!("EXPLAIN (FORMAT {value}) is not supported")).at(position));
    }
    Ok((name, !matches!(value.as_str(), "off" | "false" | "0")))
}

/// Statements of PostgreSQL's that Millrace does not have; anything else is a syntax error.
fn refused(cursor: &mut Cursor, word: &str) -> Result<Command> {
    const KNOWN: &[&str] = &[
        "alter",
        "analyze",
        "call",
        "checkpoint",
        "cluster",
        "comment",
        "do",
        "grant",
        "import",
        "load",
        "lock",
        "merge",
        "reassign",
        "refresh",
        "reindex",
        "revoke",
        "security",
        "vacuum",
    ];
    if !KNOWN.contains(&word) {
        return cursor.error();
    }
    let mut name = word.to_uppercase();
    if let ("alter" | "refresh", Some(Token::Word(object))) = (word, cursor.peek_at(1)) {
        name = format!("{name} {}", object.value.to_uppercase());
    }
    let error = Error::unsupported(format!("{name} is not supported")).at(cursor.position());
    Err(match word {
        "alter" => error.with_hint("Drop the object and create it anew."),
        "refresh" => error.with_hint("A materialized view is always up to date."),
        _ => error,
    })
}

/// The columns named in parentheses, if any are.
fn column_list(cursor: &mut Cursor) -> Result<Vec<String>> {
    if cursor.peek() != Some(&Token::LParen) {
        return Ok(vec![]);
    }
    cursor.in_parentheses(|cursor| cursor.identifier())
}

/// A name without a schema, for messages and cursors.
fn plain_name(cursor: &mut Cursor) -> Result<String> {
    let name = cursor.name()?;
    match name {
        Name { schema: None, name, .. } => Ok(name),
        Name { position, .. } => Err(Error::new(SqlState::INVALID_NAME, "this name can't be qualified").at(position)),
    }
}
