//! Runs cases and counts.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use patchbay_core::model::Workspaces;

use crate::target::Target;
use crate::world::World;

/// What the target is known to be.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Which mode of workspaces it runs in.
    pub workspaces: Workspaces,
    /// Its bound for an answer, in bytes.
    pub answer_bytes: usize,
    /// Whether it can be called by others than the admin that everybody is with authentication off.
    pub callers: bool,
    /// Whether it keeps an audit trail of its own.
    pub trail: bool,
    /// Whether it keeps tenants apart, and adopts when it is asked to; it names no tenant that may be given anything.
    pub apart: bool,
}

/// One behaviour of the contract.
pub struct Case {
    /// The operation that it belongs to.
    pub group: &'static str,
    /// The behaviour.
    pub name: String,
    /// What the target must be for the behaviour to show.
    pub(crate) applies: fn(&Setting) -> bool,
    pub(crate) act: Act,
}

pub(crate) type Act = Box<dyn for<'w> Fn(&'w World<'w>) -> LocalBoxFuture<'w, ()>>;

/// What a run came to.
#[derive(Debug, Default)]
pub struct Report {
    /// Cases that held.
    pub passed: usize,
    /// `group: name` of each case that did not, and how it showed.
    pub failed: Vec<(String, String)>,
}

/// Runs the cases that apply, one after the other, each with names of its own, and tidies up after each. Cases say by
/// panicking that something does not hold. `done` is told of each case; where it returns `false` the run ends.
pub async fn run(
    target: &dyn Target,
    setting: Setting,
    cases: &[Case],
    mut done: impl FnMut(&Case, Result<(), &str>) -> bool,
) -> Report {
    let mut report = Report::default();
    for case in cases.iter().filter(|case| (case.applies)(&setting)) {
        let world = World::new(target, setting);
        let outcome = AssertUnwindSafe((case.act)(&world)).catch_unwind().await;
        AssertUnwindSafe(world.tidy()).catch_unwind().await.ok();
        let failure = outcome.err().map(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
                .unwrap_or_else(|| "it panicked".into())
        });
        let go_on = done(case, failure.as_deref().map_or(Ok(()), Err));
        match failure {
            None => report.passed += 1,
            Some(failure) => report.failed.push((format!("{}: {}", case.group, case.name), failure)),
        }
        if !go_on {
            break;
        }
    }
    report
}
