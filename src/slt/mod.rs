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
use server::{Instance, Target};
use tally::{Failure, Tally, Verdict};

/// Runs sqllogictest files in several modes, which must agree with the expected rows and with each other.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Files, or folders that are searched for .slt and .test files.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// one-shot, view-after, view-before; several with commas, or all.
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
            every => Ok(Sample {
                every,
                from: number(from)? % every,
            }),
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
    for path in &paths {
        scripts.push((path, Arc::new(Script::read(path)?)));
    }
    let target = match &options.url {
        Some(config) => Target::Url(Box::new(config.clone())),
        None => Target::Own {
            workers: options.workers,
        },
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
    let tallies: Vec<_> = futures::stream::iter(work)
        .buffered(options.jobs.max(1))
        .collect()
        .await;
    let tallies: Vec<Tally> = tallies
        .into_iter()
        .map(|tally| tally.expect("running a file does not panic"))
        .collect();
    let refusals = if options.strict {
        Refusals::Fail
    } else {
        Refusals::Count
    };
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
    let mut entries: Vec<PathBuf> = path
        .read_dir()
        .map_err(problem)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            collect(&entry, paths)?;
        } else if entry
            .extension()
            .is_some_and(|extension| extension == "slt" || extension == "test")
        {
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
    let steps: Vec<usize> = (0..script.steps.len())
        .filter(|&step| script.steps[step].applies(&labels))
        .collect();
    let queries: Vec<usize> = steps
        .iter()
        .copied()
        .filter(|&step| script.steps[step].is_query())
        .collect();
    let queries = match options.sample {
        Some(sample) => queries.into_iter().skip(sample.from).step_by(sample.every).collect(),
        None => queries,
    };
    let pass_queries = mode.traits().pass_queries.min(queries.len().max(1));
    let mut passes: Vec<&[usize]> = queries.chunks(pass_queries).collect();
    if passes.is_empty() {
        passes.push(&[]);
    }
    for (number, selected) in passes.into_iter().enumerate() {
        let tasks = (mode.traits().schedule)(&steps, script, selected);
        let mut done = 0;
        if let Err(error) = run_pass(script, mode, target, options, number, &tasks, &mut tally, &mut done).await {
            tally.add(0, Verdict::Failed(Failure::new(0, "", format!("{error:?}"))));
            tally.lost += tasks.len().saturating_sub(done + 1) as u64;
        }
    }
    tally.seconds = began.elapsed().as_secs_f64();
    tally
}

#[expect(clippy::too_many_arguments, reason = "the pieces of one pass, used once")]
async fn run_pass(
    script: &Script,
    mode: Mode,
    target: &Target,
    options: &Options,
    number: usize,
    tasks: &[schedule::Task],
    tally: &mut Tally,
    done: &mut usize,
) -> Result<()> {
    let mut instance = target.start().await?;
    let oracle = match &options.oracle {
        Some(config) => Some(Target::Url(Box::new(config.clone())).start().await?),
        None => None,
    };
    let oracle_config = oracle.as_ref().map(|oracle| &oracle.config);
    let mut player = Player::new(script, mode, instance.config.clone(), oracle_config).await?;
    if number > 0 {
        player = player.in_later_pass();
    }
    let played = player.play(tasks, tally, done).await;
    drop(player);
    let result = played.map_err(|error| match instance.end() {
        Some(end) => Error::internal(end),
        None => error,
    });
    stop(instance).await;
    if let Some(oracle) = oracle {
        stop(oracle).await;
    }
    result
}

async fn stop(instance: Instance) {
    instance.stop().await;
}

async fn rewrite_files(scripts: &[(&PathBuf, Arc<Script>)], target: &Target) -> Result<bool> {
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
