//! Reads the common spellings of values without detours. Whatever is spelled otherwise, or is no value at all, is left
//! to [`text::parse`](crate::types::text::parse), which knows PostgreSQL's rules and words its errors.

use std::sync::LazyLock;

use arrow::array::{ArrayRef, StringArray};
use chrono::{Datelike, NaiveDate};

use crate::types::text::{self, TextStyle};
use crate::types::{Result, SqlType};

/// Sources have no session: times without a zone are in UTC.
static STYLE: LazyLock<TextStyle> = LazyLock::new(TextStyle::default);

/// Days from 0001-01-01, which chrono counts from, to 1970-01-01.
const EPOCH_FROM_CE: i32 = 719_163;

const DAY_MICROS: i64 = 86_400_000_000;

/// A value of any type from its text, as an array of one row.
pub fn parse(text: &str, sql_type: &SqlType) -> Result<ArrayRef> {
    text::parse(&StringArray::from(vec![text]), sql_type, &STYLE)
}

pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// A float, if its text is a number that neither overflows nor vanishes.
pub fn float8(text: &str) -> Option<f64> {
    let value = text.parse::<f64>().ok().filter(|value| value.is_finite())?;
    (value != 0.0 || is_zero(text)).then_some(value)
}

pub fn float4(text: &str) -> Option<f32> {
    let value = text.parse::<f32>().ok().filter(|value| value.is_finite())?;
    (value != 0.0 || is_zero(text)).then_some(value)
}

fn is_zero(text: &str) -> bool {
    let mantissa = text.split(['e', 'E']).next().unwrap_or(text);
    !mantissa.bytes().any(|byte| byte.is_ascii_digit() && byte != b'0')
}

/// A decimal number in plain digits, rounded half away from zero to `scale`, if it fits `precision`.
pub fn decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let scale = usize::try_from(scale).ok()?;
    if whole.is_empty() || (fraction.is_empty() && digits.len() > whole.len()) {
        return None;
    }
    let kept = &fraction.as_bytes()[..fraction.len().min(scale)];
    let mut value: i128 = 0;
    for &byte in whole.as_bytes().iter().chain(kept) {
        let digit = byte.wrapping_sub(b'0');
        value = (digit < 10).then(|| value.checked_mul(10)?.checked_add(i128::from(digit)))??;
    }
    for _ in kept.len()..scale {
        value = value.checked_mul(10)?;
    }
    let dropped = &fraction.as_bytes()[kept.len()..];
    if !dropped.iter().all(u8::is_ascii_digit) {
        return None;
    }
    if dropped.first().is_some_and(|&digit| digit >= b'5') {
        value += 1;
    }
    (value < 10_i128.checked_pow(u32::from(precision))?).then_some(if negative { -value } else { value })
}

/// Days since the epoch of `YYYY-MM-DD`.
pub fn date(text: &str) -> Option<i32> {
    let bytes = text.as_bytes();
    let dashes = bytes.len() == 10 && bytes[4] == b'-' && bytes[7] == b'-';
    let number = |from: usize, to: usize| digits(&bytes[from..to]).map(|number| number as u32);
    if !dashes {
        return None;
    }
    let year = number(0, 4).filter(|&year| year > 0)?;
    let date = NaiveDate::from_ymd_opt(year as i32, number(5, 7)?, number(8, 10)?)?;
    Some(date.num_days_from_ce() - EPOCH_FROM_CE)
}

/// Microseconds since the epoch of `YYYY-MM-DDTHH:MM:SS[.ffffff][Z|+HH[:MM]]` (or a space for the T), read as a
/// timestamp: a zone is ignored, as PostgreSQL does.
pub fn timestamp(text: &str) -> Option<i64> {
    local_time(text).map(|(micros, _zone)| micros)
}

/// The same as a timestamptz: shifted by its zone, which is UTC if it has none.
pub fn timestamptz(text: &str) -> Option<i64> {
    local_time(text).map(|(micros, zone_minutes)| micros - zone_minutes * 60_000_000)
}

/// The time as written, in microseconds, and the minutes by which its zone is ahead of UTC.
fn local_time(text: &str) -> Option<(i64, i64)> {
    let bytes = text.as_bytes();
    if bytes.len() < 19 || !matches!(bytes[10], b'T' | b' ') || bytes[13] != b':' || bytes[16] != b':' {
        return None;
    }
    let days = i64::from(date(text.get(..10)?)?);
    let below = |from: usize, limit: i64| digits(&bytes[from..from + 2]).filter(|&number| number < limit);
    let (hour, minute, second) = (below(11, 24)?, below(14, 60)?, below(17, 60)?);
    let mut rest = &bytes[19..];
    let mut fraction_micros = 0;
    if let [b'.', after @ ..] = rest {
        let length = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !(1..=6).contains(&length) {
            return None;
        }
        fraction_micros = digits(&after[..length])? * 10_i64.pow(6 - length as u32);
        rest = &after[length..];
    }
    let seconds = hour * 3_600 + minute * 60 + second;
    Some((days * DAY_MICROS + seconds * 1_000_000 + fraction_micros, zone_minutes(rest)?))
}

fn zone_minutes(zone: &[u8]) -> Option<i64> {
    let (sign, hours, minutes) = match zone {
        [] | [b'Z'] => return Some(0),
        [sign, h1, h2] => (sign, [*h1, *h2], *b"00"),
        [sign, h1, h2, b':', m1, m2] => (sign, [*h1, *h2], [*m1, *m2]),
        [sign, h1, h2, m1, m2] => (sign, [*h1, *h2], [*m1, *m2]),
        _ => return None,
    };
    let (hours, minutes) = (digits(&hours)?, digits(&minutes)?);
    let ahead = (hours < 15 && minutes < 60).then_some(hours * 60 + minutes)?;
    match sign {
        b'+' => Some(ahead),
        b'-' => Some(-ahead),
        _ => None,
    }
}

fn digits(bytes: &[u8]) -> Option<i64> {
    let mut number = 0;
    for byte in bytes {
        let digit = byte.wrapping_sub(b'0');
        number = (digit < 10).then(|| number * 10 + i64::from(digit))?;
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact_and_round_half_away() {
        assert_eq!(decimal("12.345", 10, 2), Some(1235));
        assert_eq!(decimal("-12.345", 10, 2), Some(-1235));
        assert_eq!(decimal("12.3449999", 10, 2), Some(1234));
        assert_eq!(decimal("0.1", 38, 16), Some(1_000_000_000_000_000));
        assert_eq!(decimal("99.995", 4, 2), None);
        assert_eq!(decimal("99.99", 4, 2), Some(9999));
        for left_to_parse in ["", "-", ".5", "5.", "1e3", " 1", "1.2x", "NaN", "--1", "+1"] {
            assert_eq!(decimal(left_to_parse, 10, 2), None, "{left_to_parse}");
        }
        let most = "9".repeat(38);
        assert_eq!(decimal(&most, 38, 0), Some(10_i128.pow(38) - 1));
        assert_eq!(decimal(&format!("{most}9"), 38, 0), None);
    }

    #[test]
    fn times_are_read_with_and_without_zones() {
        let noon = 1_735_732_800_000_000;
        for same in ["2025-01-01T12:00:00", "2025-01-01 12:00:00Z", "2025-01-01T12:00:00.000000+00:00"] {
            assert_eq!(timestamptz(same), Some(noon), "{same}");
        }
        assert_eq!(timestamp("2025-01-01T12:00:00+05:30"), Some(noon));
        assert_eq!(timestamptz("2025-01-01T12:00:00+05:30"), Some(noon - 19_800_000_000));
        assert_eq!(timestamptz("2025-01-01T12:00:00.5-0100"), Some(noon + 3_600_500_000));
        assert_eq!(timestamp("1969-12-31T23:59:59.999999"), Some(-1));
        assert_eq!(date("2024-02-29"), Some(19_782));
        for left_to_parse in ["2025-02-29", "0000-01-01", "2025-1-1", "20250101", "12025-01-01", "2025-01-0é"] {
            assert_eq!(date(left_to_parse), None, "{left_to_parse}");
        }
        for left_to_parse in ["1735732800", "2025-01-01T24:00:00", "2025-01-01T12:00:00.1234567", "2025-01-01T12:00"] {
            assert_eq!(timestamp(left_to_parse), None, "{left_to_parse}");
        }
    }

    #[test]
    fn floats_that_vanish_or_overflow_are_left_to_parse() {
        assert_eq!(float8("-0.0e5"), Some(-0.0));
        assert_eq!(float8("1e-400"), None);
        assert_eq!(float8("1e400"), None);
        assert_eq!(float4("1e39"), None);
        assert_eq!(float4("0.1"), Some(0.1));
    }
}
