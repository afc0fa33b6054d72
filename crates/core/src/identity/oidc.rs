//! The tokens of an OpenID Connect issuer: JSON Web Tokens (RFC 7519), signed, in their compact form.
//!
//! A token says which key and which of the algorithms it is signed with. It is believed only as far as the issuer's key
//! itself allows: never a key, or an address of one, that a token brings along.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::fetched::Fetched;
use super::keys::{Algorithm, KeySet, LeftOut, Verify};
use super::source::Source;
use super::{Bearer, Digest, Unauthenticated, email, json};
use crate::limits;
use crate::model::{Caller, Invalid, Subject, Tenant, Timestamp};

type Claims = Map<String, Value>;

/// Where a claim is: its name, or the names on the way to it with dots between them (`realm_access.roles`). Names may hold
/// dots themselves (`resource_access.my.app.roles`): at each step the longest name counts from which the rest of the way
/// leads somewhere.
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

    pub(super) fn fixed(path: &'static str) -> Self {
        Self(path.to_owned())
    }

    fn find<'c>(&self, claims: &'c Claims) -> Option<&'c Value> {
        find(claims, &self.0)
    }
}

fn find<'c>(object: &'c Claims, path: &str) -> Option<&'c Value> {
    let behind = |(dot, _)| {
        let (name, rest) = (path.get(..dot)?, path.get(dot + 1..)?);
        find(object.get(name)?.as_object()?, rest)
    };
    object.get(path).or_else(|| path.rmatch_indices('.').find_map(behind))
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
    /// The claim with the e-mail address, which counts only where `email_verified` is true.
    pub email: ClaimPath,
}

/// Where an issuer's keys come from.
#[derive(Debug)]
enum Keys {
    /// They are given once.
    Given(Arc<KeySet>),
    /// They are fetched from the issuer.
    Fetched(Arc<Fetched>),
}

impl Keys {
    /// Those for a token that names this one.
    async fn for_token(&self, key_id: Option<&str>, now: Timestamp) -> Option<Arc<KeySet>> {
        match self {
            Self::Given(keys) => Some(Arc::clone(keys)),
            Self::Fetched(keys) => keys.keys(key_id, now).await,
        }
    }

    /// Others than these, which a token without a `kid` is not signed with.
    async fn instead_of(&self, tried: &Arc<KeySet>, now: Timestamp) -> Option<Arc<KeySet>> {
        match self {
            Self::Given(_) => None,
            Self::Fetched(keys) => keys.instead_of(tried, now).await,
        }
    }
}

/// An issuer's tokens.
pub struct Oidc {
    rules: Rules,
    keys: Keys,
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
        let keys = Keys::Given(Arc::new(keys));
        Self { rules, keys, verify }
    }

    /// The same with keys that are fetched.
    pub fn fetching(rules: Rules, keys: Fetched, verify: Verify) -> Self {
        let keys = Keys::Fetched(Arc::new(keys));
        Self { rules, keys, verify }
    }

    /// Who issues the tokens.
    pub fn issuer(&self) -> &str {
        &self.rules.issuer
    }

    /// Where its keys are fetched from, if they are.
    pub fn source(&self) -> Option<&Source> {
        match &self.keys {
            Keys::Given(_) => None,
            Keys::Fetched(keys) => Some(keys.source()),
        }
    }

    /// The keys of the set that was given that no token may be signed with.
    pub(super) fn left_out(&self) -> &[LeftOut] {
        match &self.keys {
            Keys::Given(keys) => keys.left_out(),
            Keys::Fetched(_) => &[],
        }
    }

    /// Has its keys fetched, where they are.
    pub(super) async fn prepare(&self, now: Timestamp) {
        self.keys.for_token(None, now).await;
    }

    /// Who brings this token.
    pub(super) async fn caller(&self, token: Bearer<'_>, now: Timestamp) -> Result<Caller, Unauthenticated> {
        let signed = Signed::parse(token.expose())?;
        let keys = self.keys.for_token(signed.key_id.as_deref(), now).await;
        let mut keys = keys.ok_or(Unauthenticated::NoKeys)?;
        let digest = Digest::of(token.expose());
        if let Some(caller) = keys.remembered.caller(&digest, now) {
            return Ok(caller);
        }
        let mut verified = self.verified(&signed, &keys);
        if verified.is_err()
            && signed.key_id.is_none()
            && let Some(others) = self.keys.instead_of(&keys, now).await
        {
            keys = others;
            verified = self.verified(&signed, &keys);
        }
        verified?;
        let (caller, ends) = self.rules.caller(&signed.claims()?, now)?;
        keys.remembered.remember(digest, caller.clone(), now, ends);
        Ok(caller)
    }

    /// Refuses what none of these keys has signed.
    fn verified(&self, signed: &Signed<'_>, keys: &KeySet) -> Result<(), Unauthenticated> {
        let keys = keys.for_token(signed.key_id.as_deref(), signed.algorithm);
        if keys.is_empty() {
            return Err(Unauthenticated::Invalid(
                "its `kid` and `alg` name no key of the issuer, or it has no `kid` and the issuer more than one key",
            ));
        }
        let verifies = |key| (self.verify)(key, signed.algorithm, signed.message.as_bytes(), &signed.signature);
        if !keys.into_iter().any(verifies) {
            return Err(Unauthenticated::Invalid("its signature is not the issuer's"));
        }
        Ok(())
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
    /// The caller that a token with a right signature makes, and until when.
    fn caller(&self, claims: &Claims, now: Timestamp) -> Result<(Caller, Timestamp), Unauthenticated> {
        let wrong = |why| Err(Unauthenticated::Invalid(why));
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        if text("iss") != Some(&self.issuer) {
            return wrong("its `iss` is not PATCHBAY_ISSUER");
        }
        if !is_for(claims.get("aud"), &self.audience) {
            return wrong("its `aud` does not name PATCHBAY_AUDIENCE, or holds something else than texts");
        }
        let ends = times(claims, now)?;
        let Some(Ok(subject)) = text("sub").map(Subject::new) else {
            return wrong("its `sub` is not a text of 1 to 255 bytes that may be a subject");
        };
        let tenant = self.tenant.find(claims).and_then(Value::as_str);
        let Some(Ok(tenant)) = tenant.map(Tenant::new) else {
            return wrong("the claim with its tenant (PATCHBAY_CLAIM_TENANT) is not a text of 1 to 128 bytes");
        };
        let email = if claims.get("email_verified") == Some(&Value::Bool(true)) {
            match self.email.find(claims).map(|address| address.as_str().map(email)) {
                None => None,
                Some(Some(Ok(address))) => Some(address),
                Some(_) => return wrong("its e-mail address (PATCHBAY_CLAIM_EMAIL) is not a text of 1 to 255 bytes"),
            }
        } else {
            None
        };
        let caller = Caller {
            tenant,
            subject,
            email,
            admin: self.admin.as_ref().is_some_and(|admin| admin.holds(claims)),
        };
        Ok((caller, ends))
    }
}

/// Judges `exp`, `nbf` and `iat`: numbers of seconds since 1970, whole or not (RFC 7519, 2). Gives when the token ends,
/// leeway included.
fn times(claims: &Claims, now: Timestamp) -> Result<Timestamp, Unauthenticated> {
    let now = now.as_micros();
    let micros = |name: &str| match claims.get(name).map(Value::as_f64) {
        None => Ok(None),
        // What no clock will ever show becomes the last moment that there is.
        Some(Some(seconds)) => Ok(Some((seconds * 1e6) as i64)),
        Some(None) => Err(Unauthenticated::Invalid("its `exp`, `nbf` or `iat` is not a number")),
    };
    let Some(exp) = micros("exp")? else {
        return Err(Unauthenticated::Invalid("it has no `exp`"));
    };
    let ends = exp.saturating_add(limits::LEEWAY_MICROS);
    if now >= ends {
        return Err(Unauthenticated::Invalid("its `exp` has passed"));
    }
    let latest = now.saturating_add(limits::LEEWAY_MICROS);
    if micros("nbf")?.is_some_and(|begins| begins > latest) {
        return Err(Unauthenticated::Invalid("its `nbf` has not come"));
    }
    if micros("iat")?.is_some_and(|issued| issued > latest) {
        return Err(Unauthenticated::Invalid("its `iat` has not come"));
    }
    Ok(Timestamp::from_micros(ends))
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
    use std::cell::Cell;
    use std::sync::mpsc::channel;

    use bytes::Bytes;
    use futures_util::FutureExt as _;
    use http::Response;
    use serde_json::json;

    use super::*;
    use crate::identity::fetched::{Errand, Renewal};
    use crate::identity::keys::PublicKey;
    use crate::identity::source::Url;

    const START: i64 = 1_700_000_000;

    thread_local! {
        static VERIFIED: Cell<u32> = const { Cell::new(0) };
    }

    /// Takes the signature `right`, and counts.
    fn verify(_: &PublicKey, _: Algorithm, _: &[u8], signature: &[u8]) -> bool {
        VERIFIED.set(VERIFIED.get() + 1);
        signature == b"right"
    }

    fn rules_and_keys() -> (Rules, String) {
        let rules = Rules {
            issuer: "i".to_owned(),
            audience: "a".to_owned(),
            tenant: ClaimPath::fixed("tenant"),
            admin: None,
            email: ClaimPath::fixed("contact.email"),
        };
        let key = json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode([7; 32]) });
        (rules, json!({ "keys": [key] }).to_string())
    }

    fn oidc() -> Oidc {
        let (rules, keys) = rules_and_keys();
        Oidc::new(rules, KeySet::parse(&keys).unwrap(), verify)
    }

    fn token(more: Value, signature: &str) -> String {
        let mut claims = json!({ "iss": "i", "aud": "a", "sub": "s", "tenant": "t", "exp": START + 3600 });
        claims.as_object_mut().unwrap().extend(self::claims(more));
        [
            json!({ "alg": "EdDSA" }).to_string().as_str(),
            &claims.to_string(),
            signature,
        ]
        .map(|part| URL_SAFE_NO_PAD.encode(part))
        .join(".")
    }

    /// Who brings the token, where the keys need not be waited for.
    fn caller(oidc: &Oidc, token: &str, now: Timestamp) -> Result<Caller, Unauthenticated> {
        oidc.caller(Bearer::new(token), now).now_or_never().unwrap()
    }

    /// Whether the token is taken so many seconds after the start, and how many signatures that took.
    fn ask(oidc: &Oidc, token: &str, seconds: i64) -> (bool, u32) {
        let before = VERIFIED.get();
        let now = Timestamp::from_micros((START + seconds) * 1_000_000);
        let taken = caller(oidc, token, now).is_ok();
        (taken, VERIFIED.get() - before)
    }

    #[test]
    fn a_verified_token_is_remembered_for_a_minute() {
        let (oidc, token) = (oidc(), token(json!({}), "right"));
        assert_eq!(ask(&oidc, &token, 0), (true, 1));
        assert_eq!(ask(&oidc, &token, 59), (true, 0));
        assert_eq!(
            ask(&oidc, &token, 60),
            (true, 1),
            "not a minute after it was last asked for"
        );
        assert_eq!(ask(&oidc, &token, 119), (true, 0));
        // And not by a clock that was set back.
        assert_eq!(ask(&oidc, &token, 59), (true, 1));
    }

    #[test]
    fn a_remembered_token_ends_when_it_ends() {
        let (oidc, token) = (oidc(), token(json!({ "exp": START + 10 }), "right"));
        assert_eq!(ask(&oidc, &token, 30), (true, 1));
        assert_eq!(ask(&oidc, &token, 69), (true, 0));
        assert_eq!(ask(&oidc, &token, 70), (false, 1));
    }

    #[test]
    fn a_remembered_token_is_not_remembered_by_another_key_set() {
        let (sender, errands) = channel();
        let dispatch = move |errand| sender.send(errand).unwrap();
        let at = Source::At(Url::new("https://issuer.example/keys").unwrap());
        let (rules, keys) = rules_and_keys();
        let oidc = Oidc::fetching(rules, Fetched::new(at, Renewal::Behind, Box::new(dispatch)), verify);
        let token = token(json!({}), "right");
        let answer = |seconds| {
            let errand: Errand = errands.try_recv().unwrap();
            let now = Timestamp::from_micros((START + seconds) * 1_000_000);
            errand.answered(now, Ok(Response::new(Bytes::from(keys.clone()))));
        };
        _ = oidc.prepare(Timestamp::from_micros(START * 1_000_000)).now_or_never();
        answer(0);
        assert_eq!(ask(&oidc, &token, 2_860), (true, 1));
        assert_eq!(ask(&oidc, &token, 2_880), (true, 0));
        // That was when they were due.
        answer(2_880);
        assert_eq!(ask(&oidc, &token, 2_880), (true, 1));
        assert_eq!(ask(&oidc, &token, 2_881), (true, 0));
    }

    #[test]
    fn a_token_without_a_kid_that_no_key_verifies_has_the_issuer_asked_as_an_unknown_kid_does() {
        let (sender, errands) = channel();
        let dispatch = move |errand| sender.send(errand).unwrap();
        let at = Source::At(Url::new("https://issuer.example/keys").unwrap());
        let fetched = Fetched::new(at, Renewal::Behind, Box::new(dispatch));
        // A key's own bytes are what it signs with.
        let oidc = Oidc::fetching(
            rules_and_keys().0,
            fetched,
            |key, _, _, signature| matches!(key, PublicKey::Ed25519(point) if point == signature),
        );
        let by = |text: &str| text.repeat(32);
        let at = |seconds| Timestamp::from_micros((START + seconds) * 1_000_000);
        let answer = |seconds, key: &str| {
            let errand: Errand = errands.try_recv().unwrap();
            let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(by(key)) });
            let keys = json!({ "keys": [jwk] }).to_string();
            errand.answered(at(seconds), Ok(Response::new(Bytes::from(keys))));
        };
        _ = oidc.prepare(at(0)).now_or_never();
        answer(0, "a");
        let [old, new, forged] = ["a", "b", "x"].map(|key| token(json!({}), &by(key)));
        for seconds in 0..30 {
            assert!(caller(&oidc, &old, at(seconds)).is_ok());
            assert!(caller(&oidc, &new, at(seconds)).is_err());
            assert!(errands.try_recv().is_err(), "they were asked for less than 30 s ago");
        }
        let mut waiting = [&forged, &new].map(|token| Box::pin(oidc.caller(Bearer::new(token), at(30))));
        for token in &mut waiting {
            assert!(token.now_or_never().is_none());
        }
        answer(30, "b");
        let [forged_taken, new_taken] = waiting.map(|token| token.now_or_never().unwrap().is_ok());
        assert!(new_taken && !forged_taken);
        for seconds in 30..60 {
            assert!(caller(&oidc, &new, at(seconds)).is_ok());
            assert!(caller(&oidc, &forged, at(seconds)).is_err());
        }
        // What the issuer has signed needs no other keys, whatever else is wrong with it.
        let elsewhere = token(json!({ "aud": "b" }), &by("b"));
        assert!(caller(&oidc, &elsewhere, at(60)).is_err());
        assert!(errands.try_recv().is_err());
    }

    #[test]
    fn a_token_that_is_not_taken_is_not_remembered_nor_taken_for_one_that_is() {
        let oidc = oidc();
        for wrong in [token(json!({}), "wrong"), token(json!({ "aud": "b" }), "right")] {
            assert_eq!(ask(&oidc, &wrong, 0), (false, 1));
            assert_eq!(ask(&oidc, &wrong, 0), (false, 1));
        }
        let right = token(json!({}), "right");
        assert_eq!(ask(&oidc, &right, 0), (true, 1));
        assert_eq!(ask(&oidc, &token(json!({}), "wrong"), 0), (false, 1));
        assert!(!ask(&oidc, &right[..right.len() - 1], 0).0);
    }

    #[test]
    fn more_tokens_than_there_are_places_for_are_taken_all_the_same_as_their_own() {
        let oidc = oidc();
        let tokens: Vec<_> = (0..limits::REMEMBERED_TOKENS + 100)
            .map(|number| token(json!({ "sub": number.to_string() }), "right"))
            .collect();
        for _ in 0..2 {
            for (number, token) in tokens.iter().enumerate() {
                let caller = caller(&oidc, token, Timestamp::from_micros(START * 1_000_000)).unwrap();
                assert_eq!(caller.subject.as_str(), number.to_string());
            }
        }
        let last = tokens.last().unwrap();
        assert_eq!(ask(&oidc, last, 0), (true, 0));
        assert!(
            VERIFIED.get() > u32::try_from(tokens.len()).unwrap(),
            "some had to give way"
        );
        assert!(
            VERIFIED.get() < 2 * u32::try_from(tokens.len()).unwrap(),
            "and some had not"
        );
    }

    #[test]
    fn an_e_mail_address_counts_only_where_it_is_verified() {
        let email = |more: Value| {
            let now = Timestamp::from_micros(START * 1_000_000);
            let caller = caller(&oidc(), &token(more, "right"), now);
            caller.map(|caller| caller.email.map(|email| email.as_str().to_owned()))
        };
        let contact = json!({ "email": "Ann@Acme.example" });
        assert_eq!(email(json!({ "contact": contact })), Ok(None));
        for unverified in [json!(false), json!("true"), json!(1), json!(null)] {
            let claims = json!({ "contact": contact, "email_verified": unverified });
            assert_eq!(email(claims), Ok(None), "{unverified}");
        }
        let verified = json!({ "contact": contact, "email": "other", "email_verified": true });
        assert_eq!(email(verified), Ok(Some("ann@acme.example".to_owned())));
        assert_eq!(email(json!({ "email": "other", "email_verified": true })), Ok(None));
        assert!(email(json!({ "contact": { "email": 7 }, "email_verified": true })).is_err());
    }

    fn claims(json: Value) -> Claims {
        json.as_object().unwrap().clone()
    }

    #[test]
    fn a_claim_is_found_by_its_name_or_the_way_to_it() {
        let claims = claims(json!({
            "tenant": "a",
            "https://acme.example/tenant": "b",
            "realm_access": { "roles": ["x"], "deep.er": { "still": "c" } },
            "resource_access": { "my.app": { "roles": ["y"] }, "my": { "app": { "roles": ["z"], "other": "d" } } },
            "a": { "b": "no object" },
            "a.b": { "c": "e" },
        }));
        let find = |path: &str| ClaimPath::new(path).unwrap().find(&claims).cloned();
        assert_eq!(find("tenant"), Some(json!("a")));
        assert_eq!(find("https://acme.example/tenant"), Some(json!("b")));
        assert_eq!(find("realm_access.roles"), Some(json!(["x"])));
        assert_eq!(find("realm_access.deep.er"), Some(json!({ "still": "c" })));
        assert_eq!(find("realm_access.deep.er.still"), Some(json!("c")));
        assert_eq!(find("resource_access.my.app.roles"), Some(json!(["y"])));
        assert_eq!(find("resource_access.my.app.other"), Some(json!("d")));
        assert_eq!(find("a.b.c"), Some(json!("e")));
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
