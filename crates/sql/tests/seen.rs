//! What a list costs follows what is seen, not what is stored: SQLite's own count of its steps says so.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::cell::Cell;
use std::ops::ControlFlow;

use patchbay_core::model::{Caller, Timestamp};
use patchbay_core::store::{AttachOutcome, CreateOutcome, CreateWorkspaceOutcome, ListOutcome, ListQuery, StoreError};
use patchbay_sql::database::{Database as _, EachRow, Row, Statements, Value};
use patchbay_sql::{connections, schema, workspaces};
use patchbay_testkit::sample::{all, attach, caller, name, record};
use rusqlite::types::{Value as Bound, ValueRef};
use rusqlite::{Connection, StatementStatus};

const WORKSPACES: usize = 50;
/// Connections in those, evenly.
const SEEN: usize = 500;

/// Counts the steps of SQLite's virtual machine.
struct Counting<'c> {
    connection: &'c Connection,
    steps: Cell<i64>,
}

struct Fetched(Vec<Bound>);

impl Row for Fetched {
    fn value(&self, column: usize) -> Result<Value<'_>, StoreError> {
        Ok(match ValueRef::from(self.0.get(column).unwrap()) {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(value) => Value::Int(value),
            ValueRef::Text(value) => Value::Text(std::str::from_utf8(value).unwrap()),
            ValueRef::Blob(value) => Value::Blob(value),
            ValueRef::Real(_) => unreachable!("no column holds such"),
        })
    }
}

impl Statements for Counting<'_> {
    fn execute(&self, _: &'static str, _: &[Value<'_>]) -> Result<(), StoreError> {
        unreachable!("a list changes nothing")
    }

    fn query(&self, sql: &'static str, params: &[Value<'_>], each: &mut EachRow<'_>) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare(sql).unwrap();
        let used = params
            .iter()
            .take(statement.parameter_count())
            .map(|value| match value {
                Value::Null => Bound::Null,
                Value::Int(value) => Bound::Integer(*value),
                Value::Text(value) => Bound::Text((*value).to_owned()),
                Value::Blob(value) => Bound::Blob(value.to_vec()),
            });
        let columns = statement.column_count();
        let mut rows = statement.query(rusqlite::params_from_iter(used)).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let row = Fetched((0..columns).map(|column| row.get(column).unwrap()).collect());
            if each(&row)? == ControlFlow::Break(()) {
                break;
            }
        }
        drop(rows);
        let steps = i64::from(statement.get_status(StatementStatus::VmStep));
        self.steps.set(self.steps.get() + steps);
        Ok(())
    }
}

/// A number that looks like no other.
fn scattered(number: usize) -> u128 {
    (number as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
}

/// `stored` connections of an admin. Somebody else sees [`SEEN`] of them, the same whatever `stored` is.
fn filled(stored: usize) -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    schema::migrate(&connection).unwrap();
    let (admin, somebody) = (caller("tenant", "admin", true), caller("tenant", "somebody", false));
    let fill = |statements: &dyn Statements| -> Result<(), StoreError> {
        let now = Timestamp::from_micros(0);
        let made = (0..WORKSPACES).map(|number| {
            let name = name(&format!("room {number}"));
            match workspaces::create(statements, &somebody, &name, now) {
                Ok(CreateWorkspaceOutcome::Created(id)) => id,
                other => panic!("{other:?}"),
            }
        });
        let made: Vec<_> = made.collect();
        for number in 0..stored {
            // The first of each group is seen; those that nobody sees stand between.
            let (group, within) = (number % SEEN, number / SEEN);
            let name = format!("connection {group:05} {within:05}");
            let record = record(scattered(number), &name, &admin, 64);
            assert_eq!(
                connections::create(statements, &admin, &record)?,
                CreateOutcome::Created
            );
            if within == 0 {
                let attach = attach(record.id, made[group % WORKSPACES], scattered(number));
                let attached = connections::attach(statements, &admin, &attach)?;
                assert!(matches!(attached, AttachOutcome::Attached(..)));
            }
        }
        Ok(())
    };
    connection.transaction(fill).unwrap();
    connection
}

/// The steps that a list takes, and how many rows it gives.
fn list(connection: &Connection, caller: &Caller, limit: Option<u16>) -> (i64, usize) {
    let counting = Counting {
        connection,
        steps: Cell::new(0),
    };
    let query = ListQuery { limit, ..all() };
    match connections::list(&counting, caller, &query).unwrap() {
        ListOutcome::Page { rows, .. } => (counting.steps.get(), rows.len()),
        ListOutcome::NoWorkspace => unreachable!("none is named"),
    }
}

#[test]
fn a_list_takes_as_many_steps_as_what_is_seen_needs_however_much_is_stored() {
    let (few, many) = (filled(2 * SEEN), filled(40 * SEEN));
    let somebody = caller("tenant", "somebody", false);
    for (limit, rows) in [(None, SEEN), (Some(100), 100)] {
        let (steps, seen) = list(&few, &somebody, limit);
        assert_eq!(seen, rows);
        assert_eq!(list(&many, &somebody, limit), (steps, rows), "limit {limit:?}");
    }
    // A page of everything likewise (it has fewer attachments where more is stored); everything itself is what follows.
    let admin = caller("tenant", "admin", true);
    assert!(list(&many, &admin, Some(100)).0 <= list(&few, &admin, Some(100)).0);
    assert!(list(&few, &admin, None).0 * 10 < list(&many, &admin, None).0);
}
