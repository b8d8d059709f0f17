//! Which types become one another by themselves.

use crate::types::SqlType;

/// The type as messages name it, without length, precision or scale.
pub fn bare_name(sql_type: &SqlType) -> String {
    match sql_type {
        SqlType::Numeric(_) => "numeric".into(),
        SqlType::Varchar(_) => "character varying".into(),
        SqlType::Char(_) => "character".into(),
        SqlType::Array(element) => format!("{}[]", bare_name(element)),
        other => other.to_string(),
    }
}

fn is_text(sql_type: &SqlType) -> bool {
    matches!(
        sql_type,
        SqlType::Text | SqlType::Varchar(_) | SqlType::Char(_) | SqlType::Name | SqlType::InternalChar
    )
}

fn number_rank(sql_type: &SqlType) -> Option<u8> {
    Some(match sql_type {
        SqlType::Int2 => 0,
        SqlType::Int4 => 1,
        SqlType::Int8 => 2,
        SqlType::Numeric(_) => 3,
        SqlType::Float4 => 4,
        SqlType::Float8 => 5,
        _ => return None,
    })
}

/// Whether an assignment casts by itself.
pub fn is_assignable(from: &SqlType, to: &SqlType) -> bool {
    if from == to || is_text(to) {
        return true;
    }
    match (from, to) {
        (SqlType::Array(from), SqlType::Array(to)) => is_assignable(from, to),
        (SqlType::Date | SqlType::Timestamp | SqlType::Timestamptz, to) => {
            matches!(to, SqlType::Date | SqlType::Timestamp | SqlType::Timestamptz)
                || (*to == SqlType::Time && *from != SqlType::Date)
        }
        (SqlType::Time, SqlType::Interval) | (SqlType::Interval, SqlType::Time) => true,
        (SqlType::Json, SqlType::Jsonb) | (SqlType::Jsonb, SqlType::Json) => true,
        (SqlType::Int2 | SqlType::Int4 | SqlType::Int8, SqlType::Oid) => true,
        (SqlType::Oid | SqlType::Regclass, SqlType::Int4 | SqlType::Int8 | SqlType::Oid) => true,
        _ => number_rank(from).is_some() && number_rank(to).is_some(),
    }
}

/// The type that values of both take in UNION and VALUES; None if there is none.
pub fn common_type(left: &SqlType, right: &SqlType) -> Option<SqlType> {
    if left == right {
        return Some(left.clone());
    }
    match (left, right) {
        (SqlType::Unknown, other) | (other, SqlType::Unknown) => Some(other.clone()),
        (SqlType::Numeric(Some(left)), SqlType::Numeric(Some(right))) => Some(common_numeric(*left, *right)),
        (SqlType::Numeric(_), SqlType::Numeric(_)) => Some(SqlType::Numeric(None)),
        (SqlType::Numeric(Some(shape)), integer) | (integer, SqlType::Numeric(Some(shape)))
            if integer_digits(integer).is_some() =>
        {
            integer_digits(integer).map(|digits| common_numeric(*shape, (digits, 0)))
        }
        (SqlType::Varchar(_), SqlType::Varchar(_)) => Some(SqlType::Varchar(None)),
        (SqlType::Array(left), SqlType::Array(right)) => {
            common_type(left, right).map(|element| SqlType::Array(Box::new(element)))
        }
        (SqlType::Date, SqlType::Timestamp | SqlType::Timestamptz) => Some(right.clone()),
        (SqlType::Timestamp | SqlType::Timestamptz, SqlType::Date) => Some(left.clone()),
        (SqlType::Timestamp, SqlType::Timestamptz) | (SqlType::Timestamptz, SqlType::Timestamp) => {
            Some(SqlType::Timestamptz)
        }
        _ if is_text(left) && is_text(right) => Some(SqlType::Text),
        _ => match number_rank(left)? >= number_rank(right)? {
            true => Some(left.clone()),
            false => Some(right.clone()),
        },
    }
}

fn integer_digits(sql_type: &SqlType) -> Option<u8> {
    match sql_type {
        SqlType::Int2 => Some(5),
        SqlType::Int4 => Some(10),
        SqlType::Int8 => Some(19),
        _ => None,
    }
}

/// The precision and scale that hold every value of both.
fn common_numeric(left: (u8, i8), right: (u8, i8)) -> SqlType {
    let scale = left.1.max(right.1);
    let whole = (left.0 as i8 - left.1).max(right.0 as i8 - right.1);
    SqlType::Numeric(Some(((whole + scale).clamp(1, 76) as u8, scale)))
}
