//! What the number of stored connections does to memory, start and speed.

use std::fs::{self, File};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use serde_json::json;

use super::lines::{self, Contents};
use super::load::{Load, Target};
use super::report::{Targets, time};
use super::sample::{Sample, median, quantile};
use super::{Binaries, Pace};
use crate::server::{self, Server};

const FEW: usize = 10_000;
const MANY: usize = 100_000;
/// Names that a load chooses from: as many for each size, so that the client's own work is the same.
const CHOSEN: usize = 10_000;
const STARTS: usize = 5;

/// What was measured.
pub struct Sizes {
    most: usize,
    /// Seconds from the start of the process until it said its address and `/readyz` answered, with [`MANY`] stored.
    ready: f64,
    started: Memory,
    loaded: Memory,
    at_few: Vec<Sample>,
    at_most: Vec<Sample>,
}

/// What of a process is resident, in KiB.
struct Memory {
    all: u64,
    /// Heap and stacks.
    anonymous: u64,
    /// Mapped files: the executable, libraries, and the index of the write-ahead log.
    file: u64,
}

/// Stores 10,000, 100,000 and `most` connections and measures each.
pub fn measure(pace: Pace, most: usize, binaries: &Binaries, folder: &Path) -> anyhow::Result<Sizes> {
    let stored = |count: usize| -> anyhow::Result<_> {
        println!("storing {count} connections");
        let data = folder.join(format!("stored-{count}"));
        lines::import(&binaries.patchbay, &data, Contents::Plain, count)?;
        // Else the system writes a gigabyte to the disk while the loads are measured.
        rustix::fs::sync();
        let names = (0..CHOSEN).map(|number| json!({"name": lines::name(number * (count / CHOSEN))}).to_string());
        let load = Load::choose(
            &binaries.wrk,
            folder,
            &format!("names-{count}"),
            &names.collect::<Vec<_>>(),
            64,
        )?;
        Ok((data, load))
    };
    let start = |data: &Path| {
        Server::start(server::patchbay(&binaries.patchbay, data).stderr(File::create(folder.join("log"))?))
    };

    let (data, load) = stored(MANY)?;
    let mut ready = Vec::new();
    for _ in 0..STARTS {
        let began = Instant::now();
        let server = start(&data)?;
        let answer = ureq::get(format!("{}/readyz", server.url)).call()?;
        ensure!(answer.status() == 200, "/readyz answered {}", answer.status());
        ready.push(began.elapsed().as_secs_f64());
        server.stop()?;
    }
    let server = start(&data)?;
    let started = memory(&server)?;
    load.run(Target::of(&server), "get", pace.time)?;
    let loaded = memory(&server)?;
    server.stop()?;
    fs::remove_dir_all(&data)?;

    let (few, at_few) = stored(FEW)?;
    let (many, at_most) = stored(most)?;
    let (few, many) = (start(&few)?, start(&many)?);
    let mut sizes = Sizes {
        most,
        ready: quantile(&mut ready, 0.5),
        started,
        loaded,
        at_few: Vec::new(),
        at_most: Vec::new(),
    };
    for _ in pace.rounds("sizes") {
        sizes.at_few.push(at_few.run(Target::of(&few), "get", pace.short())?);
        sizes.at_most.push(at_most.run(Target::of(&many), "get", pace.short())?);
    }
    few.stop()?;
    many.stop()?;
    Ok(sizes)
}

fn memory(server: &Server) -> anyhow::Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{}/status", server.id()))?;
    let field = |name: &str| -> anyhow::Result<u64> {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_suffix("kB"));
        Ok(line
            .with_context(|| format!("/proc does not tell {name}"))?
            .trim()
            .parse()?)
    };
    Ok(Memory {
        all: field("VmRSS:")?,
        anonymous: field("RssAnon:")?,
        file: field("RssFile:")? + field("RssShmem:")?,
    })
}

impl Memory {
    fn describe(&self) -> String {
        let mib = |kib: u64| kib as f64 / 1024.0;
        format!(
            "{:.1} MiB ({:.1} heap and stacks, {:.1} mapped files)",
            mib(self.all),
            mib(self.anonymous),
            mib(self.file)
        )
    }
}

impl Sizes {
    /// The targets beside what was reached.
    pub fn report(&self) -> String {
        let (few, most) = (
            median(&self.at_few, Sample::per_second),
            median(&self.at_most, Sample::per_second),
        );
        let change = 100.0 * (most / few - 1.0);
        let mut targets = Targets::default();
        for (when, memory) in [("at the start", &self.started), ("after the load", &self.loaded)] {
            let what = format!("{MANY} stored: at most 64 MiB resident {when}");
            targets.add(&what, memory.describe(), memory.all <= 64 * 1024);
        }
        let what = format!("{MANY} stored: ready at most 100 ms after the start");
        targets.add(&what, time(self.ready), self.ready <= 0.1);
        targets.add(
            &format!("{} stored: `get` within 20 % of the rate at {FEW}", self.most),
            format!("{most:.0} a second against {few:.0}: {change:+.0} %"),
            change >= -20.0,
        );
        targets.table()
    }
}
