//! Kernels from functions of single values: NULL in, NULL out, a row at a time.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BooleanArray, PrimitiveArray, StringArray,
};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNano, IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType,
};

use super::definition::Call;
use crate::types::Result;

/// A value as it is read from a column, whose type is found out once.
pub trait Input<'a>: Sized {
    type Column: Copy;
    fn typed(array: &'a dyn Array) -> Self::Column;
    fn read(column: Self::Column, row: usize) -> Self;

    /// One value alone.
    fn of(array: &'a dyn Array, row: usize) -> Self {
        Self::read(Self::typed(array), row)
    }
}

/// A value as it is written to a column; an Option may be NULL.
pub trait Output: Sized {
    fn column(values: Vec<Option<Self>>, data_type: &DataType) -> ArrayRef;
}

/// Microseconds since the epoch, of a timestamp with or without time zone.
#[derive(Clone, Copy)]
pub struct Timestamp(pub i64);

/// Days since the epoch.
#[derive(Clone, Copy)]
pub struct Date(pub i32);

/// Microseconds since midnight.
#[derive(Clone, Copy)]
pub struct Time(pub i64);

/// A numeric without its scale.
#[derive(Clone, Copy)]
pub struct Unscaled(pub i128);

impl<'a> Input<'a> for &'a str {
    type Column = &'a StringArray;

    fn typed(array: &'a dyn Array) -> Self::Column {
        array.as_string::<i32>()
    }

    fn read(column: Self::Column, row: usize) -> Self {
        column.value(row)
    }
}

impl<'a> Input<'a> for &'a [u8] {
    type Column = &'a BinaryArray;

    fn typed(array: &'a dyn Array) -> Self::Column {
        array.as_binary::<i32>()
    }

    fn read(column: Self::Column, row: usize) -> Self {
        column.value(row)
    }
}

impl<'a> Input<'a> for bool {
    type Column = &'a BooleanArray;

    fn typed(array: &'a dyn Array) -> Self::Column {
        array.as_boolean()
    }

    fn read(column: Self::Column, row: usize) -> Self {
        column.value(row)
    }
}

impl Output for String {
    fn column(values: Vec<Option<Self>>, _: &DataType) -> ArrayRef {
        Arc::new(StringArray::from(values))
    }
}

/// A part of an argument, copied once.
impl Output for &str {
    fn column(values: Vec<Option<Self>>, _: &DataType) -> ArrayRef {
        Arc::new(StringArray::from(values))
    }
}

impl Output for Vec<u8> {
    fn column(values: Vec<Option<Self>>, _: &DataType) -> ArrayRef {
        Arc::new(values.iter().map(Option::as_deref).collect::<BinaryArray>())
    }
}

impl Output for bool {
    fn column(values: Vec<Option<Self>>, _: &DataType) -> ArrayRef {
        Arc::new(BooleanArray::from(values))
    }
}

fn primitives<T: ArrowPrimitiveType>(
    values: impl Iterator<Item = Option<T::Native>>,
    data_type: &DataType,
) -> ArrayRef {
    Arc::new(values.collect::<PrimitiveArray<T>>().with_data_type(data_type.clone()))
}

macro_rules! primitive_values {
    ($($value:ty, $arrow:ty, $wrap:expr, $unwrap:expr;)*) => {$(
        impl<'a> Input<'a> for $value {
            type Column = &'a PrimitiveArray<$arrow>;

            fn typed(array: &'a dyn Array) -> Self::Column {
                array.as_primitive::<$arrow>()
            }

            fn read(column: Self::Column, row: usize) -> Self {
                $wrap(column.value(row))
            }
        }
        impl Output for $value {
            fn column(values: Vec<Option<Self>>, data_type: &DataType) -> ArrayRef {
                primitives::<$arrow>(values.into_iter().map(|value| value.map($unwrap)), data_type)
            }
        }
    )*};
}

primitive_values! {
    i16, Int16Type, |value| value, |value| value;
    i32, Int32Type, |value| value, |value| value;
    i64, Int64Type, |value| value, |value| value;
    f32, Float32Type, |value| value, |value| value;
    f64, Float64Type, |value| value, |value| value;
    Date, Date32Type, Date, |value: Date| value.0;
    Time, Time64MicrosecondType, Time, |value: Time| value.0;
    Timestamp, TimestampMicrosecondType, Timestamp, |value: Timestamp| value.0;
    Unscaled, Decimal128Type, Unscaled, |value: Unscaled| value.0;
    IntervalMonthDayNano, IntervalMonthDayNanoType, |value| value, |value| value;
}

/// What a function of values gives: a value, or maybe NULL.
pub trait Maybe {
    type Value: Output;
    fn maybe(self) -> Option<Self::Value>;
}

impl<T: Output> Maybe for T {
    type Value = T;
    fn maybe(self) -> Option<T> {
        Some(self)
    }
}

impl<T: Output> Maybe for Option<T> {
    type Value = T;
    fn maybe(self) -> Option<T> {
        self
    }
}

fn rows<R: Maybe>(call: &Call, places: usize, value: impl Fn(usize) -> Result<R>) -> Result<ArrayRef> {
    let nulls = NullBuffer::union_many((0..places).map(|place| call.array(place).nulls()));
    let mut values = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        values.push(match &nulls {
            Some(nulls) if nulls.is_null(row) => None,
            _ => value(row)?.maybe(),
        });
    }
    Ok(R::Value::column(values, call.result))
}

pub fn map1<'a, A: Input<'a>, R: Maybe>(call: &'a Call, f: impl Fn(A) -> Result<R>) -> Result<ArrayRef> {
    let a = A::typed(call.array(0));
    rows(call, 1, |row| f(A::read(a, row)))
}

pub fn map2<'a, A, B, R>(call: &'a Call, f: impl Fn(A, B) -> Result<R>) -> Result<ArrayRef>
where
    A: Input<'a>,
    B: Input<'a>,
    R: Maybe,
{
    let (a, b) = (A::typed(call.array(0)), B::typed(call.array(1)));
    rows(call, 2, |row| f(A::read(a, row), B::read(b, row)))
}

pub fn map3<'a, A, B, C, R>(call: &'a Call, f: impl Fn(A, B, C) -> Result<R>) -> Result<ArrayRef>
where
    A: Input<'a>,
    B: Input<'a>,
    C: Input<'a>,
    R: Maybe,
{
    let (a, b, c) = (A::typed(call.array(0)), B::typed(call.array(1)), C::typed(call.array(2)));
    rows(call, 3, |row| f(A::read(a, row), B::read(b, row), C::read(c, row)))
}

pub fn map4<'a, A, B, C, D, R>(call: &'a Call, f: impl Fn(A, B, C, D) -> Result<R>) -> Result<ArrayRef>
where
    A: Input<'a>,
    B: Input<'a>,
    C: Input<'a>,
    D: Input<'a>,
    R: Maybe,
{
    let (a, b) = (A::typed(call.array(0)), B::typed(call.array(1)));
    let (c, d) = (C::typed(call.array(2)), D::typed(call.array(3)));
    rows(call, 4, |row| f(A::read(a, row), B::read(b, row), C::read(c, row), D::read(d, row)))
}
