//! Where an issuer publishes its keys.

use std::fmt;
use std::net::IpAddr;

use http::Uri;
use http::uri::Scheme;
use serde_json::Value;

use super::json;
use crate::model::Invalid;

/// An address to fetch keys from: `https`, or `http` where it is a loopback address, which nobody can listen in on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url(Uri);

impl Url {
    /// Takes an absolute URL without a user.
    ///
    /// # Errors
    /// Where it is anything else.
    pub fn new(url: &str) -> Result<Self, Invalid> {
        let wrong = || Invalid("must be an https:// URL, or http:// of a loopback address".into());
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let host = uri.host().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let private = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => address.is_ok_and(|address| address.is_loopback()),
            _ => false,
        };
        let plain = uri
            .authority()
            .is_some_and(|authority| !authority.as_str().contains('@'));
        (private && plain && !host.is_empty())
            .then_some(Self(uri))
            .ok_or_else(wrong)
    }

    /// As HTTP has it.
    pub fn uri(&self) -> &Uri {
        &self.0
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where an issuer's keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// At this address.
    At(Url),
    /// Where the issuer's own document says.
    Discovery {
        /// The issuer, as the document must name it.
        issuer: String,
        /// Where that document is.
        document: Url,
    },
}

impl Source {
    /// Discovery by the rules of OpenID Connect Discovery 1.0, 4.
    ///
    /// # Errors
    /// Where the issuer is not a URL that can be asked.
    pub fn discovery(issuer: &str) -> Result<Self, Invalid> {
        if issuer.contains(['?', '#']) {
            return Err(Invalid("must have neither query nor fragment".into()));
        }
        let path = "/.well-known/openid-configuration";
        Ok(Self::Discovery {
            document: Url::new(&format!("{}{path}", issuer.strip_suffix('/').unwrap_or(issuer)))?,
            issuer: issuer.to_owned(),
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::At(url) | Self::Discovery { document: url, .. }) = self;
        url.fmt(f)
    }
}

/// The `jwks_uri` of a discovery document, which was found at `at` and must be this issuer's to the letter.
pub(super) fn keys_url(document: &[u8], issuer: &str, at: &Url) -> Result<Url, Invalid> {
    let wrong = |what: &str| Invalid(format!("its discovery document {what}"));
    let document = json::object(document).ok_or_else(|| wrong("is not a JSON object"))?;
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    if text("issuer") != Some(issuer) {
        return Err(wrong("is of another `issuer`"));
    }
    let url = Url::new(text("jwks_uri").unwrap_or_default())
        .map_err(|what| wrong(&format!("has a `jwks_uri` that {what}")))?;
    // Loopback is for an issuer that is there itself.
    if url.0.scheme() != at.0.scheme() && at.0.scheme() == Some(&Scheme::HTTPS) {
        return Err(wrong("has a `jwks_uri` that is not https"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_safe_from_listeners() {
        for right in [
            "https://issuer.example",
            "https://issuer.example:8443/a?b=c",
            "http://127.0.0.1:1/keys",
            "http://[::1]/keys",
        ] {
            assert!(Url::new(right).is_ok(), "{right}");
        }
        for wrong in [
            "",
            "/keys",
            "issuer.example",
            "http://issuer.example",
            "http://localhost/",
            "http://10.0.0.1/",
            "http://127.0.0.1.example/",
            "http://127.0.0.1@issuer.example/",
            "https://user:pass@issuer.example/",
            "https://",
            "file:///etc/passwd",
            "ftp://127.0.0.1/",
        ] {
            assert!(Url::new(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_issuer_that_is_no_address_to_ask_is_refused() {
        for wrong in [
            "",
            "issuer",
            "http://issuer.example",
            "https://issuer.example?a",
            "https://issuer.example/#a",
        ] {
            assert!(Source::discovery(wrong).is_err(), "{wrong}");
        }
    }
}
