//! An OpenID Connect issuer for tests, which signs what it is asked to, right or wrong.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test cannot go on without its issuer"
)]

mod bad;
mod published;

pub use published::{Manner, Published};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use patchbay_core::model::{Caller, Timestamp};
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
    RsaKeyPair,
};
use serde_json::{Value, json};

use crate::operator;

/// The issuer: `iss`.
pub const ISSUER: &str = "https://issuer.example";
/// The audience: `aud`.
pub const AUDIENCE: &str = "patchbay";
/// What makes an admin, as `PATCHBAY_CLAIM_ADMIN`.
pub const CLAIM_ADMIN: &str = "realm_access.roles=patchbay-admin";

/// An RSA key of 1,024 bits, and a token that is right but for being signed with it.
const WEAK_MODULUS: &str = "vTOtE0AqMmYm1EmuWPjHJomGg2W-m2oFTzG7mtA_bv-dcyQEaYt23_GteKEKTNaxEtsgxV0yAWNu594x0BobpubaDGBWVdXZxZ9AIw2XIjjGDmUMU_smxWvi2CnUvk9m8TxdkOLNgdJucqlsqYTBz5loonW3OpXPZH0vGKHqa50";
const WEAK_TOKEN: &str = "eyJhbGciOiJSUzI1NiIsImtpZCI6IndlYWsifQ.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwiYXVkIjoicGF0Y2hiYXkiLCJzdWIiOiJhbm4iLCJ0ZW5hbnQiOiJhY21lIiwiZXhwIjo0MTAyNDQ0ODAwfQ.KkxOXNeQdzhMw7XZcfWEZe6vljQegVvp3yrCyFN7TO6sFs1_sRt7XteeU4ELNTeJXmpx8Zg36osCveIiFd7OWMkXyA5vK0C8RtzQgjIjunaiTBn2HEjapu3dJHtXEQlPjQ_Do-BbWSj03DaRUXezq0UwK3qV9tKuC1vSCEkVDkM";
/// The neutral point of Ed25519, of order 1: any message has the same signature by it, [`NEUTRAL_SIGNATURE`].
const NEUTRAL_POINT: [u8; 32] = {
    let mut point = [0; 32];
    point[0] = 1;
    point
};
const NEUTRAL_SIGNATURE: [u8; 64] = {
    let mut signature = [0; 64];
    signature[0] = 1;
    signature
};

/// How something is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// RSA, PKCS #1 v1.5, by the key `rsa`.
    Rs256,
    /// RSA, PSS, by the key `rsa`.
    Ps256,
    /// By the key `p256`.
    Es256,
    /// By the key `ed25519`.
    EdDsa,
}

impl By {
    /// Every way.
    pub const ALL: [Self; 4] = [Self::Rs256, Self::Ps256, Self::Es256, Self::EdDsa];

    fn algorithm(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    fn key_id(self) -> &'static str {
        match self {
            Self::Rs256 | Self::Ps256 => "rsa",
            Self::Es256 => "p256",
            Self::EdDsa => "ed25519",
        }
    }
}

/// Its private keys, which are kept here: a home may be told of them by another process than signs.
pub struct Issuer {
    /// What its right tokens say of who issues them.
    name: String,
    /// What the ids of its keys end with.
    generation: String,
    random: SystemRandom,
    rsa: RsaKeyPair,
    p256: EcdsaKeyPair,
    ed25519: Ed25519KeyPair,
}

impl Default for Issuer {
    fn default() -> Self {
        Self::with(
            include_bytes!("rsa.pk8"),
            include_bytes!("p256.pk8"),
            include_bytes!("ed25519.pk8"),
        )
    }
}

impl Issuer {
    /// Another issuer, none of whose keys are those of the first.
    pub fn other() -> Self {
        let random = SystemRandom::new();
        let p256 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
        let ed25519 = Ed25519KeyPair::generate_pkcs8(&random).expect("a key");
        Self::with(include_bytes!("other.pk8"), p256.as_ref(), ed25519.as_ref())
    }

    fn with(rsa: &[u8], p256: &[u8], ed25519: &[u8]) -> Self {
        let random = SystemRandom::new();
        Self {
            name: ISSUER.to_owned(),
            generation: String::new(),
            rsa: RsaKeyPair::from_pkcs8(rsa).expect("an RSA key"),
            p256: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, p256, &random).expect("a key"),
            ed25519: Ed25519KeyPair::from_pkcs8(ed25519).expect("a key"),
            random,
        }
    }

    /// The variables by which a home knows its tokens, and the operator's.
    pub fn settings(&self) -> [(&'static str, String); 6] {
        [
            ("PATCHBAY_AUTH", "oidc".to_owned()),
            ("PATCHBAY_ISSUER", ISSUER.to_owned()),
            ("PATCHBAY_AUDIENCE", AUDIENCE.to_owned()),
            ("PATCHBAY_JWKS", self.jwks()),
            ("PATCHBAY_CLAIM_ADMIN", CLAIM_ADMIN.to_owned()),
            ("PATCHBAY_OPERATOR_TOKENS", operator::entry()),
        ]
    }

    /// The same under another name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// With other keys, whose ids end with this.
    #[must_use]
    pub fn rotated(self, generation: &str) -> Self {
        Self {
            name: self.name,
            generation: generation.to_owned(),
            ..Self::other()
        }
    }

    fn key_id(&self, by: By) -> String {
        format!("{}{}", by.key_id(), self.generation)
    }

    /// Its key set: the three keys, and among them those that a token must not be taken by.
    pub fn jwks(&self) -> String {
        let with = |mut jwk: Value, more: Value| {
            for (name, value) in more.as_object().expect("an object") {
                jwk[name] = value.clone();
            }
            jwk
        };
        let [rsa, p256, ed25519] = self.public();
        json!({ "keys": [
            with(rsa.clone(), json!({ "kid": self.key_id(By::Rs256), "use": "sig" })),
            with(p256.clone(), json!({ "kid": self.key_id(By::Es256), "alg": "ES256" })),
            with(ed25519, json!({ "kid": self.key_id(By::EdDsa), "key_ops": ["verify"] })),
            with(rsa.clone(), json!({ "kid": "for-ps256", "alg": "PS256" })),
            with(rsa.clone(), json!({ "kid": "for-rs512", "alg": "RS512" })),
            with(rsa.clone(), json!({ "kid": "for-encryption", "use": "enc" })),
            with(rsa, json!({ "kid": "for-wrapping", "key_ops": ["wrapKey"] })),
            with(p256.clone(), json!({ "kid": "for-agreement", "alg": "ECDH-ES" })),
            with(p256, json!({ "kid": "p256-too" })),
            { "kid": "weak", "kty": "RSA", "n": WEAK_MODULUS, "e": "AQAB" },
            { "kid": "neutral", "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(NEUTRAL_POINT) },
            { "kid": "shared", "kty": "oct", "alg": "HS256", "k": "c2VjcmV0" },
        ] })
        .to_string()
    }

    /// The three public keys as JWKs, without ids: RSA, P-256, Ed25519.
    fn public(&self) -> [Value; 3] {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let rsa = PublicKeyComponents::<Vec<u8>>::from(self.rsa.public());
        let point = self.p256.public_key().as_ref();
        [
            json!({ "kty": "RSA", "n": encode(&rsa.n), "e": encode(&rsa.e) }),
            json!({ "kty": "EC", "crv": "P-256", "x": encode(&point[1..33]), "y": encode(&point[33..]) }),
            json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(self.ed25519.public_key().as_ref()) }),
        ]
    }

    /// The signature of any bytes.
    fn signature(&self, by: By, message: &[u8]) -> Vec<u8> {
        let padded = |padding| {
            let mut signature = vec![0; self.rsa.public().modulus_len()];
            let signed = self.rsa.sign(padding, &self.random, message, &mut signature);
            signed.expect("a signature");
            signature
        };
        match by {
            By::Rs256 => padded(&RSA_PKCS1_SHA256),
            By::Ps256 => padded(&RSA_PSS_SHA256),
            By::Es256 => {
                let signature = self.p256.sign(&self.random, message);
                signature.expect("a signature").as_ref().to_vec()
            }
            By::EdDsa => self.ed25519.sign(message).as_ref().to_vec(),
        }
    }

    /// A token of any header and claims.
    fn sign(&self, by: By, header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.signature(by, message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// A right token for this caller, which ends in an hour.
    pub fn token(&self, by: By, caller: &Caller, now: Timestamp) -> String {
        self.token_by(by, &self.key_id(by), caller, now)
    }

    /// So many tokens that say to be signed by keys which it does not have, each by another one.
    pub fn by_unknown_keys(&self, count: usize, caller: &Caller, now: Timestamp) -> Vec<String> {
        let token = |number| self.token_by(By::Es256, &format!("unknown-{number}"), caller, now);
        (0..count).map(token).collect()
    }

    fn token_by(&self, by: By, key_id: &str, caller: &Caller, now: Timestamp) -> String {
        let header = json!({ "alg": by.algorithm(), "kid": key_id, "typ": "JWT" });
        let mut claims = claims(now);
        claims["iss"] = self.name.as_str().into();
        claims["sub"] = caller.subject.as_str().into();
        claims["tenant"] = caller.tenant.as_str().into();
        if let Some(email) = &caller.email {
            claims["email"] = email.as_str().into();
            claims["email_verified"] = true.into();
        }
        if caller.admin {
            claims["realm_access"] = json!({ "roles": ["patchbay-admin"] });
        }
        self.sign(by, header.to_string(), claims.to_string())
    }

    /// Right tokens, each for what it shows. All are of ann of acme, who is no admin and has no e-mail address.
    pub fn good(&self, now: Timestamp) -> Vec<(String, String)> {
        let mut tokens = Vec::new();
        let seconds = seconds(now);
        for by in By::ALL {
            let header = json!({ "alg": by.algorithm(), "kid": by.key_id() });
            let token = self.sign(by, header.to_string(), claims(now).to_string());
            tokens.push((format!("signed by {}", by.algorithm()), token));
        }
        for (name, claim, value) in [
            ("several audiences", "aud", json!(["other", AUDIENCE])),
            ("within the leeway of exp", "exp", json!(seconds - 30)),
            ("within the leeway of nbf", "nbf", json!(seconds + 58)),
            ("within the leeway of iat", "iat", json!(seconds + 58)),
            ("a fraction of a second", "exp", json!(seconds as f64 + 60.5)),
            (
                "an e-mail address that is not verified",
                "email",
                json!("ann@acme.example"),
            ),
            ("an unknown claim", "nonce", json!({ "a": [1] })),
            ("every character of base64url", "nonce", json!("?????>>>>>")),
        ] {
            let mut claims = claims(now);
            claims[claim] = value;
            tokens.push((
                name.to_owned(),
                self.sign(By::Es256, header().to_string(), claims.to_string()),
            ));
        }
        for (name, parameter, value) in [
            ("typ of RFC 9068", "typ", json!("at+JWT")),
            ("an unknown parameter", "nonce", json!("n")),
            (
                "addresses of keys that nobody asks",
                "jku",
                json!("https://attacker.example/jwks"),
            ),
        ] {
            let mut header = header();
            header[parameter] = value;
            tokens.push((
                name.to_owned(),
                self.sign(By::Es256, header.to_string(), claims(now).to_string()),
            ));
        }
        let without_id = json!({ "alg": "EdDSA" }).to_string();
        let token = self.sign(By::EdDsa, without_id, claims(now).to_string());
        tokens.push(("no kid, and one key for its alg".to_owned(), token));
        tokens
    }
}

fn seconds(now: Timestamp) -> i64 {
    now.as_micros() / 1_000_000
}

fn header() -> Value {
    json!({ "alg": "ES256", "kid": "p256", "typ": "JWT" })
}

fn claims(now: Timestamp) -> Value {
    let now = seconds(now);
    json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "tenant": "acme", "iat": now, "nbf": now, "exp": now + 3600 })
}
