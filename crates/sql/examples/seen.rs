//! Lists, over and over, what somebody who is no admin sees in a data folder: what `cargo xtask bench` counts the
//! instructions of. Its arguments are the folder, the tenant, the subject and how often.

use patchbay_core::model::{Caller, Subject, Tenant, Workspaces};
use patchbay_core::store::{ListOutcome, ListQuery, Store as _};
use patchbay_sql::{NativeStore, Options};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [folder, tenant, subject, times] = arguments.as_slice() else {
        return Err("which folder, tenant and subject, and how often?".into());
    };
    let caller = Caller {
        tenant: Tenant::new(tenant)?,
        subject: Subject::new(subject)?,
        email: None,
        admin: false,
    };
    let query = ListQuery {
        workspace: None,
        workspaces: Workspaces::Managed,
        after: None,
        limit: None,
        details: true,
        most_bytes: usize::MAX,
    };
    let store = NativeStore::open(folder.as_ref(), Options::default())?;
    for _ in 0..times.parse()? {
        match store.list(&caller, query.clone()).await? {
            ListOutcome::Page { rows, .. } if rows.len() == 1_000 => {}
            _ => return Err("they should see 1,000 connections".into()),
        }
    }
    Ok(())
}
