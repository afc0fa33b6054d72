//! The operator: who rotates keys, over all tenants, and may do nothing else.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};

use super::tokens::{self, Known, Words, encoded, parse_each};
use super::{Bearer, Digest, Unauthenticated};
use crate::model::{Invalid, Subject, Timestamp};

/// What makes an operator's token good, as an entry of [`Operators`]. `Display` writes the entry, in the form of
/// [`super::tokens::Entry`]: `sha256=… subject=…`, and `expires=…` where it ends. An operator is of no tenant.
#[derive(Clone)]
pub struct Entry {
    digest: Digest,
    subject: Subject,
    expires: Option<Timestamp>,
}

impl Entry {
    /// The entry for `token`, which makes its bearer an operator until `expires`. The subject tells entries apart.
    pub fn new(token: &SecretString, subject: Subject, expires: Option<Timestamp>) -> Self {
        Self {
            digest: Digest::of(token.expose_secret()),
            subject,
            expires,
        }
    }

    fn parse(entry: &str) -> Result<Self, Invalid> {
        let words = Words::parse(entry)?;
        if words.tenant.is_some() || words.email.is_some() || words.admin {
            return Err(Invalid("an operator has no `tenant`, `email` or `admin`".into()));
        }
        Ok(Self {
            digest: Words::needed("sha256", words.digest)?,
            subject: Words::needed("subject", words.subject)?,
            expires: words.expires,
        })
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = encoded(self.subject.as_str());
        write!(f, "sha256={} subject={subject}", hex::encode(self.digest.0))?;
        match self.expires {
            Some(expires) => write!(f, " expires={expires}"),
            None => Ok(()),
        }
    }
}

impl Known for Entry {
    fn digest(&self) -> Digest {
        self.digest
    }
}

/// The operators' tokens that a home knows; by default none. Shows how many there are.
#[derive(Clone, Default)]
pub struct Operators(Vec<Entry>);

impl fmt::Debug for Operators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Operators({})", self.0.len())
    }
}

impl Operators {
    /// Takes entries as [`super::tokens::Tokens::parse`] does.
    ///
    /// # Errors
    /// Names an entry by its place, and repeats nothing of it.
    pub fn parse(entries: &str) -> Result<Self, Invalid> {
        parse_each(entries, Entry::parse).map(Self)
    }

    /// Whether there are none.
    pub(super) fn are_none(&self) -> bool {
        self.0.is_empty()
    }

    /// Which operator brings this token. Any other one is for [`super::Authentication`] to judge.
    ///
    /// # Errors
    /// Where an operator's token has ended.
    pub(super) fn find(&self, token: Bearer<'_>, now: Timestamp) -> Result<Option<&Subject>, Unauthenticated> {
        let found = token.digest.and_then(|digest| tokens::find(&self.0, digest));
        match found {
            Some(entry) if entry.expires.is_some_and(|expires| expires <= now) => Err(Unauthenticated::Invalid(
                "its `expires` in PATCHBAY_OPERATOR_TOKENS has passed",
            )),
            found => Ok(found.map(|entry| &entry.subject)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::tests::FixedHost;
    use crate::identity::tokens::generate;

    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    fn ask(operators: &Operators, token: &str) -> Result<Option<String>, Unauthenticated> {
        let found = operators.find(Bearer::new(token), NOW)?;
        Ok(found.map(|subject| subject.as_str().to_owned()))
    }

    #[test]
    fn an_operator_is_known_by_their_token_until_it_ends() {
        let host = FixedHost::default();
        let [lasting, ending, ended, unknown] = std::array::from_fn(|_| generate(&host));
        let subject = |subject| Subject::new(subject).unwrap();
        let at = |micros| Some(Timestamp::from_micros(NOW.as_micros() + micros));
        let entries = [
            Entry::new(&lasting, subject("on call, 24/7"), None),
            Entry::new(&ending, subject("on leave"), at(1)),
            Entry::new(&ended, subject("gone"), at(0)),
        ];
        let operators = Operators::parse(&entries.map(|entry| entry.to_string()).join("\n")).unwrap();
        let known = |subject: &str| Ok(Some(subject.to_owned()));
        assert_eq!(ask(&operators, lasting.expose_secret()), known("on call, 24/7"));
        assert_eq!(ask(&operators, ending.expose_secret()), known("on leave"));
        assert!(matches!(
            ask(&operators, ended.expose_secret()),
            Err(Unauthenticated::Invalid(_))
        ));
        for other in [unknown.expose_secret(), &lasting.expose_secret()[..56], "a.b.c"] {
            assert_eq!(ask(&operators, other), Ok(None));
        }
        assert_eq!(ask(&Operators::default(), lasting.expose_secret()), Ok(None));
    }

    #[test]
    fn an_entry_of_a_tenants_caller_is_no_operators() {
        let digest = "5EC4E7".repeat(11)[..64].to_owned();
        for (entry, said) in [
            (format!("sha256={digest} subject=s tenant=t"), "no `tenant`"),
            (format!("sha256={digest} subject=s admin"), "no `tenant`"),
            (format!("sha256={digest} subject=s email=a@b"), "no `tenant`"),
            (format!("sha256={digest}"), "`subject` is missing"),
            ("subject=s".to_owned(), "`sha256` is missing"),
            (String::new(), "at least one"),
        ] {
            let error = Operators::parse(&entry).unwrap_err().to_string();
            assert!(error.contains(said) && !error.contains("5EC4E7"), "{error}");
        }
    }
}
