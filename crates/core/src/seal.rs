//! Details ⇄ ciphertext, and the opaque cursors of `list`.
//!
//! XChaCha20-Poly1305 with random nonces. Each secret of the ring gives one key a purpose by HKDF-SHA256. A sealed
//! value is `format version (1) · nonce (24) · ciphertext and tag`; its associated data is length-prefixed format
//! version, tenant, id, name, type, owner, `created_at` and key id, so that it opens in its own record alone.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{Key as CipherKey, KeyInit, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use secrecy::SecretString;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

use crate::api::Host;
use crate::audit::{Place, Query};
use crate::model::{
    Caller, ConnectionId, ConnectionType, Details, Invalid, KeyId, Name, Record, Sealed, Subject, Tenant, Timestamp,
    WorkspaceId,
};

const FORMAT: u8 = 1;
const NONCE: usize = 24;
/// Characters of a ring entry's secret: 43 of base64url carry 256 bits.
const SECRET_CHARACTERS: usize = 43;
const DETAILS_LABEL: &[u8] = b"patchbay/1/details";
const CURSOR_LABEL: &[u8] = b"patchbay/1/cursor";

/// A connection before its details are sealed.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Its id.
    pub id: ConnectionId,
    /// Its name.
    pub name: Name,
    /// Its type.
    pub connection_type: ConnectionType,
    /// Who creates it.
    pub owner: Subject,
    /// When.
    pub created_at: Timestamp,
}

impl Draft {
    /// The record that it becomes with these details.
    pub(crate) fn into_record(self, sealed: Sealed) -> Record {
        Record {
            id: self.id,
            name: self.name,
            connection_type: self.connection_type,
            owner: self.owner,
            created_at: self.created_at,
            sealed,
        }
    }
}

/// Why sealed details do not open. Never says anything of their content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The key that sealed them is not in the ring.
    #[error("the key `{0}` is not in the key ring")]
    MissingKey(KeyId),
    /// They are not what this key sealed for this record.
    #[error("the sealed details do not belong to this record or are damaged")]
    Damaged,
}

struct Key {
    id: KeyId,
    details: XChaCha20Poly1305,
    cursor: XChaCha20Poly1305,
}

/// The keys that seal and open. The first one seals, all open. Shows nothing but key ids.
pub struct KeyRing {
    sealing: Key,
    others: Vec<Key>,
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys().map(|key| &key.id)).finish()
    }
}

impl KeyRing {
    /// Takes comma-separated `key-id:secret`: key id `[a-z0-9-]{1,32}`, secret at least 43 of `[A-Za-z0-9_-]`. White
    /// space around an entry is ignored. The first key seals. The error names the entry by its place, never its text.
    /// What begins with a brace is taken as [`Self::from_json`] takes it.
    pub fn parse(entries: &str) -> Result<Self, Invalid> {
        if entries.trim_start().starts_with('{') {
            return Self::from_json(entries);
        }
        let entries = entries.split(',').map(|entry| {
            let entry = entry.trim().split_once(':');
            entry.ok_or("must be `key-id:secret`")
        });
        Self::of(entries, 0)
    }

    /// Takes a JSON object whose member `sealing` names the key that seals, and each of whose others is a key id and its
    /// secret, under the same rules. It is a form that secret stores generate and rotate. The error repeats no text of it.
    pub fn from_json(json: &str) -> Result<Self, Invalid> {
        const SEALING: &str = "sealing";
        let wrong = |what: &str| Invalid(what.into());
        let Members(members) =
            serde_json::from_str(json).map_err(|_| wrong("must be a JSON object of strings without escapes"))?;
        let (named, entries): (Vec<_>, Vec<_>) = members.into_iter().partition(|(name, _)| *name == SEALING);
        let [(_, sealing)] = named[..] else {
            return Err(wrong("must have one member `sealing`"));
        };
        let first = entries.iter().position(|(id, _)| *id == sealing);
        let first = first.ok_or_else(|| wrong("`sealing` must be the key id of another member"))?;
        Self::of(entries.into_iter().map(Ok), first)
    }

    /// Takes key ids with their secrets, or what is wrong with an entry. The key at `sealing`, counted from 0, seals.
    fn of<'e>(
        entries: impl Iterator<Item = Result<(&'e str, &'e str), &'static str>>,
        sealing: usize,
    ) -> Result<Self, Invalid> {
        let mut keys = Vec::<Key>::new();
        for (place, entry) in (1..).zip(entries) {
            let wrong = |what: &str| Invalid(format!("entry {place}: {what}"));
            let (id, secret) = entry.map_err(wrong)?;
            let id = KeyId::new(id).map_err(|_| wrong("the key id must be 1 to 32 of a-z, 0-9 and -"))?;
            let fits = secret
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
            if secret.len() < SECRET_CHARACTERS || !fits {
                return Err(wrong("the secret must be at least 43 of A-Z, a-z, 0-9, _ and -"));
            }
            if keys.iter().any(|key| key.id == id) {
                return Err(wrong("the key id stands twice"));
            }
            keys.push(Key {
                id,
                details: derive(secret, DETAILS_LABEL),
                cursor: derive(secret, CURSOR_LABEL),
            });
        }
        if sealing >= keys.len() {
            return Err(Invalid("must name at least one key".into()));
        }
        let sealing = keys.remove(sealing);
        Ok(Self { sealing, others: keys })
    }

    fn keys(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.sealing).chain(&self.others)
    }

    fn key(&self, id: &KeyId) -> Option<&Key> {
        self.keys().find(|key| key.id == *id)
    }

    /// The ids of all keys, that of the one that seals first.
    pub fn ids(&self) -> impl Iterator<Item = &KeyId> {
        self.keys().map(|key| &key.id)
    }

    /// The id of the key that seals.
    pub fn sealing_key(&self) -> &KeyId {
        &self.sealing.id
    }

    /// Whether the ring holds this key.
    pub fn contains(&self, id: &KeyId) -> bool {
        self.key(id).is_some()
    }

    /// Seals `details` into the record that `draft` becomes.
    pub fn seal(&self, host: &impl Host, tenant: &Tenant, draft: Draft, details: &Details) -> Record {
        let mut record = draft.into_record(Sealed {
            key_id: self.sealing.id.clone(),
            bytes: Vec::new(),
        });
        let aad = associated_data(tenant, &record, &record.sealed.key_id);
        record.sealed.bytes = encrypt(&self.sealing.details, host, details.expose(), &aad);
        record
    }

    /// Opens a record's details and seals them again with the first key. What comes out was opened once more, since it
    /// takes the place of what can be opened now.
    ///
    /// # Errors
    /// Those of [`Self::open`].
    pub fn reseal(&self, host: &impl Host, tenant: &Tenant, record: &Record) -> Result<Sealed, OpenError> {
        let details = self.open(tenant, record)?;
        let key_id = self.sealing.id.clone();
        let aad = associated_data(tenant, record, &key_id);
        let sealed = Sealed {
            bytes: encrypt(&self.sealing.details, host, details.expose(), &aad),
            key_id,
        };
        match self.open_as(tenant, record, &sealed)? == details {
            true => Ok(sealed),
            false => Err(OpenError::Damaged),
        }
    }

    /// Opens a record's details.
    ///
    /// # Errors
    /// [`OpenError::MissingKey`] where the ring lacks its key, [`OpenError::Damaged`] where the bytes were changed or
    /// moved from another record, name, type, owner, tenant or key.
    pub fn open(&self, tenant: &Tenant, record: &Record) -> Result<Details, OpenError> {
        self.open_as(tenant, record, &record.sealed)
    }

    /// Opens what is `sealed` as a record's details.
    fn open_as(&self, tenant: &Tenant, record: &Record, sealed: &Sealed) -> Result<Details, OpenError> {
        let id = &sealed.key_id;
        let key = self.key(id).ok_or_else(|| OpenError::MissingKey(id.clone()))?;
        decrypt(&key.details, &sealed.bytes, &associated_data(tenant, record, id))
            .map(Details::new)
            .ok_or(OpenError::Damaged)
    }

    /// A cursor for the rows after `last`, made for this caller and filter.
    pub fn cursor(&self, host: &impl Host, caller: &Caller, filter: Option<WorkspaceId>, last: &Name) -> String {
        self.seal_cursor(host, last.as_str().as_bytes(), |key| cursor_data(caller, filter, key))
    }

    /// The name that a cursor of this caller and filter stands after; `None` for anything else.
    pub fn open_cursor(&self, caller: &Caller, filter: Option<WorkspaceId>, cursor: &str) -> Option<Name> {
        let name = self.unseal_cursor(cursor, |key| cursor_data(caller, filter, key))?;
        Name::new(std::str::from_utf8(&name).ok()?).ok()
    }

    /// A cursor for the audit records before `place`, made for this caller and query.
    pub(crate) fn audit_cursor(&self, host: &impl Host, caller: &Caller, query: &Query, place: Place) -> String {
        let content = [&place.file.to_be_bytes()[..], &place.bytes.to_be_bytes()].concat();
        self.seal_cursor(host, &content, |key| audit_cursor_data(caller, query, key))
    }

    /// The place that a cursor of this caller and query stands before; `None` for anything else.
    pub(crate) fn open_audit_cursor(&self, caller: &Caller, query: &Query, cursor: &str) -> Option<Place> {
        let content = self.unseal_cursor(cursor, |key| audit_cursor_data(caller, query, key))?;
        let (file, bytes) = content.split_first_chunk()?;
        Some(Place {
            file: u32::from_be_bytes(*file),
            bytes: u64::from_be_bytes(bytes.try_into().ok()?),
        })
    }

    /// A cursor that says how far an operator's walk is: good for this walk alone, and for as long as the same key seals.
    pub(crate) fn walk_cursor(&self, host: &impl Host, walk: &str, place: &str) -> String {
        self.seal_cursor(host, place.as_bytes(), |key| walk_data(walk, self.sealing_key(), key))
    }

    /// What [`Self::walk_cursor`] was given; `None` for anything else.
    pub(crate) fn open_walk_cursor(&self, walk: &str, cursor: &str) -> Option<String> {
        let place = self.unseal_cursor(cursor, |key| walk_data(walk, self.sealing_key(), key))?;
        String::from_utf8(place).ok()
    }

    fn seal_cursor(&self, host: &impl Host, content: &[u8], data: impl FnOnce(&KeyId) -> Vec<u8>) -> String {
        let key = &self.sealing;
        let sealed = encrypt(&key.cursor, host, content, &data(&key.id));
        format!("{}.{}", key.id, URL_SAFE_NO_PAD.encode(sealed))
    }

    fn unseal_cursor(&self, cursor: &str, data: impl FnOnce(&KeyId) -> Vec<u8>) -> Option<Vec<u8>> {
        let (id, sealed) = cursor.split_once('.')?;
        let key = self.key(&KeyId::new(id).ok()?)?;
        let sealed = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        decrypt(&key.cursor, &sealed, &data(&key.id))
    }
}

/// A JSON object's members in their order, which borrow from it: no copy of a secret is left behind.
struct Members<'a>(Vec<(&'a str, &'a str)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// A new entry for the ring, `key-id:secret`, with 256 bits of the host's randomness.
pub fn generate_entry(host: &impl Host, key_id: &KeyId) -> SecretString {
    let mut secret = Zeroizing::new([0_u8; 32]);
    host.fill(secret.as_mut_slice());
    let encoded = Zeroizing::new(URL_SAFE_NO_PAD.encode(secret.as_slice()));
    SecretString::from(format!("{key_id}:{}", encoded.as_str()))
}

fn derive(secret: &str, label: &[u8]) -> XChaCha20Poly1305 {
    let mut bytes = CipherKey::default();
    // 32 bytes are far below HKDF's limit of 255 blocks, the one reason for which it could refuse; the zero key that
    // would remain is never used, since the assertion stops the start.
    let derived = Hkdf::<Sha256>::new(None, secret.as_bytes()).expand(label, &mut bytes);
    assert!(derived.is_ok(), "HKDF gives 32 bytes");
    let cipher = XChaCha20Poly1305::new(&bytes);
    bytes.as_mut_slice().zeroize();
    cipher
}

fn encrypt(cipher: &XChaCha20Poly1305, host: &impl Host, msg: &[u8], aad: &[u8]) -> Vec<u8> {
    let mut nonce = [0_u8; NONCE];
    host.fill(&mut nonce);
    // Encryption fails only past 256 GiB; bodies end at 512 KiB.
    let ciphertext = cipher
        .encrypt(&XNonce::from(nonce), Payload { msg, aad })
        .unwrap_or_default();
    let mut out = Vec::with_capacity(1 + NONCE + ciphertext.len());
    out.push(FORMAT);
    out.extend_from_slice(&nonce);
    out.extend_from_slice(&ciphertext);
    out
}

fn decrypt(cipher: &XChaCha20Poly1305, sealed: &[u8], aad: &[u8]) -> Option<Vec<u8>> {
    let (&format, rest) = sealed.split_first()?;
    let (nonce, msg) = rest.split_first_chunk::<NONCE>()?;
    if format != FORMAT {
        return None;
    }
    cipher.decrypt(&XNonce::from(*nonce), Payload { msg, aad }).ok()
}

fn length_prefixed(parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(parts.iter().map(|part| 8 + part.len()).sum());
    for part in parts {
        out.extend_from_slice(&(part.len() as u64).to_be_bytes());
        out.extend_from_slice(part);
    }
    out
}

fn associated_data(tenant: &Tenant, record: &Record, key_id: &KeyId) -> Vec<u8> {
    length_prefixed(&[
        &[FORMAT],
        tenant.as_str().as_bytes(),
        record.id.as_bytes(),
        record.name.as_str().as_bytes(),
        record.connection_type.as_str().as_bytes(),
        record.owner.as_str().as_bytes(),
        &record.created_at.as_micros().to_be_bytes(),
        key_id.as_str().as_bytes(),
    ])
}

fn cursor_data(caller: &Caller, filter: Option<WorkspaceId>, key_id: &KeyId) -> Vec<u8> {
    length_prefixed(&[
        &[FORMAT],
        caller.tenant.as_str().as_bytes(),
        caller.subject.as_str().as_bytes(),
        &filter.map_or(0, WorkspaceId::get).to_be_bytes(),
        key_id.as_str().as_bytes(),
    ])
}

/// Has more parts than [`cursor_data`], so that neither passes for the other.
fn audit_cursor_data(caller: &Caller, query: &Query, key_id: &KeyId) -> Vec<u8> {
    let time = |at: Option<Timestamp>| at.map_or(i64::MIN, Timestamp::as_micros).to_be_bytes();
    length_prefixed(&[
        &[FORMAT],
        caller.tenant.as_str().as_bytes(),
        caller.subject.as_str().as_bytes(),
        query.connection.as_ref().map_or(&[], |id| &id.as_bytes()[..]),
        query.subject.as_ref().map_or("", Subject::as_str).as_bytes(),
        &time(query.since),
        &time(query.until),
        key_id.as_str().as_bytes(),
    ])
}

/// Has fewer parts than [`cursor_data`], and the key that seals while the walk is under way.
fn walk_data(walk: &str, sealing: &KeyId, key_id: &KeyId) -> Vec<u8> {
    length_prefixed(&[
        &[FORMAT],
        walk.as_bytes(),
        sealing.as_str().as_bytes(),
        key_id.as_str().as_bytes(),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::tests::FixedHost;

    const OLD: &str = "old:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    const NEW: &str = "new:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";

    fn ring(entries: &str) -> KeyRing {
        KeyRing::parse(entries).unwrap()
    }

    fn tenant(name: &str) -> Tenant {
        Tenant::new(name).unwrap()
    }

    fn record(ring: &KeyRing) -> Record {
        let draft = Draft {
            id: ConnectionId::from_random([7; 16]),
            name: Name::new("warehouse").unwrap(),
            connection_type: ConnectionType::new("BIGQUERY").unwrap(),
            owner: Subject::new("ann").unwrap(),
            created_at: Timestamp::from_micros(1_684_255_385_170_914),
        };
        ring.seal(
            &FixedHost::default(),
            &tenant("t"),
            draft,
            &Details::new(b"{\"password\":\"hunter2\"}".to_vec()),
        )
    }

    #[test]
    fn what_was_sealed_opens_to_the_byte() {
        let ring = ring(OLD);
        let details = ring.open(&tenant("t"), &record(&ring)).unwrap();
        assert_eq!(details.expose(), b"{\"password\":\"hunter2\"}");
    }

    #[test]
    fn ciphertext_moved_to_another_record_does_not_open() {
        let ring = ring(&format!("{OLD},{NEW}"));
        let original = record(&ring);
        let moves: [fn(&mut Record); 7] = [
            |r| r.id = ConnectionId::from_random([8; 16]),
            |r| r.name = Name::new("warehouse2").unwrap(),
            |r| r.connection_type = ConnectionType::new("KAFKA").unwrap(),
            |r| r.owner = Subject::new("bob").unwrap(),
            |r| r.created_at = Timestamp::from_micros(0),
            |r| r.sealed.key_id = KeyId::new("new").unwrap(),
            |r| r.sealed.bytes[30] ^= 1,
        ];
        for change in moves {
            let mut moved = original.clone();
            change(&mut moved);
            assert_eq!(ring.open(&tenant("t"), &moved), Err(OpenError::Damaged));
        }
        assert_eq!(ring.open(&tenant("u"), &original), Err(OpenError::Damaged));
        // A name's end moved into the type next to it: the lengths keep the parts apart.
        let mut shifted = original.clone();
        shifted.name = Name::new("warehous").unwrap();
        shifted.connection_type = ConnectionType::new("eBIGQUERY").unwrap();
        assert_eq!(ring.open(&tenant("t"), &shifted), Err(OpenError::Damaged));
    }

    #[test]
    fn truncated_ciphertext_does_not_open() {
        let ring = ring(OLD);
        let original = record(&ring);
        for length in 0..original.sealed.bytes.len() {
            let mut cut = original.clone();
            cut.sealed.bytes.truncate(length);
            assert_eq!(ring.open(&tenant("t"), &cut), Err(OpenError::Damaged));
        }
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let sealed_by_old = record(&ring(OLD));
        let rotated = ring(&format!("{NEW},{OLD}"));
        assert_eq!(rotated.sealing_key().as_str(), "new");
        assert!(rotated.open(&tenant("t"), &sealed_by_old).is_ok());
        let lost = ring(NEW).open(&tenant("t"), &sealed_by_old);
        assert_eq!(lost, Err(OpenError::MissingKey(KeyId::new("old").unwrap())));
    }

    #[test]
    fn a_malformed_ring_is_refused_by_place_and_its_secret_not_repeated() {
        let secret = "S".repeat(42);
        let wrong = [
            "",
            "old",
            &format!("old:{secret}"),
            &format!("Old:{secret}SS"),
            &format!("{OLD},{OLD}"),
            &format!("{OLD},"),
            &format!("o:{secret}+S"),
        ];
        for entries in wrong {
            let error = KeyRing::parse(entries).unwrap_err().to_string();
            assert!(error.starts_with("entry "), "{error}");
            assert!(!error.contains("SSSS") && !error.contains("AAAA"), "{error}");
        }
    }

    #[test]
    fn a_ring_in_json_seals_with_the_key_that_it_names() {
        let secret = "C".repeat(48);
        let ring = KeyRing::from_json(&format!("{{\"sealing\":\"k1\",\"k1\":\"{secret}\"}}")).unwrap();
        assert_eq!(format!("{ring:?}"), "[KeyId(\"k1\")]");
        let sealed = record(&ring);
        let rotated = format!(
            "{{ \"k1\": \"{secret}\", \"k2\": \"{}\", \"sealing\": \"k2\" }}",
            "D".repeat(43)
        );
        let rotated = KeyRing::from_json(&rotated).unwrap();
        assert_eq!(rotated.sealing_key().as_str(), "k2");
        assert_eq!(
            rotated.open(&tenant("t"), &sealed).unwrap().expose(),
            b"{\"password\":\"hunter2\"}"
        );
        // Either form is taken in the other's place, and it is the same key.
        assert_eq!(
            KeyRing::parse(&format!(
                " {{\"k1\":\"{secret}\",\"k2\":\"{secret}\",\"sealing\":\"k2\"}}\n"
            ))
            .unwrap()
            .sealing_key()
            .as_str(),
            "k2"
        );
        assert!(
            KeyRing::parse(&format!("k1:{secret}"))
                .unwrap()
                .open(&tenant("t"), &sealed)
                .is_ok()
        );
    }

    #[test]
    fn a_malformed_ring_in_json_is_refused_without_its_text() {
        let secret = "S".repeat(48);
        for json in [
            "",
            "SSSS",
            "[]",
            "{}",
            &format!("{{\"k1\":\"{secret}\"}}"),
            &format!("{{\"sealing\":\"k2\",\"k1\":\"{secret}\"}}"),
            &format!("{{\"sealing\":\"{secret}\",\"k1\":\"{secret}\"}}"),
            &format!("{{\"sealing\":\"k1\",\"sealing\":\"k1\",\"k1\":\"{secret}\"}}"),
            &format!("{{\"sealing\":\"k1\",\"k1\":\"{secret}\",\"k1\":\"{secret}\"}}"),
            &format!("{{\"sealing\":\"K1\",\"K1\":\"{secret}\"}}"),
            &format!("{{\"sealing\":\"k1\",\"k1\":\"{secret}+\"}}"),
            &format!("{{\"sealing\":\"k1\",\"k1\":\"{}\"}}", &secret[..42]),
            &format!("{{\"sealing\":\"k1\",\"k1\":\"\\u0053{secret}\"}}"),
            &format!("{{\"sealing\":\"k1\",\"k1\":[\"{secret}\"]}}"),
            &format!("{{\"sealing\":\"k1\",\"k1\":\"{secret}\"}} x"),
        ] {
            let error = KeyRing::from_json(json).unwrap_err().to_string();
            assert!(!error.contains("SSSS"), "{error}");
        }
    }

    #[test]
    fn a_generated_entry_is_one_that_parses_and_debug_shows_no_secret() {
        use secrecy::ExposeSecret as _;
        let entry = generate_entry(&FixedHost::default(), &KeyId::new("k-1").unwrap());
        let ring = ring(entry.expose_secret());
        assert_eq!(format!("{ring:?}"), "[KeyId(\"k-1\")]");
        assert!(!format!("{entry:?}").contains("k-1:"));
    }

    #[test]
    fn a_cursor_opens_for_its_own_tenant_caller_and_filter_alone() {
        let old_ring = ring(OLD);
        let caller = |tenant: &str, subject: &str| Caller {
            tenant: Tenant::new(tenant).unwrap(),
            subject: Subject::new(subject).unwrap(),
            email: None,
            admin: false,
        };
        let one = WorkspaceId::new(1).ok();
        let last = Name::new("warehouse").unwrap();
        let cursor = old_ring.cursor(&FixedHost::default(), &caller("t", "ann"), one, &last);
        assert!(!cursor.contains("warehouse"));
        assert_eq!(
            old_ring.open_cursor(&caller("t", "ann"), one, &cursor),
            Some(last.clone())
        );
        assert_eq!(
            ring(&format!("{NEW},{OLD}")).open_cursor(&caller("t", "ann"), one, &cursor),
            Some(last)
        );
        assert_eq!(ring(NEW).open_cursor(&caller("t", "ann"), one, &cursor), None);
        assert_eq!(old_ring.open_cursor(&caller("u", "ann"), one, &cursor), None);
        assert_eq!(old_ring.open_cursor(&caller("t", "bob"), one, &cursor), None);
        assert_eq!(old_ring.open_cursor(&caller("t", "ann"), None, &cursor), None);
        for garbage in [
            "",
            ".",
            "old.",
            "old.AAAA",
            "none.AAAA",
            "old.%%%",
            &cursor[..cursor.len() - 1],
        ] {
            assert_eq!(old_ring.open_cursor(&caller("t", "ann"), one, garbage), None);
        }
    }

    #[test]
    fn a_walks_cursor_is_good_for_that_walk_while_the_same_key_seals() {
        let (old, both) = (ring(OLD), ring(&format!("{NEW},{OLD}")));
        let host = FixedHost::default();
        let cursor = old.walk_cursor(&host, "keys/status", "a place\nin a table");
        assert!(!cursor.contains("place"));
        assert_eq!(
            old.open_walk_cursor("keys/status", &cursor).as_deref(),
            Some("a place\nin a table")
        );
        assert_eq!(old.open_walk_cursor("keys/reseal", &cursor), None);
        assert_eq!(both.open_walk_cursor("keys/status", &cursor), None);
        for garbage in ["", ".", "old.", "none.AAAA", &cursor[..cursor.len() - 1]] {
            assert_eq!(old.open_walk_cursor("keys/status", garbage), None);
        }
    }
}
