//! A place in the tokens of one statement: reads our own grammar word by word, and hands over to sqlparser where SQL's
//! own begins.

use sqlparser::ast::{self, Visit};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::SourceText;
use super::dialect::Postgres;
use super::reserved::reserved_name;
use crate::sql::keyword::is_reserved;
use crate::sql::statement::Name;
use crate::sql::type_name::sql_type;
use crate::types::{Error, Result, SqlState, SqlType};

/// How deep expressions and queries may nest.
const DEPTH_LIMIT: usize = 200;

pub struct Cursor<'a> {
    source: &'a SourceText,
    tokens: &'a [TokenWithSpan],
    index: usize,
}

impl<'a> Cursor<'a> {
    /// `tokens` are those of one statement, without its semicolon.
    pub fn new(source: &'a SourceText, tokens: &'a [TokenWithSpan]) -> Self {
        Cursor { source, tokens, index: 0 }
    }

    fn skip_space(&self, mut index: usize) -> usize {
        while matches!(self.tokens.get(index), Some(TokenWithSpan { token: Token::Whitespace(_), .. })) {
            index += 1;
        }
        index
    }

    pub fn peek(&self) -> Option<&'a Token> {
        self.peek_at(0)
    }

    /// The token `ahead` places after the next one.
    pub fn peek_at(&self, ahead: usize) -> Option<&'a Token> {
        let mut index = self.skip_space(self.index);
        for _ in 0..ahead {
            index = self.skip_space(index + 1);
        }
        self.tokens.get(index).map(|token| &token.token)
    }

    pub fn advance(&mut self) -> Option<&'a Token> {
        let index = self.skip_space(self.index);
        let token = self.tokens.get(index)?;
        self.index = index + 1;
        Some(&token.token)
    }

    pub fn at_end(&self) -> bool {
        self.peek().is_none()
    }

    /// Where the next token starts.
    pub fn position(&self) -> usize {
        match self.tokens.get(self.skip_space(self.index)) {
            Some(token) => token.span.start.column as usize,
            None => self.end_position(),
        }
    }

    /// Where the last token that was read ended.
    pub fn last_end(&self) -> usize {
        let read = self.tokens[..self.index.min(self.tokens.len())].iter();
        let last = read.rev().find(|token| !matches!(token.token, Token::Whitespace(_)));
        last.map_or(1, |token| token.span.end.column as usize)
    }

    /// Where the statement ends: at its semicolon, or at the end of the string.
    fn end_position(&self) -> usize {
        self.tokens.last().map_or(self.source.len() + 1, |token| token.span.end.column as usize)
    }

    pub fn text(&self, start: usize, end: usize) -> String {
        self.source.slice(start, end)
    }

    pub fn error<T>(&self) -> Result<T> {
        Err(self.source.syntax_error(self.position()))
    }

    /// Whether the next token is this word, in any case and not quoted.
    pub fn peek_word(&self, word: &str) -> bool {
        self.peek_word_at(0, word)
    }

    pub fn peek_word_at(&self, ahead: usize, word: &str) -> bool {
        matches!(self.peek_at(ahead), Some(Token::Word(found))
            if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
    }

    /// Reads the words if all of them come next.
    pub fn words(&mut self, words: &str) -> bool {
        let all = words.split(' ').enumerate().all(|(ahead, word)| self.peek_word_at(ahead, word));
        if all {
            words.split(' ').for_each(|_| {
                self.advance();
            });
        }
        all
    }

    pub fn expect_words(&mut self, words: &str) -> Result<()> {
        for word in words.split(' ') {
            if !self.words(word) {
                return self.error();
            }
        }
        Ok(())
    }

    /// The first of the given words, if it comes next.
    pub fn one_of(&mut self, words: &[&'static str]) -> Option<&'static str> {
        words.iter().copied().find(|word| self.words(word))
    }

    pub fn token(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        if found {
            self.advance();
        }
        found
    }

    pub fn expect_token(&mut self, token: &Token) -> Result<()> {
        if self.token(token) { Ok(()) } else { self.error() }
    }

    pub fn expect_end(&self) -> Result<()> {
        if self.at_end() { Ok(()) } else { self.error() }
    }

    /// An identifier, folded to lower case unless quoted.
    pub fn identifier(&mut self) -> Result<String> {
        match self.peek() {
            Some(Token::Word(word)) if word.quote_style.is_none() && is_reserved(&word.value) => self.error(),
            _ => self.label(),
        }
    }

    /// A word that need not be free: the name of an option or a setting.
    pub fn label(&mut self) -> Result<String> {
        match self.peek() {
            Some(Token::Word(word)) => {
                let name = match word.quote_style {
                    Some(_) => word.value.clone(),
                    None => word.value.to_lowercase(),
                };
                self.advance();
                Ok(name)
            }
            _ => self.error(),
        }
    }

    /// A name of up to three parts.
    pub fn name(&mut self) -> Result<Name> {
        let position = self.position();
        let mut parts = vec![self.identifier()?];
        while self.token(&Token::Period) {
            parts.push(self.identifier()?);
        }
        Name::of_parts(parts, position)
    }

    /// `item, item, ...`
    pub fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.token(&Token::Comma) {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// `(item, item, ...)`
    pub fn in_parentheses<T>(&mut self, item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        self.expect_token(&Token::LParen)?;
        let items = self.list(item)?;
        self.expect_token(&Token::RParen)?;
        Ok(items)
    }

    /// A string literal's value, if one comes next.
    pub fn string(&mut self) -> Option<String> {
        let value = match self.peek()? {
            Token::SingleQuotedString(value)
            | Token::EscapedStringLiteral(value)
            | Token::UnicodeStringLiteral(value)
            | Token::NationalStringLiteral(value) => value.clone(),
            Token::DollarQuotedString(quoted) => quoted.value.clone(),
            _ => return None,
        };
        self.advance();
        Some(value)
    }

    pub fn expect_string(&mut self) -> Result<String> {
        match self.string() {
            Some(value) => Ok(value),
            None => self.error(),
        }
    }

    /// A literal or a word as text: what settings and options take.
    pub fn value(&mut self) -> Result<String> {
        if let Some(value) = self.string() {
            return Ok(value);
        }
        let negative = self.token(&Token::Minus);
        let value = match self.peek() {
            Some(Token::Number(digits, _)) => digits.clone(),
            Some(Token::Word(word)) if !negative => word.value.clone(),
            _ => return self.error(),
        };
        self.advance();
        Ok(if negative { format!("-{value}") } else { value })
    }

    pub fn query(&mut self) -> Result<Box<ast::Query>> {
        self.delegate(|parser| parser.parse_query())
    }

    pub fn expression(&mut self) -> Result<ast::Expr> {
        self.delegate(|parser| parser.parse_expr())
    }

    pub fn statement(&mut self) -> Result<ast::Statement> {
        self.delegate(|parser| parser.parse_statement())
    }

    pub fn data_type(&mut self) -> Result<SqlType> {
        let position = self.position();
        let parsed = self.delegate(|parser| parser.parse_data_type())?;
        sql_type(&parsed).map_err(|error| error.at(position))
    }

    /// Lets sqlparser read on from here.
    fn delegate<T: Visit>(&mut self, read: impl FnOnce(&mut Parser) -> Result<T, ParserError>) -> Result<T> {
        let start = self.skip_space(self.index);
        let mut parser = Parser::new(&Postgres)
            .with_recursion_limit(DEPTH_LIMIT)
            .with_tokens_with_locations(self.tokens[start..].to_vec());
        match read(&mut parser) {
            Ok(parsed) => {
                self.index = start + parser.index();
                match reserved_name(&parsed) {
                    Some(position) => Err(self.source.syntax_error(position)),
                    None => Ok(parsed),
                }
            }
            Err(ParserError::RecursionLimitExceeded) => {
                Err(Error::new(SqlState::STATEMENT_TOO_COMPLEX, "stack depth limit exceeded")
                    .with_hint(format!("The statement nests deeper than {DEPTH_LIMIT} levels.")))
            }
            Err(ParserError::ParserError(message) | ParserError::TokenizerError(message)) => {
                if message.contains("found: EOF") {
                    return Err(self.source.syntax_error(self.end_position()));
                }
                let next = self.tokens.get(self.skip_space(start + parser.index().saturating_sub(1)));
                let fallback = next.map_or(self.end_position(), |token| token.span.start.column as usize);
                Err(self.source.syntax_error(column_of(&message).unwrap_or(fallback)))
            }
        }
    }
}

/// sqlparser ends its messages with the place; the column is a position since the spans were rewritten.
fn column_of(message: &str) -> Option<usize> {
    message.rsplit_once("Column: ")?.1.trim_end().parse().ok()
}
