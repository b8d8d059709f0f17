//! A connection to a broker for one topic: its settings, its errors in our words, and what it says about the topic.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::{ClientContext, Message};
use serde::Deserialize;

use super::record::Record;
use crate::connect::declaration::OptionMap;
use crate::connect::options::{Options, invalid};
use crate::types::{Error, Result, SqlState};

/// How long the broker may take for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Names of similar topics that a hint lists.
const SIMILAR_TOPICS: usize = 3;

/// librdkafka's settings. Answers come as soon as there is a record; what is fetched ahead is bounded.
const SETTINGS: &[(&str, &str)] = &[
    ("client.id", "millrace"),
    // A name is required although no group is joined.
    ("group.id", "millrace"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("auto.offset.reset", "error"),
    ("isolation.level", "read_committed"),
    ("enable.partition.eof", "true"),
    ("check.crcs", "true"),
    ("fetch.min.bytes", "1"),
    ("fetch.wait.max.ms", "100"),
    ("fetch.queue.backoff.ms", "10"),
    ("fetch.error.backoff.ms", "100"),
    ("fetch.max.bytes", "16777216"),
    ("receive.message.max.bytes", "134217728"),
    ("queued.min.messages", "20000"),
    ("queued.max.messages.kbytes", "32768"),
    ("max.poll.interval.ms", "86400000"),
    ("reconnect.backoff.max.ms", "1000"),
    ("topic.metadata.refresh.interval.ms", "2000"),
    ("topic.metadata.propagation.max.ms", "5000"),
    ("statistics.interval.ms", "1000"),
    ("socket.nagle.disable", "true"),
];

/// The broker's address from the options of CREATE CONNECTION .. TO KAFKA, all of which are checked.
pub fn broker(given: &OptionMap) -> Result<String> {
    let mut options = Options::new("a KAFKA connection", given);
    let broker = options.required("broker")?.to_string();
    options.finish()?;
    let has_port = |address: &str| {
        address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    };
    if !broker.split(',').all(|address| has_port(address.trim())) {
        return Err(invalid("broker", &broker).with_hint("It is 'host:port', or several with commas between."));
    }
    Ok(broker)
}

/// Which topic, and where.
#[derive(Clone, Debug)]
pub struct Address {
    pub broker: String,
    pub topic: String,
}

pub struct Client {
    address: Address,
    pub consumer: BaseConsumer<Observer>,
}

impl Client {
    pub fn connect(address: &Address) -> Result<Client> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &address.broker).set_log_level(RDKafkaLogLevel::Warning);
        for (name, value) in SETTINGS {
            config.set(*name, *value);
        }
        let observer = Observer { topic: address.topic.clone(), seen: Mutex::default() };
        let consumer = config.create_with_context(observer);
        let consumer = consumer.map_err(|error| Error::internal(format!("can't make a Kafka client: {error}")))?;
        Ok(Client { address: address.clone(), consumer })
    }

    /// The topic's partitions; it must exist.
    pub fn partitions(&self) -> Result<Vec<i32>> {
        let topic = &self.address.topic;
        let metadata = self.consumer.fetch_metadata(Some(topic), ANSWER_TIMEOUT);
        let metadata = metadata.map_err(|error| self.unreachable(&error))?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let mut partitions: Vec<i32> =
            found.map_or(vec![], |found| found.partitions().iter().map(|p| p.id()).collect());
        if partitions.is_empty() {
            return Err(self.missing_topic());
        }
        partitions.sort_unstable();
        Ok(partitions)
    }

    /// The first offset that a partition still has, and the one that its next record will get.
    pub fn watermarks(&self, partition: i32) -> Result<(i64, i64)> {
        let watermarks = self.consumer.fetch_watermarks(&self.address.topic, partition, ANSWER_TIMEOUT);
        watermarks.map_err(|error| match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownPartition) => {
                self.missing_topic()
            }
            _ => self.unreachable(&error),
        })
    }

    /// Begins to fetch partitions, each from its offset.
    pub fn assign(&self, positions: &BTreeMap<i32, i64>) -> Result<()> {
        let mut list = TopicPartitionList::with_capacity(positions.len());
        for (&partition, &offset) in positions {
            let added = list.add_partition_offset(&self.address.topic, partition, Offset::Offset(offset));
            added.map_err(|error| Error::internal(format!("can't read partition {partition}: {error}")))?;
        }
        let assigned = self.consumer.incremental_assign(&list);
        assigned.map_err(|error| Error::internal(format!("can't read topic \"{}\": {error}", self.address.topic)))
    }

    /// Per partition, the offset after what was taken. At the end of a partition it is also after the transaction
    /// markers there, which give no records.
    pub fn taken(&self) -> BTreeMap<i32, i64> {
        let Ok(positions) = self.consumer.position() else {
            return BTreeMap::new();
        };
        let offset = |offset| {
            if let Offset::Offset(offset) = offset { Some(offset) } else { None }
        };
        let elements = positions.elements_for_topic(&self.address.topic);
        elements.iter().filter_map(|element| Some((element.partition(), offset(element.offset())?))).collect()
    }

    pub fn topic(&self) -> &str {
        &self.address.topic
    }

    /// The error for a position that the broker can't give.
    pub fn lost(&self, partition: i32, offset: i64, (first, end): (i64, i64)) -> Error {
        let topic = &self.address.topic;
        let message = format!("topic \"{topic}\" has no offset {offset} in partition {partition}");
        let error = Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
            .with_detail(format!("The broker has the offsets {first} to {end} there."));
        error.with_hint(match offset < first {
            true => {
                "Records were removed by the topic's retention. Create the source again to begin with what is left."
            }
            false => "If the topic was removed and made again, create the source again too.",
        })
    }

    pub fn unreachable(&self, error: &KafkaError) -> Error {
        let message = format!("can't reach Kafka at {}", self.address.broker);
        let reason = self.consumer.context().last_error().unwrap_or_else(|| error.to_string());
        Error::new(SqlState::CONNECTION_FAILURE, message)
            .with_detail(reason)
            .with_hint("Check the address in CREATE CONNECTION, and that the broker runs.")
    }

    pub fn missing_topic(&self) -> Error {
        let topic = &self.address.topic;
        let error = Error::new(SqlState::UNDEFINED_OBJECT, format!("topic \"{topic}\" does not exist"))
            .with_detail(format!("The broker is {}.", self.address.broker));
        let Ok(metadata) = self.consumer.fetch_metadata(None, ANSWER_TIMEOUT) else {
            return error;
        };
        let similar = similar(topic, metadata.topics().iter().map(|topic| topic.name()));
        match similar.is_empty() {
            true => error.with_hint("Create the topic first."),
            false => error.with_hint(format!("Similar topics: {}.", similar.join(", "))),
        }
    }
}

/// The topics whose names are closest to `name`, internal ones apart.
fn similar<'a>(name: &str, topics: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let far = (name.chars().count() / 3).max(2);
    let ranked = topics.filter(|topic| !topic.starts_with("__")).map(|topic| (distance(name, topic), topic));
    let contains = |topic: &str| topic.contains(name) || name.contains(topic);
    let mut ranked: Vec<(usize, &str)> = ranked.filter(|&(edits, topic)| edits <= far || contains(topic)).collect();
    ranked.sort_unstable();
    ranked.into_iter().take(SIMILAR_TOPICS).map(|(_, topic)| topic).collect()
}

/// Characters to insert, remove or replace to make one name of the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, from) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, &to) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(from.to_lowercase().ne(to.to_lowercase()));
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

/// A record that librdkafka holds.
pub fn record<M: Message>(message: &M) -> Record<'_> {
    Record {
        partition: message.partition(),
        offset: message.offset(),
        timestamp_millis: message.timestamp().to_millis(),
        key: message.key(),
        value: message.payload(),
    }
}

/// Hears what librdkafka says apart from records: errors, and statistics every second.
pub struct Observer {
    topic: String,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    last_error: Option<String>,
    /// Whether no broker is connected, by the newest statistics.
    unreachable: bool,
    /// Per partition, the end of what can be read.
    ends: BTreeMap<i32, i64>,
}

impl Observer {
    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().expect("nothing panics while holding the lock")
    }

    pub fn last_error(&self) -> Option<String> {
        self.seen().last_error.clone()
    }

    /// Why nothing can be read right now.
    pub fn trouble(&self) -> Option<String> {
        let seen = self.seen();
        let reason = || seen.last_error.clone().unwrap_or_else(|| "no broker is connected".to_string());
        seen.unreachable.then(reason)
    }

    /// The partitions that the topic is known to have, each with its end (-1 if that is not known).
    pub fn ends(&self) -> BTreeMap<i32, i64> {
        self.seen().ends.clone()
    }
}

impl ClientContext for Observer {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, message, "librdkafka");
    }

    fn stats_raw(&self, statistics: &[u8]) {
        let statistics: Statistics = match serde_json::from_slice(statistics) {
            Ok(statistics) => statistics,
            Err(error) => return tracing::warn!(%error, "librdkafka's statistics have an unknown form"),
        };
        let mut seen = self.seen();
        seen.unreachable = !statistics.brokers.values().any(|broker| broker.state == "UP");
        if !seen.unreachable {
            seen.last_error = None;
        }
        let Some(topic) = statistics.topics.get(&self.topic) else {
            return;
        };
        for partition in topic.partitions.values().filter(|known| known.partition >= 0 && !known.unknown) {
            seen.ends.insert(partition.partition, partition.ls_offset);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka");
        self.seen().last_error = Some(reason.to_string());
    }
}

impl ConsumerContext for Observer {}

/// What we read of librdkafka's statistics.
#[derive(Debug, Deserialize)]
struct Statistics {
    brokers: BTreeMap<String, BrokerStatistics>,
    topics: BTreeMap<String, TopicStatistics>,
}

#[derive(Debug, Deserialize)]
struct BrokerStatistics {
    state: String,
}

#[derive(Debug, Deserialize)]
struct TopicStatistics {
    partitions: BTreeMap<String, PartitionStatistics>,
}

#[derive(Debug, Deserialize)]
struct PartitionStatistics {
    partition: i32,
    unknown: bool,
    /// The end of what is committed; negative if it is not known.
    ls_offset: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_names_are_few_edits_away_or_contain_each_other() {
        let topics = ["bids", "bidz", "orders", "all-bids", "__consumer_offsets"];
        assert_eq!(similar("bisd", topics.into_iter()), ["bids", "bidz"]);
        assert_eq!(similar("bids", topics.into_iter()), ["bids", "bidz", "all-bids"]);
        assert!(similar("accounts", topics.into_iter()).is_empty());
    }

    #[test]
    fn a_connection_needs_an_address_with_a_port() {
        let options = |broker: &str| OptionMap::from([("broker".to_string(), broker.to_string())]);
        assert_eq!(broker(&options("127.0.0.1:9092")).unwrap(), "127.0.0.1:9092");
        broker(&options("a:1, b:2")).unwrap();
        for wrong in ["", "localhost", ":9092", "a:b", "a:1,,b:2"] {
            let error = broker(&options(wrong)).unwrap_err();
            assert_eq!(error.state(), SqlState::INVALID_PARAMETER_VALUE, "{wrong}");
        }
    }
}
