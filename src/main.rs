//! The program: `millrace slt`.

use std::process::ExitCode;

use clap::Parser;
use millrace::slt;

#[derive(Parser)]
enum Command {
    Slt(slt::Options),
}

fn main() -> ExitCode {
    match Command::parse() {
        Command::Slt(options) => slt::run(options),
    }
}
