//! CHECKPOINT and BACKUP TO.

use sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use crate::sql::statement::Command;
use crate::types::Result;

pub fn checkpoint(cursor: &mut Cursor) -> Result<Command> {
    cursor.expect_words("checkpoint")?;
    Ok(Command::Checkpoint)
}

pub fn backup(cursor: &mut Cursor) -> Result<Command> {
    cursor.expect_words("backup to")?;
    match cursor.peek().cloned() {
        Some(Token::SingleQuotedString(path)) => {
            cursor.expect_token(&Token::SingleQuotedString(path.clone()))?;
            Ok(Command::Backup(path))
        }
        _ => cursor.error(),
    }
}
