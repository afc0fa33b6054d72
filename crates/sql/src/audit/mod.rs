//! The audit trail of the native home: an append-only file of JSON lines with a hash chain.
//!
//! The trail is in the data folder's `audit`, in files `000001.jsonl`, `000002.jsonl`, …, one after the other. A line is
//!
//! ```json
//! {"number":7,"previous":"<64 hex digits>","row":3,"record":{…},"hash":"<64 hex digits>"}
//! ```
//!
//! - `number`: 1 for the trail's first line, then one more each, over all files.
//! - `previous`: the `hash` of the line before, over all files; 64 zeros in the first.
//! - `row`: there for a change, whose record was a row of the database, with this number, before it came here. Over a
//!   database that was restored numbers may come again.
//! - `record`: see [`patchbay_core::audit::Record::to_json`].
//! - `hash`: the SHA-256, in lower case, of the line's bytes before `,"hash":`.
//!
//! The **head** is what the last line is known by: its number and hash, and where it ends. The writer keeps it in the
//! database with each commit and at least every second, so that a trail whose end is cut off is found out. It is kept
//! after the lines are on disk: the trail may be longer than the head says, never shorter.
//!
//! A change's row is committed with the change. The trail's thread appends its line and syncs, and only then is the
//! change acknowledged; rows that the head covers are deleted. Whatever row is still there at a start, or when another
//! database is put in the place of its own, and in no line is appended then.

mod appender;
mod files;
mod line;
mod list;
mod recover;
mod trail;
mod verify;

use std::iter::Peekable;
use std::vec;

use patchbay_core::store::StoreError;

use self::line::Line;
use crate::database::{Statements, Value, all, blob, first, int, text};
use crate::facts::damaged;
use crate::statements as sql;

pub(crate) use recover::{append_rest, recover};
pub(crate) use trail::{Kept, Trail, TrailThread};
pub use verify::{Problem, Verified, VerifyError, verify};

/// A place in the chain: the last line's number and hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Link {
    /// 0 before the first line.
    pub(crate) number: u64,
    pub(crate) hash: [u8; 32],
}

/// What the database knows of the trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Head {
    pub(crate) link: Link,
    /// The file that the line is in, 0 where there is none.
    pub(crate) file: u32,
    /// Where it ends in that file.
    pub(crate) bytes: u64,
    /// The last row that is in the trail.
    pub(crate) row: i64,
}

/// The record of a change, as a row of the database.
#[derive(Debug)]
pub(crate) struct Row {
    seq: i64,
    record: String,
}

impl Row {
    /// Adds a record as the newest row.
    pub(crate) fn add(statements: &dyn Statements, record: String) -> Result<Self, StoreError> {
        let seq = first(statements, sql::ADD_AUDIT, &[record.as_str().into()], |row| int(row, 0))?;
        Ok(Self {
            seq: seq.ok_or_else(|| damaged("audit"))?,
            record,
        })
    }
}

/// Rows of which it has to be seen whether the trail has them, in their order, which is that of their lines.
struct Waiting(Peekable<vec::IntoIter<Row>>);

impl Waiting {
    /// Those after a row.
    fn after(statements: &dyn Statements, seq: i64) -> Result<Self, StoreError> {
        let rows = all(statements, sql::AUDIT_AFTER, &[seq.into()], |row| {
            Ok(Row {
                seq: int(row, 0)?,
                record: text(row, 1)?.to_owned(),
            })
        })?;
        Ok(Self(rows.into_iter().peekable()))
    }

    /// Takes the first of them out where this is its line, and gives its number. A line with its number and another record
    /// is not: what stands behind the head may be anybody's.
    fn meet(&mut self, line: &Line<'_>) -> Option<i64> {
        let met = self
            .0
            .next_if(|row| line.row == Some(row.seq) && line.record == row.record);
        met.map(|row| row.seq)
    }
}

impl Head {
    /// The one that the database keeps; the default where there is no trail yet.
    pub(crate) fn read(statements: &dyn Statements) -> Result<Self, StoreError> {
        fn fits<T, U: TryFrom<T>>(value: T) -> Result<U, StoreError> {
            U::try_from(value).map_err(|_| damaged("audit head"))
        }
        let read = first(statements, sql::AUDIT_HEAD, &[], |row| {
            Ok(Self {
                link: Link {
                    number: fits(int(row, 0)?)?,
                    hash: fits(blob(row, 1)?)?,
                },
                file: fits(int(row, 2)?)?,
                bytes: fits(int(row, 3)?)?,
                row: int(row, 4)?,
            })
        })?;
        Ok(read.unwrap_or_default())
    }

    /// It, and the rows that it does not cover.
    fn read_with_rows(statements: &dyn Statements) -> Result<(Self, Waiting), StoreError> {
        let head = Self::read(statements)?;
        Ok((head, Waiting::after(statements, head.row)?))
    }

    /// Keeps it, and deletes the rows that it covers.
    pub(crate) fn keep(&self, statements: &dyn Statements) -> Result<(), StoreError> {
        let stored = |value: u64| Value::Int(i64::try_from(value).unwrap_or(i64::MAX));
        let params = [
            stored(self.link.number),
            Value::Blob(&self.link.hash),
            i64::from(self.file).into(),
            stored(self.bytes),
            self.row.into(),
        ];
        statements.execute(sql::SET_AUDIT_HEAD, &params)?;
        statements.execute(sql::DELETE_AUDIT, &[self.row.into()])
    }
}
