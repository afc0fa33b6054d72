//! The table, and how it is read.

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use patchbay_core::store::StoreError;
use tokio::time::Instant;

use crate::again::Patience;
use crate::failure::{Failure, built_wrong};
use crate::item::{Item, PK, SK, text};
use crate::key::Key;
use crate::reads::Reads;

/// Keys that one `BatchGetItem` takes.
pub(crate) const BATCH: usize = 100;

/// The table as one call of the store sees it.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) client: Client,
    pub(crate) name: Arc<str>,
    pub(crate) patience: Patience,
}

/// What a page of the whole table is to give.
pub(crate) struct Page<'p> {
    /// The key to start after.
    pub(crate) after: Option<Key>,
    /// Items that are looked at, at most.
    pub(crate) limit: i32,
    /// Their attributes that are wanted.
    pub(crate) only: &'p [&'p str],
    /// Which of them.
    pub(crate) filter: String,
    /// What the filter names.
    pub(crate) values: Option<(&'p str, AttributeValue)>,
}

/// Items that were read together, by key.
pub(crate) struct Items(HashMap<Key, Item>);

impl Items {
    /// The item, if it was there.
    pub(crate) fn take(&mut self, key: &Key) -> Option<Item> {
        self.0.remove(key)
    }
}

impl Table {
    /// Reads items together: all their attributes, or only these. Strong reads give each as the last change left it; one
    /// may be of a later moment than another.
    pub(crate) async fn read(&self, keys: Vec<Key>, only: Option<&[&str]>, reads: Reads) -> Result<Items, StoreError> {
        let mut items = HashMap::new();
        for keys in keys.chunks(BATCH) {
            let wanted = KeysAndAttributes::builder()
                .consistent_read(reads.consistent())
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
            let mut left = HashMap::from([(self.name.to_string(), wanted.map_err(built_wrong)?)]);
            let mut fruitless = 0;
            while !left.is_empty() {
                let begun = Instant::now();
                let request = self.client.batch_get_item().set_request_items(Some(left));
                let answer = self.ask(|| request.clone().send()).await?;
                let found: Vec<Item> = answer
                    .responses
                    .into_iter()
                    .flatten()
                    .flat_map(|(_, items)| items)
                    .collect();
                left = answer.unprocessed_keys.unwrap_or_default();
                if found.is_empty() && !left.is_empty() {
                    if !self.patience.again(fruitless, begun).await {
                        return Err(StoreError::Busy("DynamoDB keeps leaving reads undone".into()));
                    }
                    fruitless += 1;
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
        reads: Reads,
    ) -> Result<(Vec<Item>, bool), StoreError> {
        let mut query = self
            .client
            .query()
            .table_name(&*self.name)
            .consistent_read(reads.consistent())
            .set_limit(limit)
            .expression_attribute_values(":partition", text(partition));
        // A sort key is never empty, and none may be asked for.
        query = match after {
            "" => query.key_condition_expression(format!("{PK} = :partition")),
            after => query
                .key_condition_expression(format!("{PK} = :partition AND {SK} > :after"))
                .expression_attribute_values(":after", text(after)),
        };
        let answer = self.ask(|| query.clone().send()).await?;
        Ok((answer.items.unwrap_or_default(), answer.last_evaluated_key.is_some()))
    }

    /// Reads a page of the whole table, in an order of DynamoDB's own: what fits a MiB before the filter. Gives where the
    /// next one begins, `None` after the last.
    pub(crate) async fn scan(&self, page: Page<'_>) -> Result<(Vec<Item>, Option<Key>), StoreError> {
        let mut scan = self
            .client
            .scan()
            .table_name(&*self.name)
            .consistent_read(true)
            .limit(page.limit)
            .set_exclusive_start_key(page.after.as_ref().map(Key::item))
            .filter_expression(page.filter);
        // Some attributes' names are words that expressions keep for themselves.
        let aliases = page.only.iter().map(|name| format!("#{name}"));
        scan = scan.projection_expression(aliases.collect::<Vec<_>>().join(","));
        for name in page.only {
            scan = scan.expression_attribute_names(format!("#{name}"), *name);
        }
        if let Some((name, value)) = page.values {
            scan = scan.expression_attribute_values(name, value);
        }
        let answer = self.ask(|| scan.clone().send()).await?;
        let next = answer.last_evaluated_key.as_ref().and_then(Key::of);
        Ok((answer.items.unwrap_or_default(), next))
    }

    /// Asks something that changes nothing, until it is answered.
    async fn ask<T, E, F>(&self, mut send: impl FnMut() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + Error + 'static,
    {
        let mut attempt = 0;
        loop {
            let begun = Instant::now();
            let failure = match send().await {
                Ok(answer) => return Ok(answer),
                Err(error) => Failure::of(error),
            };
            if matches!(failure, Failure::Refused(_)) || !self.patience.again(attempt, begun).await {
                return Err(failure.into());
            }
            attempt += 1;
        }
    }
}
