//! Tokens of an issuer, right and wrong.

use patchbay_core::api::Host as _;

use super::always;
use crate::issuer::Issuer;
use crate::runner::Case;
use crate::target::SystemHost;
use crate::world::{Reply, World};

/// Cases for a home that takes the default issuer's tokens, one for each token that the issuer makes to be taken or
/// refused.
pub(crate) fn cases() -> Vec<Case> {
    let (issuer, now) = (Issuer::default(), SystemHost.now());
    let good = issuer.good(now).into_iter().enumerate().map(|(place, (name, _))| Case {
        group: "tokens",
        name: format!("taken: {name}"),
        applies: always,
        act: Box::new(move |world| Box::pin(taken(world, place))),
    });
    let bad = issuer.bad(now).into_iter().map(|(name, token)| Case {
        group: "tokens",
        name: format!("refused: {name}"),
        applies: always,
        act: Box::new(move |world| Box::pin(refused(world, format!("Bearer {token}")))),
    });
    good.chain(bad).collect()
}

/// By its place, since some are good for seconds only.
async fn taken(world: &World<'_>, place: usize) {
    let (_, token) = Issuer::default().good(SystemHost.now()).swap_remove(place);
    list(world, &format!("Bearer {token}")).await.ok();
}

async fn refused(world: &World<'_>, authorization: String) {
    let reply = list(world, &authorization).await.refused(401, &["bearer token"]);
    let challenge = reply.header("www-authenticate");
    assert_eq!(challenge, Some("Bearer error=\"invalid_token\""), "{reply:?}");
}

async fn list(world: &World<'_>, authorization: &str) -> Reply {
    let call = world.call(None, "connections/list");
    let call = call.header("authorization", authorization.as_bytes());
    call.body("{\"limit\":1}").reply().await
}
