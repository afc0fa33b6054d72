//! The recorder in front of a server's disk (`shim/recorder.c`), and the faults that it makes.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

/// The record's file.
pub(crate) const RECORD: &str = "record";

/// How a write, truncation or sync fails. The numbers are those of `enum failure` in `recorder.c`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// ENOSPC; nothing was written.
    NoSpace = 1,
    /// EIO; half was written. What a failed sync was to keep is lost.
    InputOutput = 2,
    /// Half was written, which is no error. Syncs do not fail so.
    Short = 3,
}

/// Which calls fail, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// How.
    pub failure: Failure,
    /// The `at`-th write, truncation or sync from now on, counted from 1.
    pub at: u64,
    /// Whether all that follow it fail too.
    pub lasting: bool,
}

/// Records what a server does to the files under a folder.
#[derive(Debug)]
pub struct Recorder {
    folder: PathBuf,
    record: PathBuf,
    fault: File,
    fault_path: PathBuf,
}

impl Recorder {
    /// Records `folder`, which must exist, in files within `keep`.
    ///
    /// # Errors
    /// Where a folder cannot be used.
    pub fn new(folder: &Path, keep: &Path) -> anyhow::Result<Self> {
        let fault_path = keep.join("fault");
        let options = OpenOptions::new()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .clone();
        let fault = options.open(&fault_path)?;
        let recorder = Self {
            folder: folder.canonicalize()?,
            record: keep.join(RECORD),
            fault,
            fault_path,
        };
        recorder.lift()?;
        Ok(recorder)
    }

    /// Loads the recorder into a command's process.
    pub(crate) fn attach(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", env!("RECORDER"))
            .env("RECORDER_FOLDER", &self.folder)
            .env("RECORDER_LOG", &self.record)
            .env("RECORDER_FAULT", &self.fault_path);
    }

    /// The record.
    pub fn record(&self) -> &Path {
        &self.record
    }

    /// Makes calls fail, counted from now on.
    ///
    /// # Errors
    /// Where the recorder cannot be told.
    pub fn make(&self, fault: Fault) -> anyhow::Result<()> {
        self.tell(fault.failure as u32, fault.lasting, fault.at)
    }

    /// Ends the fault, and counts from now on.
    ///
    /// # Errors
    /// Where the recorder cannot be told.
    pub fn lift(&self) -> anyhow::Result<()> {
        self.tell(0, false, 0)
    }

    /// Writes, truncations and syncs since the last fault was made or lifted, and how many of them failed.
    ///
    /// # Errors
    /// Where the recorder cannot be asked.
    pub fn calls(&self) -> anyhow::Result<(u64, u64)> {
        let mut told = [0; 16];
        self.fault.read_exact_at(&mut told, 16)?;
        let (calls, failed) = told.split_first_chunk::<8>().context("no count")?;
        let failed = failed.first_chunk::<8>().context("no count")?;
        Ok((u64::from_ne_bytes(*calls), u64::from_ne_bytes(*failed)))
    }

    /// Writes a `struct fault` of `recorder.c`.
    fn tell(&self, failure: u32, lasting: bool, at: u64) -> anyhow::Result<()> {
        let mut told = Vec::with_capacity(32);
        told.extend(failure.to_ne_bytes());
        told.extend(u32::from(lasting).to_ne_bytes());
        told.extend(at.to_ne_bytes());
        told.extend([0; 16]);
        self.fault.write_all_at(&told, 0)?;
        Ok(())
    }
}
