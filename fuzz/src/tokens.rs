//! The entries of `PATCHBAY_TOKENS`.

use patchbay_core::identity::email;
use patchbay_core::identity::tokens::Tokens;
use patchbay_core::model::{Invalid, Subject, Tenant, Timestamp};

/// Reads entries.
type Parse = fn(&str) -> Result<Tokens, Invalid>;

pub(crate) fn check(input: &[u8]) {
    hold(input, Tokens::parse);
}

/// Entries may stand between semicolons as well.
pub(crate) fn planted(input: &[u8]) {
    hold(input, |text| Tokens::parse(&text.replace(';', ",")));
}

/// They are taken exactly where the rule for them, said a second time, takes them, and a refusal repeats nothing.
fn hold(input: &[u8], parse: Parse) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let parsed = parse(text);
    assert_eq!(parsed.as_ref().map(Tokens::count).ok(), count(text), "{parsed:?}");
    if let Err(error) = parsed {
        let error = error.to_string();
        let said = |word: &&str| word.len() >= 32 && error.contains(*word);
        assert_eq!(text.split(['=', ' ', ',', '\n']).find(said), None, "{error}");
    }
}

/// How many entries these are, if all of them are right.
fn count(text: &str) -> Option<usize> {
    let entries = text.replace(',', "\n");
    let entries = entries.lines().map(str::trim).filter(|entry| !entry.is_empty());
    let mut digests = entries.map(digest).collect::<Option<Vec<_>>>()?;
    let all = digests.len();
    digests.sort();
    digests.dedup();
    (all > 0 && digests.len() == all).then_some(all)
}

/// The digest in an entry, if the entry is right.
fn digest(entry: &str) -> Option<String> {
    let words: Vec<_> = entry
        .split([' ', '\t', '\n', '\r', '\x0c'])
        .filter(|word| !word.is_empty())
        .collect();
    let mut known = ["sha256=", "tenant=", "subject=", "email=", "expires=", "admin"].map(|name| {
        let mut values = words.iter().filter_map(move |word| match word.strip_prefix(name) {
            Some("") if name == "admin" => Some(""),
            Some(value) if name != "admin" => Some(value),
            _ => None,
        });
        (values.next(), values.count())
    });
    let given = known.iter().filter(|(value, _)| value.is_some()).count();
    if given != words.len() || known.iter().any(|(_, more)| *more > 0) {
        return None;
    }
    let [digest, tenant, subject, address, expires, _] = known.each_mut().map(|(value, _)| value.take());
    let digest = plain(digest?)?.to_lowercase();
    let fits = digest.len() == 64
        && digest.bytes().all(|digit| digit.is_ascii_hexdigit())
        && Tenant::new(&plain(tenant?)?).is_ok()
        && Subject::new(&plain(subject?)?).is_ok()
        && address.is_none_or(|address| plain(address).is_some_and(|address| email(&address).is_ok()))
        && expires.is_none_or(|expires| plain(expires).is_some_and(|expires| Timestamp::parse(&expires).is_ok()));
    fits.then_some(digest)
}

/// A value without its `%XX`.
fn plain(value: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = value.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (high, low) = (rest.first()?, rest.get(1)?);
        let digit = |digit: &u8| char::from(*digit).to_digit(16);
        bytes.push(u8::try_from(digit(high)? * 16 + digit(low)?).ok()?);
        rest = rest.get(2..)?;
    }
    String::from_utf8(bytes).ok()
}
