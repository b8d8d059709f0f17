//! Reads a topic between two positions, on the thread of whoever takes the batches.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionList;

use super::client::{Address, Client, record};
use super::follow::stopped;
use super::record::{Record, RecordDecoder, RecordLayout};
use crate::connect::declaration::OnError;
use crate::connect::{Batches, Positions, ReadRows};
use crate::types::{Error, Result};

/// Rows and bytes of one batch at most.
const BATCH_ROWS: usize = 8_192;
const BATCH_BYTES: usize = 8 << 20;

/// How long to wait for a record at a time, and how long in all before the broker counts as unreachable.
const POLL: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(30);

pub fn read(
    address: &Address,
    layout: &RecordLayout,
    on_error: OnError,
    from: &Positions,
    to: &Positions,
) -> Result<Batches> {
    let (mut starts, mut ends) = (BTreeMap::new(), BTreeMap::new());
    for (&partition, &end) in &to.0 {
        // A partition that appeared later begins at its first offset.
        let start = from.0.get(&partition).copied().unwrap_or(0);
        if start < end {
            starts.insert(partition, start);
            ends.insert(partition, end);
        }
    }
    if starts.is_empty() {
        return Ok(Box::new(std::iter::empty()));
    }
    let client = Client::connect(address)?;
    for (&partition, &start) in &starts {
        let watermarks = client.watermarks(partition)?;
        if start < watermarks.0 {
            return Err(client.lost(partition, start, watermarks));
        }
        if ends[&partition] > watermarks.1 {
            return Err(client.lost(partition, ends[&partition], watermarks));
        }
    }
    client.assign(&starts)?;
    let (decoder, progressed) = (layout.decoder()?, Instant::now());
    Ok(Box::new(BoundedRead { client, on_error, decoder, ends, records_done: 0, progressed }))
}

struct BoundedRead {
    client: Client,
    on_error: OnError,
    decoder: RecordDecoder,
    /// The partitions that are not read to their end yet, and where that is.
    ends: BTreeMap<i32, i64>,
    records_done: u64,
    progressed: Instant,
}

impl Iterator for BoundedRead {
    type Item = Result<ReadRows>;

    fn next(&mut self) -> Option<Result<ReadRows>> {
        while !self.ends.is_empty() && self.decoder.rows() < BATCH_ROWS && self.decoder.bytes() < BATCH_BYTES {
            if let Err(error) = self.poll() {
                self.ends.clear();
                return Some(Err(error));
            }
        }
        (self.decoder.rows() > 0).then(|| {
            let rows = self.decoder.finish()?;
            self.records_done += rows.num_rows() as u64;
            Ok(ReadRows { rows, records_done: self.records_done })
        })
    }
}

impl BoundedRead {
    /// Takes one record, or learns that a partition has no more.
    fn poll(&mut self) -> Result<()> {
        let ended = match self.client.consumer.poll(POLL) {
            None => {
                let error = KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut);
                return match self.progressed.elapsed() < PATIENCE {
                    true => Ok(()),
                    false => Err(self.client.unreachable(&error)),
                };
            }
            Some(Ok(message)) => {
                let record = record(&message);
                let topic = self.client.topic();
                push(&mut self.decoder, &record, &self.ends, self.on_error, topic)?;
                // Offsets that transactions took up give no records: one beyond the end tells that it is passed.
                let end = self.ends.get(&record.partition).copied();
                end.is_some_and(|end| record.offset + 1 >= end).then_some(record.partition)
            }
            // What can be read ends here, so at or after the position that was asked for.
            Some(Err(KafkaError::PartitionEOF(partition))) => Some(partition),
            Some(Err(error)) => return self.check(&error),
        };
        self.progressed = Instant::now();
        if let Some(partition) = ended.filter(|partition| self.ends.remove(partition).is_some()) {
            self.pause(partition)?;
        }
        Ok(())
    }

    /// Fetches no more of a partition that has been read.
    fn pause(&self, partition: i32) -> Result<()> {
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition(self.client.topic(), partition);
        let paused = self.client.consumer.pause(&list);
        paused.map_err(|error| Error::internal(format!("can't stop reading partition {partition}: {error}")))
    }

    fn check(&self, error: &KafkaError) -> Result<()> {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                Err(self.client.missing_topic())
            }
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                let message = format!("topic \"{}\" lost records while they were read", self.client.topic());
                Err(Error::new(crate::types::SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
                    .with_hint("Create the source again to begin with what is left."))
            }
            _ => Ok(()),
        }
    }
}

/// Decodes a record, if it is before the end that is asked for.
fn push(
    decoder: &mut RecordDecoder,
    record: &Record,
    ends: &BTreeMap<i32, i64>,
    on_error: OnError,
    topic: &str,
) -> Result<()> {
    if ends.get(&record.partition).is_none_or(|&end| record.offset >= end) {
        return Ok(());
    }
    match decoder.push(record) {
        Err(error) if on_error == OnError::Stop => Err(stopped(topic, &error)),
        // Reported when it was followed.
        Err(_) | Ok(()) => Ok(()),
    }
}
