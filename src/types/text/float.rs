//! Floating-point numbers as text: the fewest digits that read back as the same number, laid out as PostgreSQL does.

use std::fmt::Write;

use crate::types::{Error, Result, SqlState};

/// Exponents from here on are written as such (`1e+15`); C calls it DBL_DIG.
const FLOAT8_DIGITS: i32 = 15;
/// The same for float4 (`1e+06`); C calls it FLT_DIG.
const FLOAT4_DIGITS: i32 = 6;

pub fn write_float8(value: f64, out: &mut String) {
    match special(value) {
        Some(name) => out.push_str(name),
        None => lay_out(&format!("{value:e}"), FLOAT8_DIGITS, out),
    }
}

pub fn write_float4(value: f32, out: &mut String) {
    match special(f64::from(value)) {
        Some(name) => out.push_str(name),
        None => lay_out(&format!("{value:e}"), FLOAT4_DIGITS, out),
    }
}

fn special(value: f64) -> Option<&'static str> {
    match value {
        _ if value.is_nan() => Some("NaN"),
        f64::INFINITY => Some("Infinity"),
        f64::NEG_INFINITY => Some("-Infinity"),
        _ => None,
    }
}

/// Rust writes the shortest digits as `d.ddde±x`; PostgreSQL writes exponents from -4 below `digits` without one.
fn lay_out(scientific: &str, digits: i32, out: &mut String) {
    let (mantissa, exponent) = scientific.split_once('e').expect("Rust writes an exponent");
    let exponent: i32 = exponent.parse().expect("Rust's exponents are integers");
    let mantissa = match mantissa.strip_prefix('-') {
        Some(rest) => {
            out.push('-');
            rest
        }
        None => mantissa,
    };
    if !(-4..digits).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        write!(out, "{mantissa}e{sign}{:02}", exponent.abs()).expect("a String takes everything");
        return;
    }
    let (head, tail) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if exponent < 0 {
        out.push_str("0.");
        out.extend(std::iter::repeat_n('0', (-exponent - 1) as usize));
        out.push_str(head);
        out.push_str(tail);
        return;
    }
    let whole = exponent as usize;
    out.push_str(head);
    if tail.len() <= whole {
        out.push_str(tail);
        out.extend(std::iter::repeat_n('0', whole - tail.len()));
    } else {
        out.push_str(&tail[..whole]);
        out.push('.');
        out.push_str(&tail[whole..]);
    }
}

pub fn read_float8(text: &str) -> Result<f64> {
    let trimmed = text.trim();
    let value = read(trimmed).ok_or_else(|| invalid("double precision", text))?;
    match value.is_infinite() && !names_infinity(trimmed) || value == 0.0 && has_digits(trimmed) {
        true => Err(out_of_range("double precision", text)),
        false => Ok(value),
    }
}

pub fn read_float4(text: &str) -> Result<f32> {
    let trimmed = text.trim();
    read(trimmed).ok_or_else(|| invalid("real", text))?;
    let value: f32 = trimmed.parse().map_err(|_| invalid("real", text))?;
    match value.is_infinite() && !names_infinity(trimmed) || value == 0.0 && has_digits(trimmed) {
        true => Err(out_of_range("real", text)),
        false => Ok(value),
    }
}

fn read(trimmed: &str) -> Option<f64> {
    trimmed.parse().ok()
}

fn names_infinity(trimmed: &str) -> bool {
    trimmed.bytes().any(|byte| byte.eq_ignore_ascii_case(&b'i'))
}

/// Whether a digit other than 0 stands before the exponent: such a number is not zero.
fn has_digits(trimmed: &str) -> bool {
    let mantissa = trimmed.split(['e', 'E']).next().unwrap_or("");
    mantissa.bytes().any(|byte| (b'1'..=b'9').contains(&byte))
}

fn invalid(type_name: &str, text: &str) -> Error {
    let message = format!("invalid input syntax for type {type_name}: \"{text}\"");
    Error::new(SqlState::INVALID_TEXT_REPRESENTATION, message)
}

fn out_of_range(type_name: &str, text: &str) -> Error {
    let message = format!("\"{}\" is out of range for type {type_name}", text.trim());
    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortest_digits_laid_out_as_postgresql_does() {
        let cases = [
            (1.0, "1"),
            (100.0, "100"),
            (0.1, "0.1"),
            (0.30000000000000004, "0.30000000000000004"),
            (1e14, "100000000000000"),
            (1e15, "1e+15"),
            (1e20, "1e+20"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (-1.5e-300, "-1.5e-300"),
            (123456789012345.6, "123456789012345.6"),
            (-0.0, "-0"),
        ];
        for (value, text) in cases {
            let mut out = String::new();
            write_float8(value, &mut out);
            assert_eq!(out, text);
        }
        let mut out = String::new();
        write_float4(1e6, &mut out);
        assert_eq!(out, "1e+06");
    }
}
