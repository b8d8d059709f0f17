//! A string of statements, cut into tokens that know where they stand in it.

use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer};

use super::dialect::Postgres;
use crate::types::{Error, Result, SqlState};

/// The string, and its tokens. The spans are rewritten so that their columns count characters of the whole string from
/// 1 (the line is always 1): what the parser hands on, errors and syntax trees alike, then speaks PostgreSQL's positions.
pub struct SourceText {
    characters: Vec<char>,
    pub tokens: Vec<TokenWithSpan>,
}

impl SourceText {
    pub fn new(text: &str) -> Result<Self> {
        let characters: Vec<char> = text.chars().collect();
        let line_starts = line_starts(&characters);
        let position = |location: Location| match location.line {
            0 => characters.len() as u64 + 1,
            line => line_starts[(line as usize - 1).min(line_starts.len() - 1)] + location.column,
        };
        let mut tokens = Vec::new();
        let cut = Tokenizer::new(&Postgres, text).tokenize_with_location_into_buf(&mut tokens);
        if let Err(error) = cut {
            let start = tokens.last().map_or(1, |token| position(token.span.end));
            return Err(unterminated(&characters, &error.message, start as usize));
        }
        for token in &mut tokens {
            let start = Location { line: 1, column: position(token.span.start) };
            let end = Location { line: 1, column: position(token.span.end) };
            token.span = Span { start, end };
        }
        Ok(SourceText { characters, tokens })
    }

    /// The characters from position `start` (from 1) up to, and without, `end`.
    pub fn slice(&self, start: usize, end: usize) -> String {
        let end = end.saturating_sub(1).min(self.characters.len());
        self.characters[(start - 1).min(end)..end].iter().collect()
    }

    pub fn len(&self) -> usize {
        self.characters.len()
    }

    /// PostgreSQL's complaint about the token at a position.
    pub fn syntax_error(&self, position: usize) -> Error {
        let here = self
            .tokens
            .iter()
            .find(|token| token.span.end.column as usize > position && !matches!(token.token, Token::Whitespace(_)));
        match here {
            Some(token) if token.token != Token::EOF => {
                let start = token.span.start.column as usize;
                let text = self.slice(start, token.span.end.column as usize);
                Error::new(SqlState::SYNTAX_ERROR, format!("syntax error at or near \"{text}\"")).at(start)
            }
            _ => Error::new(SqlState::SYNTAX_ERROR, "syntax error at end of input").at(self.len() + 1),
        }
    }
}

/// For each line, how many characters come before it.
fn line_starts(characters: &[char]) -> Vec<u64> {
    let ends = characters.iter().enumerate().filter(|(_, character)| **character == '\n');
    std::iter::once(0).chain(ends.map(|(index, _)| index as u64 + 1)).collect()
}

/// What the tokenizer could not finish; it starts after the last whole token.
fn unterminated(characters: &[char], message: &str, mut start: usize) -> Error {
    while characters.get(start - 1).is_some_and(|character| character.is_whitespace()) {
        start += 1;
    }
    let rest: String = characters[(start - 1).min(characters.len())..].iter().collect();
    let what = match characters.get(start - 1) {
        Some('"') if rest.starts_with("\"\"") => "zero-length delimited identifier",
        Some('"') => "unterminated quoted identifier",
        Some('$') => "unterminated dollar-quoted string",
        Some('/') => "unterminated /* comment",
        Some('\'' | 'e' | 'E' | 'u' | 'U' | 'n' | 'N' | 'b' | 'B' | 'x' | 'X') => "unterminated quoted string",
        _ => return Error::new(SqlState::SYNTAX_ERROR, message.to_lowercase()).at(start),
    };
    Error::new(SqlState::SYNTAX_ERROR, format!("{what} at or near \"{rest}\"")).at(start)
}
