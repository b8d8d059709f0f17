//! A server of a test's own, on a port of its own.

use std::net::SocketAddr;
use std::sync::Arc;

use millrace::engine::{Config, Database};
use millrace::server::{Limits, Listener};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};

pub struct Server {
    pub address: SocketAddr,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
    queries: Option<Runtime>,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(queries) = self.queries.take() {
            queries.shutdown_background();
        }
    }
}

impl Server {
    pub async fn start() -> Server {
        Server::start_with(Limits::default()).await
    }

    pub async fn start_with(limits: Limits) -> Server {
        // As in the real server, a query that does not yield must not keep connections from being served.
        let queries = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let config = Config { workers: 1, ..Config::new(folder.path().to_path_buf(), queries.handle().clone()) };
        let database: Arc<Database> = Database::open(config).unwrap();
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), limits).await.unwrap();
        let address = listener.address();
        let (stop, stopping) = watch::channel(false);
        let serving = tokio::spawn(listener.serve(database, stopping));
        Server { address, stop, serving, queries: Some(queries), _folder: folder }
    }

    /// Asks the server to stop, and waits until it has.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        (&mut self.serving).await.unwrap();
    }

    /// Asks the server to stop without waiting.
    pub fn begin_to_stop(&self) {
        self.stop.send_replace(true);
    }

    pub async fn client(&self) -> Client {
        let (client, connection) = self.config().connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    pub fn config(&self) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.address.port()).user("millrace").dbname("millrace");
        config
    }
}

/// The SQLSTATE of an error.
pub fn state(error: &tokio_postgres::Error) -> String {
    error.code().map(|code| code.code().to_string()).unwrap_or_else(|| error.to_string())
}

/// The rows of a simple query, as text; None is NULL.
pub async fn rows(client: &Client, sql: &str) -> Vec<Vec<Option<String>>> {
    let messages = client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let rows = messages.iter().filter_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    rows.map(|row| (0..row.len()).map(|column| row.get(column).map(str::to_string)).collect()).collect()
}

/// The only value of a query.
pub async fn value(client: &Client, sql: &str) -> String {
    rows(client, sql).await[0][0].clone().unwrap_or_else(|| "NULL".into())
}
