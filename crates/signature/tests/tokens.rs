//! An issuer's tokens, verified as a home does.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::FutureExt as _;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use patchbay_core::api::Host as _;
use patchbay_core::identity::keys::{KeySet, Verify};
use patchbay_core::identity::oidc::{ClaimIs, ClaimPath, Oidc, Rules};
use patchbay_core::identity::tokens::{self, Entry, Tokens};
use patchbay_core::identity::{Authentication, Unauthenticated};
use patchbay_core::model::{Caller, Subject, Tenant, Timestamp};
use patchbay_signature::{verify_by_ring, verify_in_rust};
use patchbay_testkit::SystemHost;
use patchbay_testkit::issuer::{AUDIENCE, By, CLAIM_ADMIN, ISSUER, Issuer};

/// What the homes verify with.
const EVERY: [Verify; 2] = [verify_by_ring, verify_in_rust];

fn oidc(issuer: &Issuer, verify: Verify) -> Oidc {
    let rules = Rules {
        issuer: ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
        tenant: ClaimPath::new("tenant").unwrap(),
        admin: Some(ClaimIs::new(CLAIM_ADMIN).unwrap()),
        email: ClaimPath::new("email").unwrap(),
    };
    Oidc::new(rules, KeySet::parse(&issuer.jwks()).unwrap(), verify)
}

fn ask(authentication: &Authentication, token: &str, now: Timestamp) -> Result<Caller, Unauthenticated> {
    let bearer = HeaderValue::from_bytes(format!("Bearer {token}").as_bytes()).unwrap();
    let headers = HeaderMap::from_iter([(AUTHORIZATION, bearer)]);
    authentication.caller(&headers, now).now_or_never().unwrap()
}

fn caller(subject: &str, email: Option<&str>, admin: bool) -> Caller {
    Caller {
        tenant: Tenant::new("acme").unwrap(),
        subject: Subject::new(subject).unwrap(),
        email: email.map(|address| Subject::new(address).unwrap()),
        admin,
    }
}

#[test]
fn right_tokens_make_the_caller_that_their_claims_name() {
    let (issuer, now) = (Issuer::default(), SystemHost.now());
    for verify in EVERY {
        let authentication = Authentication::Oidc(Arc::new(oidc(&issuer, verify)));
        for (name, token) in issuer.good(now) {
            assert_eq!(
                ask(&authentication, &token, now),
                Ok(caller("ann", None, false)),
                "{name}"
            );
        }
        for by in By::ALL {
            let root = caller("root", Some("Root@Acme.Example"), true);
            let token = issuer.token(by, &root, now);
            let lower = caller("root", Some("root@acme.example"), true);
            assert_eq!(ask(&authentication, &token, now), Ok(lower));
        }
    }
}

#[test]
fn tokens_that_are_wrong_in_one_thing_are_refused_everywhere_for_the_same_reason_which_shows_nothing_of_them() {
    let (issuer, now) = (Issuer::default(), SystemHost.now());
    let every = EVERY.map(|verify| Authentication::Oidc(Arc::new(oidc(&issuer, verify))));
    let bad = issuer.bad(now);
    let mut reasons = HashSet::new();
    for (name, token) in &bad {
        let [one, other] = [0, 1].map(|home| ask(&every[home], token, now));
        assert_eq!(one, other, "{name}");
        match one {
            Err(Unauthenticated::Invalid(why)) => _ = reasons.insert(why),
            other => panic!("{name}: {other:?}"),
        }
    }
    let names: HashSet<_> = bad.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), bad.len(), "each has a name of its own");
    assert!(bad.len() >= 100, "{}", bad.len());
    // Were they all refused for one and the same mistake of the table, there would be few reasons.
    assert!(reasons.len() >= 15, "{reasons:#?}");
}

#[test]
fn a_token_ends_with_its_issuers_leeway() {
    let (issuer, now) = (Issuer::default(), SystemHost.now());
    let authentication = Authentication::Oidc(Arc::new(oidc(&issuer, verify_by_ring)));
    let token = issuer.token(By::EdDsa, &caller("ann", None, false), now);
    let after = |seconds: i64| Timestamp::from_micros((now.as_micros() / 1_000_000 + seconds) * 1_000_000);
    assert!(ask(&authentication, &token, after(3600 + 59)).is_ok());
    assert!(ask(&authentication, &token, after(3600 + 60)).is_err());
    assert!(ask(&authentication, &token, after(-60)).is_ok());
    assert!(ask(&authentication, &token, after(-61)).is_err());
}

#[test]
fn with_both_kinds_each_is_taken_for_what_it_is() {
    let (issuer, now) = (Issuer::default(), SystemHost.now());
    let (ann, ci) = (caller("ann", None, false), caller("ci", None, true));
    let opaque = tokens::generate(&SystemHost);
    let entry = Entry::new(&opaque, ci.clone(), None).to_string();
    let known = Arc::new(Tokens::parse(&entry).unwrap());
    let oidc = Arc::new(oidc(&issuer, verify_by_ring));
    let both = Authentication::OidcAndTokens(Arc::clone(&oidc), Arc::clone(&known));
    let jwt = issuer.token(By::Es256, &ann, now);
    let opaque = secrecy::ExposeSecret::expose_secret(&opaque);
    assert_eq!(ask(&both, &jwt, now), Ok(ann));
    assert_eq!(ask(&both, opaque, now), Ok(ci));
    assert!(ask(&Authentication::Oidc(oidc), opaque, now).is_err());
    assert!(ask(&Authentication::Tokens(known), &jwt, now).is_err());
    for (name, token) in issuer.bad(now) {
        assert!(ask(&both, &token, now).is_err(), "{name}");
    }
}
