//! Opaque bearer tokens for services and scripts.
//!
//! A token is `patchbay_` and 48 characters of base64url: 32 random bytes and their CRC-32, so that a secret scanner
//! knows one when it sees one (`patchbay_[A-Za-z0-9_-]{48}`). Who keeps tokens keeps only their SHA-256, which gives
//! nothing away of 256 random bits.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{Bearer, Digest, Unauthenticated, email};
use crate::api::Host;
use crate::model::{Caller, Invalid, Subject, Tenant, Timestamp};

const PREFIX: &str = "patchbay_";
const SECRET: usize = 32;
const CHECKSUM: usize = 4;
/// What stands for itself in an entry's values. All else is written `%XX`.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'@')
    .remove(b':')
    .remove(b'/')
    .remove(b'+')
    .remove(b'|');

/// A new token, with 256 bits of the host's randomness.
pub fn generate(host: &impl Host) -> SecretString {
    let mut bytes = Zeroizing::new([0; SECRET + CHECKSUM]);
    let (secret, checksum) = bytes.split_at_mut(SECRET);
    host.fill(secret);
    checksum.copy_from_slice(&crc32fast::hash(secret).to_be_bytes());
    let encoded = Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice()));
    SecretString::from(format!("{PREFIX}{}", encoded.as_str()))
}

/// Whether a bearer token is meant as one of these.
pub(super) fn is_one(token: Bearer<'_>) -> bool {
    token.expose().starts_with(PREFIX)
}

/// Whether a text has the form of a token, checksum included.
pub(super) fn is_well_formed(token: &str) -> bool {
    let Some(encoded) = token.strip_prefix(PREFIX) else {
        return false;
    };
    let mut bytes = Zeroizing::new([0; SECRET + CHECKSUM]);
    // What decodes to more does not fit, and is refused with the rest.
    let length = URL_SAFE_NO_PAD.decode_slice(encoded, bytes.as_mut_slice());
    let (secret, checksum) = bytes.split_at(SECRET);
    length == Ok(SECRET + CHECKSUM) && crc32fast::hash(secret).to_be_bytes() == checksum
}

impl Digest {
    /// Takes the 64 hexadecimal digits that `sha256sum` prints.
    fn from_hex(hex: &str) -> Result<Self, Invalid> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(hex, &mut bytes).map_err(|_| Invalid("must be 64 hexadecimal digits".into()))?;
        Ok(Self(bytes))
    }
}

/// What one token is good for, as an entry of [`Tokens`]. `Display` writes the entry.
///
/// An entry is words between spaces: `sha256=<64 hexadecimal digits> tenant=<tenant> subject=<subject>`, and where they
/// apply `email=<address>`, `admin` and `expires=<RFC 3339>`, in any order. In a value, anything may be written `%XX`;
/// white space, commas and percent signs must be.
#[derive(Clone)]
pub struct Entry {
    digest: Digest,
    caller: Caller,
    expires: Option<Timestamp>,
}

impl Entry {
    /// The entry for `token`, which makes its bearer `caller` until `expires`.
    pub fn new(token: &SecretString, caller: Caller, expires: Option<Timestamp>) -> Self {
        Self {
            digest: Digest::of(token.expose_secret()),
            caller,
            expires,
        }
    }

    fn parse(entry: &str) -> Result<Self, Invalid> {
        let words = Words::parse(entry)?;
        Ok(Self {
            digest: Words::needed("sha256", words.digest)?,
            caller: Caller {
                tenant: Words::needed("tenant", words.tenant)?,
                subject: Words::needed("subject", words.subject)?,
                email: words.email,
                admin: words.admin,
            },
            expires: words.expires,
        })
    }
}

/// What the words of an entry say.
#[derive(Default)]
pub(super) struct Words {
    pub(super) digest: Option<Digest>,
    pub(super) tenant: Option<Tenant>,
    pub(super) subject: Option<Subject>,
    pub(super) email: Option<Subject>,
    pub(super) expires: Option<Timestamp>,
    pub(super) admin: bool,
}

impl Words {
    pub(super) fn parse(entry: &str) -> Result<Self, Invalid> {
        let mut words = Self::default();
        for word in entry.split_ascii_whitespace() {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            let about = |wrong: Invalid| Invalid(format!("`{name}` {wrong}"));
            let value = decode(value).ok_or_else(|| Invalid("a value must be UTF-8, with % only in %XX".into()))?;
            let again = match name {
                "sha256" => words.digest.replace(Digest::from_hex(&value).map_err(about)?).is_some(),
                "tenant" => words.tenant.replace(Tenant::new(&value).map_err(about)?).is_some(),
                "subject" => words.subject.replace(Subject::new(&value).map_err(about)?).is_some(),
                "email" => words.email.replace(email(&value).map_err(about)?).is_some(),
                "expires" => words
                    .expires
                    .replace(Timestamp::parse(&value).map_err(about)?)
                    .is_some(),
                "admin" if word == name => std::mem::replace(&mut words.admin, true),
                _ => {
                    return Err(Invalid(
                        "a word must be sha256=…, tenant=…, subject=…, email=…, expires=… or admin".into(),
                    ));
                }
            };
            if again {
                return Err(Invalid(format!("`{name}` is given twice")));
            }
        }
        Ok(words)
    }

    pub(super) fn needed<T>(name: &str, word: Option<T>) -> Result<T, Invalid> {
        word.ok_or_else(|| Invalid(format!("`{name}` is missing")))
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Caller {
            tenant,
            subject,
            email,
            admin,
        } = &self.caller;
        write!(
            f,
            "sha256={} tenant={} subject={}",
            hex::encode(self.digest.0),
            encoded(tenant.as_str()),
            encoded(subject.as_str())
        )?;
        if let Some(email) = email {
            write!(f, " email={}", encoded(email.as_str()))?;
        }
        if *admin {
            f.write_str(" admin")?;
        }
        match self.expires {
            Some(expires) => write!(f, " expires={expires}"),
            None => Ok(()),
        }
    }
}

/// A value as an entry has it.
pub(super) fn encoded(value: &str) -> impl fmt::Display {
    utf8_percent_encode(value, ENCODED)
}

/// A value's text, if it is UTF-8 and each of its percent signs begins an escape.
fn decode(value: &str) -> Option<Cow<'_, str>> {
    let is_escape = |rest: &str| {
        rest.get(..2)
            .is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    let whole = value.split('%').skip(1).all(is_escape);
    percent_decode_str(value).decode_utf8().ok().filter(|_| whole)
}

/// The tokens that a home knows. Shows how many there are.
#[derive(Clone)]
pub struct Tokens(Vec<Entry>);

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({})", self.0.len())
    }
}

impl Tokens {
    /// Takes entries (see [`Entry`]), each on a line of its own or between commas; blank ones do not count.
    ///
    /// # Errors
    /// Names an entry by its place, and repeats nothing of it.
    pub fn parse(entries: &str) -> Result<Self, Invalid> {
        parse_each(entries, Entry::parse).map(Self)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Who brings this token. However it is wrong, the time that takes says nothing of the tokens that are known.
    pub(super) fn caller(&self, token: Bearer<'_>, now: Timestamp) -> Result<Caller, Unauthenticated> {
        let Some(digest) = token.digest else {
            return Err(Unauthenticated::Invalid(
                "it does not have the form of a Patchbay token",
            ));
        };
        match find(&self.0, digest) {
            None => Err(Unauthenticated::Invalid("it is none of the tokens in PATCHBAY_TOKENS")),
            Some(entry) if entry.expires.is_some_and(|expires| expires <= now) => {
                Err(Unauthenticated::Invalid("its `expires` in PATCHBAY_TOKENS has passed"))
            }
            Some(entry) => Ok(entry.caller.clone()),
        }
    }
}

/// An entry of any kind.
pub(super) trait Known {
    /// The digest of its token.
    fn digest(&self) -> Digest;
}

impl Known for Entry {
    fn digest(&self) -> Digest {
        self.digest
    }
}

/// Takes entries as [`Tokens::parse`] says, each as `parse` takes it.
pub(super) fn parse_each<E: Known>(
    entries: &str,
    parse: impl Fn(&str) -> Result<E, Invalid>,
) -> Result<Vec<E>, Invalid> {
    let mut known = Vec::<E>::new();
    let entries = entries.split(['\n', ',']).map(str::trim);
    for (place, entry) in entries.filter(|entry| !entry.is_empty()).enumerate() {
        let wrong = |what: Invalid| Invalid(format!("entry {}: {what}", place + 1));
        let entry = parse(entry).map_err(wrong)?;
        if known.iter().any(|other| other.digest() == entry.digest()) {
            return Err(wrong(Invalid("the same token stands twice".into())));
        }
        known.push(entry);
    }
    if known.is_empty() {
        return Err(Invalid("must name at least one token".into()));
    }
    Ok(known)
}

/// The entry of the token with this digest. Each is compared, and whole, wherever the right one stands.
pub(super) fn find<E: Known>(known: &[E], digest: Digest) -> Option<&E> {
    known.iter().fold(None, |found, entry| {
        let same = bool::from(entry.digest().0.ct_eq(&digest.0));
        if same { Some(entry) } else { found }
    })
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;
    use crate::api::tests::FixedHost;

    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    fn ci(email: Option<&str>, admin: bool) -> Caller {
        Caller {
            tenant: Tenant::new("acme, inc. 100%").unwrap(),
            subject: Subject::new("ci=bot|é").unwrap(),
            email: email.map(|address| Subject::new(address).unwrap()),
            admin,
        }
    }

    fn ask(tokens: &Tokens, token: &str) -> Result<Caller, Unauthenticated> {
        tokens.caller(Bearer::new(token), NOW)
    }

    #[test]
    fn a_token_makes_its_bearer_the_caller_of_its_entry() {
        let host = FixedHost::default();
        let (one, two) = (generate(&host), generate(&host));
        for between in ["\n", ",", " ,\n\r\n"] {
            let entries = [
                Entry::new(&one, ci(Some("ci@acme.example"), false), None),
                Entry::new(&two, ci(None, true), Some(Timestamp::from_micros(NOW.as_micros() + 1))),
            ];
            let tokens = Tokens::parse(&entries.map(|entry| entry.to_string()).join(between)).unwrap();
            assert_eq!(
                ask(&tokens, one.expose_secret()),
                Ok(ci(Some("ci@acme.example"), false))
            );
            assert_eq!(ask(&tokens, two.expose_secret()), Ok(ci(None, true)));
        }
    }

    #[test]
    fn an_entry_may_be_written_by_hand() {
        let token = generate(&FixedHost::default());
        let digest = hex::encode_upper(Sha256::digest(token.expose_secret()));
        let line = format!(
            "admin  subject=a%20b email=CI@Acme.Example\ttenant=t sha256={digest} expires=2099-01-01T00:00:00+02:00"
        );
        let caller = ask(&Tokens::parse(&line).unwrap(), token.expose_secret()).unwrap();
        assert_eq!(caller.subject.as_str(), "a b");
        assert_eq!(caller.email.unwrap().as_str(), "ci@acme.example");
    }

    #[test]
    fn a_token_that_is_unknown_changed_or_expired_makes_nobody() {
        let host = FixedHost::default();
        let (known, unknown) = (generate(&host), generate(&host));
        let tokens = |expires| Tokens::parse(&Entry::new(&known, ci(None, false), expires).to_string()).unwrap();
        let why = |tokens: &Tokens, token: &str| ask(tokens, token).unwrap_err().to_string();
        assert!(why(&tokens(None), unknown.expose_secret()).contains("none of the tokens"));
        assert!(why(&tokens(Some(NOW)), known.expose_secret()).contains("has passed"));
        let token = known.expose_secret();
        for place in 0..token.len() {
            let mut changed = token.to_owned().into_bytes();
            changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
            let why = why(&tokens(None), std::str::from_utf8(&changed).unwrap());
            assert!(why.contains("the form"), "{place}: {why}");
        }
        for changed in [
            &token[..56],
            &format!("{token}A"),
            &format!("{token}AAAA"),
            &format!("{token}="),
            "",
        ] {
            assert!(why(&tokens(None), changed).contains("the form"), "{changed}");
        }
    }

    #[test]
    fn a_wrong_entry_is_named_by_its_place_and_not_shown() {
        let host = FixedHost::default();
        let right = Entry::new(&generate(&host), ci(None, false), None).to_string();
        let digest = "5EC4E7".repeat(11)[..64].to_owned();
        for (wrong, said) in [
            (
                format!("tenant=t subject=s sha256={}", &digest[..62]),
                "`sha256` must be 64",
            ),
            (
                format!("tenant=t subject=s sha256={}", digest.replace('7', "g")),
                "`sha256` must be 64",
            ),
            ("tenant=t subject=s".to_owned(), "`sha256` is missing"),
            (format!("subject=5EC4E7 sha256={digest}"), "`tenant` is missing"),
            (format!("tenant=5EC4E7 sha256={digest}"), "`subject` is missing"),
            (
                format!("tenant= subject=5EC4E7 sha256={digest}"),
                "`tenant` must be 1 to 128",
            ),
            (
                format!("tenant=5EC4E7%0A subject=s sha256={digest}"),
                "`tenant` must not contain",
            ),
            (
                format!("tenant=t tenant=5EC4E7 subject=s sha256={digest}"),
                "`tenant` is given twice",
            ),
            (
                format!("tenant=t subject=s admin admin sha256={digest}"),
                "`admin` is given twice",
            ),
            (
                format!("tenant=t subject=s admin=true sha256={digest}"),
                "a word must be",
            ),
            (
                format!("tenant=t subject=s expires=5EC4E7 sha256={digest}"),
                "`expires` must be",
            ),
            (
                format!("tenant=t subject=5EC4E7% sha256={digest}"),
                "a value must be UTF-8",
            ),
            (
                format!("tenant=t subject=5EC4E7%f sha256={digest}"),
                "a value must be UTF-8",
            ),
            (
                format!("tenant=t subject=5EC4E7%ff sha256={digest}"),
                "a value must be UTF-8",
            ),
            (format!("{} tenant=t subject=s", digest), "a word must be"),
            (right.clone(), "stands twice"),
        ] {
            let error = Tokens::parse(&format!("{right}\n\n{wrong}")).unwrap_err().to_string();
            assert!(
                error.starts_with("entry 2: ") && error.contains(said),
                "{wrong}: {error}"
            );
            assert!(!error.contains("5EC4E7"), "{error}");
        }
        for none in ["", " \n,", "\n"] {
            assert!(Tokens::parse(none).is_err());
        }
    }

    #[test]
    fn a_token_is_what_a_scanner_looks_for() {
        let token = generate(&FixedHost::default());
        let random = token.expose_secret().strip_prefix("patchbay_").unwrap();
        assert_eq!(random.len(), 48);
        assert!(
            random
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        );
        assert!(!format!("{token:?}").contains(random));
    }
}
