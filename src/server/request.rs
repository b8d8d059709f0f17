//! The messages of a client, read strictly.
//!
//! pgwire's own decoders trust a message's inner lengths (a short one panics), replace bytes that are no UTF-8, and
//! accept a gigabyte; so a frame is cut out here by its length first, and read with every step checked.

use bytes::{Buf, Bytes, BytesMut};

use crate::types::{Error, Result, SqlState};

/// Longest message with a statement, parameters or COPY data.
const LONG_MESSAGE_BYTES_MAX: usize = 256 << 20;
/// Longest of all other messages, as in PostgreSQL.
const SHORT_MESSAGE_BYTES_MAX: usize = 10_000;

/// A message from the client after start-up.
#[derive(Debug, PartialEq)]
pub(super) enum Request {
    Query(String),
    Parse {
        name: String,
        text: String,
        parameter_oids: Vec<u32>,
    },
    Bind(Bind),
    Describe(Target),
    Execute {
        portal: String,
        row_limit: usize,
    },
    Close(Target),
    Flush,
    Sync,
    CopyData(Bytes),
    CopyDone,
    CopyFail(String),
    /// Fast-path function calls, which are refused.
    FunctionCall,
    Terminate,
}

#[derive(Debug, PartialEq)]
pub(super) struct Bind {
    pub portal: String,
    pub statement: String,
    pub parameter_formats: Vec<Format>,
    /// None is NULL.
    pub parameters: Vec<Option<Bytes>>,
    pub result_formats: Vec<Format>,
}

/// What Describe and Close name.
#[derive(Debug, PartialEq)]
pub(super) enum Target {
    Statement(String),
    Portal(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    Binary,
}

impl Format {
    pub fn code(self) -> i16 {
        match self {
            Format::Text => 0,
            Format::Binary => 1,
        }
    }

    fn of_code(code: i16) -> Result<Format> {
        match code {
            0 => Ok(Format::Text),
            1 => Ok(Format::Binary),
            _ => Err(violation(format!("unsupported format code: {code}"))),
        }
    }

    /// The format of each of `count` values: none given means text, one given holds for all.
    pub fn expand(formats: &[Format], count: usize, what: &str) -> Result<Vec<Format>> {
        match formats {
            [] => Ok(vec![Format::Text; count]),
            [all] => Ok(vec![*all; count]),
            each if each.len() == count => Ok(each.to_vec()),
            each => Err(violation(format!("bind message has {} {what} formats but {count} {what}s", each.len()))),
        }
    }
}

/// Takes the next whole message off `buffer`; None while more bytes are needed.
pub(super) fn next_request(buffer: &mut BytesMut) -> Result<Option<Request>, RequestError> {
    let Some((kind, length)) = frame(buffer)? else {
        return Ok(None);
    };
    if buffer.len() < 1 + length {
        buffer.reserve(1 + length - buffer.len());
        return Ok(None);
    }
    buffer.advance(5);
    let mut body = Body { rest: buffer.split_to(length - 4).freeze() };
    let request = read(kind, &mut body).and_then(|request| match (&request, body.rest.is_empty()) {
        (Request::FunctionCall, _) | (_, true) => Ok(request),
        (_, false) => Err(violation("invalid message format")),
    });
    let recovery = match kind {
        b'P' | b'B' | b'D' | b'E' | b'C' | b'H' => Recovery::SkipToSync,
        _ => Recovery::Ready,
    };
    request.map(Some).map_err(|error| RequestError { error, recovery })
}

/// Whether the next message is a Sync and already here: then a statement before it is a transaction of its own.
pub(super) fn sync_is_next(buffer: &[u8]) -> bool {
    buffer.starts_with(&[b'S', 0, 0, 0, 4])
}

/// What is wrong with a message, and whether the connection can go on.
#[derive(Debug)]
pub(super) struct RequestError {
    pub error: Error,
    pub recovery: Recovery,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recovery {
    /// Where the next message begins is unknown.
    Impossible,
    /// It belonged to the extended protocol.
    SkipToSync,
    /// The client waits for ReadyForQuery.
    Ready,
}

/// Kind and length (which counts itself) of the frame at the head of the buffer.
fn frame(buffer: &[u8]) -> Result<Option<(u8, usize)>, RequestError> {
    let fatal = |error| RequestError { error, recovery: Recovery::Impossible };
    let Some(&kind) = buffer.first() else { return Ok(None) };
    let length_max = match kind {
        b'Q' | b'P' | b'B' | b'd' | b'F' => LONG_MESSAGE_BYTES_MAX,
        b'D' | b'E' | b'C' | b'H' | b'S' | b'c' | b'f' | b'X' => SHORT_MESSAGE_BYTES_MAX,
        _ => return Err(fatal(violation(format!("invalid frontend message type {kind}")))),
    };
    let Some(length) = buffer.get(1..5) else {
        return Ok(None);
    };
    let length = i32::from_be_bytes(length.try_into().expect("the slice has four bytes"));
    let length = usize::try_from(length).unwrap_or(0);
    if length < 4 {
        return Err(fatal(violation("invalid message length")));
    }
    if length > length_max {
        let error = Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "message is too long")
            .with_detail(format!("It has {length} bytes, the limit is {length_max}."))
            .with_hint("Send large data in several statements, or with COPY.");
        return Err(fatal(error));
    }
    Ok(Some((kind, length)))
}

fn read(kind: u8, body: &mut Body) -> Result<Request> {
    Ok(match kind {
        b'Q' => Request::Query(body.string()?),
        b'P' => read_parse(body)?,
        b'B' => Request::Bind(read_bind(body)?),
        b'D' => Request::Describe(read_target(body)?),
        b'C' => Request::Close(read_target(body)?),
        b'E' => {
            let portal = body.string()?;
            let row_limit = body.int4()?;
            Request::Execute { portal, row_limit: usize::try_from(row_limit).unwrap_or(0) }
        }
        b'H' => Request::Flush,
        b'S' => Request::Sync,
        b'd' => Request::CopyData(body.all()),
        b'c' => Request::CopyDone,
        b'f' => Request::CopyFail(body.string()?),
        b'F' => Request::FunctionCall,
        _ => Request::Terminate,
    })
}

fn read_parse(body: &mut Body) -> Result<Request> {
    let (name, text) = (body.string()?, body.string()?);
    let parameter_oids = (0..body.count()?).map(|_| body.int4().map(|oid| oid as u32)).collect::<Result<_>>()?;
    Ok(Request::Parse { name, text, parameter_oids })
}

fn read_bind(body: &mut Body) -> Result<Bind> {
    let (portal, statement) = (body.string()?, body.string()?);
    let parameter_formats = body.formats()?;
    let parameters = (0..body.count()?).map(|_| body.value()).collect::<Result<_>>()?;
    let result_formats = body.formats()?;
    Ok(Bind { portal, statement, parameter_formats, parameters, result_formats })
}

fn read_target(body: &mut Body) -> Result<Target> {
    match body.bytes(1)?[0] {
        b'S' => Ok(Target::Statement(body.string()?)),
        b'P' => Ok(Target::Portal(body.string()?)),
        other => Err(violation(format!("invalid message subtype {other}"))),
    }
}

/// A message's body, read from the front.
struct Body {
    rest: Bytes,
}

impl Body {
    fn bytes(&mut self, count: usize) -> Result<Bytes> {
        if self.rest.len() < count {
            return Err(violation("insufficient data left in message"));
        }
        Ok(self.rest.split_to(count))
    }

    fn all(&mut self) -> Bytes {
        std::mem::take(&mut self.rest)
    }

    fn int2(&mut self) -> Result<i16> {
        Ok(self.bytes(2)?.get_i16())
    }

    fn int4(&mut self) -> Result<i32> {
        Ok(self.bytes(4)?.get_i32())
    }

    /// How many things follow; the protocol's counts go to 65535.
    fn count(&mut self) -> Result<u16> {
        Ok(self.int2()? as u16)
    }

    fn formats(&mut self) -> Result<Vec<Format>> {
        (0..self.count()?).map(|_| Format::of_code(self.int2()?)).collect()
    }

    /// A length and that many bytes; -1 is NULL.
    fn value(&mut self) -> Result<Option<Bytes>> {
        match self.int4()? {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length).map_err(|_| violation("invalid argument size in bind message"))?;
                Ok(Some(self.bytes(length)?))
            }
        }
    }

    /// Text up to a zero byte.
    fn string(&mut self) -> Result<String> {
        let Some(end) = self.rest.iter().position(|&byte| byte == 0) else {
            return Err(violation("invalid string in message"));
        };
        let text = self.rest.split_to(end);
        self.rest.advance(1);
        Ok(utf8(&text)?.to_string())
    }
}

/// Text that came from outside; 22021 if it is not UTF-8.
pub(super) fn utf8(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|error| {
        let from = error.valid_up_to();
        let count = error.error_len().unwrap_or(bytes.len() - from).max(1);
        let shown: Vec<String> = bytes[from..from + count].iter().map(|byte| format!("0x{byte:02x}")).collect();
        let message = format!("invalid byte sequence for encoding \"UTF8\": {}", shown.join(" "));
        Error::new(SqlState::INVALID_BYTE_SEQUENCE, message)
    })
}

/// 08P01: the client does not speak the protocol as agreed.
pub(super) fn violation(message: impl Into<String>) -> Error {
    Error::new(SqlState::PROTOCOL_VIOLATION, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(kind: u8, body: &[u8]) -> BytesMut {
        let mut message = BytesMut::from(&[kind][..]);
        message.extend_from_slice(&(body.len() as i32 + 4).to_be_bytes());
        message.extend_from_slice(body);
        message
    }

    #[test]
    fn messages_are_taken_one_by_one_and_only_when_whole() {
        let mut buffer = framed(b'Q', b"select 1\0");
        buffer.extend_from_slice(&framed(b'S', b""));
        let whole = buffer.clone();
        for cut in 0..whole.len() - 5 {
            let mut part = BytesMut::from(&whole[..cut]);
            assert!(next_request(&mut part).unwrap().is_none(), "{cut} bytes are no message");
        }
        assert_eq!(next_request(&mut buffer).unwrap(), Some(Request::Query("select 1".into())));
        assert!(sync_is_next(&buffer));
        assert_eq!(next_request(&mut buffer).unwrap(), Some(Request::Sync));
        assert!(next_request(&mut buffer).unwrap().is_none());
    }

    #[test]
    fn bind_reads_formats_values_and_nulls() {
        let body = b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x02ab\xff\xff\xff\xff\0\x02\0\0\0\x01";
        let request = next_request(&mut framed(b'B', body)).unwrap();
        let expected = Bind {
            portal: "p".into(),
            statement: "s".into(),
            parameter_formats: vec![Format::Binary],
            parameters: vec![Some(Bytes::from_static(b"ab")), None],
            result_formats: vec![Format::Text, Format::Binary],
        };
        assert_eq!(request, Some(Request::Bind(expected)));
    }

    #[test]
    fn every_truncation_of_a_bind_is_an_error_and_never_a_panic() {
        let body = b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x02ab\xff\xff\xff\xff\0\x02\0\0\0\x01";
        for cut in 0..body.len() {
            let error = next_request(&mut framed(b'B', &body[..cut])).unwrap_err();
            let expected = (SqlState::PROTOCOL_VIOLATION, Recovery::SkipToSync);
            assert_eq!((error.error.state(), error.recovery), expected, "cut at {cut}");
        }
    }

    #[test]
    fn bad_frames_end_the_connection_and_bad_text_does_not() {
        let code = |mut bytes: BytesMut| {
            let error = next_request(&mut bytes).unwrap_err();
            (error.error.state(), error.recovery)
        };
        assert_eq!(code(BytesMut::from(&b"?\0\0\0\x04"[..])), (SqlState::PROTOCOL_VIOLATION, Recovery::Impossible));
        assert_eq!(code(BytesMut::from(&b"Q\0\0\0\x03"[..])), (SqlState::PROTOCOL_VIOLATION, Recovery::Impossible));
        assert_eq!(code(BytesMut::from(&b"Q\xff\0\0\0"[..])), (SqlState::PROTOCOL_VIOLATION, Recovery::Impossible));
        assert_eq!(code(BytesMut::from(&b"Q\x7f\0\0\0"[..])), (SqlState::PROGRAM_LIMIT_EXCEEDED, Recovery::Impossible));
        assert_eq!(code(BytesMut::from(&b"S\0\0\x7f\0"[..])), (SqlState::PROGRAM_LIMIT_EXCEEDED, Recovery::Impossible));
        assert_eq!(code(framed(b'Q', b"select '\xff'\0")), (SqlState::INVALID_BYTE_SEQUENCE, Recovery::Ready));
        assert_eq!(code(framed(b'Q', b"no end")), (SqlState::PROTOCOL_VIOLATION, Recovery::Ready));
        assert_eq!(code(framed(b'S', b"more")), (SqlState::PROTOCOL_VIOLATION, Recovery::Ready));
    }
}
