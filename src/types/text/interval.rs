//! Intervals as text: PostgreSQL's style out; its verbose, SQL-standard and ISO 8601 forms in.

use std::fmt::Write;

use arrow::datatypes::IntervalMonthDayNano;

use crate::types::{Error, Result, SqlState};

pub const MICROS_PER_DAY: i64 = 86_400_000_000;
const MICROS_PER_HOUR: i64 = 3_600_000_000;
const MICROS_PER_MINUTE: i64 = 60_000_000;
const MICROS_PER_SECOND: i64 = 1_000_000;
const DAYS_PER_MONTH: f64 = 30.0;

/// Writes `1 year 2 mons 3 days 04:05:06.5`.
pub fn write_interval(value: IntervalMonthDayNano, out: &mut String) {
    let (mut first, mut after_negative) = (true, false);
    let fields = [(value.months / 12, "year"), (value.months % 12, "mon"), (value.days, "day")];
    for (count, unit) in fields {
        if count == 0 {
            continue;
        }
        let space = if first { "" } else { " " };
        let sign = if after_negative && count > 0 { "+" } else { "" };
        let plural = if count == 1 { "" } else { "s" };
        write!(out, "{space}{sign}{count} {unit}{plural}").expect("a String takes everything");
        (first, after_negative) = (false, count < 0);
    }
    let micros = value.nanoseconds / 1000;
    if micros == 0 && !first {
        return;
    }
    if !first {
        out.push(' ');
    }
    match micros < 0 {
        true => out.push('-'),
        false if after_negative => out.push('+'),
        false => {}
    }
    write_clock(micros.abs(), out);
}

/// Writes microseconds as `hh:mm:ss[.ffffff]`, without trailing zeros.
pub fn write_clock(micros: i64, out: &mut String) {
    let (hours, minutes) = (micros / MICROS_PER_HOUR, micros / MICROS_PER_MINUTE % 60);
    let seconds = micros / MICROS_PER_SECOND % 60;
    write!(out, "{hours:02}:{minutes:02}:{seconds:02}").expect("a String takes everything");
    let fraction = micros % MICROS_PER_SECOND;
    if fraction != 0 {
        write!(out, ".{fraction:06}").expect("a String takes everything");
        out.truncate(out.trim_end_matches('0').len());
    }
}

/// What has been read of an interval so far.
#[derive(Default)]
struct Sum {
    months: i64,
    days: i64,
    micros: i64,
}

/// A number with what stands after its point, both with the number's sign.
#[derive(Clone, Copy)]
struct Quantity {
    whole: i64,
    fraction: f64,
}

impl Quantity {
    fn read(text: &str) -> Option<Quantity> {
        let (sign, unsigned) = match text.as_bytes().first()? {
            b'-' => (-1, &text[1..]),
            b'+' => (1, &text[1..]),
            _ => (1, text),
        };
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.len() + fraction.len() == 0 || !digits(whole) || !digits(fraction) {
            return None;
        }
        let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let fraction: f64 = if fraction.is_empty() { 0.0 } else { format!("0.{fraction}").parse().ok()? };
        Some(Quantity { whole: sign * whole, fraction: sign as f64 * fraction })
    }

    fn negated(self) -> Quantity {
        Quantity { whole: -self.whole, fraction: -self.fraction }
    }
}

impl Sum {
    fn add(&mut self, quantity: Quantity, unit: &str) -> Option<()> {
        let Quantity { whole, fraction } = quantity;
        match unit {
            "microsecond" | "microseconds" | "microsec" | "microsecs" | "us" | "usec" | "usecs" => {
                self.add_micros(quantity, 1)
            }
            "millisecond" | "milliseconds" | "millisec" | "millisecs" | "ms" | "msec" | "msecs" => {
                self.add_micros(quantity, 1000)
            }
            "second" | "seconds" | "sec" | "secs" | "s" => self.add_micros(quantity, MICROS_PER_SECOND),
            "minute" | "minutes" | "min" | "mins" | "m" => self.add_micros(quantity, MICROS_PER_MINUTE),
            "hour" | "hours" | "hr" | "hrs" | "h" => self.add_micros(quantity, MICROS_PER_HOUR),
            "day" | "days" | "d" => self.add_days(whole, fraction),
            "week" | "weeks" | "w" => self.add_days(whole.checked_mul(7)?, fraction * 7.0),
            "month" | "months" | "mon" | "mons" => {
                self.months = self.months.checked_add(whole)?;
                self.add_days(0, fraction * DAYS_PER_MONTH)
            }
            "year" | "years" | "yr" | "yrs" | "y" => self.add_years(quantity, 1),
            "decade" | "decades" | "dec" | "decs" => self.add_years(quantity, 10),
            "century" | "centuries" | "cent" | "c" => self.add_years(quantity, 100),
            "millennium" | "millennia" | "mil" | "mils" => self.add_years(quantity, 1000),
            _ => None,
        }
    }

    fn add_years(&mut self, quantity: Quantity, years: i64) -> Option<()> {
        let months = quantity.whole.checked_mul(years * 12)?;
        let fraction = (quantity.fraction * (years * 12) as f64).round_ties_even() as i64;
        self.months = self.months.checked_add(months)?.checked_add(fraction)?;
        Some(())
    }

    fn add_days(&mut self, whole: i64, fraction: f64) -> Option<()> {
        let whole_fraction = fraction.trunc();
        self.days = self.days.checked_add(whole)?.checked_add(whole_fraction as i64)?;
        let micros = ((fraction - whole_fraction) * MICROS_PER_DAY as f64).round_ties_even() as i64;
        self.micros = self.micros.checked_add(micros)?;
        Some(())
    }

    fn add_micros(&mut self, quantity: Quantity, unit_micros: i64) -> Option<()> {
        let fraction = (quantity.fraction * unit_micros as f64).round_ties_even() as i64;
        self.micros = self.micros.checked_add(quantity.whole.checked_mul(unit_micros)?)?.checked_add(fraction)?;
        Some(())
    }

    /// `[+-]hh:mm[:ss[.f]]`, or `mm:ss.f`.
    fn add_clock(&mut self, text: &str) -> Option<()> {
        let (negative, unsigned) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let parts: Vec<&str> = unsigned.split(':').collect();
        let units: &[&str] = match parts.len() {
            2 if parts[1].contains('.') => &["minute", "second"],
            2 => &["hour", "minute"],
            3 => &["hour", "minute", "second"],
            _ => return None,
        };
        for (place, (part, unit)) in parts.iter().zip(units).enumerate() {
            let quantity = Quantity::read(part).filter(|_| part.starts_with(|first: char| first.is_ascii_digit()))?;
            let limit = if *unit == "second" { 61 } else { 60 };
            if place > 0 && quantity.whole >= limit {
                return None;
            }
            self.add(if negative { quantity.negated() } else { quantity }, unit)?;
        }
        Some(())
    }

    /// `years-months`.
    fn add_year_month(&mut self, text: &str) -> Option<()> {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (years, months) = unsigned.split_once('-')?;
        let (years, months): (i64, i64) = (years.parse().ok()?, months.parse().ok()?);
        let total = years.checked_mul(12)?.checked_add(months).filter(|_| (0..12).contains(&months))?;
        self.months = self.months.checked_add(if negative { -total } else { total })?;
        Some(())
    }

    fn finish(self) -> Option<IntervalMonthDayNano> {
        let nanoseconds = self.micros.checked_mul(1000)?;
        Some(IntervalMonthDayNano::new(self.months.try_into().ok()?, self.days.try_into().ok()?, nanoseconds))
    }

    fn negated(self) -> Sum {
        Sum { months: -self.months, days: -self.days, micros: -self.micros }
    }
}

/// Reads an interval; a number without a unit counts `unit`s (seconds, unless a field such as MONTH was given).
pub fn read_interval(text: &str, unit: &str) -> Result<IntervalMonthDayNano> {
    let lower = text.trim().to_ascii_lowercase();
    let sum = match lower.starts_with('p') {
        true => read_iso(&lower[1..]),
        false => read_verbose(&lower, unit),
    };
    let sum = sum.ok_or_else(|| {
        let message = format!("invalid input syntax for type interval: \"{text}\"");
        Error::new(SqlState::INVALID_DATETIME_FORMAT, message)
    })?;
    sum.finish().ok_or_else(|| {
        let message = format!("interval field value out of range: \"{text}\"");
        Error::new(SqlState::INTERVAL_FIELD_OVERFLOW, message)
    })
}

fn read_verbose(lower: &str, bare_unit: &str) -> Option<Sum> {
    let mut sum = Sum::default();
    let mut words: Vec<&str> = lower.split_whitespace().filter(|word| *word != "@").collect();
    let ago = words.last() == Some(&"ago");
    if ago {
        words.pop();
    }
    if words.is_empty() {
        return None;
    }
    let mut pending: Option<Quantity> = None;
    for word in words {
        let starts_number = word.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first));
        if !starts_number {
            sum.add(pending.take()?, word)?;
            continue;
        }
        // In the SQL-standard form `3 04:05:06`, the number before the clock counts days.
        if let Some(number) = pending.take() {
            if !word.contains(':') {
                return None;
            }
            sum.add(number, "day")?;
        }
        let letters = word.find(|character: char| character.is_ascii_alphabetic());
        match letters {
            _ if word.contains(':') => sum.add_clock(word)?,
            Some(at) => sum.add(Quantity::read(&word[..at])?, &word[at..])?,
            None if word[1..].contains('-') => sum.add_year_month(word)?,
            None => pending = Some(Quantity::read(word)?),
        }
    }
    if let Some(number) = pending {
        sum.add(number, bare_unit)?;
    }
    Some(if ago { sum.negated() } else { sum })
}

/// `1y2m3dt4h5m6.5s` or `1-2-3t4:5:6`, after the `p`.
fn read_iso(lower: &str) -> Option<Sum> {
    let mut sum = Sum::default();
    let (date, time) = match lower.split_once('t') {
        Some((date, time)) => (date, Some(time)),
        None => (lower, None),
    };
    let date_units = [('y', "year"), ('m', "month"), ('w', "week"), ('d', "day")];
    let time_units = [('h', "hour"), ('m', "minute"), ('s', "second")];
    read_designated(&mut sum, date, &date_units)?;
    if let Some(time) = time {
        match time.contains(':') {
            true => sum.add_clock(time)?,
            false => read_designated(&mut sum, time, &time_units)?,
        }
    }
    Some(sum)
}

fn read_designated(sum: &mut Sum, text: &str, units: &[(char, &str)]) -> Option<()> {
    let mut rest = text;
    while !rest.is_empty() {
        let at = rest.find(|character: char| character.is_ascii_alphabetic())?;
        let designator = rest.as_bytes()[at] as char;
        let (_, unit) = units.iter().find(|(letter, _)| *letter == designator)?;
        sum.add(Quantity::read(&rest[..at])?, unit)?;
        rest = &rest[at + 1..];
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_one_is_written() {
        let cases = [
            ("1 year 2 months 3 days 04:05:06.5", "1 year 2 mons 3 days 04:05:06.5"),
            ("P1Y2M3DT4H5M6.5S", "1 year 2 mons 3 days 04:05:06.5"),
            ("1-2", "1 year 2 mons"),
            ("3 4:05:06", "3 days 04:05:06"),
            ("@ 1 day ago", "-1 days"),
            ("-1 day +02:00", "-1 days +02:00:00"),
            ("90 minutes", "01:30:00"),
            ("1.5 days", "1 day 12:00:00"),
            ("1.5 months", "1 mon 15 days"),
            ("25 hours", "25:00:00"),
            ("5", "00:00:05"),
            ("2h", "02:00:00"),
        ];
        for (text, written) in cases {
            let mut out = String::new();
            write_interval(read_interval(text, "second").expect(text), &mut out);
            assert_eq!(out, written, "{text}");
        }
        assert!(read_interval("1 parsec", "second").is_err());
    }
}
