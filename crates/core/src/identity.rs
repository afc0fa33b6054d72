//! Who is calling.

use http::HeaderMap;

use crate::model::{Caller, Subject, Tenant};

/// Why nobody could be made out of a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unauthenticated {
    /// There is no valid token (401). Why is for the log.
    #[error("{0}")]
    NoToken(String),
    /// The home was not told how to know its callers (503).
    #[error("no authentication is configured: without it, every call is refused unless PATCHBAY_AUTH=off is set")]
    NotConfigured,
}

/// A setting of `PATCHBAY_AUTH` that means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("PATCHBAY_AUTH must be off or not set, not {0:?}")]
pub struct WrongAuthentication(String);

/// How a request's head becomes a [`Caller`].
#[derive(Debug, Clone)]
pub enum Authentication {
    /// Authentication is off: this caller is everybody, whatever the `Authorization` header says.
    Off(Caller),
    /// Nobody has said how callers are known: nobody may call.
    NotConfigured,
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

    /// What `PATCHBAY_AUTH` says in a home that the Internet reaches: `off`, in so many words, or nothing.
    ///
    /// # Errors
    /// Where it says anything else.
    pub fn of_setting(setting: Option<&str>) -> Result<Self, WrongAuthentication> {
        match setting {
            None => Ok(Self::NotConfigured),
            Some("off") => Ok(Self::off()),
            Some(other) => Err(WrongAuthentication(other.to_owned())),
        }
    }

    /// The caller that a request's headers name. Asynchronous, since verifying a token may need an issuer's keys.
    ///
    /// # Errors
    /// Why there is no caller.
    pub async fn caller(&self, _headers: &HeaderMap) -> Result<Caller, Unauthenticated> {
        match self {
            Self::Off(everybody) => Ok(everybody.clone()),
            Self::NotConfigured => Err(Unauthenticated::NotConfigured),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authentication_is_off_only_where_that_is_said() {
        assert!(matches!(
            Authentication::of_setting(None),
            Ok(Authentication::NotConfigured)
        ));
        assert!(matches!(
            Authentication::of_setting(Some("off")),
            Ok(Authentication::Off(_))
        ));
        for wrong in ["", "OFF", "false", "oidc"] {
            assert!(Authentication::of_setting(Some(wrong)).is_err(), "{wrong:?}");
        }
    }
}
