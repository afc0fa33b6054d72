//! The table: how it is defined, read and written, and what its errors mean.

use std::collections::HashMap;
use std::error::Error;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::create_table::builders::CreateTableFluentBuilder;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, CancellationReason, ConditionCheck, Delete, KeySchemaElement,
    KeyType, KeysAndAttributes, Put, ReturnValuesOnConditionCheckFailure, ScalarAttributeType, TransactWriteItem,
    Update,
};
use patchbay_core::model::WorkspaceId;
use patchbay_core::store::StoreError;

use crate::again::{ATTEMPTS, pause};
use crate::facts::ATTACHMENTS;
use crate::item::{Item, PK, REVISION, SK, number, text};
use crate::key::Key;

/// Keys that one `BatchGetItem` takes.
pub(crate) const BATCH: usize = 100;

/// The request that makes the table, on demand and without an index.
///
/// # Errors
/// None: what the builders want is there.
pub fn definition(client: &Client, name: &str) -> Result<CreateTableFluentBuilder, BuildError> {
    let mut table = client
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest);
    for (attribute, kind) in [(PK, KeyType::Hash), (SK, KeyType::Range)] {
        let schema = KeySchemaElement::builder()
            .attribute_name(attribute)
            .key_type(kind)
            .build()?;
        let definition = AttributeDefinition::builder()
            .attribute_name(attribute)
            .attribute_type(ScalarAttributeType::S)
            .build()?;
        table = table.key_schema(schema).attribute_definitions(definition);
    }
    Ok(table)
}

/// One table, by its name.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) client: Client,
    pub(crate) name: String,
}

/// Items that were read together, by key.
pub(crate) struct Items(HashMap<Key, Item>);

impl Items {
    /// The item, if it was there.
    pub(crate) fn take(&mut self, key: &Key) -> Option<Item> {
        self.0.remove(key)
    }
}

/// What must hold of an item when it is written, or nothing is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum When {
    Always,
    /// There is none.
    Absent,
    /// It is as it was read.
    Unchanged(u64),
}

impl When {
    fn condition(self) -> Option<String> {
        match self {
            Self::Always => None,
            Self::Absent => Some(format!("attribute_not_exists({PK})")),
            Self::Unchanged(_) => Some(format!("{REVISION} = :seen")),
        }
    }

    fn values(self) -> Option<Item> {
        match self {
            Self::Unchanged(revision) => Some(Item::from([(":seen".to_owned(), number(revision))])),
            _ => None,
        }
    }
}

/// How a transaction ended that DynamoDB answered.
#[derive(Debug, PartialEq)]
pub(crate) enum Written {
    /// All of it is durable.
    All,
    /// Nothing is: what was read to decide has changed, or another change was under way. With the first action's item
    /// where its condition was what failed.
    Nothing(Option<Item>),
}

/// The actions of one transaction.
#[derive(Debug, Default)]
pub(crate) struct Actions(Vec<Result<TransactWriteItem, BuildError>>);

impl Actions {
    /// Puts a whole item, and where its condition fails gives the one that is there.
    pub(crate) fn put(&mut self, table: &Table, item: Item, when: When) {
        let put = Put::builder()
            .table_name(&table.name)
            .set_item(Some(item))
            .set_condition_expression(when.condition())
            .set_expression_attribute_values(when.values())
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build();
        self.0
            .push(put.map(|put| TransactWriteItem::builder().put(put).build()));
    }

    pub(crate) fn delete(&mut self, table: &Table, key: &Key, when: When) {
        let delete = Delete::builder()
            .table_name(&table.name)
            .set_key(Some(key.item()))
            .set_condition_expression(when.condition())
            .set_expression_attribute_values(when.values())
            .build();
        self.0
            .push(delete.map(|delete| TransactWriteItem::builder().delete(delete).build()));
    }

    /// Changes nothing, but holds the transaction to a condition.
    pub(crate) fn check(&mut self, table: &Table, key: &Key, when: When) {
        let check = ConditionCheck::builder()
            .table_name(&table.name)
            .set_key(Some(key.item()))
            .set_condition_expression(when.condition())
            .set_expression_attribute_values(when.values())
            .build();
        self.0
            .push(check.map(|check| TransactWriteItem::builder().condition_check(check).build()));
    }

    /// Sets a connection's attachment to `workspace` in one of its items, or takes it away, where the item is of this
    /// revision, which is the next thereafter.
    pub(crate) fn attachment(
        &mut self,
        table: &Table,
        key: &Key,
        revision: u64,
        workspace: WorkspaceId,
        attachment: Option<AttributeValue>,
    ) {
        let when = When::Unchanged(revision);
        let change = match attachment {
            Some(_) => format!("SET {REVISION} = :next, {ATTACHMENTS}.#workspace = :attachment"),
            None => format!("SET {REVISION} = :next REMOVE {ATTACHMENTS}.#workspace"),
        };
        let mut values = when.values().unwrap_or_default();
        values.insert(":next".to_owned(), number(revision.saturating_add(1)));
        values.extend(attachment.map(|attachment| (":attachment".to_owned(), attachment)));
        let update = Update::builder()
            .table_name(&table.name)
            .set_key(Some(key.item()))
            .update_expression(change)
            .set_condition_expression(when.condition())
            .expression_attribute_names("#workspace", workspace.to_string())
            .set_expression_attribute_values(Some(values))
            .build();
        self.0
            .push(update.map(|update| TransactWriteItem::builder().update(update).build()));
    }
}

impl Table {
    /// Reads items together: all their attributes, or only these. Each is as the last change left it; one may be of a
    /// later moment than another.
    pub(crate) async fn read(&self, keys: Vec<Key>, only: Option<&[&str]>) -> Result<Items, StoreError> {
        let mut items = HashMap::new();
        for keys in keys.chunks(BATCH) {
            let wanted = KeysAndAttributes::builder()
                .consistent_read(true)
                .set_keys(Some(keys.iter().map(Key::item).collect()));
            // Some attributes' names are words that expressions keep for themselves.
            let names = || {
                only.unwrap_or_default()
                    .iter()
                    .map(|name| (format!("#{name}"), (*name).to_owned()))
            };
            let expression = only.map(|_| names().map(|(alias, _)| alias).collect::<Vec<_>>().join(","));
            let wanted = wanted
                .set_projection_expression(expression)
                .set_expression_attribute_names(only.map(|_| names().collect()))
                .build();
            let mut left = Some(HashMap::from([(self.name.clone(), wanted.map_err(built_wrong)?)]));
            let mut fruitless = 0;
            while let Some(keys) = left.take().filter(|keys| !keys.is_empty()) {
                let request = self.client.batch_get_item().set_request_items(Some(keys));
                let answer = request.send().await.map_err(store_error)?;
                let found: Vec<Item> = answer
                    .responses
                    .into_iter()
                    .flatten()
                    .flat_map(|(_, items)| items)
                    .collect();
                left = answer.unprocessed_keys;
                if found.is_empty() && left.as_ref().is_some_and(|left| !left.is_empty()) {
                    fruitless += 1;
                    if fruitless == ATTEMPTS {
                        return Err(StoreError::Busy("DynamoDB keeps leaving reads undone".into()));
                    }
                    pause(fruitless).await;
                }
                items.extend(found.into_iter().filter_map(|item| Some((Key::of(&item)?, item))));
            }
        }
        Ok(Items(items))
    }

    /// Reads a partition's items in the order of their sort keys, from the first after `after` on: at most `limit`, and
    /// what fits a page. Gives whether there may be more.
    pub(crate) async fn page(
        &self,
        partition: &str,
        after: &str,
        limit: Option<i32>,
    ) -> Result<(Vec<Item>, bool), StoreError> {
        let mut query = self
            .client
            .query()
            .table_name(&self.name)
            .consistent_read(true)
            .set_limit(limit)
            .expression_attribute_values(":partition", text(partition));
        // A sort key is never empty, and none may be asked for.
        query = match after {
            "" => query.key_condition_expression(format!("{PK} = :partition")),
            after => query
                .key_condition_expression(format!("{PK} = :partition AND {SK} > :after"))
                .expression_attribute_values(":after", text(after)),
        };
        let answer = query.send().await.map_err(store_error)?;
        Ok((answer.items.unwrap_or_default(), answer.last_evaluated_key.is_some()))
    }

    /// Does all actions or none. The SDK's own retries carry one token, so that an answer that was lost is asked for
    /// again rather than the change done twice.
    pub(crate) async fn write(&self, actions: Actions) -> Result<Written, StoreError> {
        let actions: Result<Vec<_>, _> = actions.0.into_iter().collect();
        let request = self
            .client
            .transact_write_items()
            .set_transact_items(Some(actions.map_err(built_wrong)?))
            .client_request_token(format!("{:032x}", fastrand::u128(..)));
        match request.send().await {
            Ok(_) => Ok(Written::All),
            Err(SdkError::ServiceError(answer)) => match answer.into_err() {
                TransactWriteItemsError::TransactionCanceledException(mut canceled) => {
                    cancelled(canceled.cancellation_reasons.take().unwrap_or_default())
                }
                // Even throttling may follow on an attempt of the SDK's whose answer was lost.
                error => Err(StoreError::Unavailable(said(&error))),
            },
            Err(error) => Err(store_error(error)),
        }
    }
}

/// What the reasons mean for which a transaction was cancelled: one for each action, `None` for those that were not in
/// the way.
fn cancelled(mut reasons: Vec<CancellationReason>) -> Result<Written, StoreError> {
    let codes: Vec<_> = reasons
        .iter()
        .filter_map(CancellationReason::code)
        .filter(|code| *code != "None")
        .collect();
    if let Some(other) = codes
        .iter()
        .find(|code| !["ConditionalCheckFailed", "TransactionConflict"].contains(code))
    {
        return Err(of_code(
            other,
            format!("DynamoDB: a transaction was cancelled: {other}"),
        ));
    }
    if codes.is_empty() {
        return Err(StoreError::Unavailable(
            "a transaction was cancelled for no reason".into(),
        ));
    }
    let first = reasons
        .first_mut()
        .filter(|reason| reason.code() == Some("ConditionalCheckFailed"));
    Ok(Written::Nothing(first.and_then(|reason| reason.item.take())))
}

/// What an error that DynamoDB answered with means to who asked, where nothing was done.
fn of_code(code: &str, text: String) -> StoreError {
    match code {
        "ProvisionedThroughputExceeded"
        | "ProvisionedThroughputExceededException"
        | "RequestLimitExceeded"
        | "ThrottlingError"
        | "ThrottlingException" => StoreError::Busy(text),
        _ => StoreError::Unavailable(text),
    }
}

fn said(error: &impl ProvideErrorMetadata) -> String {
    let code = error.code().unwrap_or("an error without code");
    format!("DynamoDB: {code}: {}", error.message().unwrap_or_default())
}

pub(crate) fn store_error<E, R>(error: SdkError<E, R>) -> StoreError
where
    E: ProvideErrorMetadata + Error + 'static,
    R: std::fmt::Debug + 'static,
{
    if let Some(error) = error.as_service_error() {
        return of_code(error.code().unwrap_or_default(), said(error));
    }
    // Each cause by its sentence: what `Debug` shows may hold the request.
    let mut text = format!("DynamoDB: {error}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    StoreError::Unavailable(text)
}

pub(crate) fn built_wrong(error: BuildError) -> StoreError {
    StoreError::Unavailable(format!("a request to DynamoDB is incomplete: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(codes: &[&str]) -> Vec<CancellationReason> {
        let reason = |code: &&str| CancellationReason::builder().code(*code).item(PK, text(code)).build();
        codes.iter().map(reason).collect()
    }

    #[test]
    fn a_failed_condition_and_a_conflict_are_lost_races_and_the_first_actions_item_is_given() {
        let item = Some(Item::from([(PK.to_owned(), text("ConditionalCheckFailed"))]));
        for (codes, expected) in [
            (&["ConditionalCheckFailed", "None"][..], item.clone()),
            (&["ConditionalCheckFailed", "TransactionConflict"], item),
            (&["None", "ConditionalCheckFailed"], None),
            (&["TransactionConflict", "None"], None),
        ] {
            assert_eq!(
                cancelled(reasons(codes)).unwrap(),
                Written::Nothing(expected),
                "{codes:?}"
            );
        }
    }

    #[test]
    fn throttling_is_busy_and_everything_else_unavailable() {
        for codes in [
            &["None", "ThrottlingError"],
            &["ConditionalCheckFailed", "ProvisionedThroughputExceeded"],
        ] {
            assert!(
                matches!(cancelled(reasons(codes)), Err(StoreError::Busy(_))),
                "{codes:?}"
            );
        }
        for codes in [&["None", "ValidationError"][..], &["None"], &[]] {
            assert!(
                matches!(cancelled(reasons(codes)), Err(StoreError::Unavailable(_))),
                "{codes:?}"
            );
        }
    }
}
