//! Exact numbers as text, and what casts need of them: reading with an exponent, rounding half away from zero.

use std::fmt::Write;

use arrow::datatypes::i256;

use crate::types::{Error, Result, SqlState};

/// 10^0 to 10^38.
pub const POWERS: [i128; 39] = {
    let mut powers = [1i128; 39];
    let mut exponent = 1;
    while exponent < powers.len() {
        powers[exponent] = powers[exponent - 1] * 10;
        exponent += 1;
    }
    powers
};

/// Writes `value` / 10^`scale`; `trim` leaves trailing zeros after the point away, and the point with them.
pub fn write_decimal(value: i128, scale: i8, trim: bool, out: &mut String) {
    if scale <= 0 {
        write!(out, "{value}").expect("a String takes everything");
        out.extend(std::iter::repeat_n('0', if value == 0 { 0 } else { usize::from(scale.unsigned_abs()) }));
        return;
    }
    if value < 0 {
        out.push('-');
    }
    let unit = POWERS[scale as usize].unsigned_abs();
    let (whole, fraction) = (value.unsigned_abs() / unit, value.unsigned_abs() % unit);
    let width = scale as usize;
    if trim && fraction == 0 {
        write!(out, "{whole}").expect("a String takes everything");
        return;
    }
    write!(out, "{whole}.{fraction:0width$}").expect("a String takes everything");
    if trim {
        out.truncate(out.trim_end_matches('0').len());
    }
}

/// The same for wide values.
pub fn write_wide_decimal(value: i256, scale: i8, trim: bool, out: &mut String) {
    if let (Some(narrow), true) = (value.to_i128(), scale <= 38) {
        return write_decimal(narrow, scale, trim, out);
    }
    let text = value.to_string();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.as_str()),
    };
    let scale = scale.max(0) as usize;
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    let fraction = if trim { fraction.trim_end_matches('0') } else { fraction };
    out.push_str(sign);
    out.push_str(whole);
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(fraction);
    }
}

/// `value` / `unit` rounded half away from zero.
pub fn round_half_away(value: i128, unit: i128) -> i128 {
    let (quotient, rest) = (value / unit, value % unit);
    match rest.unsigned_abs() >= unit.unsigned_abs() - rest.unsigned_abs() && rest != 0 {
        true if (value < 0) == (unit < 0) => quotient + 1,
        true => quotient - 1,
        false => quotient,
    }
}

/// A value of scale `from` with scale `to`, rounded; None if it does not fit.
pub fn rescale(value: i128, from: i8, to: i8) -> Option<i128> {
    match i32::from(to) - i32::from(from) {
        0 => Some(value),
        up @ 1.. => match POWERS.get(up as usize) {
            Some(power) => value.checked_mul(*power),
            None => Some(0).filter(|_| value == 0),
        },
        down => Some(POWERS.get(down.unsigned_abs() as usize).map_or(0, |&power| round_half_away(value, power))),
    }
}

/// The same for wide values.
pub fn rescale_wide(value: i256, from: i8, to: i8) -> Option<i256> {
    let ten = i256::from_i128(10);
    match i32::from(to) - i32::from(from) {
        0 => Some(value),
        up @ 1.. => ten.checked_pow(up as u32).and_then(|power| value.checked_mul(power)),
        down => {
            let Some(power) = ten.checked_pow(down.unsigned_abs()) else {
                return Some(i256::ZERO);
            };
            Some(round_wide_half_away(value, power))
        }
    }
}

/// `value` / `unit` rounded half away from zero, for wide values; `unit` is positive.
pub fn round_wide_half_away(value: i256, unit: i256) -> i256 {
    let quotient = value.wrapping_div(unit);
    let rest = value.wrapping_rem(unit);
    let distance = if rest < i256::ZERO { rest.wrapping_neg() } else { rest };
    match distance >= unit.wrapping_sub(distance) && rest != i256::ZERO {
        true if value < i256::ZERO => quotient.wrapping_sub(i256::ONE),
        true => quotient.wrapping_add(i256::ONE),
        false => quotient,
    }
}

/// A number as it was written: the digits as an integer, and how many of them stand after the point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Digits {
    pub value: i256,
    pub scale: i32,
}

impl Digits {
    /// Reads `[+-]digits[.digits][e[+-]digits]`; None if it is not of that form, an error if it has too many digits.
    pub fn read(text: &str) -> Result<Option<Digits>> {
        let trimmed = text.trim();
        let (negative, unsigned) = match trimmed.as_bytes().first() {
            Some(b'-') => (true, &trimmed[1..]),
            Some(b'+') => (false, &trimmed[1..]),
            _ => (false, trimmed),
        };
        let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
            Some(at) => (&unsigned[..at], &unsigned[at + 1..]),
            None => (unsigned, "0"),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = whole.bytes().chain(fraction.bytes());
        if whole.len() + fraction.len() == 0 || digits.clone().any(|byte| !byte.is_ascii_digit()) {
            return Ok(None);
        }
        let Ok(exponent) = exponent.strip_prefix('+').unwrap_or(exponent).parse::<i32>() else {
            return Ok(None);
        };
        let ten = i256::from_i128(10);
        let value = digits.clone().try_fold(i256::ZERO, |value, byte| {
            value.checked_mul(ten)?.checked_add(i256::from_i128(i128::from(byte - b'0')))
        });
        let value = value.ok_or_else(overflow)?;
        let value = if negative { value.wrapping_neg() } else { value };
        Ok(Some(Digits { value, scale: fraction.len() as i32 - exponent }))
    }

    /// The number with `scale` digits after the point, rounded; None if it does not fit 256 bits.
    pub fn with_scale(self, scale: i8) -> Option<i256> {
        let ten = i256::from_i128(10);
        match i32::from(scale) - self.scale {
            0 => Some(self.value),
            up @ 1.. if self.value != i256::ZERO => ten.checked_pow(up as u32)?.checked_mul(self.value),
            1.. => Some(i256::ZERO),
            down => Some(match ten.checked_pow(down.unsigned_abs()) {
                Some(power) => round_wide_half_away(self.value, power),
                None => i256::ZERO,
            }),
        }
    }
}

/// Reads a `numeric(precision, scale)`.
pub fn read_numeric(text: &str, precision: u8, scale: i8) -> Result<i256> {
    let digits = Digits::read(text)?.ok_or_else(|| {
        let special = text.trim().to_ascii_lowercase();
        match ["nan", "infinity", "-infinity", "inf", "-inf", "+infinity", "+inf"].contains(&special.as_str()) {
            true => Error::unsupported(format!("numeric {} is not supported", text.trim()))
                .with_hint("Use double precision, which has NaN and infinities."),
            false => Error::new(
                SqlState::INVALID_TEXT_REPRESENTATION,
                format!("invalid input syntax for type numeric: \"{text}\""),
            ),
        }
    })?;
    let value = digits.with_scale(scale).ok_or_else(overflow)?;
    if exceeds(value, precision) {
        return Err(field_overflow(precision, scale));
    }
    Ok(value)
}

/// Whether a value has more than `precision` digits.
pub fn exceeds(value: i256, precision: u8) -> bool {
    let magnitude = if value < i256::ZERO { value.wrapping_neg() } else { value };
    i256::from_i128(10).checked_pow(u32::from(precision)).is_some_and(|limit| magnitude >= limit)
}

pub fn overflow() -> Error {
    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value overflows numeric format")
}

pub fn field_overflow(precision: u8, scale: i8) -> Error {
    let whole = i32::from(precision) - i32::from(scale);
    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "numeric field overflow").with_detail(format!(
        "A field with precision {precision}, scale {scale} must round to an absolute value less than 10^{whole}."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_half_away_from_zero() {
        let cases = [(25, 10, 3), (-25, 10, -3), (24, 10, 2), (-24, 10, -2), (7, 2, 4), (-7, 2, -4), (9, 3, 3)];
        for (value, unit, rounded) in cases {
            assert_eq!(round_half_away(value, unit), rounded, "{value} / {unit}");
        }
    }

    #[test]
    fn reads_exponents_and_writes_scales() {
        let value = read_numeric(" -1.25e1 ", 38, 16).expect("a number").to_i128().expect("it is short");
        let mut out = String::new();
        write_decimal(value, 16, true, &mut out);
        assert_eq!(out, "-12.5");
        out.clear();
        write_decimal(-5, 2, false, &mut out);
        assert_eq!(out, "-0.05");
        assert!(read_numeric("12.345", 4, 2).is_ok());
        assert!(read_numeric("123.45", 4, 2).is_err());
    }
}
