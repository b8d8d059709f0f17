//! The one concrete collection, trace and batch of the house; deltas as timely's containers.

use std::rc::Rc;

use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use differential_dataflow::operators::arrange;
use differential_dataflow::trace::chunk::{ChunkBatch, ChunkBatcher, ChunkBuilder, ChunkSpine};
use timely::Accountable;
use timely::bytes::arc::Bytes;
use timely::dataflow::channels::ContainerBytes;

use super::columns::{concat_rows, take_rows};
use super::page::Page;
use crate::types::{Delta, Stamps, Time};

pub type Stream<'s> = timely::dataflow::Stream<'s, Time, Delta>;
pub type Batch = Rc<ChunkBatch<Page>>;
pub type Batcher = ChunkBatcher<Page>;
pub type Builder = ChunkBuilder<Page>;
pub type Spine = ChunkSpine<Page>;
pub type Trace = arrange::TraceAgent<Spine>;
pub type TraceWriter = arrange::TraceWriter<Spine>;
/// A trace, and the stream of its batches as they are sealed.
pub type Arranged<'s> = arrange::Arranged<'s, Trace>;

/// What every operator takes and gives: rows of one schema, and the errors of rows that could not be computed.
#[derive(Clone)]
pub struct Collection<'s> {
    pub rows: Stream<'s>,
    /// Rows of [`error_schema`](super::errors::error_schema).
    pub errors: Stream<'s>,
    pub schema: SchemaRef,
}

impl Accountable for Delta {
    fn record_count(&self) -> i64 {
        self.len() as i64
    }
}

/// Between processes a delta is an Arrow IPC stream, then its times and diffs: a tag, and one value or one per row.
impl ContainerBytes for Delta {
    fn from_bytes(bytes: Bytes) -> Self {
        let mut words = Words(&bytes);
        let ipc_bytes = words.next() as usize;
        let (ipc, stamps) = words.0.split_at(ipc_bytes);
        let mut reader = StreamReader::try_new(ipc, None).expect("a peer of the same version wrote it");
        let rows = reader.next().expect("there is one batch").expect("a peer of the same version wrote it");
        let mut words = Words(stamps);
        let times = words.stamps(rows.num_rows());
        let diffs = words.stamps(rows.num_rows()).map(|diff| diff as i64);
        Delta { rows, times, diffs }
    }

    fn length_in_bytes(&self) -> usize {
        self.serialized().len()
    }

    fn into_bytes<W: std::io::Write>(&self, writer: &mut W) {
        writer.write_all(&self.serialized()).expect("timely gives as many bytes as asked for");
    }
}

impl Delta {
    /// All updates of several deltas.
    pub fn concat(schema: &SchemaRef, deltas: &[Delta]) -> Delta {
        let rows: Vec<_> = deltas.iter().map(|delta| &delta.rows).collect();
        Delta {
            rows: concat_rows(schema, &rows),
            times: Stamps::concat(deltas.iter().map(|delta| (&delta.times, delta.len()))),
            diffs: Stamps::concat(deltas.iter().map(|delta| (&delta.diffs, delta.len()))),
        }
    }

    /// The updates with later times.
    pub fn after(self, time: Time) -> Delta {
        match &self.times {
            Stamps::Same(same) if *same > time => self,
            times => {
                let rows: Vec<u32> = (0..self.len() as u32).filter(|&row| times.get(row as usize) > time).collect();
                Delta { rows: take_rows(&self.rows, &rows), times: times.take(&rows), diffs: self.diffs.take(&rows) }
            }
        }
    }

    fn serialized(&self) -> Vec<u8> {
        let mut ipc = vec![];
        let mut writer = StreamWriter::try_new(&mut ipc, &self.rows.schema()).expect("writing to memory");
        writer.write(&self.rows).expect("writing to memory");
        writer.finish().expect("writing to memory");
        drop(writer);
        ipc.resize(ipc.len().next_multiple_of(8), 0);
        let mut bytes = (ipc.len() as u64).to_le_bytes().to_vec();
        bytes.extend(ipc);
        for stamps in [self.times.clone(), self.diffs.map(|diff| diff as u64)] {
            let words = match stamps {
                Stamps::Same(value) => vec![0, value],
                Stamps::Each(values) => [&[1], &values[..]].concat(),
            };
            bytes.extend(words.into_iter().flat_map(u64::to_le_bytes));
        }
        bytes
    }
}

/// Reads little-endian words.
struct Words<'a>(&'a [u8]);

impl Words<'_> {
    fn next(&mut self) -> u64 {
        let (word, rest) = self.0.split_first_chunk().expect("a delta is written whole");
        self.0 = rest;
        u64::from_le_bytes(*word)
    }

    fn stamps(&mut self, rows: usize) -> Stamps<u64> {
        match self.next() {
            0 => Stamps::Same(self.next()),
            _ => Stamps::Each((0..rows).map(|_| self.next()).collect()),
        }
    }
}
