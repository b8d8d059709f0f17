//! Which type turns into which by itself, and what several types have in common: PostgreSQL's rules over our types.

use crate::types::SqlType;

/// The families within which PostgreSQL looks for a common type.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Category {
    Bool,
    Number,
    Text,
    Moment,
    Span,
    Array,
    Other,
}

pub fn category(sql_type: &SqlType) -> Category {
    match sql_type {
        SqlType::Bool => Category::Bool,
        SqlType::Int2
        | SqlType::Int4
        | SqlType::Int8
        | SqlType::Float4
        | SqlType::Float8
        | SqlType::Numeric(_)
        | SqlType::Oid
        | SqlType::Regclass
        | SqlType::Regtype
        | SqlType::Regproc
        | SqlType::Regnamespace => Category::Number,
        SqlType::Text | SqlType::Varchar(_) | SqlType::Char(_) | SqlType::Name | SqlType::InternalChar => {
            Category::Text
        }
        SqlType::Date | SqlType::Timestamp | SqlType::Timestamptz | SqlType::Time => Category::Moment,
        SqlType::Interval => Category::Span,
        SqlType::Array(_) => Category::Array,
        _ => Category::Other,
    }
}

/// Whether the type is what its family's values prefer to become.
pub fn is_preferred(sql_type: &SqlType) -> bool {
    use SqlType::*;
    matches!(sql_type, Bool | Float8 | Text | Timestamptz | Interval | Oid)
}

/// Whether the two are one type but for their length, precision or scale.
pub fn is_same(from: &SqlType, to: &SqlType) -> bool {
    match (from, to) {
        (SqlType::Numeric(_), SqlType::Numeric(_))
        | (SqlType::Varchar(_), SqlType::Varchar(_))
        | (SqlType::Char(_), SqlType::Char(_)) => true,
        (SqlType::Array(from), SqlType::Array(to)) => is_same(from, to),
        _ => from == to,
    }
}

/// Whether a value becomes another type's without being asked to.
pub fn is_implicit(from: &SqlType, to: &SqlType) -> bool {
    use SqlType::*;
    if is_same(from, to) {
        return true;
    }
    match (from, to) {
        (Int2, Int4 | Int8 | Numeric(_) | Float4 | Float8 | Oid) => true,
        (Int4, Int8 | Numeric(_) | Float4 | Float8 | Oid) => true,
        (Int8, Numeric(_) | Float4 | Float8 | Oid) => true,
        (Numeric(_), Float4 | Float8) | (Float4, Float8) => true,
        (Date, Timestamp | Timestamptz) | (Timestamp, Timestamptz) | (Time, Interval) => true,
        (Varchar(_) | Char(_) | Name | InternalChar | Text, Text | Varchar(_)) => true,
        (Text | Varchar(_), Char(_) | Name) => true,
        (Regclass | Regtype | Regproc | Regnamespace, Oid) => true,
        (Oid, Int8 | Regclass | Regtype | Regproc | Regnamespace) => true,
        (Array(from), Array(to)) => is_implicit(from, to),
        _ => false,
    }
}

/// The precision and scale that hold every value of both, as far as 76 digits go.
pub fn common_numeric(left: (u8, i8), right: (u8, i8)) -> (u8, i8) {
    let scale = left.1.max(right.1);
    let whole = |(precision, scale): (u8, i8)| i32::from(precision) - i32::from(scale);
    let precision = whole(left).max(whole(right)) + i32::from(scale);
    // Plain numeric stays plain beside an integer: the digits before its point are limited anyway.
    let limit = if left.0 <= 38 && right.0 <= 38 { 38 } else { 76 };
    (precision.clamp(1, limit) as u8, scale)
}

/// Digits before and after the point that a number of this type may have.
pub fn numeric_shape(sql_type: &SqlType) -> Option<(u8, i8)> {
    match sql_type {
        SqlType::Int2 => Some((5, 0)),
        SqlType::Int4 => Some((10, 0)),
        SqlType::Int8 => Some((19, 0)),
        SqlType::Oid => Some((10, 0)),
        SqlType::Numeric(Some(shape)) => Some(*shape),
        SqlType::Numeric(None) => Some((38, 16)),
        _ => None,
    }
}

/// `numeric` of this shape; the shape of plain numeric is plain numeric.
pub fn numeric_of((precision, scale): (u8, i8)) -> SqlType {
    match (precision, scale) {
        (38, 16) => SqlType::Numeric(None),
        shape => SqlType::Numeric(Some(shape)),
    }
}

/// The type that values of both take in UNION, CASE, COALESCE, IN and comparisons; None if there is none.
pub fn common_type(left: &SqlType, right: &SqlType) -> Option<SqlType> {
    use SqlType::*;
    if left == right {
        return Some(left.clone());
    }
    match (left, right) {
        (Unknown, other) | (other, Unknown) => Some(other.clone()),
        (Float8, other) | (other, Float8) if category(other) == Category::Number => Some(Float8),
        (Float4, Float4) => Some(Float4),
        (Float4, other) | (other, Float4) if numeric_shape(other).is_some() => match other {
            Numeric(_) => Some(Float8),
            _ => Some(Float4),
        },
        (Numeric(_), other) | (other, Numeric(_)) => {
            let (a, b) = (numeric_shape(left)?, numeric_shape(right)?);
            let _ = other;
            Some(numeric_of(common_numeric(a, b)))
        }
        (Int8, Int2 | Int4) | (Int2 | Int4, Int8) => Some(Int8),
        (Int4, Int2) | (Int2, Int4) => Some(Int4),
        (Varchar(_), Varchar(_)) => Some(Varchar(None)),
        (Char(a), Char(b)) => Some(Char(*a.max(b))),
        (Array(a), Array(b)) => common_type(a, b).map(|element| Array(Box::new(element))),
        _ if category(left) == Category::Text && category(right) == Category::Text => Some(Text),
        _ if is_implicit(left, right) => Some(right.clone()),
        _ if is_implicit(right, left) => Some(left.clone()),
        _ => None,
    }
}

/// The common type for a comparison: float4 meets integers as float8, as PostgreSQL's operators have it.
pub fn comparison_type(left: &SqlType, right: &SqlType) -> Option<SqlType> {
    match common_type(left, right)? {
        SqlType::Float4 if left != right => Some(SqlType::Float8),
        common => Some(common),
    }
}
