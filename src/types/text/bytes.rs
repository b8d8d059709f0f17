//! Byte strings as text: written in hexadecimal, read in hexadecimal or with octal escapes.

use crate::types::{Error, Result, SqlState};

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Two digits per byte, without a prefix.
pub fn write_hex(bytes: &[u8], out: &mut String) {
    out.reserve(bytes.len() * 2);
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)] as char);
        out.push(DIGITS[usize::from(byte & 15)] as char);
    }
}

pub fn write_bytea(bytes: &[u8], out: &mut String) {
    out.push_str("\\x");
    write_hex(bytes, out);
}

pub fn read_bytea(text: &str) -> Result<Vec<u8>> {
    match text.strip_prefix("\\x") {
        Some(digits) => read_hex(digits),
        None => read_escaped(text.as_bytes()),
    }
}

/// Digits in pairs; white space may stand between the pairs.
pub fn read_hex(text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 2);
    let mut chars = text.chars().filter(|character| !character.is_ascii_whitespace());
    while let Some(high) = chars.next() {
        let low = chars.next().ok_or_else(|| {
            Error::new(SqlState::INVALID_PARAMETER_VALUE, "invalid hexadecimal data: odd number of digits")
        })?;
        bytes.push(digit(high)? << 4 | digit(low)?);
    }
    Ok(bytes)
}

fn digit(character: char) -> Result<u8> {
    let message = || format!("invalid hexadecimal digit: \"{character}\"");
    let value = character.to_digit(16).ok_or_else(|| Error::new(SqlState::INVALID_PARAMETER_VALUE, message()))?;
    Ok(value as u8)
}

/// A backslash starts `\\` or three octal digits; everything else stands for itself.
pub fn read_escaped(text: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        rest = match (first, tail) {
            (b'\\', [b'\\', tail @ ..]) => {
                bytes.push(b'\\');
                tail
            }
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..]) => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                tail
            }
            (b'\\', _) => {
                return Err(Error::new(SqlState::INVALID_TEXT_REPRESENTATION, "invalid input syntax for type bytea"));
            }
            _ => {
                bytes.push(first);
                tail
            }
        };
    }
    Ok(bytes)
}
