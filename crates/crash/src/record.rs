//! The record that the recorder (`shim/recorder.c`) keeps, with the marks that the load adds to it.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use crate::state::Change;

/// What was done to the disk, or between client and server, in the order in which it was done.
#[derive(Debug, Clone)]
pub enum Event {
    /// The recorded folder, by its inode; one for each start of the server.
    Root(u64),
    /// A file was made.
    Create {
        /// The file.
        inode: u64,
        /// Within the recorded folder.
        path: String,
    },
    /// A folder was made.
    MakeFolder {
        /// The folder.
        inode: u64,
        /// Within the recorded folder.
        path: String,
    },
    /// Bytes were written.
    Write {
        /// The file.
        inode: u64,
        /// Where.
        offset: u64,
        /// What.
        data: Vec<u8>,
    },
    /// A file was cut or lengthened.
    Truncate {
        /// The file.
        inode: u64,
        /// Its new length.
        length: u64,
    },
    /// A file or folder was synced, and the caller is about to be told.
    Sync(u64),
    /// A sync failed.
    FailedSync(u64),
    /// A file got another name.
    Rename {
        /// Its old name.
        from: String,
        /// Its new name.
        to: String,
    },
    /// A name was removed.
    Unlink(String),
    /// The load's word.
    Mark(Mark),
}

/// What a client did, written before a request is sent and after its answer was read whole.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Mark {
    /// The change is about to be sent.
    Sent {
        /// The connection's name.
        name: String,
        /// What is to be done to it.
        change: Change,
    },
    /// The change that was sent last for this name was acknowledged.
    Acknowledged {
        /// The connection's name.
        name: String,
        /// The id that `create` answered.
        id: Option<String>,
    },
    /// It was answered with 503, or not at all.
    Refused {
        /// The connection's name.
        name: String,
    },
}

const MARK: u32 = 100;
const HEAD: usize = 24;

/// Appends marks to a record.
#[derive(Debug)]
pub struct Marks(File);

impl Marks {
    /// Opens the record for it.
    ///
    /// # Errors
    /// Where the file cannot be opened.
    pub fn open(record: &Path) -> anyhow::Result<Self> {
        Ok(Self(OpenOptions::new().create(true).append(true).open(record)?))
    }

    /// Appends one, in a single write: the system keeps appends of several processes apart and in order.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn add(&self, mark: &Mark) -> anyhow::Result<()> {
        let text = serde_json::to_vec(mark)?;
        let mut bytes = Vec::with_capacity(HEAD + text.len());
        bytes.extend(MARK.to_ne_bytes());
        bytes.extend(u32::try_from(text.len())?.to_ne_bytes());
        bytes.extend([0; 16]);
        bytes.extend(text);
        (&self.0).write_all(&bytes)?;
        Ok(())
    }
}

/// Reads a record.
///
/// # Errors
/// Where the file cannot be read or is not a record.
pub fn read(record: &Path) -> anyhow::Result<Vec<Event>> {
    let bytes = std::fs::read(record).with_context(|| format!("the record {}", record.display()))?;
    let mut rest = bytes.as_slice();
    let mut events = Vec::new();
    while !rest.is_empty() {
        let (kind, after) = take::<4>(rest)?;
        let (length, after) = take::<4>(after)?;
        let (inode, after) = take::<8>(after)?;
        let (offset, after) = take::<8>(after)?;
        let length = usize::try_from(u32::from_ne_bytes(length))?;
        let (data, after) = after.split_at_checked(length).context("the record breaks off")?;
        let kind = u32::from_ne_bytes(kind);
        events.push(event(
            kind,
            u64::from_ne_bytes(inode),
            u64::from_ne_bytes(offset),
            data,
        )?);
        rest = after;
    }
    Ok(events)
}

fn take<const N: usize>(bytes: &[u8]) -> anyhow::Result<([u8; N], &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<N>().context("the record breaks off")?;
    Ok((*head, rest))
}

/// The kinds are those of `enum kind` in `recorder.c`.
fn event(kind: u32, inode: u64, offset: u64, data: &[u8]) -> anyhow::Result<Event> {
    let text = || String::from_utf8(data.to_vec()).context("a path in the record is not UTF-8");
    Ok(match kind {
        0 => Event::Root(inode),
        1 => Event::Create { inode, path: text()? },
        2 => Event::MakeFolder { inode, path: text()? },
        3 => Event::Write {
            inode,
            offset,
            data: data.to_vec(),
        },
        4 => Event::Truncate { inode, length: offset },
        5 => Event::Sync(inode),
        6 => Event::FailedSync(inode),
        7 => {
            let both = text()?;
            let (from, to) = both.split_once('\0').context("a rename without a second name")?;
            Event::Rename {
                from: from.to_owned(),
                to: to.to_owned(),
            }
        }
        8 => Event::Unlink(text()?),
        MARK => Event::Mark(serde_json::from_slice(data)?),
        other => bail!("the record has an event of the unknown kind {other}"),
    })
}
