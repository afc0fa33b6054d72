//! What `cargo xtask bench callers` calls with: prints, as JSON, an issuer's key set, a token that it signed, and how
//! long the server takes to authenticate by an ES256 token that it has not seen before.

#![allow(clippy::print_stdout, reason = "that is its answer")]

use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt as _;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use patchbay_core::api::Host as _;
use patchbay_core::identity::Authentication;
use patchbay_core::identity::keys::KeySet;
use patchbay_core::identity::oidc::{ClaimPath, Oidc, Rules};
use patchbay_core::model::{Caller, Subject, Tenant};
use patchbay_testkit::SystemHost;
use patchbay_testkit::issuer::{AUDIENCE, By, ISSUER, Issuer};
use serde_json::json;

/// Tokens in a round, each another's.
const TOKENS: usize = 1_000;
const ROUNDS: usize = 11;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let issuer = Issuer::default();
    let rules = Rules {
        issuer: ISSUER.into(),
        audience: AUDIENCE.into(),
        tenant: ClaimPath::new("tenant")?,
        admin: None,
        email: ClaimPath::new("email")?,
    };
    let keys = KeySet::parse(&issuer.jwks())?;
    let authentication = Authentication::Oidc(Arc::new(Oidc::new(rules, keys, patchbay_signature::verify_by_ring)));

    let now = SystemHost.now();
    let token = |subject: &str| -> Result<String, Box<dyn std::error::Error>> {
        let caller = Caller {
            tenant: Tenant::new("acme")?,
            subject: Subject::new(subject)?,
            email: None,
            admin: false,
        };
        Ok(issuer.token(By::Es256, &caller, now))
    };
    let mut micros = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        let mut heads = Vec::with_capacity(TOKENS);
        for number in 0..TOKENS {
            let bearer = format!("Bearer {}", token(&format!("{round}-{number}"))?);
            heads.push(HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::try_from(bearer)?)]));
        }
        let started = Instant::now();
        for head in &heads {
            let caller = authentication.caller(head, now).now_or_never();
            caller.ok_or("something was waited for")??;
        }
        micros.push(started.elapsed().as_secs_f64() * 1e6 / TOKENS as f64);
    }
    micros.sort_by(f64::total_cmp);
    let median = micros.get(ROUNDS / 2);
    println!(
        "{}",
        json!({"jwks": issuer.jwks(), "token": token("ann")?, "micros": median})
    );
    Ok(())
}
