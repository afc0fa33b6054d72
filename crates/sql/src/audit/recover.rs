//! The trail at a start: where it ends, and what it lacks.

use std::fs::File;
use std::io;
use std::path::Path;

use rusqlite::Connection;

use super::appender::Appender;
use super::files::Files;
use super::line::Line;
use super::{Head, Link, Row};
use crate::database::Database as _;
use crate::driver::Driver;
use crate::folder::OpenError;

/// The trail of a data folder, ready to be appended to.
pub(crate) struct Recovered {
    pub(crate) appender: Appender,
    /// Rows that it lacks.
    pub(crate) rows: Vec<Row>,
    /// What the log should say.
    pub(crate) notes: Vec<String>,
}

/// Finds the end of the trail, from the head on that the database has. What follows the last whole line but was not written
/// to its end, as a power cut leaves it, was never acknowledged and is cut off; a whole line never is, also behind damage.
/// Where the trail does not come as far as the head, nothing is touched: a new file goes on after the head, and the gap
/// stays to be seen. Needs the folder's lock.
pub(crate) fn recover(data: &Path, connection: &Connection, file_bytes: u64) -> Result<Recovered, OpenError> {
    let files = Files::of(data);
    let wrong = |error| OpenError::Database {
        path: data.join(crate::folder::DATABASE_FILE),
        error,
    };
    let known = Head::read(&Driver(connection)).map_err(wrong)?;
    let mut notes = Vec::new();
    let (file, head) = end(&files, known, &mut notes).map_err(|error| OpenError::Io {
        path: files.folder().to_owned(),
        error,
    })?;
    let rows = connection.transaction(|statements| {
        // So that no row's number is given again: the trail may be ahead of a database that was restored.
        head.keep(statements)?;
        Row::after(statements, head.row)
    });
    Ok(Recovered {
        appender: Appender::new(files, file, head, file_bytes),
        rows: rows.map_err(wrong)?,
        notes,
    })
}

/// Where the trail ends, and the file to go on in if it is not to be the next one.
fn end(files: &Files, known: Head, notes: &mut Vec<String>) -> io::Result<(Option<File>, Head)> {
    let (numbers, _) = files.list()?;
    let Some((&first, &last)) = numbers.first().zip(numbers.last()) else {
        if known.link.number > 0 {
            notes.push(gap(known));
        }
        return Ok((None, known));
    };
    // The head may be in a file that was moved away: of a database that was restored.
    let unknown = known.link == Link::default() || known.file < first;
    if !unknown && !files.ends_at(known.file, known.bytes, known.link)? {
        notes.push(gap(known));
        let file = known.file.max(last);
        return Ok((None, Head { file, ..known }));
    }
    let mut head = if unknown {
        Head {
            file: first,
            bytes: 0,
            ..known
        }
    } else {
        known
    };
    let begin = head.file;
    for number in numbers.into_iter().filter(|number| *number >= begin) {
        let from = if number == begin { head.bytes } else { 0 };
        head = Head {
            file: number,
            bytes: from,
            ..head
        };
        let mut broken = false;
        files.lines(number, from, |at, bytes| {
            // Whether a line follows the one before is for `verify` to say, and what is broken before a whole one.
            match Line::read(bytes) {
                Some(line) => {
                    broken = false;
                    head.link = line.link;
                    head.row = line.row.unwrap_or(0).max(head.row);
                    head.bytes = at + bytes.len() as u64;
                }
                None => broken = true,
            }
        })?;
        if broken && number == last {
            let file = files.open(number)?;
            let lost = file.metadata()?.len().saturating_sub(head.bytes);
            file.set_len(head.bytes)?;
            file.sync_data()?;
            notes.push(format!(
                "the last {lost} bytes of {} were not written to their end, and nothing of them was acknowledged: they are \
                 cut off",
                files.path(number).display()
            ));
        }
    }
    Ok((Some(files.open(last)?), head))
}

fn gap(known: Head) -> String {
    format!(
        "the audit trail does not come as far as line {}, which the database knows; it goes on after that in a new file, \
         and `patchbay audit verify` says what is missing",
        known.link.number
    )
}
