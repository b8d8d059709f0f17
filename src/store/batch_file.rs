//! Files of chunks: what a checkpoint adds to those before it. Written once, synced, then only read, through a mapping.
//!
//! ```text
//!   segment ─ an Arrow IPC file: chunks of one arrangement, a record batch each ─┐
//!   segment ...                                                                  │ at multiples of 64 bytes
//! ```
//! A record batch has the columns `key_hash`, then `row_hash` or `order` where the key is not the whole row, `time` and
//! `diff` where they are not the same for all rows of a chunk, and the row. Where they are, they stand in the metadata of the
//! IPC file, as do all that differs between chunks: so a segment has chunks of one kind.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, UInt64Array};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, UInt64Type};
use arrow::ipc::convert::fb_to_schema;
use arrow::ipc::reader::{FileDecoder, read_footer_length};
use arrow::ipc::root_as_footer;
use arrow::ipc::writer::FileWriter;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::files::{Files, failed};
use super::map::{mapped, trusting};
use crate::dataflow::chunk::ArrowChunk;
use crate::dataflow::saved::{Place, SavedAt, SavedChunk, SavedFile, SavedOrder, Segment};
use crate::types::{Diff, Error, Result, SqlState, Stamps, Time};

/// Segments begin at multiples of this, so that what is mapped is aligned.
const ALIGNMENT: u64 = 64;
/// The key of the metadata that says what chunks don't store per row.
const CHUNKS_KEY: &str = "millrace.chunks";

/// What a chunk shares among its rows; none is stored per row.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Shared {
    time: Option<Time>,
    diff: Option<Diff>,
}

/// A file that is being written.
pub struct BatchFileWriter {
    saved: Arc<SavedFile>,
    path: PathBuf,
    file: BufWriter<File>,
    segments: Vec<Segment>,
    end: u64,
}

impl BatchFileWriter {
    pub fn create(files: &Files) -> Result<Self> {
        let saved = files.create();
        let path = files.path(saved.id);
        let file = File::create(&path).map_err(|error| failed("create", &path, &error))?;
        let file = BufWriter::with_capacity(1 << 20, file);
        Ok(BatchFileWriter { saved, path, file, segments: vec![], end: 0 })
    }

    /// Adds chunks of one layout; gives where each is.
    pub fn add(&mut self, chunks: &[ArrowChunk]) -> Result<Vec<SavedAt>> {
        let mut places = vec![Place { file: self.saved.id, segment: 0, chunk: 0 }; chunks.len()];
        let kind = |chunk: &ArrowChunk| (shared(chunk).time.is_some(), shared(chunk).diff.is_some());
        for wanted in [(true, true), (true, false), (false, true), (false, false)] {
            let alike: Vec<usize> = (0..chunks.len()).filter(|&number| kind(&chunks[number]) == wanted).collect();
            for (position, &number) in alike.iter().enumerate() {
                places[number].segment = self.segments.len() as u32;
                places[number].chunk = position as u32;
            }
            let alike: Vec<&ArrowChunk> = alike.into_iter().map(|number| &chunks[number]).collect();
            if !alike.is_empty() {
                self.segment(&alike)?;
            }
        }
        Ok(places.into_iter().map(|place| SavedAt { place, file: self.saved.clone() }).collect())
    }

    fn segment(&mut self, chunks: &[&ArrowChunk]) -> Result<()> {
        let padding = self.end.next_multiple_of(ALIGNMENT) - self.end;
        self.file.write_all(&vec![0; padding as usize]).map_err(|error| failed("write", &self.path, &error))?;
        let offset = self.end + padding;
        let mut output = Summed { inner: &mut self.file, sum: Xxh3::new(), bytes: 0 };
        let first = columns(chunks[0])?;
        let mut writer = FileWriter::try_new(&mut output, &first.schema())?;
        writer.write(&first)?;
        for chunk in &chunks[1..] {
            writer.write(&columns(chunk)?)?;
        }
        let shared: Vec<Shared> = chunks.iter().map(|chunk| shared(chunk)).collect();
        let shared = serde_json::to_string(&shared).map_err(|error| Error::internal(error.to_string()))?;
        writer.write_metadata(CHUNKS_KEY, shared);
        writer.finish()?;
        drop(writer);
        let (bytes, checksum) = (output.bytes, output.sum.digest());
        self.segments.push(Segment { offset, bytes, checksum, chunks: chunks.len() as u32 });
        self.end = offset + bytes;
        Ok(())
    }

    /// What was added can be read when this returns; [`Files::sync`] makes it last. None if nothing was.
    pub fn finish(self) -> Result<Option<Arc<SavedFile>>> {
        let path = self.path;
        self.file.into_inner().map_err(|error| failed("write", &path, error.error()))?;
        if self.segments.is_empty() {
            std::fs::remove_file(&path).map_err(|error| failed("remove", &path, &error))?;
            return Ok(None);
        }
        self.saved.segments.set(self.segments).expect("a file is finished once");
        Ok(Some(self.saved))
    }
}

fn shared(chunk: &ArrowChunk) -> Shared {
    let time = match chunk.times() {
        Stamps::Same(time) => Some(*time),
        Stamps::Each(_) => None,
    };
    let diff = match chunk.diffs() {
        Stamps::Same(diff) => Some(*diff),
        Stamps::Each(_) => None,
    };
    Shared { time, diff }
}

/// A chunk as a record batch.
fn columns(chunk: &ArrowChunk) -> Result<RecordBatch> {
    let mut fields = vec![Field::new("key_hash", DataType::UInt64, false)];
    let mut columns: Vec<ArrayRef> = vec![Arc::new(UInt64Array::new(chunk.key_hash_buffer().clone(), None))];
    match chunk.saved_order() {
        SavedOrder::ByKey => {}
        SavedOrder::RowHashes(hashes) => {
            fields.push(Field::new("row_hash", DataType::UInt64, false));
            columns.push(Arc::new(UInt64Array::new(hashes, None)));
        }
        SavedOrder::OrderBytes(bytes) => {
            fields.push(Field::new("order", DataType::Binary, false));
            columns.push(Arc::new(bytes));
        }
    }
    if let Stamps::Each(times) = chunk.times() {
        fields.push(Field::new("time", DataType::UInt64, false));
        columns.push(Arc::new(UInt64Array::new(times.clone(), None)));
    }
    if let Stamps::Each(diffs) = chunk.diffs() {
        fields.push(Field::new("diff", DataType::Int64, false));
        columns.push(Arc::new(Int64Array::new(diffs.clone(), None)));
    }
    // Rows of columns that are said to be NOT NULL can still hold NULLs within an operator.
    fields.extend(chunk.rows().schema().fields().iter().map(|field| field.as_ref().clone().with_nullable(true)));
    columns.extend(chunk.rows().columns().iter().cloned());
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// Sums up what it passes on.
struct Summed<'a> {
    inner: &'a mut BufWriter<File>,
    sum: Xxh3,
    bytes: u64,
}

impl Write for Summed<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.sum.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

/// A file that is mapped into memory.
pub struct BatchFile {
    saved: Arc<SavedFile>,
    path: PathBuf,
    bytes: Buffer,
}

impl BatchFile {
    /// Fails with XX001 if any byte of a segment is not what was written.
    pub fn verify(&self, segment: usize) -> Result<()> {
        let Segment { offset, bytes, checksum, .. } = self.saved.segments()[segment];
        let found = self.bytes.get(offset as usize..(offset + bytes) as usize);
        let is_whole = found.map(xxh3_64) == Some(checksum);
        if is_whole { Ok(()) } else { Err(damaged(&self.path, "its checksum is another")) }
    }

    /// Maps a file. One that this process has not written is to be [verified](Self::verify) before anything is read.
    pub fn open(files: &Files, saved: &Arc<SavedFile>) -> Result<Self> {
        let path = files.path(saved.id);
        let file = File::open(&path).map_err(|error| failed("open", &path, &error))?;
        let bytes = mapped(&file).map_err(|error| failed("map", &path, &error))?;
        Ok(BatchFile { saved: saved.clone(), path, bytes })
    }

    pub fn id(&self) -> u64 {
        self.saved.id
    }

    pub fn segments(&self) -> &[Segment] {
        self.saved.segments()
    }

    /// The chunks of one segment; their buffers lie in the mapping.
    pub fn chunks(&self, segment: usize) -> Result<Vec<SavedChunk>> {
        let Segment { offset, bytes, .. } = self.saved.segments()[segment];
        let bytes = self.bytes.slice_with_length(offset as usize, bytes as usize);
        let damaged = |why: &str| damaged(&self.path, why);
        let trailer = bytes.len().checked_sub(10).ok_or_else(|| damaged("it is too short"))?;
        let length = read_footer_length(bytes[trailer..].try_into().expect("ten bytes are left"))?;
        let footer = bytes.get(trailer.saturating_sub(length)..trailer).unwrap_or_default();
        let footer = root_as_footer(footer).map_err(|error| damaged(&error.to_string()))?;
        let schema = footer.schema().ok_or_else(|| damaged("it has no schema"))?;
        let decoder = trusting(FileDecoder::new(Arc::new(fb_to_schema(schema)), footer.version()));
        let metadata = footer.custom_metadata().into_iter().flatten();
        let shared = metadata.filter(|pair| pair.key() == Some(CHUNKS_KEY)).find_map(|pair| pair.value());
        let shared: Vec<Shared> =
            serde_json::from_str(shared.unwrap_or_default()).map_err(|error| damaged(&error.to_string()))?;
        let blocks = footer.recordBatches().into_iter().flatten().zip(shared).enumerate();
        let chunk = |(number, (block, shared)): (usize, (&arrow::ipc::Block, Shared))| {
            let length = block.bodyLength() as usize + block.metaDataLength() as usize;
            let data = bytes.slice_with_length(block.offset() as usize, length);
            let batch = decoder.read_record_batch(block, &data)?.ok_or_else(|| damaged("a batch is missing"))?;
            let place = Place { file: self.saved.id, segment: segment as u32, chunk: number as u32 };
            chunk_of(&batch, shared, SavedAt { place, file: self.saved.clone() })
                .ok_or_else(|| damaged("its columns are others"))
        };
        blocks.map(chunk).collect()
    }
}

/// The chunk that [`columns`] made a record batch of.
fn chunk_of(batch: &RecordBatch, shared: Shared, at: SavedAt) -> Option<SavedChunk> {
    let schema = batch.schema();
    let mut next = 0;
    let mut take = |name: &str| {
        let column = (schema.fields().get(next)?.name() == name).then(|| batch.column(next));
        next += column.is_some() as usize;
        column
    };
    let key_hashes = take("key_hash")?.as_primitive_opt::<UInt64Type>()?.values().clone();
    let order = take("row_hash").or_else(|| take("order"));
    let within_key = SavedOrder::of_column(order.map(|column| column.as_ref()))?;
    let times = match shared.time {
        Some(time) => Stamps::Same(time),
        None => Stamps::Each(take("time")?.as_primitive_opt::<UInt64Type>()?.values().clone()),
    };
    let diffs = match shared.diff {
        Some(diff) => Stamps::Same(diff),
        None => Stamps::Each(take("diff")?.as_primitive_opt::<Int64Type>()?.values().clone()),
    };
    let rows = batch.project(&(next..batch.num_columns()).collect::<Vec<_>>()).ok()?;
    Some(SavedChunk { key_hashes, within_key, rows, times, diffs, at })
}

fn damaged(path: &Path, why: &str) -> Error {
    Error::new(SqlState::DATA_CORRUPTED, format!("the file \"{}\" is damaged: {why}", path.display()))
}
