//! The calls over the wire, beside their yardsticks.

use std::fs::File;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use serde_json::json;
use ureq::Agent;

use super::fill;
use super::load::{Load, Target};
use super::report::{cores, time};
use super::sample::{Sample, lone_syncs, median};
use super::{Binaries, Pace};
use crate::run::command;
use crate::server::{self, Server};

/// Connections that are stored before anything is measured, and those of them that are in one workspace.
const STORED: usize = 10_000;
const LISTED: usize = 1_000;

/// The rounds of each load.
#[derive(Default)]
pub struct Rounds {
    /// None of a bare server where there is none, beside a peer.
    hello: Vec<Sample>,
    get: Vec<Sample>,
    get_by_id: Vec<Sample>,
    list: Vec<Sample>,
    syncs: Vec<Sample>,
    create_many: Vec<Sample>,
    create_one: Vec<Sample>,
}

/// Measures the release build and its yardsticks.
pub fn measure(pace: Pace, binaries: &Binaries, folder: &Path) -> anyhow::Result<Rounds> {
    let log = File::create(folder.join("log"))?;
    let server = Server::start(server::patchbay(&binaries.patchbay, &folder.join("data")).stderr(log))?;
    let rounds = drive(pace, &binaries.wrk, Target::of(&server), Some(&binaries.hello), folder)?;
    server.stop()?;
    Ok(rounds)
}

/// Measures any server that speaks the seven calls.
pub fn measure_peer(pace: Pace, wrk: &Path, url: &str, folder: &Path) -> anyhow::Result<Rounds> {
    let target = Target {
        url: url.trim_end_matches('/'),
        process: None,
    };
    drive(pace, wrk, target, None, folder)
}

fn drive(pace: Pace, wrk: &Path, target: Target<'_>, hello: Option<&Path>, folder: &Path) -> anyhow::Result<Rounds> {
    // A peer may hold what an earlier run has left.
    let run = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    println!("storing {STORED} connections");
    let stored = fill::fill(target.url, None, &format!("connection-{run}"), run, STORED, LISTED)?;
    let names: Vec<_> = stored
        .iter()
        .map(|(name, _)| json!({"name": name}).to_string())
        .collect();
    let ids: Vec<_> = stored.iter().map(|(_, id)| json!({"id": id}).to_string()).collect();
    let list = [json!({"workspace_id": run}).to_string()];
    // The last one is attached nowhere, like most of them: its answer is as long as most are.
    let (last, _) = stored.last().context("nothing is stored")?;
    let answer = fill::call(
        &Agent::new_with_defaults(),
        target.url,
        None,
        "get",
        &json!({"name": last}),
    )?;
    let hello = hello
        .map(|hello| Server::start(command(hello).arg(answer.len().to_string())))
        .transpose()?;

    let by_name = Load::choose(wrk, folder, "names", &names, 64)?;
    let by_id = Load::choose(wrk, folder, "ids", &ids, 64)?;
    let by_workspace = Load::choose(wrk, folder, "workspaces", &list, 1)?;
    let (long, short) = (pace.time, pace.short());
    let mut figures = Rounds::default();
    for _ in pace.rounds("reads") {
        if let Some(hello) = &hello {
            figures.hello.push(by_name.run(Target::of(hello), "get", long)?);
        }
        figures.get.push(by_name.run(target, "get", long)?);
        figures.get_by_id.push(by_id.run(target, "get_by_id", long)?);
        figures.list.push(by_workspace.run(target, "list", short)?);
    }
    for round in pace.rounds("writes") {
        let many = Load::create(wrk, folder, format!("many-{run}-{round}"), 256)?;
        let one = Load::create(wrk, folder, format!("one-{run}-{round}"), 1)?;
        if hello.is_some() {
            figures.syncs.push(lone_syncs(folder, short)?);
        }
        figures.create_many.push(many.run(target, "create", long)?);
        figures.create_one.push(one.run(target, "create", short)?);
    }
    Ok(figures)
}

impl Rounds {
    /// The table, and the targets beside what was reached.
    pub fn report(&self) -> String {
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
            if rounds.is_empty() {
                continue;
            }
            report.push_str(&format!(
                "| {name} | {:.0} | {} | {} | {} | {} |\n",
                rate(rounds),
                time(p50(rounds)),
                time(median(rounds, |sample| sample.p99)),
                cores(median(rounds, |sample| sample.server_cpu / sample.seconds)),
                cores(median(rounds, |sample| sample.client_cpu / sample.seconds)),
            ));
        }
        if self.hello.is_empty() {
            return report;
        }
        let sync = p50(&self.syncs);
        let syncs = 50.0 * rate(&self.syncs);
        let list = median(&self.list, |sample| sample.server_cpu / sample.count as f64);
        let mut targets = super::report::Targets::default();
        for (name, rounds) in [("`get`", &self.get), ("`get_by_id`", &self.get_by_id)] {
            let (reached, share) = (rate(rounds), 100.0 * rate(rounds) / rate(&self.hello));
            let p99 = median(rounds, |sample| sample.p99);
            targets.add(
                &format!("{name}: 30,000 a second"),
                format!("{reached:.0}"),
                reached >= 3e4,
            );
            targets.add(
                &format!("{name}: 40 % of bare hyper"),
                format!("{share:.0} %"),
                share >= 40.0,
            );
            targets.add(&format!("{name}: p99 at most 5 ms"), time(p99), p99 <= 5e-3);
        }
        targets.add(
            "`list` of 1,000: at most 6 ms of the server's CPU",
            time(list),
            list <= 6e-3,
        );
        let (many, least) = (rate(&self.create_many), syncs.min(8e3));
        let what = format!("`create`, 256 clients: {least:.0} a second (8,000, or 50 times lone syncs)");
        targets.add(&what, format!("{many:.0}"), many >= least);
        let (one, most) = (p50(&self.create_one), 1.5 * sync + 2e-4);
        let what = format!("`create`, 1 client: at most {} (1.5 syncs and 0.2 ms)", time(most));
        targets.add(&what, time(one), one <= most);
        format!("{report}\n{}", targets.table())
    }
}
