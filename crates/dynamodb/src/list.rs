//! `list`: names out of the partitions that hold them, merged, and then their records.
//!
//! A list takes several reads, so it is of no one moment. Each row is as it was at some moment of the call, and each
//! absence was right at one: a connection that its owner, an admin, or a member of one workspace that it is attached to
//! asks for is neither skipped nor given twice, if all that is so throughout the call. For somebody who sees it through
//! one workspace first and through another then, it may be missing.

use std::collections::VecDeque;

use futures_util::stream::{self, StreamExt as _};
use patchbay_core::access::{self, Roles as _};
use patchbay_core::model::{Caller, Name, Workspaces};
use patchbay_core::store::{ListOutcome, ListQuery, StoreError, row_bytes};

use crate::facts::{self, BYTES, Facts, LISTED};
use crate::item::{Reader, SK};
use crate::key::{Key, Keys};
use crate::reads::Reads;
use crate::roles::Roles;
use crate::table::{BATCH, Table};

/// Queries that one list has under way at a time.
const PARALLEL: usize = 32;
/// Names that one query takes at most where several partitions are merged: a page of the largest `limit` and whether
/// more follow. All of them are in memory before the first row is known.
const MERGED: i32 = patchbay_core::limits::PAGE as i32 + 1;

/// One read for the caller's roles or the workspace where there are any, one query a partition, and one read for each
/// hundred records.
pub(crate) async fn list(
    table: &Table,
    reads: Reads,
    caller: &Caller,
    query: &ListQuery,
) -> Result<ListOutcome, StoreError> {
    let keys = Keys(&caller.tenant);
    let mut wanted = Roles::keys(caller);
    wanted.extend(query.workspace.map(|workspace| keys.workspace(workspace)));
    let mut items = table.read(wanted, None, reads).await?;
    let roles = Roles::take(&mut items, caller)?;
    let partitions = match query.workspace {
        Some(workspace) => match items.take(&keys.workspace(workspace)) {
            None if query.workspaces == Workspaces::Open => Vec::new(),
            Some(_) if access::sees_workspace(caller, roles.role(workspace)) => vec![keys.inside(workspace)],
            _ => return Ok(ListOutcome::NoWorkspace),
        },
        None if caller.admin => vec![keys.all()],
        None => {
            let inside = roles.workspaces().into_iter().map(|workspace| keys.inside(workspace));
            [keys.owned_by(&caller.subject)].into_iter().chain(inside).collect()
        }
    };
    let mut names = Names::new(table, reads, partitions, query);

    let (mut rows, mut bytes) = (Vec::new(), 0_usize);
    let only = (!query.details).then_some(&LISTED[..]);
    let most = query.limit.map_or(usize::MAX, usize::from);
    loop {
        // What is not to be in the answer is not read, as far as that can be known before.
        let left = query.most_bytes.saturating_sub(bytes);
        let batch = names.take(BATCH.min(most - rows.len()), left, rows.is_empty()).await?;
        if batch.is_empty() {
            // The page is full, or there are no more names.
            let more = names.first().await?.is_some();
            return Ok(ListOutcome::Page { rows, more });
        }
        let wanted: Vec<Key> = batch.iter().map(|name| keys.record(name)).collect();
        let mut items = table.read(wanted.clone(), only, reads).await?;
        for key in &wanted {
            let Some(item) = items.take(key) else { continue };
            let there = match query.workspace {
                Some(workspace) => Facts::read(&item)?.attachments.contains_key(&workspace),
                None => true,
            };
            let Some(row) = facts::seen(&item, caller, &roles, query.details)?.filter(|_| there) else {
                continue;
            };
            bytes = bytes.saturating_add(row_bytes(&row));
            if bytes > query.most_bytes && !rows.is_empty() {
                return Ok(ListOutcome::Page { rows, more: true });
            }
            rows.push(row);
        }
    }
}

/// The names of several partitions, merged in byte order, each once.
struct Names<'t> {
    table: &'t Table,
    reads: Reads,
    partitions: Vec<Partition>,
    /// One past the page tells whether more follow.
    limit: Option<i32>,
    /// Whether the sealed bytes are read.
    details: bool,
}

struct Partition {
    key: String,
    /// What was read and not taken yet: names, and how long their records' sealed bytes are.
    names: VecDeque<(Name, usize)>,
    /// The last that was read.
    after: String,
    /// Whether there may be more after it.
    more: bool,
}

impl Partition {
    async fn fill(&mut self, table: &Table, reads: Reads, limit: Option<i32>) -> Result<(), StoreError> {
        let (items, more) = table.page(&self.key, &self.after, limit, reads).await?;
        self.more = more;
        for item in &items {
            let reader = Reader::new(item)?;
            let name = reader.name(SK)?;
            name.as_str().clone_into(&mut self.after);
            self.names.push_back((name, reader.number(BYTES)?));
        }
        Ok(())
    }
}

impl<'t> Names<'t> {
    fn new(table: &'t Table, reads: Reads, partitions: Vec<String>, query: &ListQuery) -> Self {
        let after = query.after.as_ref().map_or("", Name::as_str);
        let most = (partitions.len() > 1).then_some(MERGED);
        let partition = |key| Partition {
            key,
            names: VecDeque::new(),
            after: after.to_owned(),
            more: true,
        };
        Self {
            table,
            reads,
            partitions: partitions.into_iter().map(partition).collect(),
            limit: query.limit.map(|limit| i32::from(limit) + 1).or(most),
            details: query.details,
        }
    }

    /// The next name, which stays.
    async fn first(&mut self) -> Result<Option<&(Name, usize)>, StoreError> {
        loop {
            // No closures here: with them the compiler cannot tell that a list may go from thread to thread.
            let mut fills = Vec::new();
            for partition in &mut self.partitions {
                if partition.names.is_empty() && partition.more {
                    fills.push(partition.fill(self.table, self.reads, self.limit));
                }
            }
            if fills.is_empty() {
                break;
            }
            let mut fills = stream::iter(fills).buffer_unordered(PARALLEL);
            while let Some(filled) = fills.next().await {
                filled?;
            }
        }
        Ok(self
            .partitions
            .iter()
            .filter_map(|partition| partition.names.front())
            .min())
    }

    /// Takes the next names, at most so many, and as long as what is read of their records' sealed bytes comes to no more
    /// than `bytes`; but the first whatever it comes to, if `at_least_one`.
    async fn take(&mut self, most: usize, mut bytes: usize, at_least_one: bool) -> Result<Vec<Name>, StoreError> {
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some((name, sealed)) = self.first().await?.cloned()
        {
            let sealed = if self.details { sealed } else { 0 };
            if sealed > bytes && !(at_least_one && taken.is_empty()) {
                break;
            }
            bytes = bytes.saturating_sub(sealed);
            for partition in &mut self.partitions {
                partition.names.pop_front_if(|(first, _)| *first == name);
            }
            taken.push(name);
        }
        Ok(taken)
    }
}
