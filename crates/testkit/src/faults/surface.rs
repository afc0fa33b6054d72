//! A surface that does one thing wrong, between a target and its clients.

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use http::{HeaderValue, Request, Response, StatusCode};
use patchbay_core::model::Caller;
use serde_json::{Map, Value};

use super::faults;
use crate::target::Target;

faults!(
    /// What the surface may do wrong.
    SurfaceFault {
        ANoContentIsOk,
        AnErrorsCodeIsMissing,
        AnErrorHasAnotherCode,
        AConflictIsABadRequest,
        AForbiddenIsNotFound,
        ANotFoundIsForbidden,
        ATooLongIsABadRequest,
        DetailsAreNormalised,
        NumbersAreRounded,
        IdsAreUpperCase,
        TimesHaveMilliseconds,
        NullDetailsAreLeftOut,
        AFieldIsAdded,
        TheRequestIdIsOurs,
        TheRequestIdIsMissing,
        AnswersMayBeCached,
        AllowIsMissing,
        TheContentTypeIsMissing,
        AnyContentTypeIsTaken,
        UnknownFieldsAreTaken,
        AByteOrderMarkIsTaken,
        NamesAreTrimmed,
        LimitsAreClamped,
        AnyMethodIsTaken,
        ASlashAtTheEndIsTaken,
    }
);

/// A target with one fault between it and its clients.
pub struct FaultySurface<'t> {
    target: &'t dyn Target,
    fault: SurfaceFault,
}

impl<'t> FaultySurface<'t> {
    /// Breaks `target`.
    pub fn new(target: &'t dyn Target, fault: SurfaceFault) -> Self {
        Self { target, fault }
    }

    fn spoil_request(&self, request: &mut Request<Bytes>) {
        let headers = request.headers_mut();
        match self.fault {
            SurfaceFault::TheRequestIdIsOurs => _ = headers.remove("x-request-id"),
            SurfaceFault::AnyContentTypeIsTaken => _ = headers.remove("content-type"),
            SurfaceFault::AnyMethodIsTaken if request.uri().path().starts_with("/v1/api/w") => {
                *request.method_mut() = http::Method::POST;
            }
            SurfaceFault::ASlashAtTheEndIsTaken => {
                let path = request.uri().path().trim_end_matches('/').to_owned();
                if let Ok(uri) = path.parse() {
                    *request.uri_mut() = uri;
                }
            }
            SurfaceFault::AByteOrderMarkIsTaken => {
                let body = request.body();
                let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
                *request.body_mut() = Bytes::copy_from_slice(body);
            }
            SurfaceFault::UnknownFieldsAreTaken | SurfaceFault::NamesAreTrimmed | SurfaceFault::LimitsAreClamped => {
                let Ok(Value::Object(mut fields)) = serde_json::from_slice(request.body()) else {
                    return;
                };
                if self.spoil_fields(&mut fields) {
                    *request.body_mut() = Value::Object(fields).to_string().into();
                }
            }
            _ => {}
        }
    }

    /// Whether it changed something.
    fn spoil_fields(&self, fields: &mut Map<String, Value>) -> bool {
        match self.fault {
            SurfaceFault::UnknownFieldsAreTaken => fields.remove("unheard_of").is_some(),
            SurfaceFault::LimitsAreClamped => match fields.get_mut("limit") {
                Some(limit) if limit.as_u64().is_some_and(|limit| limit > 1000) => {
                    *limit = 1000.into();
                    true
                }
                _ => false,
            },
            SurfaceFault::NamesAreTrimmed => match fields.get_mut("name") {
                Some(Value::String(name)) if name.trim() != name => {
                    *name = name.trim().to_owned();
                    true
                }
                _ => false,
            },
            _ => false,
        }
    }

    fn spoil_response(&self, response: &mut Response<Bytes>) {
        let status = response.status();
        let becomes = |from: StatusCode, to: StatusCode| if status == from { to } else { status };
        *response.status_mut() = match self.fault {
            SurfaceFault::ANoContentIsOk => becomes(StatusCode::NO_CONTENT, StatusCode::OK),
            SurfaceFault::AConflictIsABadRequest => becomes(StatusCode::CONFLICT, StatusCode::BAD_REQUEST),
            SurfaceFault::AForbiddenIsNotFound => becomes(StatusCode::FORBIDDEN, StatusCode::NOT_FOUND),
            SurfaceFault::ANotFoundIsForbidden => becomes(StatusCode::NOT_FOUND, StatusCode::FORBIDDEN),
            SurfaceFault::ATooLongIsABadRequest => becomes(StatusCode::PAYLOAD_TOO_LARGE, StatusCode::BAD_REQUEST),
            _ => status,
        };
        let headers = response.headers_mut();
        match self.fault {
            SurfaceFault::TheRequestIdIsMissing => _ = headers.remove("x-request-id"),
            SurfaceFault::AnswersMayBeCached => {
                headers.insert("cache-control", HeaderValue::from_static("max-age=60"));
            }
            SurfaceFault::AllowIsMissing => _ = headers.remove("allow"),
            SurfaceFault::TheContentTypeIsMissing => _ = headers.remove("content-type"),
            _ => {}
        }
        // Empty where the body is no JSON that serde_json has a number for: then only its text can be spoiled.
        let mut fields: Map<String, Value> = serde_json::from_slice(response.body()).unwrap_or_default();
        let text = String::from_utf8_lossy(response.body()).into_owned();
        let has = |field: &str| fields.contains_key(field);
        let changed = |field: &str, change: fn(&str) -> String| match fields.get(field).and_then(Value::as_str) {
            Some(value) => text.replace(value, &change(value)),
            None => text.clone(),
        };
        let spoiled = match self.fault {
            SurfaceFault::DetailsAreNormalised if has("details") => Value::Object(fields).to_string(),
            SurfaceFault::NumbersAreRounded => text.replace("9007199254740993", "9007199254740992"),
            SurfaceFault::IdsAreUpperCase => changed("id", str::to_uppercase),
            SurfaceFault::TimesHaveMilliseconds => changed("created_at", |at| format!("{at:.23}Z")),
            SurfaceFault::NullDetailsAreLeftOut => text.replace("\"details\":null,", ""),
            SurfaceFault::AFieldIsAdded if has("details") => text.replacen('{', "{\"workspaces\":[],", 1),
            SurfaceFault::AnErrorsCodeIsMissing if has("code") => {
                fields.remove("code");
                Value::Object(fields).to_string()
            }
            SurfaceFault::AnErrorHasAnotherCode => text.replace("\"code\":4", "\"code\":1"),
            _ => text,
        };
        *response.body_mut() = spoiled.into();
    }
}

impl Target for FaultySurface<'_> {
    fn send<'a>(
        &'a self,
        caller: Option<&'a Caller>,
        mut request: Request<Bytes>,
    ) -> LocalBoxFuture<'a, Result<Response<Bytes>, String>> {
        self.spoil_request(&mut request);
        Box::pin(async move {
            let mut response = self.target.send(caller, request).await?;
            self.spoil_response(&mut response);
            Ok(response)
        })
    }
    fn requests(&self) -> Vec<String> {
        self.target.requests()
    }
}
