//! Dates and times as text: ISO out; ISO and the common American and European forms in (DateStyle `ISO, MDY`).

use std::fmt::Write;

use super::calendar::{Clock, days_in_month, days_of_date};
use super::interval::{MICROS_PER_DAY, write_clock};
use super::zone::{Zone, read_offset};
use crate::types::{Error, Result, SqlState};

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

/// Writes `yyyy-mm-dd`; [`write_era`] belongs behind what follows.
pub fn write_date(year: i64, month: u32, day: u32, out: &mut String) {
    let shown = if year > 0 { year } else { 1 - year };
    write!(out, "{shown:04}-{month:02}-{day:02}").expect("a String takes everything");
}

pub fn write_era(year: i64, out: &mut String) {
    if year <= 0 {
        out.push_str(" BC");
    }
}

/// Writes microseconds since the epoch, with the zone's offset if one is given.
pub fn write_timestamp(micros: i64, zone: Option<&Zone>, out: &mut String) {
    match micros {
        i64::MAX => return out.push_str("infinity"),
        i64::MIN => return out.push_str("-infinity"),
        _ => {}
    }
    let offset = zone.map(|zone| zone.offset_at(micros));
    let clock = Clock::of_micros(micros.saturating_add(i64::from(offset.unwrap_or(0)) * 1_000_000));
    write_date(clock.year, clock.month, clock.day, out);
    out.push(' ');
    write_clock(clock.micros, out);
    if let Some(seconds) = offset {
        write_offset(seconds, out);
    }
    write_era(clock.year, out);
}

fn write_offset(seconds: i32, out: &mut String) {
    let (sign, distance) = (if seconds < 0 { '-' } else { '+' }, seconds.abs());
    write!(out, "{sign}{:02}", distance / 3600).expect("a String takes everything");
    if distance % 3600 != 0 {
        write!(out, ":{:02}", distance / 60 % 60).expect("a String takes everything");
    }
    if distance % 60 != 0 {
        write!(out, ":{:02}", distance % 60).expect("a String takes everything");
    }
}

/// A point in time as it was written.
#[derive(Clone, Copy, Debug)]
pub enum Moment {
    Infinity,
    NegativeInfinity,
    At { days: Option<i64>, micros: Option<i64>, zone: Option<Zone> },
}

/// Why a text is not a point in time.
enum Fault {
    Syntax,
    Range,
    Refused(Error),
}

/// Reads a date, a time of day or both; `type_name` is what errors call it.
pub fn read_moment(text: &str, type_name: &str) -> Result<Moment> {
    let mut draft = Draft { only_clock: type_name == "time", ..Draft::default() };
    match draft.read(text).and_then(|()| draft.finish()) {
        Ok(moment) => Ok(moment),
        Err(Fault::Refused(error)) => Err(error),
        Err(Fault::Syntax) => {
            let message = format!("invalid input syntax for type {type_name}: \"{text}\"");
            Err(Error::new(SqlState::INVALID_DATETIME_FORMAT, message))
        }
        Err(Fault::Range) => {
            let message = format!("date/time field value out of range: \"{text}\"");
            Err(Error::new(SqlState::DATETIME_FIELD_OVERFLOW, message))
        }
    }
}

/// The fields that have been read so far.
#[derive(Default)]
struct Draft {
    year: Option<i64>,
    month: Option<u32>,
    day: Option<u32>,
    micros: Option<i64>,
    zone: Option<Zone>,
    before_christ: bool,
    infinite: Option<Moment>,
    after_t: bool,
    /// Six digits are a time of day, not a date.
    only_clock: bool,
}

impl Draft {
    fn read(&mut self, text: &str) -> Result<(), Fault> {
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(Fault::Syntax);
        }
        while let Some(first) = rest.chars().next() {
            let signed = matches!(first, '+' | '-');
            let taken = match first {
                ' ' | '\t' | '\n' | ',' => 1,
                _ if first.is_ascii_digit() => self.read_number(rest)?,
                _ if first.is_ascii_alphabetic() || signed && rest[1..].starts_with(['i', 'I']) => {
                    self.read_word(rest)?
                }
                _ if signed && self.micros.is_some() => self.read_zone_offset(rest)?,
                _ => return Err(Fault::Syntax),
            };
            rest = &rest[taken..];
        }
        Ok(())
    }

    fn read_number(&mut self, rest: &str) -> Result<usize, Fault> {
        let digits = run(rest, |byte| byte.is_ascii_digit());
        let next = rest.as_bytes().get(digits).copied();
        match next {
            Some(b':') => {
                let length = run(rest, |byte| byte.is_ascii_digit() || byte == b':' || byte == b'.');
                self.set_clock(&rest[..length])?;
                return Ok(length);
            }
            Some(separator @ (b'-' | b'/' | b'.')) if !self.after_t && self.day.is_none() => {
                return self.read_date(rest, separator as char);
            }
            _ => {}
        }
        let number = &rest[..digits];
        let value: i64 = number.parse().map_err(|_| Fault::Range)?;
        match digits {
            _ if self.after_t => {
                let length = run(rest, |byte| byte.is_ascii_digit() || byte == b'.');
                self.set_compact_clock(&rest[..length])?;
                return Ok(length);
            }
            8 if self.year.is_none() => self.set_date(value / 10_000, value / 100 % 100, value % 100)?,
            4 | 6 if self.only_clock && self.micros.is_none() => self.set_compact_clock(number)?,
            6 if self.year.is_none() && self.month.is_none() => {
                self.set_date(full_year(value / 10_000, 2), value / 100 % 100, value % 100)?;
            }
            6 if self.micros.is_none() => self.set_compact_clock(number)?,
            9.. => return Err(Fault::Range),
            1..=2 if self.day.is_none() => self.day = Some(value as u32),
            _ if self.year.is_none() => self.year = Some(full_year(value, digits)),
            _ => return Err(Fault::Syntax),
        }
        Ok(digits)
    }

    /// `y-m-d`, `m/d/y`, `d-mon-y` and `y-mon-d`.
    fn read_date(&mut self, rest: &str, separator: char) -> Result<usize, Fault> {
        let mut parts: [&str; 3] = [""; 3];
        let mut length = 0;
        for (place, part) in parts.iter_mut().enumerate() {
            if place > 0 {
                if !rest[length..].starts_with(separator) {
                    return Err(Fault::Syntax);
                }
                length += 1;
            }
            let start = length;
            length += match rest[start..].starts_with(|first: char| first.is_ascii_digit()) {
                true => run(&rest[start..], |byte| byte.is_ascii_digit()),
                false => run(&rest[start..], |byte| byte.is_ascii_alphabetic()),
            };
            *part = &rest[start..length];
        }
        let [first, second, third] = parts;
        let number = |part: &str| part.parse::<i64>().map_err(|_| Fault::Syntax);
        let (year, month, day) = match month_of(second) {
            Some(month) if first.len() > 2 => (first, i64::from(month), number(third)?),
            Some(month) => (third, i64::from(month), number(first)?),
            None if first.len() > 2 => (first, number(second)?, number(third)?),
            None if separator == '.' => (third, number(second)?, number(first)?),
            None => (third, number(first)?, number(second)?),
        };
        self.set_date(full_year(number(year)?, year.len()), month, day)?;
        Ok(length)
    }

    fn read_word(&mut self, rest: &str) -> Result<usize, Fault> {
        let skip = usize::from(rest.starts_with(['+', '-']));
        let letters = skip + run(&rest[skip..], |byte| byte.is_ascii_alphabetic());
        let word = rest[..letters].to_ascii_lowercase();
        match word.as_str() {
            "infinity" | "+infinity" | "inf" | "+inf" => self.infinite = Some(Moment::Infinity),
            "-infinity" | "-inf" => self.infinite = Some(Moment::NegativeInfinity),
            "epoch" => {
                self.set_date(1970, 1, 1)?;
                (self.micros, self.zone) = (Some(0), Some(Zone::UTC));
            }
            "now" | "today" | "tomorrow" | "yesterday" => {
                let message = format!("the special value \"{word}\" is not supported");
                let hint = "Use now(), current_date or arithmetic on them.";
                return Err(Fault::Refused(Error::unsupported(message).with_hint(hint)));
            }
            "allballs" => (self.micros, self.zone) = (Some(0), Some(Zone::UTC)),
            "t" if self.day.is_some() || rest[letters..].starts_with(|next: char| next.is_ascii_digit()) => {
                self.after_t = true;
            }
            "bc" => self.before_christ = true,
            "ad" => {}
            "am" | "pm" => self.set_half_day(word == "pm")?,
            _ if month_of(&word).is_some() && self.month.is_none() => self.month = month_of(&word),
            _ if WEEKDAYS.iter().any(|weekday| word.len() >= 3 && weekday.starts_with(&word)) => {}
            _ => return self.read_zone_name(rest),
        }
        Ok(letters)
    }

    fn read_zone_name(&mut self, rest: &str) -> Result<usize, Fault> {
        let length = run(rest, |byte| byte.is_ascii_alphanumeric() || b"/_+-:".contains(&byte));
        if self.zone.is_some() || self.day.is_none() && self.micros.is_none() {
            return Err(Fault::Syntax);
        }
        self.zone = Some(Zone::of_name(&rest[..length]).map_err(|error| match rest[..length].contains('/') {
            true => Fault::Refused(error),
            false => Fault::Syntax,
        })?);
        Ok(length)
    }

    fn read_zone_offset(&mut self, rest: &str) -> Result<usize, Fault> {
        let length = 1 + run(&rest[1..], |byte| byte.is_ascii_digit() || byte == b':');
        if length == 1 {
            return Err(Fault::Syntax);
        }
        let seconds = read_offset(&rest[..length]).ok_or_else(|| {
            let message = format!("time zone displacement out of range: \"{}\"", &rest[..length]);
            Fault::Refused(Error::new(SqlState::INVALID_TIME_ZONE, message))
        })?;
        self.zone = Some(Zone::fixed(seconds));
        Ok(length)
    }

    fn set_date(&mut self, year: i64, month: i64, day: i64) -> Result<(), Fault> {
        if self.year.is_some() || self.day.is_some() {
            return Err(Fault::Syntax);
        }
        let month = u32::try_from(month).ok().filter(|month| (1..=12).contains(month)).ok_or(Fault::Range)?;
        (self.year, self.month, self.day) = (Some(year), Some(month), Some(day.try_into().map_err(|_| Fault::Range)?));
        Ok(())
    }

    /// `h:mm[:ss[.f]]`.
    fn set_clock(&mut self, text: &str) -> Result<(), Fault> {
        let mut parts = text.split(':');
        let mut whole = |missing: i64| match parts.next() {
            Some(part) if (1..=2).contains(&part.len()) => part.parse::<i64>().map_err(|_| Fault::Syntax),
            Some(_) => Err(Fault::Syntax),
            None => Ok(missing),
        };
        let (hours, minutes) = (whole(0)?, whole(0)?);
        let second_micros = parts.next().map_or(Ok(0), read_seconds)?;
        if parts.next().is_some() || self.micros.is_some() {
            return Err(Fault::Syntax);
        }
        self.set_micros(hours, minutes, second_micros)
    }

    /// `hhmm[ss[.f]]`, or `hh`.
    fn set_compact_clock(&mut self, text: &str) -> Result<(), Fault> {
        let whole = text.split('.').next().unwrap_or(text);
        if self.micros.is_some() || !matches!(whole.len(), 2 | 4 | 6) {
            return Err(Fault::Syntax);
        }
        let part =
            |start: usize| text.get(start..start + 2).map_or(Ok(0), |part| part.parse().map_err(|_| Fault::Syntax));
        let second_micros = if whole.len() == 6 { read_seconds(&text[4..])? } else { 0 };
        self.set_micros(part(0)?, if whole.len() > 2 { part(2)? } else { 0 }, second_micros)
    }

    fn set_micros(&mut self, hours: i64, minutes: i64, second_micros: i64) -> Result<(), Fault> {
        let micros = (hours * 60 + minutes) * 60_000_000 + second_micros;
        if minutes > 59 || second_micros > 60_000_000 || micros > MICROS_PER_DAY {
            return Err(Fault::Range);
        }
        self.micros = Some(micros);
        Ok(())
    }

    fn set_half_day(&mut self, afternoon: bool) -> Result<(), Fault> {
        let noon = MICROS_PER_DAY / 2;
        let micros = self.micros.ok_or(Fault::Syntax)?;
        if micros >= noon + 3_600_000_000 {
            return Err(Fault::Range);
        }
        self.micros = Some(micros % noon + if afternoon { noon } else { 0 });
        Ok(())
    }

    fn finish(&self) -> Result<Moment, Fault> {
        if let Some(infinite) = self.infinite {
            let alone = self.year.is_none() && self.day.is_none() && self.micros.is_none();
            return if alone { Ok(infinite) } else { Err(Fault::Syntax) };
        }
        let days = match (self.year, self.month, self.day) {
            (Some(year), Some(month), Some(day)) => {
                let year = match (self.before_christ, year) {
                    (_, 0) => return Err(Fault::Range),
                    (true, year) => 1 - year,
                    (false, year) => year,
                };
                if day == 0 || day > days_in_month(year, month) || !(-4712..=5_874_897).contains(&year) {
                    return Err(Fault::Range);
                }
                Some(days_of_date(year, month, day))
            }
            (None, None, None) if self.micros.is_some() => None,
            _ => return Err(Fault::Syntax),
        };
        Ok(Moment::At { days, micros: self.micros, zone: self.zone })
    }
}

/// How many bytes from the start are all of a kind.
fn run(text: &str, kind: impl Fn(u8) -> bool) -> usize {
    text.bytes().position(|byte| !kind(byte)).unwrap_or(text.len())
}

/// `ss[.ffffff...]` in microseconds, rounded.
fn read_seconds(text: &str) -> Result<i64, Fault> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !(1..=2).contains(&whole.len()) || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Fault::Syntax);
    }
    let seconds: i64 = whole.parse().map_err(|_| Fault::Syntax)?;
    let fraction: f64 =
        if fraction.is_empty() { 0.0 } else { format!("0.{fraction}").parse().map_err(|_| Fault::Syntax)? };
    Ok(seconds * 1_000_000 + (fraction * 1e6).round_ties_even() as i64)
}

/// A year of two digits is from 1970 to 2069.
fn full_year(value: i64, digits: usize) -> i64 {
    match value {
        0..70 if digits <= 2 => value + 2000,
        70..100 if digits <= 2 => value + 1900,
        _ => value,
    }
}

fn month_of(word: &str) -> Option<u32> {
    let lower = word.to_ascii_lowercase();
    let matches = |month: &&str| lower.len() >= 3 && (**month == lower || lower == month[..3] || lower == "sept");
    match lower.as_str() {
        "sept" => Some(9),
        _ => MONTHS.iter().position(|month| matches(&month)).map(|at| at as u32 + 1),
    }
}
