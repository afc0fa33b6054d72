//! `cargo xtask bench`: the release build beside its yardsticks, in the same run, on the same cores.

mod callers;
mod calls;
mod fill;
mod instructions;
mod lambda;
mod lines;
mod load;
mod machine;
mod paced;
mod report;
mod sample;
mod size;
mod worker;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum as _;

use crate::run::{build, cargo, output};
use crate::tools::{self, Cache};

/// How to measure.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Only these parts.
    #[arg(value_enum, value_name = "PART")]
    parts: Vec<Part>,
    /// One short round of each: to see that it works, not for figures.
    #[arg(long)]
    quick: bool,
    /// Write the figures into BENCHMARKS.md as well.
    #[arg(long, conflicts_with_all = ["compare", "url"])]
    write: bool,
    /// The largest number of connections that are stored.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(10_000..))]
    stored: u64,
    /// Count instructions again and hold them against BENCHMARKS.md.
    #[arg(long, conflicts_with_all = ["parts", "url"])]
    compare: bool,
    /// Drive the server at this address with the same calls instead. It keeps what is stored there.
    #[arg(long, conflicts_with = "parts")]
    url: Option<String>,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// The calls over the wire.
    Calls,
    /// What it takes to know the callers and to keep the audit trail.
    Callers,
    /// Memory, start and speed where much is stored.
    Sizes,
    /// Instructions of each operation.
    Instructions,
    /// The function on AWS Lambda.
    Lambda,
    /// The Worker in its runtime.
    Worker,
}

/// What is run.
struct Binaries {
    patchbay: PathBuf,
    hello: PathBuf,
    wrk: PathBuf,
}

impl Binaries {
    fn build(cache: &Cache) -> anyhow::Result<Self> {
        let wrk = tools::wrk(cache)?;
        let [patchbay, hello] = build(
            &[
                "--release",
                "--package=patchbay",
                "--package=patchbay-server",
                "--bin=patchbay",
                "--example=hello",
            ],
            ["patchbay", "hello"],
        )?;
        Ok(Self { patchbay, hello, wrk })
    }
}

/// How long, and how often.
#[derive(Clone, Copy)]
struct Pace {
    rounds: usize,
    time: Duration,
    /// Figures do not matter.
    quick: bool,
}

impl Pace {
    /// The time of a load that needs less of it.
    fn short(self) -> Duration {
        Duration::from_secs(self.time.as_secs().div_ceil(2))
    }

    /// The rounds, each announced.
    fn rounds(self, of: &str) -> impl Iterator<Item = usize> {
        (1..=self.rounds).inspect(move |round| println!("round {round} of {}: {of}", self.rounds))
    }
}

/// Builds, measures and prints the figures as Markdown. Fails where a comparison shows growth.
///
/// # Errors
/// Where a server or a tool fails, or one answer of all was an error.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let cache = Cache::open()?;
    let (rounds, seconds) = if options.quick { (1, 2) } else { (3, 10) };
    let time = Duration::from_secs(seconds);
    let quick = options.quick;
    let pace = Pace { rounds, time, quick };
    if let Some(url) = &options.url {
        let folder = tempfile::tempdir()?;
        let rounds = calls::measure_peer(pace, &tools::wrk(&cache)?, url, folder.path())?;
        println!("\n{}", rounds.report());
        return Ok(ExitCode::SUCCESS);
    }
    let folder = tempfile::tempdir_in(build_folder()?)?;
    if options.compare {
        let binaries = Binaries::build(&cache)?;
        let counts = instructions::count(&tools::valgrind(&cache)?, &binaries, folder.path())?;
        let (report, good) = counts.compare()?;
        println!("\n{report}");
        return Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    for part in Part::value_variants() {
        if options.parts.is_empty() || options.parts.contains(part) {
            let (name, figures) = measure(*part, options.stored, pace, &cache, folder.path())?;
            println!("\n{figures}");
            if options.write {
                report::write(name, &figures)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Where cargo puts what it builds: a folder on a disk, as the system's for temporary files need not be.
fn build_folder() -> anyhow::Result<PathBuf> {
    let metadata = output(cargo().args(["metadata", "--no-deps", "--format-version=1", "--locked"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    let folder = metadata.get("target_directory").and_then(|folder| folder.as_str());
    Ok(folder.context("cargo names no folder for what it builds")?.into())
}

/// A part's name on the page, and its figures.
fn measure(
    part: Part,
    stored: u64,
    pace: Pace,
    cache: &Cache,
    folder: &Path,
) -> anyhow::Result<(&'static str, String)> {
    let native = || -> anyhow::Result<_> {
        let binaries = Binaries::build(cache)?;
        let data = format!("data on {}", machine::filesystem(folder)?);
        Ok((binaries, machine::describe(&data)?))
    };
    Ok(match part {
        Part::Calls => {
            let (binaries, machine) = native()?;
            let rounds = calls::measure(pace, &binaries, folder)?;
            ("calls", format!("{machine}\n{}", rounds.report()))
        }
        Part::Callers => {
            let (binaries, machine) = native()?;
            let rounds = callers::measure(pace, &binaries, folder)?;
            ("callers", format!("{machine}\n{}", rounds.report()))
        }
        Part::Sizes => {
            let (binaries, machine) = native()?;
            let sizes = size::measure(pace, usize::try_from(stored)?, &binaries, folder)?;
            ("sizes", format!("{machine}\n{}", sizes.report()))
        }
        Part::Instructions => {
            let counts = instructions::count(&tools::valgrind(cache)?, &Binaries::build(cache)?, folder)?;
            (
                instructions::PART,
                format!("{}\n{}", machine::compiled()?, counts.report()),
            )
        }
        Part::Lambda => {
            let bench = lambda::Bench::build(cache, folder)?;
            let machine = machine::describe("data in DynamoDB Local, in memory")?;
            ("lambda", format!("{machine}\n{}", bench.measure(pace, cache)?.report()))
        }
        Part::Worker => {
            let machine = machine::describe(&format!("data on {}", machine::filesystem(folder)?))?;
            let figures = worker::measure(pace, cache, folder)?;
            ("worker", format!("{machine}\n{}", figures.report()))
        }
    })
}
