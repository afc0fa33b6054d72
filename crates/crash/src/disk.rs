//! A disk that may lose power: what a folder can look like afterwards.
//!
//! What was synced is kept. Of what was not, each sector of 512 bytes, each truncation and each change of a folder's
//! entries survives or not, independently, so they reach the disk in any order; a file may have grown without the data
//! that made it grow, which then reads as zeros. Syncing a file keeps its content and length but not its name: that
//! takes a sync of the folder it is in. A sector itself is written whole or not at all, which is what SQLite counts on
//! too (`SQLITE_POWERSAFE_OVERWRITE`). What a failed sync was to bring to the disk is never brought there by a later
//! one: it may survive, or not, until it is written again.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::Context as _;
use fastrand::Rng;

use crate::record::Event;

const SECTOR: usize = 512;

/// The files of the recorded folder, as they are and as they may be.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    /// By the inode's number, which the system uses again.
    nodes: HashMap<u64, usize>,
    contents: Vec<Content>,
    /// Entries that are certain to be there, by path.
    entries: BTreeMap<String, usize>,
    /// What was done to entries since, with the folder it was done in.
    pending: Vec<(String, Entry)>,
}

#[derive(Debug, Clone, Default)]
struct Content {
    folder: bool,
    synced: Vec<u8>,
    pending: Vec<Piece>,
}

#[derive(Debug, Clone)]
enum Piece {
    /// `lost` once a sync of it failed.
    Write {
        offset: usize,
        data: Vec<u8>,
        lost: bool,
    },
    Truncate(usize),
}

#[derive(Debug, Clone)]
enum Entry {
    Add(String, usize),
    Rename(String, String),
    Remove(String),
}

impl Disk {
    /// A folder as it is, all of it synced.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn of(root: &Path) -> anyhow::Result<Self> {
        let mut disk = Self::default();
        disk.read(root, "")?;
        Ok(disk)
    }

    fn read(&mut self, here: &Path, path: &str) -> anyhow::Result<()> {
        let node = self.node(fs::metadata(here)?.ino(), here.is_dir());
        self.entries.insert(path.to_owned(), node);
        if !here.is_dir() {
            let content = self.contents.get_mut(node).context("a file")?;
            content.synced = fs::read(here)?;
            return Ok(());
        }
        for entry in fs::read_dir(here)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let inner = if path.is_empty() {
                name
            } else {
                format!("{path}/{name}")
            };
            self.read(&entry.path(), &inner)?;
        }
        Ok(())
    }

    /// Does what was done.
    ///
    /// # Errors
    /// Where the record tells of a file that it did not tell of before.
    pub fn apply(&mut self, event: &Event) -> anyhow::Result<()> {
        match event {
            Event::Root(inode) => {
                if !self.nodes.contains_key(inode) {
                    let root = self.node(*inode, true);
                    self.entries.insert(String::new(), root);
                }
            }
            Event::Create { inode, path } => self.add(*inode, path, false),
            Event::MakeFolder { inode, path } => self.add(*inode, path, true),
            Event::Write { inode, offset, data } => {
                let piece = Piece::Write {
                    offset: usize::try_from(*offset)?,
                    data: data.clone(),
                    lost: false,
                };
                self.content(*inode)?.pending.push(piece);
            }
            Event::Truncate { inode, length } => {
                let piece = Piece::Truncate(usize::try_from(*length)?);
                self.content(*inode)?.pending.push(piece);
            }
            Event::Sync(inode) => self.sync(*inode)?,
            Event::FailedSync(inode) => {
                for piece in &mut self.content(*inode)?.pending {
                    if let Piece::Write { lost, .. } = piece {
                        *lost = true;
                    }
                }
            }
            Event::Rename { from, to } => self.change(Entry::Rename(from.clone(), to.clone())),
            Event::Unlink(path) => self.change(Entry::Remove(path.clone())),
            Event::Mark(_) => {}
        }
        Ok(())
    }

    fn node(&mut self, inode: u64, folder: bool) -> usize {
        let node = self.contents.len();
        self.contents.push(Content {
            folder,
            ..Content::default()
        });
        self.nodes.insert(inode, node);
        node
    }

    fn content(&mut self, inode: u64) -> anyhow::Result<&mut Content> {
        let node = self.nodes.get(&inode).context("a file that was never made")?;
        self.contents.get_mut(*node).context("a file that was never made")
    }

    fn add(&mut self, inode: u64, path: &str, folder: bool) {
        let node = self.node(inode, folder);
        self.change(Entry::Add(path.to_owned(), node));
    }

    fn change(&mut self, entry: Entry) {
        let (Entry::Add(path, _) | Entry::Rename(path, _) | Entry::Remove(path)) = &entry;
        self.pending.push((parent(path).to_owned(), entry));
    }

    fn sync(&mut self, inode: u64) -> anyhow::Result<()> {
        let content = self.content(inode)?;
        if content.folder {
            let node = self.nodes.get(&inode);
            let now = after(&self.entries, &self.pending, |_| true);
            let found = now.iter().find(|(_, entry)| Some(*entry) == node);
            let path = found.map(|(path, _)| path.clone()).context("a folder without a name")?;
            self.entries = after(&self.entries, &self.pending, |folder| folder == path);
            self.pending.retain(|(folder, _)| *folder != path);
            return Ok(());
        }
        // What is lost stands before what is not.
        let pieces = std::mem::take(&mut content.pending).into_iter();
        let (mut kept, settled): (Vec<_>, Vec<_>) =
            pieces.partition(|piece| matches!(piece, Piece::Write { lost: true, .. }));
        for piece in &settled {
            piece.put(&mut content.synced);
            kept = kept.into_iter().flat_map(|lost| lost.without(piece)).collect();
        }
        content.pending = kept;
        Ok(())
    }

    /// Writes the folder as it is, with nothing lost.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn restore(&self, to: &Path) -> anyhow::Result<()> {
        let entries = after(&self.entries, &self.pending, |_| true);
        self.write(to, &entries, |content| {
            let mut bytes = content.synced.clone();
            content.pending.iter().for_each(|piece| piece.put(&mut bytes));
            bytes
        })
    }

    /// Writes the folder as it may be when power was lost just now.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn restore_after_power_cut(&self, to: &Path, rng: &mut Rng) -> anyhow::Result<()> {
        // Nothing, everything, and all between.
        let survives = rng.choice([0.0, 0.1, 0.5, 0.9, 1.0]).unwrap_or_default();
        let entries = after(&self.entries, &self.pending, |_| rng.f64() < survives);
        self.write(to, &entries, |content| content.after_power_cut(survives, rng))
    }

    fn write(
        &self,
        to: &Path,
        entries: &BTreeMap<String, usize>,
        mut content_of: impl FnMut(&Content) -> Vec<u8>,
    ) -> anyhow::Result<()> {
        for (path, node) in entries {
            let content = self.contents.get(*node).context("an entry of nothing")?;
            // An entry whose folder was lost is lost with it. Folders sort before what is in them.
            let here = to.join(path);
            if content.folder {
                fs::create_dir_all(&here)?;
            } else if here.parent().is_some_and(Path::exists) {
                fs::write(&here, content_of(content))?;
            }
        }
        Ok(())
    }
}

impl Content {
    fn after_power_cut(&self, survives: f64, rng: &mut Rng) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        for piece in &self.pending {
            match piece {
                Piece::Truncate(_) if rng.f64() < survives => piece.put(&mut bytes),
                Piece::Truncate(_) => {}
                Piece::Write { offset, data, .. } => {
                    let mut at = *offset;
                    for sector in sectors(*offset, data) {
                        if rng.f64() < survives {
                            put(&mut bytes, at, sector);
                        }
                        at += sector.len();
                    }
                    if bytes.len() < at && rng.f64() < survives {
                        bytes.resize(at, 0);
                    }
                }
            }
        }
        bytes
    }
}

impl Piece {
    fn put(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write { offset, data, .. } => put(bytes, *offset, data),
            Self::Truncate(length) => bytes.resize(*length, 0),
        }
    }

    /// What is left of this lost piece once `later` is certain: a sector that was written again is no longer at stake.
    fn without(self, later: &Piece) -> Vec<Piece> {
        let (offset, data, lost) = match self {
            Self::Truncate(_) => return vec![self],
            Self::Write { offset, data, lost } => (offset, data, lost),
        };
        let covered = match later {
            Self::Truncate(length) => *length..usize::MAX,
            Self::Write { offset, data, .. } => *offset..*offset + data.len(),
        };
        let (end, cut) = (offset + data.len(), |at: usize| at.clamp(offset, offset + data.len()));
        let before = offset..cut(covered.start);
        let behind = cut(covered.end).max(before.end)..end;
        [before, behind]
            .into_iter()
            .filter(|range| !range.is_empty())
            .filter_map(|range| {
                let data = data.get(range.start - offset..range.end - offset)?.to_vec();
                Some(Self::Write {
                    offset: range.start,
                    data,
                    lost,
                })
            })
            .collect()
    }
}

fn put(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    if let Some(place) = bytes.get_mut(offset..end) {
        place.copy_from_slice(data);
    }
}

/// The data's parts, cut at the disk's sectors.
fn sectors(offset: usize, data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let first = (SECTOR - offset % SECTOR).min(data.len());
    let (head, rest) = data.split_at(first);
    std::iter::once(head)
        .filter(|head| !head.is_empty())
        .chain(rest.chunks(SECTOR))
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The entries once those changes are done whose folder `reached` says of that they reached the disk.
fn after(
    entries: &BTreeMap<String, usize>,
    pending: &[(String, Entry)],
    mut reached: impl FnMut(&str) -> bool,
) -> BTreeMap<String, usize> {
    let mut entries = entries.clone();
    for (folder, change) in pending {
        if !reached(folder) {
            continue;
        }
        match change {
            Entry::Add(path, node) => _ = entries.insert(path.clone(), *node),
            Entry::Remove(path) => _ = entries.remove(path),
            Entry::Rename(from, to) => {
                if let Some(node) = entries.remove(from) {
                    entries.insert(to.clone(), node);
                }
            }
        }
    }
    entries
}
