//! From an accepted socket to a session: encryption, cancel requests, the start-up packet, authentication.

use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use futures::StreamExt;
use pgwire::messages::PgWireFrontendMessage;
use pgwire::messages::startup::Startup;
use pgwire::tokio::server::negotiate_tls;
use tokio::io::AsyncRead;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::cancel::{Cancels, Registration};
use super::listener::{Slot, Slots};
use super::reply::{Replies, Weight};
use super::request::violation;
use super::session_loop::Connection;
use super::watch::{Watch, guard};
use crate::engine::{Database, Session, SessionOptions};
use crate::types::{Error, Result, SqlState};

/// Minor versions of protocol 3 that we speak, newest last.
const MINOR_VERSIONS: [u16; 2] = [0, 2];
/// Start-up parameters that are for the protocol, not settings.
const PROTOCOL_OPTION_PREFIX: &str = "_pq_.";

/// What a connection needs to become a session.
#[derive(Clone)]
pub(super) struct Reception {
    pub database: Arc<Database>,
    pub cancels: Arc<Cancels>,
    pub slots: Slots,
    pub shutdown: watch::Receiver<bool>,
}

/// A connection that said what it wants.
pub(super) struct Guest {
    packet: Startup,
    socket: Box<dyn AsyncRead + Send + Unpin>,
    /// What it has sent after the packet.
    received: BytesMut,
    replies: Replies,
}

impl Reception {
    /// Reads the client's first messages. None if it only came to cancel something, or left.
    pub async fn meet(&self, socket: TcpStream) -> io::Result<Option<Guest>> {
        // Without an acceptor TLS is declined; the client goes on in plain text, or leaves.
        let Some(mut framed) = negotiate_tls::<()>(socket, None).await? else {
            return Ok(None);
        };
        let packet = match framed.next().await {
            Some(Ok(PgWireFrontendMessage::Startup(packet))) => packet,
            Some(Ok(PgWireFrontendMessage::CancelRequest(request))) => {
                self.cancels.cancel(request.pid, &request.secret_key.to_bytes());
                return Ok(None);
            }
            _ => return Ok(None),
        };
        let parts = framed.into_parts();
        let (reader, writer) = tokio::io::split(parts.io);
        let replies = Replies::new(Box::new(writer));
        Ok(Some(Guest { packet, socket: Box::new(reader), received: parts.read_buf, replies }))
    }

    /// Makes a session for the client, or tells it why not.
    pub async fn admit(&self, mut guest: Guest) -> io::Result<Option<Connection>> {
        let opened = self.open(&guest.packet, &mut guest.replies);
        let (session, registration, slot) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                guest.replies.error(Weight::Fatal, &error);
                guest.replies.close().await?;
                return Ok(None);
            }
        };
        guest.replies.authentication_ok();
        guest.replies.backend_key(registration.process_id, registration.key.clone());
        let watch = Watch::new(guest.socket, guest.received, registration, self.shutdown.clone());
        Ok(Some(Connection::new(session, watch, guest.replies, slot)))
    }

    fn open(&self, packet: &Startup, replies: &mut Replies) -> Result<(Session, Registration, Slot)> {
        let slot = self.slots.take()?;
        let minor = negotiate(packet, replies)?;
        let registration = self.cancels.register(minor > 0);
        let options = session_options(packet, registration.process_id)?;
        let session = guard(|| self.database.session(options))?;
        Ok((session, registration, slot))
    }
}

/// The minor version that both sides speak. Clients may ask for more than we know, and are told.
fn negotiate(packet: &Startup, replies: &mut Replies) -> Result<u16> {
    if packet.protocol_number_major != 3 {
        let (major, minor) = (packet.protocol_number_major, packet.protocol_number_minor);
        let message = format!("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.2");
        return Err(Error::unsupported(message));
    }
    let asked = packet.protocol_number_minor;
    let known = MINOR_VERSIONS.iter().rev().find(|&&known| known <= asked).copied().unwrap_or_default();
    let unknown_options: Vec<String> =
        packet.parameters.keys().filter(|name| name.starts_with(PROTOCOL_OPTION_PREFIX)).cloned().collect();
    if known != asked || !unknown_options.is_empty() {
        replies.negotiate_protocol(3 << 16 | i32::from(known), unknown_options);
    }
    Ok(known)
}

fn session_options(packet: &Startup, process_id: i32) -> Result<SessionOptions> {
    let mut options = SessionOptions { process_id, ..SessionOptions::default() };
    for (name, value) in &packet.parameters {
        if [name, value].iter().any(|text| text.contains(char::REPLACEMENT_CHARACTER)) {
            let message = "invalid byte sequence for encoding \"UTF8\" in the startup packet";
            return Err(Error::new(SqlState::INVALID_BYTE_SEQUENCE, message));
        }
        match name.as_str() {
            "user" => options.user = value.clone(),
            "database" => options.database = value.clone(),
            "options" => options.settings.extend(command_line_settings(value)?),
            "replication" if !["false", "off", "no", "0"].contains(&value.as_str()) => {
                return Err(Error::unsupported("replication connections are not supported")
                    .with_hint("SUBSCRIBE streams the changes of a view."));
            }
            "replication" => {}
            protocol_option if protocol_option.starts_with(PROTOCOL_OPTION_PREFIX) => {}
            setting => options.settings.push((setting.to_string(), value.clone())),
        }
    }
    if options.user.is_empty() {
        let message = "no PostgreSQL user name specified in startup packet";
        return Err(Error::new(SqlState::INVALID_AUTHORIZATION, message));
    }
    if options.database.is_empty() {
        options.database.clone_from(&options.user);
    }
    Ok(options)
}

/// `-c name=value` and `--name=value`, separated by spaces; a backslash keeps the next character.
fn command_line_settings(text: &str) -> Result<Vec<(String, String)>> {
    let mut words = split_words(text).into_iter();
    let mut settings = Vec::new();
    while let Some(word) = words.next() {
        let setting = match word.strip_prefix("--").or(word.strip_prefix("-c").filter(|rest| !rest.is_empty())) {
            Some(setting) => setting.to_string(),
            None if word == "-c" => words.next().ok_or_else(|| violation("option -c needs name=value"))?,
            None => {
                return Err(violation(format!("invalid command-line argument for server process: {word}")));
            }
        };
        let Some((name, value)) = setting.split_once('=') else {
            return Err(violation(format!("option {setting} needs a value")));
        };
        settings.push((name.replace('-', "_"), value.to_string()));
    }
    Ok(settings)
}

fn split_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => word.get_or_insert_default().extend(characters.next()),
            space if space.is_ascii_whitespace() => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(parameters: &[(&str, &str)]) -> Startup {
        let mut packet = Startup::new();
        packet.parameters = parameters.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        packet
    }

    #[test]
    fn options_become_settings() {
        let text = r"-c statement_timeout=5s --search-path=a\ b -cgeqo=off";
        let expected = [("statement_timeout", "5s"), ("search_path", "a b"), ("geqo", "off")];
        let expected = expected.map(|(name, value)| (name.to_string(), value.to_string()));
        assert_eq!(command_line_settings(text).unwrap(), expected);
        assert!(command_line_settings("-c").is_err());
        assert!(command_line_settings("-x 1").is_err());
    }

    #[test]
    fn the_database_is_called_as_the_user_if_nothing_else_is_said() {
        let options = session_options(&packet(&[("user", "millrace"), ("application_name", "psql")]), 7).unwrap();
        assert_eq!((options.user.as_str(), options.database.as_str(), options.process_id), ("millrace", "millrace", 7));
        assert_eq!(options.settings, [("application_name".to_string(), "psql".to_string())]);
        assert_eq!(session_options(&packet(&[]), 7).unwrap_err().state(), SqlState::INVALID_AUTHORIZATION);
        let replication = packet(&[("user", "millrace"), ("replication", "database")]);
        assert!(session_options(&replication, 7).is_err());
    }

    #[test]
    fn the_newest_common_version_is_spoken() {
        let mut replies = Replies::new(Box::new(tokio::io::sink()));
        let mut at = |minor, parameters: &[(&str, &str)]| {
            let mut packet = packet(parameters);
            packet.protocol_number_minor = minor;
            let version = negotiate(&packet, &mut replies).unwrap();
            (version, !std::mem::take(replies.buffer()).is_empty())
        };
        assert_eq!(at(0, &[]), (0, false));
        assert_eq!(at(2, &[]), (2, false));
        assert_eq!(at(1, &[]), (0, true));
        assert_eq!(at(9999, &[]), (2, true));
        assert_eq!(at(0, &[("_pq_.report_parameters", "x")]), (0, true));
    }
}
