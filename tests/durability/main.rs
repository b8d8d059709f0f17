//! What survives: kills at any instant, backups, damaged files, full disks, a second server. All through the real binary.

#[allow(dead_code, reason = "the tests of Kafka sources use the rest of it")]
#[path = "../kafka/broker.rs"]
mod broker;
mod chaos;
mod faults;
mod files;
mod formats;
mod server;
mod sources;
mod subscribers;
