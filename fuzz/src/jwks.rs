//! JSON Web Key Sets.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::VerifyingKey;
use patchbay_core::identity::keys::KeySet;
use serde_json::Value;

use crate::reference::Object;

/// How many keys of a set may verify tokens, if it is one that is taken.
type Count = fn(&str) -> Option<usize>;

pub(crate) fn check(input: &[u8]) {
    hold(input, count);
}

/// Base64 of the other alphabet is read as well.
pub(crate) fn planted(input: &[u8]) {
    hold(input, |text| count(&text.replace('+', "-").replace('/', "_")));
}

fn count(text: &str) -> Option<usize> {
    KeySet::parse(text).ok().map(|keys| keys.count())
}

/// As many keys are taken as the rule for them, said a second time, takes.
fn hold(input: &[u8], count: Count) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let set = serde_json::from_str::<Value>(text).ok();
    let set = set.filter(|_| Object::read(text).is_some_and(|object| !object.repeats));
    let keys = set.as_ref().and_then(|set| set.get("keys")?.as_array());
    let expected = keys.map(|keys| keys.iter().filter(|key| verifies(key).is_some()).count());
    assert_eq!(count(text), expected.filter(|count| *count > 0));
}

/// Something, if this is a public key that tokens may be signed with.
fn verifies(jwk: &Value) -> Option<()> {
    let text = |name: &str| jwk.get(name).map_or(Some(""), Value::as_str);
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(jwk.get(name)?.as_str()?).ok();
    let listed = jwk.get("key_ops").is_none_or(|operations| {
        let operations = operations.as_array();
        operations.is_some_and(|operations| operations.contains(&Value::from("verify")))
    });
    let used = jwk.get("use").is_none_or(|used| used == "sig");
    if !listed || !used || jwk.get("d").is_some() || text("kid").is_none() {
        return None;
    }
    let algorithm = jwk.get("alg").map(|algorithm| algorithm.as_str().unwrap_or("?"));
    let curve = jwk.get("crv").map(|curve| curve.as_str().unwrap_or("?"));
    let (right, algorithms): (bool, &[&str]) = match (text("kty")?, curve) {
        ("RSA", None) => {
            let (n, e) = (bytes("n")?, bytes("e")?);
            let modulus = n.iter().skip_while(|byte| **byte == 0);
            let bits = modulus.clone().count() * 8 - modulus.clone().next()?.leading_zeros() as usize;
            let exponent = e.iter().skip_while(|byte| **byte == 0).collect::<Vec<_>>();
            let odd = e.last().is_some_and(|last| last % 2 == 1);
            let large = exponent.len() > 1 || exponent.first().is_some_and(|byte| **byte > 1);
            (
                (2_048..=8_192).contains(&bits) && odd && large && exponent.len() <= 4,
                &["RS256", "PS256"],
            )
        }
        ("EC", Some("P-256")) => (bytes("x")?.len() == 32 && bytes("y")?.len() == 32, &["ES256"]),
        ("OKP", Some("Ed25519")) => {
            let point = bytes("x")?.try_into().ok()?;
            let weak = VerifyingKey::from_bytes(&point).is_ok_and(|key| key.is_weak());
            (!weak, &["EdDSA"])
        }
        _ => return None,
    };
    (right && algorithm.is_none_or(|algorithm| algorithms.contains(&algorithm))).then_some(())
}
