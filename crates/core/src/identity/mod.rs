//! Who is calling.

pub mod fetched;
mod json;
pub mod keys;
mod life;
pub mod oidc;
pub mod operators;
mod remembered;
pub mod settings;
mod small_order;
pub mod source;
pub mod tokens;

use std::fmt;
use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use sha2::{Digest as _, Sha256};

use crate::limits;
use crate::model::{Caller, Invalid, Subject, Tenant, Timestamp};
use keys::LeftOut;
use oidc::Oidc;
use operators::Operators;
use tokens::Tokens;

/// Why nobody could be made out of a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unauthenticated {
    /// There is no token (401).
    #[error("there is no token")]
    NoToken,
    /// There is one, and it does not verify (401). Why is for the log: a text of ours, so that nothing of the token is in
    /// it.
    #[error("the token is not taken: {0}")]
    Invalid(&'static str),
    /// There is one, and no key of its issuer is known to verify it with (503).
    #[error("the issuer has given no keys to verify tokens with, or not for a day")]
    NoKeys,
    /// The home was not told how to know its callers (503).
    #[error("no authentication is configured: without it, every call is refused unless PATCHBAY_AUTH=off is set")]
    NotConfigured,
}

/// Who calls.
#[derive(Debug, Clone)]
pub(crate) enum By {
    /// Nobody: on the routes that need no authentication, and before it.
    Nobody,
    /// Somebody of a tenant.
    Caller(Caller),
    /// An operator, who is of none.
    Operator(Subject),
}

impl By {
    /// The tenant and the subject, where somebody calls.
    pub(crate) fn known(&self) -> Option<(Option<&Tenant>, &Subject)> {
        match self {
            Self::Nobody => None,
            Self::Caller(caller) => Some((Some(&caller.tenant), &caller.subject)),
            Self::Operator(subject) => Some((None, subject)),
        }
    }
}

/// How a request's head becomes a [`Caller`].
#[derive(Debug, Clone)]
pub enum Authentication {
    /// Authentication is off: this caller is everybody, whatever the `Authorization` header says.
    Off(Caller),
    /// Nobody has said how callers are known: nobody may call.
    NotConfigured,
    /// Callers bring one of these tokens.
    Tokens(Arc<Tokens>),
    /// Callers bring tokens of this issuer.
    Oidc(Arc<Oidc>),
    /// Callers bring either.
    OidcAndTokens(Arc<Oidc>, Arc<Tokens>),
}

impl Authentication {
    /// Authentication is off, and everybody is [`Authentication::anonymous`].
    pub fn off() -> Self {
        Self::Off(Self::anonymous())
    }

    /// The subject `anonymous`, an admin of the tenant `default` (contract, "Who may do what").
    pub fn anonymous() -> Caller {
        Caller {
            tenant: Tenant::fixed("default"),
            subject: Subject::fixed("anonymous"),
            email: None,
            admin: true,
        }
    }

    /// The keys of the issuer's set that no token may be signed with, for the log of a start.
    pub fn left_out(&self) -> &[LeftOut] {
        match self {
            Self::Oidc(oidc) | Self::OidcAndTokens(oidc, _) => oidc.left_out(),
            Self::Off(_) | Self::NotConfigured | Self::Tokens(_) => &[],
        }
    }

    /// The caller that a request's headers name. Asynchronous, since verifying a token may need an issuer's keys.
    ///
    /// # Errors
    /// Why there is no caller.
    pub async fn caller(&self, headers: &HeaderMap, now: Timestamp) -> Result<Caller, Unauthenticated> {
        self.bearer(Bearer::of(headers), now).await
    }

    /// As [`Self::caller`], or the operator whose token it is.
    pub(crate) async fn by(
        &self,
        operators: &Operators,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<By, Unauthenticated> {
        // The header goes unread where nothing in it could matter.
        let token = if matches!(self, Self::Off(_)) && operators.are_none() {
            Err(Unauthenticated::NoToken)
        } else {
            Bearer::of(headers)
        };
        if let Ok(token) = &token
            && let Some(operator) = operators.find(*token, now)?
        {
            return Ok(By::Operator(operator.clone()));
        }
        self.bearer(token, now).await.map(By::Caller)
    }

    async fn bearer(
        &self,
        token: Result<Bearer<'_>, Unauthenticated>,
        now: Timestamp,
    ) -> Result<Caller, Unauthenticated> {
        match self {
            Self::Off(everybody) => Ok(everybody.clone()),
            Self::NotConfigured => Err(Unauthenticated::NotConfigured),
            Self::Tokens(tokens) => tokens.caller(token?, now),
            Self::Oidc(oidc) => oidc.caller(token?, now).await,
            Self::OidcAndTokens(oidc, tokens) => match token? {
                token if tokens::is_one(token) => tokens.caller(token, now),
                token => oidc.caller(token, now).await,
            },
        }
    }

    /// Has the issuer's keys fetched, where they are, so that the first token need not wait for them. Ends when they
    /// are there, or cannot be had for now.
    pub async fn prepare(&self, now: Timestamp) {
        if let Self::Oidc(oidc) | Self::OidcAndTokens(oidc, _) = self {
            oidc.prepare(now).await;
        }
    }
}

/// A bearer token as it came. It borrows from the request, so that no copy of it is left behind, and shows nothing.
#[derive(Clone, Copy)]
struct Bearer<'h> {
    token: &'h str,
    /// That of a token of our own, taken once for all who may know it.
    digest: Option<Digest>,
}

impl fmt::Debug for Bearer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer(..)")
    }
}

impl<'h> Bearer<'h> {
    fn new(token: &'h str) -> Self {
        let digest = tokens::is_well_formed(token).then(|| Digest::of(token));
        Self { token, digest }
    }

    /// The token in these headers: one `Authorization: Bearer <token>`, the scheme in any case (RFC 9110, 11.1), the
    /// token of the characters that RFC 6750 allows.
    fn of(headers: &'h HeaderMap) -> Result<Self, Unauthenticated> {
        let mut given = headers.get_all(AUTHORIZATION).iter();
        let Some(value) = given.next() else {
            return Err(Unauthenticated::NoToken);
        };
        if given.next().is_some() {
            return Err(Unauthenticated::Invalid("there is more than one `Authorization`"));
        }
        let text = value.to_str().ok();
        let scheme_and_token = text.and_then(|text| text.trim_ascii().split_once(' '));
        let Some((_, token)) = scheme_and_token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Bearer")) else {
            return Err(Unauthenticated::Invalid("`Authorization` is not `Bearer` and a token"));
        };
        let token = token.trim_ascii_start();
        if token.len() > limits::TOKEN_BYTES {
            return Err(Unauthenticated::Invalid("it is longer than 16 KiB"));
        }
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
        let unpadded = token.trim_end_matches('=');
        if unpadded.is_empty() || !unpadded.bytes().all(fits) {
            return Err(Unauthenticated::Invalid("it holds characters that no token has"));
        }
        Ok(Self::new(token))
    }

    /// The token. Name what happens to it at each call: it is a secret.
    fn expose(self) -> &'h str {
        self.token
    }
}

/// The SHA-256 of a token.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Digest([u8; 32]);

impl Digest {
    fn of(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }
}

/// An e-mail address as members of a workspace are known by: in ASCII lower case, 1 to 255 bytes.
pub fn email(address: &str) -> Result<Subject, Invalid> {
    Subject::new(&address.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(values: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    #[test]
    fn a_token_is_found_behind_its_scheme() {
        let longest = format!("Bearer {}", "a".repeat(16 * 1024));
        for (value, token) in [
            ("Bearer abc", "abc"),
            ("bearer  a.b-c_d~e+f/g==", "a.b-c_d~e+f/g=="),
            (" BEARER abc ", "abc"),
            (&longest, &longest[7..]),
        ] {
            let headers = headers(&[value.as_bytes()]);
            assert_eq!(Bearer::of(&headers).map(Bearer::expose), Ok(token));
        }
    }

    #[test]
    fn what_is_no_bearer_token_is_told_from_none_at_all() {
        assert_eq!(Bearer::of(&HeaderMap::new()).unwrap_err(), Unauthenticated::NoToken);
        let too_long = format!("Bearer {}", "a".repeat(16 * 1024 + 1));
        for wrong in [
            &[&b""[..]][..],
            &[b"Bearer"],
            &[b"Bearer "],
            &[b"Bearer  ="],
            &[b"abc"],
            &[b"Basic YTpi"],
            &[b"Bearer,abc"],
            &[b"Bearer a b"],
            &[b"Bearer a,b"],
            &[b"Bearer a=b"],
            &[b"Bearer \xff"],
            &[b"Bearer\tabc"],
            &[b"Bearer abc", b"Bearer abc"],
            &[too_long.as_bytes()],
        ] {
            let wrong = headers(wrong);
            assert!(
                matches!(Bearer::of(&wrong), Err(Unauthenticated::Invalid(_))),
                "{wrong:?}"
            );
        }
    }

    #[test]
    fn a_token_does_not_show() {
        assert!(!format!("{:?}", Bearer::new("canary")).contains("canary"));
    }
}
