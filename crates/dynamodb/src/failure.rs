//! What it means that DynamoDB did not do what it was asked.

use std::error::Error;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{BuildError, ProvideErrorMetadata, SdkError};
use patchbay_core::store::StoreError;

/// How one attempt of a request failed. The texts are for the log: no request and no item is in them.
#[derive(Debug)]
pub(crate) enum Failure {
    /// DynamoDB did nothing, since it was asked for too much.
    Throttled(String),
    /// No answer came, or one that tells of a failure: it may have been done.
    Unanswered(String),
    /// DynamoDB did nothing and never will.
    Refused(String),
}

impl Failure {
    pub(crate) fn of<E>(error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        if let SdkError::ServiceError(answer) = &error {
            let (code, status) = (answer.err().code(), answer.raw().status().as_u16());
            let message = answer.err().message().unwrap_or_default();
            let text = format!("DynamoDB: {}: {message}", code.unwrap_or("an error without code"));
            return match status {
                500.. => Self::Unanswered(text),
                _ => Self::of_code(code.unwrap_or_default(), text),
            };
        }
        // Each cause by its sentence: what `Debug` shows may hold the request.
        let mut text = format!("DynamoDB: {error}");
        let mut cause = error.source();
        while let Some(inner) = cause {
            text = format!("{text}: {inner}");
            cause = inner.source();
        }
        match error {
            SdkError::ConstructionFailure(_) => Self::Refused(text),
            _ => Self::Unanswered(text),
        }
    }

    /// What an error of this code means, or a reason for which a transaction was cancelled.
    pub(crate) fn of_code(code: &str, text: String) -> Self {
        match code {
            "ProvisionedThroughputExceeded"
            | "ProvisionedThroughputExceededException"
            | "RequestLimitExceeded"
            | "ThrottlingError"
            | "ThrottlingException"
            // A transaction has the item in hand.
            | "TransactionConflictException" => Self::Throttled(text),
            // An earlier attempt of this very request is under way.
            "TransactionInProgressException" => Self::Unanswered(text),
            _ => Self::Refused(text),
        }
    }
}

/// Where it is not to be tried again, and nothing was done.
impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Throttled(text) => Self::Busy(text),
            Failure::Unanswered(text) | Failure::Refused(text) => Self::Unavailable(text),
        }
    }
}

pub(crate) fn built_wrong(error: BuildError) -> StoreError {
    StoreError::Unavailable(format!("a request to DynamoDB is incomplete: {error}"))
}
