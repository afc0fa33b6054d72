//! Whatever verifies signatures, a home takes the same ones.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use curve25519_dalek::constants::EIGHT_TORSION;
use fastrand::Rng;
use patchbay_core::api::Host as _;
use patchbay_core::identity::Authentication;
use patchbay_core::identity::keys::{Algorithm, KeySet, PublicKey};
use patchbay_signature::{verify_by_ring, verify_in_rust};
use patchbay_testkit::SystemHost;
use patchbay_testkit::issuer::{By, Issuer};
use serde_json::{Value, json};

/// The order of Ed25519's group, in little-endian bytes: adding it to `s` makes another signature for careless verifiers.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// p, in as many: adding it to a coordinate makes another encoding of the same point, where it fits.
const FIELD: [u8; 32] = {
    let mut bytes = [0xff; 32];
    bytes[0] = 0xed;
    bytes[31] = 0x7f;
    bytes
};

fn decode(text: &Value) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text.as_str().unwrap()).unwrap()
}

/// The issuer's keys, for RSA, P-256 and Ed25519.
fn keys(issuer: &Issuer) -> [PublicKey; 3] {
    let jwks: Value = serde_json::from_str(&issuer.jwks()).unwrap();
    let [rsa, p256, ed25519] = [0, 1, 2].map(|place| &jwks["keys"][place]);
    [
        PublicKey::Rsa {
            n: decode(&rsa["n"]),
            e: decode(&rsa["e"]),
        },
        PublicKey::P256(
            [vec![4], decode(&p256["x"]), decode(&p256["y"])]
                .concat()
                .try_into()
                .unwrap(),
        ),
        PublicKey::Ed25519(decode(&ed25519["x"]).try_into().unwrap()),
    ]
}

/// What both say.
fn verify(key: &PublicKey, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
    let [one, other] = [verify_by_ring, verify_in_rust].map(|verify| verify(key, algorithm, message, signature));
    assert_eq!(one, other, "{algorithm:?} of {message:x?}: {signature:x?}");
    one
}

/// The sum, in as many bytes as the first has; both little-endian. `None` where that is too few.
fn sum(one: &[u8], other: &[u8]) -> Option<Vec<u8>> {
    let mut carry = 0;
    let mut bytes = Vec::new();
    for (place, byte) in one.iter().enumerate() {
        carry += u16::from(*byte) + u16::from(other.get(place).copied().unwrap_or(0));
        bytes.push(carry.to_le_bytes()[0]);
        carry >>= 8;
    }
    (carry == 0).then_some(bytes)
}

fn reversed(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().rev().copied().collect()
}

#[test]
fn both_take_right_signatures_and_refuse_what_was_changed() {
    let (issuer, now) = (Issuer::default(), SystemHost.now());
    let [rsa, p256, ed25519] = keys(&issuer);
    let mut random = Rng::with_seed(7);
    let mut congruent = 0;
    for (by, key, algorithm) in [
        (By::Rs256, &rsa, Algorithm::Rs256),
        (By::Ps256, &rsa, Algorithm::Ps256),
        (By::Es256, &p256, Algorithm::Es256),
        (By::EdDsa, &ed25519, Algorithm::EdDsa),
    ] {
        // Enough for both halves of what `s` may be.
        for _ in 0..16 {
            let token = issuer.token(by, &Authentication::anonymous(), now);
            let (message, signature) = token.rsplit_once('.').unwrap();
            let (message, signature) = (message.as_bytes(), URL_SAFE_NO_PAD.decode(signature).unwrap());
            assert!(verify(key, algorithm, message, &signature), "{algorithm:?}");
            for (other, wrong) in [
                (&rsa, Algorithm::Rs256),
                (&rsa, Algorithm::Ps256),
                (&rsa, Algorithm::Es256),
                (&p256, Algorithm::Es256),
                (&p256, Algorithm::EdDsa),
                (&ed25519, Algorithm::EdDsa),
                (&ed25519, Algorithm::Rs256),
            ] {
                let right = other == key && wrong == algorithm;
                assert_eq!(verify(other, wrong, message, &signature), right);
            }
            for _ in 0..16 {
                let mut changed = signature.clone();
                changed[random.usize(..signature.len())] ^= 1 << random.u8(..8);
                assert!(!verify(key, algorithm, message, &changed));
                let mut changed = message.to_vec();
                changed[random.usize(..message.len())] ^= 1 << random.u8(..8);
                assert!(!verify(key, algorithm, &changed, &signature));
            }
            for changed in [
                vec![],
                vec![0; signature.len()],
                vec![0xff; signature.len()],
                [&signature[..], &[0]].concat(),
                [&[0], &signature[..]].concat(),
                signature[1..].to_vec(),
                signature[..signature.len() - 1].to_vec(),
                [&signature[..32], &[0; 32]].concat(),
                [&[0; 32], &signature[32..]].concat(),
            ] {
                assert!(!verify(key, algorithm, message, &changed));
            }
            // The same number, beyond what it may be.
            let beyond = match key {
                PublicKey::Rsa { n, .. } => sum(&reversed(&signature), &reversed(n)).map(|sum| reversed(&sum)),
                PublicKey::Ed25519(_) => sum(&signature[32..], &ORDER).map(|s| [&signature[..32], &s].concat()),
                PublicKey::P256(_) => None,
            };
            if let Some(beyond) = beyond {
                congruent += 1;
                assert!(!verify(key, algorithm, message, &beyond));
            }
        }
    }
    assert!(congruent > 0);
}

#[test]
fn neither_takes_a_key_that_is_none() {
    let (issuer, now) = (Issuer::default(), SystemHost.now());
    let token = issuer.token(By::Es256, &Authentication::anonymous(), now);
    let (message, signature) = token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let mut off_the_curve = [1; 65];
    off_the_curve[0] = 4;
    for point in [[0; 65], [0xff; 65], off_the_curve] {
        let key = PublicKey::P256(point);
        assert!(!verify(&key, Algorithm::Es256, message.as_bytes(), &signature));
    }
    for n in [vec![], vec![0], vec![0xff; 128], vec![0xff; 255], vec![0xfe; 256]] {
        for e in [vec![], vec![1], vec![2], vec![3], vec![1, 0, 1]] {
            let key = PublicKey::Rsa { n: n.clone(), e };
            assert!(!verify(&key, Algorithm::Rs256, message.as_bytes(), &[1; 256]));
            assert!(!verify(&key, Algorithm::Ps256, message.as_bytes(), &[1; 256]));
        }
    }
}

#[test]
fn a_set_is_to_leave_out_points_for_which_both_take_what_anybody_signs() {
    let mut points = HashSet::new();
    for point in EIGHT_TORSION {
        let mut y = point.compress().to_bytes();
        y[31] &= 0x7f;
        let beyond = sum(&y, &FIELD).filter(|y| y[31] < 0x80);
        for y in [Some(y.to_vec()), beyond].into_iter().flatten() {
            for sign in [0, 0x80] {
                let mut point = <[u8; 32]>::try_from(y.as_slice()).unwrap();
                point[31] |= sign;
                points.insert(point);
            }
        }
    }
    assert_eq!(points.len(), 14);
    // The neutral point and nought are right for every message whose hash the point's order divides.
    let mut signature = [0; 64];
    signature[0] = 1;
    for point in points {
        let key = PublicKey::Ed25519(point);
        let mut messages = 0..=u8::MAX;
        assert!(
            messages.any(|message| verify(&key, Algorithm::EdDsa, &[message], &signature)),
            "{point:x?}"
        );
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(point) });
        assert!(
            KeySet::parse(&json!({ "keys": [jwk] }).to_string()).is_err(),
            "{point:x?}"
        );
    }
}
