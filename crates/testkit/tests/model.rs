//! The stores of this workspace against the reference model: random sequences of operations by callers of different
//! standing, in both modes, as a store and behind the HTTP surface.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and say what it did"
)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};

use patchbay_core::model::{Person, Role, Tenant, WorkspaceId, Workspaces};
use patchbay_sql::database::Database as _;
use patchbay_sql::workspaces::put_member;
use patchbay_sql::{DATABASE_FILE, NativeStore, Options};
use patchbay_testkit::model::{SeedMembers, requests, same_answers, same_outcomes, steps};
use patchbay_testkit::races::{Race, RacyStore};
use patchbay_testkit::{InProcess, MemoryStore};
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, FileFailurePersistence, TestCaseError, TestError, TestRunner};

/// Sequences a test, of up to so many steps: some twenty-four thousand steps in all.
const CASES: u32 = 400;
const STEPS: usize = 120;
/// Small, so that lists are cut.
const ANSWER_BYTES: usize = 2 * 1024;

/// A second way into a store's file.
struct Members(rusqlite::Connection);

impl SeedMembers for Members {
    async fn put_member(&self, tenant: &Tenant, workspace: WorkspaceId, person: Person, role: Role) -> bool {
        let put = |statements: &dyn patchbay_sql::database::Statements| {
            put_member(statements, tenant, workspace, &person, role)
        };
        self.0.transaction(put).is_ok()
    }
}

/// Runs a test on sequences, each with a number of its own. A sequence that fails is made shorter and, unless that is
/// what a test is for, kept beside this file. Gives the kinds of outcomes that came, and how often.
fn on<S: Strategy<Value: Debug>, K: Ord + Debug>(
    sequences: S,
    persistence: Option<FileFailurePersistence>,
    test: impl AsyncFn(u64, &S::Value) -> Result<Vec<K>, String>,
) -> Result<BTreeMap<K, usize>, TestError<S::Value>> {
    let config = Config {
        cases: CASES,
        source_file: Some(file!()),
        failure_persistence: persistence.map(|persistence| Box::new(persistence) as _),
        ..Config::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let case = AtomicU64::new(0);
    let came = RefCell::new(BTreeMap::new());
    TestRunner::new(config).run(&sequences, |sequence| {
        let case = case.fetch_add(1, Ordering::Relaxed);
        let kinds = runtime.block_on(test(case, &sequence)).map_err(TestCaseError::fail)?;
        let mut came = came.borrow_mut();
        for kind in kinds {
            *came.entry(kind).or_insert(0) += 1;
        }
        Ok(())
    })?;
    let came = came.into_inner();
    println!("{} steps: {came:?}", came.values().sum::<usize>());
    Ok(came)
}

/// Keeps a sequence that failed.
fn kept<S: Strategy<Value: Debug>, K: Ord + Debug>(
    sequences: S,
    test: impl AsyncFn(u64, &S::Value) -> Result<Vec<K>, String>,
) -> BTreeMap<K, usize> {
    let persistence = FileFailurePersistence::WithSource("regressions");
    on(sequences, Some(persistence), test).unwrap_or_else(|error| panic!("{error}"))
}

fn the_native_store_is_as_the_model(mode: Workspaces) {
    let folder = tempfile::tempdir().unwrap();
    let store = NativeStore::open(folder.path(), Options::default()).unwrap();
    let members = rusqlite::Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    members.pragma_update(None, "foreign_keys", true).unwrap();
    let members = Members(members);
    let kinds = kept(steps(STEPS), async |case, steps| {
        same_outcomes(&store, &members, mode, case, steps).await
    });
    for kind in [
        "Create Created",
        "Create NameTaken",
        "Get Some",
        "Get None",
        "List Page",
        "List NoWorkspace",
        "Attach Attached",
        "Attach NoConnection",
        "Attach NoWorkspace",
        "Attach Forbidden",
        "Detach Detached",
        "Detach NotAttached",
        "Detach Forbidden",
        "Delete Deleted",
        "Delete NotFound",
        "Delete Forbidden",
        "Delete Attached",
        "CreateWorkspace Created",
        "CreateWorkspace NameTaken",
        "PutMember true",
        "PutMember false",
    ] {
        assert!(kinds.contains_key(kind), "no {kind} among {kinds:?}");
    }
}

#[test]
fn the_native_store_is_as_the_model_in_open_mode() {
    the_native_store_is_as_the_model(Workspaces::Open);
}

#[test]
fn the_native_store_is_as_the_model_in_managed_mode() {
    the_native_store_is_as_the_model(Workspaces::Managed);
}

fn the_surface_is_as_the_models(mode: Workspaces) {
    let folder = tempfile::tempdir().unwrap();
    let store = NativeStore::open(folder.path(), Options::default()).unwrap();
    let statuses = kept(requests(STEPS), async |case, requests| {
        let target = InProcess::new(store.clone(), mode, ANSWER_BYTES);
        let model = InProcess::new(MemoryStore::default(), mode, ANSWER_BYTES);
        same_answers(&target, &model, case, requests).await
    });
    assert_eq!(
        Vec::from_iter(statuses.into_keys()),
        [200, 204, 400, 403, 404, 409, 413]
    );
}

#[test]
fn the_surface_over_the_native_store_is_as_the_models_in_open_mode() {
    the_surface_is_as_the_models(Workspaces::Open);
}

#[test]
fn the_surface_over_the_native_store_is_as_the_models_in_managed_mode() {
    the_surface_is_as_the_models(Workspaces::Managed);
}

#[test]
fn a_store_that_is_not_as_the_model_is_found_out_and_its_sequence_made_short() {
    let outcome = on(steps(STEPS), None, async |case, steps| {
        let members = MemoryStore::default();
        let store = RacyStore::new(members.clone(), Race::StaleReads);
        same_outcomes(&store, &members, Workspaces::Open, case, steps).await
    });
    match outcome {
        Err(TestError::Fail(_, steps)) => assert!(steps.len() <= 10, "{steps:#?}"),
        outcome => panic!("{outcome:?}"),
    }
}
