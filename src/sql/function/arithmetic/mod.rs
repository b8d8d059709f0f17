//! Arithmetic: what `+ - * / % ^`, the bit operators and unary minus mean for each pair of types.
//!
//! Unlike Arrow's and DataFusion's, nothing here wraps, and nothing becomes an infinity by itself: overflow is 22003,
//! division by zero 22012, for floats too.

pub mod float;
mod integer;
pub mod moment;
pub mod numeric;
mod span;

use super::definition::{Function, Gives, Notation, Overload, Parameter};
use crate::types::SqlType::{Date, Float4, Float8, Int2, Int4, Int8, Interval, Numeric, Time, Timestamp, Timestamptz};

pub use moment::{add_interval, add_interval_in_zone, add_months, checked_micros, out_of_range, subtract_moments};
pub use span::{checked_interval, multiply_interval};

/// The operators' functions, named as SQL writes them.
pub fn operators() -> Vec<Function> {
    let binary = [
        ("+", plus()),
        ("-", minus()),
        ("*", times()),
        ("/", divided()),
        ("%", remainder()),
        ("^", power()),
        ("&", bits(integer::and)),
        ("|", bits(integer::or)),
        ("#", bits(integer::xor)),
        ("<<", shifts(integer::shift_left)),
        (">>", shifts(integer::shift_right)),
    ];
    let negation = Function::new("unary -", negated()).written(Notation::Prefix);
    let binary = binary.map(|(name, overloads)| Function::new(name, overloads).written(Notation::Infix));
    binary.into_iter().chain([negation]).collect()
}

type Kernel = super::definition::Kernel;

/// The overloads that every operator on numbers has; `shape` says what scale the result has. (That a float4 beside
/// anything but itself is widened, [`select`](crate::sql::coerce::select) knows.)
fn on_numbers(int: Kernel, float: Kernel, exact: Kernel, shape: super::definition::Gives) -> Vec<Overload> {
    let mut overloads: Vec<Overload> =
        [Int2, Int4, Int8].map(|t| Overload::of([t.clone(), t.clone()], t, int).on_datums()).to_vec();
    overloads.push(Overload::new([Numeric(None), Numeric(None)].map(Parameter::Is), shape, exact));
    overloads.push(Overload::of([Float4, Float4], Float4, float));
    overloads.push(Overload::of([Float8, Float8], Float8, float));
    overloads
}

fn plus() -> Vec<Overload> {
    let mut overloads = on_numbers(integer::add, float::add, numeric::add, Gives::From(numeric::sum_type));
    overloads.extend([
        Overload::of([Date, Int4], Date, moment::date_plus_days),
        Overload::of([Int4, Date], Date, moment::days_plus_date),
        Overload::of([Date, Interval], Timestamp, moment::date_plus_interval),
        Overload::of([Interval, Date], Timestamp, moment::interval_plus_date),
        Overload::of([Date, Time], Timestamp, moment::date_plus_time),
        Overload::of([Time, Date], Timestamp, moment::time_plus_date),
        Overload::of([Timestamp, Interval], Timestamp, moment::timestamp_plus_interval),
        Overload::of([Interval, Timestamp], Timestamp, moment::interval_plus_timestamp),
        Overload::of([Timestamptz, Interval], Timestamptz, moment::timestamptz_plus_interval),
        Overload::of([Interval, Timestamptz], Timestamptz, moment::interval_plus_timestamptz),
        Overload::of([Time, Interval], Time, moment::time_plus_interval),
        Overload::of([Interval, Time], Time, moment::interval_plus_time),
        Overload::of([Interval, Interval], Interval, span::add),
    ]);
    overloads
}

fn minus() -> Vec<Overload> {
    let mut overloads =
        on_numbers(integer::subtract, float::subtract, numeric::subtract, Gives::From(numeric::sum_type));
    overloads.extend([
        Overload::of([Date, Date], Int4, moment::date_minus_date),
        Overload::of([Date, Int4], Date, moment::date_minus_days),
        Overload::of([Date, Interval], Timestamp, moment::date_minus_interval),
        Overload::of([Timestamp, Timestamp], Interval, moment::timestamp_minus_timestamp),
        Overload::of([Timestamptz, Timestamptz], Interval, moment::timestamp_minus_timestamp),
        Overload::of([Timestamp, Interval], Timestamp, moment::timestamp_minus_interval),
        Overload::of([Timestamptz, Interval], Timestamptz, moment::timestamptz_minus_interval),
        Overload::of([Time, Time], Interval, moment::time_minus_time),
        Overload::of([Time, Interval], Time, moment::time_minus_interval),
        Overload::of([Interval, Interval], Interval, span::subtract),
    ]);
    overloads
}

fn times() -> Vec<Overload> {
    let mut overloads =
        on_numbers(integer::multiply, float::multiply, numeric::multiply, Gives::From(numeric::product_type));
    overloads.push(Overload::of([Interval, Float8], Interval, span::times));
    overloads.push(Overload::of([Float8, Interval], Interval, span::times_swapped));
    overloads
}

fn divided() -> Vec<Overload> {
    let mut overloads =
        on_numbers(integer::divide, float::divide, numeric::divide, Gives::From(numeric::quotient_type));
    overloads.push(Overload::of([Interval, Float8], Interval, span::divided));
    overloads
}

/// Also the function `mod`.
pub fn remainder() -> Vec<Overload> {
    let mut overloads: Vec<Overload> =
        [Int2, Int4, Int8].map(|t| Overload::of([t.clone(), t.clone()], t, integer::remainder)).to_vec();
    let numerics = [Numeric(None), Numeric(None)].map(Parameter::Is);
    overloads.push(Overload::new(numerics, Gives::From(numeric::remainder_type), numeric::remainder));
    overloads
}

/// Also the function `power`.
pub fn power() -> Vec<Overload> {
    let numerics = [Numeric(None), Numeric(None)].map(Parameter::Is);
    vec![
        Overload::of([Float8, Float8], Float8, float::power),
        Overload::new(numerics, Gives::Is(Numeric(None)), numeric::power),
    ]
}

fn bits(kernel: Kernel) -> Vec<Overload> {
    [Int2, Int4, Int8].map(|t| Overload::of([t.clone(), t.clone()], t, kernel)).to_vec()
}

fn shifts(kernel: Kernel) -> Vec<Overload> {
    [Int2, Int4, Int8].map(|t| Overload::of([t.clone(), Int4], t, kernel)).to_vec()
}

fn negated() -> Vec<Overload> {
    let mut overloads: Vec<Overload> =
        [Int2, Int4, Int8].map(|t| Overload::of([t.clone()], t, integer::negate)).to_vec();
    let same = |arguments: &[crate::sql::coerce::Argument]| Ok(arguments[0].sql_type.clone());
    overloads.push(Overload::new([Parameter::Is(Numeric(None))], Gives::From(same), numeric::negate));
    overloads.push(Overload::of([Float8], Float8, float::negate));
    overloads.push(Overload::of([Float4], Float4, float::negate));
    overloads.push(Overload::of([Interval], Interval, span::negate));
    overloads
}
