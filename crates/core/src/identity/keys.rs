//! The public keys of an issuer, out of a JSON Web Key Set (RFC 7517).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::remembered::Remembered;
use super::{json, small_order};
use crate::limits;
use crate::model::Invalid;

/// How a token is signed. There is no other way: least of all none, or with a secret that both sides know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA, PKCS #1 v1.5, SHA-256.
    Rs256,
    /// RSA, PSS, SHA-256.
    Ps256,
    /// ECDSA on P-256, SHA-256; the signature is `r` and `s`, 32 bytes each.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// The algorithm of this name (RFC 7518, RFC 8037).
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "PS256" => Some(Self::Ps256),
            "ES256" => Some(Self::Es256),
            "EdDSA" => Some(Self::EdDsa),
            _ => None,
        }
    }
}

/// A public key.
#[derive(Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// RSA, of 2,048 to 8,192 bits. Both are big-endian and without leading zeros.
    Rsa {
        /// The modulus.
        n: Vec<u8>,
        /// The exponent.
        e: Vec<u8>,
    },
    /// A point on P-256, uncompressed: `04`, x and y.
    P256([u8; 65]),
    /// A point on Edwards25519.
    Ed25519([u8; 32]),
}

/// Whether a signature of a message is this key's by this algorithm, as a home's cryptography finds. A key and an
/// algorithm that do not go together verify nothing.
pub type Verify = fn(key: &PublicKey, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool;

/// A key, and what its issuer says of it.
struct Key {
    id: Option<String>,
    /// Where the issuer names one.
    algorithm: Option<Algorithm>,
    public: PublicKey,
}

impl Key {
    /// Whether the key itself is for this algorithm.
    fn is_for(&self, algorithm: Algorithm) -> bool {
        let by_kind = match self.public {
            PublicKey::Rsa { .. } => matches!(algorithm, Algorithm::Rs256 | Algorithm::Ps256),
            PublicKey::P256(_) => algorithm == Algorithm::Es256,
            PublicKey::Ed25519(_) => algorithm == Algorithm::EdDsa,
        };
        by_kind && self.algorithm.is_none_or(|own| own == algorithm)
    }

    /// Takes a JWK.
    ///
    /// # Errors
    /// Why no token may be signed with it.
    fn of(jwk: &Map<String, Value>) -> Result<Self, &'static str> {
        let text = |name: &str| match jwk.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err("a member of it is not a text"),
        };
        if !matches!(text("use")?, None | Some("sig")) {
            return Err("its `use` is not sig");
        }
        let verifies = |operations: &Value| {
            let mut operations = operations.as_array().into_iter().flatten();
            operations.any(|operation| operation == "verify")
        };
        if !jwk.get("key_ops").is_none_or(verifies) {
            return Err("its `key_ops` are without verify");
        }
        if jwk.contains_key("d") {
            return Err("it is a private key, which has no business here");
        }
        let algorithm = match text("alg")? {
            None => None,
            Some(name) => Some(Algorithm::named(name).ok_or("its `alg` is not RS256, PS256, ES256 or EdDSA")?),
        };
        let bytes = |name: &str| {
            let decoded = text(name)?.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
            decoded.ok_or("a part of the key is missing or not in base64url")
        };
        const LENGTH: &str = "a part of the key has not the length that its curve wants";
        let public = match (text("kty")?, text("crv")?) {
            (Some("RSA"), None) => rsa(&bytes("n")?, &bytes("e")?)
                .ok_or("it is an RSA key under 2,048 bits, over 8,192, or with an exponent that nobody uses")?,
            (Some("EC"), Some("P-256")) => {
                let (x, y) = (coordinate(bytes("x")?), coordinate(bytes("y")?));
                let point = [vec![4], x.ok_or(LENGTH)?, y.ok_or(LENGTH)?].concat();
                PublicKey::P256(point.try_into().map_err(|_| LENGTH)?)
            }
            (Some("OKP"), Some("Ed25519")) => {
                let point = bytes("x")?.try_into().map_err(|_| LENGTH)?;
                if small_order::is_one(&point) {
                    return Err("it is a point of small order, for which anybody can sign");
                }
                PublicKey::Ed25519(point)
            }
            _ => return Err("its `kty` and `crv` are not RSA, EC with P-256, or OKP with Ed25519"),
        };
        let id = text("kid")?.map(str::to_owned);
        let key = Self { id, algorithm, public };
        if key.algorithm.is_none_or(|own| key.is_for(own)) {
            Ok(key)
        } else {
            Err("its `alg` is none of its kind of key")
        }
    }
}

/// One coordinate, of its full length and no other (RFC 7518, 6.2.1.2).
fn coordinate(bytes: Vec<u8>) -> Option<Vec<u8>> {
    (bytes.len() == 32).then_some(bytes)
}

/// An RSA key that is neither weak nor so large that it makes verifying slow.
fn rsa(n: &[u8], e: &[u8]) -> Option<PublicKey> {
    let unpadded = |bytes: &[u8]| -> Vec<u8> { bytes.iter().copied().skip_while(|byte| *byte == 0).collect() };
    let (n, e) = (unpadded(n), unpadded(e));
    let bits = n.len() * 8 - n.first()?.leading_zeros() as usize;
    let odd = e.last()? & 1 == 1;
    (limits::RSA_BITS.contains(&bits) && odd && e != [1] && e.len() <= 4).then_some(PublicKey::Rsa { n, e })
}

/// A key of a set that no token may be signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Its `kid`, if it has one.
    pub id: Option<String>,
    /// Why it is left out.
    pub why: &'static str,
}

/// The keys of an issuer that tokens may be signed with. Shows how many there are.
pub struct KeySet {
    keys: Vec<Key>,
    left_out: Vec<LeftOut>,
    /// Whom tokens made that these keys verified. It goes with them.
    pub(super) remembered: Remembered,
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeySet({})", self.keys.len())
    }
}

impl KeySet {
    /// Takes a JSON Web Key Set. What it holds besides public keys for RS256, PS256, ES256 and EdDSA is left out: keys
    /// for another use or algorithm, private ones, RSA keys under 2,048 bits, and Ed25519's points of small order.
    ///
    /// # Errors
    /// Where it is no key set, or none of its keys is left.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let set = Self::read(text.as_bytes())?;
        if set.keys.is_empty() {
            return Err(Invalid(
                "must hold a public key for RS256, PS256, ES256 or EdDSA".into(),
            ));
        }
        Ok(set)
    }

    /// Takes a key set of which nothing may be left: its issuer may have withdrawn them all.
    pub(super) fn read(json: &[u8]) -> Result<Self, Invalid> {
        let wrong = || Invalid("must be a JSON Web Key Set: an object whose `keys` are JSON Web Keys".into());
        let set = json::object(json).ok_or_else(wrong)?;
        let keys = set.get("keys").and_then(Value::as_array).ok_or_else(wrong)?;
        let mut taken = Self {
            keys: Vec::new(),
            left_out: Vec::new(),
            remembered: Remembered::none(),
        };
        for jwk in keys {
            match jwk.as_object().ok_or("it is not an object").and_then(Key::of) {
                Ok(key) => taken.keys.push(key),
                Err(why) => {
                    let id = jwk.get("kid").and_then(Value::as_str).map(str::to_owned);
                    taken.left_out.push(LeftOut { id, why });
                }
            }
        }
        Ok(taken)
    }

    /// The keys that are left out.
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// Whether a key has this id.
    pub(super) fn names(&self, id: &str) -> bool {
        self.keys.iter().any(|key| key.id.as_deref() == Some(id))
    }

    /// The keys that a token of this `kid` and `alg` may be signed with: without a `kid`, the one key that there is for
    /// this algorithm.
    pub(super) fn for_token(&self, id: Option<&str>, algorithm: Algorithm) -> Vec<&PublicKey> {
        let named = |key: &&Key| id.is_none() || key.id.as_deref() == id;
        let fit = self.keys.iter().filter(named).filter(|key| key.is_for(algorithm));
        let fit: Vec<_> = fit.map(|key| &key.public).collect();
        if id.is_none() && fit.len() > 1 { Vec::new() } else { fit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const X: &str = "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4";
    const Y: &str = "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM";

    fn set(keys: &[String]) -> Result<KeySet, Invalid> {
        KeySet::parse(&format!("{{\"keys\":[{}]}}", keys.join(",")))
    }

    fn rsa_of(n: &[u8], more: &str) -> String {
        let n = URL_SAFE_NO_PAD.encode(n);
        format!("{{\"kty\":\"RSA\",\"n\":\"{n}\",\"e\":\"AQAB\"{more}}}")
    }

    fn p256(more: &str) -> String {
        format!("{{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"{X}\",\"y\":\"{Y}\"{more}}}")
    }

    fn ed25519(more: &str) -> String {
        format!("{{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"{X}\"{more}}}")
    }

    #[test]
    fn a_key_is_for_its_own_algorithm() {
        let every = [Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256, Algorithm::EdDsa];
        let rsa = |more: &str| rsa_of(&[0x80; 256], more);
        for (key, fits) in [
            (rsa(""), &[Algorithm::Rs256, Algorithm::Ps256][..]),
            (rsa(",\"alg\":\"PS256\""), &[Algorithm::Ps256]),
            (
                rsa(",\"use\":\"sig\",\"key_ops\":[\"verify\"]"),
                &[Algorithm::Rs256, Algorithm::Ps256],
            ),
            (p256(""), &[Algorithm::Es256]),
            (ed25519(",\"alg\":\"EdDSA\""), &[Algorithm::EdDsa]),
        ] {
            let keys = set(std::slice::from_ref(&key)).unwrap();
            let found = every
                .into_iter()
                .filter(|algorithm| keys.for_token(None, *algorithm).len() == 1);
            assert_eq!(found.collect::<Vec<_>>(), fits, "{key}");
        }
    }

    #[test]
    fn a_key_that_is_weak_malformed_private_or_for_something_else_is_left_out() {
        let weak = [&[0x7f; 1][..], &[0xff; 255]].concat();
        let padded = [&[0; 200][..], &[0xff; 128]].concat();
        for key in [
            rsa_of(&[0xff; 128], ""),
            rsa_of(&weak, ""),
            rsa_of(&padded, ""),
            rsa_of(&[0xff; 1025], ""),
            rsa_of(&[], ""),
            rsa_of(&[0x80; 256], "").replace("AQAB", "AQ"),
            rsa_of(&[0x80; 256], "").replace("AQAB", "AQAA"),
            rsa_of(&[0x80; 256], "").replace("AQAB", ""),
            rsa_of(&[0x80; 256], ",\"use\":\"enc\""),
            rsa_of(&[0x80; 256], ",\"alg\":\"RS512\""),
            rsa_of(&[0x80; 256], ",\"alg\":\"RSA-OAEP\""),
            rsa_of(&[0x80; 256], ",\"alg\":\"ES256\""),
            rsa_of(&[0x80; 256], ",\"alg\":\"HS256\""),
            rsa_of(&[0x80; 256], ",\"alg\":1"),
            rsa_of(&[0x80; 256], ",\"key_ops\":[\"encrypt\"]"),
            rsa_of(&[0x80; 256], ",\"key_ops\":\"verify\""),
            rsa_of(&[0x80; 256], ",\"d\":\"AQAB\""),
            rsa_of(&[0x80; 256], ",\"kid\":7"),
            p256(",\"alg\":\"EdDSA\""),
            p256("").replace("P-256", "P-384"),
            p256("").replace("P-256", "secp256k1"),
            p256("").replace(X, &X[..42]),
            p256("").replace(X, &format!("AAAA{X}")),
            ed25519("").replace("Ed25519", "X25519"),
            ed25519("").replace(X, &X[..40]),
            ed25519("").replace(X, &"A".repeat(43)),
            ed25519("").replace(X, "7v_______________________________________38"),
            format!("{{\"kty\":\"oct\",\"k\":\"{X}\",\"alg\":\"HS256\"}}"),
            "{}".to_owned(),
            "[]".to_owned(),
        ] {
            assert!(set(std::slice::from_ref(&key)).is_err(), "{key}");
            // And it does not spoil the set for those that are right.
            let keys = set(&[key, ed25519("")]).unwrap();
            assert_eq!((keys.count(), keys.left_out().len()), (1, 1));
        }
    }

    #[test]
    fn a_key_that_is_left_out_is_named_with_the_reason() {
        let keys = [
            ed25519(",\"kid\":\"good\""),
            rsa_of(&[0x80; 256], ",\"kid\":\"a\",\"use\":\"enc\""),
            rsa_of(&[0xff; 128], ""),
        ];
        let keys = set(&keys).unwrap();
        let said: Vec<_> = keys.left_out().iter().map(|key| (key.id.as_deref(), key.why)).collect();
        let [(Some("a"), by_use), (None, by_size)] = said[..] else {
            panic!("{said:?}");
        };
        assert!(by_use.contains("`use`") && by_size.contains("2,048"), "{said:?}");
    }

    #[test]
    fn without_a_kid_there_must_be_one_key_for_the_algorithm() {
        let keys = set(&[p256(",\"kid\":\"a\""), p256(",\"kid\":\"b\""), ed25519("")]).unwrap();
        assert_eq!(keys.for_token(None, Algorithm::Es256).len(), 0);
        assert_eq!(keys.for_token(Some("b"), Algorithm::Es256).len(), 1);
        assert_eq!(keys.for_token(Some("c"), Algorithm::Es256).len(), 0);
        assert_eq!(keys.for_token(Some("b"), Algorithm::EdDsa).len(), 0);
        assert_eq!(keys.for_token(None, Algorithm::EdDsa).len(), 1);
    }

    #[test]
    fn what_is_no_key_set_is_refused() {
        for wrong in [
            "",
            "[]",
            "{}",
            "{\"keys\":{}}",
            "{\"keys\":[]}",
            "{\"keys\":[],\"keys\":[]}",
            "{\"keys\":[]} x",
        ] {
            assert!(KeySet::parse(wrong).is_err(), "{wrong}");
        }
    }
}
