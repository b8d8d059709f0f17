//! Reads dates and timestamps by a pattern, as leniently as PostgreSQL: blanks are skipped, literals match anything.

use super::pattern::{DAYS, MONTHS, Token, tokens};
use crate::sql::function::value::Date;
use crate::types::text::{MICROS_PER_DAY, Zone, days_in_month, days_of_date};
use crate::types::{Error, Result, SqlState};

/// What has been read.
#[derive(Default)]
struct Read {
    year: Option<i64>,
    month: Option<u32>,
    day: Option<u32>,
    day_of_year: Option<i64>,
    julian: Option<i64>,
    hour: i64,
    twelve: bool,
    afternoon: Option<bool>,
    before_christ: bool,
    minute: i64,
    second: i64,
    micros: i64,
    seconds_of_day: Option<i64>,
    zone_hours: Option<i64>,
    zone_minutes: i64,
}

pub fn read_date(text: &str, pattern: &str) -> Result<Date> {
    let read = Read::of(text, pattern)?;
    i32::try_from(read.days(text)?).map(Date).map_err(|_| out_of_range(text))
}

/// Microseconds since the epoch; without an offset in the text, on the zone's wall clock.
pub fn read_moment(text: &str, pattern: &str, zone: &Zone) -> Result<i64> {
    let read = Read::of(text, pattern)?;
    let local = read.days(text)?.checked_mul(MICROS_PER_DAY).and_then(|date| date.checked_add(read.clock(text).ok()?));
    read.clock(text)?;
    let local = local.ok_or_else(|| out_of_range(text))?;
    Ok(match read.zone_hours {
        Some(hours) => {
            let minutes = if hours < 0 { -read.zone_minutes } else { read.zone_minutes };
            local - (hours * 60 + minutes) * 60_000_000
        }
        None => zone.instant_of_local(local),
    })
}

fn out_of_range(text: &str) -> Error {
    Error::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("date/time field value out of range: \"{text}\""))
}

/// How many digits a field has at most; more are the next field's, if that is a number too.
fn width(name: &str) -> usize {
    match name {
        "YYYY" | "IYYY" => 4,
        "YYY" | "DDD" | "MS" | "FF3" => 3,
        "Y" | "D" | "Q" | "W" | "FF1" => 1,
        "SSSS" | "SSSSS" => 5,
        "US" | "FF6" => 6,
        "FF4" => 4,
        "FF5" => 5,
        "J" => 7,
        _ => 2,
    }
}

fn is_number(name: &str) -> bool {
    !matches!(
        name,
        "MONTH" | "MON" | "DAY" | "DY" | "AM" | "PM" | "A.M." | "P.M." | "BC" | "AD" | "B.C." | "A.D." | "RM" | "TZ"
    )
}

impl Read {
    fn of(text: &str, pattern: &str) -> Result<Read> {
        let mut read = Read::default();
        let tokens = tokens(pattern);
        let mut rest = text;
        for (place, token) in tokens.iter().enumerate() {
            match token {
                Token::Literal(literal) => rest = skip_literal(rest, literal),
                Token::Field { name, fill, .. } => {
                    rest = rest.trim_start();
                    if rest.is_empty() {
                        break;
                    }
                    let next_is_number =
                        matches!(tokens.get(place + 1), Some(Token::Field { name, .. }) if is_number(name));
                    let limit = if next_is_number && !fill { width(name) } else { usize::MAX };
                    rest = read.field(name, rest, limit)?;
                }
            }
        }
        Ok(read)
    }

    fn field<'a>(&mut self, name: &str, rest: &'a str, limit: usize) -> Result<&'a str> {
        match name {
            "MONTH" | "MON" => {
                let (place, rest) = name_of(rest, &MONTHS, name)?;
                self.month = Some(place as u32 + 1);
                return Ok(rest);
            }
            "DAY" | "DY" => return Ok(name_of(rest, &DAYS, name)?.1),
            "AM" | "PM" | "A.M." | "P.M." => {
                let (second, rest) = half(rest, ["am", "pm"], name)?;
                (self.afternoon, self.twelve) = (Some(second), true);
                return Ok(rest);
            }
            "BC" | "AD" | "B.C." | "A.D." => {
                let (second, rest) = half(rest, ["ad", "bc"], name)?;
                self.before_christ = second;
                return Ok(rest);
            }
            "TZ" => return Ok(rest.trim_start_matches(|letter: char| letter.is_ascii_alphabetic())),
            _ => {}
        }
        let limit = match name {
            "MS" | "FF1" | "FF2" | "FF3" => limit.min(3),
            "US" | "FF4" | "FF5" | "FF6" => limit.min(6),
            _ => limit,
        };
        let (value, digits, rest) = integer(rest, limit, name)?;
        self.set(name, value, digits)?;
        Ok(rest)
    }

    fn set(&mut self, name: &str, value: i64, digits: usize) -> Result<()> {
        let fraction = |places: u32| value * 10i64.pow(places.saturating_sub(digits as u32)) * 10i64.pow(6 - places);
        match name {
            "YYYY" | "IYYY" | "Y,YYY" => self.year = Some(if digits > 2 { value } else { short_year(value, digits) }),
            "YYY" | "YY" | "Y" | "IYY" | "IY" | "I" => self.year = Some(short_year(value, digits)),
            "MM" => self.month = Some(u32::try_from(value).unwrap_or(0)),
            "DD" => self.day = Some(u32::try_from(value).unwrap_or(0)),
            "DDD" => self.day_of_year = Some(value),
            "J" => self.julian = Some(value),
            "HH24" => self.hour = value,
            "HH" | "HH12" => (self.hour, self.twelve) = (value, true),
            "MI" => self.minute = value,
            "SS" => self.second = value,
            "SSSS" | "SSSSS" => self.seconds_of_day = Some(value),
            "MS" | "FF1" | "FF2" | "FF3" => self.micros = fraction(3),
            "US" | "FF4" | "FF5" | "FF6" => self.micros = fraction(6),
            "TZH" => self.zone_hours = Some(value),
            "TZM" => self.zone_minutes = value,
            "OF" => self.zone_hours = Some(value),
            "D" | "ID" | "Q" | "W" | "WW" | "IW" | "CC" | "RM" | "IDDD" => {}
            other => return Err(Error::unsupported(format!("field \"{other}\" can not be read"))),
        }
        Ok(())
    }

    fn days(&self, text: &str) -> Result<i64> {
        if let Some(julian) = self.julian {
            return Ok(julian - 2_440_588);
        }
        let year = match (self.year, self.before_christ) {
            (Some(year), true) => 1 - year,
            (Some(year), false) => year,
            (None, _) => 0,
        };
        if let Some(day) = self.day_of_year {
            return Ok(days_of_date(year, 1, 1) + day - 1);
        }
        let (month, day) = (self.month.unwrap_or(1), self.day.unwrap_or(1));
        if !(1..=12).contains(&month) || !(1..=days_in_month(year, month)).contains(&day) {
            return Err(out_of_range(text));
        }
        Ok(days_of_date(year, month, day))
    }

    fn clock(&self, text: &str) -> Result<i64> {
        if let Some(seconds) = self.seconds_of_day {
            return Ok(seconds * 1_000_000 + self.micros);
        }
        let hour = match self.twelve {
            true if !(1..=12).contains(&self.hour) => {
                let message = format!("hour \"{}\" is invalid for the 12-hour clock", self.hour);
                return Err(Error::new(SqlState::INVALID_DATETIME_FORMAT, message)
                    .with_hint("Use the 24-hour clock, or give an hour between 1 and 12."));
            }
            true => self.hour % 12 + if self.afternoon == Some(true) { 12 } else { 0 },
            false => self.hour,
        };
        if hour > 23 || self.minute > 59 || self.second > 59 {
            return Err(out_of_range(text));
        }
        Ok((hour * 3600 + self.minute * 60 + self.second) * 1_000_000 + self.micros)
    }
}

/// The year nearest to 2020 that ends in these digits.
fn short_year(value: i64, digits: usize) -> i64 {
    match digits {
        1 | 2 if value < 70 => value + 2000,
        1 | 2 => value + 1900,
        3 if value >= 520 => value + 1000,
        3 => value + 2000,
        _ => value,
    }
}

/// Separators match any run of separators; other literals match one character each.
fn skip_literal<'a>(rest: &'a str, literal: &str) -> &'a str {
    let mut rest = rest;
    for wanted in literal.chars() {
        if wanted.is_whitespace() {
            rest = rest.trim_start();
            continue;
        }
        let separator = !wanted.is_alphanumeric();
        let found = rest.trim_start().chars().next();
        match found {
            Some(found) if separator && found.is_alphanumeric() => {}
            Some(found) => rest = &rest.trim_start()[found.len_utf8()..],
            None => return rest,
        }
    }
    rest
}

fn integer<'a>(rest: &'a str, limit: usize, name: &str) -> Result<(i64, usize, &'a str)> {
    let signed = matches!(name, "YYYY" | "TZH" | "OF") && rest.starts_with(['-', '+']);
    let body = &rest[usize::from(signed)..];
    let digits = body.bytes().take_while(u8::is_ascii_digit).count().min(limit);
    let invalid = || {
        let piece: String = rest.chars().take(width(name).max(1)).collect();
        Error::new(SqlState::INVALID_DATETIME_FORMAT, format!("invalid value \"{piece}\" for \"{name}\""))
            .with_detail("Value must be an integer.")
    };
    let value: i64 = body[..digits].parse().map_err(|_| invalid())?;
    let value = if rest.starts_with('-') && signed { -value } else { value };
    Ok((value, digits, &body[digits..]))
}

fn name_of<'a>(rest: &'a str, names: &[&str], field: &str) -> Result<(usize, &'a str)> {
    let starts = |name: &str| rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    let short = matches!(field, "MON" | "DY");
    let found = names.iter().enumerate().find_map(|(place, name)| {
        let name = if short { &name[..3] } else { name };
        starts(name).then(|| (place, &rest[name.len()..]))
    });
    found.ok_or_else(|| {
        let piece: String = rest.chars().take_while(|letter| letter.is_alphanumeric()).collect();
        Error::new(SqlState::INVALID_DATETIME_FORMAT, format!("invalid value \"{piece}\" for \"{field}\""))
            .with_detail("The given value did not match any of the allowed values for this field.")
    })
}

fn half<'a>(rest: &'a str, names: [&str; 2], field: &str) -> Result<(bool, &'a str)> {
    let dotted = |name: &str| name.chars().flat_map(|letter| [letter, '.']).collect::<String>();
    for (place, name) in names.iter().enumerate() {
        for spelled in [dotted(name), name.to_string()] {
            if rest.get(..spelled.len()).is_some_and(|start| start.eq_ignore_ascii_case(&spelled)) {
                return Ok((place == 1, &rest[spelled.len()..]));
            }
        }
    }
    let piece: String = rest.chars().take(2).collect();
    Err(Error::new(SqlState::INVALID_DATETIME_FORMAT, format!("invalid value \"{piece}\" for \"{field}\""))
        .with_detail("The given value did not match any of the allowed values for this field."))
}
