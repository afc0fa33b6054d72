//! The audit trail under kills and disk faults: what was acknowledged is in it, and it is whole.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use fastrand::Rng;
use http::StatusCode;
use patchbay_sql::audit::{self, VerifyError};
use patchbay_sql::{Audit, NativeStore, OpenError, Options};
use serde_json::Value;
use tempfile::TempDir;

use crate::disk::Disk;
use crate::record;
use crate::recorder::{Failure, Fault, Recorder};
use crate::server::{Client, Server};

/// What every server here is told.
const AUDIT: [&str; 4] = ["--audit", "on", "--audit-file-mib", "1"];
const CLIENTS: u64 = 4;
/// Milliseconds under load before a kill.
const LIFE: std::ops::Range<u64> = 5..150;
/// Turns of a change and a read while the disk may fail, and after the fault was lifted.
const TURNS: [usize; 2] = [4, 2];

/// A client's calls, and those that were acknowledged, by their request ids.
#[derive(Default)]
struct Calls {
    prefix: String,
    made: usize,
    acknowledged: Vec<String>,
    refused: usize,
}

impl Calls {
    fn of(prefix: impl Into<String>) -> Self {
        Self {
            prefix: prefix.into(),
            ..Self::default()
        }
    }

    /// Creates a connection and reads its details, if it is there. Whether both calls were answered.
    fn turn(&mut self, client: &Client) -> anyhow::Result<bool> {
        let name = format!("{}-{}", self.prefix, self.made);
        let create = format!("{{\"name\":\"{name}\",\"type\":\"T\",\"details\":{{\"password\":\"hunter2\"}}}}");
        let read = format!("{{\"name\":\"{name}\"}}");
        Ok(self.call(client, "create", create)? && self.call(client, "get", read)?)
    }

    /// Whether it was answered.
    fn call(&mut self, client: &Client, operation: &str, body: String) -> anyhow::Result<bool> {
        self.made += 1;
        let id = format!("{}-{}", self.prefix, self.made);
        let Ok((status, _)) = client.call_named(&id, operation, body) else {
            return Ok(false);
        };
        match status {
            // What was refused may be there all the same, or not: the trail has either answer.
            StatusCode::OK | StatusCode::NOT_FOUND => self.acknowledged.push(id),
            StatusCode::SERVICE_UNAVAILABLE => self.refused += 1,
            other => anyhow::bail!("{operation} was answered with {other}"),
        }
        Ok(true)
    }
}

/// Finds no more wrong with the trail of a stopped or killed server than a start mends, and finds it whole once it was
/// opened, with each of these calls in it.
fn check<'c>(data: &Path, calls: impl Iterator<Item = &'c Calls>) -> anyhow::Result<()> {
    match audit::verify(data, None) {
        Ok(found) => ensure!(found.problems.is_empty(), "before the start: {:?}", found.problems),
        // The first start did not come so far.
        Err(VerifyError::Open(OpenError::NoDatabase(_) | OpenError::OtherSchema(_))) => {}
        Err(error) => return Err(error.into()),
    }
    let audit = Audit {
        file_bytes: 1024 * 1024,
        warn: |_| {},
    };
    let options = Options {
        audit: Some(audit),
        ..Options::default()
    };
    drop(NativeStore::open(data, options)?);
    let found = audit::verify(data, None)?;
    let problems: Vec<_> = found.problems.iter().map(ToString::to_string).collect();
    ensure!(problems.is_empty(), "the trail: {problems:?}");
    ensure!(found.last == found.known, "the trail ends with {found:?}");
    let there = request_ids(data)?;
    for id in calls.flat_map(|calls| &calls.acknowledged) {
        ensure!(there.contains(id), "{id} was acknowledged, and is not in the trail");
    }
    Ok(())
}

/// The request ids in the trail of what was not answered with 503, none of them twice.
fn request_ids(data: &Path) -> anyhow::Result<BTreeSet<String>> {
    let mut ids = BTreeSet::new();
    let folder = data.join("audit");
    if !folder.is_dir() {
        return Ok(ids);
    }
    for file in fs::read_dir(folder)? {
        for line in fs::read_to_string(file?.path())?.lines() {
            let line: Value = serde_json::from_str(line)?;
            let record = line.get("record").context("no record")?;
            let id = record
                .get("request_id")
                .and_then(Value::as_str)
                .context("no request id")?;
            // One that was refused with 503 may have a record of that beside the one of what was done all the same.
            if record.get("outcome").and_then(Value::as_str) != Some("unavailable") {
                ensure!(ids.insert(id.to_owned()), "{id} is in the trail twice");
            }
        }
    }
    Ok(ids)
}

/// Kills the server `rounds` times under load, and after each of them finds every acknowledged call in a trail that is
/// whole. Gives the number of calls that were acknowledged.
///
/// # Errors
/// What was lost.
pub fn kill(rounds: usize, seed: u64) -> anyhow::Result<usize> {
    let folder = TempDir::new()?;
    let data = folder.path();
    let mut rng = Rng::with_seed(seed);
    let mut all: Vec<Calls> = Vec::new();
    for round in 0..rounds {
        let server = Server::start_with(data, &AUDIT, None).with_context(|| format!("round {round}"))?;
        let url = server.url().to_owned();
        let life = Duration::from_millis(rng.u64(LIFE));
        let load = |number| -> anyhow::Result<Calls> {
            let client = Client::new(&url)?;
            let mut calls = Calls::of(format!("r{round}c{number}"));
            while calls.turn(&client)? {}
            ensure!(calls.refused == 0, "503 from a server whose disk is well");
            Ok(calls)
        };
        std::thread::scope(|scope| -> anyhow::Result<()> {
            let running: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(move || load(number))).collect();
            std::thread::sleep(life);
            let killed = server.kill();
            for client in running {
                all.push(client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??);
            }
            killed
        })?;
        check(data, all.iter()).with_context(|| format!("after {} kills", round + 1))?;
    }
    Ok(all.iter().map(|calls| calls.acknowledged.len()).sum())
}

/// Every way to fail, and whether it lasts.
const FAILURES: [(Failure, bool); 4] = [
    (Failure::NoSpace, true),
    (Failure::InputOutput, false),
    (Failure::InputOutput, true),
    (Failure::Short, true),
];

/// Starts a server, calls it, and kills it, on a disk that fails in every way at every `step`th write, truncation or sync in
/// turn; the fault is lifted while it runs. Gives how many runs there were, and how many calls were refused.
///
/// # Errors
/// What does not hold, and the fault.
pub fn disk_faults(step: usize, seed: u64) -> anyhow::Result<(usize, usize)> {
    let well = Run::new(seed)?;
    let server = well.start()?;
    let mut calls = Calls::of("well");
    well.turns(&server, &mut calls, TURNS[0])?;
    let count = well.recorder.calls()?.0;
    server.kill()?;
    let (mut runs, mut refused) = (0, 0);
    for at in (1..=count).step_by(step) {
        for (failure, lasting) in FAILURES {
            let fault = Fault { failure, at, lasting };
            refused += Run::new(seed)?
                .with(fault)
                .with_context(|| format!("{fault:?} of {count}, seed {seed}"))?;
            runs += 1;
        }
    }
    Ok((runs, refused))
}

struct Run {
    keep: TempDir,
    data: PathBuf,
    recorder: Recorder,
    /// What was on the disk before.
    before: Disk,
    rng: Rng,
}

impl Run {
    fn new(seed: u64) -> anyhow::Result<Self> {
        let keep = TempDir::new()?;
        let root = keep.path().join("disk");
        fs::create_dir(&root)?;
        let root = root.canonicalize()?;
        Ok(Self {
            data: root.join("data"),
            recorder: Recorder::new(&root, keep.path())?,
            before: Disk::of(&root)?,
            rng: Rng::with_seed(seed),
            keep,
        })
    }

    fn start(&self) -> anyhow::Result<Server> {
        Server::start_with(&self.data, &AUDIT, Some(&self.recorder))
    }

    fn turns(&self, server: &Server, calls: &mut Calls, turns: usize) -> anyhow::Result<()> {
        let client = Client::new(server.url())?;
        for _ in 0..turns {
            ensure!(calls.turn(&client)?, "a call was not answered");
        }
        Ok(())
    }

    /// Runs with a fault. Gives how many calls were refused.
    fn with(mut self, fault: Fault) -> anyhow::Result<usize> {
        let mut calls = Calls::of("c");
        self.recorder.make(fault)?;
        let server = match self.start() {
            Ok(server) => {
                self.turns(&server, &mut calls, TURNS[0])?;
                self.power_cut(&calls).context("a power cut while the disk fails")?;
                self.recorder.lift()?;
                server
            }
            Err(_) => {
                self.recorder.lift()?;
                self.start().context("the disk is well again")?
            }
        };
        let refused = calls.refused;
        self.turns(&server, &mut calls, TURNS[1])?;
        ensure!(calls.refused == refused, "calls are still answered with 503");
        server.kill()?;
        self.power_cut(&calls).context("a power cut at the end")?;
        check(&self.data, std::iter::once(&calls))?;
        Ok(refused)
    }

    /// Nothing acknowledged is lost by a power cut right now.
    fn power_cut(&mut self, calls: &Calls) -> anyhow::Result<()> {
        let mut disk = self.before.clone();
        for event in record::read(self.recorder.record())? {
            disk.apply(&event)?;
        }
        let folder = TempDir::new_in(self.keep.path())?;
        disk.restore_after_power_cut(folder.path(), &mut self.rng)?;
        check(&folder.path().join("data"), std::iter::once(calls))
    }
}
