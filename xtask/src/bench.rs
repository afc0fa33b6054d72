//! `cargo xtask bench`: the release build beside its yardsticks, in the same run, on the same cores.

mod calls;
mod fill;
mod instructions;
mod lines;
mod load;
mod machine;
mod report;
mod sample;
mod size;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum as _;

use crate::run::build;
use crate::tools::{self, Cache};

/// How to measure.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// One short round of each: to see that it works, not for figures.
    #[arg(long)]
    quick: bool,
    /// Write the figures into BENCHMARKS.md as well.
    #[arg(long, conflicts_with_all = ["compare", "url"])]
    write: bool,
    /// Only these parts.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// The largest number of connections that are stored.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(10_000..))]
    stored: u64,
    /// Count instructions again and hold them against BENCHMARKS.md.
    #[arg(long, conflicts_with_all = ["only", "url"])]
    compare: bool,
    /// Drive the server at this address with the same calls instead. It keeps what is stored there.
    #[arg(long, conflicts_with = "only")]
    url: Option<String>,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// The calls over the wire.
    Calls,
    /// Memory, start and speed where much is stored.
    Sizes,
    /// Instructions of each operation.
    Instructions,
}

/// What is run.
struct Binaries {
    patchbay: PathBuf,
    hello: PathBuf,
    wrk: PathBuf,
}

/// How long, and how often.
#[derive(Clone, Copy)]
struct Pace {
    rounds: usize,
    time: Duration,
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
    let pace = Pace { rounds, time };
    if let Some(url) = &options.url {
        let folder = tempfile::tempdir()?;
        let rounds = calls::measure_peer(pace, &tools::wrk(&cache)?, url, folder.path())?;
        println!("\n{}", rounds.report());
        return Ok(ExitCode::SUCCESS);
    }
    let wrk = tools::wrk(&cache)?;
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
    let binaries = Binaries { patchbay, hello, wrk };
    // Beside the executables, since the system's folder for temporary files may be in memory.
    let beside = binaries.patchbay.parent().context("the build has no folder")?;
    let folder = tempfile::tempdir_in(beside)?;
    if options.compare {
        let counts = instructions::count(&tools::valgrind(&cache)?, &binaries, folder.path())?;
        let (report, good) = counts.compare()?;
        println!("\n{report}");
        return Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    for part in Part::value_variants() {
        if options.only.is_empty() || options.only.contains(part) {
            let (name, figures) = measure(*part, options.stored, pace, &binaries, &cache, folder.path())?;
            println!("\n{figures}");
            if options.write {
                report::write(name, &figures)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A part's name on the page, and its figures.
fn measure(
    part: Part,
    stored: u64,
    pace: Pace,
    binaries: &Binaries,
    cache: &Cache,
    folder: &Path,
) -> anyhow::Result<(&'static str, String)> {
    let machine = machine::describe(&machine::filesystem(folder)?)?;
    Ok(match part {
        Part::Calls => {
            let rounds = calls::measure(pace, binaries, folder)?;
            ("calls", format!("{machine}\n{}", rounds.report()))
        }
        Part::Sizes => {
            let sizes = size::measure(pace, usize::try_from(stored)?, binaries, folder)?;
            ("sizes", format!("{machine}\n{}", sizes.report()))
        }
        Part::Instructions => {
            let counts = instructions::count(&tools::valgrind(cache)?, binaries, folder)?;
            (
                instructions::PART,
                format!("{}\n{}", machine::compiled()?, counts.report()),
            )
        }
    })
}
