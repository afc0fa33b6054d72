//! Whether what is stored is whole: SQLite's own checks, the contract's limits, and every record opened.

use std::ops::ControlFlow;
use std::path::Path;

use patchbay_core::limits;
use patchbay_core::model::{AttachmentId, ConnectionId, Subject, Tenant, Timestamp};
use patchbay_core::portable;
use patchbay_core::seal::{KeyRing, OpenError as SealedError};
use patchbay_core::store::StoreError;
use rusqlite::Connection;

use crate::database::{Database as _, Row, Statements, Value, int, text};
use crate::driver::store_error;
use crate::facts::{email_beside, record, role, subject, uuid, workspace, workspace_id};
use crate::folder::{self, OpenError};
use crate::statements as sql;

/// Problems that a report names; further ones are counted.
const NAMED: usize = 100;

/// What a check found.
#[derive(Debug, Default)]
pub struct Report {
    /// Workspaces seen.
    pub workspaces: u64,
    /// Memberships seen.
    pub members: u64,
    /// Connections seen.
    pub connections: u64,
    /// Attachments seen.
    pub attachments: u64,
    /// The first problems, a sentence each, without anything secret.
    pub problems: Vec<String>,
    /// Problems beyond those.
    pub more: u64,
    /// How many of all problems are that a key is not in the ring. A backup helps against the others alone.
    pub missing_keys: u64,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// How many problems are not that a key is missing.
    pub fn damages(&self) -> u64 {
        let named = u64::try_from(self.problems.len()).unwrap_or(u64::MAX);
        named.saturating_add(self.more).saturating_sub(self.missing_keys)
    }

    fn problem(&mut self, problem: String) {
        if self.problems.len() < NAMED {
            self.problems.push(problem);
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    /// Notes what went wrong in reading `what`.
    fn note<T>(&mut self, what: &str, read: Result<T, StoreError>) -> Option<T> {
        read.map_err(|error| self.problem(format!("{what}: {error}"))).ok()
    }
}

/// Checks one state of the folder's database, beside a server that may be running. Writes nothing. What is wrong is in
/// the report.
///
/// # Errors
/// Where there is no whole database of this version to check.
pub fn check(data: &Path, ring: &KeyRing) -> Result<Report, OpenError> {
    let connection = folder::open_beside(data)?;
    let mut report = Report::default();
    let checked = connection.transaction(|statements| {
        let current = folder::require_current(data, statements);
        if let Err(error) = current.and_then(|()| folder::require_whole(data, statements)) {
            return Ok::<_, StoreError>(Err(error));
        }
        integrity(&connection, &mut report);
        let walked = workspaces(statements, &mut report)
            .and_then(|()| members(statements, &mut report))
            .and_then(|()| connections(statements, ring, &mut report))
            .and_then(|()| attachments(statements, &mut report))
            .and_then(|()| counters(statements, &mut report));
        report.note("the database", walked);
        Ok(Ok(()))
    });
    match checked {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(error),
        Err(error) => report.problem(format!("the database: {error}")),
    }
    Ok(report)
}

/// SQLite's own checks.
fn integrity(connection: &Connection, report: &mut Report) {
    let mut pragma = |sql: &str, describe: fn(&rusqlite::Row<'_>) -> rusqlite::Result<Option<String>>| {
        let found = connection
            .prepare(sql)
            .and_then(|mut check| check.query_map([], describe)?.collect::<Result<Vec<_>, _>>());
        let found = report.note("the database", found.map_err(store_error));
        for problem in found.into_iter().flatten().flatten() {
            report.problem(problem);
        }
    };
    pragma("PRAGMA integrity_check", |row| {
        let found: String = row.get(0)?;
        Ok((found != "ok").then(|| format!("the file: {}", found.replace('\n', " "))))
    });
    pragma("PRAGMA foreign_key_check", |row| {
        let (table, parent): (String, String) = (row.get(0)?, row.get(2)?);
        // Attachments without their connection are named by their ids below.
        Ok((table != "attachment" || parent != "connection")
            .then(|| format!("a row of the table {table} refers to a row of {parent} that does not exist")))
    });
}

/// Hands every row of `sql` to `check`, which notes what is wrong and goes on.
fn walk(
    statements: &dyn Statements,
    sql: &'static str,
    params: &[Value<'_>],
    mut check: impl FnMut(&dyn Row) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    statements.query(sql, params, &mut |row| check(row).map(ControlFlow::Continue))
}

fn tenant(row: &dyn Row, column: usize) -> Result<Tenant, StoreError> {
    Tenant::new(text(row, column)?).map_err(|_| crate::facts::damaged("tenant"))
}

fn created_at(what: &str, created_at: Timestamp, report: &mut Report) {
    if !portable::moment_fits(created_at) {
        report.problem(format!("{what}: it was not made from 1970 to 2255"));
    }
}

fn workspaces(statements: &dyn Statements, report: &mut Report) -> Result<(), StoreError> {
    walk(statements, sql::EVERY_WORKSPACE, &[], |row| {
        report.workspaces += 1;
        let id = int(row, 0)?;
        let what = format!("workspace {id}");
        let read = tenant(row, 4).and_then(|tenant| Ok((tenant, workspace(row)?)));
        let Some((tenant, workspace)) = report.note(&what, read) else {
            return Ok(());
        };
        let what = format!("workspace {id} of tenant {tenant}");
        created_at(&what, workspace.created_at, report);
        if !portable::name_fits(&workspace) {
            report.problem(format!("{what}: its name is kept for another id"));
        }
        // `open` mode names by the id it is given, the counter gives out ids in order.
        if workspace.name.as_str() != format!("workspace-{id}") && id > int(row, 5)? {
            report.problem(format!("{what}: the tenant's counter has not come to its id"));
        }
        let mut members = 0_usize;
        let params = [Value::Text(tenant.as_str()), Value::Int(id)];
        walk(statements, sql::MEMBERS, &params, |_| {
            members += 1;
            Ok(())
        })?;
        if members > limits::MEMBERS_PER_WORKSPACE {
            report.problem(format!(
                "{what}: it has {members} members, {} are the limit",
                limits::MEMBERS_PER_WORKSPACE
            ));
        }
        Ok(())
    })
}

fn members(statements: &dyn Statements, report: &mut Report) -> Result<(), StoreError> {
    // Rows of one person follow each other.
    let mut last: Option<(Tenant, i64, Subject)> = None;
    let mut of_last = 0_usize;
    walk(statements, sql::EVERY_MEMBER, &[], |row| {
        report.members += 1;
        let what = format!("a member of workspace {}", int(row, 4)?);
        let read = || Ok((tenant(row, 3)?, int(row, 0)?, subject(text(row, 1)?)?));
        let Some(person) = report.note(&what, read()) else {
            return Ok(());
        };
        let named = role(int(row, 2)?).and_then(|role| role.ok_or_else(|| crate::facts::damaged("role")));
        report.note(&what, named);
        report.note(&what, workspace_id(int(row, 4)?));
        let beside = report.note(&what, email_beside(row, 5)).flatten();
        let email = if person.1 == 1 {
            Some(&person.2)
        } else {
            beside.as_ref()
        };
        if email.is_some_and(|email| !portable::is_lower_case(email)) {
            report.problem(format!("{what}: an e-mail address is not in lower case"));
        }
        of_last = if last.as_ref() == Some(&person) { of_last + 1 } else { 1 };
        if of_last == limits::WORKSPACES_PER_PERSON + 1 {
            report.problem(format!(
                "{what}: somebody of tenant {} is in more than {} workspaces",
                person.0,
                limits::WORKSPACES_PER_PERSON
            ));
        }
        last = Some(person);
        Ok(())
    })
}

fn connections(statements: &dyn Statements, ring: &KeyRing, report: &mut Report) -> Result<(), StoreError> {
    walk(statements, sql::EVERY_CONNECTION, &[], |row| {
        report.connections += 1;
        let what = match uuid(row, 0) {
            Ok(id) => format!("connection {}", ConnectionId::from_bytes(id)),
            Err(_) => "a connection".into(),
        };
        let mut attached = 0_usize;
        walk(statements, sql::ATTACHMENTS, &[int(row, 8)?.into()], |_| {
            attached += 1;
            Ok(())
        })?;
        if attached > limits::WORKSPACES_PER_CONNECTION {
            report.problem(format!(
                "{what}: it is in {attached} workspaces, {} are the limit",
                limits::WORKSPACES_PER_CONNECTION
            ));
        }
        let read = || Ok((tenant(row, 7)?, record(row, subject(text(row, 3)?)?)?));
        let Some((tenant, record)) = report.note(&what, read()) else {
            return Ok(());
        };
        created_at(&what, record.created_at, report);
        if let Err(error) = ring.open(&tenant, &record) {
            if matches!(error, SealedError::MissingKey(_)) {
                report.missing_keys = report.missing_keys.saturating_add(1);
            }
            report.problem(format!("{what}: {error}"));
        }
        Ok(())
    })
}

fn attachments(statements: &dyn Statements, report: &mut Report) -> Result<(), StoreError> {
    walk(statements, sql::EVERY_ATTACHMENT, &[], |row| {
        report.attachments += 1;
        let what = match uuid(row, 0) {
            Ok(id) => format!("attachment {}", AttachmentId::from_bytes(id)),
            Err(_) => "an attachment".into(),
        };
        report.note(&what, workspace_id(int(row, 1)?));
        match row.value(2)? {
            Value::Int(1) => {}
            Value::Null => report.problem(format!("{what}: its connection does not exist")),
            _ => report.problem(format!("{what}: its tenant or name is not that of its connection")),
        }
        Ok(())
    })
}

fn counters(statements: &dyn Statements, report: &mut Report) -> Result<(), StoreError> {
    walk(statements, sql::EVERY_COUNTER, &[], |row| {
        let read = tenant(row, 0).and_then(|_| workspace_id(int(row, 1)?));
        report.note("a counter of workspaces", read);
        Ok(())
    })
}
