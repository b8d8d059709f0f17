//! Time zones: IANA names, the usual abbreviations, and fixed offsets.

use std::str::FromStr;

use arrow::array::timezone::Tz;
use chrono::{DateTime, NaiveDateTime, Offset, TimeZone};

use crate::types::{Error, Result, SqlState};

const MICROS_PER_SECOND: i64 = 1_000_000;
const DAY_SECONDS: i64 = 86_400;

/// Abbreviations and their seconds east of UTC, as PostgreSQL's default set has them.
const ABBREVIATIONS: &[(&str, i32)] = &[
    ("utc", 0),
    ("gmt", 0),
    ("z", 0),
    ("zulu", 0),
    ("ut", 0),
    ("est", -18_000),
    ("edt", -14_400),
    ("cst", -21_600),
    ("cdt", -18_000),
    ("mst", -25_200),
    ("mdt", -21_600),
    ("pst", -28_800),
    ("pdt", -25_200),
    ("akst", -32_400),
    ("akdt", -28_800),
    ("hst", -36_000),
    ("wet", 0),
    ("west", 3_600),
    ("bst", 3_600),
    ("cet", 3_600),
    ("cest", 7_200),
    ("met", 3_600),
    ("mest", 7_200),
    ("eet", 7_200),
    ("eest", 10_800),
    ("msk", 10_800),
    ("jst", 32_400),
    ("kst", 32_400),
    ("nzst", 43_200),
    ("nzdt", 46_800),
    ("aest", 36_000),
    ("aedt", 39_600),
];

/// A time zone, ready for use.
#[derive(Clone, Copy, Debug)]
pub struct Zone(Kind);

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Seconds east of UTC.
    Fixed(i32),
    Named(Tz),
}

impl Zone {
    pub const UTC: Zone = Zone(Kind::Fixed(0));

    /// A zone by name, abbreviation or offset, where `+02` is east of Greenwich as in ISO 8601.
    pub fn of_name(name: &str) -> Result<Zone> {
        Self::find(name, 1).ok_or_else(|| unknown(name))
    }

    /// The same as AT TIME ZONE reads it: there a bare `+02` or `UTC+2` is west of Greenwich, as POSIX has it.
    pub fn of_posix(name: &str) -> Result<Zone> {
        Self::find(name, -1).ok_or_else(|| unknown(name))
    }

    pub fn fixed(seconds_east: i32) -> Zone {
        Zone(Kind::Fixed(seconds_east))
    }

    fn find(name: &str, sign: i32) -> Option<Zone> {
        let name = name.trim();
        let lower = name.to_ascii_lowercase();
        if let Some((_, seconds)) = ABBREVIATIONS.iter().find(|(abbreviation, _)| *abbreviation == lower) {
            return Some(Zone::fixed(*seconds));
        }
        let offset = lower.strip_prefix("utc").or_else(|| lower.strip_prefix("gmt"));
        if let Some(seconds) = offset.and_then(read_offset) {
            return Some(Zone::fixed(-seconds));
        }
        if let Some(seconds) = read_offset(name) {
            return Some(Zone::fixed(sign * seconds));
        }
        if !name.starts_with(|first: char| first.is_ascii_alphabetic()) {
            return None;
        }
        let named = Tz::from_str(name).or_else(|_| Tz::from_str(&capitalized(&lower)));
        named.ok().map(|tz| Zone(Kind::Named(tz)))
    }

    /// Seconds east of UTC at an instant.
    pub fn offset_at(&self, instant_micros: i64) -> i32 {
        match self.0 {
            Kind::Fixed(seconds) => seconds,
            Kind::Named(tz) => tz.offset_from_utc_datetime(&naive(instant_micros)).fix().local_minus_utc(),
        }
    }

    /// The wall clock's microseconds at an instant.
    pub fn local_of_instant(&self, instant_micros: i64) -> i64 {
        instant_micros.saturating_add(i64::from(self.offset_at(instant_micros)) * MICROS_PER_SECOND)
    }

    /// The instant at which the wall clock shows `local_micros`: in a gap, by the offset before it; of two, by standard time.
    pub fn instant_of_local(&self, local_micros: i64) -> i64 {
        let Kind::Named(tz) = self.0 else {
            let Kind::Fixed(seconds) = self.0 else { unreachable!("a zone is named or fixed") };
            return local_micros.saturating_sub(i64::from(seconds) * MICROS_PER_SECOND);
        };
        let local = naive(local_micros);
        let offset = match tz.offset_from_local_datetime(&local) {
            chrono::LocalResult::Single(offset) => offset.fix().local_minus_utc(),
            chrono::LocalResult::Ambiguous(a, b) => a.fix().local_minus_utc().min(b.fix().local_minus_utc()),
            chrono::LocalResult::None => self.offset_at(local_micros.saturating_sub(DAY_SECONDS * MICROS_PER_SECOND)),
        };
        local_micros.saturating_sub(i64::from(offset) * MICROS_PER_SECOND)
    }
}

/// `[+-]h[h][:mm[:ss]]` or `[+-]hhmm` in seconds.
pub fn read_offset(text: &str) -> Option<i32> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let number = |part: &str| match !part.is_empty() && part.len() <= 2 && part.bytes().all(|b| b.is_ascii_digit()) {
        true => part.parse::<i32>().ok(),
        false => None,
    };
    let mut parts = digits.split(':');
    let first = parts.next()?;
    let (hours, minutes) = match (first.len(), parts.next()) {
        (4, None) => (number(first.get(..2)?)?, number(first.get(2..)?)?),
        (_, Some(minutes)) => (number(first)?, number(minutes)?),
        (_, None) => (number(first)?, 0),
    };
    let seconds = parts.next().map_or(Some(0), number)?;
    let valid = hours <= 15 && minutes < 60 && seconds < 60 && parts.next().is_none();
    valid.then_some(sign * (hours * 3600 + minutes * 60 + seconds))
}

/// Chrono's calendar ends before PostgreSQL's; zones have no rules that far out, so the edge stands for what is beyond.
fn naive(micros: i64) -> NaiveDateTime {
    const EDGE_MICROS: i64 = 8_000_000_000_000 * MICROS_PER_SECOND;
    let clamped = micros.clamp(-EDGE_MICROS, EDGE_MICROS);
    DateTime::from_timestamp_micros(clamped).expect("the edge is within chrono's calendar").naive_utc()
}

/// `america/new_york` as IANA writes it.
fn capitalized(lower: &str) -> String {
    let mut start = true;
    let capital = |character: char| {
        let result = if start { character.to_ascii_uppercase() } else { character };
        start = !character.is_ascii_alphanumeric();
        result
    };
    lower.chars().map(capital).collect()
}

fn unknown(name: &str) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("time zone \"{name}\" not recognized"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_have_two_readings() {
        assert_eq!(Zone::of_name("+05:30").expect("an offset").offset_at(0), 19_800);
        assert_eq!(Zone::of_posix("+05:30").expect("an offset").offset_at(0), -19_800);
        assert_eq!(Zone::of_posix("UTC+3").expect("an offset").offset_at(0), -10_800);
        assert_eq!(Zone::of_name("america/new_york").expect("a name").offset_at(0), -18_000);
        assert!(Zone::of_name("nowhere").is_err());
    }
}
