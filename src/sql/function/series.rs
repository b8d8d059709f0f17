//! generate_series(): the values from one to another, a step apart.
//!
//! Where a series stands alone, [`crate::sql::optimizer::Series`] gives its values as rows, a batch at a time. The
//! function itself makes a list of each row's values, for several sets of rows side by side.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, ListArray, PrimitiveArray};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal128Type, Int32Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType,
    TimestampMicrosecondType,
};
use datafusion::logical_expr::Volatility;

use super::arithmetic::moment::{add_interval, add_interval_in_zone};
use super::definition::{Call, Function, Gives, Overload, Parameter, item_field};
use crate::sql::coerce::Argument;
use crate::types::SqlType::{self, Int4, Int8, Interval, Numeric, Timestamp, Timestamptz};
use crate::types::text::Zone;
use crate::types::{Error, Result, SqlState};

/// Values that the lists of one batch of rows may hold together: some hundred megabytes.
const LISTED_MAX: usize = 1 << 24;

/// Values that are taken between two looks at that limit.
const TAKEN_AT_ONCE: usize = 1 << 16;

pub fn functions() -> Vec<Function> {
    let whole = |of: SqlType| Overload::of([of.clone(), of.clone(), of.clone()], listed(of), lists);
    let moments = |of: SqlType| Overload::of([of.clone(), of.clone(), Interval], listed(of), lists);
    let same = |arguments: &[Argument]| Ok(listed(arguments[0].sql_type.clone()));
    let numerics = [Numeric(None), Numeric(None), Numeric(None)].map(Parameter::Is);
    let overloads = vec![
        whole(Int4),
        whole(Int8),
        Overload::new(numerics, Gives::From(same), lists),
        moments(Timestamp),
        moments(Timestamptz),
    ];
    // A constant series must not be computed while its query is planned, however long it is.
    vec![Function::new("generate_series", overloads).volatility(Volatility::Volatile)]
}

fn listed(element: SqlType) -> SqlType {
    SqlType::Array(Box::new(element))
}

/// The values that are left of one series, as the integers that their columns hold.
pub struct Values {
    next: Option<i128>,
    stop: i128,
    step: Step,
    is_falling: bool,
}

enum Step {
    Units(i128),
    Calendar(IntervalMonthDayNano),
    /// On a zone's wall clock.
    Zoned(IntervalMonthDayNano, Zone),
}

impl Values {
    /// The series of a row, from the columns of start, stop and step; empty if one of them is NULL.
    pub fn new(arguments: &[ArrayRef], row: usize, zone: &Zone) -> Result<Self> {
        let [start, stop, step] = arguments else {
            return Err(Error::internal("a series is of a start, a stop and a step"));
        };
        if [start, stop, step].iter().any(|argument| argument.is_null(row)) {
            return Ok(Values { next: None, stop: 0, step: Step::Units(1), is_falling: false });
        }
        let (step, length) = read_step(step, start.data_type(), row, zone)?;
        if length == 0 {
            return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, "step size cannot equal zero"));
        }
        let mut values = Values { next: None, stop: read(stop, row)?, step, is_falling: length < 0 };
        values.next = values.within(read(start, row)?);
        Ok(values)
    }

    pub fn is_empty(&self) -> bool {
        self.next.is_none()
    }

    /// Moves at most `count` values to the end of `taken`; how many they were.
    pub fn take(&mut self, count: usize, taken: &mut Vec<i128>) -> Result<usize> {
        let before = taken.len();
        while taken.len() - before < count {
            let Some(value) = self.next else { break };
            taken.push(value);
            self.next = self.within(self.after(value)?);
        }
        Ok(taken.len() - before)
    }

    fn after(&self, value: i128) -> Result<i128> {
        Ok(match &self.step {
            // What is beyond 128 bits is beyond every stop.
            Step::Units(units) => value.saturating_add(*units),
            Step::Calendar(interval) => add_interval(value as i64, *interval)?.into(),
            Step::Zoned(interval, zone) => add_interval_in_zone(value as i64, *interval, zone)?.into(),
        })
    }

    fn within(&self, value: i128) -> Option<i128> {
        let ended = if self.is_falling { value < self.stop } else { value > self.stop };
        (!ended).then_some(value)
    }
}

/// The step and its length, which is negative for one back.
fn read_step(step: &ArrayRef, values: &DataType, row: usize, zone: &Zone) -> Result<(Step, i128)> {
    if !matches!(step.data_type(), DataType::Interval(_)) {
        let units = read(step, row)?;
        return Ok((Step::Units(units), units));
    }
    let interval = step.as_primitive::<IntervalMonthDayNanoType>().value(row);
    // As long as intervals are where they are compared: of months of 30 days.
    let days = i128::from(interval.months) * 30 + i128::from(interval.days);
    let length = days * 86_400_000_000_000 + i128::from(interval.nanoseconds);
    match values {
        DataType::Timestamp(_, Some(_)) => Ok((Step::Zoned(interval, *zone), length)),
        _ => Ok((Step::Calendar(interval), length)),
    }
}

fn read(array: &ArrayRef, row: usize) -> Result<i128> {
    Ok(match array.data_type() {
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).into(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).into(),
        DataType::Timestamp(..) => array.as_primitive::<TimestampMicrosecondType>().value(row).into(),
        DataType::Decimal128(..) => array.as_primitive::<Decimal128Type>().value(row),
        other => return Err(Error::internal(format!("a series of {other}"))),
    })
}

/// Values of a series as a column of their type.
pub fn column(values: &[i128], data_type: &DataType) -> Result<ArrayRef> {
    fn of<T: ArrowPrimitiveType>(values: &[i128], data_type: &DataType, narrow: fn(i128) -> T::Native) -> ArrayRef {
        let values = values.iter().map(|value| narrow(*value));
        Arc::new(PrimitiveArray::<T>::from_iter_values(values).with_data_type(data_type.clone()))
    }
    Ok(match data_type {
        DataType::Int32 => of::<Int32Type>(values, data_type, |value| value as i32),
        DataType::Int64 => of::<Int64Type>(values, data_type, |value| value as i64),
        DataType::Timestamp(..) => of::<TimestampMicrosecondType>(values, data_type, |value| value as i64),
        DataType::Decimal128(..) => of::<Decimal128Type>(values, data_type, |value| value),
        other => return Err(Error::internal(format!("a series of {other}"))),
    })
}

/// The series of each row as a list.
fn lists(call: &Call) -> Result<ArrayRef> {
    let zone = call.zone()?;
    let (mut values, mut lengths) = (vec![], Vec::with_capacity(call.rows));
    for row in 0..call.rows {
        let mut series = Values::new(call.arrays(), row, &zone)?;
        let before = values.len();
        while series.take(TAKEN_AT_ONCE, &mut values)? > 0 {
            if values.len() > LISTED_MAX {
                return Err(too_long());
            }
        }
        lengths.push(values.len() - before);
    }
    let element = SqlType::of_arrow(call.array(0).data_type());
    let field = match call.result {
        DataType::List(field) => field.clone(),
        _ => item_field(&element),
    };
    let values = column(&values, call.array(0).data_type())?;
    Ok(Arc::new(ListArray::new(field, OffsetBuffer::from_lengths(lengths), values, None)))
}

fn too_long() -> Error {
    let message = "generate_series() gives too many values beside another set-returning function";
    Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
        .with_detail(format!("Side by side they are lists, of at most {LISTED_MAX} values in a batch of rows."))
        .with_hint("A series that stands alone, in FROM or in the select list, may be of any length.")
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Int64Array, IntervalMonthDayNanoArray, TimestampMicrosecondArray};

    use super::*;

    fn whole(start: i64, stop: i64, step: i64) -> Result<Values> {
        let arguments = [start, stop, step].map(|value| Arc::new(Int64Array::from(vec![value])) as ArrayRef);
        Values::new(&arguments, 0, &Zone::UTC)
    }

    fn all(mut values: Values) -> Vec<i128> {
        let mut taken = vec![];
        while values.take(2, &mut taken).expect("the values are in range") > 0 {}
        taken
    }

    #[test]
    fn series_rise_fall_and_end_at_the_ends_of_their_type() {
        assert_eq!(all(whole(1, 6, 2).unwrap()), [1, 3, 5]);
        assert_eq!(all(whole(3, 1, -1).unwrap()), [3, 2, 1]);
        assert!(whole(3, 1, 1).unwrap().is_empty());
        assert_eq!(all(whole(i64::MAX - 1, i64::MAX, 1).unwrap()).len(), 2);
        let error = whole(1, 2, 0).err().expect("a step of zero goes nowhere");
        assert_eq!(error.state(), SqlState::INVALID_PARAMETER_VALUE);
    }

    #[test]
    fn months_are_as_long_as_the_calendar_says() {
        let day = 86_400_000_000;
        let moment = |days: i64| Arc::new(TimestampMicrosecondArray::from(vec![days * day])) as ArrayRef;
        let month = Arc::new(IntervalMonthDayNanoArray::from(vec![IntervalMonthDayNano::new(1, 0, 0)])) as ArrayRef;
        let series = Values::new(&[moment(0), moment(60), month], 0, &Zone::UTC).unwrap();
        assert_eq!(all(series), [0, 31, 59].map(|days| days * i128::from(day)));
    }
}
