//! An adoption, as a tenant's object takes part in it: tables beside those of `patchbay_sql`, in the same database.
//!
//! `frozen` is a row in the object of the tenant whose things are given away, for as long as an adoption is under way: it
//! then refuses every change. What has arrived at the object of the tenant that gets them waits in `arrived`, where nobody
//! sees it; it is there only for the run in `expected`. `adopted` is what the last adoption came to. All of them may be in the
//! same object.

use std::ops::ControlFlow;

use patchbay_core::adoption::apart::{Ask, Decided, InTheWay, Part, Run, Told};
use patchbay_core::adoption::{Adopted, Conflicts, NewOwner, Refusal};
use patchbay_core::identity::Authentication;
use patchbay_core::model::{Caller, ConnectionId, KeyId, Sealed, Subject};
use patchbay_core::rotation::Counted;
use patchbay_core::store::StoreError;
use patchbay_sql::adoption::{self, apart};
use patchbay_sql::database::{Row, Statements, Value, all, blob, first, int, text};

use crate::directory::tenant;
use crate::protocol::{decode, encode};

/// Parts that are in memory at a time.
const AT_ONCE: i64 = 16;
/// Connections that are taken away in one transaction.
const LEAVING_AT_ONCE: u16 = 1_000;

/// A step of the outbox's schema, so that a program which knows no freeze, as there is after a deploy was taken back, serves
/// no tenant that may have one: what it changed would be lost.
pub(crate) const TABLES: &[&str] = &[
    // over: 1 once it has ended, of which the last is kept.
    "CREATE TABLE frozen (
        one INTEGER PRIMARY KEY CHECK (one = 1), over INTEGER NOT NULL, adoption BLOB NOT NULL, run BLOB NOT NULL,
        tenant TEXT NOT NULL, subject TEXT NOT NULL) STRICT",
    // Every run that was ever expected or is not to be; open: 1 where it is. rehearsal: 1 or 0.
    "CREATE TABLE expected (
        run BLOB NOT NULL PRIMARY KEY, open INTEGER NOT NULL, rehearsal INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE UNIQUE INDEX expected_open ON expected (open) WHERE open = 1",
    // what: its place in the order of arrival. key_id: of a connection.
    "CREATE TABLE arrived (what TEXT NOT NULL PRIMARY KEY, key_id TEXT, part BLOB NOT NULL) STRICT",
    "CREATE INDEX arrived_by_key ON arrived (key_id)",
    "CREATE TABLE adopted (
        one INTEGER PRIMARY KEY CHECK (one = 1), adoption BLOB NOT NULL,
        connections INTEGER NOT NULL, workspaces INTEGER NOT NULL, left_out INTEGER NOT NULL) STRICT",
];

const FROZEN: &str = "SELECT adoption, run, tenant, subject FROM frozen WHERE one = 1 AND over = 0";
/// `?1` the adoption.
const IS_OVER: &str = "SELECT 1 FROM frozen WHERE one = 1 AND over = 1 AND adoption = ?1";
const FREEZE: &str = "INSERT INTO frozen (one, over, adoption, run, tenant, subject) VALUES (1, 0, ?1, ?2, ?3, ?4)
    ON CONFLICT (one) DO UPDATE SET over = excluded.over, adoption = excluded.adoption, run = excluded.run,
      tenant = excluded.tenant, subject = excluded.subject";
/// `?1` the adoption.
const THAW: &str = "UPDATE frozen SET over = 1 WHERE one = 1 AND adoption = ?1";
/// `?1` the run.
const THAW_AFTER: &str = "UPDATE frozen SET over = 1 WHERE one = 1 AND run = ?1";
/// `?1` the run: whether it is expected still.
const EXPECTED: &str = "SELECT open FROM expected WHERE run = ?1";
/// Whether what is expected is a rehearsal.
const OPEN: &str = "SELECT rehearsal FROM expected WHERE open = 1";
/// `?1` the run, `?2` whether it is a rehearsal.
const EXPECT: &str = "INSERT INTO expected (run, open, rehearsal) VALUES (?1, 1, ?2)";
/// `?1` the run.
const EXPECT_NEVER: &str = "INSERT INTO expected (run, open, rehearsal) VALUES (?1, 0, 0)
    ON CONFLICT (run) DO UPDATE SET open = 0";
const EXPECT_NONE: &str = "UPDATE expected SET open = 0 WHERE open = 1";
const ARRIVE: &str = "INSERT INTO arrived (what, key_id, part) VALUES (?1, ?2, ?3)
    ON CONFLICT (what) DO UPDATE SET key_id = excluded.key_id, part = excluded.part";
/// `?1` what to start after, `?2` how many.
const ARRIVED: &str = "SELECT what, part FROM arrived WHERE what > ?1 ORDER BY what LIMIT ?2";
/// `?1` what.
const ARRIVED_AS: &str = "SELECT part FROM arrived WHERE what = ?1";
const ARRIVED_BY_KEY: &str = "SELECT key_id, count(*) FROM arrived WHERE key_id >= '' GROUP BY key_id";
const DROP_ARRIVED: &str = "DELETE FROM arrived WHERE what >= ''";
/// `?1` the adoption.
const ADOPTED: &str = "SELECT connections, workspaces, left_out FROM adopted WHERE one = 1 AND adoption = ?1";
const SET_ADOPTED: &str = "INSERT INTO adopted (one, adoption, connections, workspaces, left_out)
    VALUES (1, ?1, ?2, ?3, ?4) ON CONFLICT (one) DO UPDATE SET adoption = excluded.adoption,
      connections = excluded.connections, workspaces = excluded.workspaces, left_out = excluded.left_out";

struct Frozen {
    run: Run,
    to: NewOwner,
}

fn frozen(statements: &dyn Statements) -> Result<Option<Frozen>, StoreError> {
    first(statements, FROZEN, &[], |row| {
        let subject = Subject::new(text(row, 3)?).map_err(|_| damaged())?;
        Ok(Frozen {
            run: Run {
                adoption: number(row, 0)?,
                run: number(row, 1)?,
            },
            to: NewOwner {
                tenant: tenant(text(row, 2)?)?,
                subject,
            },
        })
    })
}

fn number(row: &dyn Row, column: usize) -> Result<u64, StoreError> {
    let bytes = blob(row, column)?.try_into().map_err(|_| damaged())?;
    Ok(u64::from_be_bytes(bytes))
}

fn damaged() -> StoreError {
    StoreError::Damaged("a stored adoption is not one that this version writes".into())
}

/// Refuses a change while an adoption is under way.
pub(crate) fn refuse_while_frozen(statements: &dyn Statements) -> Result<(), StoreError> {
    match frozen(statements)? {
        None => Ok(()),
        Some(_) => Err(StoreError::Busy(
            "the tenant changes nothing while an adoption is under way".into(),
        )),
    }
}

/// Does what is asked, but for [`decide`], which may undo what it did.
pub(crate) fn perform(statements: &dyn Statements, ask: &Ask) -> Result<Told, StoreError> {
    let anonymous = Authentication::anonymous();
    Ok(match ask {
        Ask::Freeze(to, run) => freeze(statements, to, *run)?,
        Ask::Begun => Told::UnderWay(frozen(statements)?.map(|frozen| frozen.to)),
        Ask::Leaving(after, most) => Told::Parts(apart::leaving(statements, &anonymous, after.as_ref(), *most)?),
        Ask::Conflicts(run, crosses) => Told::InTheWay(conflicts(statements, *run, *crosses)?),
        Ask::Leave(run) => Told::Yes(leave(statements, *run)?),
        Ask::Thaw(run) => {
            statements.execute(THAW_AFTER, &[Value::Blob(&run.run.to_be_bytes())])?;
            Told::Done
        }
        Ask::Expect(run, rehearsal) => Told::Adopted(expect(statements, *run, *rehearsal)?),
        Ask::Arrive(run, parts) => Told::Yes(arrive(statements, *run, parts)?),
        Ask::Decide(..) => return Err(StoreError::Damaged("an adoption is decided by itself".into())),
        Ask::Forget(run) => {
            if is_expected(statements, *run)? {
                clear(statements)?;
            }
            statements.execute(EXPECT_NEVER, &[Value::Blob(&run.run.to_be_bytes())])?;
            Told::Adopted(adopted(statements, *run)?)
        }
    })
}

fn freeze(statements: &dyn Statements, to: &NewOwner, run: Run) -> Result<Told, StoreError> {
    let adoption = match frozen(statements)? {
        Some(frozen) if frozen.to != *to => return Ok(Told::UnderWay(Some(frozen.to))),
        Some(frozen) => frozen.run.adoption,
        // It comes late, and its adoption has ended.
        None if first(statements, IS_OVER, &[Value::Blob(&run.adoption.to_be_bytes())], |_| {
            Ok(())
        })?
        .is_some() =>
        {
            return Ok(Told::UnderWay(None));
        }
        None => run.adoption,
    };
    let (id, number) = (adoption.to_be_bytes(), run.run.to_be_bytes());
    let (tenant, subject) = (to.tenant.as_str().into(), to.subject.as_str().into());
    statements.execute(FREEZE, &[Value::Blob(&id), Value::Blob(&number), tenant, subject])?;
    Ok(Told::Frozen(Run { adoption, ..run }))
}

/// Without the freeze of this adoption there is nothing that it may take away.
fn leave(statements: &dyn Statements, run: Run) -> Result<bool, StoreError> {
    if frozen(statements)?.is_none_or(|frozen| frozen.run.adoption != run.adoption) {
        return Ok(false);
    }
    let more = apart::leave(statements, &Authentication::anonymous(), LEAVING_AT_ONCE)?;
    if !more {
        statements.execute(THAW, &[Value::Blob(&run.adoption.to_be_bytes())])?;
    }
    Ok(more)
}

/// What is in the way where things are given away, to another tenant if it `crosses`; `None` where another run has frozen
/// since, or ended the freeze. A rehearsal has no freeze.
fn conflicts(statements: &dyn Statements, run: Option<Run>, crosses: bool) -> Result<Option<InTheWay>, StoreError> {
    if let Some(run) = run
        && frozen(statements)?.is_none_or(|frozen| frozen.run != run)
    {
        return Ok(None);
    }
    apart::in_the_way(statements, &Authentication::anonymous(), crosses).map(Some)
}

fn is_expected(statements: &dyn Statements, run: Run) -> Result<bool, StoreError> {
    Ok(expected(statements, run)? == Some(1))
}

fn expected(statements: &dyn Statements, run: Run) -> Result<Option<i64>, StoreError> {
    first(statements, EXPECTED, &[Value::Blob(&run.run.to_be_bytes())], |row| {
        int(row, 0)
    })
}

fn adopted(statements: &dyn Statements, run: Run) -> Result<Option<Adopted>, StoreError> {
    first(
        statements,
        ADOPTED,
        &[Value::Blob(&run.adoption.to_be_bytes())],
        |row| {
            let count = |column| int(row, column).map(i64::unsigned_abs);
            Ok(Adopted {
                connections: count(0)?,
                workspaces: count(1)?,
                left_out: count(2)?,
            })
        },
    )
}

fn expect(statements: &dyn Statements, run: Run, rehearsal: bool) -> Result<Option<Adopted>, StoreError> {
    let adopted = adopted(statements, run)?;
    let in_use = first(statements, OPEN, &[], |row| int(row, 0))? == Some(0);
    if adopted.is_some() {
        if is_expected(statements, run)? {
            clear(statements)?;
        }
    } else if expected(statements, run)?.is_none() && !(rehearsal && in_use) {
        clear(statements)?;
        let params = [Value::Blob(&run.run.to_be_bytes()), i64::from(rehearsal).into()];
        statements.execute(EXPECT, &params)?;
    }
    Ok(adopted)
}

/// Drops whatever has arrived.
pub(crate) fn clear(statements: &dyn Statements) -> Result<(), StoreError> {
    statements.execute(DROP_ARRIVED, &[])?;
    statements.execute(EXPECT_NONE, &[])
}

/// Where a part stands in the order of arrival.
fn place(part: &Part) -> String {
    match part {
        Part::Counter(_) => "1".into(),
        Part::Workspace(workspace, _) => format!("2 {}", workspace.id),
        Part::Connection(record, _) => of_connection(record.id),
    }
}

fn of_connection(id: ConnectionId) -> String {
    format!("3 {id}")
}

fn arrive(statements: &dyn Statements, run: Run, parts: &[Part]) -> Result<bool, StoreError> {
    if !is_expected(statements, run)? {
        return Ok(false);
    }
    for part in parts {
        let key = match part {
            Part::Connection(record, _) => Some(record.sealed.key_id.as_str()),
            _ => None,
        };
        let (what, stored) = (place(part), encode(part));
        statements.execute(ARRIVE, &[what.as_str().into(), key.into(), Value::Blob(&stored)])?;
    }
    Ok(true)
}

/// How many connections each key seals that have arrived and are not handed over yet.
pub(crate) fn count(statements: &dyn Statements) -> Result<Counted, StoreError> {
    let mut counted = Counted::default();
    statements.query(ARRIVED_BY_KEY, &[], &mut |row| {
        let key = KeyId::new(text(row, 0)?).map_err(|_| damaged())?;
        counted.under.insert(key, int(row, 1)?.unsigned_abs());
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(counted)
}

/// Why a transaction that hands over is not kept.
pub(crate) enum Unkept {
    Failed(StoreError),
    Refused(Refusal),
    /// It was a rehearsal.
    Rehearsed(Adopted),
    /// It was one, and what it rehearsed has changed meanwhile.
    Changed,
}

impl From<StoreError> for Unkept {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl From<Refusal> for Unkept {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Unkept {
    /// What is told of it, once what has arrived is [cleared](clear) away.
    pub(crate) fn decided(self) -> Result<Decided, StoreError> {
        match self {
            Self::Failed(error) => Err(error),
            Self::Refused(refusal) => Ok(Decided::Refused(refusal.to_string())),
            Self::Rehearsed(adopted) => Ok(Decided::Adopted(adopted)),
            Self::Changed => Ok(Decided::Overtaken),
        }
    }
}

/// [`Ask::Decide`]. `there` is what only the other object sees.
pub(crate) fn decide(
    statements: &dyn Statements,
    to: &NewOwner,
    run: Run,
    there: InTheWay,
    rehearsal: bool,
) -> Result<Decided, Unkept> {
    if let Some(adopted) = adopted(statements, run)? {
        return Ok(Decided::Adopted(adopted));
    }
    if !is_expected(statements, run)? {
        return Ok(Decided::Overtaken);
    }
    let handed_over = hand_over(statements, to, there.conflicts);
    if rehearsal {
        return Err(match handed_over {
            Ok(adopted) => Unkept::Rehearsed(adopted),
            // Nothing is frozen, so parts of different moments may have arrived.
            Err(Unkept::Failed(StoreError::Damaged(_))) => Unkept::Changed,
            Err(unkept) => unkept,
        });
    }
    let adopted = handed_over?;
    // What is not here would be taken away there.
    if adopted.connections != there.connections {
        let why = format!(
            "{} of {} connections have arrived",
            adopted.connections, there.connections
        );
        return Err(StoreError::Damaged(why).into());
    }
    let id = run.adoption.to_be_bytes();
    let counts = [adopted.connections, adopted.workspaces, adopted.left_out];
    let [connections, workspaces, left_out] = counts.map(|count| Value::Int(count.cast_signed()));
    statements.execute(SET_ADOPTED, &[Value::Blob(&id), connections, workspaces, left_out])?;
    clear(statements)?;
    Ok(Decided::Adopted(adopted))
}

fn hand_over(statements: &dyn Statements, to: &NewOwner, conflicts: Conflicts) -> Result<Adopted, Unkept> {
    let from = to.previous()?;
    let crosses = from.tenant != to.tenant;
    // Within a tenant it is all there, but for what the new owner's details are sealed to.
    if crosses {
        put_in_place(statements, &from)?;
    }
    adoption::hand_over(statements, &from, to, conflicts, &mut |record| match crosses {
        true => Ok(record.sealed),
        false => Ok(sealed(statements, record.id)?),
    })
}

fn put_in_place(statements: &dyn Statements, from: &Caller) -> Result<(), StoreError> {
    let mut last = String::new();
    loop {
        let parts = all(statements, ARRIVED, &[last.as_str().into(), AT_ONCE.into()], |row| {
            Ok((text(row, 0)?.to_owned(), decode(blob(row, 1)?)?))
        })?;
        let Some((what, _)) = parts.last() else { return Ok(()) };
        last.clone_from(what);
        for (_, part) in parts {
            apart::arrive(statements, from, part)?;
        }
    }
}

/// How a connection is sealed for its new owner.
fn sealed(statements: &dyn Statements, id: ConnectionId) -> Result<Sealed, StoreError> {
    let what = of_connection(id);
    match first(statements, ARRIVED_AS, &[what.as_str().into()], |row| {
        decode(blob(row, 0)?)
    })? {
        Some(Part::Connection(record, _)) => Ok(record.sealed),
        _ => Err(StoreError::Damaged(format!(
            "connection {id} is adopted, and has not arrived"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_statement_scans_a_table() {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        for sql in TABLES {
            connection.execute_batch(sql).unwrap();
        }
        for sql in [
            FROZEN,
            IS_OVER,
            FREEZE,
            THAW,
            THAW_AFTER,
            EXPECTED,
            OPEN,
            EXPECT,
            EXPECT_NEVER,
            EXPECT_NONE,
            ARRIVE,
            ARRIVED,
            ARRIVED_AS,
            ARRIVED_BY_KEY,
            DROP_ARRIVED,
            ADOPTED,
            SET_ADOPTED,
        ] {
            let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let nulls = vec![rusqlite::types::Null; plan.parameter_count()];
            let mut rows = plan.query(rusqlite::params_from_iter(nulls)).unwrap();
            while let Some(row) = rows.next().unwrap() {
                let step: String = row.get(3).unwrap();
                assert!(!step.contains("SCAN "), "{sql}: {step}");
            }
        }
    }
}
