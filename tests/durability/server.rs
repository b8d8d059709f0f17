//! A server process on a data directory of its own, which can be killed and started again.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// How long a server may take until it answers.
const START_MAX: Duration = Duration::from_secs(60);

pub struct Server {
    folder: tempfile::TempDir,
    child: Option<Child>,
    pg: u16,
    http: u16,
}

impl Server {
    /// A server on an empty directory.
    pub fn new() -> Server {
        let port = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Server { folder: tempfile::tempdir().unwrap(), child: None, pg: port(), http: port() }
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, data: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_millrace"));
        command.arg("serve").arg("--data").arg(data).args(arguments);
        command.args(["--pg", &format!("127.0.0.1:{}", self.pg), "--http", &format!("127.0.0.1:{}", self.http)]);
        command.env("RUST_BACKTRACE", "0").stdin(Stdio::null());
        command
    }

    /// Starts it on its data, and waits until it answers.
    pub async fn start(&mut self, arguments: &[&str]) {
        self.start_on(&self.data(), arguments).await;
    }

    pub async fn start_on(&mut self, data: &Path, arguments: &[&str]) {
        let log = std::fs::File::options().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        let mut command = self.command(data, arguments);
        self.child = Some(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
        let started = Instant::now();
        while self.connect().await.is_none() {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "the server ended:\n{}", self.log());
            assert!(started.elapsed() < START_MAX, "the server does not answer:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Starts it where it can't: gives what it said.
    pub fn refused(&self, data: &Path) -> Output {
        self.command(data, &[]).output().unwrap()
    }

    /// SIGKILL, at once.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    pub async fn connect(&self) -> Option<Client> {
        let text = format!("host=127.0.0.1 port={} user=millrace dbname=millrace", self.pg);
        let (client, connection) = tokio_postgres::connect(&text, NoTls).await.ok()?;
        tokio::spawn(connection);
        Some(client)
    }

    pub async fn client(&self) -> Client {
        self.connect().await.expect("the server answers")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The rows of a query as text, columns with `|` between them.
pub async fn rows(client: &Client, sql: &str) -> Result<Vec<String>, tokio_postgres::Error> {
    let messages = client.simple_query(sql).await?;
    let row = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => {
            let value = |column: usize| row.get(column).unwrap_or("NULL").to_string();
            Some((0..row.len()).map(value).collect::<Vec<_>>().join("|"))
        }
        _ => None,
    };
    Ok(messages.iter().filter_map(row).collect())
}
