//! A delta as bytes, for the log: diffs, then one Arrow IPC record batch without its schema, which the catalog knows.
//!
//! ```text
//!   version u8 │ 0 and one diff, or 1 and as many as rows │ message length u32 │ message │ buffers
//! ```
//! Numbers are little-endian. The time stands in the key.

use std::collections::HashMap;

use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::read_record_batch;
use arrow::ipc::root_as_message;
use arrow::ipc::writer::{CompressionContext, DictionaryTracker, IpcDataGenerator, IpcWriteOptions};

use crate::types::{Delta, Diff, Error, Result, SqlState, Stamps, Time};

const VERSION: u8 = 1;
const ONE_DIFF: u8 = 0;
const DIFF_PER_ROW: u8 = 1;

/// The rows and diffs of a delta.
pub fn delta_to_bytes(delta: &Delta) -> Result<Vec<u8>> {
    let mut bytes = vec![VERSION];
    match &delta.diffs {
        Stamps::Same(diff) => {
            bytes.push(ONE_DIFF);
            bytes.extend(diff.to_le_bytes());
        }
        Stamps::Each(diffs) => {
            bytes.push(DIFF_PER_ROW);
            bytes.extend((diffs.len() as u32).to_le_bytes());
            bytes.extend(diffs.iter().flat_map(|diff| diff.to_le_bytes()));
        }
    }
    let options = IpcWriteOptions::try_new(8, false, arrow::ipc::MetadataVersion::V5)?;
    let mut tracker = DictionaryTracker::new(false);
    let encoder = IpcDataGenerator::default();
    let (_, encoded) = encoder.encode(&delta.rows, &mut tracker, &options, &mut CompressionContext::default())?;
    bytes.extend((encoded.ipc_message.len() as u32).to_le_bytes());
    bytes.extend(encoded.ipc_message);
    bytes.extend(encoded.arrow_data);
    Ok(bytes)
}

/// What [`delta_to_bytes`] wrote of rows of this schema, at `time`.
pub fn delta_from_bytes(bytes: &[u8], schema: &SchemaRef, time: Time) -> Result<Delta> {
    let mut reader = Reader(bytes);
    if reader.take(1)?[0] != VERSION {
        return Err(unreadable("it is of another version"));
    }
    let diffs = match reader.take(1)?[0] {
        ONE_DIFF => Stamps::Same(reader.diff()?),
        _ => {
            let rows = reader.length()?;
            Stamps::Each((0..rows).map(|_| reader.diff()).collect::<Result<Vec<_>>>()?.into())
        }
    };
    let length = reader.length()?;
    let message = root_as_message(reader.take(length)?).map_err(|error| unreadable(&error.to_string()))?;
    let batch = message.header_as_record_batch().ok_or_else(|| unreadable("it holds no rows"))?;
    let buffers = Buffer::from(reader.0);
    let rows = read_record_batch(&buffers, batch, schema.clone(), &HashMap::new(), None, &message.version());
    let rows = rows.map_err(|error| unreadable(&error.to_string()))?;
    Ok(Delta { rows, times: Stamps::Same(time), diffs })
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or_else(|| unreadable("it ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn length(&mut self) -> Result<usize> {
        let bytes = self.take(4)?.try_into().expect("as many as were taken");
        Ok(u32::from_le_bytes(bytes) as usize)
    }

    fn diff(&mut self) -> Result<Diff> {
        let bytes = self.take(8)?.try_into().expect("as many as were taken");
        Ok(Diff::from_le_bytes(bytes))
    }
}

fn unreadable(why: &str) -> Error {
    Error::new(SqlState::DATA_CORRUPTED, format!("a commit in the log can't be read: {why}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};

    use super::*;

    #[test]
    fn rows_and_diffs_come_back() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), Some(""), None]));
        let rows = RecordBatch::try_from_iter_with_nullable([("n", numbers, true), ("t", texts, true)]).unwrap();
        // A slice, whose offsets do not begin at zero.
        let rows = rows.slice(1, 2);
        for diffs in [Stamps::Same(-1), Stamps::Each(vec![2, -3].into())] {
            let delta = Delta { rows: rows.clone(), times: Stamps::Same(7), diffs };
            let bytes = delta_to_bytes(&delta).unwrap();
            let read = delta_from_bytes(&bytes, &rows.schema(), 7).unwrap();
            assert_eq!((&read.rows, &read.times, &read.diffs), (&delta.rows, &delta.times, &delta.diffs));
            for end in 0..20 {
                assert!(delta_from_bytes(&bytes[..end], &rows.schema(), 7).is_err(), "cut to {end}");
            }
        }
    }
}
