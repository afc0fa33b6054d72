//! `Authorization`, with tokens of an issuer and opaque ones. The input is a JWT's header, claims and signature, a line
//! each and not yet encoded, where it begins with a brace; otherwise the header's values, a line each.

use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt as _;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use patchbay_core::identity::keys::KeySet;
use patchbay_core::identity::oidc::{ClaimIs, ClaimPath, Oidc, Rules};
use patchbay_core::identity::tokens::{Entry, Tokens, generate};
use patchbay_core::identity::{Authentication, email};
use patchbay_core::model::{Caller, Subject, Tenant, Timestamp};
use patchbay_testkit::sample::caller;
use serde_json::Value;

use crate::reference::Object;
use crate::still::{NOW, Still};

/// A key `a` for ES256, and `b` for EdDSA.
const JWKS: &str = "{\"keys\":[{\"kid\":\"a\",\"kty\":\"EC\",\"crv\":\"P-256\",\
    \"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\",\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\"},\
    {\"kid\":\"b\",\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\"}]}";
/// What stands for a right signature: a fuzzer cannot sign.
const SIGNED: &[u8] = b"signed";
const ISSUER: &str = "https://issuer";
const AUDIENCE: &str = "patchbay";

struct World {
    right: Authentication,
    /// Takes a signature with more behind it, too.
    wrong: Authentication,
    /// The opaque tokens, and whom each makes.
    known: Vec<(String, Option<Caller>)>,
}

#[allow(clippy::expect_used, reason = "constants")]
static WORLD: LazyLock<World> = LazyLock::new(|| {
    use secrecy::ExposeSecret as _;
    let host = Still::default();
    let (one, ended) = (generate(&host), generate(&host));
    let (ci, root) = (caller("acme", "ci", false), caller("acme", "root", true));
    let past = Timestamp::from_micros(NOW.as_micros() - 1);
    let entries = [Entry::new(&one, ci.clone(), None), Entry::new(&ended, root, Some(past))];
    let tokens = Tokens::parse(&entries.map(|entry| entry.to_string()).join(",")).expect("entries");
    let tokens = Arc::new(tokens);
    let oidc = |verify| {
        let rules = Rules {
            issuer: ISSUER.into(),
            audience: AUDIENCE.into(),
            tenant: ClaimPath::new("org.tenant").expect("a path"),
            admin: Some(ClaimIs::new("roles=admin").expect("a claim")),
            email: ClaimPath::new("email").expect("a path"),
        };
        let oidc = Oidc::new(rules, KeySet::parse(JWKS).expect("keys"), verify);
        Authentication::OidcAndTokens(Arc::new(oidc), Arc::clone(&tokens))
    };
    World {
        right: oidc(|_, _, _, signature| signature == SIGNED),
        wrong: oidc(|_, _, _, signature| signature.starts_with(SIGNED)),
        known: vec![
            (one.expose_secret().to_owned(), Some(ci)),
            (ended.expose_secret().to_owned(), None),
        ],
    }
});

pub(crate) fn check(input: &[u8]) {
    hold(input, &WORLD.right);
}

/// A right signature is right whatever follows it.
pub(crate) fn planted(input: &[u8]) {
    hold(input, &WORLD.wrong);
}

/// Whoever is made the caller is so by the rules, said a second time; and whoever is so by them is made the caller.
#[allow(clippy::expect_used, reason = "no key set has to be fetched")]
fn hold(input: &[u8], authentication: &Authentication) {
    let values = if input.starts_with(b"{") {
        let mut parts = input
            .splitn(3, |byte| *byte == b'\n')
            .map(|part| URL_SAFE_NO_PAD.encode(part));
        let [header, claims, signature] = [(); 3].map(|()| parts.next().unwrap_or_default());
        vec![format!("Bearer {header}.{claims}.{signature}").into_bytes()]
    } else {
        input.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
    };
    let mut headers = HeaderMap::new();
    for value in &values {
        let Ok(value) = HeaderValue::from_bytes(value) else {
            return;
        };
        headers.append(AUTHORIZATION, value);
    }
    let made = authentication
        .caller(&headers, NOW)
        .now_or_never()
        .expect("an answer at once");
    let expected = match &values[..] {
        [one] => named(one),
        _ => None,
    };
    assert_eq!(made.as_ref().ok(), expected.as_ref(), "{made:?}");
}

/// The caller that a header's value names.
fn named(value: &[u8]) -> Option<Caller> {
    let value = std::str::from_utf8(value).ok()?;
    let value = value.trim_matches([' ', '\t']);
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim_start_matches([' ', '\t']);
    if !scheme.eq_ignore_ascii_case("bearer") || token.len() > 16_384 {
        return None;
    }
    if token.starts_with("patchbay_") {
        let known = WORLD.known.iter().find(|(known, _)| known == token)?;
        return known.1.clone();
    }
    let parts = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let parts = parts.collect::<Option<Vec<_>>>()?;
    let [header, claims, signature] = &parts[..] else {
        return None;
    };
    (signature == SIGNED)
        .then(|| signed(&json(header)?, &json(claims)?))
        .flatten()
}

fn json(bytes: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(bytes).ok()?;
    let once = !Object::read(text)?.repeats;
    serde_json::from_str(text).ok().filter(|_| once)
}

/// The caller that a signed token makes.
fn signed(header: &Value, claims: &Value) -> Option<Caller> {
    let text = |object: &Value, name: &str| object.get(name).and_then(Value::as_str).map(str::to_owned);
    let key = matches!(
        (text(header, "alg")?.as_str(), header.get("kid").map(Value::as_str)),
        ("ES256", None | Some(Some("a"))) | ("EdDSA", None | Some(Some("b")))
    );
    let typed = header
        .get("typ")
        .map(|typed| typed.as_str().unwrap_or("?").to_ascii_lowercase());
    let typed =
        typed.is_none_or(|typed| ["jwt", "at+jwt"].contains(&typed.strip_prefix("application/").unwrap_or(&typed)));
    let audience = match claims.get("aud")? {
        Value::Array(all) => all.iter().all(Value::is_string) && all.contains(&AUDIENCE.into()),
        one => one == AUDIENCE,
    };
    // In microseconds, as far as there are any.
    let time = |name: &str| claims.get(name).map(|time| Some((time.as_f64()? * 1e6) as i64));
    let (now, minute) = (NOW.as_micros(), 60_000_000);
    let begun = |name: &str| time(name).is_none_or(|at| at.is_some_and(|at| at <= now + minute));
    let lasts = time("exp")?.is_some_and(|end| end > now - minute);
    let issued = text(claims, "iss")? == ISSUER;
    if !key
        || header.get("crit").is_some()
        || !typed
        || !audience
        || !issued
        || !lasts
        || !begun("nbf")
        || !begun("iat")
    {
        return None;
    }
    let tenant = claims.get("org.tenant").or_else(|| claims.get("org")?.get("tenant"))?;
    let address = claims
        .get("email")
        .filter(|_| claims.get("email_verified") == Some(&Value::Bool(true)));
    Some(Caller {
        tenant: Tenant::new(tenant.as_str()?).ok()?,
        subject: Subject::new(&text(claims, "sub")?).ok()?,
        email: address
            .map(|address| email(address.as_str()?).ok())
            .map_or(Some(None), |address| address.map(Some))?,
        admin: match claims.get("roles") {
            Some(Value::Array(roles)) => roles.contains(&"admin".into()),
            other => other.is_some_and(|role| role == "admin"),
        },
    })
}

/// The opaque tokens, as inputs: where the engine begins.
#[cfg(test)]
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let input = |(token, _): &(String, _)| format!("Bearer {token}").into_bytes();
    WORLD.known.iter().map(input).collect()
}
