//! `millrace slt`: runs sqllogictest files, and computes every query in several ways that must give the same rows.
//!
//! ```text
//!   file ──script──▶ steps ──schedule (by mode)──▶ tasks ──player──▶ pgwire ──▶ Millrace, or PostgreSQL
//!                                                            └── tally ──▶ report
//! ```
//! It stands beside the rooms: it knows the database over the wire only, as any client does.

mod answer;
mod binary;
mod client;
mod mode;
mod player;
mod report;
mod rewrite;
mod schedule;
mod script;
mod server;
mod sql;
mod tally;
mod view;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt;
use tokio_postgres::Config;

use crate::types::{Error, Result};
use mode::{Mode, Modes};
use player::Player;
use report::Refusals;
use script::Script;
use server::Target;
use tally::{Failure, Tally, Verdict};

/// After so many losses of the server over one file in one mode, what is left of a pass is given up.
const LOSSES_MAX: usize = 60;

/// Runs sqllogictest files in several modes, which must agree with the expected rows and with each other.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Files, or folders that are searched for .slt and .test files.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// one-shot, view-after, view-before, restart; several with commas, or all.
    #[arg(long, default_value = "one-shot")]
    mode: Modes,
    /// Worker threads of each server that is started.
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Files that are run at the same time, each with a server of its own.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Only every Nth query of a file, beginning with query K: N/K.
    #[arg(long, value_name = "N/K")]
    sample: Option<Sample>,
    /// Runs against this server, a PostgreSQL, instead of starting Millrace.
    #[arg(long)]
    url: Option<Config>,
    /// A PostgreSQL that is asked where rows differ from the expected ones.
    #[arg(long, value_name = "URL")]
    oracle: Option<Config>,
    /// Writes the rows that the server at --url gives into the files.
    #[arg(long, requires = "url")]
    rewrite: bool,
    /// A query that cannot be a view is a failure.
    #[arg(long)]
    strict: bool,
    /// Failures that are shown.
    #[arg(long, default_value_t = 30)]
    failures: usize,
    /// Prints one JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Every `every`th query, beginning with number `from`.
#[derive(Clone, Copy, Debug)]
struct Sample {
    every: usize,
    from: usize,
}

impl FromStr for Sample {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<usize>().map_err(|error| format!("{text}: {error}"));
        let (every, from) = text.split_once('/').unwrap_or((text, "0"));
        match number(every)? {
            0 => Err("every 0th query is no query".to_string()),
            every => Ok(Sample { every, from: number(from)? % every }),
        }
    }
}

/// Runs the subcommand.
pub fn run(options: Options) -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
    match runtime.block_on(run_files(Arc::new(options))) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("millrace slt: {error:?}");
            ExitCode::from(2)
        }
    }
}

async fn run_files(options: Arc<Options>) -> Result<bool> {
    let mut paths = Vec::new();
    for file in &options.files {
        collect(file, &mut paths)?;
    }
    let mut scripts = Vec::new();
    let mut tallies = Vec::new();
    for path in paths {
        match Script::read(&path) {
            Ok(script) => scripts.push((path, Arc::new(script))),
            Err(error) => {
                let mut tally = Tally::new(&path.display().to_string(), Mode::OneShot);
                tally.add(0, Verdict::Failed(Failure::new(0, "", format!("the file cannot be run: {error:?}"))));
                tallies.push(tally);
            }
        }
    }
    let target = match &options.url {
        Some(config) => Target::Url(Box::new(config.clone())),
        None => Target::Own { workers: options.workers },
    };
    if options.rewrite {
        return rewrite_files(&scripts, &target).await;
    }
    let mut work = Vec::new();
    for (_, script) in &scripts {
        for &mode in &options.mode.0 {
            let (script, target, options) = (Arc::clone(script), target.clone(), Arc::clone(&options));
            work.push(
                async move { tokio::spawn(async move { run_file(&script, mode, &target, &options).await }).await },
            );
        }
    }
    let ran: Vec<_> = futures::stream::iter(work).buffered(options.jobs.max(1)).collect().await;
    tallies.extend(ran.into_iter().map(|tally| tally.expect("running a file does not panic")));
    let refusals = if options.strict { Refusals::Fail } else { Refusals::Count };
    Ok(if options.json {
        report::print_json(&tallies, refusals)
    } else {
        report::print(&tallies, refusals, options.failures)
    })
}

fn collect(path: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    let problem = |error: std::io::Error| Error::internal(format!("{}: {error}", path.display()));
    if !path.is_dir() {
        path.metadata().map_err(problem)?;
        paths.push(path.to_path_buf());
        return Ok(());
    }
    let mut entries: Vec<PathBuf> =
        path.read_dir().map_err(problem)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            collect(&entry, paths)?;
        } else if entry.extension().is_some_and(|extension| extension == "slt" || extension == "test") {
            paths.push(entry);
        }
    }
    Ok(())
}

/// Everything of one file in one mode, in as many passes as its queries need.
async fn run_file(script: &Script, mode: Mode, target: &Target, options: &Options) -> Tally {
    let began = Instant::now();
    let mut tally = Tally::new(&script.name, mode);
    let labels: Vec<&str> = target.labels().iter().chain(mode.traits().labels).copied().collect();
    let steps: Vec<usize> = (0..script.steps.len()).filter(|&step| script.steps[step].applies(&labels)).collect();
    let queries: Vec<usize> = steps.iter().copied().filter(|&step| script.steps[step].is_query()).collect();
    let queries = match options.sample {
        Some(sample) => queries.into_iter().skip(sample.from).step_by(sample.every).collect(),
        None => queries,
    };
    let pass_queries = mode.traits().pass_queries.min(queries.len().max(1));
    let mut passes: VecDeque<Vec<usize>> = queries.chunks(pass_queries).map(<[usize]>::to_vec).collect();
    if passes.is_empty() {
        passes.push_back(Vec::new());
    }
    let pass = Pass { script, mode, target, options, steps: &steps };
    let (mut is_first, mut losses) = (true, 0);
    while let Some(selected) = passes.pop_front() {
        let mut result = Tally::new(&script.name, mode);
        let lost = pass.run(&selected, is_first, &mut result).await.err();
        match lost {
            // The server went down over one of these: the halves tell which, and what the others say.
            Some(_) if selected.len() > 1 && losses < LOSSES_MAX => {
                losses += 1;
                let (left, right) = selected.split_at(selected.len() / 2);
                passes.push_front(right.to_vec());
                passes.push_front(left.to_vec());
                continue;
            }
            Some(error) => {
                let line = selected.first().map_or(0, |&step| script.steps[step].line);
                result = Tally::new(&script.name, mode);
                result.add(line, Verdict::Failed(Failure::new(line, script.sql(&selected), format!("{error:?}"))));
                result.lost = selected.len().saturating_sub(1) as u64;
            }
            None => {}
        }
        is_first = false;
        tally.merge(result);
    }
    tally.seconds = began.elapsed().as_secs_f64();
    tally
}

/// What all passes over a file in a mode have in common.
struct Pass<'a> {
    script: &'a Script,
    mode: Mode,
    target: &'a Target,
    options: &'a Options,
    steps: &'a [usize],
}

impl Pass<'_> {
    /// Plays the file for the selected queries on a fresh database. An error means that the server was lost.
    async fn run(&self, selected: &[usize], is_first: bool, tally: &mut Tally) -> Result<()> {
        let tasks = (self.mode.traits().schedule)(self.steps, self.script, selected);
        let mut instance = self.target.start().await?;
        let oracle = match &self.options.oracle {
            Some(config) => Some(Target::Url(Box::new(config.clone())).start().await?),
            None => None,
        };
        let oracle_config = oracle.as_ref().map(|oracle| &oracle.config);
        let played = async {
            let player = Player::new(self.script, self.mode, instance.config.clone(), oracle_config).await?;
            let mut player = if is_first { player } else { player.in_later_pass() };
            player.play(&tasks, &mut instance, tally).await
        };
        let played = played.await;
        let result = played.map_err(|error| match instance.end() {
            Some(end) => Error::internal(end),
            None => error,
        });
        instance.stop().await;
        if let Some(oracle) = oracle {
            oracle.stop().await;
        }
        result
    }
}

async fn rewrite_files(scripts: &[(PathBuf, Arc<Script>)], target: &Target) -> Result<bool> {
    let mut well = true;
    for (path, script) in scripts {
        let instance = target.start().await?;
        let rewritten = rewrite::rewrite(script, &instance.config, target.labels()).await;
        instance.stop().await;
        let (text, complaints) = rewritten?;
        if text != script.text {
            std::fs::write(path, text).map_err(|error| Error::internal(format!("{}: {error}", path.display())))?;
            println!("{}: written anew", path.display());
        }
        complaints.iter().for_each(|complaint| println!("{complaint}"));
        well &= complaints.is_empty();
    }
    Ok(well)
}
