//! In Rust alone.

use patchbay_core::identity::keys::{Algorithm, PublicKey};
use rsa::sha2::Sha256;
use rsa::signature::Verifier;
use rsa::{BoxedUint, pkcs1v15, pss};

/// Whether `signature` is `key`'s of `message` by `algorithm`.
pub fn verify(key: &PublicKey, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
    let verified = match (key, algorithm) {
        (PublicKey::Rsa { n, e }, Algorithm::Rs256) => rsa_key(n, e).and_then(|key| {
            let signature = pkcs1v15::Signature::try_from(signature).ok()?;
            pkcs1v15::VerifyingKey::<Sha256>::new(key)
                .verify(message, &signature)
                .ok()
        }),
        (PublicKey::Rsa { n, e }, Algorithm::Ps256) => rsa_key(n, e).and_then(|key| {
            let signature = pss::Signature::try_from(signature).ok()?;
            pss::VerifyingKey::<Sha256>::new(key).verify(message, &signature).ok()
        }),
        (PublicKey::P256(point), Algorithm::Es256) => p256::ecdsa::VerifyingKey::from_sec1_bytes(point)
            .and_then(|key| key.verify(message, &p256::ecdsa::Signature::from_slice(signature)?))
            .ok(),
        (PublicKey::Ed25519(point), Algorithm::EdDsa) => ed25519_dalek::VerifyingKey::from_bytes(point)
            .and_then(|key| key.verify(message, &ed25519_dalek::Signature::from_slice(signature)?))
            .ok(),
        _ => None,
    };
    verified.is_some()
}

fn rsa_key(n: &[u8], e: &[u8]) -> Option<rsa::PublicKey> {
    rsa::PublicKey::new(BoxedUint::from_be_slice_vartime(n), BoxedUint::from_be_slice_vartime(e)).ok()
}
