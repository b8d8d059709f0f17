//! What survives: kills at any instant, backups, damaged files, full disks, a second server. All through the real binary.

mod chaos;
mod files;
mod server;
