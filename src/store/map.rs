//! What can't be had without unsafe code: files as memory, and arrays of them without looking at every value.

use std::fs::File;

use arrow::buffer::Buffer;
use arrow::ipc::reader::FileDecoder;
use bytes::Bytes;

/// The bytes of a file that nobody writes to any more.
#[expect(unsafe_code, reason = "memory that somebody else could change")]
pub fn mapped(file: &File) -> std::io::Result<Buffer> {
    // SAFETY: a batch file is synced before a manifest names it, and nothing opens it for writing after that.
    let mapping = unsafe { memmap2::Mmap::map(file)? };
    Ok(Buffer::from(Bytes::from_owner(mapping)))
}

/// A decoder of bytes whose checksum was right.
#[expect(unsafe_code, reason = "arrays that are not validated")]
pub fn trusting(decoder: FileDecoder) -> FileDecoder {
    // SAFETY: the bytes are those that our own writer made of valid arrays: their checksum says so.
    unsafe { decoder.with_skip_validation(true) }
}
