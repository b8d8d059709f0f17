//! PostgreSQL's dialect as sqlparser has it, put right where it reads something else than PostgreSQL.

use std::any::TypeId;

use sqlparser::ast::{BinaryOperator, Expr};
use sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use sqlparser::keywords::{Keyword, RESERVED_FOR_COLUMN_ALIAS};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

/// sqlparser's dialect, but for:
///
/// - `a IS DISTINCT FROM b AND c`, where sqlparser takes `b AND c` for the right side;
/// - `a BETWEEN SYMMETRIC b AND c`, which it does not know;
/// - `SELECT 1 ON CONFLICT ..` and `SELECT 1 FOR UPDATE`, where it takes the word after the 1 for a name;
/// - `DEFAULT 1 NOT NULL`, where it takes `NOT NULL` for a test of the 1.
#[derive(Debug)]
pub struct Postgres;

const SQLPARSER: PostgreSqlDialect = PostgreSqlDialect {};

impl Dialect for Postgres {
    fn dialect(&self) -> TypeId {
        TypeId::of::<PostgreSqlDialect>()
    }

    fn parse_infix(&self, parser: &mut Parser, left: &Expr, _precedence: u8) -> Option<Result<Expr, ParserError>> {
        if let Some(negated) = between_symmetric(parser) {
            return Some(symmetric(parser, left, negated));
        }
        let distinct = [Keyword::IS, Keyword::DISTINCT, Keyword::FROM];
        let not_distinct = [Keyword::IS, Keyword::NOT, Keyword::DISTINCT, Keyword::FROM];
        let negated = parser.parse_keywords(&not_distinct);
        if !negated && !parser.parse_keywords(&distinct) {
            return None;
        }
        let right = parser.parse_subexpr(self.prec_value(Precedence::Is));
        Some(right.map(|right| match negated {
            true => Expr::IsNotDistinctFrom(Box::new(left.clone()), Box::new(right)),
            false => Expr::IsDistinctFrom(Box::new(left.clone()), Box::new(right)),
        }))
    }

    fn is_column_alias(&self, keyword: &Keyword, _parser: &mut Parser) -> bool {
        let needs_as = matches!(
            keyword,
            Keyword::ON
                | Keyword::FOR
                | Keyword::TO
                | Keyword::GRANT
                | Keyword::CREATE
                | Keyword::ARRAY
                | Keyword::RETURNING
        );
        !needs_as && !RESERVED_FOR_COLUMN_ALIAS.contains(keyword)
    }

    fn supports_notnull_operator(&self) -> bool {
        false
    }

    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        SQLPARSER.identifier_quote_style(identifier)
    }

    fn is_delimited_identifier_start(&self, character: char) -> bool {
        SQLPARSER.is_delimited_identifier_start(character)
    }

    fn is_identifier_start(&self, character: char) -> bool {
        SQLPARSER.is_identifier_start(character)
    }

    fn is_identifier_part(&self, character: char) -> bool {
        SQLPARSER.is_identifier_part(character)
    }

    fn is_reserved_for_identifier(&self, keyword: Keyword) -> bool {
        SQLPARSER.is_reserved_for_identifier(keyword)
    }

    fn is_custom_operator_part(&self, character: char) -> bool {
        SQLPARSER.is_custom_operator_part(character)
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        let is_word = |ahead, keyword| matches!(parser.peek_nth_token_ref(ahead).token, Token::Word(ref word) if word.keyword == keyword);
        match is_word(0, Keyword::NOT) && is_word(1, Keyword::NULL) {
            true => Some(Ok(self.prec_unknown())),
            false => SQLPARSER.get_next_precedence(parser),
        }
    }

    fn prec_value(&self, precedence: Precedence) -> u8 {
        SQLPARSER.prec_value(precedence)
    }

    fn supports_unicode_string_literal(&self) -> bool {
        true
    }

    fn supports_string_escape_constant(&self) -> bool {
        true
    }

    fn supports_nested_comments(&self) -> bool {
        true
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn supports_empty_projections(&self) -> bool {
        true
    }

    fn supports_array_typedef_with_brackets(&self) -> bool {
        true
    }

    fn supports_interval_options(&self) -> bool {
        true
    }

    fn supports_insert_table_alias(&self) -> bool {
        true
    }

    fn supports_comma_separated_trim(&self) -> bool {
        true
    }

    fn supports_bitwise_shift_operators(&self) -> bool {
        true
    }

    fn allow_extract_custom(&self) -> bool {
        true
    }

    fn allow_extract_single_quotes(&self) -> bool {
        true
    }
}

/// Reads `[NOT] BETWEEN SYMMETRIC`, if it comes next; whether it is negated.
fn between_symmetric(parser: &mut Parser) -> Option<bool> {
    // SYMMETRIC is no keyword of sqlparser's, so this looks at the words.
    let word = |ahead: usize| match parser.peek_nth_token_ref(ahead).token {
        Token::Word(ref word) if word.quote_style.is_none() => Some(word.value.to_uppercase()),
        _ => None,
    };
    let negated = word(0).as_deref() == Some("NOT");
    let first = usize::from(negated);
    if word(first).as_deref() != Some("BETWEEN") || word(first + 1).as_deref() != Some("SYMMETRIC") {
        return None;
    }
    (0..first + 2).for_each(|_| parser.advance_token());
    Some(negated)
}

/// `b AND c`, in either order.
fn symmetric(parser: &mut Parser, left: &Expr, negated: bool) -> Result<Expr, ParserError> {
    let precedence = Postgres.prec_value(Precedence::Between);
    let low = parser.parse_subexpr(precedence)?;
    parser.expect_keyword(Keyword::AND)?;
    let high = parser.parse_subexpr(precedence)?;
    let between = |low: &Expr, high: &Expr| Expr::Between {
        expr: Box::new(left.clone()),
        negated,
        low: Box::new(low.clone()),
        high: Box::new(high.clone()),
    };
    let op = if negated { BinaryOperator::And } else { BinaryOperator::Or };
    let (upward, downward) = (Box::new(between(&low, &high)), Box::new(between(&high, &low)));
    Ok(Expr::Nested(Box::new(Expr::BinaryOp { left: upward, op, right: downward })))
}
