//! The tokens of an OpenID Connect issuer: JSON Web Tokens (RFC 7519), signed, in their compact form.
//!
//! A token says which key and which of the algorithms it is signed with. It is believed only as far as the issuer's key
//! itself allows: never a key, or an address of one, that a token brings along.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::keys::{Algorithm, KeySet, Verify};
use super::{Bearer, Unauthenticated, email, json};
use crate::limits;
use crate::model::{Caller, Invalid, Subject, Tenant, Timestamp};

type Claims = Map<String, Value>;

/// Where a claim is: its name, or the names on the way to it with dots between them (`realm_access.roles`). A name that
/// holds dots itself is found first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimPath(String);

impl ClaimPath {
    /// Takes any path that is not empty.
    pub fn new(path: &str) -> Result<Self, Invalid> {
        if path.is_empty() {
            return Err(Invalid(
                "must be a claim's name, or names with dots between them".into(),
            ));
        }
        Ok(Self(path.to_owned()))
    }

    fn find<'c>(&self, claims: &'c Claims) -> Option<&'c Value> {
        let (mut object, mut path) = (claims, self.0.as_str());
        loop {
            if let Some(claim) = object.get(path) {
                return Some(claim);
            }
            let (name, rest) = path.split_once('.')?;
            (object, path) = (object.get(name)?.as_object()?, rest);
        }
    }
}

/// A claim that is a text, or a list of texts with it: `path=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimIs {
    path: ClaimPath,
    value: String,
}

impl ClaimIs {
    /// Takes `path=value`, neither of them empty.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        match text.split_once('=') {
            Some((path, value)) if !path.is_empty() && !value.is_empty() => Ok(Self {
                path: ClaimPath::new(path)?,
                value: value.to_owned(),
            }),
            _ => Err(Invalid(
                "must be path=value, like realm_access.roles=patchbay-admin".into(),
            )),
        }
    }

    fn holds(&self, claims: &Claims) -> bool {
        match self.path.find(claims) {
            Some(Value::String(text)) => *text == self.value,
            Some(Value::Array(texts)) => texts.iter().any(|text| *text == *self.value),
            _ => false,
        }
    }
}

/// What a token has to say, and what becomes of it.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Who issues it: `iss`.
    pub issuer: String,
    /// Whom it is for: one of `aud`.
    pub audience: String,
    /// The claim with the tenant.
    pub tenant: ClaimPath,
    /// The claim that makes an admin of the tenant; without it, nobody is one.
    pub admin: Option<ClaimIs>,
}

/// An issuer's tokens, verified with keys that are given once.
pub struct Oidc {
    rules: Rules,
    keys: KeySet,
    verify: Verify,
}

impl fmt::Debug for Oidc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Oidc").field(&self.rules).field(&self.keys).finish()
    }
}

impl Oidc {
    /// Tokens by these rules, signed with these keys, as the home's cryptography finds.
    pub fn new(rules: Rules, keys: KeySet, verify: Verify) -> Self {
        Self { rules, keys, verify }
    }

    /// Who issues the tokens.
    pub fn issuer(&self) -> &str {
        &self.rules.issuer
    }

    /// Who brings this token.
    pub(super) fn caller(&self, token: Bearer<'_>, now: Timestamp) -> Result<Caller, Unauthenticated> {
        let signed = Signed::parse(token.expose())?;
        let keys = self.keys.for_token(signed.key_id.as_deref(), signed.algorithm);
        if keys.is_empty() {
            return Err(Unauthenticated::Invalid(
                "its `kid` and `alg` name no key of the issuer, or it has no `kid` and the issuer more than one key",
            ));
        }
        let verifies = |key| (self.verify)(key, signed.algorithm, signed.message.as_bytes(), &signed.signature);
        if !keys.into_iter().any(verifies) {
            return Err(Unauthenticated::Invalid("its signature is not the issuer's"));
        }
        self.rules.caller(&signed.claims()?, now)
    }
}

/// A token, taken apart: nothing of it is believed yet.
struct Signed<'t> {
    algorithm: Algorithm,
    key_id: Option<String>,
    /// What is signed.
    message: &'t str,
    payload: &'t str,
    signature: Vec<u8>,
}

impl<'t> Signed<'t> {
    fn parse(token: &'t str) -> Result<Self, Unauthenticated> {
        const FORM: Unauthenticated = Unauthenticated::Invalid("it does not have the form of a signed JWT");
        let (message, signature) = token.rsplit_once('.').ok_or(FORM)?;
        let (header, payload) = message.split_once('.').ok_or(FORM)?;
        if payload.contains('.') {
            return Err(FORM);
        }
        let header = URL_SAFE_NO_PAD
            .decode(header)
            .ok()
            .and_then(|header| json::object(&header));
        let header = header.ok_or(FORM)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| FORM)?;
        let text = |name: &str| match header.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(Unauthenticated::Invalid(
                "its header's `alg`, `kid` or `typ` is not a text",
            )),
        };
        if header.contains_key("crit") {
            return Err(Unauthenticated::Invalid(
                "its header has `crit`, and no extension is known here",
            ));
        }
        let typed = text("typ")?.map(str::to_ascii_lowercase);
        if !matches!(
            typed.as_deref(),
            None | Some("jwt" | "at+jwt" | "application/jwt" | "application/at+jwt")
        ) {
            return Err(Unauthenticated::Invalid(
                "its `typ` is that of something else than a token to call with",
            ));
        }
        let algorithm = text("alg")?.and_then(Algorithm::named);
        Ok(Self {
            algorithm: algorithm.ok_or(Unauthenticated::Invalid(
                "its `alg` is not RS256, PS256, ES256 or EdDSA",
            ))?,
            key_id: text("kid")?.map(str::to_owned),
            message,
            payload,
            signature,
        })
    }

    fn claims(&self) -> Result<Claims, Unauthenticated> {
        let claims = URL_SAFE_NO_PAD.decode(self.payload).ok();
        let claims = claims.and_then(|claims| json::object(&claims));
        claims.ok_or(Unauthenticated::Invalid(
            "its claims are not one JSON object in which each name stands once",
        ))
    }
}

impl Rules {
    /// The caller that a token with a right signature makes.
    fn caller(&self, claims: &Claims, now: Timestamp) -> Result<Caller, Unauthenticated> {
        let wrong = |why| Err(Unauthenticated::Invalid(why));
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        if text("iss") != Some(&self.issuer) {
            return wrong("its `iss` is not PATCHBAY_ISSUER");
        }
        if !is_for(claims.get("aud"), &self.audience) {
            return wrong("its `aud` does not name PATCHBAY_AUDIENCE, or holds something else than texts");
        }
        self.times(claims, now)?;
        let Some(Ok(subject)) = text("sub").map(Subject::new) else {
            return wrong("its `sub` is not a text of 1 to 255 bytes that may be a subject");
        };
        let tenant = self.tenant.find(claims).and_then(Value::as_str);
        let Some(Ok(tenant)) = tenant.map(Tenant::new) else {
            return wrong("the claim with its tenant (PATCHBAY_CLAIM_TENANT) is not a text of 1 to 128 bytes");
        };
        let email = if claims.get("email_verified") == Some(&Value::Bool(true)) {
            match claims.get("email").map(|address| address.as_str().map(email)) {
                None => None,
                Some(Some(Ok(address))) => Some(address),
                Some(_) => return wrong("its `email` is not a text of 1 to 255 bytes"),
            }
        } else {
            None
        };
        Ok(Caller {
            tenant,
            subject,
            email,
            admin: self.admin.as_ref().is_some_and(|admin| admin.holds(claims)),
        })
    }

    /// Judges `exp`, `nbf` and `iat`: numbers of seconds since 1970, whole or not (RFC 7519, 2).
    fn times(&self, claims: &Claims, now: Timestamp) -> Result<(), Unauthenticated> {
        #[allow(
            clippy::cast_precision_loss,
            reason = "microseconds of this millennium are exact enough"
        )]
        let now = now.as_micros() as f64 / 1e6;
        let time = |name: &str| match claims.get(name) {
            None => Ok(None),
            Some(time) => time
                .as_f64()
                .map(Some)
                .ok_or(Unauthenticated::Invalid("its `exp`, `nbf` or `iat` is not a number")),
        };
        let Some(ends) = time("exp")? else {
            return Err(Unauthenticated::Invalid("it has no `exp`"));
        };
        if now >= ends + limits::LEEWAY_SECONDS {
            return Err(Unauthenticated::Invalid("its `exp` has passed"));
        }
        let latest = now + limits::LEEWAY_SECONDS;
        if time("nbf")?.is_some_and(|begins| begins > latest) {
            return Err(Unauthenticated::Invalid("its `nbf` has not come"));
        }
        if time("iat")?.is_some_and(|issued| issued > latest) {
            return Err(Unauthenticated::Invalid("its `iat` has not come"));
        }
        Ok(())
    }
}

/// Whether `aud`, a text or an array of texts, names this audience.
fn is_for(audiences: Option<&Value>, audience: &str) -> bool {
    match audiences {
        Some(Value::String(one)) => one == audience,
        Some(Value::Array(many)) => {
            many.iter().all(Value::is_string) && many.iter().any(|one| one.as_str() == Some(audience))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(json: Value) -> Claims {
        json.as_object().unwrap().clone()
    }

    #[test]
    fn a_claim_is_found_by_its_name_or_the_way_to_it() {
        let claims = claims(json!({
            "tenant": "a",
            "https://acme.example/tenant": "b",
            "realm_access": { "roles": ["x"], "deep.er": { "still": "c" } },
        }));
        let find = |path: &str| ClaimPath::new(path).unwrap().find(&claims).cloned();
        assert_eq!(find("tenant"), Some(json!("a")));
        assert_eq!(find("https://acme.example/tenant"), Some(json!("b")));
        assert_eq!(find("realm_access.roles"), Some(json!(["x"])));
        assert_eq!(find("realm_access.deep.er"), Some(json!({ "still": "c" })));
        for none in ["realm_access.none", "tenant.x", "none.x", ".", "tenant."] {
            assert_eq!(find(none), None, "{none}");
        }
        assert!(ClaimPath::new("").is_err());
    }

    #[test]
    fn a_text_or_a_list_with_the_text_makes_an_admin() {
        let admin = ClaimIs::new("realm_access.roles=patchbay=admin").unwrap();
        for (roles, is) in [
            (json!("patchbay=admin"), true),
            (json!(["x", "patchbay=admin"]), true),
            (json!("patchbay=admin "), false),
            (json!(["x", ["patchbay=admin"]]), false),
            (json!({ "patchbay=admin": true }), false),
            (json!(true), false),
            (json!(null), false),
        ] {
            assert_eq!(
                admin.holds(&claims(json!({ "realm_access": { "roles": roles } }))),
                is,
                "{roles}"
            );
        }
        for wrong in ["", "=", "roles", "roles=", "=admin"] {
            assert!(ClaimIs::new(wrong).is_err(), "{wrong}");
        }
    }
}
