//! What a server keeps for ever, and what it takes when it is given more than it can do: it has a process of its own,
//! whose memory, threads and files can be counted.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

const MIB: usize = 1 << 20;

/// Rounds after which caches are full and allocators have what they need.
const ROUNDS_WARM: usize = 50;
const ROUNDS: usize = 200;
/// A leak of a dataflow would be about 100 KiB a round.
const ROUNDS_GROWTH_MAX: usize = 12 * MIB;

/// The limit of the backlog in the test of it, and what one batch may go beyond it.
const BACKLOG_MIB: usize = 4;
const BATCH_BYTES: usize = 8 * MIB;
/// How often the source is seen to go on, and how long that may take on a busy machine.
const STEPS_SEEN: usize = 3;
const PATIENCE: Duration = Duration::from_secs(120);
/// What a server may take while a view can't keep up, beyond what its arrangements hold.
const SLOW_GROWTH_MAX: usize = 500 * MIB;

#[tokio::test(flavor = "multi_thread")]
async fn dataflows_that_come_and_go_leave_nothing() {
    let server = Server::start(&[]);
    let client = server.client().await;
    run(&client, "create table base (a int primary key, b int)").await;
    run(&client, "insert into base select i, i % 7 from generate_series(1, 100) as g(i)").await;
    for _ in 0..ROUNDS_WARM {
        round(&client).await;
    }
    let (threads, files, memory) = (server.count("task"), server.count("fd"), server.resident_bytes());
    let arrangements = rows(&client, "select name, operator, worker from millrace.arrangements").await.len();
    for _ in 0..ROUNDS {
        round(&client).await;
    }
    assert_eq!((server.count("task"), server.count("fd")), (threads, files));
    assert_eq!(rows(&client, "select name, operator, worker from millrace.arrangements").await.len(), arrangements);
    let grown = server.resident_bytes().saturating_sub(memory);
    assert!(grown < ROUNDS_GROWTH_MAX, "{ROUNDS} rounds left {grown} bytes");
}

/// A table with a unique index, a view over it and another table, an index on the view; then everything goes.
async fn round(client: &Client) {
    run(client, "create table part (b int unique, name text)").await;
    run(client, "insert into part values (1, 'one'), (2, 'two')").await;
    run(
        client,
        "create materialized view named as select name, count(*) as n from base join part using (b) group by name",
    )
    .await;
    run(client, "create index named_n on named (n)").await;
    assert_eq!(rows(client, "select name from named where n = 15 order by name").await, ["one", "two"]);
    run(client, "drop table part cascade").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_outruns_its_views_waits_for_them() {
    let server = Server::start(&["--backlog-memory", &BACKLOG_MIB.to_string()]);
    let client = server.client().await;
    run(&client, "create source nex from load generator nexmark (rate 0)").await;
    run(
        &client,
        "create materialized view rivals as select count(*) as n, sum(a.price + b.price) as sum \
         from nex.bid a join nex.bid b on a.auction = b.auction and a.bidder = b.bidder and a.price < b.price",
    )
    .await;
    let memory = server.resident_bytes();
    let (mut backlog_max, mut steps, mut records) = (0, 0, 0);
    let began = Instant::now();
    // The view must have been behind by all that is allowed, and the source must have gone on after that.
    while backlog_max < BACKLOG_MIB * MIB || steps < STEPS_SEEN {
        backlog_max = backlog_max.max(server.metric("millrace_backlog_bytes "));
        let now = server.metric("millrace_source_records_total{");
        steps += usize::from(now > records);
        records = now;
        assert!(backlog_max < BACKLOG_MIB * MIB + BATCH_BYTES, "{backlog_max} bytes of backlog");
        let waited = began.elapsed();
        assert!(waited < PATIENCE, "{backlog_max} bytes of backlog, {records} records in {steps} steps");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let kept = server.metric("millrace_arrangement_bytes ");
    let grown = server.resident_bytes().saturating_sub(memory);
    assert!(grown < 3 * kept + SLOW_GROWTH_MAX, "grown by {grown} bytes, of which {kept} are arrangements");
    run(&client, "drop source nex cascade").await;
    run(&client, "create table after (a int)").await;
    run(&client, "insert into after values (1)").await;
}

/// A server in a process of its own.
struct Server {
    process: Child,
    data: PathBuf,
    pg_port: u16,
    http_address: String,
}

impl Server {
    fn start(options: &[&str]) -> Server {
        let name = format!("millrace-endurance-{}-{:?}", std::process::id(), std::thread::current().id());
        let data = std::env::temp_dir().join(name);
        let mut command = Command::new(env!("CARGO_BIN_EXE_millrace"));
        command.args(["serve", "--pg", "127.0.0.1:0", "--http", "127.0.0.1:0", "--workers", "2", "--data"]);
        let mut process = command.arg(&data).args(options).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
        let http = lines.find(|line| line.contains("http://")).expect("the server greets");
        let http_address = http.trim().trim_start_matches("http://").trim_end_matches("/metrics").to_string();
        let psql = lines.find(|line| line.contains("psql")).expect("the server says how to come in");
        let port = psql.split_whitespace().skip_while(|word| *word != "-p").nth(1).expect("a port");
        Server { process, data, pg_port: port.parse().unwrap(), http_address }
    }

    async fn client(&self) -> Client {
        let config = format!("host=127.0.0.1 port={} user=millrace dbname=millrace", self.pg_port);
        let (client, connection) = tokio_postgres::connect(&config, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// How many entries its folder of this name under /proc has.
    fn count(&self, folder: &str) -> usize {
        std::fs::read_dir(format!("/proc/{}/{folder}", self.process.id())).unwrap().count()
    }

    fn resident_bytes(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/statm", self.process.id())).unwrap();
        status.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    }

    /// The sum of the figures whose lines begin so.
    fn metric(&self, start: &str) -> usize {
        let mut stream = TcpStream::connect(&self.http_address).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        let lines = page.lines().filter(|line| line.starts_with(start));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as usize).sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, which the test has said then.
        self.process.kill().ok();
        self.process.wait().ok();
        std::fs::remove_dir_all(&self.data).ok();
    }
}

async fn run(client: &Client, sql: &str) {
    client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}

/// The first column of a query's rows.
async fn rows(client: &Client, sql: &str) -> Vec<String> {
    let messages = client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let first = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_string),
        _ => None,
    };
    messages.iter().filter_map(first).collect()
}
