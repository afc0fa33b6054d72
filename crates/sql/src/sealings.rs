//! What rotation of keys takes, each to be run inside one transaction.

use std::ops::ControlFlow;

use patchbay_core::limits;
use patchbay_core::model::{KeyId, Tenant};
use patchbay_core::rotation::{Counted, Held, Place, Replacement, Step, Unreadable, Wanted};
use patchbay_core::store::StoreError;

use crate::database::{Row, Statements, Value, blob, first, int, text};
use crate::facts::{damaged, record, subject};
use crate::statements as sql;

/// [`Sealings::count_sealed`](patchbay_core::rotation::Sealings::count_sealed), all in one step.
///
/// # Errors
/// What the database reports.
pub fn count(statements: &dyn Statements) -> Result<Counted, StoreError> {
    let mut counted = Counted::default();
    statements.query(sql::COUNT_BY_KEY, &[], &mut |row| {
        let records = u64::try_from(int(row, 1)?).map_err(|_| damaged("count"))?;
        match text(row, 0).map(KeyId::new) {
            Ok(Ok(key)) => _ = counted.under.insert(key, records),
            Ok(Err(_)) | Err(StoreError::Damaged(_)) => counted.unreadable += records,
            Err(error) => return Err(error),
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(counted)
}

/// [`Sealings::sealed`](patchbay_core::rotation::Sealings::sealed), in the order of keys.
///
/// # Errors
/// What the database reports.
pub fn sealed(
    statements: &dyn Statements,
    wanted: &Wanted,
    after: Option<&Place>,
    most: u16,
) -> Result<Step<Vec<Result<Held, Unreadable>>>, StoreError> {
    let (last_key, last_seq) = match after {
        Some(place) => parsed(place)?,
        None => ("", 0),
    };
    let (sql, key) = match wanted {
        Wanted::SealedWith(key) => (sql::SEALED_WITH, key),
        Wanted::SealedOtherwise(key) => (sql::SEALED_OTHERWISE, key),
    };
    // One past the batch tells whether more follow.
    let limit = i64::from(most) + 1;
    let params = [last_key.into(), last_seq.into(), key.as_str().into(), limit.into()];
    let (mut found, mut bytes) = (Vec::new(), 0_usize);
    let (mut last, mut next) = (None, None);
    statements.query(sql, &params, &mut |row| {
        bytes = bytes.saturating_add(blob(row, 6)?.len());
        if found.len() >= usize::from(most) || (bytes > limits::RESEALED_BYTES && !found.is_empty()) {
            next = last.take();
            return Ok(ControlFlow::Break(()));
        }
        let seq = int(row, 8)?;
        last = Some(Place(format!("{} {seq}", text(row, 5)?)));
        found.push(match held(row) {
            Ok(held) => Ok(held),
            Err(StoreError::Damaged(why)) => Err(Unreadable {
                at: format!("row {seq} of the table `connection`"),
                why,
            }),
            Err(error) => return Err(error),
        });
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(Step { found, next })
}

fn held(row: &dyn Row) -> Result<Held, StoreError> {
    Ok(Held {
        record: record(row, subject(text(row, 3)?)?)?,
        tenant: Tenant::new(text(row, 7)?).map_err(|_| damaged("tenant"))?,
    })
}

/// [`Sealings::replace_sealed`](patchbay_core::rotation::Sealings::replace_sealed).
///
/// # Errors
/// What the database reports; nothing is replaced then.
pub fn replace(statements: &dyn Statements, replacements: &[Replacement]) -> Result<usize, StoreError> {
    let mut replaced = 0;
    for Replacement {
        id,
        owner,
        expected,
        sealed,
        ..
    } in replacements
    {
        let params = [
            Value::Blob(id.as_bytes()),
            expected.as_str().into(),
            sealed.key_id.as_str().into(),
            Value::Blob(&sealed.bytes),
            owner.as_str().into(),
        ];
        replaced += usize::from(first(statements, sql::RESEAL, &params, |_| Ok(()))?.is_some());
    }
    Ok(replaced)
}

/// The key and the seq of the last record before the next batch.
fn parsed(place: &Place) -> Result<(&str, i64), StoreError> {
    // A seq is a number; what a damaged key id may hold is not known.
    let parts = place.0.rsplit_once(' ');
    parts
        .and_then(|(key, seq)| Some((key, seq.parse().ok()?)))
        .ok_or_else(|| StoreError::Damaged("a rotation goes on from no place of this store".into()))
}
