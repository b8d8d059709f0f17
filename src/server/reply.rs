//! The messages to a client: gathered in one buffer, written when it is full or somebody waits for them.

use bytes::{BufMut, BytesMut};
use pgwire::error::ErrorInfo;
use pgwire::messages::Message;
use pgwire::messages::copy::{CopyDone, CopyInResponse, CopyOutResponse};
use pgwire::messages::data::{FieldDescription, NoData, ParameterDescription, RowDescription};
use pgwire::messages::extendedquery::{BindComplete, CloseComplete, ParseComplete, PortalSuspended};
use pgwire::messages::response::{
    CommandComplete, EmptyQueryResponse, ErrorResponse, NoticeResponse, ReadyForQuery,
    TransactionStatus as WireTransactionStatus,
};
use pgwire::messages::startup::{Authentication, BackendKeyData, NegotiateProtocolVersion, ParameterStatus, SecretKey};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::request::Format;
use crate::engine::{Notice, Severity, TransactionStatus};
use crate::types::{Error, Relation, SqlType};

/// From this size on, the buffer is written before more is put into it.
pub(super) const REPLY_BYTES: usize = 32 << 10;

/// A buffer that one long row made larger than this is given back.
const KEPT_BYTES_MAX: usize = 1 << 20;
/// Longer values of settings are not reported; no client needs them, and the message has a limit.
const SETTING_BYTES_MAX: usize = 1 << 10;

/// What is to be sent, and where to.
pub(super) struct Replies {
    socket: Box<dyn AsyncWrite + Send + Unpin>,
    buffer: BytesMut,
}

/// How bad an error is for the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    Error,
    /// The connection ends with it.
    Fatal,
}

impl Replies {
    pub fn new(socket: Box<dyn AsyncWrite + Send + Unpin>) -> Self {
        Replies { socket, buffer: BytesMut::with_capacity(REPLY_BYTES) }
    }

    /// Writes what was gathered. When dropped halfway, what is left stays for the next flush.
    pub async fn flush(&mut self) -> std::io::Result<()> {
        while !self.buffer.is_empty() {
            self.socket.write_buf(&mut self.buffer).await?;
        }
        if self.buffer.capacity() > KEPT_BYTES_MAX {
            self.buffer = BytesMut::with_capacity(REPLY_BYTES);
        }
        self.socket.flush().await
    }

    pub async fn close(&mut self) -> std::io::Result<()> {
        self.flush().await?;
        self.socket.shutdown().await
    }

    pub fn is_full(&self) -> bool {
        self.buffer.len() >= REPLY_BYTES
    }

    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Where rows are encoded without a detour.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    pub fn authentication_ok(&mut self) {
        self.put(Authentication::Ok);
    }

    pub fn negotiate_protocol(&mut self, version: i32, unsupported_options: Vec<String>) {
        self.put(NegotiateProtocolVersion::new(version, unsupported_options));
    }

    pub fn backend_key(&mut self, process_id: i32, key: bytes::Bytes) {
        self.put(BackendKeyData::new(process_id, SecretKey::Bytes(key)));
    }

    pub fn parameter_status(&mut self, name: String, value: String) {
        if value.len() <= SETTING_BYTES_MAX {
            self.put(ParameterStatus::new(name, value));
        }
    }

    pub fn ready_for_query(&mut self, status: TransactionStatus) {
        self.put(ReadyForQuery::new(match status {
            TransactionStatus::Idle => WireTransactionStatus::Idle,
            TransactionStatus::InTransaction => WireTransactionStatus::Transaction,
            TransactionStatus::Failed => WireTransactionStatus::Error,
        }));
    }

    pub fn error(&mut self, weight: Weight, error: &Error) {
        put_error(&mut self.buffer, weight, error);
    }

    pub fn notice(&mut self, notice: &Notice) {
        let severity = match notice.severity {
            Severity::Notice => "NOTICE",
            Severity::Warning => "WARNING",
            Severity::Info => "INFO",
        };
        self.put(NoticeResponse::from(error_info(severity, &notice.error)));
    }

    pub fn parse_complete(&mut self) {
        self.put(ParseComplete::new());
    }

    pub fn bind_complete(&mut self) {
        self.put(BindComplete::new());
    }

    pub fn close_complete(&mut self) {
        self.put(CloseComplete::new());
    }

    pub fn portal_suspended(&mut self) {
        self.put(PortalSuspended::new());
    }

    pub fn command_complete(&mut self, tag: String) {
        self.put(CommandComplete::new(tag));
    }

    pub fn empty_query(&mut self) {
        self.put(EmptyQueryResponse::new());
    }

    pub fn no_data(&mut self) {
        self.put(NoData::new());
    }

    pub fn parameter_description(&mut self, types: &[SqlType]) {
        self.put(ParameterDescription::new(types.iter().map(SqlType::oid).collect()));
    }

    /// `formats` has one format per column.
    pub fn row_description(&mut self, columns: &Relation, formats: &[Format]) {
        let fields = columns.columns.iter().zip(formats).map(|(column, format)| {
            let sql_type = &column.sql_type;
            let name = column.name.replace('\0', "");
            FieldDescription::new(name, 0, 0, sql_type.oid(), sql_type.wire_len(), sql_type.typmod(), format.code())
        });
        self.put(RowDescription::new(fields.collect()));
    }

    pub fn copy_in(&mut self, columns: usize) {
        self.put(CopyInResponse::new(0, columns as i16, vec![0; columns]));
    }

    pub fn copy_out(&mut self, columns: usize) {
        self.put(CopyOutResponse::new(0, columns as i16, vec![0; columns]));
    }

    pub fn copy_done(&mut self) {
        self.put(CopyDone::new());
    }

    fn put(&mut self, message: impl Message) {
        put(&mut self.buffer, message);
    }
}

/// An error as a message of its own, for connections that have no session yet.
pub(super) fn put_error(buffer: &mut BytesMut, weight: Weight, error: &Error) {
    let severity = match weight {
        Weight::Error => "ERROR",
        Weight::Fatal => "FATAL",
    };
    put(buffer, ErrorResponse::from(error_info(severity, error)));
}

/// Starts a message of `kind`; [`end_message`] takes what this returns.
pub(super) fn begin_message(buffer: &mut BytesMut, kind: u8) -> usize {
    buffer.put_u8(kind);
    let start = buffer.len();
    buffer.put_i32(0);
    start
}

/// Fills in the length of the message that began at `start`.
pub(super) fn end_message(buffer: &mut BytesMut, start: usize) {
    let length = (buffer.len() - start) as i32;
    buffer[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

fn put(buffer: &mut BytesMut, message: impl Message) {
    // pgwire limits what it sends by kind; the only texts of ours that have no limit are in errors, whose limit is 2 GiB.
    message.encode(buffer).expect("a reply is shorter than its kind allows");
}

fn error_info(severity: &str, error: &Error) -> ErrorInfo {
    // A zero byte would end the field.
    let text = |text: &str| text.replace('\0', "");
    let mut info = ErrorInfo::new(severity.into(), error.state().code().into(), text(error.message()));
    info.severity_nonlocalized = Some(severity.into());
    info.detail = error.detail().map(text);
    info.hint = error.hint().map(text);
    info.position = error.position().map(|position| position.to_string());
    info
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::types::{Column, SqlState};

    #[test]
    fn an_error_carries_severity_state_and_everything_that_helps() {
        let error = Error::new(SqlState::UNDEFINED_COLUMN, "column \"x\" does not exist").with_hint("Try \"y\".").at(8);
        let mut buffer = BytesMut::new();
        put_error(&mut buffer, Weight::Error, &error);
        let fields = b"SERROR\0VERROR\0C42703\0Mcolumn \"x\" does not exist\0HTry \"y\".\0P8\0\0";
        assert_eq!(&buffer[..1], b"E");
        assert_eq!(&buffer[5..], fields);
        assert_eq!(buffer[1..5], (fields.len() as i32 + 4).to_be_bytes());
    }

    #[tokio::test]
    async fn a_row_description_names_types_sizes_modifiers_and_formats() {
        let (socket, mut client) = tokio::io::duplex(1 << 10);
        let mut replies = Replies::new(Box::new(socket));
        let columns = Relation::new(vec![Column::new("n", SqlType::Numeric(Some((10, 2))), true)]);
        replies.row_description(&columns, &[Format::Binary]);
        replies.close().await.unwrap();
        let mut received = Vec::new();
        client.read_to_end(&mut received).await.unwrap();
        let mut expected = vec![b'T', 0, 0, 0, 26, 0, 1, b'n', 0, 0, 0, 0, 0, 0, 0];
        expected.extend_from_slice(&1700_i32.to_be_bytes());
        expected.extend_from_slice(&(-1_i16).to_be_bytes());
        expected.extend_from_slice(&((10 << 16 | 2) + 4_i32).to_be_bytes());
        expected.extend_from_slice(&1_i16.to_be_bytes());
        assert_eq!(received, expected);
    }
}
