//! Patterns: regular expressions, and what LIKE and SIMILAR TO are turned into.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, BooleanArray};
use regex::{Regex, RegexBuilder};

use super::definition::{Call, Function, Notation, Overload};
use super::value::map2;
use crate::types::SqlType::{Bool, Text};
use crate::types::{Error, Result, SqlState};

/// A compiled pattern may take this much memory.
const PATTERN_BYTES_MAX: usize = 10 << 20;

pub fn operators() -> Vec<Function> {
    let matching =
        |name, kernel| Function::new(name, vec![Overload::of([Text, Text], Bool, kernel)]).written(Notation::Infix);
    vec![
        matching("~", |call| matches(call, "", true)),
        matching("~*", |call| matches(call, "i", true)),
        matching("!~", |call| matches(call, "", false)),
        matching("!~*", |call| matches(call, "i", false)),
        Function::new("like_escape", vec![Overload::of([Text, Text], Text, |call| map2(call, like_escape))]),
        Function::new("similar_to_escape", vec![Overload::of([Text, Text], Text, |call| map2(call, similar_to_regex))]),
    ]
}

/// The last pattern that was compiled: mostly there is only one.
#[derive(Default)]
pub struct Patterns {
    last: Option<(String, String, Regex)>,
}

impl Patterns {
    pub fn get(&mut self, pattern: &str, flags: &str) -> Result<&Regex> {
        let known = self.last.as_ref().is_some_and(|(p, f, _)| p == pattern && f == flags);
        if !known {
            let regex = compile(pattern, flags)?;
            self.last = Some((pattern.to_string(), flags.to_string(), regex));
        }
        let (_, _, regex) = self.last.as_ref().expect("it has just been set");
        Ok(regex)
    }
}

/// Compiles a regular expression. PostgreSQL's dialect and Rust's agree on what is common.
pub fn compile(pattern: &str, flags: &str) -> Result<Regex> {
    let mut builder = RegexBuilder::new(pattern);
    // In PostgreSQL, a dot matches a newline unless a flag says otherwise.
    builder.size_limit(PATTERN_BYTES_MAX).dot_matches_new_line(true);
    for flag in flags.chars() {
        match flag {
            'i' => builder.case_insensitive(true),
            'c' => builder.case_insensitive(false),
            'x' => builder.ignore_whitespace(true),
            'n' | 'm' => builder.multi_line(true).dot_matches_new_line(false),
            's' => builder.dot_matches_new_line(true),
            'g' => &mut builder,
            other => {
                let message = format!("invalid regular expression option: \"{other}\"");
                return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
            }
        };
    }
    builder.build().map_err(|error| {
        let reason = error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_string();
        Error::new(SqlState::INVALID_REGULAR_EXPRESSION, format!("invalid regular expression: {reason}"))
    })
}

fn matches(call: &Call, flags: &str, wanted: bool) -> Result<ArrayRef> {
    let (texts, patterns) = (call.array(0).as_string::<i32>(), call.array(1).as_string::<i32>());
    let mut compiled = Patterns::default();
    let rows = texts.iter().zip(patterns).map(|pair| match pair {
        (Some(text), Some(pattern)) => Ok(Some(compiled.get(pattern, flags)?.is_match(text) == wanted)),
        _ => Ok(None),
    });
    Ok(Arc::new(rows.collect::<Result<BooleanArray>>()?))
}

/// A LIKE pattern with another escape character, rewritten to use the backslash.
fn like_escape(pattern: &str, escape: &str) -> Result<String> {
    let escape = escape_character(escape)?;
    let mut rewritten = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(character) = chars.next() {
        if Some(character) == escape {
            let escaped = chars.next().ok_or_else(|| {
                Error::new(SqlState::INVALID_ESCAPE_SEQUENCE, "LIKE pattern must not end with escape character")
            })?;
            rewritten.extend(['\\', escaped]);
        } else if character == '\\' {
            rewritten.push_str("\\\\");
        } else {
            rewritten.push(character);
        }
    }
    Ok(rewritten)
}

fn escape_character(escape: &str) -> Result<Option<char>> {
    let mut chars = escape.chars();
    let first = chars.next();
    match chars.next() {
        None => Ok(first),
        Some(_) => Err(Error::new(SqlState::INVALID_ESCAPE_SEQUENCE, "invalid escape string")
            .with_hint("Escape string must be empty or one character.")),
    }
}

/// A SIMILAR TO pattern as a regular expression over the whole text.
pub fn similar_to_regex(pattern: &str, escape: &str) -> Result<String> {
    let escape = escape_character(escape)?;
    let mut regex = String::from("^(?:");
    let (mut escaped, mut in_class) = (false, false);
    for character in pattern.chars() {
        if escaped {
            regex.push_str(&regex::escape(&character.to_string()));
            escaped = false;
            continue;
        }
        match character {
            _ if Some(character) == escape => escaped = true,
            ']' if in_class => {
                in_class = false;
                regex.push(']');
            }
            _ if in_class => regex.push(character),
            '[' => {
                in_class = true;
                regex.push('[');
            }
            '%' => regex.push_str(".*"),
            '_' => regex.push('.'),
            '(' => regex.push_str("(?:"),
            '\\' | '.' | '^' | '$' => regex.extend(['\\', character]),
            _ => regex.push(character),
        }
    }
    regex.push_str(")$");
    Ok(regex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_sql_become_patterns_of_regex() {
        let matches = |pattern: &str, text: &str| {
            compile(&similar_to_regex(pattern, "\\").expect("a pattern"), "").expect("a regex").is_match(text)
        };
        assert!(matches("a%", "abc"));
        assert!(matches("(a|b)_", "bx"));
        assert!(!matches("a", "ab"));
        assert!(!matches("a.c", "abc"));
        assert_eq!(like_escape("a#%b\\", "#").expect("a pattern"), "a\\%b\\\\");
    }
}
