//! A broker for tests, and what they do to it.

use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::{ClientConfig, ClientContext};

const TIMEOUT: Duration = Duration::from_secs(60);

pub struct Broker {
    pub address: String,
    /// Of the nodes that this test has started itself.
    ports: Vec<u16>,
    producer: BaseProducer<Deliveries>,
}

/// A record that the broker does not take fails the test.
struct Deliveries;

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult, _: ()) {
        if let Err((error, _)) = result {
            panic!("the broker did not take a record: {error}");
        }
    }
}

/// The broker that the tests share is started once and left running, as scripts/kafka does.
static SHARED: LazyLock<Broker> = LazyLock::new(|| match std::env::var("MILLRACE_KAFKA") {
    Ok(address) => Broker::at(address, vec![]),
    Err(_) => Broker::at(script(&["start"]).trim().to_string(), vec![]),
});

impl Broker {
    pub fn shared() -> &'static Broker {
        &SHARED
    }

    /// A broker to kill, next to the shared one.
    pub fn own() -> Broker {
        Broker::started(1)
    }

    /// Two brokers that keep everything twice, to kill one of them at a time.
    pub fn cluster() -> Broker {
        Broker::started(2)
    }

    fn started(nodes: u16) -> Broker {
        let (_, shared) = SHARED.address.rsplit_once(':').expect("an address has a port");
        let first = shared.parse::<u16>().expect("a port is a number") + 4;
        let ports: Vec<u16> = (0..nodes).map(|node| first + 2 * node).collect();
        ports.iter().for_each(|port| drop(script(&["wipe", &port.to_string()])));
        let addresses: Vec<String> = (0..ports.len()).map(|node| start_node(&ports, node)).collect();
        Broker::at(addresses.join(","), ports)
    }

    fn at(address: String, ports: Vec<u16>) -> Broker {
        let producer = config(&address).create_with_context(Deliveries).expect("a producer");
        Broker { address, ports, producer }
    }

    /// Kills the only node of an own broker.
    pub fn kill(&self) {
        self.kill_node(0);
    }

    pub fn start(&self) {
        start_node(&self.ports, 0);
    }

    pub fn kill_node(&self, node: usize) {
        script(&["kill", &self.ports[node].to_string()]);
    }

    /// Starts a node, and gives what waits until it answers.
    pub fn restart_node(&self, node: usize) -> std::thread::JoinHandle<()> {
        let ports = self.ports.clone();
        std::thread::spawn(move || drop(start_node(&ports, node)))
    }

    pub fn nodes(&self) -> usize {
        self.ports.len()
    }

    /// A new topic, whose name begins with `name`.
    pub fn topic(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{name}-{}-{number}", std::process::id());
        let mut topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(self.ports.len().max(1) as i32));
        for (name, value) in settings {
            topic = topic.set(name, value);
        }
        let created = block_on(self.admin().create_topics(&[topic], &AdminOptions::new())).expect("an answer");
        assert_eq!(created, vec![Ok(name.clone())]);
        // The topic may take a moment to get its leaders.
        for _ in 0..100 {
            let metadata = self.producer.client().fetch_metadata(Some(&name), TIMEOUT).expect("metadata");
            let found = metadata.topics()[0].partitions();
            if found.len() == partitions as usize && found.iter().all(|partition| partition.leader() >= 0) {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        name
    }

    pub fn grow(&self, topic: &str, partitions: usize) {
        let more = NewPartitions::new(topic, partitions);
        let grown = block_on(self.admin().create_partitions(&[more], &AdminOptions::new())).expect("an answer");
        assert_eq!(grown, vec![Ok(topic.to_string())]);
    }

    pub fn remove(&self, topic: &str) {
        let removed = block_on(self.admin().delete_topics(&[topic], &AdminOptions::new())).expect("an answer");
        assert_eq!(removed, vec![Ok(topic.to_string())]);
    }

    /// Removes the records of a partition that are before an offset.
    pub fn delete_records(&self, topic: &str, partition: i32, before: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(before)).expect("a partition");
        block_on(self.admin().delete_records(&list, &AdminOptions::new())).expect("records are removed");
    }

    pub fn send(&self, topic: &str, partition: i32, key: Option<&str>, value: Option<&str>) {
        let mut record: BaseRecord<str, str> = BaseRecord::to(topic).partition(partition);
        record.key = key;
        record.payload = value;
        // A partition that was added a moment ago is unknown at first.
        while let Err((KafkaError::MessageProduction(RDKafkaErrorCode::UnknownPartition), again)) =
            self.producer.send(record)
        {
            let _ = self.producer.client().fetch_metadata(Some(topic), TIMEOUT);
            std::thread::sleep(Duration::from_millis(50));
            record = again;
        }
        self.producer.flush(TIMEOUT).expect("the record is written");
    }

    pub fn send_many(&self, topic: &str, values: impl Iterator<Item = String>) {
        let mut config = config(&self.address);
        config.set("linger.ms", "20");
        let producer: BaseProducer<Deliveries> = config.create_with_context(Deliveries).expect("a producer");
        for value in values {
            let mut record: BaseRecord<str, str> = BaseRecord::to(topic).payload(&value);
            while let Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) = producer.send(record) {
                producer.poll(Duration::from_millis(50));
                record = again;
            }
        }
        producer.flush(TIMEOUT).expect("the records are written");
    }

    /// Writes records in a transaction, which is then committed or aborted.
    pub fn transaction(&self, topic: &str, values: &[&str], commit: bool) {
        let mut config = config(&self.address);
        config.set("transactional.id", topic);
        let producer: BaseProducer = config.create().expect("a producer");
        producer.init_transactions(TIMEOUT).expect("transactions");
        producer.begin_transaction().expect("a transaction begins");
        for value in values {
            let record: BaseRecord<str, str> = BaseRecord::to(topic).partition(0).payload(value);
            producer.send(record).map_err(|(error, _)| error).expect("the record is queued");
        }
        producer.flush(TIMEOUT).expect("the records are written");
        match commit {
            true => producer.commit_transaction(TIMEOUT).expect("a commit"),
            false => producer.abort_transaction(TIMEOUT).expect("an abort"),
        }
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        config(&self.address).create().expect("an admin client")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.ports.iter().for_each(|port| drop(script(&["wipe", &port.to_string()])));
    }
}

/// The first node of a cluster, or one that joins it; gives its address.
fn start_node(ports: &[u16], node: usize) -> String {
    let (port, first) = (ports[node].to_string(), ports[0].to_string());
    let started = if node == 0 { script(&["start", &port]) } else { script(&["join", &port, &first]) };
    started.trim().to_string()
}

fn config(address: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", address).set("linger.ms", "0").set("message.max.bytes", "64000000");
    // A record that is sent again since a leader has moved is there once.
    config.set("enable.idempotence", "true");
    config
}

fn script(arguments: &[&str]) -> String {
    // Asked when it runs: checkouts share what is built.
    let script = format!("{}/scripts/kafka", std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let output = Command::new(script).args(arguments).output().expect("scripts/kafka can be run");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "scripts/kafka {} failed: {told}\nThese tests need Java 17 and Maven; scripts/setup test installs them.",
        arguments.join(" ")
    );
    String::from_utf8(output.stdout).expect("an address is ASCII")
}
