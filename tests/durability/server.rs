//! A server process on a data directory of its own, which can be killed and started again.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// How long a server may take until it answers.
const START_MAX: Duration = Duration::from_secs(60);

/// What is tested: the binary of this build, or another.
fn binary() -> String {
    std::env::var("MILLRACE_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_millrace").to_string())
}

pub struct Server {
    folder: tempfile::TempDir,
    child: Option<Child>,
    pg: u16,
    http: u16,
    /// Of its process.
    environment: Vec<(String, String)>,
}

impl Server {
    /// A server on an empty directory.
    pub fn new() -> Server {
        let port = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Server { folder: tempfile::tempdir().unwrap(), child: None, pg: port(), http: port(), environment: vec![] }
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, data: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.arg("serve").arg("--data").arg(data).args(arguments);
        command.args(["--pg", &format!("127.0.0.1:{}", self.pg), "--http", &format!("127.0.0.1:{}", self.http)]);
        command.env("RUST_BACKTRACE", "0").stdin(Stdio::null());
        command
    }

    /// What its next processes get in their environment.
    pub fn set_environment(&mut self, environment: Vec<(String, String)>) {
        self.environment = environment;
    }

    /// Starts it on its data, and waits until it answers.
    pub async fn start(&mut self, arguments: &[&str]) {
        self.start_on(&self.data(), arguments).await;
    }

    pub async fn start_on(&mut self, data: &Path, arguments: &[&str]) {
        assert!(self.try_start_on(data, arguments).await, "the server ended:\n{}", self.log());
    }

    /// False if it ends before it answers.
    pub async fn try_start(&mut self, arguments: &[&str]) -> bool {
        self.try_start_on(&self.data(), arguments).await
    }

    async fn try_start_on(&mut self, data: &Path, arguments: &[&str]) -> bool {
        let log = std::fs::File::options().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        let mut command = self.command(data, arguments);
        command.envs(self.environment.iter().cloned());
        self.child = Some(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
        let started = Instant::now();
        while self.connect().await.is_none() {
            if self.child.as_mut().unwrap().try_wait().unwrap().is_some() {
                self.child = None;
                return false;
            }
            assert!(started.elapsed() < START_MAX, "the server does not answer:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        true
    }

    /// Starts it where it can't: gives what it said.
    pub fn refused(&self, data: &Path) -> Output {
        self.command(data, &[]).output().unwrap()
    }

    /// SIGKILL, at once.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            child.kill().ok();
            child.wait().unwrap();
        }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    pub async fn connect(&self) -> Option<Client> {
        self.try_connect().await.ok()
    }

    pub async fn try_connect(&self) -> Result<Client, tokio_postgres::Error> {
        let text = format!("host=127.0.0.1 port={} user=millrace dbname=millrace", self.pg);
        let (client, connection) = tokio_postgres::connect(&text, NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some())
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
