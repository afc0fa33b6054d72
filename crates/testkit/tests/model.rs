//! The stores of this workspace against the reference model: random sequences of operations by callers of different
//! standing, in both modes, as a store and behind the HTTP surface.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and say what it did"
)]

use bytes::Bytes;
use http::{Request, StatusCode};
use patchbay_core::model::Workspaces;
use patchbay_sql::{NativeStore, Options};
use patchbay_testkit::model::{Sequences, same_outcomes, steps};
use patchbay_testkit::races::{Race, RacyStore};
use patchbay_testkit::{InProcess, MemoryStore, Setting, Target as _};
use proptest::test_runner::TestError;
use tokio::runtime::{Builder, Runtime};

const STEPS: usize = 120;
/// Some twenty-four thousand steps in all.
const SEQUENCES: Sequences = Sequences {
    count: 400,
    steps: STEPS,
    beside: Some(file!()),
};
/// Small, so that lists are cut.
const ANSWER_BYTES: usize = 2 * 1024;

fn runtime() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

fn the_native_store_is_as_the_model(mode: Workspaces) {
    let folder = tempfile::tempdir().unwrap();
    let store = NativeStore::open(folder.path(), Options::default()).unwrap();
    let kinds = SEQUENCES.on_store(&runtime(), &store, mode);
    let kinds = kinds.unwrap_or_else(|error| panic!("{error}"));
    println!("{} steps: {kinds:?}", kinds.values().sum::<usize>());
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
        "AddMember Added",
        "AddMember NoWorkspace",
        "AddMember Forbidden",
        "AddMember LastOwner",
        "Members All",
        "Members NoWorkspace",
        "RemoveMember Removed",
        "RemoveMember NotAMember",
        "RemoveMember NoWorkspace",
        "RemoveMember Forbidden",
        "RemoveMember LastOwner",
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
    let setting = Setting {
        workspaces: mode,
        answer_bytes: ANSWER_BYTES,
        callers: true,
        trail: false,
        apart: false,
    };
    let target = InProcess::new(store, mode, ANSWER_BYTES);
    let statuses = SEQUENCES.on_target(&runtime(), &target, setting);
    let statuses = statuses.unwrap_or_else(|error| panic!("{error}"));
    println!("{} requests: {statuses:?}", statuses.values().sum::<usize>());
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

/// Everybody is one admin of one tenant, as behind an address.
#[test]
fn a_target_without_callers_is_as_the_model_from_sequence_to_sequence() {
    let (mode, answer_bytes) = (Workspaces::Managed, ANSWER_BYTES);
    let setting = Setting {
        workspaces: mode,
        answer_bytes,
        callers: false,
        trail: false,
        apart: false,
    };
    let fresh = || InProcess::new(MemoryStore::default(), mode, answer_bytes);
    let statuses = SEQUENCES.on_target(&runtime(), &fresh(), setting).unwrap();
    assert_eq!(Vec::from_iter(statuses.into_keys()), [200, 204, 400, 404, 409, 413]);

    let used = fresh();
    runtime().block_on(async {
        let body = Bytes::from_static(br#"{"name":"a","type":"KAFKA"}"#);
        let create = Request::post("/v1/api/connections/create").body(body).unwrap();
        assert_eq!(used.send(None, create).await.unwrap().status(), StatusCode::OK);
    });
    let outcome = SEQUENCES.on_target(&runtime(), &used, setting);
    assert!(matches!(outcome, Err(TestError::Fail(..))), "{outcome:?}");
}

#[test]
fn a_store_that_is_not_as_the_model_is_found_out_and_its_sequence_made_short() {
    let sequences = Sequences {
        beside: None,
        ..SEQUENCES
    };
    let outcome = sequences.run(&runtime(), steps(STEPS), async |case, steps| {
        let store = RacyStore::new(MemoryStore::default(), Race::StaleReads);
        same_outcomes(&store, Workspaces::Open, case, steps).await
    });
    match outcome {
        // How short depends on the sequence that was drawn, since tries to make it shorter are bounded: mostly ten or less.
        Err(TestError::Fail(_, steps)) => assert!(steps.len() <= STEPS / 4, "{steps:#?}"),
        outcome => panic!("{outcome:?}"),
    }
}
