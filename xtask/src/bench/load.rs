//! One run of `wrk` against a server, and what it took of both.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use super::sample::Sample;
use crate::run::{command, output};
use crate::server::Server;

const CHOOSE: &str = concat!(include_str!("choose.lua"), include_str!("report.lua"));
const BARE: &str = include_str!("report.lua");
const CREATE: &str = concat!(include_str!("create.lua"), include_str!("report.lua"));

/// `wrk` with what it needs to know for one kind of load.
pub struct Load {
    wrk: PathBuf,
    script: PathBuf,
    /// What the script is told.
    argument: String,
    clients: u32,
    /// The header lines that every request has beside its own.
    headers: Vec<String>,
}

impl Load {
    /// `clients` kept connections that send bodies chosen at random from `bodies`. The files that this needs go into
    /// `folder`, under `name`.
    pub fn choose(wrk: &Path, folder: &Path, name: &str, bodies: &[String], clients: u32) -> anyhow::Result<Self> {
        let (script, lines) = (folder.join("choose.lua"), folder.join(name));
        fs::write(&script, CHOOSE)?;
        fs::write(&lines, bodies.join("\n"))?;
        Ok(Self {
            wrk: wrk.to_owned(),
            script,
            argument: lines.to_str().context("the folder's name is not UTF-8")?.to_owned(),
            clients,
            headers: Vec::new(),
        })
    }

    /// `clients` kept connections that send the same `GET` again and again.
    pub fn bare(wrk: &Path, folder: &Path, clients: u32) -> anyhow::Result<Self> {
        let script = folder.join("bare.lua");
        fs::write(&script, BARE)?;
        Ok(Self {
            wrk: wrk.to_owned(),
            script,
            argument: String::new(),
            clients,
            headers: Vec::new(),
        })
    }

    /// `clients` kept connections that create connections; `name` tells one such load from another.
    pub fn create(wrk: &Path, folder: &Path, name: String, clients: u32) -> anyhow::Result<Self> {
        let script = folder.join("create.lua");
        fs::write(&script, CREATE)?;
        Ok(Self {
            wrk: wrk.to_owned(),
            script,
            argument: name,
            clients,
            headers: Vec::new(),
        })
    }

    /// The same with this bearer token in every request.
    pub fn with_token(mut self, token: &str) -> Self {
        self.headers.push(format!("Authorization: Bearer {token}"));
        self
    }

    /// Loads an operation for a while. Only answers of success count.
    ///
    /// # Errors
    /// Where an answer was an error, a connection broke or nothing was answered: such a figure would mean nothing.
    pub fn run(&self, target: Target<'_>, operation: &str, time: Duration) -> anyhow::Result<Sample> {
        let before = (target.seconds()?, children_seconds()?);
        let report = output(
            command(&self.wrk)
                .args([
                    format!("--threads={}", self.clients.min(2)),
                    format!("--connections={}", self.clients),
                    format!("--duration={}s", time.as_secs()),
                    "--timeout=10s".to_owned(),
                    "--script".to_owned(),
                ])
                .arg(&self.script)
                .args(self.headers.iter().flat_map(|line| ["--header", line]))
                .arg(format!("{}/v1/api/connections/{operation}", target.url))
                .args(["--", &self.argument]),
        )?;
        let (server_cpu, client_cpu) = (target.seconds()? - before.0, children_seconds()? - before.1);
        let report = report.lines().last().context("wrk said nothing")?;
        let report: Report = serde_json::from_str(report).with_context(|| format!("wrk said {report}"))?;
        ensure!(
            report.refused == 0 && report.broken == 0 && report.answers > 0,
            "{operation}: {} answers, {} of them errors; {} connections broke",
            report.answers,
            report.refused,
            report.broken
        );
        Ok(Sample {
            count: report.answers,
            seconds: report.micros as f64 / 1e6,
            p50: report.p50 as f64 / 1e6,
            p99: report.p99 as f64 / 1e6,
            server_cpu,
            client_cpu,
        })
    }
}

/// What `report.lua` prints; times in microseconds.
#[derive(Deserialize)]
struct Report {
    answers: u64,
    micros: u64,
    refused: u64,
    broken: u64,
    p50: u64,
    p99: u64,
}

/// What is loaded.
#[derive(Clone, Copy)]
pub struct Target<'t> {
    /// `http://host:port`
    pub url: &'t str,
    /// Its process, where it is one of this machine's that is known.
    pub process: Option<u32>,
}

impl<'t> Target<'t> {
    pub fn of(server: &'t Server) -> Self {
        Self {
            url: &server.url,
            process: Some(server.id()),
        }
    }

    /// CPU time that its process has had, in seconds; 0 where that is not known.
    fn seconds(self) -> anyhow::Result<f64> {
        self.process.map_or(Ok(0.0), |id| cpu_seconds(&id.to_string(), 11))
    }
}

/// CPU time that children of this process have had that ended and were waited for: after a run of wrk, wrk's.
fn children_seconds() -> anyhow::Result<f64> {
    cpu_seconds("self", 13)
}

/// The sum of two fields of `/proc/…/stat`, counted from the one behind the command's name (proc(5)).
fn cpu_seconds(process: &str, field: usize) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("/proc is not as Linux has it")?;
    let ticks = fields
        .split_whitespace()
        .skip(field)
        .take(2)
        .map(str::parse::<u64>)
        .sum::<Result<u64, _>>()?;
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}
