//! Events: the shapes in which AWS hands over HTTP requests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method};
use lambda_http::aws_lambda_events::alb::AlbTargetGroupRequest;
use lambda_http::aws_lambda_events::apigw::{ApiGatewayProxyRequest, ApiGatewayV2httpRequest};
use serde::de::{Deserialize, Deserializer, IgnoredAny};
use serde_json::value::RawValue;

/// Who hands over a request, and so in which shape the reply goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// API Gateway: a REST API, or an HTTP API with payload format 1.0.
    Rest,
    /// API Gateway: an HTTP API with payload format 2.0; or a function URL.
    Http,
    /// An Application Load Balancer.
    LoadBalancer,
}

/// An event of one of these origins. Any JSON makes one: what cannot be read as a request is answered, too.
#[derive(Debug)]
pub struct Event {
    pub(crate) origin: Origin,
    pub(crate) request: Option<Request>,
}

/// An HTTP request as it stands in an event.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) path: String,
    /// The stage of the API, which paths may begin with.
    pub(crate) stage: Option<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
    /// The id by which the origin knows it: the load balancer's is a trace's.
    pub(crate) id: Option<String>,
}

/// A body in JSON: as text, or in Base64 where the origin took it for binary.
#[derive(Debug, Default)]
pub(crate) struct Body {
    text: String,
    base64: bool,
}

impl Body {
    /// The bytes that the client sent, if they can be had.
    pub(crate) fn bytes(self) -> Option<Bytes> {
        match self.base64 {
            true => STANDARD.decode(self.text).ok().map(Bytes::from),
            false => Some(self.text.into()),
        }
    }
}

/// What tells the shapes apart.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    #[serde(default)]
    request_context: Context,
}

#[derive(Default, serde::Deserialize)]
struct Context {
    elb: Option<IgnoredAny>,
    http: Option<IgnoredAny>,
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = <&RawValue>::deserialize(deserializer)?.get();
        let context = serde_json::from_str::<Shape>(json).map_or_else(|_| Context::default(), |it| it.request_context);
        let (origin, request) = if context.elb.is_some() {
            (Origin::LoadBalancer, serde_json::from_str(json).ok().map(balanced))
        } else if context.http.is_some() {
            (Origin::Http, serde_json::from_str(json).ok().map(http))
        } else {
            (Origin::Rest, serde_json::from_str(json).ok().map(rest))
        };
        Ok(Self { origin, request })
    }
}

/// Of the headers' two forms, the one with every value of a header, where it is there.
fn whole(every_value: HeaderMap, last_value: HeaderMap) -> HeaderMap {
    if every_value.is_empty() {
        last_value
    } else {
        every_value
    }
}

fn body(text: Option<String>, base64: bool) -> Body {
    let text = text.unwrap_or_default();
    Body { text, base64 }
}

fn rest(event: ApiGatewayProxyRequest) -> Request {
    Request {
        method: event.http_method,
        path: event.path.unwrap_or_default(),
        stage: event.request_context.stage,
        headers: whole(event.multi_value_headers, event.headers),
        body: body(event.body, event.is_base64_encoded),
        id: event.request_context.request_id,
    }
}

fn http(event: ApiGatewayV2httpRequest) -> Request {
    Request {
        method: event.request_context.http.method,
        path: event.raw_path.unwrap_or_default(),
        stage: event.request_context.stage,
        headers: event.headers,
        body: body(event.body, event.is_base64_encoded),
        id: event.request_context.request_id,
    }
}

fn balanced(event: AlbTargetGroupRequest) -> Request {
    let headers = whole(event.multi_value_headers, event.headers);
    let trace = headers.get("x-amzn-trace-id").and_then(|id| id.to_str().ok());
    Request {
        method: event.http_method,
        path: event.path.unwrap_or_default(),
        stage: None,
        id: trace.map(str::to_owned),
        headers,
        body: body(event.body, event.is_base64_encoded),
    }
}
