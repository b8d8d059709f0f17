//! Values as text: what PostgreSQL prints, and what it reads. The one definition for the wire, COPY, casts and JSON.

mod array;
mod bytes;
mod calendar;
mod datetime;
mod float;
mod interval;
mod numeric;
mod read;
mod write;
mod zone;

pub use array::split as split_array;
pub use bytes::{read_escaped, read_hex, write_hex};
pub use calendar::{Clock, date_of_days, days_in_month, days_of_date};
pub use datetime::{Moment, read_moment};
pub use float::{write_float4, write_float8};
pub use interval::{MICROS_PER_DAY, read_interval, write_clock, write_interval};
pub use numeric::{
    Digits, POWERS, exceeds, field_overflow, read_numeric, rescale, rescale_wide, round_half_away,
    round_wide_half_away, write_decimal, write_wide_decimal,
};
pub use read::{parse, parse_one};
pub use write::TextWriter;
pub use zone::Zone;

/// The settings that change how values are printed and read.
#[derive(Clone, Debug)]
pub struct TextStyle {
    /// An IANA name or a fixed offset; timestamptz is shown and read in it.
    pub time_zone: String,
}

impl Default for TextStyle {
    fn default() -> Self {
        TextStyle { time_zone: "UTC".into() }
    }
}
