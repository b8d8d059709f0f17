//! Kills at random instants under load, and what must hold after each of them.
//!
//! Clients move money between accounts, each move in one transaction with a line in a ledger; records with numbers of
//! their own arrive in a Kafka topic. Whatever a reader ever sees, the total is what it was at the beginning; after each restart
//! every acknowledged move is there, whole, every view equals its SELECT, and no record is lost or counted twice.
//!
//! `MILLRACE_CHAOS_SECONDS` says how long (20 by default).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use millrace::types::random_u64;
use tokio_postgres::Client;

use super::broker::Broker;
use super::server::{Server, rows};

const ACCOUNTS: i64 = 50;
const MONEY: i64 = 1_000;
const MOVERS: u64 = 4;

const VIEWS: &[&str] = &[
    "total AS SELECT sum(balance) AS total, count(*) AS accounts FROM account",
    "moved AS SELECT to_id, count(*) AS moves, sum(amount) AS amount, max(amount) AS most FROM ledger GROUP BY to_id",
    "state AS SELECT a.id, a.balance, m.moves FROM account a LEFT JOIN moved m ON m.to_id = a.id",
    "rich AS SELECT id, balance FROM account ORDER BY balance DESC, id LIMIT 5",
    "counted AS SELECT count(*) AS records, count(DISTINCT n) AS numbers, max(n) AS newest FROM numbers",
    "by_digit AS SELECT n % 10 AS digit, count(*) AS records FROM numbers GROUP BY n % 10",
    "newest AS SELECT count(*) AS keys, sum(n) AS sum FROM latest",
    "met AS SELECT d.digit, d.records, l.n FROM by_digit d JOIN latest l ON l.k = d.digit",
];

/// What the clients know, which no kill takes away.
#[derive(Default)]
struct Known {
    stopped: AtomicBool,
    next_move: AtomicU64,
    acknowledged: Mutex<BTreeSet<i64>>,
    /// Totals that readers saw.
    reads: AtomicU64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_lose_nothing_and_count_nothing_twice() {
    let seconds = std::env::var("MILLRACE_CHAOS_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    let mut server = Server::new();
    server.start(&["--checkpoint-interval", "1"]).await;
    let mut topics = Topics::create();
    set_up(&server.client().await, &topics).await;
    let known = Arc::new(Known::default());
    let (began, mut kills, mut refused) = (Instant::now(), 0, 0);
    while began.elapsed() < Duration::from_secs(seconds) {
        known.stopped.store(false, Ordering::Relaxed);
        let mut tasks = vec![];
        for mover in 0..MOVERS {
            tasks.push(tokio::spawn(move_money(server.client().await, mover, known.clone())));
        }
        tasks.push(tokio::spawn(watch_total(server.client().await, known.clone())));
        topics.produce();
        let pause = within(50..2_000);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        server.kill();
        kills += 1;
        known.stopped.store(true, Ordering::Relaxed);
        for task in tasks {
            refused += task.await.expect("a client fails only as the server's death makes it fail");
        }
        let workers = within(1..4).to_string();
        server.start(&["--checkpoint-interval", "1", "--workers", &workers]).await;
        check(&server, &known, &topics).await;
    }
    let (moves, reads) = (known.acknowledged.lock().unwrap().len(), known.reads.load(Ordering::Relaxed));
    let produced = topics.produced;
    println!("{kills} kills, {moves} moves acknowledged, {refused} refused, {reads} totals read, {produced} records");
    assert!(moves > 0 && reads > 0);
}

async fn set_up(client: &Client, topics: &Topics) {
    let Topics { broker, numbers, latest, .. } = topics;
    let address = &broker.address;
    let sql = format!(
        "CREATE TABLE account (id bigint PRIMARY KEY, balance bigint NOT NULL);
         CREATE TABLE ledger (id bigint PRIMARY KEY, from_id bigint, to_id bigint, amount bigint);
         INSERT INTO account SELECT i, {MONEY} FROM generate_series(1, {ACCOUNTS}) i;
         CREATE INDEX ON ledger (to_id);
         CREATE CONNECTION broker TO KAFKA (BROKER '{address}');
         CREATE SOURCE numbers (n bigint) FROM KAFKA CONNECTION broker (TOPIC '{numbers}') FORMAT JSON;
         CREATE SOURCE latest (k bigint, n bigint, PRIMARY KEY (k)) FROM KAFKA CONNECTION broker (TOPIC '{latest}')
           KEY FORMAT JSON FORMAT JSON ENVELOPE UPSERT"
    );
    client.batch_execute(&sql).await.unwrap();
    for view in VIEWS {
        client.batch_execute(&format!("CREATE MATERIALIZED VIEW {view}")).await.unwrap();
    }
}

/// Moves money until the server is gone; gives how many moves were refused since another was quicker.
async fn move_money(client: Client, mover: u64, known: Arc<Known>) -> u64 {
    let mut refused = 0;
    while !known.stopped.load(Ordering::Relaxed) {
        let id = known.next_move.fetch_add(1, Ordering::Relaxed) as i64;
        let account = 1..ACCOUNTS as u64 + 1;
        let (from, to, amount) = (within(account.clone()), within(account), within(1..50));
        if from == to {
            continue;
        }
        let moved = format!(
            "BEGIN; UPDATE account SET balance = balance - {amount} WHERE id = {from};
             UPDATE account SET balance = balance + {amount} WHERE id = {to};
             INSERT INTO ledger VALUES ({id}, {from}, {to}, {amount}); COMMIT"
        );
        match client.batch_execute(&moved).await {
            Ok(()) => drop(known.acknowledged.lock().unwrap().insert(id)),
            Err(error) => match error.as_db_error() {
                Some(told) if told.code().code() == "40001" => {
                    refused += 1;
                    client.batch_execute("ROLLBACK").await.ok();
                }
                Some(told) => panic!("mover {mover}: {told}"),
                None => break,
            },
        }
    }
    refused
}

/// Reads the total in both ways until the server is gone: it never changes.
async fn watch_total(client: Client, known: Arc<Known>) -> u64 {
    let whole = format!("{}|{ACCOUNTS}", ACCOUNTS * MONEY);
    while !known.stopped.load(Ordering::Relaxed) {
        for sql in ["SELECT * FROM total", "SELECT sum(balance), count(*) FROM account"] {
            match rows(&client, sql).await {
                Ok(seen) => assert_eq!(seen, [whole.as_str()], "{sql}"),
                Err(error) => match error.as_db_error() {
                    Some(told) => panic!("{told}"),
                    None => return 0,
                },
            }
            known.reads.fetch_add(1, Ordering::Relaxed);
        }
    }
    0
}

/// What must hold after a restart.
async fn check(server: &Server, known: &Known, topics: &Topics) {
    let client = server.client().await;
    let ids = rows(&client, "SELECT id FROM ledger").await.unwrap();
    let ids: BTreeSet<i64> = ids.iter().map(|id| id.parse().unwrap()).collect();
    let lost: Vec<_> = known.acknowledged.lock().unwrap().difference(&ids).copied().collect();
    assert!(lost.is_empty(), "acknowledged moves are lost: {lost:?}\n{}", server.log());
    // Each account is what its moves make of it: a move is there whole, and once.
    let wrong = "SELECT a.id FROM account a WHERE a.balance <> 1000
        + coalesce((SELECT sum(amount) FROM ledger l WHERE l.to_id = a.id), 0)
        - coalesce((SELECT sum(amount) FROM ledger l WHERE l.from_id = a.id), 0)";
    assert_eq!(rows(&client, wrong).await.unwrap(), Vec::<String>::new());
    let (produced, keys) = (topics.produced, topics.newest.len());
    let last = if produced == 0 { "NULL".to_string() } else { (produced - 1).to_string() };
    let sum: u64 = topics.newest.values().sum();
    let expected = [format!("{produced}|{produced}|{last}|{keys}|{sum}")];
    let started = Instant::now();
    loop {
        let seen = rows(&client, "SELECT * FROM counted, newest").await.unwrap();
        if seen == expected {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "{expected:?}, {seen:?}\n{}", server.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for view in VIEWS {
        let (name, query) = view.split_once(" AS ").unwrap();
        let sorted = |mut rows: Vec<String>| {
            rows.sort();
            rows
        };
        let kept = sorted(rows(&client, &format!("SELECT * FROM {name}")).await.unwrap());
        assert_eq!(kept, sorted(rows(&client, query).await.unwrap()), "{name}\n{}", server.log());
    }
}

/// What is in Kafka: numbers from 0 on, each once, and the newest value of some keys.
struct Topics {
    broker: &'static Broker,
    numbers: String,
    latest: String,
    produced: u64,
    partitions: usize,
    newest: BTreeMap<u64, u64>,
}

impl Topics {
    fn create() -> Topics {
        let broker = Broker::shared();
        let (numbers, latest) = (broker.topic("chaos-numbers", 1, &[]), broker.topic("chaos-latest", 1, &[]));
        Topics { broker, numbers, latest, produced: 0, partitions: 1, newest: BTreeMap::new() }
    }

    /// Adds some records, and sometimes a partition.
    fn produce(&mut self) {
        let random = || within(0..1_000);
        if random() < 50 {
            self.partitions += 1;
            self.broker.grow(&self.numbers, self.partitions);
        }
        let (first, count) = (self.produced, random() * 4);
        self.broker.send_many(&self.numbers, (first..first + count).map(|number| format!("{{\"n\": {number}}}")));
        self.produced += count;
        for _ in 0..20 {
            let (key, value) = (random() % 10, self.produced + random());
            self.broker.send(&self.latest, 0, Some(&key.to_string()), Some(&format!("{{\"n\": {value}}}")));
            self.newest.insert(key, value);
        }
    }
}

fn within(range: Range<u64>) -> u64 {
    range.start + random_u64() % (range.end - range.start)
}
