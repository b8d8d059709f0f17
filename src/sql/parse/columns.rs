//! What stands between the parentheses of CREATE TABLE and CREATE SOURCE: columns and constraints.

use sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use crate::sql::statement::{ColumnDefinition, UniqueConstraint};
use crate::types::{Error, Result, SqlState};

/// `(name type constraints, .., PRIMARY KEY (names), UNIQUE (names))`
#[derive(Default)]
pub struct Definitions {
    pub columns: Vec<ColumnDefinition>,
    pub primary_key: Option<Vec<String>>,
    pub unique: Vec<UniqueConstraint>,
}

/// One constraint that is kept.
enum Constraint {
    PrimaryKey(Vec<String>),
    Unique(UniqueConstraint),
}

pub fn definitions(cursor: &mut Cursor) -> Result<Definitions> {
    let mut found = Definitions::default();
    cursor.expect_token(&Token::LParen)?;
    if cursor.token(&Token::RParen) {
        return Ok(found);
    }
    loop {
        let position = cursor.position();
        let constraints = match table_constraint(cursor)? {
            Some(constraint) => vec![constraint],
            None => {
                let (column, constraints) = column_definition(cursor)?;
                found.columns.push(column);
                constraints
            }
        };
        for constraint in constraints {
            match constraint {
                Constraint::Unique(unique) => found.unique.push(unique),
                Constraint::PrimaryKey(_) if found.primary_key.is_some() => {
                    let message = "multiple primary keys are not allowed";
                    return Err(Error::new(SqlState::INVALID_TABLE_DEFINITION, message).at(position));
                }
                Constraint::PrimaryKey(names) => found.primary_key = Some(names),
            }
        }
        if !cursor.token(&Token::Comma) {
            cursor.expect_token(&Token::RParen)?;
            return Ok(found);
        }
    }
}

/// A PRIMARY KEY or UNIQUE over columns; other constraints are refused. None if this is a column.
fn table_constraint(cursor: &mut Cursor) -> Result<Option<Constraint>> {
    let name = constraint_name(cursor)?;
    if cursor.words("primary key") {
        return Ok(Some(Constraint::PrimaryKey(cursor.in_parentheses(|cursor| cursor.identifier())?)));
    }
    // A column may be called "unique"; then a type follows it, and no parenthesis.
    if cursor.peek_word("unique") && matches!(cursor.peek_at(1), Some(Token::LParen)) {
        cursor.words("unique");
        let columns = cursor.in_parentheses(|cursor| cursor.identifier())?;
        return Ok(Some(Constraint::Unique(UniqueConstraint { name, columns })));
    }
    refuse_constraint(cursor, &["unique", "check", "foreign key", "exclude", "like"])?;
    Ok(None)
}

/// `CONSTRAINT name`, if it is there.
fn constraint_name(cursor: &mut Cursor) -> Result<Option<String>> {
    match cursor.words("constraint") {
        true => Ok(Some(cursor.identifier()?)),
        false => Ok(None),
    }
}

fn refuse_constraint(cursor: &mut Cursor, refused: &[&'static str]) -> Result<()> {
    let position = cursor.position();
    if cursor.peek_word("unique") && (cursor.words("unique nulls not") || cursor.words("unique nulls distinct")) {
        return Err(nulls_not_distinct(position));
    }
    // A column may be called like one of the words; then a type follows it, and no parenthesis.
    let follows = matches!(cursor.peek_at(1), Some(Token::LParen)) || cursor.peek_word("foreign");
    match refused.iter().find(|words| cursor.peek_word(words.split(' ').next().expect("split gives a part"))) {
        Some(words) if follows || *words == "like" => {
            Err(Error::unsupported(format!("{} constraints are not supported", words.to_uppercase())).at(position))
        }
        _ => Ok(()),
    }
}

/// `NULLS [NOT] DISTINCT`, which says what NULLs are to a unique index.
pub fn refuse_nulls_not_distinct(cursor: &mut Cursor) -> Result<()> {
    let position = cursor.position();
    cursor.words("nulls distinct");
    match cursor.peek_word("nulls") {
        true => Err(nulls_not_distinct(position)),
        false => Ok(()),
    }
}

fn nulls_not_distinct(position: usize) -> Error {
    Error::unsupported("NULLS NOT DISTINCT is not supported").at(position)
}

/// A column, and the constraints that its definition says.
fn column_definition(cursor: &mut Cursor) -> Result<(ColumnDefinition, Vec<Constraint>)> {
    let position = cursor.position();
    let name = cursor.identifier()?;
    let sql_type = cursor.data_type()?;
    let mut column = ColumnDefinition { name, sql_type, not_null: false, default: None, position };
    let mut constraints = vec![];
    loop {
        let name = constraint_name(cursor)?;
        let position = cursor.position();
        if cursor.words("not null") {
            column.not_null = true;
        } else if cursor.words("null") {
        } else if cursor.words("primary key") {
            constraints.push(Constraint::PrimaryKey(vec![column.name.clone()]));
        } else if cursor.words("unique") {
            refuse_nulls_not_distinct(cursor)?;
            constraints.push(Constraint::Unique(UniqueConstraint { name, columns: vec![column.name.clone()] }));
        } else if cursor.words("default") {
            let start = cursor.position();
            cursor.expression()?;
            column.default = Some(cursor.text(start, cursor.last_end()));
        } else if let Some(words) = cursor.one_of(&["check", "references", "generated", "collate"]) {
            return Err(
                Error::unsupported(format!("{} in a column is not supported", words.to_uppercase())).at(position)
            );
        } else {
            return Ok((column, constraints));
        }
    }
}
