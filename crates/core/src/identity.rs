//! Who is calling.

use http::HeaderMap;

use crate::model::{Caller, Subject, Tenant};

/// Nobody could be made out of the request (401). Why is for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unauthenticated(pub String);

/// How a request's head becomes a [`Caller`].
#[derive(Debug, Clone)]
pub enum Authentication {
    /// Authentication is off: this caller is everybody, whatever the `Authorization` header says.
    Off(Caller),
}

impl Authentication {
    /// Everybody is the subject `anonymous`, an admin of the tenant `default` (contract, "Who may do what").
    pub fn off() -> Self {
        Self::Off(Caller {
            tenant: Tenant::fixed("default"),
            subject: Subject::fixed("anonymous"),
            email: None,
            admin: true,
        })
    }

    /// The caller that a request's headers name. Asynchronous, since verifying a token may need an issuer's keys.
    pub async fn caller(&self, _headers: &HeaderMap) -> Result<Caller, Unauthenticated> {
        match self {
            Self::Off(everybody) => Ok(everybody.clone()),
        }
    }
}
