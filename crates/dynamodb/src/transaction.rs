//! Changes: transactions, each done once or not at all, whatever becomes of requests and answers.

use aws_sdk_dynamodb::error::{BuildError, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, ConditionCheck, Delete, Put, TransactWriteItem, Update,
};
use patchbay_core::model::WorkspaceId;
use patchbay_core::store::StoreError;
use tokio::time::Instant;

use crate::facts::ATTACHMENTS;
use crate::failure::{Failure, built_wrong};
use crate::item::{Item, PK, REVISION, SK, TRANSACTION, binary, number};
use crate::key::Key;
use crate::reads::Reads;
use crate::table::Table;

/// Actions that one transaction takes.
pub(crate) const ACTIONS: usize = 100;

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

/// How a transaction ended.
#[derive(Debug, PartialEq)]
pub(crate) enum Written {
    /// All of it is durable.
    All,
    /// Nothing is: what was read to decide has changed, or another change was under way.
    Nothing(Lost),
}

/// What is known of a transaction of which nothing was done.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Lost {
    /// The actions whose conditions failed, by their place; none where another change was under way.
    pub(crate) failed: Vec<usize>,
    /// Whether an attempt was never answered: it may still be on its way, and be done if its conditions come to hold
    /// again. Those on revisions never do, since revisions only grow.
    pub(crate) at_large: bool,
}

/// The actions of one transaction.
///
/// It has a token, which goes along with every attempt: for ten minutes DynamoDB answers the second as it did the first
/// and does nothing again. The item of the first action, where that is a put or an update, is marked with the token as
/// well: so the change can be told from others' where DynamoDB stops answering.
#[derive(Debug)]
pub(crate) struct Actions<'t> {
    table: &'t Table,
    token: u128,
    marked: Option<Key>,
    actions: Vec<Result<TransactWriteItem, BuildError>>,
}

impl<'t> Actions<'t> {
    /// # Errors
    /// Where the system gives no randomness: a token that another transaction has may pass one off as the other.
    pub(crate) fn new(table: &'t Table) -> Result<Self, StoreError> {
        let mut token = [0; 16];
        getrandom::fill(&mut token)
            .map_err(|error| StoreError::Unavailable(format!("the system gives no randomness: {error}")))?;
        Ok(Self {
            table,
            token: u128::from_be_bytes(token),
            marked: None,
            actions: Vec::new(),
        })
    }

    fn mark(&self) -> AttributeValue {
        binary(self.token.to_be_bytes())
    }

    /// Puts a whole item.
    pub(crate) fn put(&mut self, mut item: Item, when: When) {
        if self.actions.is_empty() {
            self.marked = Key::of(&item);
            item.insert(TRANSACTION.to_owned(), self.mark());
        }
        let put = Put::builder()
            .table_name(&*self.table.name)
            .set_item(Some(item))
            .set_condition_expression(when.condition())
            .set_expression_attribute_values(when.values())
            .build();
        self.actions
            .push(put.map(|put| TransactWriteItem::builder().put(put).build()));
    }

    pub(crate) fn delete(&mut self, key: &Key, when: When) {
        let delete = Delete::builder()
            .table_name(&*self.table.name)
            .set_key(Some(key.item()))
            .set_condition_expression(when.condition())
            .set_expression_attribute_values(when.values())
            .build();
        self.actions
            .push(delete.map(|delete| TransactWriteItem::builder().delete(delete).build()));
    }

    /// Changes nothing, but holds the transaction to a condition.
    pub(crate) fn check(&mut self, key: &Key, when: When) {
        let check = ConditionCheck::builder()
            .table_name(&*self.table.name)
            .set_key(Some(key.item()))
            .set_condition_expression(when.condition())
            .set_expression_attribute_values(when.values())
            .build();
        self.actions
            .push(check.map(|check| TransactWriteItem::builder().condition_check(check).build()));
    }

    /// Sets a connection's attachment to `workspace` in one of its items, or takes it away, where the item is of this
    /// revision, which is the next thereafter.
    pub(crate) fn attachment(
        &mut self,
        key: &Key,
        revision: u64,
        workspace: WorkspaceId,
        attachment: Option<AttributeValue>,
    ) {
        let when = When::Unchanged(revision);
        let mut values = when.values().unwrap_or_default();
        let mut set = format!("SET {REVISION} = :next");
        if self.actions.is_empty() {
            self.marked = Some(key.clone());
            set = format!("{set}, {TRANSACTION} = :txn");
            values.insert(":txn".to_owned(), self.mark());
        }
        let change = match attachment {
            Some(_) => format!("{set}, {ATTACHMENTS}.#workspace = :attachment"),
            None => format!("{set} REMOVE {ATTACHMENTS}.#workspace"),
        };
        values.insert(":next".to_owned(), number(revision.saturating_add(1)));
        values.extend(attachment.map(|attachment| (":attachment".to_owned(), attachment)));
        let update = Update::builder()
            .table_name(&*self.table.name)
            .set_key(Some(key.item()))
            .update_expression(change)
            .set_condition_expression(when.condition())
            .expression_attribute_names("#workspace", workspace.to_string())
            .set_expression_attribute_values(Some(values))
            .build();
        self.actions
            .push(update.map(|update| TransactWriteItem::builder().update(update).build()));
    }

    /// Does all actions or none. Once an attempt was not answered, the same is sent again until DynamoDB says whether it
    /// was done.
    ///
    /// # Errors
    /// [`StoreError::Busy`] where nothing was done. [`StoreError::Unavailable`] also where that cannot be known.
    pub(crate) async fn write(mut self) -> Result<Written, StoreError> {
        let table = self.table;
        let actions: Result<Vec<_>, _> = std::mem::take(&mut self.actions).into_iter().collect();
        let request = table
            .client
            .transact_write_items()
            .set_transact_items(Some(actions.map_err(built_wrong)?))
            .client_request_token(format!("{:032x}", self.token));
        let (mut attempt, mut at_large) = (0, false);
        let failure = loop {
            let begun = Instant::now();
            let failure = match request.clone().send().await {
                Ok(_) => return Ok(Written::All),
                Err(error) => match ended(error) {
                    Ended::Lost(failed) if at_large => {
                        return Ok(match self.is_done().await? {
                            true => Written::All,
                            false => Written::Nothing(Lost { failed, at_large }),
                        });
                    }
                    Ended::Lost(failed) => return Ok(Written::Nothing(Lost { failed, at_large })),
                    Ended::Conflict if !at_large => return Ok(Written::Nothing(Lost::default())),
                    // The other change may be our own attempt.
                    Ended::Conflict => Failure::Throttled("DynamoDB: TransactionConflict".into()),
                    Ended::Failed(failure) => failure,
                },
            };
            at_large |= matches!(failure, Failure::Unanswered(_));
            if matches!(failure, Failure::Refused(_)) || !table.patience.again(attempt, begun).await {
                break failure;
            }
            attempt += 1;
        };
        if !at_large {
            return Err(failure.into());
        }
        if self.is_done().await? {
            return Ok(Written::All);
        }
        let (Failure::Throttled(text) | Failure::Unanswered(text) | Failure::Refused(text)) = failure;
        Err(StoreError::Unavailable(format!(
            "whether a change was done is not known: {text}"
        )))
    }

    /// Whether the marked item says that this very transaction was done. That it does not say so means little: the item
    /// may have changed since.
    async fn is_done(&self) -> Result<bool, StoreError> {
        let Some(key) = &self.marked else {
            return Ok(false);
        };
        let read = self
            .table
            .read(vec![key.clone()], Some(&[PK, SK, TRANSACTION]), Reads::Strong)
            .await;
        // Nothing is known as yet, so that "busy", which says that nothing was done, would be wrong.
        let mut read = read.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(read.take(key).and_then(|item| item.get(TRANSACTION).cloned()) == Some(self.mark()))
    }
}

/// How an attempt ended that was not done.
#[derive(Debug)]
enum Ended {
    /// Conditions failed: those of the actions in these places.
    Lost(Vec<usize>),
    /// Another transaction had some item in hand.
    Conflict,
    Failed(Failure),
}

fn ended(error: SdkError<TransactWriteItemsError, aws_sdk_dynamodb::config::http::HttpResponse>) -> Ended {
    match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => {
            cancelled(canceled.cancellation_reasons())
        }
        _ => Ended::Failed(Failure::of(error)),
    }
}

/// What the reasons mean for which a transaction was cancelled: one for each action, `None` for those that were not in
/// the way.
fn cancelled(reasons: &[CancellationReason]) -> Ended {
    let (mut failed, mut conflict) = (Vec::new(), false);
    for (place, reason) in reasons.iter().enumerate() {
        match reason.code().unwrap_or("None") {
            "None" => {}
            "ConditionalCheckFailed" => failed.push(place),
            "TransactionConflict" => conflict = true,
            other => {
                let text = format!("DynamoDB: a transaction was cancelled: {other}");
                return Ended::Failed(Failure::of_code(other, text));
            }
        }
    }
    match (failed.is_empty(), conflict) {
        (false, _) => Ended::Lost(failed),
        (true, true) => Ended::Conflict,
        (true, false) => Ended::Failed(Failure::Refused(
            "DynamoDB: a transaction was cancelled for no reason".into(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cancelled_by(codes: &[&str]) -> Ended {
        let reasons: Vec<_> = codes
            .iter()
            .map(|code| CancellationReason::builder().code(*code).build())
            .collect();
        cancelled(&reasons)
    }

    #[test]
    fn failed_conditions_count_more_than_conflicts_and_their_places_are_given() {
        for (codes, expected) in [
            (&["ConditionalCheckFailed", "None"][..], &[0][..]),
            (&["TransactionConflict", "ConditionalCheckFailed"], &[1]),
            (&["ConditionalCheckFailed", "None", "ConditionalCheckFailed"], &[0, 2]),
        ] {
            assert!(
                matches!(cancelled_by(codes), Ended::Lost(failed) if failed == expected),
                "{codes:?}"
            );
        }
        let conflict = cancelled_by(&["TransactionConflict", "None"]);
        assert!(matches!(conflict, Ended::Conflict), "{conflict:?}");
    }

    #[test]
    fn throttling_counts_more_than_failed_conditions_and_what_is_not_known_is_refused() {
        for codes in [
            &["None", "ThrottlingError"],
            &["ConditionalCheckFailed", "ProvisionedThroughputExceeded"],
        ] {
            let ended = cancelled_by(codes);
            assert!(matches!(ended, Ended::Failed(Failure::Throttled(_))), "{ended:?}");
        }
        for codes in [&["None", "ValidationError"][..], &["None"], &[]] {
            let ended = cancelled_by(codes);
            assert!(matches!(ended, Ended::Failed(Failure::Refused(_))), "{ended:?}");
        }
    }
}
