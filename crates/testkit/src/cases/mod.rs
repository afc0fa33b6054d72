//! The rules of the contract, a named case for one behaviour.

#![allow(
    clippy::indexing_slicing,
    reason = "a case says by panicking that something does not hold"
)]

mod around;
mod attaching;
mod audit;
mod bodies;
mod callers;
mod create;
mod details;
mod heads;
mod listing;
mod members;
mod operator;
mod paging;
mod races;
mod reading;
mod removing;
mod tokens;
mod workspaces;

pub(crate) use self::callers::kept;
use crate::runner::{Case, Setting};

/// Cases out of functions, each named for its behaviour: `make!("create", always; one, two)`.
macro_rules! make {
    ($group:literal, $applies:expr; $($case:ident),+ $(,)?) => {
        vec![$(crate::runner::Case {
            group: $group,
            name: stringify!($case).to_owned(),
            applies: $applies,
            act: Box::new(|world| Box::pin($case(world))),
        }),+]
    };
}
pub(crate) use make;

fn always(_: &Setting) -> bool {
    true
}

fn in_open_mode(setting: &Setting) -> bool {
    setting.workspaces == patchbay_core::model::Workspaces::Open
}

fn in_managed_mode(setting: &Setting) -> bool {
    !in_open_mode(setting)
}

pub(crate) fn with_callers(setting: &Setting) -> bool {
    setting.callers && in_managed_mode(setting)
}

/// Where a case can make more workspaces than one answer holds, in a tenant that only the case knows.
fn with_short_answers(setting: &Setting) -> bool {
    setting.callers && setting.answer_bytes <= 2 * 1024 * 1024
}

/// Every case, grouped by operation. Those with callers need [`crate::operator::entry`] as an operator.
pub fn cases() -> Vec<Case> {
    let groups = [
        heads::cases(),
        bodies::cases(),
        create::cases(),
        details::cases(),
        reading::cases(),
        attaching::cases(),
        listing::cases(),
        paging::cases(),
        removing::cases(),
        workspaces::cases(),
        members::cases(),
        around::cases(),
        audit::cases(),
        callers::cases(),
        races::cases(),
        crate::matrix::cases(),
    ];
    groups.into_iter().flatten().collect()
}

/// Every case for a home that takes the tokens of the default issuer and of its settings' operator, and the right and wrong ones among these. Without the
/// case that says what a home does with tokens while authentication is off.
pub fn cases_with_issuer() -> Vec<Case> {
    let mut cases = cases();
    cases.retain(|case| !case.name.ends_with("while_authentication_is_off"));
    cases.extend(tokens::cases());
    cases
}

/// What holds where [`crate::operator::entry`] names an operator; in the group `rotation`, where the store lends what that
/// takes as well.
pub fn operator_cases() -> Vec<Case> {
    operator::cases()
        .into_iter()
        .chain(crate::matrix::rotation_cases())
        .collect()
}
