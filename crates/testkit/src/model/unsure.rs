//! A store that cannot always say what it did, against the reference model.

use patchbay_core::model::{Caller, Invalid, Name, Workspace, Workspaces};
use patchbay_core::store::{
    ListOutcome, ListQuery, ListWorkspacesOutcome, Lookup, MembersOutcome, Seen, Store, StoreError, WorkspacesOf,
};

use super::cast::{CALLERS, caller};
use super::store::{Made, Moment, Step, cast_of};
use crate::memory::MemoryStore;

/// Does the steps on `store`, between which and what it keeps things go wrong, and on the reference model, as
/// [`same_outcomes`](super::same_outcomes) does. Nothing is in the way of `clear`, which sees the same; `idle` waits until
/// nothing is on its way any more.
///
/// An outcome must be the model's. After [`StoreError::Busy`] nothing must have been done, and after
/// [`StoreError::Unavailable`] all or nothing, which is looked up. In the end both must hold the same. Gives the kind of
/// each outcome.
///
/// # Errors
/// The first step after which they differ, and how.
pub async fn same_outcomes_or_none(
    store: &impl Store,
    clear: &impl Store,
    idle: impl AsyncFn(),
    workspaces: Workspaces,
    case: u64,
    steps: &[Step],
) -> Result<Vec<String>, String> {
    let cast: Vec<Caller> = (0..CALLERS)
        .map(|who| caller(&cast_of(case), who))
        .collect::<Result<_, _>>()
        .map_err(wrong)?;
    let mut model = MemoryStore::default();
    let mut kinds = Vec::new();
    let mut made = Made::default();
    for (place, step) in (0..).zip(steps) {
        let moment = Moment {
            workspaces,
            case,
            place,
            made: &made,
        };
        let before = model.fork();
        let expected = moment.perform(&model, step).await.map_err(wrong)?;
        let expected = expected.map_err(|error| error.to_string())?;
        let done = match moment.perform(store, step).await.map_err(wrong)? {
            Ok(said) if said == expected => {
                kinds.push(said.kind());
                true
            }
            Err(StoreError::Busy(_)) => {
                kinds.push("Busy".to_owned());
                false
            }
            Err(StoreError::Unavailable(_)) => {
                idle().await;
                let found = contents(clear, &cast).await?;
                let done = found == contents(&model, &cast).await?;
                if !done && found != contents(&before, &cast).await? {
                    return Err(format!("step {place}, {step:?}, is half done: {found:#?}"));
                }
                kinds.push(format!("Unavailable {}", if done { "done" } else { "not done" }));
                done
            }
            said => {
                return Err(format!(
                    "step {place}, {step:?}: the model said {expected:?}, the store {said:?}"
                ));
            }
        };
        match done {
            true => {
                let attached = moment.attached(step);
                made.add(place, &expected, attached);
            }
            false => model = before,
        }
    }
    idle().await;
    let (expected, found) = (contents(&model, &cast).await?, contents(clear, &cast).await?);
    match expected == found {
        true => Ok(kinds),
        false => Err(format!("the model holds {expected:#?}, the store {found:#?}")),
    }
}

fn wrong(invalid: Invalid) -> String {
    invalid.to_string()
}

/// What a store holds, as far as these callers see it.
#[derive(Debug, PartialEq)]
pub struct Contents(Vec<View>);

#[derive(Debug, PartialEq)]
struct View {
    rows: Vec<Seen>,
    workspaces: Vec<Workspace>,
    /// The names in each workspace, in their order.
    within: Vec<Vec<Name>>,
    /// The members of each.
    members: Vec<MembersOutcome>,
}

/// Looks at all that these callers see, each connection in every way that there is.
///
/// # Errors
/// What went wrong in the store, or how two ways differ.
pub async fn contents(store: &impl Store, callers: &[Caller]) -> Result<Contents, String> {
    let mut views = Vec::new();
    for caller in callers {
        let view = view(store, caller).await;
        views.push(view.map_err(|error| format!("{caller:?}: {error}"))?);
    }
    Ok(Contents(views))
}

async fn view(store: &impl Store, caller: &Caller) -> Result<View, String> {
    let said = |error: StoreError| error.to_string();
    let list = async |workspace| {
        let query = ListQuery {
            workspace,
            workspaces: Workspaces::Managed,
            after: None,
            limit: None,
            details: true,
            most_bytes: usize::MAX,
        };
        match store.list(caller, query).await.map_err(said)? {
            ListOutcome::Page { rows, more: false } => Ok(rows),
            other => Err(format!("a list is {other:?}")),
        }
    };
    let rows = list(None).await?;
    for row in &rows {
        for lookup in [Lookup::Name(row.record.name.clone()), Lookup::Id(row.record.id)] {
            let found = store.get(caller, lookup).await.map_err(said)?;
            if found.as_ref() != Some(row) {
                return Err(format!("the list has {row:?}, and by itself it is {found:?}"));
            }
        }
    }
    let of = match caller.admin {
        true => WorkspacesOf::Everybody,
        false => WorkspacesOf::Caller,
    };
    let listed = store.list_workspaces(caller, of, usize::MAX).await.map_err(said)?;
    let ListWorkspacesOutcome::All(workspaces) = listed else {
        return Err("the workspaces are too long".into());
    };
    let (mut within, mut members) = (Vec::new(), Vec::new());
    for workspace in &workspaces {
        let rows = list(Some(workspace.id)).await?;
        within.push(rows.into_iter().map(|row| row.record.name).collect());
        members.push(store.members(caller, workspace.id).await.map_err(said)?);
    }
    Ok(View {
        rows,
        workspaces,
        within,
        members,
    })
}
