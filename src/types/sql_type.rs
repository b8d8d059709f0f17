//! The table of SQL types: what PostgreSQL calls each, and how Arrow carries it in memory, on the wire and on disk.

use std::collections::HashMap;
use std::fmt;

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};
use serde::{Deserialize, Serialize};

/// Precision and scale of `numeric` without either: 22 digits before the point, 16 after, printed without trailing zeros.
const PLAIN_NUMERIC: (u8, i8) = (38, 16);

/// Key of a field's metadata that names its SQL type where Arrow's type alone is ambiguous.
pub const TYPE_KEY: &str = "millrace.type";

/// A type as SQL names it. On disk a type is the name of its variant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SqlType {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    /// Precision and scale as declared; none is PostgreSQL's unconstrained numeric (here 38 digits, 16 after the point).
    Numeric(Option<(u8, i8)>),
    Text,
    /// `varchar(n)`; without a length it is `varchar`.
    Varchar(Option<u32>),
    /// `char(n)`, blank-padded.
    Char(u32),
    /// `"char"`: one byte, for the catalogs.
    InternalChar,
    /// `name`, for the catalogs.
    Name,
    Bytea,
    Date,
    Time,
    Timestamp,
    Timestamptz,
    Interval,
    Uuid,
    Json,
    Jsonb,
    Oid,
    Regclass,
    Regtype,
    Regproc,
    Regnamespace,
    /// The type of a bare NULL or string literal that nothing has decided yet.
    Unknown,
    Array(Box<SqlType>),
    /// An anonymous row.
    Record,
}

impl SqlType {
    /// How Arrow carries values of this type. Text has offsets (not views), timestamps are microseconds.
    pub fn arrow(&self) -> DataType {
        match self {
            SqlType::Bool => DataType::Boolean,
            SqlType::Int2 => DataType::Int16,
            SqlType::Int4 => DataType::Int32,
            SqlType::Int8 => DataType::Int64,
            SqlType::Float4 => DataType::Float32,
            SqlType::Float8 => DataType::Float64,
            SqlType::Numeric(typmod) => {
                let (precision, scale) = typmod.unwrap_or(PLAIN_NUMERIC);
                match precision {
                    0..=38 => DataType::Decimal128(precision, scale),
                    _ => DataType::Decimal256(precision, scale),
                }
            }
            SqlType::Bytea => DataType::Binary,
            SqlType::Date => DataType::Date32,
            SqlType::Time => DataType::Time64(TimeUnit::Microsecond),
            SqlType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            SqlType::Timestamptz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            SqlType::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
            SqlType::Oid | SqlType::Regclass | SqlType::Regtype | SqlType::Regproc | SqlType::Regnamespace => {
                DataType::UInt32
            }
            SqlType::Array(element) => DataType::List(Field::new("item", element.arrow(), true).into()),
            SqlType::Text
            | SqlType::Varchar(_)
            | SqlType::Char(_)
            | SqlType::InternalChar
            | SqlType::Name
            | SqlType::Uuid
            | SqlType::Json
            | SqlType::Jsonb
            | SqlType::Unknown
            | SqlType::Record => DataType::Utf8,
        }
    }

    /// The SQL type that a bare Arrow type stands for.
    pub fn of_arrow(data_type: &DataType) -> SqlType {
        match data_type {
            DataType::Boolean => SqlType::Bool,
            DataType::Int8 | DataType::UInt8 | DataType::Int16 => SqlType::Int2,
            DataType::UInt16 | DataType::Int32 => SqlType::Int4,
            DataType::Int64 | DataType::UInt64 => SqlType::Int8,
            DataType::UInt32 => SqlType::Oid,
            DataType::Float16 | DataType::Float32 => SqlType::Float4,
            DataType::Float64 => SqlType::Float8,
            DataType::Decimal32(p, s)
            | DataType::Decimal64(p, s)
            | DataType::Decimal128(p, s)
            | DataType::Decimal256(p, s) => SqlType::Numeric(Some((*p, *s)).filter(|&given| given != PLAIN_NUMERIC)),
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
                SqlType::Bytea
            }
            DataType::Date32 | DataType::Date64 => SqlType::Date,
            DataType::Time32(_) | DataType::Time64(_) => SqlType::Time,
            DataType::Timestamp(_, None) => SqlType::Timestamp,
            DataType::Timestamp(_, Some(_)) => SqlType::Timestamptz,
            DataType::Interval(_) | DataType::Duration(_) => SqlType::Interval,
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                SqlType::Array(Box::new(SqlType::of_field(item)))
            }
            DataType::Struct(_) => SqlType::Record,
            DataType::Dictionary(_, values) => SqlType::of_arrow(values),
            _ => SqlType::Text,
        }
    }

    /// A field of this type; what Arrow does not say goes into its metadata.
    pub fn field(&self, name: &str, nullable: bool) -> Field {
        let data_type = match self {
            SqlType::Array(element) => DataType::List(element.field("item", true).into()),
            other => other.arrow(),
        };
        let field = Field::new(name, data_type.clone(), nullable);
        if matches!(self, SqlType::Array(_)) || SqlType::of_arrow(&data_type) == *self {
            return field;
        }
        field.with_metadata(HashMap::from([(TYPE_KEY.to_string(), self.to_string())]))
    }

    /// The type that [`SqlType::field`] put into a field; a field from elsewhere has the type of its Arrow type.
    pub fn of_field(field: &Field) -> SqlType {
        let named = field.metadata().get(TYPE_KEY).and_then(|name| SqlType::of_name(name));
        named.unwrap_or_else(|| SqlType::of_arrow(field.data_type()))
    }

    /// PostgreSQL's OID of the type.
    pub fn oid(&self) -> u32 {
        match self {
            SqlType::Bool => 16,
            SqlType::Bytea => 17,
            SqlType::InternalChar => 18,
            SqlType::Name => 19,
            SqlType::Int8 => 20,
            SqlType::Int2 => 21,
            SqlType::Int4 => 23,
            SqlType::Regproc => 24,
            SqlType::Text | SqlType::Unknown => 25,
            SqlType::Oid => 26,
            SqlType::Json => 114,
            SqlType::Float4 => 700,
            SqlType::Float8 => 701,
            SqlType::Char(_) => 1042,
            SqlType::Varchar(_) => 1043,
            SqlType::Date => 1082,
            SqlType::Time => 1083,
            SqlType::Timestamp => 1114,
            SqlType::Timestamptz => 1184,
            SqlType::Interval => 1186,
            SqlType::Numeric(_) => 1700,
            SqlType::Regclass => 2205,
            SqlType::Regtype => 2206,
            SqlType::Record => 2249,
            SqlType::Uuid => 2950,
            SqlType::Jsonb => 3802,
            SqlType::Regnamespace => 4089,
            SqlType::Array(element) => element.array_oid(),
        }
    }

    /// The OID of the array type over this type.
    pub fn array_oid(&self) -> u32 {
        match self {
            SqlType::Bool => 1000,
            SqlType::Bytea => 1001,
            SqlType::InternalChar => 1002,
            SqlType::Name => 1003,
            SqlType::Int2 => 1005,
            SqlType::Int4 => 1007,
            SqlType::Regproc => 1008,
            SqlType::Text | SqlType::Unknown => 1009,
            SqlType::Char(_) => 1014,
            SqlType::Varchar(_) => 1015,
            SqlType::Int8 => 1016,
            SqlType::Float4 => 1021,
            SqlType::Float8 => 1022,
            SqlType::Oid => 1028,
            SqlType::Timestamp => 1115,
            SqlType::Date => 1182,
            SqlType::Time => 1183,
            SqlType::Timestamptz => 1185,
            SqlType::Interval => 1187,
            SqlType::Numeric(_) => 1231,
            SqlType::Json => 199,
            SqlType::Regclass => 2210,
            SqlType::Regtype => 2211,
            SqlType::Record => 2287,
            SqlType::Uuid => 2951,
            SqlType::Jsonb => 3807,
            SqlType::Regnamespace => 4090,
            SqlType::Array(element) => element.array_oid(),
        }
    }

    /// The type with this OID (the element's length or precision is not part of an OID).
    pub fn of_oid(oid: u32) -> Option<SqlType> {
        let scalar = Self::SCALARS.iter().find(|candidate| candidate.oid() == oid);
        let array = || Self::SCALARS.iter().find(|candidate| candidate.array_oid() == oid);
        match scalar {
            Some(found) => Some(found.clone()),
            None => array().map(|element| SqlType::Array(Box::new(element.clone()))),
        }
    }

    /// One of each type that is not an array, without lengths and precisions.
    pub const SCALARS: &[SqlType] = &[
        SqlType::Bool,
        SqlType::Int2,
        SqlType::Int4,
        SqlType::Int8,
        SqlType::Float4,
        SqlType::Float8,
        SqlType::Numeric(None),
        SqlType::Text,
        SqlType::Varchar(None),
        SqlType::Char(1),
        SqlType::InternalChar,
        SqlType::Name,
        SqlType::Bytea,
        SqlType::Date,
        SqlType::Time,
        SqlType::Timestamp,
        SqlType::Timestamptz,
        SqlType::Interval,
        SqlType::Uuid,
        SqlType::Json,
        SqlType::Jsonb,
        SqlType::Oid,
        SqlType::Regclass,
        SqlType::Regtype,
        SqlType::Regproc,
        SqlType::Regnamespace,
        SqlType::Record,
    ];

    /// Bytes of a value on PostgreSQL's wire in binary, -1 if that varies (`pg_type.typlen`).
    pub fn wire_len(&self) -> i16 {
        match self {
            SqlType::Bool | SqlType::InternalChar => 1,
            SqlType::Int2 => 2,
            SqlType::Int4 | SqlType::Float4 | SqlType::Date => 4,
            SqlType::Oid | SqlType::Regclass | SqlType::Regtype | SqlType::Regproc | SqlType::Regnamespace => 4,
            SqlType::Int8 | SqlType::Float8 | SqlType::Time | SqlType::Timestamp | SqlType::Timestamptz => 8,
            SqlType::Interval | SqlType::Uuid => 16,
            SqlType::Name => 64,
            _ => -1,
        }
    }

    /// PostgreSQL's type modifier: length or precision, -1 without one (`pg_attribute.atttypmod`).
    pub fn typmod(&self) -> i32 {
        match self {
            SqlType::Numeric(Some((precision, scale))) => ((*precision as i32) << 16 | (*scale as i32 & 0x7ff)) + 4,
            SqlType::Varchar(Some(length)) | SqlType::Char(length) => *length as i32 + 4,
            SqlType::Array(element) => element.typmod(),
            _ => -1,
        }
    }

    /// The type that [`Display`](fmt::Display) writes; only what can stand in [`TYPE_KEY`] is read back.
    fn of_name(name: &str) -> Option<SqlType> {
        if let Some(element) = name.strip_suffix("[]") {
            return SqlType::of_name(element).map(|element| SqlType::Array(Box::new(element)));
        }
        let length = |prefix: &str| name.strip_prefix(prefix)?.strip_suffix(')')?.parse::<u32>().ok();
        if let Some(length) = length("character varying(") {
            return Some(SqlType::Varchar(Some(length)));
        }
        if let Some(length) = length("character(") {
            return Some(SqlType::Char(length));
        }
        let plain = Self::SCALARS.iter().chain(&[SqlType::Unknown]);
        plain.into_iter().find(|candidate| candidate.to_string() == name).cloned()
    }
}

/// As PostgreSQL's `format_type` prints it.
impl fmt::Display for SqlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            SqlType::Bool => "boolean",
            SqlType::Int2 => "smallint",
            SqlType::Int4 => "integer",
            SqlType::Int8 => "bigint",
            SqlType::Float4 => "real",
            SqlType::Float8 => "double precision",
            SqlType::Numeric(None) => "numeric",
            SqlType::Numeric(Some((precision, scale))) => return write!(f, "numeric({precision},{scale})"),
            SqlType::Text => "text",
            SqlType::Varchar(None) => "character varying",
            SqlType::Varchar(Some(length)) => return write!(f, "character varying({length})"),
            SqlType::Char(length) => return write!(f, "character({length})"),
            SqlType::InternalChar => "\"char\"",
            SqlType::Name => "name",
            SqlType::Bytea => "bytea",
            SqlType::Date => "date",
            SqlType::Time => "time without time zone",
            SqlType::Timestamp => "timestamp without time zone",
            SqlType::Timestamptz => "timestamp with time zone",
            SqlType::Interval => "interval",
            SqlType::Uuid => "uuid",
            SqlType::Json => "json",
            SqlType::Jsonb => "jsonb",
            SqlType::Oid => "oid",
            SqlType::Regclass => "regclass",
            SqlType::Regtype => "regtype",
            SqlType::Regproc => "regproc",
            SqlType::Regnamespace => "regnamespace",
            SqlType::Unknown => "unknown",
            SqlType::Array(element) => return write!(f, "{element}[]"),
            SqlType::Record => "record",
        };
        f.write_str(name)
    }
}
