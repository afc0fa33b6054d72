//! What rotation of keys takes: walks over the whole table, page by page, and a write a record.

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use patchbay_core::rotation::{Counted, Held, Place, Replacement, Step, Unreadable, Wanted};
use patchbay_core::store::StoreError;
use tokio::time::Instant;

use crate::facts::{self, ID, KEY_ID, OWNER, SEALED};
use crate::failure::Failure;
use crate::item::{Item, PK, SK, VERSION, binary, damaged, text};
use crate::key::{Key, Keys, tenant_of};
use crate::table::{Page, Table};

/// Writes that one batch has under way at a time, so that a rotation leaves a table's traffic its share.
const PARALLEL: usize = 4;
/// Items that one page of the table has at most: a page of a MiB of small ones takes seconds, and 256 read units at once.
const SCANNED: u16 = 250;

/// In one page of the table.
pub(crate) async fn count(table: &Table, after: Option<Place>) -> Result<Step<Counted>, StoreError> {
    let page = Page {
        after: after.as_ref().map(key).transpose()?,
        limit: i32::from(SCANNED),
        only: &[PK, SK, VERSION, KEY_ID],
        filter: format!("attribute_exists({SEALED})"),
        values: None,
    };
    let (items, next) = table.scan(page).await?;
    let mut found = Counted::default();
    for item in &items {
        match facts::key_id(item) {
            Ok(key) => *found.under.entry(key).or_default() += 1,
            Err(_) => found.unreadable += 1,
        }
    }
    Ok(Step {
        found,
        next: next.map(place),
    })
}

/// In one page of the table, at most a MiB of it, with `most` items of any kind.
pub(crate) async fn sealed(
    table: &Table,
    wanted: &Wanted,
    after: Option<Place>,
    most: u16,
) -> Result<Step<Vec<Result<Held, Unreadable>>>, StoreError> {
    let (is, sealing) = match wanted {
        Wanted::SealedWith(key) => ("=", key),
        Wanted::SealedOtherwise(key) => ("<>", key),
    };
    let page = Page {
        after: after.as_ref().map(key).transpose()?,
        limit: i32::from(most.min(SCANNED)),
        only: &facts::RECORD,
        filter: format!("attribute_exists({SEALED}) AND {KEY_ID} {is} :sealing"),
        values: Some((":sealing", text(sealing.as_str()))),
    };
    let (items, next) = table.scan(page).await?;
    let read = |item: &Item| {
        held(item).map_err(|error| Unreadable {
            at: at(item),
            why: error.to_string(),
        })
    };
    Ok(Step {
        found: items.iter().map(read).collect(),
        next: next.map(place),
    })
}

fn held(item: &Item) -> Result<Held, StoreError> {
    let tenant = Key::of(item).and_then(|key| tenant_of(&key.partition));
    Ok(Held {
        tenant: tenant.ok_or_else(|| damaged("key"))?,
        record: facts::record(item, true)?,
    })
}

/// Which item it is, for people.
fn at(item: &Item) -> String {
    let partition = Key::of(item).map(|key| key.partition);
    format!("the item {:?}", partition.unwrap_or_default())
}

/// In one write each, some at a time.
pub(crate) async fn replace(table: &Table, replacements: Vec<Replacement>) -> Result<usize, StoreError> {
    // Made before they are run: with a closure that borrows, the compiler cannot tell that this is `Send`.
    let writes: Vec<_> = replacements.into_iter().map(|one| replace_one(table, one)).collect();
    let replaced = stream::iter(writes).buffer_unordered(PARALLEL);
    replaced
        .try_fold(0, |sum, replaced| std::future::ready(Ok(sum + usize::from(replaced))))
        .await
}

/// Says whether it was replaced. The revision stays: decisions do not rest on what is sealed, and changes of attachments
/// leave it as it is.
async fn replace_one(table: &Table, replacement: Replacement) -> Result<bool, StoreError> {
    let Replacement {
        tenant,
        name,
        id,
        owner,
        expected,
        sealed,
    } = replacement;
    let request = table
        .client
        .update_item()
        .table_name(&*table.name)
        .set_key(Some(Keys(&tenant).record(&name).item()))
        .update_expression(format!("SET {KEY_ID} = :key, {SEALED} = :sealed"))
        // Another connection may have the name by now, or another owner the connection.
        .condition_expression(format!("{ID} = :id AND #owner = :owner AND {KEY_ID} = :expected"))
        // A word of DynamoDB's own.
        .expression_attribute_names("#owner", OWNER)
        .expression_attribute_values(":key", text(sealed.key_id.as_str()))
        .expression_attribute_values(":sealed", binary(sealed.bytes))
        .expression_attribute_values(":id", binary(*id.as_bytes()))
        .expression_attribute_values(":owner", text(owner.as_str()))
        .expression_attribute_values(":expected", text(expected.as_str()));
    let mut attempt = 0;
    loop {
        let begun = Instant::now();
        let failure = match request.clone().send().await {
            Ok(_) => return Ok(true),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => return Ok(false),
                _ => Failure::of(error),
            },
        };
        if matches!(failure, Failure::Refused(_)) || !table.patience.again(attempt, begun).await {
            return Err(failure.into());
        }
        attempt += 1;
    }
}

/// No text of a key holds a line feed.
fn place(key: Key) -> Place {
    Place(format!("{}\n{}", key.partition, key.sort))
}

fn key(place: &Place) -> Result<Key, StoreError> {
    let parts = place.0.split_once('\n');
    let (partition, sort) =
        parts.ok_or_else(|| StoreError::Damaged("a rotation goes on from no place of this store".into()))?;
    Ok(Key {
        partition: partition.to_owned(),
        sort: sort.to_owned(),
    })
}
