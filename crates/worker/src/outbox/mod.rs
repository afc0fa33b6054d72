//! Which entries KV holds, and which of them it must be told anew: tables beside those of `patchbay_sql`, in the same
//! database.
//!
//! A row of `kept` stands for an entry that KV holds, or may hold. It comes into being when a read that KV could not
//! answer asks for it. Once the entry is [good](GRACE) for no reader any more, and unless something is due for it, it is
//! forgotten when the object next writes to KV. So what is never read costs no write to KV. `due_at` says when the entry
//! is to be written next; triggers set it, so that whatever changes the tables marks the entries in the very same
//! transaction.
//!
//! A write that failed, or of which the object did not live to hear, may be done all the same, and after later ones. So
//! an entry stays due, whatever else is written or changes, until a write succeeds that began when all such were over.
//!
//! `meta` counts the moments: every change of an attachment or a membership is one. `since` has the moment of the last
//! change of a connection's attachments or of a person's memberships. By these a reader knows whether two entries were
//! true together.

mod statements;

use patchbay_core::model::{Caller, ConnectionId, KeyId, Name, Subject, Tenant, Timestamp};
use patchbay_core::rotation::Counted;
use patchbay_core::store::{ListWorkspacesOutcome, Lookup, StoreError, WorkspacesOf};
use patchbay_sql::database::{Row, Statements, Value, all, first, int, text};
use patchbay_sql::{connections, sealings, workspaces};

pub(crate) use self::statements::SCHEMA;
use self::statements::{
    COUNT_LEFT, DUE, FAILED, FORGET, FORGET_LEFT, GOOD, MOMENT, NEXT_DUE, SET_TENANT, SINCE_BY_ID, SINCE_BY_NAME,
    SINCE_OF_CALLER, TAKE, TENANT, WANT, WRITTEN,
};
use crate::entry::{Connection, Entry, Memberships, Of, Reading};

/// After so long, in microseconds, a write is over: it is done, or never will be.
const OVER_AFTER: i64 = 60_000_000;
/// How long after its lease an entry may be good for a reader, in microseconds, whatever becomes of the writes of its key:
/// the reader's clock may be late; and where readers are told of a longer lease by now, KV is what ends it, which counts
/// from the end of the write and may be late itself.
const GRACE: i64 = 2 * OVER_AFTER;
/// The longest wait before a write that failed is tried again, in seconds.
const LONGEST_WAIT: i64 = 60;

/// The entry's row: its kind, what and e-mail.
fn row(of: &Of) -> [Value<'_>; 3] {
    match of {
        Of::Connection(Lookup::Name(name)) => [Value::Int(0), name.as_str().into(), Value::Text("")],
        Of::Connection(Lookup::Id(id)) => [Value::Int(1), Value::Blob(id.as_bytes()), Value::Text("")],
        Of::Caller(subject, email) => {
            let email = email.as_ref().map_or("", Subject::as_str);
            [Value::Int(2), subject.as_str().into(), Value::Text(email)]
        }
    }
}

/// Reads `kind, what, email`.
fn of(row: &dyn Row) -> Result<Of, StoreError> {
    let damaged = || StoreError::Damaged("a row of the outbox is not one that this version writes".into());
    Ok(match (int(row, 0)?, row.value(1)?) {
        (0, Value::Text(name)) => Of::Connection(Lookup::Name(Name::new(name).map_err(|_| damaged())?)),
        (1, Value::Blob(id)) => {
            let id = id.try_into().map_err(|_| damaged())?;
            Of::Connection(Lookup::Id(ConnectionId::from_bytes(id)))
        }
        (2, Value::Text(subject)) => {
            let subject = Subject::new(subject).map_err(|_| damaged())?;
            let email = match text(row, 2)? {
                "" => None,
                email => Some(Subject::new(email).map_err(|_| damaged())?),
            };
            Of::Caller(subject, email)
        }
        _ => return Err(damaged()),
    })
}

/// The tenant whose object this is; `None` before its first write.
pub(crate) fn tenant(statements: &dyn Statements) -> Result<Option<Tenant>, StoreError> {
    first(statements, TENANT, &[], |row| crate::directory::tenant(text(row, 0)?))
}

/// Makes it the object of this tenant: of the first writes, which may come together, one does.
pub(crate) fn set_tenant(statements: &dyn Statements, tenant: &Tenant) -> Result<(), StoreError> {
    statements.execute(SET_TENANT, &[tenant.as_str().into()])
}

/// The entries from which KV could have answered this caller, after `lookup` found a connection that they see, and that
/// are to be written anew. `controls` says that they see it whatever it is attached to. An entry that was written since
/// `renew_before`, and that is new enough to go together with the other, is in order.
pub(crate) fn wanting(
    statements: &dyn Statements,
    caller: &Caller,
    lookup: &Lookup,
    controls: bool,
    renew_before: Timestamp,
) -> Result<Vec<Of>, StoreError> {
    let connection = Of::Connection(lookup.clone());
    let entries = if controls {
        vec![(connection, 0)]
    } else {
        let memberships = Of::Caller(caller.subject.clone(), caller.email.clone());
        let of_memberships = since(statements, &caller.tenant, &memberships)?;
        let of_connection = since(statements, &caller.tenant, &connection)?;
        vec![(connection, of_memberships), (memberships, of_connection)]
    };
    let mut wanting = Vec::new();
    for (entry, moment) in entries {
        let [kind, what, email] = row(&entry);
        let params = [kind, what, email, renew_before.as_micros().into(), moment.into()];
        if first(statements, GOOD, &params, |row| int(row, 0))?.is_none() {
            wanting.push(entry);
        }
    }
    Ok(wanting)
}

/// Asks for these entries to be written at once.
pub(crate) fn want(statements: &dyn Statements, entries: &[Of], now: Timestamp) -> Result<(), StoreError> {
    entries.iter().try_for_each(|entry| {
        let [kind, what, email] = row(entry);
        statements.execute(WANT, &[kind, what, email, now.as_micros().into()])
    })
}

/// The moment since which something has been as it is.
fn since(statements: &dyn Statements, tenant: &Tenant, of: &Of) -> Result<i64, StoreError> {
    let tenant = tenant.as_str().into();
    let since = |sql, params: &[Value<'_>]| Ok(first(statements, sql, params, |row| int(row, 0))?.unwrap_or(0));
    match of {
        Of::Connection(Lookup::Name(name)) => since(SINCE_BY_NAME, &[tenant, name.as_str().into()]),
        Of::Connection(Lookup::Id(id)) => since(SINCE_BY_ID, &[tenant, Value::Blob(id.as_bytes())]),
        Of::Caller(subject, email) => {
            let email = email.as_ref().map_or("", Subject::as_str);
            since(SINCE_OF_CALLER, &[subject.as_str().into(), email.into()])
        }
    }
}

/// When an entry is due next.
pub(crate) fn next_due(statements: &dyn Statements) -> Result<Option<Timestamp>, StoreError> {
    first(statements, NEXT_DUE, &[], |row| {
        Ok(Timestamp::from_micros(int(row, 0)?))
    })
}

/// A write to KV that is to be made.
pub(crate) struct Write {
    pub(crate) of: Of,
    pub(crate) key: String,
    /// `None` where there is nothing to keep, and the key goes.
    pub(crate) value: Option<Vec<u8>>,
    /// When it is over. What is due then tells in the end whether something changed meanwhile.
    over_at: i64,
    /// When the writes before it are over, if not when it began.
    unsure_until: Option<i64>,
}

/// Takes the next entry that is due, those apart that are being written. Until it is heard of the write, it counts as
/// one that may have been made or not. `lease` is for how long a reader takes an entry, in microseconds; without one,
/// nothing is kept in KV any more.
pub(crate) fn take(
    statements: &dyn Statements,
    tenant: &Tenant,
    now: Timestamp,
    being_written: &[Of],
    lease: Option<i64>,
) -> Result<Option<Write>, StoreError> {
    let most = i64::try_from(being_written.len()).unwrap_or(i64::MAX).saturating_add(1);
    let due = all(statements, DUE, &[now.as_micros().into(), most.into()], |row| {
        let unsure_until = match row.value(3)? {
            Value::Null => None,
            _ => Some(int(row, 3)?),
        };
        Ok((of(row)?, unsure_until))
    })?;
    let Some((of, unsure_until)) = due.into_iter().find(|(of, _)| !being_written.contains(of)) else {
        return Ok(None);
    };
    let moment = first(statements, MOMENT, &[], |row| int(row, 0))?.unwrap_or(0);
    let value = match lease {
        Some(_) => value(statements, tenant, &of, now, moment)?,
        None => None,
    };
    let good_until = lease.map_or(0, |lease| now.as_micros() + lease + GRACE);
    let over_at = now.as_micros() + OVER_AFTER;
    let [kind, what, email] = row(&of);
    let [tried_at, moment, due_at, good_until] = [now.as_micros(), moment, over_at, good_until].map(Value::Int);
    statements.execute(TAKE, &[kind, what, email, tried_at, moment, due_at, good_until])?;
    let key = of.key(tenant);
    Ok(Some(Write {
        of,
        key,
        value,
        over_at,
        unsure_until: unsure_until.filter(|until| *until > now.as_micros()),
    }))
}

/// What KV is to hold, as things are now.
fn value(
    statements: &dyn Statements,
    tenant: &Tenant,
    of: &Of,
    now: Timestamp,
    moment: i64,
) -> Result<Option<Vec<u8>>, StoreError> {
    let since = since(statements, tenant, of)?;
    let read = Reading {
        tenant: tenant.clone(),
        checked_at: now,
        since,
        moment,
    };
    Ok(match of {
        Of::Connection(lookup) => connections::whole(statements, tenant, lookup)?
            .map(|(record, attached)| Entry::encode(&read, &Connection { record, attached })),
        Of::Caller(subject, email) => {
            let caller = Caller {
                tenant: tenant.clone(),
                subject: subject.clone(),
                email: email.clone(),
                admin: false,
            };
            let listed = workspaces::list(statements, &caller, &WorkspacesOf::Caller, usize::MAX)?;
            let ListWorkspacesOutcome::All(found) = listed else {
                return Ok(None);
            };
            let facts = Memberships {
                subject: caller.subject,
                email: caller.email,
                workspaces: found.into_iter().map(|workspace| workspace.id).collect(),
            };
            Some(Entry::encode(&read, &facts))
        }
    })
}

/// Notes how a write ended.
pub(crate) fn settle(
    statements: &dyn Statements,
    write: &Write,
    succeeded: bool,
    now: Timestamp,
) -> Result<(), StoreError> {
    let [kind, what, email] = row(&write.of);
    let now = now.as_micros();
    if succeeded {
        let unsure_until = write.unsure_until.map_or(Value::Null, Value::Int);
        let params = [kind, what, email, now.into(), write.over_at.into(), unsure_until];
        statements.execute(WRITTEN, &params)
    } else {
        let over_at = now + OVER_AFTER;
        let params = [kind, what, email, now.into(), LONGEST_WAIT.into(), over_at.into()];
        statements.execute(FAILED, &params)
    }
}

/// Forgets up to `most` of the entries that are good for no reader any more, and for which nothing is due.
pub(crate) fn forget(statements: &dyn Statements, now: Timestamp, most: usize) -> Result<(), StoreError> {
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let params = [now.as_micros().into(), most.into()];
    statements.execute(FORGET, &params)?;
    statements.execute(FORGET_LEFT, &params)
}

/// What each key is needed for: the records that it seals; or, where it seals none any more, the entries in KV which it
/// sealed and which may be good for a reader still. None of these was written to KV after the last record was sealed with
/// another key, or deleted; so all are over a lease and [`GRACE`] later, whatever KV did of what it was told.
pub(crate) fn count_sealed(statements: &dyn Statements, now: Timestamp) -> Result<Counted, StoreError> {
    let mut counted = sealings::count(statements)?;
    let left = all(statements, COUNT_LEFT, &[now.as_micros().into()], |row| {
        Ok((KeyId::new(text(row, 0)?), int(row, 1)?.unsigned_abs()))
    })?;
    for (key, entries) in left {
        // A key id that is none was never in KV.
        if let Ok(key) = key {
            counted.under.entry(key).or_insert(entries);
        }
    }
    Ok(counted)
}
