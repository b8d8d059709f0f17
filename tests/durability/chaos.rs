//! Kills at random instants under load, and what must hold after each of them.
//!
//! Clients move money between accounts, each move in one transaction with a line in a ledger; records with numbers of
//! their own arrive in a Kafka topic. Whatever a reader ever sees, the total is what it was at the beginning; after each restart
//! every acknowledged move is there, whole, every view equals its SELECT, and no record is lost or counted twice.
//!
//! Beside the server's death: its disk fails now and then, in every second of its lives; its state does not fit its
//! memory; backups are made, and one that was finished is a database; partitions are added; a broker of the two is
//! killed, so that leaders move, and comes back.
//!
//! `MILLRACE_CHAOS_SECONDS` says how long (20 by default).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use millrace::types::random_u64;
use tokio_postgres::Client;

use super::broker::Broker;
use super::faults::Faults;
use super::server::{Server, rows};

const ACCOUNTS: i64 = 50;
const MONEY: i64 = 1_000;
const MOVERS: u64 = 4;
/// In a life with a failing disk, one call in so many fails.
const FAULT_ODDS: Range<u64> = 50..2_000;

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
    /// The server's disk fails in this life of it.
    disk_fails: AtomicBool,
    next_move: AtomicU64,
    acknowledged: Mutex<BTreeSet<i64>>,
    /// Moves that another was quicker than.
    refused: AtomicU64,
    /// Totals that readers saw.
    reads: AtomicU64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_lose_nothing_and_count_nothing_twice() {
    let seconds = std::env::var("MILLRACE_CHAOS_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    let (mut server, faults) = (Server::new(), Faults::build());
    server.start(&["--checkpoint-interval", "1"]).await;
    let mut topics = Topics::create();
    set_up(&server.client().await, &topics).await;
    let known = Arc::new(Known::default());
    let mut backups = Backups::default();
    let (began, mut kills, mut ended) = (Instant::now(), 0, 0);
    while began.elapsed() < Duration::from_secs(seconds) {
        known.stopped.store(false, Ordering::Relaxed);
        let mut tasks = vec![];
        for mover in 0..MOVERS {
            tasks.push(tokio::spawn(move_money(server.connect().await, mover, known.clone())));
        }
        tasks.push(tokio::spawn(watch_total(server.connect().await, known.clone())));
        tasks.push(tokio::spawn(backups.make(server.connect().await, &server)));
        topics.disturb();
        topics.produce();
        tokio::time::sleep(Duration::from_millis(within(50..2_000))).await;
        ended += u64::from(server.has_ended());
        server.kill();
        kills += 1;
        known.stopped.store(true, Ordering::Relaxed);
        for task in tasks {
            task.await.expect("a client fails only as the server's death or its disk make it fail");
        }
        backups.check(&mut server, &known).await;
        restart(&mut server, &faults, &known).await;
        check(&mut server, &known, &topics).await;
    }
    let (moves, load) = (known.acknowledged.lock().unwrap().len(), |count: &AtomicU64| count.load(Ordering::Relaxed));
    println!(
        "{kills} kills and {ended} ends of its own, {} failures of the disk, {} of brokers; {moves} moves acknowledged, {} \
         refused; {} totals read; {} records; {} backups",
        server.log().matches("fault: ").count(),
        topics.disturbed,
        load(&known.refused),
        load(&known.reads),
        topics.produced,
        backups.checked,
    );
    assert!(moves > 0 && load(&known.reads) > 0);
}

/// Starts the server with some number of workers and little memory, on a disk that fails or one that does not. It may end
/// before it answers, for the disk's sake; on a good disk it must not.
async fn restart(server: &mut Server, faults: &Faults, known: &Known) {
    let workers = within(1..4).to_string();
    let arguments = ["--checkpoint-interval", "1", "--state-memory", "1", "--workers", &workers];
    let fails = within(0..2) == 0;
    let environment = if fails { faults.environment(&server.data(), within(FAULT_ODDS)) } else { vec![] };
    known.disk_fails.store(fails, Ordering::Relaxed);
    server.set_environment(environment);
    if !server.try_start(&arguments).await {
        assert!(fails, "the server ended:\n{}", server.log());
        restart_on_a_good_disk(server, known).await;
    }
}

async fn restart_on_a_good_disk(server: &mut Server, known: &Known) {
    known.disk_fails.store(false, Ordering::Relaxed);
    server.set_environment(vec![]);
    server.start(&["--checkpoint-interval", "1", "--state-memory", "1"]).await;
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

/// Moves money until the server is gone.
async fn move_money(client: Option<Client>, mover: u64, known: Arc<Known>) {
    let Some(client) = client else { return };
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
        let Err(error) = client.batch_execute(&moved).await else {
            known.acknowledged.lock().unwrap().insert(id);
            continue;
        };
        let Some(told) = error.as_db_error() else { return };
        assert_eq!(told.code().code(), "40001", "mover {mover}: {told:?}");
        known.refused.fetch_add(1, Ordering::Relaxed);
        client.batch_execute("ROLLBACK").await.ok();
    }
}

/// Reads the total in both ways until the server is gone: it never changes.
async fn watch_total(client: Option<Client>, known: Arc<Known>) {
    let Some(client) = client else { return };
    let whole = format!("{}|{ACCOUNTS}", ACCOUNTS * MONEY);
    while !known.stopped.load(Ordering::Relaxed) {
        for sql in ["SELECT * FROM total", "SELECT sum(balance), count(*) FROM account"] {
            match rows(&client, sql).await {
                Ok(seen) => assert_eq!(seen, [whole.as_str()], "{sql}"),
                Err(error) => match error.as_db_error() {
                    Some(told) => panic!("{told}"),
                    None => return,
                },
            }
            known.reads.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Backups that are made while the server may die.
#[derive(Default)]
struct Backups {
    /// The last that was asked for, and whether it was told to be finished.
    last: Option<(PathBuf, Arc<AtomicBool>)>,
    checked: u64,
}

impl Backups {
    /// Makes one, sometimes, in a while.
    fn make(&mut self, client: Option<Client>, server: &Server) -> impl Future<Output = ()> + use<> {
        let wanted = within(0..4) == 0;
        let to = server.data().with_file_name(format!("backup-{}", random_u64()));
        let finished = Arc::new(AtomicBool::new(false));
        if wanted {
            self.last = Some((to.clone(), finished.clone()));
        }
        async move {
            tokio::time::sleep(Duration::from_millis(within(0..500))).await;
            if let Some(client) = client.filter(|_| wanted) {
                let made = client.batch_execute(&format!("BACKUP TO '{}'", to.display())).await;
                finished.store(made.is_ok(), Ordering::Relaxed);
            }
        }
    }

    /// A finished backup is a database whose total is whole, and no move is there by half.
    async fn check(&mut self, server: &mut Server, known: &Known) {
        let Some((path, finished)) = self.last.take() else { return };
        if finished.load(Ordering::Relaxed) {
            known.disk_fails.store(false, Ordering::Relaxed);
            server.set_environment(vec![]);
            server.start_on(&path, &[]).await;
            let client = server.client().await;
            let seen = rows(&client, "SELECT * FROM total").await.unwrap();
            assert_eq!(seen, [format!("{}|{ACCOUNTS}", ACCOUNTS * MONEY)], "{}", server.log());
            assert_eq!(rows(&client, WRONG_BALANCES).await.unwrap(), Vec::<String>::new());
            server.kill();
            self.checked += 1;
        }
        std::fs::remove_dir_all(path).ok();
    }
}

/// Accounts that are not what their moves make of them: a move is there whole, and once.
const WRONG_BALANCES: &str = "SELECT a.id FROM account a WHERE a.balance <> 1000
    + coalesce((SELECT sum(amount) FROM ledger l WHERE l.to_id = a.id), 0)
    - coalesce((SELECT sum(amount) FROM ledger l WHERE l.from_id = a.id), 0)";

/// What must hold after a restart. A server whose disk ends it meanwhile is started again, on a good one.
async fn check(server: &mut Server, known: &Known, topics: &Topics) {
    if holds(server, known, topics).await.is_err() {
        let fails = known.disk_fails.load(Ordering::Relaxed);
        assert!(fails, "the server is gone:\n{}", server.log());
        server.kill();
        restart_on_a_good_disk(server, known).await;
        holds(server, known, topics).await.unwrap();
    }
}

async fn holds(server: &Server, known: &Known, topics: &Topics) -> Result<(), tokio_postgres::Error> {
    let client = server.try_connect().await?;
    let ids = rows(&client, "SELECT id FROM ledger").await?;
    let ids: BTreeSet<i64> = ids.iter().map(|id| id.parse().unwrap()).collect();
    let lost: Vec<_> = known.acknowledged.lock().unwrap().difference(&ids).copied().collect();
    assert!(lost.is_empty(), "acknowledged moves are lost: {lost:?}\n{}", server.log());
    assert_eq!(rows(&client, WRONG_BALANCES).await?, Vec::<String>::new());
    let (produced, keys) = (topics.produced, topics.newest.len());
    let last = if produced == 0 { "NULL".to_string() } else { (produced - 1).to_string() };
    let sum: u64 = topics.newest.values().sum();
    let expected = [format!("{produced}|{produced}|{last}|{keys}|{sum}")];
    let started = Instant::now();
    while rows(&client, "SELECT * FROM counted, newest").await? != expected {
        let seen = rows(&client, "SELECT * FROM counted, newest").await?;
        assert!(started.elapsed() < Duration::from_secs(60), "{expected:?}, {seen:?}\n{}", server.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for view in VIEWS {
        let (name, query) = view.split_once(" AS ").unwrap();
        let sorted = |mut rows: Vec<String>| {
            rows.sort();
            rows
        };
        let kept = sorted(rows(&client, &format!("SELECT * FROM {name}")).await?);
        assert_eq!(kept, sorted(rows(&client, query).await?), "{name}\n{}", server.log());
    }
    Ok(())
}

/// What is in Kafka: numbers from 0 on, each once, and the newest value of some keys.
struct Topics {
    broker: Broker,
    numbers: String,
    latest: String,
    produced: u64,
    partitions: usize,
    newest: BTreeMap<u64, u64>,
    /// A node that is on its way back.
    returning: Option<JoinHandle<()>>,
    disturbed: u64,
}

impl Topics {
    fn create() -> Topics {
        let broker = Broker::cluster();
        let (numbers, latest) = (broker.topic("chaos-numbers", 2, &[]), broker.topic("chaos-latest", 1, &[]));
        let newest = BTreeMap::new();
        Topics { broker, numbers, latest, produced: 0, partitions: 2, newest, returning: None, disturbed: 0 }
    }

    /// Kills a node, sometimes: the other leads its partitions, until it is back.
    fn disturb(&mut self) {
        if self.returning.as_ref().is_some_and(|returning| !returning.is_finished()) {
            return;
        }
        if let Some(returned) = self.returning.take() {
            returned.join().expect("the node is back");
        }
        if within(0..12) == 0 {
            let node = within(0..self.broker.nodes() as u64) as usize;
            self.broker.kill_node(node);
            self.returning = Some(self.broker.restart_node(node));
            self.disturbed += 1;
        }
    }

    /// Adds some records, and sometimes a partition.
    fn produce(&mut self) {
        let random = || within(0..1_000);
        if random() < 50 && self.returning.is_none() {
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
