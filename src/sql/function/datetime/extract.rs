//! EXTRACT and date_part: one field of a point in time or of an interval.

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::IntervalMonthDayNano;
use datafusion::common::ScalarValue;

use crate::sql::coerce::Argument;
use crate::sql::function::definition::{Call, Function, Gives, Kernel, Overload, Parameter};
use crate::sql::function::value::{Date, Input, Output, Time, Timestamp, Unscaled};
use crate::types::SqlType::{self, Float8, Interval, Numeric, Text, Timestamptz};
use crate::types::text::{Clock, MICROS_PER_DAY, Zone, days_of_date, rescale};
use crate::types::{Error, Result, SqlState};

/// Days from the start of the Julian calendar (4714-11-24 BC) to 1970-01-01.
const JULIAN_EPOCH: i64 = 2_440_588;
const MICROS_PER_SECOND: i64 = 1_000_000;
/// What PostgreSQL counts a year and a month of an interval's epoch as.
const SECONDS_PER_YEAR: f64 = 365.25 * 86_400.0;
const SECONDS_PER_MONTH: i64 = 30 * 86_400;

pub fn functions() -> Vec<Function> {
    let sources = || [SqlType::Timestamp, Timestamptz, SqlType::Date, SqlType::Time, Interval];
    let exact: Kernel = |call| fields(call, |micros, scale| rescale(micros, 6, scale).map(Unscaled));
    let float: Kernel = |call| fields(call, |micros, _| Some(micros as f64 / 1e6));
    let extract = sources()
        .map(|source| Overload::new([Parameter::Is(Text), Parameter::Is(source)], Gives::From(extract_type), exact));
    let date_part = sources().map(|source| Overload::of([Text, source], Float8, float));
    vec![
        Function::new("extract", extract.to_vec()),
        Function::new("date_part", date_part.to_vec()),
        Function::new(
            "isfinite",
            [SqlType::Timestamp, Timestamptz]
                .map(|source| {
                    Overload::of([source], SqlType::Bool, |call| {
                        crate::sql::function::value::map1(call, |moment: Timestamp| {
                            Ok(moment.0 != i64::MAX && moment.0 != i64::MIN)
                        })
                    })
                })
                .to_vec(),
        )
        .infallible(),
    ]
}

/// Seconds have six digits after the point, milliseconds three, the rest none.
fn extract_type(arguments: &[Argument]) -> Result<SqlType> {
    let field = match &arguments[0].literal {
        Some(ScalarValue::Utf8(Some(field))) => field.to_ascii_lowercase(),
        _ => return Ok(Numeric(None)),
    };
    Ok(match (canonical(&field), &arguments[1].sql_type) {
        ("epoch", SqlType::Date) => Numeric(Some((18, 0))),
        ("second", _) => Numeric(Some((8, 6))),
        ("epoch", _) => Numeric(Some((20, 6))),
        ("millisecond", _) => Numeric(Some((12, 3))),
        ("julian", SqlType::Timestamp | Timestamptz) => Numeric(None),
        _ => Numeric(Some((18, 0))),
    })
}

fn canonical(field: &str) -> &str {
    match field {
        "years" | "y" | "yr" | "yrs" => "year",
        "months" | "mon" | "mons" => "month",
        "days" | "d" => "day",
        "hours" | "h" | "hr" | "hrs" => "hour",
        "minutes" | "m" | "min" | "mins" => "minute",
        "seconds" | "s" | "sec" | "secs" => "second",
        "milliseconds" | "ms" | "msec" | "msecs" => "millisecond",
        "microseconds" | "us" | "usec" | "usecs" => "microsecond",
        "weeks" | "w" => "week",
        "decades" => "decade",
        "centuries" | "c" => "century",
        "millennia" => "millennium",
        "qtr" => "quarter",
        other => other,
    }
}

/// What a field is taken from.
#[derive(Clone, Copy)]
enum Source {
    /// A wall clock, the instant in microseconds, and seconds east of UTC if it has a zone.
    Moment {
        clock: Clock,
        instant: i64,
        offset: Option<i32>,
    },
    Date(Clock),
    Time(i64),
    Interval(IntervalMonthDayNano),
}

/// One field per row, computed in millionths.
fn fields<R: Output>(call: &Call, result: impl Fn(i128, i8) -> Option<R>) -> Result<ArrayRef> {
    let names = call.array(0).as_string::<i32>();
    let values = call.array(1);
    let zone = call.zone()?;
    let scale = crate::sql::function::arithmetic::numeric::scale_of(call.result);
    let rows = (0..call.rows).map(|row| {
        if names.is_null(row) || values.is_null(row) {
            return Ok(None);
        }
        let name = names.value(row).to_ascii_lowercase();
        let Some(source) = source(values, row, &call.types[1], &zone) else {
            return Ok(None);
        };
        let micros = field(canonical(&name), &source).ok_or_else(|| unknown_field(&name, &call.types[1]))?;
        Ok(result(micros, scale))
    });
    Ok(R::column(rows.collect::<Result<Vec<_>>>()?, call.result))
}

/// The source of a row; none if it is infinite.
fn source(values: &ArrayRef, row: usize, sql_type: &SqlType, zone: &Zone) -> Option<Source> {
    match sql_type {
        SqlType::Date => {
            let Date(days) = Date::of(values, row);
            let finite = days != i32::MAX && days != i32::MIN;
            finite.then(|| Source::Date(Clock::of_micros(i64::from(days) * MICROS_PER_DAY)))
        }
        SqlType::Time => Some(Source::Time(Time::of(values, row).0)),
        Interval => Some(Source::Interval(IntervalMonthDayNano::of(values, row))),
        _ => {
            let Timestamp(instant) = Timestamp::of(values, row);
            if instant == i64::MAX || instant == i64::MIN {
                return None;
            }
            let offset = (*sql_type == Timestamptz).then(|| zone.offset_at(instant));
            let local = instant + i64::from(offset.unwrap_or(0)) * MICROS_PER_SECOND;
            Some(Source::Moment { clock: Clock::of_micros(local), instant, offset })
        }
    }
}

fn unknown_field(name: &str, sql_type: &SqlType) -> Error {
    let known = matches!(
        canonical(name),
        "year"
            | "month"
            | "day"
            | "hour"
            | "minute"
            | "second"
            | "millisecond"
            | "microsecond"
            | "week"
            | "decade"
            | "century"
            | "millennium"
            | "quarter"
            | "epoch"
            | "dow"
            | "isodow"
            | "doy"
            | "isoyear"
            | "julian"
            | "timezone"
            | "timezone_hour"
            | "timezone_minute"
    );
    match known {
        true => Error::unsupported(format!("unit \"{name}\" not supported for type {sql_type}")),
        false => {
            Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("unit \"{name}\" not recognized for type {sql_type}"))
        }
    }
}

fn whole(value: i64) -> Option<i128> {
    Some(i128::from(value) * 1_000_000)
}

fn field(name: &str, source: &Source) -> Option<i128> {
    match source {
        Source::Moment { clock, instant, offset } => match (name, offset) {
            ("epoch", _) => Some(i128::from(*instant)),
            ("julian", _) => {
                let day = i128::from(clock.micros) * 1_000_000 / i128::from(MICROS_PER_DAY);
                Some(i128::from(clock.days + JULIAN_EPOCH) * 1_000_000 + day)
            }
            ("timezone", Some(offset)) => whole((*offset).into()),
            ("timezone_hour", Some(offset)) => whole(i64::from(*offset) / 3600),
            ("timezone_minute", Some(offset)) => whole(i64::from(*offset) / 60 % 60),
            _ => field_of_date(name, clock).or_else(|| field_of_time(name, clock.micros)),
        },
        Source::Date(clock) => match name {
            "epoch" => whole(clock.days * 86_400),
            "julian" => whole(clock.days + JULIAN_EPOCH),
            _ => field_of_date(name, clock),
        },
        Source::Time(micros) => match name {
            "epoch" => Some(i128::from(*micros)),
            _ => field_of_time(name, *micros),
        },
        Source::Interval(interval) => field_of_interval(name, *interval),
    }
}

/// There is no year 0: 1 BC is -1.
fn shown_year(year: i64) -> i64 {
    if year > 0 { year } else { year - 1 }
}

/// The decade, century or millennium of a year: of `years` years, the first of which is year 1.
fn era(year: i64, years: i64) -> i64 {
    if year > 0 { (year + years - 1) / years } else { -((years - year) / years) }
}

fn field_of_date(name: &str, clock: &Clock) -> Option<i128> {
    let (iso_year, iso_week) = iso_week(clock);
    whole(match name {
        "year" => shown_year(clock.year),
        "month" => clock.month.into(),
        "day" => clock.day.into(),
        "quarter" => i64::from(clock.month - 1) / 3 + 1,
        "week" => iso_week,
        "isoyear" => shown_year(iso_year),
        "dow" => day_of_week(clock.days),
        "isodow" => (day_of_week(clock.days) + 6) % 7 + 1,
        "doy" => clock.days - days_of_date(clock.year, 1, 1) + 1,
        "decade" => clock.year.div_euclid(10),
        "century" => era(clock.year, 100),
        "millennium" => era(clock.year, 1000),
        _ => return None,
    })
}

/// Sunday is 0; the epoch was a Thursday.
pub fn day_of_week(days: i64) -> i64 {
    (days + 4).rem_euclid(7)
}

/// ISO 8601: weeks start on Monday, and belong to the year of their Thursday.
pub fn iso_week(clock: &Clock) -> (i64, i64) {
    let thursday = clock.days - (day_of_week(clock.days) + 6) % 7 + 3;
    let (year, _, _) = crate::types::text::date_of_days(thursday);
    (year, (thursday - days_of_date(year, 1, 1)) / 7 + 1)
}

fn field_of_time(name: &str, micros: i64) -> Option<i128> {
    let in_minute = i128::from(micros % 60_000_000);
    match name {
        "hour" => whole(micros / 3_600_000_000),
        "minute" => whole(micros / 60_000_000 % 60),
        "second" => Some(in_minute),
        "millisecond" => Some(in_minute * 1000),
        "microsecond" => Some(in_minute * 1_000_000),
        _ => None,
    }
}

fn field_of_interval(name: &str, interval: IntervalMonthDayNano) -> Option<i128> {
    let years = i64::from(interval.months / 12);
    let micros = interval.nanoseconds / 1000;
    match name {
        "year" => whole(years),
        "month" => whole(i64::from(interval.months % 12)),
        "quarter" => whole(i64::from(interval.months % 12 / 3) + 1),
        "day" => whole(interval.days.into()),
        "decade" => whole(years / 10),
        "century" => whole(years / 100),
        "millennium" => whole(years / 1000),
        "epoch" => {
            let months = i64::from(interval.months % 12) * SECONDS_PER_MONTH + i64::from(interval.days) * 86_400;
            let seconds = (years as f64 * SECONDS_PER_YEAR) as i128 + i128::from(months);
            Some(seconds * 1_000_000 + i128::from(micros))
        }
        _ => field_of_time(name, micros),
    }
}
