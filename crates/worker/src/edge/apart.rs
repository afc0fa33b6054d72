//! What an adoption takes of the Worker's store: two tenants' objects are asked, which may be the same one.

use patchbay_core::adoption::apart::{Apart, Begun, Decided, Part, Run};
use patchbay_core::adoption::{Adopted, Conflicts, NewOwner};
use patchbay_core::api::Host;
use patchbay_core::identity::Authentication;
use patchbay_core::model::Tenant;
use patchbay_core::rotation::{Place, Step};
use patchbay_core::store::StoreError;
use serde::de::DeserializeOwned;

use super::EdgeStore;
use crate::protocol::{AskTenant, OfAdoption, decode, encode};
use crate::surroundings::{Authority, Kv, Whom};

impl<K: Kv, A: Authority, H: Host> EdgeStore<K, A, H> {
    /// Asks the object of the tenant whose things are given away.
    async fn ask_from<T: DeserializeOwned>(&self, of: OfAdoption) -> Result<T, StoreError> {
        self.ask_adoption(&Authentication::anonymous().tenant, of).await
    }

    async fn ask_adoption<T: DeserializeOwned>(&self, tenant: &Tenant, of: OfAdoption) -> Result<T, StoreError> {
        let ask = encode(&AskTenant::Adoption(tenant.clone(), of));
        let told = self.inner.authority.ask_in_passing(Whom::Tenant(tenant), ask);
        decode::<Result<T, StoreError>>(&told.await?)?
    }
}

impl<K: Kv, A: Authority, H: Host> Apart for EdgeStore<K, A, H> {
    async fn freeze(&self, to: &NewOwner, run: Run) -> Result<Begun, StoreError> {
        self.ask_from(OfAdoption::Freeze(to.clone(), run)).await
    }

    async fn begun(&self) -> Result<Option<NewOwner>, StoreError> {
        self.ask_from(OfAdoption::Begun).await
    }

    async fn adopted(&self, to: &NewOwner, run: Run) -> Result<Option<Adopted>, StoreError> {
        self.ask_adoption(&to.tenant, OfAdoption::Adopted(run)).await
    }

    async fn expect(&self, to: &NewOwner, run: Run) -> Result<Option<Adopted>, StoreError> {
        self.ask_adoption(&to.tenant, OfAdoption::Expect(run)).await
    }

    async fn leaving(&self, after: Option<Place>, most: u16) -> Result<Step<Vec<Part>>, StoreError> {
        self.ask_from(OfAdoption::Leaving(after, most)).await
    }

    async fn arrive(&self, to: &NewOwner, run: Run, parts: Vec<Part>) -> Result<bool, StoreError> {
        self.ask_adoption(&to.tenant, OfAdoption::Arrive(run, parts)).await
    }

    async fn decide(&self, to: &NewOwner, run: Run, rehearsal: bool) -> Result<Decided, StoreError> {
        let crosses = to.tenant != Authentication::anonymous().tenant;
        let conflicts = OfAdoption::Conflicts((!rehearsal).then_some(run), crosses);
        let Some(conflicts) = self.ask_from::<Option<Conflicts>>(conflicts).await? else {
            return Ok(Decided::Overtaken);
        };
        let decide = OfAdoption::Decide(to.clone(), run, conflicts, rehearsal);
        self.ask_adoption(&to.tenant, decide).await
    }

    async fn leave(&self, run: Run) -> Result<bool, StoreError> {
        self.ask_from(OfAdoption::Leave(run)).await
    }

    async fn give_up(&self, to: &NewOwner, run: Run) -> Result<Option<Adopted>, StoreError> {
        // In this order: what has arrived is decided no more when changes are made again.
        let adopted: Option<Adopted> = self.ask_adoption(&to.tenant, OfAdoption::Forget(run)).await?;
        if adopted.is_none() {
            self.ask_from::<()>(OfAdoption::Thaw(run)).await?;
        }
        Ok(adopted)
    }
}
