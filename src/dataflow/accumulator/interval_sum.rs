//! The sum of intervals: months, days and nanoseconds apart, as PostgreSQL keeps them.

use arrow::datatypes::IntervalMonthDayNano;

use crate::types::{Error, Result, SqlState};

const DAYS_PER_MONTH: i128 = 30;
const NANOSECONDS_PER_DAY: i128 = 86_400_000_000_000;
const NANOSECONDS_PER_MICROSECOND: i128 = 1_000;

/// A sum of intervals, exact under retraction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IntervalSum {
    pub months: i64,
    pub days: i64,
    pub nanoseconds: i128,
}

impl IntervalSum {
    /// Adds `value` as often as `times` says; a negative number takes it away.
    pub fn add_times(&mut self, value: IntervalMonthDayNano, times: i64) {
        self.months += value.months as i64 * times;
        self.days += value.days as i64 * times;
        self.nanoseconds += value.nanoseconds as i128 * times as i128;
    }

    pub fn merge(&mut self, other: &IntervalSum) {
        self.months += other.months;
        self.days += other.days;
        self.nanoseconds += other.nanoseconds;
    }

    /// The sum; 22008 if one of its parts does not fit.
    pub fn result(&self) -> Result<IntervalMonthDayNano> {
        interval(self.months as i128, self.days as i128, self.nanoseconds)
    }

    /// The mean of `count` (more than 0) intervals: what is left of months goes to days (30 each), what is left of
    /// days to the time, which is rounded to microseconds, half away from zero.
    pub fn average(&self, count: i64) -> Result<IntervalMonthDayNano> {
        let count = count as i128;
        let (months, months_left) = (self.months as i128 / count, self.months as i128 % count);
        let days_left = months_left * DAYS_PER_MONTH;
        let (more_days, part_of_day) = (days_left / count, days_left % count);
        let (days, own_part_of_day) = (self.days as i128 / count, self.days as i128 % count);
        let parts_of_day = part_of_day + own_part_of_day;
        let (whole_days, part_of_day) = (parts_of_day / count, parts_of_day % count);
        let nanoseconds = self.nanoseconds + part_of_day * NANOSECONDS_PER_DAY;
        let divisor = count * NANOSECONDS_PER_MICROSECOND;
        let half = divisor / 2 * nanoseconds.signum();
        let microseconds = (nanoseconds + half) / divisor;
        interval(months, days + more_days + whole_days, microseconds * NANOSECONDS_PER_MICROSECOND)
    }
}

fn interval(months: i128, days: i128, nanoseconds: i128) -> Result<IntervalMonthDayNano> {
    let (Ok(months), Ok(days), Ok(nanoseconds)) = (months.try_into(), days.try_into(), nanoseconds.try_into()) else {
        return Err(Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "interval out of range"));
    };
    Ok(IntervalMonthDayNano { months, days, nanoseconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(values: &[(i32, i32, i64)]) -> IntervalSum {
        let mut sum = IntervalSum::default();
        for &(months, days, nanoseconds) in values {
            sum.add_times(IntervalMonthDayNano { months, days, nanoseconds }, 1);
        }
        sum
    }

    #[test]
    fn averages_cascade_downwards() {
        // PostgreSQL: avg of '1 month' and '2 months' is '1 mon 15 days'; '1 day' / 2 is '12:00:00'.
        assert_eq!(sum(&[(1, 0, 0), (2, 0, 0)]).average(2).unwrap(), IntervalMonthDayNano::new(1, 15, 0));
        assert_eq!(sum(&[(0, 1, 0)]).average(2).unwrap(), IntervalMonthDayNano::new(0, 0, 43_200_000_000_000));
        assert_eq!(sum(&[(0, 0, 1_000)]).average(3).unwrap(), IntervalMonthDayNano::new(0, 0, 0));
        assert_eq!(sum(&[(0, 0, -1_000)]).average(2).unwrap(), IntervalMonthDayNano::new(0, 0, -1_000));
    }

    #[test]
    fn parts_that_do_not_fit_are_an_error_until_they_do() {
        let mut total = sum(&[(i32::MAX, 0, 0), (1, 0, 0)]);
        assert_eq!(total.result().unwrap_err().state(), SqlState::DATETIME_FIELD_OVERFLOW);
        total.add_times(IntervalMonthDayNano::new(1, 0, 0), -1);
        assert_eq!(total.result().unwrap(), IntervalMonthDayNano::new(i32::MAX, 0, 0));
    }
}
