//! Key rings, in both forms.

use patchbay_core::model::{Details, Invalid, KeyId};
use patchbay_core::seal::KeyRing;
use serde_json::value::RawValue;

use crate::reference::{Object, string};
use crate::still::Still;
use crate::unseal::draft;

/// Reads a ring in either form.
type Parse = fn(&str) -> Result<KeyRing, Invalid>;

pub(crate) fn check(input: &[u8]) {
    hold(input, KeyRing::parse);
}

/// Of two entries with one key id, the second is dropped.
pub(crate) fn planted(input: &[u8]) {
    hold(input, |text| {
        if text.trim_start().starts_with('{') {
            return KeyRing::parse(text);
        }
        let mut kept = Vec::<&str>::new();
        for entry in text.split(',') {
            let id = |entry: &str| entry.trim().split(':').next().map(str::to_owned);
            if !kept.iter().any(|other| id(other) == id(entry)) {
                kept.push(entry);
            }
        }
        KeyRing::parse(&kept.join(","))
    });
}

fn hold(input: &[u8], parse: Parse) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let json = text.trim_start().starts_with('{');
    let read = parse(text);
    let expected = if json { members(text) } else { entries(text) };
    let expected = expected.filter(is_ring);
    match (read, expected) {
        (Ok(ring), Some(keys)) => same(&ring, &keys),
        (Err(error), None) => {
            let error = error.to_string();
            // As long a piece of a secret's characters is in no message of ours.
            let piece = |c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-');
            let said = |word: &&str| word.len() >= 32 && error.contains(*word);
            assert_eq!(text.split(piece).find(said), None, "{error}");
        }
        (read, expected) => panic!(
            "{read:?}, where {} is right",
            if expected.is_some() { "a ring" } else { "a refusal" }
        ),
    }
}

/// Key ids with their secrets, the one that seals first.
type Keys = Vec<(String, String)>;

fn entries(text: &str) -> Option<Keys> {
    let entry = |entry: &str| {
        let (id, secret) = entry.trim().split_once(':')?;
        Some((id.to_owned(), secret.to_owned()))
    };
    text.split(',').map(entry).collect()
}

fn members(text: &str) -> Option<Keys> {
    let object = Object::read(text)?;
    if text.contains('\\') {
        return None;
    }
    let pair = |(name, value): &(Option<String>, &str)| Some((name.clone()?, string(value)?));
    let members = object.members.iter().map(pair).collect::<Option<Keys>>()?;
    let (named, mut keys): (Keys, Keys) = members.into_iter().partition(|(name, _)| name == "sealing");
    let [(_, sealing)] = &named[..] else { return None };
    let first = keys.iter().position(|(id, _)| id == sealing)?;
    let sealing = keys.remove(first);
    keys.insert(0, sealing);
    Some(keys)
}

fn is_ring(keys: &Keys) -> bool {
    let once = |id: &str| keys.iter().filter(|(other, _)| other == id).count() == 1;
    let fits = |secret: &str| {
        secret
            .chars()
            .all(|c| matches!(c, 'A'..='Z' | 'a'..='z' | '0'..='9' | '_' | '-'))
    };
    !keys.is_empty()
        && keys
            .iter()
            .all(|(id, secret)| KeyId::new(id).is_ok() && secret.len() >= 43 && fits(secret) && once(id))
}

/// The ring has these keys, in this order, and they are what the other form makes of them.
#[allow(clippy::expect_used, reason = "it was taken already, and constants")]
fn same(ring: &KeyRing, keys: &Keys) {
    let ids: Vec<_> = keys.iter().map(|(id, _)| KeyId::new(id).expect("a key id")).collect();
    assert_eq!(format!("{ring:?}"), format!("{ids:?}"));
    let entries: Vec<_> = keys.iter().map(|(id, secret)| format!("{id}:{secret}")).collect();
    let members: Vec<_> = keys
        .iter()
        .map(|(id, secret)| format!("\"{id}\":\"{secret}\""))
        .collect();
    let sealing = ring.sealing_key().to_string();
    let json = format!("{{\"sealing\":\"{sealing}\",{}}}", members.join(","));
    let raw = RawValue::from_string("{\"p\":1}".into()).expect("JSON");
    let details = Details::from_json(&raw).expect("details");
    let (tenant, draft) = draft();
    let record = ring.seal(&Still::default(), &tenant, draft, &details);
    for printed in [KeyRing::parse(&entries.join(",")), KeyRing::from_json(&json)] {
        let printed = printed.expect("what was read, printed");
        assert_eq!(printed.sealing_key().as_str(), sealing);
        assert_eq!(printed.open(&tenant, &record).as_ref(), Ok(&details));
    }
}
