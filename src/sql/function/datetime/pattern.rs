//! to_char, to_date and to_timestamp with patterns such as `YYYY-MM-DD HH24:MI:SS`.

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::IntervalMonthDayNano;

use super::extract::{day_of_week, iso_week};
use super::read_pattern::{read_date, read_moment};
use crate::sql::function::definition::{Call, Function, Overload};
use crate::sql::function::value::{Timestamp, map2};
use crate::types::Result;
use crate::types::SqlType::{self, Interval, Text, Timestamptz};
use crate::types::text::{Clock, MICROS_PER_DAY, days_of_date};

pub const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
pub const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const ROMAN: [&str; 12] = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"];
/// Names are padded to the length of the longest, September and Wednesday.
const NAME_WIDTH: usize = 9;

pub fn functions() -> Vec<Function> {
    let mut to_char = vec![
        Overload::of([SqlType::Timestamp, Text], Text, |call| timestamps(call, false)),
        Overload::of([Timestamptz, Text], Text, |call| timestamps(call, true)),
        Overload::of([Interval, Text], Text, |call| {
            map2(call, |span: IntervalMonthDayNano, pattern: &str| Ok(written(&of_interval(span), pattern)))
        }),
    ];
    to_char.extend(crate::sql::function::number_pattern::overloads());
    vec![
        Function::new("to_char", to_char),
        Function::new("to_date", vec![Overload::of([Text, Text], SqlType::Date, |call| map2(call, read_date))]),
        Function::new("to_number", crate::sql::function::number_pattern::to_number_overloads()),
    ]
}

pub fn to_timestamp_overloads() -> Vec<Overload> {
    vec![Overload::of([Text, Text], Timestamptz, |call| {
        let zone = call.zone()?;
        map2(call, |text: &str, pattern: &str| read_moment(text, pattern, &zone).map(Timestamp))
    })]
}

/// What there is to write.
struct Parts {
    clock: Clock,
    /// Hours, which an interval may have more of than a day.
    hours: i64,
    is_interval: bool,
    /// Seconds east of UTC, and the zone's name.
    zone: Option<(i32, String)>,
}

fn timestamps(call: &Call, zoned: bool) -> Result<ArrayRef> {
    let zone = call.zone()?;
    let name = call.style().time_zone;
    map2(call, |moment: Timestamp, pattern: &str| {
        if moment.0 == i64::MAX || moment.0 == i64::MIN {
            return Ok(None);
        }
        let offset = zone.offset_at(moment.0);
        let local = if zoned { moment.0 + i64::from(offset) * 1_000_000 } else { moment.0 };
        let clock = Clock::of_micros(local);
        let zone = zoned.then(|| (offset, name.clone()));
        Ok(Some(written(&Parts { hours: clock.hour(), clock, is_interval: false, zone }, pattern)))
    })
}

fn of_interval(span: IntervalMonthDayNano) -> Parts {
    let micros = span.nanoseconds / 1000;
    let clock = Clock {
        days: span.days.into(),
        year: (span.months / 12).into(),
        month: (span.months % 12).unsigned_abs(),
        day: span.days.unsigned_abs(),
        micros: micros.abs() % MICROS_PER_DAY,
    };
    Parts { clock, hours: micros / 3_600_000_000, is_interval: true, zone: None }
}

/// A piece of a pattern.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Token<'a> {
    /// A field's name as it was written, whether FM stood before it, and the suffix TH or th.
    Field {
        name: &'static str,
        written: &'a str,
        fill: bool,
        ordinal: Option<bool>,
    },
    Literal(&'a str),
}

/// Every field, the longer before those they start with.
const FIELDS: &[&str] = &[
    "SSSSS", "Y,YYY", "MONTH", "SSSS", "HH24", "HH12", "YYYY", "IYYY", "IDDD", "A.M.", "P.M.", "B.C.", "A.D.", "FF1",
    "FF2", "FF3", "FF4", "FF5", "FF6", "YYY", "IYY", "MON", "DAY", "DDD", "TZH", "TZM", "HH", "MI", "SS", "MS", "US",
    "AM", "PM", "BC", "AD", "YY", "IY", "MM", "DY", "DD", "ID", "WW", "IW", "CC", "RM", "TZ", "OF", "Y", "I", "D", "W",
    "J", "Q",
];

/// Splits a pattern into fields and what stands between them.
pub fn tokens(pattern: &str) -> Vec<Token<'_>> {
    let mut tokens = vec![];
    let mut rest = pattern;
    let mut fill = false;
    while let Some(first) = rest.chars().next() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let end = quoted.find('"').unwrap_or(quoted.len());
            tokens.push(Token::Literal(&quoted[..end]));
            rest = quoted.get(end + 1..).unwrap_or("");
            continue;
        }
        let upper = rest.get(..2).unwrap_or("").to_ascii_uppercase();
        if upper == "FM" || upper == "FX" {
            fill = upper == "FM";
            rest = &rest[2..];
            continue;
        }
        let starts = |name: &&&str| rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
        let Some(name) = FIELDS.iter().find(starts) else {
            tokens.push(Token::Literal(&rest[..first.len_utf8()]));
            rest = &rest[first.len_utf8()..];
            continue;
        };
        let written = &rest[..name.len()];
        rest = &rest[name.len()..];
        let ordinal = match rest.get(..2) {
            Some("TH") => Some(true),
            Some("th") => Some(false),
            _ => None,
        };
        if ordinal.is_some() {
            rest = &rest[2..];
        }
        tokens.push(Token::Field { name, written, fill: std::mem::take(&mut fill), ordinal });
    }
    tokens
}

fn written(parts: &Parts, pattern: &str) -> String {
    let mut text = String::new();
    for token in tokens(pattern) {
        match token {
            Token::Literal(literal) => text.push_str(literal),
            Token::Field { name, written, fill, ordinal } => {
                let start = text.len();
                text.push_str(&field(parts, name, written, fill));
                if let Some(upper) = ordinal {
                    let suffix = ordinal_suffix(&text[start..]);
                    text.push_str(&if upper { suffix.to_uppercase() } else { suffix.to_string() });
                }
            }
        }
    }
    text
}

fn ordinal_suffix(digits: &str) -> &'static str {
    let digits = digits.trim();
    let teen = digits.len() > 1 && digits.as_bytes()[digits.len() - 2] == b'1';
    match digits.as_bytes().last() {
        Some(b'1') if !teen => "st",
        Some(b'2') if !teen => "nd",
        Some(b'3') if !teen => "rd",
        _ => "th",
    }
}

/// A number with leading zeros, or without.
fn number(value: i64, width: usize, fill: bool) -> String {
    let sign = if value < 0 { "-" } else { "" };
    match fill {
        true => value.to_string(),
        false => format!("{sign}{:0width$}", value.abs()),
    }
}

/// A name as its field is written: `MONTH`, `Month` or `month`.
fn cased(name: &str, written: &str) -> String {
    let mut letters = written.chars().filter(char::is_ascii_alphabetic);
    match (
        letters.next().is_some_and(|c| c.is_ascii_uppercase()),
        letters.next().is_some_and(|c| c.is_ascii_uppercase()),
    ) {
        (true, true) => name.to_uppercase(),
        (true, false) => name.to_string(),
        _ => name.to_lowercase(),
    }
}

fn padded_name(name: &str, written: &str, fill: bool) -> String {
    let name = cased(name, written);
    if fill { name } else { format!("{name:NAME_WIDTH$}") }
}

/// AM and its like keep the case and the points of what was written.
fn half(written: &str, names: [&str; 2], second: bool) -> String {
    let name = names[usize::from(second)];
    let letters: String = match written.contains('.') {
        true => name.chars().flat_map(|letter| [letter, '.']).collect(),
        false => name.to_string(),
    };
    if written.starts_with(|first: char| first.is_ascii_lowercase()) { letters.to_lowercase() } else { letters }
}

fn field(parts: &Parts, name: &str, written: &str, fill: bool) -> String {
    let clock = &parts.clock;
    let shown = |year: i64| if year > 0 || parts.is_interval { year } else { 1 - year };
    let (year, iso) = (shown(clock.year), || iso_week(clock));
    let hour = parts.hours;
    let seconds = clock.second_micros() / 1_000_000;
    let micros = clock.second_micros() % 1_000_000;
    let month_name = || MONTHS[clock.month.clamp(1, 12) as usize - 1];
    let day_name = || DAYS[day_of_week(clock.days) as usize];
    let number = |value: i64, width: usize| number(value, width, fill);
    match name {
        "HH24" => number(hour, 2),
        "HH" | "HH12" => number(if hour % 12 == 0 { 12 } else { hour % 12 }, 2),
        "MI" => number(clock.minute(), 2),
        "SS" => number(seconds, 2),
        "SSSS" | "SSSSS" => (clock.micros / 1_000_000).to_string(),
        "MS" | "FF3" => number(micros / 1000, 3),
        "US" | "FF6" => number(micros, 6),
        "FF1" => number(micros / 100_000, 1),
        "FF2" => number(micros / 10_000, 2),
        "FF4" => number(micros / 100, 4),
        "FF5" => number(micros / 10, 5),
        "AM" | "PM" | "A.M." | "P.M." => half(written, ["AM", "PM"], hour % 24 >= 12),
        "BC" | "AD" | "B.C." | "A.D." => half(written, ["AD", "BC"], clock.year <= 0 && !parts.is_interval),
        "YYYY" => number(year, 4),
        "Y,YYY" => format!("{},{:03}", year / 1000, year % 1000),
        "YYY" => number(year % 1000, 3),
        "YY" => number(year % 100, 2),
        "Y" => (year % 10).to_string(),
        "IYYY" => number(shown(iso().0), 4),
        "IYY" => number(shown(iso().0) % 1000, 3),
        "IY" => number(shown(iso().0) % 100, 2),
        "I" => (shown(iso().0) % 10).to_string(),
        "MONTH" => padded_name(month_name(), written, fill),
        "MON" => cased(&month_name()[..3], written),
        "MM" => number(clock.month.into(), 2),
        "RM" => {
            let roman = cased(ROMAN[clock.month.clamp(1, 12) as usize - 1], &written.repeat(2));
            if fill { roman } else { format!("{roman:4}") }
        }
        "DAY" => padded_name(day_name(), written, fill),
        "DY" => cased(&day_name()[..3], written),
        "DD" => number(clock.day.into(), 2),
        "DDD" => number(clock.days - days_of_date(clock.year, 1, 1) + 1, 3),
        "IDDD" => number((iso().1 - 1) * 7 + (day_of_week(clock.days) + 6) % 7 + 1, 3),
        "D" => (day_of_week(clock.days) + 1).to_string(),
        "ID" => ((day_of_week(clock.days) + 6) % 7 + 1).to_string(),
        "W" => ((i64::from(clock.day) - 1) / 7 + 1).to_string(),
        "WW" => number((clock.days - days_of_date(clock.year, 1, 1)) / 7 + 1, 2),
        "IW" => number(iso().1, 2),
        "CC" => number(if clock.year > 0 { (clock.year + 99) / 100 } else { clock.year / 100 - 1 }, 2),
        "Q" => ((clock.month - 1) / 3 + 1).to_string(),
        "J" => (clock.days + 2_440_588).to_string(),
        "TZ" => parts.zone.as_ref().map_or(String::new(), |(_, name)| cased(name, &format!("{written}{written}"))),
        "TZH" => parts.zone.as_ref().map_or(String::new(), |(offset, _)| format!("{:+03}", offset / 3600)),
        "TZM" => parts.zone.as_ref().map_or(String::new(), |(offset, _)| format!("{:02}", offset / 60 % 60)),
        "OF" => parts.zone.as_ref().map_or(String::new(), |(offset, _)| match offset / 60 % 60 {
            0 => format!("{:+03}", offset / 3600),
            minutes => format!("{:+03}:{:02}", offset / 3600, minutes.abs()),
        }),
        _ => String::new(),
    }
}
