//! Who takes part, and the few names that they use.

use patchbay_core::model::{Caller, Invalid, Subject, Tenant};
use proptest::prelude::*;

/// Callers: ann, bob, eve, an admin, and two of another tenant.
pub(super) const CALLERS: usize = 6;
/// Names of connections and workspaces; their byte order is not this one.
pub(super) const NAMES: [&str; 6] = ["b", "a", "B", "ä", "a b", "a\"\\/%#"];

/// Who does a step: mostly somebody of the first tenant.
pub(super) fn callers() -> impl Strategy<Value = usize> {
    prop_oneof![9 => 0..4_usize, 1 => 4..CALLERS]
}

/// A caller of this case's tenants. Most have an e-mail address that is theirs alone; one's subject is another's
/// address.
pub(super) fn caller(case: &str, who: usize) -> Result<Caller, Invalid> {
    let (tenant, subject, email, admin) = match who % CALLERS {
        0 => (1, "ann", Some("ann@x"), false),
        1 => (1, "bob", Some("bob@x"), false),
        2 => (1, "bob@x", None, false),
        3 => (1, "root", None, true),
        4 => (2, "ann", Some("ann@x"), false),
        _ => (2, "root", None, true),
    };
    Ok(Caller {
        tenant: Tenant::new(&format!("{case}-{tenant}"))?,
        subject: Subject::new(subject)?,
        email: email.map(Subject::new).transpose()?,
        admin,
    })
}
