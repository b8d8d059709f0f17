//! Reads a topic live, on a thread of its own, for as long as its follower lives.

use std::collections::BTreeMap;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::client::{Address, Client, record};
use super::record::{Record, RecordDecoder, RecordLayout};
use crate::connect::declaration::OnError;
use crate::connect::outlet::{Outlet, Stop, spawn};
use crate::connect::{Follower, Positions, RecordError, SourceBatch};
use crate::types::{Error, Result, SqlState};

/// Records, bad ones included, and bytes of one batch at most.
const BATCH_RECORDS: usize = 8_192;
const BATCH_BYTES: usize = 8 << 20;

/// How long a batch waits for more records: short beside a tick of the engine.
const LINGER: Duration = Duration::from_millis(2);

/// How long to wait for a record before looking at everything else.
const IDLE: Duration = Duration::from_millis(50);

/// When nobody has taken a batch for so long, fetching is paused, so that librdkafka can be served meanwhile.
const STALLED: Duration = Duration::from_secs(2);

/// How long a topic may be missing: a broker that starts does not know all of its topics at once.
const MISSING_PATIENCE: Duration = Duration::from_secs(5);

/// Starts a thread that reads on from `from`.
pub fn follow(
    address: &Address,
    layout: &RecordLayout,
    on_error: OnError,
    from: Positions,
    batches: SyncSender<Result<SourceBatch>>,
    wake: Arc<dyn Fn() + Send + Sync>,
) -> Result<Box<dyn Follower>> {
    let client = Arc::new(Client::connect(address)?);
    client.assign(&from.0)?;
    let (stop, delivered) = (Stop::default(), Arc::new(Mutex::new(from.0.clone())));
    let reader = Reader {
        client: client.clone(),
        on_error,
        decoder: layout.decoder()?,
        next: from.0,
        moved: BTreeMap::new(),
        errors: vec![],
        began: None,
        delivered: delivered.clone(),
        outlet: Arc::new(Outlet::new(batches, wake, stop.clone())),
    };
    spawn("kafka", move || reader.run())?;
    Ok(Box::new(KafkaFollower { client, stop, delivered }))
}

struct KafkaFollower {
    client: Arc<Client>,
    stop: Stop,
    delivered: Arc<Mutex<BTreeMap<i32, i64>>>,
}

impl Follower for KafkaFollower {
    fn lag(&self) -> Option<u64> {
        let ends = self.client.consumer.context().ends();
        let delivered = self.delivered.lock().expect("nothing panics while holding the lock");
        if ends.is_empty() {
            return None;
        }
        let behind = |(partition, &end): (&i32, &i64)| (end - delivered.get(partition).unwrap_or(&0)).max(0) as u64;
        Some(ends.iter().map(behind).sum())
    }

    fn trouble(&self) -> Option<String> {
        self.client.consumer.context().trouble()
    }
}

impl Drop for KafkaFollower {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

/// The thread's own.
struct Reader {
    client: Arc<Client>,
    on_error: OnError,
    decoder: RecordDecoder,
    /// Per assigned partition, the offset after the last record seen.
    next: BTreeMap<i32, i64>,
    /// The batch under way: the partitions that moved, and the records that did not decode.
    moved: BTreeMap<i32, i64>,
    errors: Vec<RecordError>,
    /// When the batch under way got its first record.
    began: Option<Instant>,
    delivered: Arc<Mutex<BTreeMap<i32, i64>>>,
    outlet: Arc<Outlet>,
}

/// Why reading ends.
enum End {
    /// Nobody wants more.
    Unwanted,
    Failed(Error),
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        End::Failed(error)
    }
}

impl Reader {
    fn run(mut self) {
        let Err(End::Failed(error)) = self.read() else { return };
        // What was decoded before is good, and delivered first.
        if self.deliver().is_ok() {
            self.outlet.send(Err(error), || {});
        }
    }

    fn read(&mut self) -> Result<(), End> {
        let mut looked = Instant::now();
        while !self.outlet.stop().is_stopped() {
            self.poll()?;
            let full = self.moved_records() >= BATCH_RECORDS || self.decoder.bytes() >= BATCH_BYTES;
            if full || self.began.is_some_and(|began| began.elapsed() >= LINGER) {
                self.deliver()?;
            }
            if looked.elapsed() >= IDLE {
                self.assign_new_partitions()?;
                looked = Instant::now();
            }
        }
        Err(End::Unwanted)
    }

    /// Takes one record, if there is one soon.
    fn poll(&mut self) -> Result<(), End> {
        let patience = self.began.map_or(IDLE, |began| LINGER.saturating_sub(began.elapsed()));
        let client = self.client.clone();
        match client.consumer.poll(patience) {
            None => Ok(()),
            Some(Ok(message)) => Ok(self.push(&record(&message))?),
            Some(Err(KafkaError::PartitionEOF(_))) => {
                self.skip_markers();
                Ok(())
            }
            Some(Err(error)) => self.check(&error),
        }
    }

    /// At the end of a partition, moves on past the offsets that transactions took up.
    fn skip_markers(&mut self) {
        for (partition, taken) in self.client.taken() {
            if self.next.get(&partition).is_some_and(|&next| next < taken) {
                self.next.insert(partition, taken);
                self.moved.insert(partition, taken);
                self.began.get_or_insert_with(Instant::now);
            }
        }
    }

    fn push(&mut self, record: &Record) -> Result<()> {
        if let Err(error) = self.decoder.push(record) {
            if self.on_error == OnError::Stop {
                return Err(stopped(self.client.topic(), &error));
            }
            self.errors.push(error);
        }
        self.began.get_or_insert_with(Instant::now);
        self.next.insert(record.partition, record.offset + 1);
        self.moved.insert(record.partition, record.offset + 1);
        Ok(())
    }

    fn moved_records(&self) -> usize {
        self.decoder.rows() + self.errors.len()
    }

    /// Sends the batch under way, waiting while there is no room.
    fn deliver(&mut self) -> Result<(), End> {
        self.began = None;
        if self.moved.is_empty() {
            return Ok(());
        }
        let bytes = self.decoder.bytes();
        let rows = self.decoder.finish()?;
        let moved = std::mem::take(&mut self.moved);
        let batch = SourceBatch {
            rows: if rows.num_rows() > 0 { vec![(0, rows)] } else { vec![] },
            errors: std::mem::take(&mut self.errors),
            positions: Positions(moved.clone()),
            bytes,
        };
        let (outlet, began) = (self.outlet.clone(), Instant::now());
        let mut served = began;
        let mut paused = false;
        let sent = outlet.send(Ok(batch), || {
            if served.elapsed() >= STALLED {
                paused = paused || self.pause();
                self.serve();
                served = Instant::now();
            }
        });
        if paused {
            self.resume();
        }
        if !sent {
            return Err(End::Unwanted);
        }
        self.delivered.lock().expect("nothing panics while holding the lock").extend(moved);
        Ok(())
    }

    /// Stops fetching; what librdkafka has already fetched is dropped there and fetched again later.
    fn pause(&self) -> bool {
        let assignment = self.client.consumer.assignment();
        assignment.and_then(|partitions| self.client.consumer.pause(&partitions)).is_ok()
    }

    fn resume(&self) {
        let assignment = self.client.consumer.assignment();
        if let Err(error) = assignment.and_then(|partitions| self.client.consumer.resume(&partitions)) {
            tracing::error!(%error, topic = self.client.topic(), "can't resume fetching");
        }
    }

    /// Lets librdkafka report while fetching is paused. A record that comes anyway goes into the next batch.
    fn serve(&mut self) {
        let client = self.client.clone();
        while let Some(Ok(message)) = client.consumer.poll(Duration::ZERO) {
            if let Err(error) = self.push(&record(&message)) {
                tracing::error!(?error, topic = client.topic(), "a record failed while its source was paused");
                return;
            }
        }
    }

    /// Partitions that appeared since are read from their beginning.
    fn assign_new_partitions(&mut self) -> Result<()> {
        let known = self.client.consumer.context().ends();
        let new: BTreeMap<i32, i64> = known
            .keys()
            .filter(|partition| !self.next.contains_key(partition))
            .map(|&partition| (partition, 0))
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        self.client.assign(&new)?;
        self.next.extend(new);
        Ok(())
    }

    /// Decides what an error means: most pass by themselves, librdkafka goes on trying.
    fn check(&self, error: &KafkaError) -> Result<(), End> {
        let fatal = |error: Error| Err(End::Failed(error));
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => fatal(self.lost_offset()?),
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                self.outlet.stop().sleep(MISSING_PATIENCE);
                match self.client.partitions() {
                    Err(missing) if missing.state() == SqlState::UNDEFINED_OBJECT => fatal(missing),
                    _ => Ok(()),
                }
            }
            Some(code @ (RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::Fatal)) => {
                let message = format!("can't read topic \"{}\": {code}", self.client.topic());
                fatal(Error::new(SqlState::CONNECTION_FAILURE, message))
            }
            _ => Ok(()),
        }
    }

    /// Which partition's position the broker does not have.
    fn lost_offset(&self) -> Result<Error> {
        for (&partition, &offset) in &self.next {
            let (first, end) = self.client.watermarks(partition)?;
            if !(first..=end).contains(&offset) {
                return Ok(self.client.lost(partition, offset, (first, end)));
            }
        }
        let message = format!("topic \"{}\" lost records while they were read", self.client.topic());
        Ok(Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
            .with_hint("Create the source again to begin with what is left."))
    }
}

/// The error of a source that stops at the first bad record.
pub fn stopped(topic: &str, error: &RecordError) -> Error {
    let RecordError { partition, offset, message, .. } = error;
    let text = format!("a record of topic \"{topic}\" does not decode: {message}");
    Error::new(SqlState::INVALID_TEXT_REPRESENTATION, text)
        .with_detail(format!("Partition {partition}, offset {offset}."))
        .with_hint("With (on_error = 'skip') such records are set aside in millrace.source_errors.")
}
