//! The harness's database behind a socket of its own, and PostgreSQL clients of it: what a user of it sees.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio_postgres::{Client, Config, NoTls};

use crate::engine::Database;
use crate::server::{Limits, Listener};
use crate::types::{Error, Result, SqlState};

/// Threads that serve sockets, as many as `millrace serve` has.
const NETWORK_THREADS: usize = 2;

/// A served port, and the thread on which its clients run: this one.
pub struct Wire {
    address: SocketAddr,
    network: Option<Runtime>,
    clients: Runtime,
    stop: watch::Sender<bool>,
}

impl Wire {
    pub fn open(database: &Arc<Database>) -> Result<Wire> {
        let network = Builder::new_multi_thread().worker_threads(NETWORK_THREADS).enable_all().build();
        let network = network.map_err(|error| Error::internal(error.to_string()))?;
        let clients = Builder::new_current_thread().enable_all().build();
        let clients = clients.map_err(|error| Error::internal(error.to_string()))?;
        let (stop, stopping) = watch::channel(false);
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = network.block_on(Listener::bind(anywhere, Limits::default()))?;
        let address = listener.address();
        network.spawn(listener.serve(database.clone(), stopping));
        Ok(Wire { address, network: Some(network), clients, stop })
    }

    pub fn connect(&self) -> Result<Client> {
        let mut config = Config::new();
        config.host(self.address.ip().to_string()).port(self.address.port()).user("millrace").dbname("millrace");
        let (client, connection) = self.run(async { config.connect(NoTls).await.map_err(lost) })?;
        // The connection's end is told to its client.
        self.clients.spawn(async move { connection.await.ok() });
        Ok(client)
    }

    /// Runs what clients do.
    pub fn run<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.clients.block_on(work)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(network) = self.network.take() {
            network.shutdown_background();
        }
    }
}

/// What a client met, as ours.
pub fn lost(error: tokio_postgres::Error) -> Error {
    let message = error.as_db_error().map_or_else(|| error.to_string(), |refusal| refusal.message().to_string());
    Error::new(SqlState::CONNECTION_FAILURE, message)
}
