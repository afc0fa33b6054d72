//! Lines to the end of the trail.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::files::Files;
use super::{Head, Row};

/// Bytes of memory that are kept for the next group of lines.
const BUFFER_KEPT: usize = 1024 * 1024;

/// The end of the trail.
pub(crate) struct Appender {
    files: Files,
    /// The last file, if there is one to go on in.
    file: Option<File>,
    head: Head,
    /// Bytes of a file past which the next one is begun.
    file_bytes: u64,
    /// Whether there may be bytes after the head's that count for nothing.
    untidy: bool,
    /// Whether the last attempt failed.
    failed: bool,
    lines: Vec<u8>,
}

impl Appender {
    /// After `head`, in its file if that is given, or else in the next one.
    pub(super) fn new(files: Files, file: Option<File>, head: Head, file_bytes: u64) -> Self {
        Self {
            files,
            file,
            head,
            file_bytes,
            untidy: false,
            failed: false,
            lines: Vec::new(),
        }
    }

    pub(super) fn files(&self) -> &Files {
        &self.files
    }

    pub(super) fn head(&self) -> Head {
        self.head
    }

    /// Appends lines for these and syncs them, all or nothing. What a failure leaves of them counts for nothing, and is
    /// overwritten by the next attempt. With nothing to append, it tries after a failure whether anything could be.
    pub(super) fn append(&mut self, rows: &[Row], records: &[String]) -> io::Result<()> {
        let appended = self.try_to(rows, records);
        self.failed = appended.is_err();
        appended
    }

    fn try_to(&mut self, rows: &[Row], records: &[String]) -> io::Result<()> {
        let mut head = self.head;
        self.lines.clear();
        for row in rows {
            head.link = head.link.write(Some(row.seq), &row.record, &mut self.lines);
            head.row = row.seq;
        }
        for record in records {
            head.link = head.link.write(None, record, &mut self.lines);
        }
        if head != self.head {
            self.write(&mut head)?;
            self.head = head;
        } else if self.failed {
            self.lines.push(b'\n');
            self.write(&mut head)?;
            if let Some(file) = &self.file {
                file.set_len(self.head.bytes)?;
            }
        }
        self.lines.shrink_to(BUFFER_KEPT);
        Ok(())
    }

    fn write(&mut self, head: &mut Head) -> io::Result<()> {
        if self.head.bytes >= self.file_bytes {
            self.file = None;
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let file = self.files.make(self.head.file + 1)?;
                // Where this file fails, it is the one that the next attempt goes on in.
                self.head.file += 1;
                self.head.bytes = 0;
                none.insert(file)
            }
        };
        if self.untidy {
            file.set_len(self.head.bytes)?;
        }
        self.untidy = true;
        file.write_all_at(&self.lines, self.head.bytes)?;
        file.sync_data()?;
        self.untidy = false;
        head.file = self.head.file;
        head.bytes = self.head.bytes + self.lines.len() as u64;
        Ok(())
    }
}
