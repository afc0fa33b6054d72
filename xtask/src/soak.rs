//! `cargo xtask soak`: the release build under a mixed load for a long time. Memory, files and answers must stay as
//! they are early on.

use std::fs::{self, File};
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, ensure};
use serde_json::{Value, json};
use ureq::Agent;

use crate::run::{build, command, succeed};
use crate::server::{self, Server};

/// Clients at once, each with names of its own, so that each knows what must be there.
const CLIENTS: u64 = 4;
/// Names of a client: what is stored is bounded by them.
const NAMES: u64 = 64;
/// Workspaces that they are attached to.
const WORKSPACES: u64 = 8;
/// One name of so many has large details.
const LARGE: u64 = 16;
const SAMPLE: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(30);
const MIB: u64 = 1024 * 1024;

/// How long.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Minutes of load.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
}

/// What is watched: name, unit, and how much more than early on is still flat, besides a fifth.
const WATCHED: [(&str, u64, u64); 4] = [
    ("resident memory, MiB", MIB, 8 * MIB),
    ("open files", 1, 8),
    ("database, MiB", MIB, 2 * MIB),
    // Between two times that it is emptied.
    ("write-ahead log, MiB", MIB, 8 * MIB),
];
type Sample = [u64; WATCHED.len()];

/// Loads the server, watches it, ends it and checks its data.
///
/// # Errors
/// Where nothing could be measured.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let [patchbay] = build(&["--release", "--package=patchbay", "--bin=patchbay"], ["patchbay"])?;
    let folder = tempfile::tempdir_in(patchbay.parent().context("the build has no folder")?)?;
    let data = folder.path().join("data");
    let log = File::create(folder.path().join("log"))?;
    let server = Server::start(server::patchbay(&patchbay, &data).args(["--log", "warn"]).stderr(log))?;
    let until = Instant::now() + Duration::from_secs(60 * options.minutes);
    println!("{} minutes, {CLIENTS} clients", options.minutes);
    let (samples, answers) = thread::scope(|scope| {
        let url = server.url.as_str();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| scope.spawn(move || Client::new(url, number).work(until)))
            .collect();
        let mut samples = Vec::new();
        while Instant::now() < until && !clients.iter().any(thread::ScopedJoinHandle::is_finished) {
            thread::sleep(SAMPLE);
            samples.push(sample(server.id(), &data)?);
        }
        let answers: Vec<_> = clients
            .into_iter()
            .map(|client| client.join().unwrap_or_else(|_| Err(anyhow!("a client panicked"))))
            .collect();
        anyhow::Ok((samples, answers))
    })?;

    let mut faults = Vec::new();
    let mut answered = 0;
    for client in answers {
        match client {
            Ok(answers) => answered += answers,
            Err(error) => faults.push(format!("{error:#}")),
        }
    }
    println!("\n| | second quarter | last quarter | most |\n|---|---:|---:|---:|");
    for (place, (name, unit, slack)) in WATCHED.into_iter().enumerate() {
        let series: Vec<u64> = samples.iter().filter_map(|sample| sample.get(place).copied()).collect();
        let (early, late) = (median(&series, 1), median(&series, 3));
        let most = series.iter().max().copied().unwrap_or_default();
        println!("| {name} | {} | {} | {} |", early / unit, late / unit, most / unit);
        if !flat(early, late, slack) {
            faults.push(format!("{name}: grew from {} to {}", early / unit, late / unit));
        }
    }
    if let Err(error) = server.stop() {
        faults.push(format!("{error:#}"));
    }
    if let Err(error) = succeed(command(&patchbay).args(["check", "--data"]).arg(&data)) {
        faults.push(format!("{error:#}"));
    }
    println!();
    for fault in &faults {
        println!("{fault}");
    }
    println!("{answered} answers, {} faults", faults.len());
    Ok(if faults.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn sample(process: u32, data: &Path) -> anyhow::Result<Sample> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let resident = resident
        .context("the process tells no memory")?
        .trim()
        .trim_end_matches(" kB");
    let files = fs::read_dir(format!("/proc/{process}/fd"))?.count();
    let length = |name: &str| fs::metadata(data.join(name)).map_or(0, |file| file.len());
    Ok([
        resident.parse::<u64>()? * 1024,
        files as u64,
        length("patchbay.db"),
        length("patchbay.db-wal"),
    ])
}

/// The median of one quarter, counted from 0.
fn median(series: &[u64], quarter: usize) -> u64 {
    let cut = |at: usize| series.len() * at / 4;
    let mut part = series.get(cut(quarter)..cut(quarter + 1)).unwrap_or_default().to_vec();
    part.sort_unstable();
    part.get(part.len() / 2).copied().unwrap_or_default()
}

fn flat(early: u64, late: u64, slack: u64) -> bool {
    late <= early + early / 5 + slack
}

/// What a client knows of one of its names.
#[derive(Clone, Default)]
struct Known {
    /// Where it exists.
    id: Option<String>,
    attached: bool,
}

struct Client<'a> {
    url: &'a str,
    number: u64,
    agent: Agent,
    names: Vec<Known>,
    random: u64,
}

impl<'a> Client<'a> {
    fn new(url: &'a str, number: u64) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE));
        Self {
            url,
            number,
            agent: config.build().new_agent(),
            names: vec![Known::default(); NAMES as usize],
            random: number,
        }
    }

    /// Calls until the time comes; gives how often. Its own names make it sure of every answer.
    fn work(mut self, until: Instant) -> anyhow::Result<u64> {
        let mut answers = 0;
        while Instant::now() < until {
            let (place, kind) = (self.pick(NAMES), self.pick(16));
            let known = self.names.get(place as usize).cloned().unwrap_or_default();
            let after = self.step(place, kind, known)?;
            if let Some(slot) = self.names.get_mut(place as usize) {
                *slot = after;
            }
            answers += 1;
        }
        Ok(answers)
    }

    /// One call for a name; gives what is known of it then.
    fn step(&self, place: u64, kind: u64, mut known: Known) -> anyhow::Result<Known> {
        let name = format!("soak-{}-{place}", self.number);
        let (there, id) = (known.id.is_some(), known.id.clone().unwrap_or_default());
        let pair = json!({"workspace_id": 1 + place % WORKSPACES, "connection_id": id});
        match kind {
            0..=3 => {
                let length = if place.is_multiple_of(LARGE) { 200 * 1024 } else { 200 };
                let body = json!({"name": name, "type": "KAFKA", "details": {"secret": "x".repeat(length)}});
                let created = self.call("create", &body, if there { 409 } else { 200 })?;
                if !there {
                    let id = created.get("id").and_then(Value::as_str).context("create gave no id")?;
                    known.id = Some(id.to_owned());
                }
            }
            4 | 5 if there => {
                self.call("add_to_workspace", &pair, 200)?;
                known.attached = true;
            }
            6 | 7 if there => {
                self.call("remove_from_workspace", &pair, if known.attached { 204 } else { 404 })?;
                known.attached = false;
            }
            8 | 9 => {
                let status = match (there, known.attached) {
                    (false, _) => 404,
                    (true, true) => 409,
                    (true, false) => 204,
                };
                self.call("delete", &json!({"name": name}), status)?;
                if status == 204 {
                    known.id = None;
                }
            }
            10 => _ = self.call("list", &json!({"workspace_id": 1 + place % WORKSPACES}), 200)?,
            11 => _ = self.call("list", &json!({"limit": 20}), 200)?,
            12 if there => _ = self.call("get_by_id", &json!({"id": id}), 200)?,
            13 => _ = self.call("get", &json!({"name": name, "colour": "red"}), 400)?,
            14 => _ = self.call("create", &json!({"name": "x".repeat(600 * 1024)}), 413)?,
            _ => _ = self.call("get", &json!({"name": name}), if there { 200 } else { 404 })?,
        }
        Ok(known)
    }

    fn call(&self, operation: &str, body: &Value, status: u16) -> anyhow::Result<Value> {
        let mut answer = self
            .agent
            .post(format!("{}/v1/api/connections/{operation}", self.url))
            .content_type("application/json")
            .send(body.to_string())
            .with_context(|| format!("{operation} got no answer"))?;
        let found = answer.status().as_u16();
        ensure!(found == status, "{operation} was answered with {found}, not {status}");
        let text = answer.body_mut().read_to_string()?;
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).with_context(|| format!("{operation} was not answered in JSON"))
    }

    /// A number below `bound`: SplitMix64, the same sequence in each run.
    fn pick(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_by_more_than_a_fifth_and_the_slack_is_not_flat() {
        assert!(flat(100, 130, 10) && flat(100, 20, 10));
        assert!(!flat(100, 131, 10));
    }

    #[test]
    fn a_quarter_has_its_own_median() {
        let series = [9, 9, 9, 1, 3, 2, 9, 9, 9, 6, 5, 4];
        assert_eq!((median(&series, 1), median(&series, 3)), (2, 5));
        assert_eq!(median(&[], 3), 0);
    }
}
