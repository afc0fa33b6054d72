//! `cargo xtask fuzz`: the targets of `fuzz/` under libFuzzer, on stable Rust.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, ensure};

use crate::run::{cargo, command, output, succeed};

/// A folder of inputs for each target. The ordinary tests run them, too.
const CORPUS: &str = "fuzz/corpus";
const DICTIONARY: &str = "fuzz/dictionary";
/// All that fuzzing writes: an instrumented build goes with no other.
const TARGET: &str = "target/fuzz";
/// What `cargo fuzz --sanitizer none` asks of the compiler: counters on edges, and comparisons told to the engine.
const INSTRUMENTED: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";
/// Bytes of an input: what is worth finding here is small.
const INPUT_BYTES: &str = "4096";

/// What to fuzz, and for how long.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Only these.
    targets: Vec<String>,
    /// Seconds for each.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Fuzz what is wrong on purpose: each target must be found to fail within its time.
    #[arg(long)]
    planted: bool,
}

/// Fuzzes each target in turn, and shows what that covered.
///
/// # Errors
/// Where it does not build, or there is no such target.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let mut targets: Vec<String> = fs::read_dir(CORPUS)?
        .map(|folder| Ok(folder?.file_name().to_string_lossy().into_owned()))
        .collect::<anyhow::Result<_>>()?;
    targets.sort();
    for name in &options.targets {
        ensure!(
            targets.contains(name),
            "no target is called {name}. There are: {}",
            targets.join(", ")
        );
    }
    targets.retain(|target| options.targets.is_empty() || options.targets.contains(target));
    let engine = engine()?;
    let (mut table, mut wrong) = (String::new(), 0);
    for target in &targets {
        let ran = Run::of(&engine, target, options)?;
        let found = if ran.failed { "an input that fails" } else { "nothing" };
        let row = format!(
            "{target:<10} {:>5} s {:>10} runs {:>6} edges {:>7} features {:>6} inputs  found {found}",
            ran.seconds, ran.runs, ran.edges, ran.features, ran.inputs
        );
        println!("{row}");
        if ran.failed != options.planted {
            wrong += 1;
            println!("{}", ran.said);
        }
        table.push_str(&row);
        table.push('\n');
    }
    let wanted = if options.planted { "found" } else { "without a finding" };
    println!(
        "\n{table}{} of {} targets {wanted}",
        targets.len() - wrong,
        targets.len()
    );
    Ok(ExitCode::from(u8::from(wrong > 0)))
}

/// The engine with all targets, built by itself, with everything that it runs instrumented.
fn engine() -> anyhow::Result<PathBuf> {
    let version = output(command("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    // With a target named, flags are not for what runs while building.
    let host = host.context("rustc names no host")?;
    succeed(
        cargo()
            .args(["build", "--locked", "--package=patchbay-fuzz", "--profile=fuzz"])
            .args(["--target", host, "--target-dir", TARGET])
            .env("RUSTFLAGS", INSTRUMENTED),
    )?;
    Ok(Path::new(TARGET).join(host).join("fuzz/patchbay-fuzz"))
}

/// What came of a target.
struct Run {
    failed: bool,
    seconds: u64,
    runs: String,
    edges: String,
    features: String,
    inputs: String,
    /// The end of what the engine said.
    said: String,
}

impl Run {
    fn of(engine: &Path, target: &str, options: &Options) -> anyhow::Result<Self> {
        let folder = Path::new(TARGET)
            .join(if options.planted { "planted" } else { "found" })
            .join(target);
        // What is planted must be found from what is in the repository.
        if options.planted && folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        let found = folder.join("corpus");
        fs::create_dir_all(&found)?;
        let log = folder.join("log");
        let mut fuzz = command(engine);
        fuzz.env("FUZZ_TARGET", target)
            .args(["-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"])
            .arg(format!("-max_total_time={}", options.seconds))
            .arg(format!("-max_len={INPUT_BYTES}"))
            .arg(format!("-dict={DICTIONARY}"))
            .arg(format!("-artifact_prefix={}/", folder.display()))
            .arg(found)
            .arg(Path::new(CORPUS).join(target))
            .stdout(File::create(folder.join("output"))?)
            .stderr(File::create(&log)?);
        if options.planted {
            fuzz.env("FUZZ_PLANTED", "1");
        }
        let started = Instant::now();
        let failed = !fuzz.status().context("the engine did not start")?.success();
        let seconds = started.elapsed().as_secs();
        let log = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        let last = log
            .lines()
            .rfind(|line| line.contains(" cov: "))
            .context("the engine did nothing")?;
        let behind = |label: &str| {
            let (_, rest) = last.split_once(label).unwrap_or_default();
            rest.split([' ', '/']).next().unwrap_or_default().to_owned()
        };
        Ok(Self {
            failed,
            seconds,
            runs: last
                .trim_start_matches('#')
                .split(['\t', ' '])
                .next()
                .unwrap_or_default()
                .to_owned(),
            edges: behind(" cov: "),
            features: behind(" ft: "),
            inputs: behind(" corp: "),
            said: log
                .lines()
                .rev()
                .take(40)
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
                .collect::<Vec<_>>()
                .join("\n"),
        })
    }
}
