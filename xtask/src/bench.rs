//! `cargo xtask bench`: the release build beside its yardsticks, in the same run, on the same cores.

mod fill;
mod load;
mod machine;
mod sample;

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;

use self::fill::WORKSPACE;
use self::load::Load;
use self::sample::{Sample, lone_syncs, median};
use crate::run::{build, command};
use crate::server::{self, Server};
use crate::tools::{self, Cache};

const STORED: usize = 10_000;
const LISTED: usize = 1_000;
const FIGURES: &str = "BENCHMARKS.md";
const BEGIN: &str = "<!-- Between here and the end mark, `cargo xtask bench --write` writes. -->\n";
const END: &str = "<!-- end -->\n";

/// How to measure.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// One short round of each: to see that it works, not for figures.
    #[arg(long)]
    quick: bool,
    /// Write the figures into BENCHMARKS.md as well.
    #[arg(long)]
    write: bool,
}

/// Builds, measures and prints the figures as Markdown.
///
/// # Errors
/// Where a server or a tool fails, or one answer of all was an error.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let wrk = tools::wrk(&Cache::open()?)?;
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
    // Beside the executables, since the system's folder for temporary files may be in memory.
    let folder = tempfile::tempdir_in(patchbay.parent().context("the build has no folder")?)?;
    let filesystem = machine::filesystem(folder.path())?;
    let machine = machine::describe(&filesystem)?;
    let rows = measure(options, &wrk, &patchbay, &hello, folder.path())?;
    let figures = format!("{machine}\n{}", rows.report());
    println!("\n{figures}");
    if options.write {
        write(&figures)?;
    }
    Ok(())
}

/// The rounds of each load.
#[derive(Default)]
struct Rounds {
    hello: Vec<Sample>,
    get: Vec<Sample>,
    get_by_id: Vec<Sample>,
    list: Vec<Sample>,
    syncs: Vec<Sample>,
    create_many: Vec<Sample>,
    create_one: Vec<Sample>,
}

fn measure(options: &Options, wrk: &Path, patchbay: &Path, hello: &Path, folder: &Path) -> anyhow::Result<Rounds> {
    let (rounds, time) = if options.quick { (1, 2) } else { (3, 10) };
    let (time, short) = (Duration::from_secs(time), Duration::from_secs(time.div_ceil(2)));
    let log = File::create(folder.join("log"))?;
    let server = Server::start(server::patchbay(patchbay, &folder.join("data")).stderr(log))?;
    println!("storing {STORED} connections");
    let stored = fill::fill(&server.url, STORED, LISTED)?;
    let names: Vec<_> = stored
        .iter()
        .map(|(name, _)| json!({"name": name}).to_string())
        .collect();
    let ids: Vec<_> = stored.iter().map(|(_, id)| json!({"id": id}).to_string()).collect();
    let list = [json!({"workspace_id": WORKSPACE}).to_string()];
    // The last one is attached nowhere, like most of them: its answer is as long as most are.
    let (last, _) = stored.last().context("nothing is stored")?;
    let answer = fill::call(
        &ureq::Agent::new_with_defaults(),
        &server.url,
        "get",
        &json!({"name": last}),
    )?;
    let hello = Server::start(command(hello).arg(answer.len().to_string()))?;

    let by_name = Load::choose(wrk, folder, "names", &names, 64)?;
    let by_id = Load::choose(wrk, folder, "ids", &ids, 64)?;
    let by_workspace = Load::choose(wrk, folder, "workspaces", &list, 1)?;
    let operation = |name: &str| format!("/v1/api/connections/{name}");
    let mut figures = Rounds::default();
    for round in 1..=rounds {
        println!("round {round} of {rounds}: reads");
        figures.hello.push(by_name.run(&hello, &operation("get"), time)?);
        figures.get.push(by_name.run(&server, &operation("get"), time)?);
        figures
            .get_by_id
            .push(by_id.run(&server, &operation("get_by_id"), time)?);
        figures.list.push(by_workspace.run(&server, &operation("list"), short)?);
    }
    for round in 1..=rounds {
        println!("round {round} of {rounds}: writes");
        let many = Load::create(wrk, folder, format!("many-{round}"), 256)?;
        let one = Load::create(wrk, folder, format!("one-{round}"), 1)?;
        figures.syncs.push(lone_syncs(folder, short)?);
        figures.create_many.push(many.run(&server, &operation("create"), time)?);
        figures.create_one.push(one.run(&server, &operation("create"), short)?);
    }
    server.stop()?;
    Ok(figures)
}

impl Rounds {
    /// The table, and what the figures say of each other.
    fn report(&self) -> String {
        let rate = |rounds: &[Sample]| median(rounds, Sample::per_second);
        let p50 = |rounds: &[Sample]| median(rounds, |sample| sample.p50);
        let mut report = String::from(
            "| load | a second | p50 | p99 | server's CPU | client's CPU |\n|---|---:|---:|---:|---:|---:|\n",
        );
        for (name, rounds) in [
            ("bare hyper, 64 clients", &self.hello),
            ("`get`, 64 clients", &self.get),
            ("`get_by_id`, 64 clients", &self.get_by_id),
            ("`list` of 1,000 connections, 1 client", &self.list),
            ("lone 4 KiB append and `fdatasync`", &self.syncs),
            ("`create`, 256 clients", &self.create_many),
            ("`create`, 1 client", &self.create_one),
        ] {
            report.push_str(&format!(
                "| {name} | {:.0} | {} | {} | {} | {} |\n",
                rate(rounds),
                time(p50(rounds)),
                time(median(rounds, |sample| sample.p99)),
                cores(median(rounds, |sample| sample.server_cpu / sample.seconds)),
                cores(median(rounds, |sample| sample.client_cpu / sample.seconds)),
            ));
        }
        report.push_str(&format!(
            "\n\
             - `get` reaches {:.0} % of bare hyper's rate.\n\
             - One `list` takes {} of the server's CPU.\n\
             - `create` with 256 clients is {:.1} times the rate of lone syncs.\n\
             - `create` with 1 client takes {} at the median, one lone sync {}.\n",
            100.0 * rate(&self.get) / rate(&self.hello),
            time(median(&self.list, |sample| sample.server_cpu / sample.count as f64)),
            rate(&self.create_many) / rate(&self.syncs),
            time(p50(&self.create_one)),
            time(p50(&self.syncs)),
        ));
        report
    }
}

fn time(seconds: f64) -> String {
    if seconds < 1e-3 {
        format!("{:.0} µs", seconds * 1e6)
    } else {
        format!("{:.2} ms", seconds * 1e3)
    }
}

/// CPU seconds a second; nothing where there is no such process.
fn cores(used: f64) -> String {
    if used == 0.0 {
        String::new()
    } else {
        format!("{used:.2} cores")
    }
}

/// Puts the figures between the marks of [`FIGURES`].
fn write(figures: &str) -> anyhow::Result<()> {
    let page = fs::read_to_string(FIGURES).with_context(|| format!("{FIGURES} cannot be read"))?;
    let marks = page
        .split_once(BEGIN)
        .and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = marks.with_context(|| format!("{FIGURES} has lost its marks"))?;
    fs::write(FIGURES, format!("{before}{BEGIN}\n{figures}\n{END}{after}"))?;
    Ok(())
}
