//! What can go wrong between a client and DynamoDB.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};

/// How late something is that is late: clients of tests give up sooner.
pub const LATE: Duration = Duration::from_millis(1_200);

/// What becomes of one request on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The connection is closed, and the request never arrives.
    LostRequest,
    /// The request arrives, and the connection is closed without an answer.
    LostAnswer,
    /// The request arrives [`LATE`], whether or not anybody still waits.
    LateRequest,
    /// The answer comes [`LATE`].
    LateAnswer,
    /// The request arrives, and the connection is reset half-way through the answer.
    Reset,
    /// DynamoDB refuses it, since it is asked for too much, with this code.
    Throttled(&'static str),
    /// DynamoDB cancels the transaction, since one of its items is asked for too much.
    ThrottledItem,
    /// DynamoDB cancels the transaction, since another one has one of its items in hand.
    Conflict,
    /// DynamoDB says that this very transaction is under way.
    InProgress,
    /// The request arrives, and DynamoDB answers 500.
    InternalError,
    /// The request does not arrive, and the answer is 503.
    OutOfService,
    /// DynamoDB reads the first half of the keys.
    Unprocessed,
    /// The request waits until [`super::DynamoDbProxy::release`]. Not drawn at random.
    Held,
}

impl Fault {
    /// All that can be drawn at random.
    pub const ALL: [Self; 14] = [
        Self::LostRequest,
        Self::LostAnswer,
        Self::LateRequest,
        Self::LateAnswer,
        Self::Reset,
        Self::Throttled("ProvisionedThroughputExceededException"),
        Self::Throttled("ThrottlingException"),
        Self::Throttled("RequestLimitExceeded"),
        Self::ThrottledItem,
        Self::Conflict,
        Self::InProgress,
        Self::InternalError,
        Self::OutOfService,
        Self::Unprocessed,
    ];

    /// Whether requests of this operation can meet it.
    pub fn fits(self, operation: &str) -> bool {
        match self {
            Self::ThrottledItem | Self::Conflict | Self::InProgress => operation == "TransactWriteItems",
            Self::Unprocessed => operation == "BatchGetItem",
            _ => true,
        }
    }

    /// Whether clients wait for it.
    pub fn is_late(self) -> bool {
        matches!(self, Self::LateRequest | Self::LateAnswer)
    }
}

/// An error in the form of DynamoDB's JSON 1.0.
pub(super) fn refusal(status: StatusCode, code: &str, more: Option<(&str, Value)>) -> Response<Bytes> {
    let mut body = json!({
        "__type": format!("com.amazonaws.dynamodb.v20120810#{code}"),
        "Message": "injected",
    });
    if let (Some(fields), Some((name, value))) = (body.as_object_mut(), more) {
        fields.insert(name.to_owned(), value);
    }
    answer(status, &body)
}

/// The refusal of a transaction for this reason, which its last item has.
pub(super) fn cancelled(request: &[u8], reason: &str) -> Response<Bytes> {
    let request: Value = serde_json::from_slice(request).unwrap_or_default();
    let items = request
        .get("TransactItems")
        .and_then(Value::as_array)
        .map_or(1, Vec::len);
    let mut reasons = vec![json!({ "Code": "None" }); items.saturating_sub(1)];
    reasons.push(json!({ "Code": reason, "Message": "injected" }));
    let reasons = ("CancellationReasons", Value::Array(reasons));
    refusal(StatusCode::BAD_REQUEST, "TransactionCanceledException", Some(reasons))
}

pub(super) fn answer(status: StatusCode, body: &Value) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::from(body.to_string()));
    *answer.status_mut() = status;
    let json = http::HeaderValue::from_static("application/x-amz-json-1.0");
    answer.headers_mut().insert(http::header::CONTENT_TYPE, json);
    answer
}

/// A request for many keys as two: what is to be asked, and the rest, as `UnprocessedKeys` has it.
pub(super) fn halved(request: &[u8]) -> (Value, Value) {
    let mut asked: Value = serde_json::from_slice(request).unwrap_or_default();
    let mut rest = asked.get("RequestItems").cloned().unwrap_or_default();
    let tables = asked.get_mut("RequestItems").and_then(Value::as_object_mut);
    for (table, wanted) in tables.into_iter().flatten() {
        let keys = wanted.get_mut("Keys").and_then(Value::as_array_mut);
        let left = rest.get_mut(table).and_then(|wanted| wanted.get_mut("Keys"));
        if let (Some(keys), Some(left)) = (keys, left) {
            *left = Value::Array(keys.split_off(keys.len() / 2));
        }
    }
    (asked, rest)
}

/// Whether a request for many keys names any.
pub(super) fn asks(request: &Value) -> bool {
    let tables = request.get("RequestItems").and_then(Value::as_object);
    let mut keys = tables
        .into_iter()
        .flatten()
        .filter_map(|(_, wanted)| wanted.get("Keys"));
    keys.any(|keys| keys.as_array().is_some_and(|keys| !keys.is_empty()))
}
