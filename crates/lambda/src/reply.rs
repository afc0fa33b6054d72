//! Replies: answers in the shapes that AWS takes them in.

use bytes::Bytes;
use http::Response;
use lambda_http::aws_lambda_events::alb::AlbTargetGroupResponse;
use lambda_http::aws_lambda_events::apigw::{ApiGatewayProxyResponse, ApiGatewayV2httpResponse};
use lambda_http::aws_lambda_events::encodings::Body;
use patchbay_core::api::Bound;
use serde::Serialize;

use crate::event::Origin;

/// What of a reply is not the body, at most: field names, and all headers of the core's twice over.
const FRAME: usize = 2 * 1024;
/// A reply's bounds (contract, "Errors"), less that. Lambda itself takes 6,291,556 bytes, and a load balancer 1 MB.
pub(crate) const MOST: usize = 5 * 1024 * 1024 - FRAME;
const MOST_BALANCED: usize = 900 * 1024 - FRAME;

/// What goes back for an event.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Reply {
    /// To a REST API.
    Rest(ApiGatewayProxyResponse),
    /// To an HTTP API or a function URL.
    Http(ApiGatewayV2httpResponse),
    /// To a load balancer.
    LoadBalancer(AlbTargetGroupResponse),
}

/// What the body of a reply may come to.
pub(crate) fn bound(origin: Origin) -> Bound {
    match origin {
        Origin::Rest | Origin::Http => Bound::InJson(MOST),
        Origin::LoadBalancer => Bound::InJson(MOST_BALANCED),
    }
}

impl Reply {
    /// Puts an answer into the shape that its origin takes.
    pub(crate) fn new(origin: Origin, answer: Response<Bytes>) -> Self {
        let (head, body) = answer.into_parts();
        let status_code = i64::from(head.status.as_u16());
        let body = (!body.is_empty()).then(|| text(body));
        match origin {
            Origin::Rest => {
                let mut reply = ApiGatewayProxyResponse::default();
                reply.status_code = status_code;
                reply.multi_value_headers = head.headers;
                reply.body = body;
                Self::Rest(reply)
            }
            Origin::Http => {
                let mut reply = ApiGatewayV2httpResponse::default();
                reply.status_code = status_code;
                reply.headers = head.headers;
                reply.body = body;
                Self::Http(reply)
            }
            Origin::LoadBalancer => {
                let mut reply = AlbTargetGroupResponse::default();
                reply.status_code = status_code;
                reply.status_description = Some(head.status.to_string());
                // A target group reads one or the other, as it is set up.
                reply.headers = head.headers.clone();
                reply.multi_value_headers = head.headers;
                reply.body = body;
                Self::LoadBalancer(reply)
            }
        }
    }
}

/// The core's answers are JSON, so they are text and need no Base64.
fn text(body: Bytes) -> Body {
    let text = String::from_utf8(body.into());
    Body::Text(text.unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}
