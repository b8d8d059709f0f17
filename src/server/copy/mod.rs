//! COPY's text and csv formats, in both directions, as PostgreSQL reads and writes them.

mod fields;
mod reader;
mod writer;

pub(super) use reader::CopyReader;
pub(super) use writer::CopyWriter;

/// The line that ends the data, for programs that can't say so otherwise.
const END_OF_DATA: &[u8] = b"\\.";
