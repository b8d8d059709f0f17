//! Accepts PostgreSQL clients, as many as may be served, and says to the others that they are too many.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::cancel::Cancels;
use super::reply::{Weight, put_error};
use super::startup::Reception;
use super::watch::shut_down;
use crate::engine::Database;
use crate::types::{Error, Result, SqlState};

/// How long a client may take until it has a session.
const STARTUP_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections that may be starting up at a time; those beyond are refused before they have said anything.
const STARTUPS_MAX: usize = 512;
/// Connections that the kernel keeps until we accept them.
const BACKLOG: u32 = 4096;
/// Pause after the process ran out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long sessions have to end when the server does.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// How much is served at a time.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub connections_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { connections_max: 100 }
    }
}

/// The open PostgreSQL port.
pub struct Listener {
    socket: TcpListener,
    limits: Limits,
}

/// Without passwords only this machine may connect, unless somebody said that he knows better.
pub fn refuse_open_trust(address: SocketAddr, insecure_trust: bool) -> Result<()> {
    if insecure_trust || address.ip().is_loopback() {
        return Ok(());
    }
    let message = format!("refusing to listen on {address}: anybody who can reach it could connect without a password");
    Err(Error::new(SqlState::INVALID_AUTHORIZATION, message)
        .with_hint("Listen on 127.0.0.1, or give --insecure-trust if the network is closed to others."))
}

impl Listener {
    pub async fn bind(address: SocketAddr, limits: Limits) -> Result<Listener> {
        let listen = || {
            let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            socket.listen(BACKLOG)
        };
        let socket = listen().map_err(|error| {
            Error::new(SqlState::IO_ERROR, format!("could not listen on {address}: {error}"))
                .with_hint("Is another server running there? Choose another address with --pg.")
        })?;
        Ok(Listener { socket, limits })
    }

    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("a bound socket has an address")
    }

    /// Serves clients until `shutdown` becomes true and the sessions have ended.
    pub async fn serve(self, database: Arc<Database>, mut shutdown: watch::Receiver<bool>) {
        let reception = Reception {
            database,
            cancels: Arc::new(Cancels::default()),
            slots: Slots::new(self.limits.connections_max),
            shutdown: shutdown.clone(),
        };
        let startups = Arc::new(Semaphore::new(STARTUPS_MAX));
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.socket.accept() => match accepted {
                    Ok((socket, _)) => match startups.clone().try_acquire_owned() {
                        Ok(permit) => drop(connections.spawn(receive(reception.clone(), socket, permit))),
                        Err(_) => refuse(&socket),
                    },
                    Err(error) => {
                        tracing::warn!(%error, "could not accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(ended) = connections.join_next() => {
                    if let Err(error) = ended && error.is_panic() {
                        tracing::error!(%error, "a connection ended by a fault of the server");
                    }
                }
                () = shut_down(&mut shutdown) => break,
            }
        }
        drop(self.socket);
        let all_ended = async { while connections.join_next().await.is_some() {} };
        // Who has not ended by then is cut off when the set is dropped.
        let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, all_ended).await;
    }
}

/// One connection, from its first byte to its end.
async fn receive(reception: Reception, socket: TcpStream, permit: OwnedSemaphorePermit) {
    let start = async {
        match reception.meet(socket).await? {
            Some(guest) => reception.admit(guest).await,
            None => Ok(None),
        }
    };
    let started = tokio::time::timeout(STARTUP_TIMEOUT, start).await;
    drop(permit);
    // A client that broke off or was too slow has nobody who would read an error.
    if let Ok(Ok(Some(connection))) = started {
        connection.serve().await;
    }
}

/// Says so without waiting: the socket's empty send buffer takes the message at once.
fn refuse(socket: &TcpStream) {
    let mut message = BytesMut::new();
    put_error(&mut message, Weight::Fatal, &too_many());
    // Nothing can be done for a client that is gone already.
    let _ = socket.try_write(&message);
}

fn too_many() -> Error {
    Error::new(SqlState::TOO_MANY_CONNECTIONS, "sorry, too many clients already")
}

/// Places for sessions.
#[derive(Clone)]
pub(super) struct Slots {
    free: Arc<Semaphore>,
}

/// A session's place, free again when this is dropped.
pub(super) struct Slot {
    _permit: OwnedSemaphorePermit,
}

impl Slots {
    fn new(count: usize) -> Self {
        Slots { free: Arc::new(Semaphore::new(count)) }
    }

    /// 53300 if there is none.
    pub fn take(&self) -> Result<Slot> {
        match self.free.clone().try_acquire_owned() {
            Ok(permit) => Ok(Slot { _permit: permit }),
            Err(_) => Err(too_many()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_served_without_passwords() {
        for address in ["127.0.0.1:6580", "[::1]:6580"] {
            assert!(refuse_open_trust(address.parse().unwrap(), false).is_ok());
        }
        for address in ["0.0.0.0:6580", "10.0.0.1:6580", "[::]:6580"] {
            let address = address.parse().unwrap();
            assert!(refuse_open_trust(address, false).is_err());
            assert!(refuse_open_trust(address, true).is_ok());
        }
    }

    #[test]
    fn slots_come_back() {
        let slots = Slots::new(1);
        let taken = slots.take().unwrap();
        assert_eq!(slots.take().err().unwrap().state(), SqlState::TOO_MANY_CONNECTIONS);
        drop(taken);
        assert!(slots.take().is_ok());
    }
}
