//! Power cuts: the real binary under load with its disk recorded, then its folder as it may be at many points of the
//! record, opened by the real code.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use fastrand::Rng;
use tempfile::TempDir;

use crate::check::read_folder;
use crate::disk::Disk;
use crate::load::{Answered, Load};
use crate::record::{self, Event, Mark, Marks};
use crate::recorder::Recorder;
use crate::server::{Client, Server};
use crate::state::Expected;

/// The data folder within the recorded one.
const DATA: &str = "data";
/// The file of a record in the folder given for it.
pub const RECORD: &str = crate::recorder::RECORD;
const CLIENTS: u64 = 4;
/// Changes of each client before the server is stopped, and after it was started again. Enough that the write-ahead log
/// is emptied into the database several times under way.
const CHANGES: [usize; 2] = [150, 15];

/// What the record is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsIf {
    /// What it is.
    Built,
    /// The record of a server that runs SQLite with `synchronous=OFF`: its calls are the same but for the syncs of the
    /// database and its logs, and those are taken out.
    NeverSynced,
    /// The record of a server that answers before the commit is on disk: each acknowledgement is moved before the last
    /// sync of the write-ahead log that it had waited for.
    AnsweredBeforeCommit,
}

/// Runs the load with the recorder, in files within `keep`, through the first start, a stop, another start, and a kill.
/// The record is complete: done again, it gives the files that the server left.
///
/// # Errors
/// Where a change does not succeed, or the record misses something.
pub fn record(keep: &Path, seed: u64) -> anyhow::Result<()> {
    let root = keep.join("disk");
    fs::create_dir(&root)?;
    let root = root.canonicalize()?;
    let recorder = Recorder::new(&root, keep)?;
    let mut loads: Vec<Load> = (0..CLIENTS)
        .map(|number| Load::new(&format!("c{number}"), seed.wrapping_add(number)))
        .collect();
    let [first, second] = CHANGES;
    let server = Server::start(&root.join(DATA), Some(&recorder))?;
    change(&mut loads, server.url(), recorder.record(), first)?;
    server.stop()?;
    let server = Server::start(&root.join(DATA), Some(&recorder))?;
    change(&mut loads, server.url(), recorder.record(), second)?;
    server.kill()?;

    let mut disk = Disk::default();
    for event in record::read(recorder.record())? {
        disk.apply(&event)?;
    }
    let again = TempDir::new()?;
    disk.restore(again.path())?;
    let (left, rebuilt) = (files(&root.join(DATA))?, files(&again.path().join(DATA))?);
    ensure!(
        left == rebuilt,
        "the record does not give the files that the server left"
    );
    Ok(())
}

fn change(loads: &mut [Load], url: &str, record: &Path, changes: usize) -> anyhow::Result<()> {
    let one = |load: &mut Load| {
        let (client, marks) = (Client::new(url)?, Marks::open(record)?);
        for _ in 0..changes {
            let answered = load.change(&client, Some(&marks))?;
            ensure!(answered == Answered::Done, "a change was answered with {answered:?}");
        }
        anyhow::Ok(())
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = loads.iter_mut().map(|load| scope.spawn(|| one(load))).collect();
        running
            .into_iter()
            .try_for_each(|client| client.join().map_err(|_| anyhow::anyhow!("a client panicked"))?)
    })
}

/// The files of a folder, but for the index of the write-ahead log, which is not recorded.
fn files(folder: &Path) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.ends_with("-shm") {
            files.insert(name, fs::read(entry.path())?);
        }
    }
    Ok(files)
}

/// A point of the record after which something was lost or half done.
#[derive(Debug)]
pub struct Lost {
    /// So many events of the record had happened.
    pub at: usize,
    /// What was found.
    pub what: anyhow::Error,
}

/// Records a load and cuts the power at `number` points. What was lost comes with the folder of the record.
///
/// # Errors
/// As of [`record()`] and [`cut`].
pub fn run(as_if: AsIf, number: usize, seed: u64) -> anyhow::Result<Option<(Lost, TempDir)>> {
    let keep = TempDir::new()?;
    record(keep.path(), seed)?;
    let events = read(&keep.path().join(RECORD), as_if)?;
    let lost = cut(&events, seed, &points(&events, seed, number))?;
    Ok(lost.map(|lost| (lost, keep)))
}

/// Cuts the power after each of these events and checks the folder. The same record, seed and point give the same
/// folder.
///
/// # Errors
/// Where the record cannot be used; what was lost is a value.
pub fn cut(events: &[Event], seed: u64, points: &[usize]) -> anyhow::Result<Option<Lost>> {
    let (mut disk, mut expected) = (Disk::default(), Expected::default());
    let started = events.iter().position(|event| matches!(event, Event::Mark(_)));
    let mut done = 0;
    for &at in points {
        for event in events.get(done..at).context("a point past the record's end")? {
            disk.apply(event)?;
            if let Event::Mark(mark) = event {
                expected.take(mark)?;
            }
        }
        done = at;
        let folder = rebuild(&disk, seed ^ at as u64)?;
        let mut checked = read_folder(&folder.path().join(DATA)).and_then(|found| expected.check(&found));
        if checked.is_ok() && started.is_none_or(|started| at <= started) {
            // What the first start left must do for the next.
            let folder = rebuild(&disk, seed ^ at as u64)?;
            checked = Server::start(&folder.path().join(DATA), None).and_then(Server::kill);
        }
        if let Err(what) = checked {
            return Ok(Some(Lost { at, what }));
        }
    }
    Ok(None)
}

/// A folder as the power cut may leave it; the same one for the same seed.
fn rebuild(disk: &Disk, seed: u64) -> anyhow::Result<TempDir> {
    let folder = TempDir::new()?;
    let mut rng = Rng::with_seed(seed);
    disk.restore_after_power_cut(folder.path(), &mut rng)?;
    let data = folder.path().join(DATA);
    if rng.bool() && data.exists() {
        // Nobody promises anything of the index, so it may hold anything.
        let noise: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(32 * 1024).collect();
        fs::write(data.join("patchbay.db-shm"), noise)?;
    }
    Ok(folder)
}

/// Reads a record for what it is to be taken for.
///
/// # Errors
/// Where it cannot be read.
pub fn read(record: &Path, as_if: AsIf) -> anyhow::Result<Vec<Event>> {
    let events = record::read(record)?;
    Ok(match as_if {
        AsIf::Built => events,
        AsIf::NeverSynced => never_synced(events),
        AsIf::AnsweredBeforeCommit => answered_before_commit(events),
    })
}

fn never_synced(events: Vec<Event>) -> Vec<Event> {
    let mut database = HashSet::new();
    let kept = |event: &Event| {
        if let Event::Create { inode, path } = event
            && path.contains(patchbay_sql::DATABASE_FILE)
        {
            database.insert(*inode);
        }
        !matches!(event, Event::Sync(inode) if database.contains(inode))
    };
    events.into_iter().filter(kept).collect()
}

fn answered_before_commit(events: Vec<Event>) -> Vec<Event> {
    let (mut wal, mut sync) = (0, 0);
    let mut moved: Vec<Event> = Vec::with_capacity(events.len());
    for event in events {
        match &event {
            Event::Create { inode, path } if path.ends_with("-wal") => wal = *inode,
            Event::Sync(inode) if *inode == wal => sync = moved.len(),
            Event::Mark(Mark::Acknowledged { name, .. }) => {
                // Not before its own request.
                let sent = moved
                    .iter()
                    .rposition(|event| matches!(event, Event::Mark(Mark::Sent { name: sent, .. }) if sent == name));
                let place = sync.max(sent.map_or(0, |sent| sent + 1));
                sync += usize::from(place <= sync);
                moved.insert(place, event);
                continue;
            }
            _ => {}
        }
        moved.push(event);
    }
    moved
}

/// Points of a record, in order: each of the first start, and as many others as make up `number`, half of them just
/// before a sync has ended.
pub fn points(events: &[Event], seed: u64, number: usize) -> Vec<usize> {
    let mut rng = Rng::with_seed(seed);
    let first_start = events.iter().position(|event| matches!(event, Event::Mark(_)));
    let first_start = first_start.unwrap_or(events.len());
    let mut points: Vec<usize> = (0..=first_start).collect();
    let all: Vec<usize> = (first_start + 1..=events.len()).collect();
    let syncs = all.iter().copied();
    let syncs: Vec<usize> = syncs
        .filter(|at| matches!(events.get(*at), Some(Event::Sync(_))))
        .collect();
    let others = number.saturating_sub(points.len());
    let before_syncs = rng.choose_multiple(syncs, others / 2);
    let anywhere = rng.choose_multiple(all, others - before_syncs.len());
    points.extend(before_syncs);
    points.extend(anywhere);
    points.sort_unstable();
    points
}
