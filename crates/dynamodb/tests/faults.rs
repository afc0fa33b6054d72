//! What becomes of lost requests, lost answers and lost races. A proxy between the store and DynamoDB Local lets go wrong
//! what can go wrong there.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and say what it did"
)]

mod local;

use std::collections::BTreeSet;

use futures_util::stream::{self, StreamExt as _};
use local::{Local, local};
use patchbay_core::model::{Caller, Role, Timestamp, WorkspaceId, Workspaces};
use patchbay_core::store::{
    AttachOutcome, CreateOutcome, DeleteOutcome, DetachOutcome, ListQuery, Lookup, RemoveMemberOutcome, Store,
    StoreError, WorkspacesOf,
};
use patchbay_testkit::dynamodb_proxy::Fault;
use patchbay_testkit::model::{Sequences, contents, same_outcomes_or_none, steps};
use patchbay_testkit::races::{Registry, Verdict, Workload};
use patchbay_testkit::sample::{
    add_member, all, attach, caller, make_workspace, name, names, person, record, workspace,
};
use patchbay_testkit::{InProcess, MemoryStore};

const READ: &str = "BatchGetItem";
const WRITE: &str = "TransactWriteItems";
const THROTTLED: Fault = Fault::Throttled("ThrottlingException");
/// Trials at a time: most of them wait.
const PARALLEL: usize = 32;

/// What a store is asked for, after [`prepare`].
#[derive(Debug, Clone, Copy, PartialEq)]
enum Call {
    Create,
    Attach,
    AttachThatOpens,
    Detach,
    Delete,
    CreateWorkspace,
    Get,
    GetById,
    List,
    ListWithin,
    ListWorkspaces,
    AllWorkspaces,
    AddMember,
    ChangeRole,
    Members,
    RemoveMember,
}

impl Call {
    const ALL: [Self; 16] = [
        Self::Create,
        Self::Attach,
        Self::AttachThatOpens,
        Self::Detach,
        Self::Delete,
        Self::CreateWorkspace,
        Self::Get,
        Self::GetById,
        Self::List,
        Self::ListWithin,
        Self::ListWorkspaces,
        Self::AllWorkspaces,
        Self::AddMember,
        Self::ChangeRole,
        Self::Members,
        Self::RemoveMember,
    ];

    /// The operations that it takes.
    fn operations(self) -> &'static [&'static str] {
        match self {
            Self::Create => &[WRITE],
            Self::Attach | Self::AttachThatOpens | Self::Detach | Self::Delete => &[READ, WRITE],
            Self::AddMember | Self::ChangeRole | Self::RemoveMember => &[READ, WRITE],
            Self::CreateWorkspace => &[READ, "Query", WRITE],
            Self::List | Self::ListWithin => &[READ, "Query"],
            Self::Get | Self::GetById | Self::ListWorkspaces | Self::Members => &[READ],
            Self::AllWorkspaces => &["Query"],
        }
    }

    /// Asks for it, and shows what came out.
    async fn of(self, store: &impl Store, tenant: &str) -> Result<String, StoreError> {
        let root = caller(tenant, "root", true);
        let ann = caller(tenant, "ann", false);
        let (one, two) = (record(1, "one", &root, 10), record(2, "two", &root, 10));
        let (bob, eve) = (caller(tenant, "bob", false), caller(tenant, "eve", false));
        let team = workspace(1);
        Ok(match self {
            Self::Create => shown(store.create(&ann, record(3, "three", &ann, 10)).await?),
            Self::Attach => shown(store.attach(&root, attach(two.id, team, 2)).await?),
            Self::AttachThatOpens => shown(store.attach(&root, attach(two.id, workspace(700), 2)).await?),
            Self::Detach => shown(store.detach(&root, one.id, team).await?),
            Self::Delete => shown(store.delete(&root, two.name).await?),
            Self::CreateWorkspace => shown(
                store
                    .create_workspace(&ann, name("more"), Timestamp::from_micros(3))
                    .await?,
            ),
            Self::Get => shown(store.get(&ann, Lookup::Name(one.name)).await?),
            Self::GetById => shown(store.get(&ann, Lookup::Id(one.id)).await?),
            Self::List => shown(store.list(&ann, all()).await?),
            Self::ListWithin => shown(store.list(&ann, within(team)).await?),
            Self::ListWorkspaces => shown(store.list_workspaces(&ann, WorkspacesOf::Caller, usize::MAX).await?),
            Self::AllWorkspaces => shown(
                store
                    .list_workspaces(&root, WorkspacesOf::Everybody, usize::MAX)
                    .await?,
            ),
            Self::AddMember => shown(
                store
                    .add_member(&ann, add_member(team, person(&eve), Role::Owner))
                    .await?,
            ),
            Self::ChangeRole => shown(
                store
                    .add_member(&ann, add_member(team, person(&bob), Role::Owner))
                    .await?,
            ),
            Self::Members => shown(store.members(&bob, team).await?),
            Self::RemoveMember => shown(store.remove_member(&ann, team, person(&bob)).await?),
        })
    }
}

fn shown(outcome: impl std::fmt::Debug) -> String {
    format!("{outcome:?}")
}

fn within(workspace: WorkspaceId) -> ListQuery {
    ListQuery {
        workspace: Some(workspace),
        ..all()
    }
}

/// A workspace with two members, a connection that is in it, and one that is not.
async fn prepare(store: &impl Store, tenant: &str) {
    let (root, ann) = (caller(tenant, "root", true), caller(tenant, "ann", false));
    assert_eq!(make_workspace(store, &ann, "team").await, workspace(1));
    let bob = person(&caller(tenant, "bob", false));
    let joins = add_member(workspace(1), bob, Role::Collaborator);
    store.add_member(&ann, joins).await.unwrap();
    for (number, name) in [(1, "one"), (2, "two")] {
        store.create(&root, record(number, name, &root, 10)).await.unwrap();
    }
    let one = record(1, "one", &root, 10);
    store.attach(&root, attach(one.id, workspace(1), 1)).await.unwrap();
}

/// A call in a tenant of its own through a proxy of its own, and what the model holds before and after it.
struct Trial {
    call: Call,
    operation: &'static str,
    fault: Fault,
    local: Local,
    tenant: String,
    before: MemoryStore,
    after: MemoryStore,
    expected: String,
}

impl Trial {
    async fn holds(&self, model: &MemoryStore) -> bool {
        let cast: Vec<Caller> = [("root", true), ("ann", false)]
            .map(|(subject, admin)| caller(&self.tenant, subject, admin))
            .into();
        self.local.proxy.idle().await;
        contents(&self.local.clear, &cast).await.unwrap() == contents(model, &cast).await.unwrap()
    }
}

/// Every call with every fault at every operation that it takes.
async fn trials(test: impl AsyncFn(Trial)) {
    let shared = local().await;
    let mut pairs = Vec::new();
    for call in Call::ALL {
        for operation in call.operations() {
            let fitting = Fault::ALL.into_iter().filter(|fault| fault.fits(operation));
            pairs.extend(fitting.map(|fault| (call, *operation, fault)));
        }
    }
    println!("{} trials", pairs.len());
    let trial = async |(call, operation, fault): (Call, &'static str, Fault)| {
        let tenant = format!("{call:?} {operation} {fault:?}");
        let local = shared.beside(fault.is_late()).await;
        let before = MemoryStore::default();
        prepare(&local.clear, &tenant).await;
        prepare(&before, &tenant).await;
        let after = before.fork();
        let expected = call.of(&after, &tenant).await.unwrap();
        test(Trial {
            call,
            operation,
            fault,
            local,
            tenant,
            before,
            after,
            expected,
        })
        .await;
    };
    stream::iter(pairs).for_each_concurrent(PARALLEL, trial).await;
    shared.is_whole().await;
}

#[tokio::test]
async fn whatever_goes_wrong_once_with_any_request_of_any_call_the_answer_is_right_and_the_change_done_once() {
    trials(async |trial: Trial| {
        let Trial {
            call,
            operation,
            fault,
            local,
            tenant,
            ..
        } = &trial;
        local.proxy.fail(operation, [*fault]);
        let outcome = call.of(&local.store, tenant).await;
        let met = local.proxy.met();
        assert_eq!(
            met.get(&((*operation).to_owned(), *fault)),
            Some(&1),
            "{tenant} was not injected"
        );
        assert_eq!(outcome.unwrap(), trial.expected, "{tenant}");
        assert!(trial.holds(&trial.after).await, "{tenant}");
    })
    .await;
}

#[tokio::test]
async fn whatever_goes_on_going_wrong_an_answer_says_no_more_than_is_known() {
    trials(async |trial: Trial| {
        let Trial {
            call,
            operation,
            fault,
            local,
            tenant,
            ..
        } = &trial;
        let without_end = 100;
        local.proxy.fail(operation, [*fault].repeat(without_end));
        let outcome = call.of(&local.store, tenant).await;
        local.proxy.heal();
        let attempts = local.proxy.met()[&((*operation).to_owned(), *fault)];
        // Ten of each request that comes to nothing: a list has two at a time, and some keys may be read before.
        assert!((2..=20).contains(&attempts), "{tenant}: {attempts} attempts");

        let arrives = matches!(
            fault,
            Fault::LostAnswer | Fault::LateRequest | Fault::LateAnswer | Fault::Reset | Fault::InternalError
        );
        let done = *operation == WRITE && arrives;
        let refused = matches!(
            fault,
            Fault::Throttled(_) | Fault::ThrottledItem | Fault::Conflict | Fault::Unprocessed
        );
        match outcome {
            // What was done can be found out, but for a delete, which leaves nothing behind.
            Ok(outcome) => {
                assert!(done && *call != Call::Delete, "{tenant}: {outcome}");
                assert_eq!(outcome, trial.expected, "{tenant}");
            }
            Err(StoreError::Busy(_)) => assert!(refused, "{tenant}"),
            Err(StoreError::Unavailable(_)) => {
                assert!(!refused && (!done || *call == Call::Delete), "{tenant}");
            }
            Err(error) => panic!("{tenant}: {error}"),
        }
        let holds = if done { &trial.after } else { &trial.before };
        assert!(trial.holds(holds).await, "{tenant}");
    })
    .await;
}

#[tokio::test]
async fn a_create_that_was_done_is_never_refused_for_its_own_name_nor_one_that_may_come_yet() {
    let patient = local().await;
    let Local {
        store, proxy, clear, ..
    } = &patient;
    let (root, other) = (caller("t", "root", true), caller("t", "other", false));

    // What was created, and was deleted by another before its answer was asked for again.
    proxy.fail(WRITE, [Fault::LostAnswer, Fault::Held]);
    let kept = record(1, "one", &root, 10);
    let replaced = async {
        proxy.until_all_met().await;
        assert_eq!(
            clear.delete(&root, kept.name.clone()).await.unwrap(),
            DeleteOutcome::Deleted(kept.id)
        );
        let made = clear.create(&other, record(2, "one", &other, 10)).await.unwrap();
        assert_eq!(made, CreateOutcome::Created);
        proxy.release();
    };
    let (outcome, ()) = tokio::join!(store.create(&root, kept.clone()), replaced);
    assert_eq!(outcome.unwrap(), CreateOutcome::Created);
    let seen = clear.get(&root, Lookup::Name(kept.name)).await.unwrap().unwrap();
    assert_eq!(seen.record.owner, other.subject);

    let refused = store.create(&root, record(5, "one", &root, 10)).await.unwrap();
    assert_eq!(refused, CreateOutcome::NameTaken);

    // The name is another's when the request is sent again; the first arrives when it is nobody's.
    let impatient = patient.beside(true).await;
    let Local { store, proxy, .. } = &impatient;
    proxy.fail(WRITE, [Fault::Held]);
    let taken = async {
        proxy.until_all_met().await;
        let made = clear.create(&other, record(4, "two", &other, 10)).await.unwrap();
        assert_eq!(made, CreateOutcome::Created);
    };
    let (outcome, ()) = tokio::join!(store.create(&root, record(3, "two", &root, 10)), taken);
    assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
    clear.delete(&other, name("two")).await.unwrap();
    proxy.release();
    proxy.idle().await;
    let seen = clear.get(&root, Lookup::Name(name("two"))).await.unwrap().unwrap();
    assert_eq!(seen.record.owner, root.subject);
}

#[tokio::test]
async fn a_refusal_that_follows_on_an_unanswered_attempt_is_never_busy() {
    let Local {
        store, proxy, clear, ..
    } = local().await;
    let root = caller("t", "root", true);
    // The write is done, unanswered, and then throttled; and so is the read that is to settle it.
    proxy.fail(WRITE, [Fault::LostAnswer].into_iter().chain([THROTTLED; 9]));
    proxy.fail(READ, [THROTTLED; 10]);
    let outcome = store.create(&root, record(1, "one", &root, 10)).await;
    assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
    assert_eq!(names(&clear, &root, all()).await.0, ["one"]);

    proxy.heal();
    proxy.fail(WRITE, [Fault::LostAnswer].into_iter().chain([THROTTLED; 9]));
    let outcome = store.create(&root, record(2, "two", &root, 10)).await;
    assert_eq!(outcome.unwrap(), CreateOutcome::Created);
}

#[tokio::test]
async fn what_changes_between_reading_and_writing_is_read_and_decided_again() {
    let Local {
        store, proxy, clear, ..
    } = local().await;
    let (root, ann, bob) = (
        caller("t", "root", true),
        caller("t", "ann", false),
        caller("t", "bob", false),
    );
    let team = make_workspace(&clear, &ann, "team").await;
    let kept = record(1, "one", &root, 10);
    clear.create(&root, kept.clone()).await.unwrap();
    clear.attach(&root, attach(kept.id, team, 1)).await.unwrap();
    let becomes = |role| add_member(team, person(&bob), role);
    clear.add_member(&root, becomes(Role::Owner)).await.unwrap();

    // Somebody who may detach it loses their role.
    proxy.fail(WRITE, [Fault::Held]);
    let demoted = async {
        proxy.until_all_met().await;
        clear.add_member(&root, becomes(Role::Collaborator)).await.unwrap();
        proxy.release();
    };
    let (outcome, ()) = tokio::join!(store.detach(&bob, kept.id, team), demoted);
    assert_eq!(outcome.unwrap(), DetachOutcome::Forbidden(name("one")));

    // Of two OWNERs, each is to be removed by the other.
    clear.add_member(&root, becomes(Role::Owner)).await.unwrap();
    proxy.fail(WRITE, [Fault::Held]);
    let removed = async {
        proxy.until_all_met().await;
        let removed = clear.remove_member(&bob, team, person(&ann)).await;
        assert_eq!(removed.unwrap(), RemoveMemberOutcome::Removed);
        proxy.release();
    };
    let (outcome, ()) = tokio::join!(store.remove_member(&ann, team, person(&bob)), removed);
    assert_eq!(outcome.unwrap(), RemoveMemberOutcome::NoWorkspace);

    // What is to be deleted is attached again.
    clear.detach(&root, kept.id, team).await.unwrap();
    proxy.fail(WRITE, [Fault::Held]);
    let attached = async {
        proxy.until_all_met().await;
        clear.attach(&root, attach(kept.id, team, 2)).await.unwrap();
        proxy.release();
    };
    let (outcome, ()) = tokio::join!(store.delete(&root, kept.name.clone()), attached);
    assert!(matches!(outcome.unwrap(), DeleteOutcome::Attached(..)));

    // What is to be attached is gone, and another has its name.
    clear.detach(&root, kept.id, team).await.unwrap();
    proxy.fail(WRITE, [Fault::Held]);
    let replaced = async {
        proxy.until_all_met().await;
        clear.delete(&root, kept.name.clone()).await.unwrap();
        clear.create(&root, record(2, "one", &root, 10)).await.unwrap();
        proxy.release();
    };
    let (outcome, ()) = tokio::join!(store.attach(&root, attach(kept.id, team, 3)), replaced);
    assert_eq!(outcome.unwrap(), AttachOutcome::NoConnection);
    let seen = store.get(&root, Lookup::Name(kept.name)).await.unwrap().unwrap();
    assert_eq!(seen.workspace_names, []);
}

/// Faults for random runs: those that somebody waits for are few, since they take their time.
fn weighted() -> Vec<Fault> {
    let (late, others): (Vec<_>, Vec<_>) = Fault::ALL.into_iter().partition(|fault| fault.is_late());
    [others.repeat(10), late].concat()
}

fn as_the_model_or_not_at_all(mode: Workspaces) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let local = runtime.block_on(async { local().await.beside(true).await });
    let sequences = Sequences {
        count: 12,
        steps: 80,
        beside: Some(file!()),
    };
    let came = sequences.run(&runtime, steps(sequences.steps), async |case, steps| {
        local.proxy.fail_at_random(case, 25, &weighted());
        let (clear, idle) = (&local.clear, async || local.proxy.idle().await);
        same_outcomes_or_none(&local.store, clear, idle, mode, case, steps).await
    });
    let came = came.unwrap_or_else(|error| panic!("{error}"));
    let met = local.proxy.met();
    println!("{came:?}\n{met:?}");
    let steps: usize = came.values().sum();
    let given_up = came
        .iter()
        .filter(|(kind, _)| kind.contains("Busy") || kind.contains("Unavailable"));
    let given_up: usize = given_up.map(|(_, count)| count).sum();
    assert!(given_up * 10 < steps, "{given_up} of {steps} were given up");
    assert!(met.values().sum::<usize>() * 5 > steps, "{met:?} in {steps}");
    runtime.block_on(local.is_whole());
}

#[test]
fn random_calls_under_random_faults_are_as_the_models_or_not_done_at_all_in_open_mode() {
    as_the_model_or_not_at_all(Workspaces::Open);
}

#[test]
fn random_calls_under_random_faults_are_as_the_models_or_not_done_at_all_in_managed_mode() {
    as_the_model_or_not_at_all(Workspaces::Managed);
}

/// Operations of the race. `FAULT_OPERATIONS` takes more.
const OPERATIONS: usize = 3_000;

#[tokio::test(flavor = "multi_thread")]
async fn many_clients_are_told_what_fits_together_whatever_goes_wrong() {
    let operations = std::env::var("FAULT_OPERATIONS").map_or(OPERATIONS, |operations| operations.parse().unwrap());
    let local = local().await.beside(true).await;
    let workload = Workload {
        operations,
        ..Workload::default()
    };
    let registry = Registry { names: workload.names };
    local.proxy.fail_at_random(workload.seed, 40, &weighted());
    let store = local.store.clone();
    let target = move || Ok(InProcess::new(store.clone(), Workspaces::Open, 1024 * 1024));
    let history = workload.run(target).await.unwrap();
    local.proxy.idle().await;
    let answered = history.iter().filter(|operation| operation.answer.is_some()).count();
    let met = local.proxy.met();
    assert!(answered * 10 > history.len() * 9);
    println!(
        "{} operations, {answered} of them answered; {} faults: {met:?}",
        history.len(),
        met.values().sum::<usize>()
    );
    let kinds: BTreeSet<Fault> = met.into_keys().map(|(_, fault)| fault).collect();
    assert_eq!(kinds.len(), Fault::ALL.len());
    match registry.judge_each_name(&history) {
        Ok(_) => {}
        Err(Verdict::Violated(violation)) => panic!("{violation}"),
        Err(_) => panic!("undecided"),
    }
    local.is_whole().await;
}
