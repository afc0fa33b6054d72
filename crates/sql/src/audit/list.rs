//! The trail, read backwards.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use patchbay_core::audit::{Match, Page, Place, Query};

use super::Head;
use super::files::Files;
use super::line::Line;

/// Bytes that one call looks at: about twenty thousand lines.
const LOOKED_AT: u64 = 8 * 1024 * 1024;
/// Bytes that are read at once, unless a line is longer.
const READ: u64 = 256 * 1024;

/// What is asked for, from the head or where an earlier page ended backwards. Ends early only where all that one call looks
/// at is past: a clock that was set back makes a shorter stretch look so. Lines that are not as they were written are left
/// out; `verify` is to find them.
pub(super) fn list(files: &Files, head: Head, query: &Query) -> io::Result<Page> {
    let mut page = Page::default();
    let mut place = query.before.unwrap_or(Place {
        file: head.file,
        bytes: head.bytes,
    });
    let (mut bytes, mut looked_at, mut all_past) = (0, 0, true);
    let mut lines = Vec::new();
    // Files before those that are there were moved away.
    while let Some(file) = files.read(place.file)? {
        let length = file.metadata()?.len();
        while place.bytes > 0 {
            place.bytes = place.bytes.min(length);
            read_back(&file, place.bytes, &mut lines)?;
            for line in lines.split_inclusive(|byte| *byte == b'\n').rev() {
                let before = Place {
                    bytes: place.bytes - line.len() as u64,
                    ..place
                };
                let record = Line::read(line).map(|line| line.record);
                let judged = record.map_or(Match::Unwanted, |record| query.judge(record));
                all_past &= judged == Match::Past;
                match judged {
                    Match::Past | Match::Unwanted => {}
                    Match::Wanted => {
                        let record = record.unwrap_or_default();
                        bytes += record.len() + 1;
                        if bytes > query.most_bytes && !page.records.is_empty() {
                            page.before = Some(place);
                            return Ok(page);
                        }
                        page.records.push(record.to_owned());
                    }
                }
                place = before;
                looked_at += line.len() as u64;
                if page.records.len() >= usize::from(query.limit) || looked_at >= LOOKED_AT {
                    let more = !all_past && (place.bytes > 0 || place.file > 1);
                    page.before = more.then_some(place);
                    return Ok(page);
                }
            }
        }
        place = Place {
            file: place.file - 1,
            bytes: u64::MAX,
        };
    }
    Ok(page)
}

/// Reads the last whole lines before `end`, at least one.
fn read_back(file: &File, end: u64, lines: &mut Vec<u8>) -> io::Result<()> {
    let mut size = READ;
    loop {
        let from = end.saturating_sub(size);
        let length = usize::try_from(end - from).map_err(io::Error::other)?;
        lines.resize(length, 0);
        file.read_exact_at(lines, from)?;
        if from == 0 {
            return Ok(());
        }
        // What the first line feed ends may have begun before.
        let first = lines.iter().position(|byte| *byte == b'\n').map_or(length, |at| at + 1);
        if first < length {
            lines.drain(..first);
            return Ok(());
        }
        size *= 2;
    }
}
