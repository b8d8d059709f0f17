//! The command line: serves the database, or runs one of the tools that come with it.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use millrace::engine::{Config, Database};
use millrace::server::{Limits, Listener, refuse_open_trust, serve_http};
use millrace::types::{Error, Result, SqlState};
use millrace::{bench, slt};
use mimalloc::MiMalloc;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Threads that serve sockets; they plan and encode, but never execute a query.
const NETWORK_THREADS: usize = 2;
/// How long running queries may take to notice that the server ends.
const QUERY_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);
/// Files that are open beside those of clients: the store's, sources', the threads' own.
const FILES_BESIDE_CLIENTS: usize = 200;
const MIB: usize = 1 << 20;

/// Millrace, a streaming SQL database.
#[derive(Parser)]
#[command(version)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the database to psql and other PostgreSQL clients.
    Serve(Serve),
    Slt(Box<slt::Options>),
    /// Measure, and print the figures.
    Bench(bench::Arguments),
}

#[derive(Args)]
struct Serve {
    /// Folder for the database's files.
    #[arg(long)]
    data: PathBuf,
    /// Address for PostgreSQL clients.
    #[arg(long, default_value = "127.0.0.1:6580")]
    pg: SocketAddr,
    /// Address for /health, /ready and /metrics.
    #[arg(long, default_value = "127.0.0.1:6581")]
    http: SocketAddr,
    /// Dataflow worker threads [default: one per core].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
    /// Listen beyond this machine although nobody needs a password.
    #[arg(long)]
    insecure_trust: bool,
    /// Clients served at a time.
    #[arg(long, default_value_t = Limits::default().connections_max)]
    max_connections: usize,
    /// Memory for all SELECTs together, in MiB.
    #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(u64).range(16..=1 << 24))]
    query_memory: u64,
    /// Memory for what tables and views keep, in MiB; what is more lies on the disk only [default: half of the machine's].
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1 << 24))]
    state_memory: Option<u64>,
    /// Seconds between checkpoints; a restart works off what came after the last.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    checkpoint_interval: u64,
    /// How many seconds a SUBSCRIBE ... AS OF can go back.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    retention: u64,
    /// What must stay free on the disk, in MiB; writes that would leave less are refused with 53100.
    #[arg(long, default_value_t = 64)]
    disk_reserve: u64,
    /// Memory for rows that some view has not finished yet, in MiB; beyond it sources pause and writers wait [default: a
    /// sixteenth of --state-memory, at most 256].
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1 << 24))]
    backlog_memory: Option<u64>,
}

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_env("MILLRACE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    // Colours are for people: a log that goes to a file is searched.
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).init();
    let outcome = match CommandLine::parse().command {
        Command::Serve(arguments) => serve(&arguments),
        Command::Slt(options) => return slt::run(*options),
        Command::Bench(arguments) => bench::run(arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("millrace: {error}");
            for (label, text) in [("DETAIL", error.detail()), ("HINT", error.hint())] {
                if let Some(text) = text {
                    eprintln!("{label}:  {text}");
                }
            }
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: &Serve) -> Result<()> {
    refuse_open_trust(arguments.pg, arguments.insecure_trust)?;
    refuse_open_trust(arguments.http, arguments.insecure_trust)?;
    warn_of_few_files(arguments.max_connections);
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let query_runtime = runtime("query", cores)?;
    let defaults = Config::new(arguments.data.clone(), query_runtime.handle().clone());
    let defaults = match arguments.state_memory {
        Some(mib) => defaults.with_memory(mib as usize * MIB),
        None => defaults,
    };
    let database = Database::open(Config {
        workers: arguments.workers.map_or(cores, usize::from),
        query_memory_bytes: arguments.query_memory as usize * MIB,
        backlog_bytes_max: arguments.backlog_memory.map_or(defaults.backlog_bytes_max, |mib| mib as usize * MIB),
        checkpoint_interval: Duration::from_secs(arguments.checkpoint_interval),
        retention: Duration::from_secs(arguments.retention),
        disk_reserve_bytes: arguments.disk_reserve << 20,
        ..defaults
    })?;

    let network = runtime("network", NETWORK_THREADS)?;
    let served = network.block_on(async {
        let (stop, stopping) = watch::channel(false);
        let limits = Limits { connections_max: arguments.max_connections };
        let listener = Listener::bind(arguments.pg, limits).await?;
        let http = TcpListener::bind(arguments.http).await.map_err(|error| {
            Error::new(SqlState::IO_ERROR, format!("could not listen on {}: {error}", arguments.http))
                .with_hint("Is another server running there? Choose another address with --http.")
        })?;
        greet(listener.address(), &http);
        let pg = tokio::spawn(listener.serve(database.clone(), stopping.clone()));
        let http = tokio::spawn(serve_http(http, database.clone(), stopping));
        stop_asked().await?;
        tracing::info!("stopping");
        stop.send_replace(true);
        for server in [pg, http] {
            server.await.map_err(|error| Error::internal(format!("a server task failed: {error}")))?;
        }
        Ok(())
    });
    database.close();
    query_runtime.shutdown_timeout(QUERY_SHUTDOWN_TIMEOUT);
    served
}

/// Clients beyond the process's limit of open files are not refused but wait, which nobody would understand.
fn warn_of_few_files(connections_max: usize) {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let soft = limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next());
    let needed = connections_max + FILES_BESIDE_CLIENTS;
    if let Some(Ok(files)) = soft.map(str::parse::<usize>)
        && files < needed
    {
        tracing::warn!(files, needed, "too few open files for --max-connections; raise the limit with ulimit -n");
    }
}

fn runtime(name: &str, threads: usize) -> Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(threads).thread_name(format!("millrace-{name}")).enable_all();
    let failed = |error| Error::new(SqlState::INSUFFICIENT_RESOURCES, format!("could not start threads: {error}"));
    builder.build().map_err(failed)
}

/// What whoever started the server must know, on standard output.
fn greet(pg: SocketAddr, http: &TcpListener) {
    let http = http.local_addr().map(|address| address.to_string()).unwrap_or_default();
    println!(
        "\
Millrace {version}

  http://{http}/metrics
  psql -h {host} -p {port} -U millrace millrace
",
        version = env!("CARGO_PKG_VERSION"),
        host = reachable_host(pg),
        port = pg.port(),
    );
}

/// An address that listens everywhere is reached from here by loopback.
fn reachable_host(address: SocketAddr) -> String {
    match address.ip().is_unspecified() {
        true if address.is_ipv4() => "127.0.0.1".into(),
        true => "::1".into(),
        false => address.ip().to_string(),
    }
}

/// Returns at SIGINT or SIGTERM.
async fn stop_asked() -> Result<()> {
    let failed = |error| Error::internal(format!("could not listen to signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
