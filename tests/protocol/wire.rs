//! A client that sends and reads messages byte by byte.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub struct Wire {
    pub socket: TcpStream,
    pub process_id: i32,
    pub key: Vec<u8>,
}

/// A message from the server.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    pub kind: char,
    pub body: Vec<u8>,
}

impl Reply {
    /// A field of an error or notice: `C` is the SQLSTATE, `M` the message.
    pub fn field(&self, name: u8) -> Option<String> {
        let fields = self.body.split(|&byte| byte == 0);
        let mut found = fields.filter(|field| field.first() == Some(&name));
        found.next().map(|field| String::from_utf8(field[1..].to_vec()).unwrap())
    }

    /// The values of a DataRow in text.
    pub fn values(&self) -> Vec<Option<String>> {
        let values = self.raw_values().into_iter();
        values.map(|value| value.map(|bytes| String::from_utf8(bytes).unwrap())).collect()
    }

    pub fn raw_values(&self) -> Vec<Option<Vec<u8>>> {
        let count = i16::from_be_bytes([self.body[0], self.body[1]]);
        let mut rest = &self.body[2..];
        let values = (0..count).map(|_| {
            let length = i32::from_be_bytes(rest[..4].try_into().unwrap());
            rest = &rest[4..];
            (length >= 0).then(|| {
                let (value, after) = rest.split_at(length as usize);
                rest = after;
                value.to_vec()
            })
        });
        values.collect()
    }

    /// The text before the first zero byte: a command's tag.
    pub fn text(&self) -> String {
        String::from_utf8(self.body.split(|&byte| byte == 0).next().unwrap().to_vec()).unwrap()
    }
}

impl Wire {
    /// A session for user and database `millrace`.
    pub async fn connect(address: SocketAddr) -> Wire {
        Wire::connect_with(address, 3 << 16, &[]).await.unwrap_or_else(|error| panic!("refused: {error:?}"))
    }

    /// Err is the server's error.
    pub async fn connect_with(
        address: SocketAddr,
        version: i32,
        parameters: &[(&str, &str)],
    ) -> Result<Wire, Vec<Reply>> {
        let mut wire = Wire::open(address).await;
        let mut body = version.to_be_bytes().to_vec();
        for (name, value) in [("user", "millrace"), ("database", "millrace")].iter().chain(parameters) {
            body.extend(format!("{name}\0{value}\0").bytes());
        }
        body.push(0);
        wire.send_untyped(&body).await;
        let replies = wire.until_ready().await;
        if replies.last().is_none_or(|reply| reply.kind != 'Z') {
            return Err(replies);
        }
        let key = replies.iter().find(|reply| reply.kind == 'K').unwrap();
        wire.process_id = i32::from_be_bytes(key.body[..4].try_into().unwrap());
        wire.key = key.body[4..].to_vec();
        Ok(wire)
    }

    /// A connection that has said nothing yet.
    pub async fn open(address: SocketAddr) -> Wire {
        Wire { socket: TcpStream::connect(address).await.unwrap(), process_id: 0, key: vec![] }
    }

    pub async fn send_untyped(&mut self, body: &[u8]) {
        let mut message = (body.len() as i32 + 4).to_be_bytes().to_vec();
        message.extend_from_slice(body);
        self.socket.write_all(&message).await.unwrap();
    }

    pub async fn send(&mut self, messages: &[(char, &[u8])]) {
        let mut bytes = Vec::new();
        for (kind, body) in messages {
            bytes.push(*kind as u8);
            bytes.extend_from_slice(&(body.len() as i32 + 4).to_be_bytes());
            bytes.extend_from_slice(body);
        }
        self.socket.write_all(&bytes).await.unwrap();
    }

    pub async fn query(&mut self, sql: &str) -> Vec<Reply> {
        self.send(&[('Q', format!("{sql}\0").as_bytes())]).await;
        self.until_ready().await
    }

    /// The next message; None if the server closed the connection.
    pub async fn reply(&mut self) -> Option<Reply> {
        let kind = self.socket.read_u8().await.ok()?;
        let length = self.socket.read_i32().await.ok()?;
        let mut body = vec![0; length as usize - 4];
        self.socket.read_exact(&mut body).await.ok()?;
        Some(Reply { kind: kind as char, body })
    }

    /// Messages up to ReadyForQuery, or the connection's end.
    pub async fn until_ready(&mut self) -> Vec<Reply> {
        let mut replies = Vec::new();
        while let Some(reply) = self.reply().await {
            let is_last = reply.kind == 'Z';
            replies.push(reply);
            if is_last {
                break;
            }
        }
        replies
    }
}

/// The kinds of messages, in order: `TDCZ`.
pub fn kinds(replies: &[Reply]) -> String {
    replies.iter().map(|reply| reply.kind).filter(|&kind| kind != 'S' && kind != 'N').collect()
}

/// The SQLSTATEs of the errors among messages.
pub fn states(replies: &[Reply]) -> Vec<String> {
    replies.iter().filter(|reply| reply.kind == 'E').map(|reply| reply.field(b'C').unwrap()).collect()
}
