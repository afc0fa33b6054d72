//! Why a request is refused, as the caller is told.

use std::borrow::Cow;
use std::fmt;

use http::StatusCode;

use crate::store::StoreError;

/// An error answer before it has a request id: status, message, and what only the log may know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) msg: Cow<'static, str>,
    /// For the log; never part of the answer.
    pub(crate) cause: Option<String>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, msg: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            msg: msg.into(),
            cause: None,
        }
    }

    pub(crate) fn bad(msg: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, msg)
    }

    pub(crate) fn forbidden(msg: &'static str) -> Self {
        Self::new(StatusCode::FORBIDDEN, msg)
    }

    pub(crate) fn not_found(msg: &'static str) -> Self {
        Self::new(StatusCode::NOT_FOUND, msg)
    }

    pub(crate) fn conflict(msg: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, msg)
    }

    /// An answer would be too long.
    pub(crate) fn too_long(msg: &'static str) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, msg)
    }

    /// This home cannot do this.
    pub(crate) fn not_implemented(msg: &'static str) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, msg)
    }

    /// A 500; its message is added with the request id.
    pub(crate) fn failed(cause: impl Into<String>) -> Self {
        Self {
            cause: Some(cause.into()),
            ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, "")
        }
    }

    /// Whether the same request may succeed a little later.
    pub(crate) fn is_temporary(&self) -> bool {
        matches!(
            self.status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        )
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.msg)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let cause = Some(error.to_string());
        let (status, msg) = match error {
            StoreError::Busy(_) => (StatusCode::TOO_MANY_REQUESTS, "Too much is waiting; try again."),
            StoreError::Unavailable(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Storage does not answer; nothing is acknowledged, try again.",
            ),
            StoreError::Damaged(_) => (StatusCode::INTERNAL_SERVER_ERROR, ""),
        };
        Self {
            cause,
            ..Self::new(status, msg)
        }
    }
}
