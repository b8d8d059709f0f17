//! Where the statements go: a Millrace of our own, fresh for every file and mode, or a server that is already there.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio_postgres::Config;

use super::client::Client;
use crate::types::{Error, Result, random_u64};

/// How long our own server may take until it answers.
const START_ATTEMPTS: usize = 600;
const START_PAUSE: Duration = Duration::from_millis(50);

/// Lines of the server's log that are shown when it ends by itself.
const LOG_LINES: usize = 15;

#[derive(Clone, Debug)]
pub enum Target {
    /// `millrace serve`, from this very executable.
    Own { workers: usize },
    /// A PostgreSQL, in which each run gets a database of its own.
    Url(Box<Config>),
}

/// An empty database, gone when this is dropped.
pub struct Instance {
    pub config: Config,
    own: Option<OwnServer>,
    made: Option<(Config, String)>,
}

struct OwnServer {
    child: Child,
    folder: PathBuf,
    /// For PostgreSQL clients, and for HTTP.
    ports: (u16, u16),
}

impl Target {
    pub async fn start(&self) -> Result<Instance> {
        match self {
            Target::Own { workers } => start_own(*workers).await,
            Target::Url(config) => {
                let name = format!("slt_{:016x}", random_u64());
                let create = Client::connect(config).await?.run(&format!("CREATE DATABASE {name}")).await?;
                create.map_err(|refusal| Error::internal(format!("no database of its own: {refusal}")))?;
                let mut own = Config::clone(config);
                own.dbname(&name);
                Ok(Instance { config: own, own: None, made: Some((Config::clone(config), name)) })
            }
        }
    }

    /// What holds for `skipif` and `onlyif` here, apart from the mode.
    pub fn labels(&self) -> &'static [&'static str] {
        match self {
            Target::Own { .. } => &["postgresql", "millrace"],
            Target::Url(_) => &["postgresql"],
        }
    }
}

async fn start_own(workers: usize) -> Result<Instance> {
    let folder = std::env::temp_dir().join(format!("millrace-slt-{:016x}", random_u64()));
    std::fs::create_dir_all(&folder).map_err(io)?;
    let ports = (free_port()?, free_port()?);
    let child = spawn(&folder, ports, workers)?;
    let mut config = Config::new();
    config.host("127.0.0.1").port(ports.0).user("millrace").dbname("millrace");
    let mut instance = Instance { config, own: Some(OwnServer { child, folder, ports }), made: None };
    instance.answers().await?;
    Ok(instance)
}

fn spawn(folder: &Path, (pg, http): (u16, u16), workers: usize) -> Result<Child> {
    let log = std::fs::File::options().create(true).append(true).open(folder.join("log")).map_err(io)?;
    Command::new(std::env::current_exe().map_err(io)?)
        .arg("serve")
        .args(["--data".as_ref(), folder.join("data").as_os_str()])
        .args(["--pg", &format!("127.0.0.1:{pg}"), "--http", &format!("127.0.0.1:{http}")])
        .args(["--workers", &workers.to_string()])
        // A panic's message is worth more than the frames that would push it out of the last lines.
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(io)?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .map_err(io)
}

impl Instance {
    /// Waits until our own server answers.
    async fn answers(&mut self) -> Result<()> {
        for _ in 0..START_ATTEMPTS {
            if Client::connect(&self.config).await.is_ok() {
                return Ok(());
            }
            if let Some(end) = self.end() {
                return Err(Error::internal(end));
            }
            tokio::time::sleep(START_PAUSE).await;
        }
        Err(Error::internal("millrace serve does not answer").with_detail(self.log()))
    }

    /// Kills our own server as it stands, and starts it again on the same data.
    pub async fn restart(&mut self, workers: usize) -> Result<()> {
        let Some(own) = &mut self.own else { return Ok(()) };
        own.child.kill().await.map_err(io)?;
        own.child = spawn(&own.folder, own.ports, workers)?;
        self.answers().await
    }

    /// How our own server ended, if it did: with the end of its log.
    pub fn end(&mut self) -> Option<String> {
        let status = self.own.as_mut()?.child.try_wait().ok()??;
        Some(format!("the server ended ({status}):\n{}", self.log()))
    }

    fn log(&self) -> String {
        let log = self.own.as_ref().and_then(|own| std::fs::read_to_string(own.folder.join("log")).ok());
        let log = log.unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    /// Ends the server, or drops the database.
    pub async fn stop(mut self) {
        if let Some(own) = &mut self.own {
            // Nobody needs what it holds: a kill is the quickest end, and its own failure changes nothing here.
            let _ = own.child.kill().await;
        }
        if let Some((config, name)) = &self.made
            && let Ok(client) = Client::connect(config).await
        {
            let _ = client.run(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
        }
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        // What can't be removed is a temporary folder.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A port that is free now; the system does not give it out again soon.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(io)?;
    Ok(listener.local_addr().map_err(io)?.port())
}

fn io(error: std::io::Error) -> Error {
    Error::internal(error.to_string())
}
