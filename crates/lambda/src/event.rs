//! Events: the shapes in which AWS hands over HTTP requests.

use std::net::{IpAddr, SocketAddr};

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
    /// Whom the origin was called by.
    pub(crate) address: Option<IpAddr>,
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

fn address(text: Option<&str>) -> Option<IpAddr> {
    let text = text?.trim();
    // A load balancer may have been told to add the port.
    let with_port = || text.parse::<SocketAddr>().map(|address| address.ip());
    let address = text.parse::<IpAddr>().or_else(|_| with_port()).ok()?;
    Some(address.to_canonical())
}

fn rest(event: ApiGatewayProxyRequest) -> Request {
    Request {
        method: event.http_method,
        path: event.path.unwrap_or_default(),
        stage: event.request_context.stage,
        headers: whole(event.multi_value_headers, event.headers),
        body: body(event.body, event.is_base64_encoded),
        id: event.request_context.request_id,
        address: address(event.request_context.identity.source_ip.as_deref()),
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
        address: address(event.request_context.http.source_ip.as_deref()),
    }
}

fn balanced(event: AlbTargetGroupRequest) -> Request {
    let headers = whole(event.multi_value_headers, event.headers);
    // It puts whom it was called by at the end, as it comes; what stands before is whatever they sent.
    let forwarded = headers.get_all("x-forwarded-for").iter().next_back();
    let forwarded = forwarded.and_then(|list| list.to_str().ok());
    let trace = headers.get("x-amzn-trace-id").and_then(|id| id.to_str().ok());
    Request {
        method: event.http_method,
        path: event.path.unwrap_or_default(),
        stage: None,
        id: trace.map(str::to_owned),
        address: address(forwarded.and_then(|list| list.rsplit(',').next())),
        headers,
        body: body(event.body, event.is_base64_encoded),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn address_in(event: &Value) -> Option<String> {
        let event: Event = serde_json::from_str(&event.to_string()).unwrap();
        event.request.unwrap().address.map(|address| address.to_string())
    }

    #[test]
    fn the_address_is_the_one_that_api_gateway_was_called_by_whatever_the_headers_say() {
        let http = json!({ "http": { "method": "POST" } });
        let rest = json!({ "httpMethod": "POST", "identity": {} });
        for (context, source) in [(http, "/requestContext/http"), (rest, "/requestContext/identity")] {
            let mut event = json!({
                "httpMethod": "POST",
                "headers": { "x-forwarded-for": "192.0.2.66, 192.0.2.67" },
                "requestContext": context,
            });
            assert_eq!(address_in(&event), None, "{source}");
            for (given, known) in [
                ("198.51.100.7", Some("198.51.100.7")),
                ("2001:db8::7", Some("2001:db8::7")),
                ("::ffff:198.51.100.7", Some("198.51.100.7")),
                ("test-invoke-source-ip", None),
            ] {
                event.pointer_mut(source).unwrap()["sourceIp"] = json!(given);
                assert_eq!(address_in(&event).as_deref(), known, "{source}");
            }
        }
    }

    #[test]
    fn the_address_is_the_last_that_stands_in_a_load_balancers_header() {
        let one = |value: &str| json!({ "headers": { "x-forwarded-for": value } });
        let every = |values: &[&str]| json!({ "multiValueHeaders": { "X-Forwarded-For": values } });
        for (headers, known) in [
            (json!({}), None),
            (one("198.51.100.7"), Some("198.51.100.7")),
            (one("192.0.2.66, 2001:db8::7"), Some("2001:db8::7")),
            (every(&["192.0.2.66", "192.0.2.67, 198.51.100.7"]), Some("198.51.100.7")),
            (one("192.0.2.66, 198.51.100.7:4711"), Some("198.51.100.7")),
            (one("192.0.2.66, [2001:db8::7]:4711"), Some("2001:db8::7")),
            (one("192.0.2.66, "), None),
            (every(&["192.0.2.66", "unknown"]), None),
        ] {
            let mut event = headers;
            event["httpMethod"] = json!("POST");
            event["requestContext"] = json!({ "elb": {} });
            assert_eq!(address_in(&event).as_deref(), known, "{event}");
        }
    }
}
