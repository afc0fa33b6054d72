//! What the conformance cases are worth: each fault that is seeded on purpose is caught by one of them.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and which case caught what is worth reading"
)]

use patchbay_core::model::Workspaces;
use patchbay_testkit::faults::{FaultyStore, FaultySurface, StoreFault, SurfaceFault};
use patchbay_testkit::model::{Sequences, same_outcomes, steps};
use patchbay_testkit::{InProcess, MemoryStore, Setting, Target, cases, run};
use tokio::runtime::{Builder, Runtime};

const ANSWER_BYTES: usize = 1024 * 1024;
const MODES: [Workspaces; 2] = [Workspaces::Managed, Workspaces::Open];

/// The first case that notices that something is wrong with `target`.
async fn caught(target: &dyn Target, workspaces: Workspaces) -> Option<String> {
    // A case notices by panicking; a backtrace for each would bury what this test says, and take most of its time.
    std::panic::set_hook(Box::new(|_| ()));
    let setting = Setting {
        workspaces,
        answer_bytes: ANSWER_BYTES,
        callers: true,
        trail: false,
        apart: false,
    };
    let report = run(target, setting, &cases(), |_, outcome| outcome.is_ok()).await;
    report.failed.into_iter().next().map(|(case, _)| case)
}

/// Whether random operations show that the store is not as it should be.
fn unlike_the_model(runtime: &Runtime, fault: StoreFault) -> bool {
    let sequences = Sequences {
        count: 100,
        steps: 120,
        beside: None,
    };
    let outcome = sequences.run(runtime, steps(sequences.steps), async |case, steps| {
        let store = FaultyStore::new(MemoryStore::default(), fault);
        same_outcomes(&store, Workspaces::Open, case, steps).await
    });
    outcome.is_err()
}

/// Says which case caught the fault, or that none did.
fn tell(fault: &impl std::fmt::Debug, case: Option<String>) -> bool {
    println!("{fault:?}: {}", case.as_deref().unwrap_or("nothing notices"));
    case.is_some()
}

#[test]
fn every_fault_of_a_store_is_caught() -> Result<(), String> {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let mut missed = Vec::new();
    for fault in StoreFault::ALL {
        let mut case = None;
        for mode in MODES {
            if case.is_none() {
                let store = FaultyStore::new(MemoryStore::default(), *fault);
                case = runtime.block_on(caught(&InProcess::new(store, mode, ANSWER_BYTES), mode));
            }
        }
        // What a store gives too much of, the core may leave out of its answer.
        case = case.or_else(|| unlike_the_model(&runtime, *fault).then(|| "the model".to_owned()));
        if !tell(fault, case) {
            missed.push(fault);
        }
    }
    none(&missed)
}

#[tokio::test]
async fn every_fault_of_the_surface_is_caught() -> Result<(), String> {
    let mut missed = Vec::new();
    for fault in SurfaceFault::ALL {
        let mut case = None;
        for mode in MODES {
            if case.is_none() {
                let sound = InProcess::new(MemoryStore::default(), mode, ANSWER_BYTES);
                case = caught(&FaultySurface::new(&sound, *fault), mode).await;
            }
        }
        if !tell(fault, case) {
            missed.push(fault);
        }
    }
    none(&missed)
}

fn none(missed: &[impl std::fmt::Debug]) -> Result<(), String> {
    if missed.is_empty() {
        Ok(())
    } else {
        Err(format!("nothing notices {missed:?}"))
    }
}
