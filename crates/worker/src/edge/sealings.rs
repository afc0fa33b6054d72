//! What rotation of keys takes of the Worker's store: each tenant's object is asked, in the order of the directory.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use patchbay_core::api::Host;
use patchbay_core::model::Tenant;
use patchbay_core::rotation::{Counted, Held, Place, Replacement, Sealings, Step, Unreadable, Wanted};
use patchbay_core::store::StoreError;
use serde::de::DeserializeOwned;

use super::EdgeStore;
use crate::protocol::{AskDirectory, AskTenant, OfSealings, decode, encode};
use crate::surroundings::{Authority, Kv, Whom};

/// Tenants that one step passes at most, where it finds nothing of them. With one request to the directory, and one for
/// what is replaced, this makes the six requests of [`WALK_STEPS`](patchbay_core::limits::WALK_STEPS).
const TENANTS_A_STEP: u16 = 4;

/// How far a walk is: it has passed this tenant, or goes on within it.
struct Reached {
    tenant: Tenant,
    within: Option<Place>,
}

impl Reached {
    fn place(self) -> Place {
        let within = self.within.map_or_else(String::new, |place| place.0);
        Place(format!("{} {}{within}", self.tenant.as_str().len(), self.tenant))
    }

    fn parse(place: &Place) -> Option<Self> {
        let (length, rest) = place.0.split_once(' ')?;
        let (tenant, within) = rest.split_at_checked(length.parse().ok()?)?;
        Some(Self {
            tenant: Tenant::new(tenant).ok()?,
            within: Some(Place(within.to_owned())).filter(|place| !place.0.is_empty()),
        })
    }
}

fn reached(after: Option<&Place>) -> Result<Option<Reached>, StoreError> {
    let nowhere = || StoreError::Damaged("a rotation goes on from no place of this store".into());
    after.map(|place| Reached::parse(place).ok_or_else(nowhere)).transpose()
}

impl<K: Kv, A: Authority, H: Host> EdgeStore<K, A, H> {
    /// The next tenants after this one.
    async fn tenants(&self, after: Option<Tenant>) -> Result<Vec<Tenant>, StoreError> {
        let ask = encode(&AskDirectory::Tenants(after, TENANTS_A_STEP));
        let told = self.inner.authority.ask_in_passing(Whom::Directory, ask);
        decode::<Result<_, StoreError>>(&told.await?)?
    }

    async fn ask_of<T: DeserializeOwned>(&self, tenant: &Tenant, of: OfSealings) -> Result<T, StoreError> {
        let ask = encode(&AskTenant::Sealings(tenant.clone(), of));
        let told = self.inner.authority.ask_in_passing(Whom::Tenant(tenant), ask);
        decode::<Result<T, StoreError>>(&told.await?)?
    }
}

impl<K: Kv, A: Authority, H: Host> Sealings for EdgeStore<K, A, H> {
    /// In the place of the records of a tenant that a key seals no more, it counts the entries of KV which that key sealed
    /// and which a reader may still take.
    async fn count_sealed(&self, after: Option<Place>) -> Result<Step<Counted>, StoreError> {
        let passed = reached(after.as_ref())?.map(|reached| reached.tenant);
        let tenants = self.tenants(passed).await?;
        let counts = tenants.iter().map(|tenant| self.ask_of(tenant, OfSealings::Count));
        let mut found = Counted::default();
        for counted in try_join_all(counts).await? {
            found.add(counted);
        }
        let next = tenants.into_iter().next_back();
        Ok(Step {
            found,
            next: next.map(|tenant| Reached { tenant, within: None }.place()),
        })
    }

    /// Of one tenant at a time, and on to the next ones while there is nothing.
    async fn sealed(
        &self,
        wanted: Wanted,
        after: Option<Place>,
        most: u16,
    ) -> Result<Step<Vec<Result<Held, Unreadable>>>, StoreError> {
        let (tenants, mut within) = match reached(after.as_ref())? {
            Some(Reached {
                tenant,
                within: Some(place),
            }) => (vec![tenant], Some(place)),
            passed => (self.tenants(passed.map(|reached| reached.tenant)).await?, None),
        };
        let (mut found, mut next) = (Vec::new(), None);
        for tenant in tenants {
            let of = OfSealings::Sealed(wanted.clone(), within.take(), most);
            let step: Step<Vec<_>> = match self.ask_of(&tenant, of).await {
                // What its object cannot read ends no walk over the others. It is missing in no count: that one fails.
                Err(StoreError::Damaged(why)) => {
                    let at = format!("the object of the tenant {tenant}");
                    let (found, next) = (vec![Err(Unreadable { at, why })], None);
                    Step { found, next }
                }
                told => told?,
            };
            found = step.found;
            let goes_on = step.next.is_some();
            next = Some(
                Reached {
                    tenant,
                    within: step.next,
                }
                .place(),
            );
            if goes_on || !found.is_empty() {
                break;
            }
        }
        Ok(Step { found, next })
    }

    async fn replace_sealed(&self, replacements: Vec<Replacement>) -> Result<usize, StoreError> {
        let mut of_tenants: BTreeMap<Tenant, Vec<Replacement>> = BTreeMap::new();
        for replacement in replacements {
            let of_tenant = of_tenants.entry(replacement.tenant.clone()).or_default();
            of_tenant.push(replacement);
        }
        let mut replaced = 0;
        for (tenant, replacements) in of_tenants {
            let more: usize = self.ask_of(&tenant, OfSealings::Replace(replacements)).await?;
            replaced += more;
        }
        Ok(replaced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_leads_back_to_its_tenant_and_the_place_within() {
        for tenant in ["acme", "1", "1 2", "12 é/x"] {
            for within in [None, Some(Place("k1 7".into()))] {
                let (tenant, expected) = (Tenant::new(tenant).unwrap(), (tenant, within.clone()));
                let reached = Reached::parse(&Reached { tenant, within }.place()).unwrap();
                assert_eq!((reached.tenant.as_str(), reached.within), expected);
            }
        }
        for wrong in ["", "acme", "5 acme", "x acme", "1 é"] {
            assert!(Reached::parse(&Place(wrong.into())).is_none(), "{wrong}");
        }
    }
}
