//! Arrays as text: `{1,NULL,"a b"}`.

use crate::types::{Error, Result, SqlState};

/// Whether an element's text must be quoted inside braces.
pub fn needs_quotes(text: &str) -> bool {
    let special = |byte: u8| matches!(byte, b'{' | b'}' | b',' | b'"' | b'\\') || byte.is_ascii_whitespace();
    text.is_empty() || text.eq_ignore_ascii_case("null") || text.bytes().any(special)
}

/// Quotes what was appended to `out` since `start`, if it must be.
pub fn quote_since(start: usize, out: &mut String) {
    if !needs_quotes(&out[start..]) {
        return;
    }
    let text = out.split_off(start);
    out.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
    out.push('"');
}

/// The same for the fields of a record, where parentheses are special and quotes are doubled.
pub fn quote_field_since(start: usize, out: &mut String) {
    let special = |byte: u8| matches!(byte, b'(' | b')' | b',' | b'"' | b'\\') || byte.is_ascii_whitespace();
    if !out[start..].is_empty() && !out[start..].bytes().any(special) {
        return;
    }
    let text = out.split_off(start);
    out.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            out.push(character);
        }
        out.push(character);
    }
    out.push('"');
}

/// The texts of an array's elements, NULL as None; elements of nested arrays keep their braces.
pub fn split(text: &str) -> Result<Vec<Option<String>>> {
    let malformed = || {
        let message = format!("malformed array literal: \"{text}\"");
        Error::new(SqlState::INVALID_TEXT_REPRESENTATION, message)
    };
    let trimmed = text.trim();
    let body = trimmed.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).ok_or_else(malformed)?;
    if body.trim().is_empty() {
        return Ok(vec![]);
    }
    let mut elements = vec![];
    let mut rest = body;
    loop {
        let (element, after) = take_element(rest).ok_or_else(malformed)?;
        elements.push(element);
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None if after.is_empty() => return Ok(elements),
            None => return Err(malformed()),
        }
    }
}

/// The first element and what follows it.
fn take_element(text: &str) -> Option<(Option<String>, &str)> {
    let text = text.trim_start();
    if text.starts_with('{') {
        let end = closing_brace(text)?;
        return Some((Some(text[..end].to_string()), text[end..].trim_start()));
    }
    let mut element = String::new();
    let mut chars = text.char_indices();
    if text.starts_with('"') {
        chars.next();
        while let Some((at, character)) = chars.next() {
            match character {
                '"' => return Some((Some(element), text[at + 1..].trim_start())),
                '\\' => element.push(chars.next()?.1),
                _ => element.push(character),
            }
        }
        return None;
    }
    let mut escaped = false;
    let end = loop {
        match chars.next() {
            None => break text.len(),
            Some((at, ',')) => break at,
            Some((_, '{' | '}' | '"')) => return None,
            Some((_, '\\')) => {
                escaped = true;
                element.push(chars.next()?.1);
            }
            Some((_, character)) => element.push(character),
        }
    };
    let trimmed = element.trim_end();
    match trimmed {
        "" => None,
        _ if trimmed.eq_ignore_ascii_case("null") && !escaped => Some((None, &text[end..])),
        _ => Some((Some(trimmed.to_string()), &text[end..])),
    }
}

/// The end of the braces that open at the start.
fn closing_brace(text: &str) -> Option<usize> {
    let (mut depth, mut quoted) = (0, false);
    let mut chars = text.char_indices();
    while let Some((at, character)) = chars.next() {
        match character {
            '\\' => drop(chars.next()),
            '"' => quoted = !quoted,
            '{' if !quoted => depth += 1,
            '}' if !quoted => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at + 1);
        }
    }
    None
}
