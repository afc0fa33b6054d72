//! What an adoption takes of the Worker's store: two tenants' objects are asked, which may be the same one.

use patchbay_core::adoption::apart::{Apart, Ask, Told};
use patchbay_core::api::Host;
use patchbay_core::model::Tenant;
use patchbay_core::store::StoreError;

use super::EdgeStore;
use crate::protocol::{AskTenant, decode, encode};
use crate::surroundings::{Authority, Kv, Whom};

impl<K: Kv, A: Authority, H: Host> Apart for EdgeStore<K, A, H> {
    async fn ask(&self, tenant: &Tenant, ask: Ask) -> Result<Told, StoreError> {
        let ask = encode(&AskTenant::Adoption(tenant.clone(), ask));
        let told = self.inner.authority.ask_in_passing(Whom::Tenant(tenant), ask);
        decode::<Result<Told, StoreError>>(&told.await?)?
    }
}
