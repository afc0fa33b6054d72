//! What a suite that bears with late reads bears with: late reads within the bound, and no other lateness.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use patchbay_core::model::Workspaces;
use patchbay_core::store::Store;
use patchbay_testkit::faults::{Late, LateStore};
use patchbay_testkit::model::{requests, same_answers};
use patchbay_testkit::races::{Race, RacyStore};
use patchbay_testkit::{Case, InProcess, MemoryStore, Patient, Report, Setting, cases, run};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;

const BOUND: Duration = Duration::from_secs(60);
const LATER: Duration = Duration::from_secs(61);
const ANSWER_BYTES: usize = 1024 * 1024;

fn late(late: Late, by: Duration) -> LateStore<MemoryStore> {
    LateStore::new(MemoryStore::default(), late, by)
}

async fn held<S: Store + Clone>(store: S, workspaces: Workspaces, bound: Duration, cases: &[Case]) -> Report {
    // A case notices by panicking; a backtrace for each would bury what this test says, and take most of its time.
    std::panic::set_hook(Box::new(|_| ()));
    let setting = Setting {
        workspaces,
        answer_bytes: ANSWER_BYTES,
        callers: true,
        trail: false,
        apart: false,
    };
    let target = InProcess::new(store, workspaces, ANSWER_BYTES);
    run(&Patient::new(&target, bound), setting, cases, |_, _| true).await
}

async fn all_hold<S: Store + Clone>(store: S, workspaces: Workspaces) -> Result<(), String> {
    let report = held(store, workspaces, BOUND, &cases()).await;
    match report.failed.as_slice() {
        [] if report.passed > 150 => Ok(()),
        [] => Err(format!("only {} cases applied", report.passed)),
        failed => Err(format!("{failed:#?}")),
    }
}

/// That at least so many cases about what is read after a change notice.
async fn noticed<S: Store + Clone>(store: S, bound: Duration, least: usize) -> Result<(), String> {
    let about = [
        "connections/get",
        "connections/remove_from_workspace",
        "connections/delete",
    ];
    let cases: Vec<Case> = cases().into_iter().filter(|case| about.contains(&case.group)).collect();
    match held(store, Workspaces::Open, bound, &cases).await.failed.len() {
        enough if enough >= least => Ok(()),
        fewer => Err(format!("only {fewer} cases notice")),
    }
}

#[tokio::test(start_paused = true)]
async fn the_cases_hold_over_reads_that_are_late_within_the_bound_in_open_mode() -> Result<(), String> {
    all_hold(late(Late::Reads, BOUND), Workspaces::Open).await
}

#[tokio::test(start_paused = true)]
async fn the_cases_hold_over_reads_that_are_late_within_the_bound_in_managed_mode() -> Result<(), String> {
    all_hold(late(Late::Reads, BOUND), Workspaces::Managed).await
}

#[tokio::test(start_paused = true)]
async fn late_reads_are_noticed_beyond_the_bound_and_where_there_is_none() -> Result<(), String> {
    noticed(late(Late::Reads, LATER), BOUND, 2).await?;
    noticed(late(Late::Reads, BOUND), Duration::ZERO, 2).await
}

#[tokio::test(start_paused = true)]
async fn late_refusals_are_noticed_within_the_bound() -> Result<(), String> {
    noticed(late(Late::Refusals, BOUND), BOUND, 1).await
}

#[tokio::test(start_paused = true)]
async fn late_lists_are_noticed_within_the_bound() -> Result<(), String> {
    noticed(late(Late::Lists, BOUND), BOUND, 1).await
}

#[tokio::test(start_paused = true)]
async fn late_changes_are_noticed_within_the_bound() -> Result<(), String> {
    let store = RacyStore::new(MemoryStore::default(), Race::EarlyAcknowledgement);
    noticed(store, BOUND, 1).await
}

/// The first difference between the model and a store whose reads are late, over many sequences of requests.
async fn difference(late: Late, by: Duration) -> Option<String> {
    let mut runner = TestRunner::deterministic();
    for case in 0..400 {
        let requests = requests(120).new_tree(&mut runner).unwrap().current();
        let mode = Workspaces::Open;
        let model = InProcess::new(MemoryStore::default(), mode, ANSWER_BYTES);
        let target = InProcess::new(self::late(late, by), mode, ANSWER_BYTES);
        let difference = same_answers(&Patient::new(&target, BOUND), &model, Some(case), &requests).await;
        if let Err(difference) = difference {
            return Some(difference);
        }
    }
    None
}

#[tokio::test(start_paused = true)]
async fn a_surface_is_as_the_models_where_its_reads_are_late_within_the_bound_and_not_otherwise() -> Result<(), String>
{
    match difference(Late::Reads, BOUND).await {
        None => {}
        Some(difference) => return Err(difference),
    }
    for (late, by) in [(Late::Reads, LATER), (Late::Refusals, BOUND), (Late::Lists, BOUND)] {
        let difference = difference(late, by).await;
        difference.ok_or(format!("nothing notices {late:?} that are late by {by:?}"))?;
    }
    Ok(())
}
