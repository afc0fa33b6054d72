//! Disk faults: the real binary on a disk that fails at the n-th write or sync, for one n after the other.
//!
//! A faulty run goes through start, changes and stop. A fault that strikes a running server is lifted while it runs on.
//! What must hold: no answer but success and 503; nothing that was acknowledged is lost, and what was refused is whole or
//! absent, for readers, after a power cut while the disk fails, and after another start; once the fault is lifted the
//! server takes changes again, without a restart; and a start that fails says why and leaves a folder for the next.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, ensure};
use fastrand::Rng;
use tempfile::TempDir;

use crate::check::read_folder;
use crate::disk::Disk;
use crate::load::{Answered, Load, list};
use crate::record::{self, Marks};
use crate::recorder::{Failure, Fault, Recorder};
use crate::server::{Client, Server};

/// The data folder within the recorded one.
const DATA: &str = "data";
/// Changes while the disk may fail, and after the fault was lifted.
const CHANGES: [usize; 2] = [7, 3];
/// Bytes of write-ahead log that are a little less than what SQLite empties into the database by itself.
const NEARLY_FULL: u64 = 990 * (24 + 4096);

/// Where a run begins.
#[derive(Debug)]
pub struct Scene {
    /// A data folder and what is in it; without one, the run makes it.
    folder: Option<(TempDir, Load)>,
    seed: u64,
}

/// How many writes, truncations and syncs a run without a fault makes.
#[derive(Debug, Clone, Copy)]
pub struct Calls {
    /// Until the server has started.
    pub started: u64,
    /// Until the changes are made.
    pub changed: u64,
    /// Until the server has stopped.
    pub stopped: u64,
}

/// What the runs of a scene came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Runs.
    pub runs: usize,
    /// Of these, such that the server refused to start.
    pub no_start: usize,
    /// Changes that were answered with 503.
    pub refused: usize,
}

/// Every way to fail, and whether it lasts.
const FAILURES: [(Failure, bool); 5] = [
    (Failure::NoSpace, true),
    (Failure::InputOutput, false),
    (Failure::InputOutput, true),
    (Failure::Short, false),
    (Failure::Short, true),
];

/// Runs a scene with every way to fail at every `step`th write, truncation or sync in turn, on two threads.
///
/// # Errors
/// What does not hold, and the fault.
pub fn all(scene: &Scene, step: usize) -> anyhow::Result<Summary> {
    let calls = scene.calls()?;
    let calls_from = if scene.folder.is_some() { calls.started } else { 1 };
    let mut faults = (calls_from..=calls.stopped)
        .step_by(step)
        .flat_map(|at| FAILURES.map(|(failure, lasting)| Fault { failure, at, lasting }));
    let faults = Mutex::new(&mut faults);
    let one = || {
        let mut sum = Summary::default();
        loop {
            let Some(fault) = faults.lock().unwrap_or_else(PoisonError::into_inner).next() else {
                return Ok(sum);
            };
            let met = scene.run(fault, calls);
            let met = met.with_context(|| format!("{fault:?} of {calls:?}, seed {}", scene.seed))?;
            sum = sum.and(met);
        }
    };
    std::thread::scope(|scope| {
        let threads = [scope.spawn(one), scope.spawn(one)];
        threads.into_iter().try_fold(Summary::default(), |sum, thread| {
            let joined: anyhow::Result<Summary> = thread.join().map_err(|_| anyhow::anyhow!("a run panicked"))?;
            Ok(sum.and(joined?))
        })
    })
}

impl Summary {
    fn and(self, other: Self) -> Self {
        Self {
            runs: self.runs + other.runs,
            no_start: self.no_start + other.no_start,
            refused: self.refused + other.refused,
        }
    }
}

impl Scene {
    /// A first start.
    pub fn new(seed: u64) -> Self {
        Self { folder: None, seed }
    }

    /// A folder whose write-ahead log is about to be emptied into the database.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn before_checkpoint(seed: u64) -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        let mut load = Load::new("c", seed);
        let server = Server::start(folder.path(), None)?;
        let client = Client::new(server.url())?;
        let wal = folder.path().join(format!("{}-wal", patchbay_sql::DATABASE_FILE));
        while fs::metadata(&wal)?.len() < NEARLY_FULL {
            let answered = load.change(&client, None)?;
            ensure!(answered == Answered::Done, "{answered:?}");
        }
        server.kill()?;
        Ok(Self {
            folder: Some((folder, load)),
            seed,
        })
    }

    /// Runs without a fault.
    ///
    /// # Errors
    /// Where something fails.
    pub fn calls(&self) -> anyhow::Result<Calls> {
        let mut run = Run::new(self)?;
        let server = run.start()?;
        let started = run.recorder.calls()?.0;
        run.change(&server, CHANGES[0])?;
        let changed = run.recorder.calls()?.0;
        if let Some((folder, _)) = &self.folder {
            let database = |data: &Path| fs::read(data.join(patchbay_sql::DATABASE_FILE));
            let emptied = database(folder.path())? != database(&run.data)?;
            ensure!(emptied, "the write-ahead log was not emptied into the database");
        }
        server.stop()?;
        let stopped = run.recorder.calls()?.0;
        Ok(Calls {
            started,
            changed,
            stopped,
        })
    }

    /// Runs with a fault.
    ///
    /// # Errors
    /// What does not hold.
    pub fn run(&self, fault: Fault, calls: Calls) -> anyhow::Result<Summary> {
        let mut run = Run::new(self)?;
        run.recorder.make(fault)?;
        let server = match run.start() {
            Ok(server) => server,
            Err(error) => {
                let said = format!("{error:#}");
                ensure!(said.contains("patchbay: ") && !said.contains("panicked"), said);
                run.power_cut().context("after a start that failed")?;
                run.recorder.lift()?;
                let server = run.start().context("the disk is well again")?;
                run.go_on(&server)?;
                run.end(server)?;
                return Ok(Summary {
                    runs: 1,
                    no_start: 1,
                    refused: 0,
                });
            }
        };
        let refused = run.change(&server, CHANGES[0])?;
        if fault.at > calls.changed {
            // Strikes while it stops, or not at all.
            server.stop()?;
            run.power_cut().context("after a stop")?;
            run.recorder.lift()?;
            let server = run.start().context("the disk is well again")?;
            run.go_on(&server)?;
            run.end(server)?;
        } else {
            run.power_cut().context("while the disk fails")?;
            run.recorder.lift()?;
            run.go_on(&server).context("the disk is well again")?;
            run.end(server)?;
        }
        Ok(Summary {
            runs: 1,
            no_start: 0,
            refused,
        })
    }
}

struct Run {
    _keep: TempDir,
    data: PathBuf,
    recorder: Recorder,
    marks: Marks,
    load: Load,
    /// What was on the disk before.
    before: Disk,
    rng: Rng,
}

impl Run {
    fn new(scene: &Scene) -> anyhow::Result<Self> {
        let keep = TempDir::new()?;
        let root = keep.path().join("disk");
        fs::create_dir(&root)?;
        let root = root.canonicalize()?;
        let (data, load) = match &scene.folder {
            None => (root.join(DATA), Load::new("c", scene.seed)),
            Some((folder, load)) => {
                fs::create_dir(root.join(DATA))?;
                for entry in fs::read_dir(folder.path())? {
                    let entry = entry?;
                    fs::copy(entry.path(), root.join(DATA).join(entry.file_name()))?;
                }
                (root.join(DATA), load.clone())
            }
        };
        let recorder = Recorder::new(&root, keep.path())?;
        Ok(Self {
            data,
            marks: Marks::open(recorder.record())?,
            recorder,
            load,
            before: Disk::of(&root)?,
            rng: Rng::with_seed(scene.seed),
            _keep: keep,
        })
    }

    fn start(&self) -> anyhow::Result<Server> {
        Server::start(&self.data, Some(&self.recorder))
    }

    /// Makes changes, and reads after each of them. Gives how many were refused.
    fn change(&mut self, server: &Server, changes: usize) -> anyhow::Result<usize> {
        let client = Client::new(server.url())?;
        let mut refused = 0;
        for _ in 0..changes {
            match self.load.change(&client, Some(&self.marks))? {
                Answered::Done => {}
                Answered::Unavailable => refused += 1,
                Answered::Nothing => anyhow::bail!("a change was not answered"),
            }
            if let Some(found) = list(&client)? {
                self.load.expected.check(&found)?;
            }
        }
        Ok(refused)
    }

    /// Reads what is there, and makes changes that must succeed.
    fn go_on(&mut self, server: &Server) -> anyhow::Result<()> {
        let client = Client::new(server.url())?;
        let found = list(&client)?.context("the list is still answered with 503")?;
        self.load.settle(&found)?;
        let refused = self.change(server, CHANGES[1])?;
        ensure!(refused == 0, "{refused} changes are still answered with 503");
        Ok(())
    }

    /// Nothing is lost by a kill, nor by a power cut.
    fn end(&mut self, server: Server) -> anyhow::Result<()> {
        server.kill()?;
        self.power_cut().context("at the end")?;
        self.load
            .expected
            .check(&read_folder(&self.data)?)
            .context("after a restart")
    }

    /// Nothing is lost by a power cut right now.
    fn power_cut(&mut self) -> anyhow::Result<()> {
        let mut disk = self.before.clone();
        for event in record::read(self.recorder.record())? {
            disk.apply(&event)?;
        }
        for _ in 0..2 {
            let folder = TempDir::new()?;
            disk.restore_after_power_cut(folder.path(), &mut self.rng)?;
            let found = read_folder(&folder.path().join(DATA)).context("a power cut")?;
            self.load.expected.check(&found).context("a power cut")?;
        }
        Ok(())
    }
}
