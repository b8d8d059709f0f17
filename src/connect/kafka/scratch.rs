//! A topic that is made, filled and removed again: what benchmarks read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::executor::block_on;
use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};

use crate::types::{Error, Result, SqlState};

/// How long the broker may take to answer, and to write what was sent.
const TIMEOUT: Duration = Duration::from_secs(120);
/// How long to wait when the producer's queue is full.
const FULL_WAIT: Duration = Duration::from_millis(20);

/// A topic of its own, removed when this is dropped.
pub struct ScratchTopic {
    name: String,
    admin: AdminClient<DefaultClientContext>,
    producer: BaseProducer<Deliveries>,
}

impl ScratchTopic {
    pub fn create(broker: &str, name: &str, partitions: i32) -> Result<ScratchTopic> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", broker).set("linger.ms", "20");
        let admin: AdminClient<_> = config.create().map_err(|error| failed("make a client", &error))?;
        let producer = config.create_with_context(Deliveries::default());
        let producer = producer.map_err(|error| failed("make a producer", &error))?;
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let options = AdminOptions::new().request_timeout(Some(TIMEOUT));
        let created = block_on(admin.create_topics(&[topic], &options));
        let created = created.map_err(|error| failed("make a topic", &error))?;
        if let Some(Err((name, code))) = created.first() {
            let message = format!("the broker did not make the topic \"{name}\": {code}");
            return Err(Error::new(SqlState::CONNECTION_FAILURE, message));
        }
        Ok(ScratchTopic { name: name.to_string(), admin, producer })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Writes records, spread over the partitions, and waits until the broker has them all.
    pub fn fill<'a>(&self, values: impl Iterator<Item = &'a [u8]>) -> Result<()> {
        for value in values {
            let mut record: BaseRecord<[u8], [u8]> = BaseRecord::to(&self.name).payload(value);
            while let Err((error, again)) = self.producer.send(record) {
                if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                    return Err(failed("send a record", &error));
                }
                self.producer.poll(FULL_WAIT);
                record = again;
            }
        }
        self.producer.flush(TIMEOUT).map_err(|error| failed("write the records", &error))?;
        match self.producer.context().refused.load(Ordering::Relaxed) {
            0 => Ok(()),
            refused => {
                let message = format!("the broker did not take {refused} records");
                Err(Error::new(SqlState::CONNECTION_FAILURE, message))
            }
        }
    }
}

impl Drop for ScratchTopic {
    fn drop(&mut self) {
        let options = AdminOptions::new().request_timeout(Some(TIMEOUT));
        if let Err(error) = block_on(self.admin.delete_topics(&[&self.name], &options)) {
            tracing::warn!(%error, topic = self.name, "could not remove a topic");
        }
    }
}

/// Counts the records that the broker did not take.
#[derive(Default)]
struct Deliveries {
    refused: AtomicU64,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult, _: ()) {
        if result.is_err() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn failed(what: &str, error: &KafkaError) -> Error {
    Error::new(SqlState::CONNECTION_FAILURE, format!("could not {what}: {error}"))
        .with_hint("Does the broker run? `scripts/kafka start` starts one.")
}
