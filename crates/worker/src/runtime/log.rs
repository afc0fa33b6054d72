//! The log: a line of JSON for each request, on the console.

use std::net::IpAddr;

use patchbay_core::api::{Answer, LogLine};
use patchbay_core::audit::Record;
use patchbay_core::identity::keys::{KeySet, LeftOut};
use serde::Serialize;
use worker::{console_error, console_log, console_warn};

use super::bindings::Usage;
use crate::settings::Log;
use crate::tenant::Followed;

/// What a line says.
#[derive(Serialize)]
struct Line<'a> {
    level: &'static str,
    method: &'a str,
    operation: &'static str,
    status: u16,
    micros: i64,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operator: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'a str>,
    kv_reads: u32,
    object_requests: u32,
    /// Cloudflare's own id for the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    ray: Option<&'a str>,
}

/// What the log gets of a request beside its answer.
pub struct Request<'a> {
    /// The header `cf-ray`.
    pub ray: Option<&'a str>,
    /// How long it took. The runtime's clock moves only where something comes in.
    pub micros: i64,
    /// What it used.
    pub usage: &'a Usage,
}

/// Logs a request that was answered: its audit record, if it leaves one, and its line, if `log` wants it.
pub fn write(log: Log, request: &Request<'_>, answer: &Answer) {
    let Answer {
        response,
        log: line,
        audit,
    } = answer;
    for line in audit.iter().flat_map(Record::log_lines) {
        console_log!("{line}");
    }
    let LogLine {
        method,
        operation,
        request_id,
        address,
        tenant,
        operator,
        failed,
        problem,
    } = line;
    if log == Log::Failures && !failed {
        return;
    }
    let line = Line {
        level: if *failed { "ERROR" } else { "INFO" },
        method,
        operation,
        status: response.status().as_u16(),
        micros: request.micros,
        request_id,
        address: *address,
        tenant: tenant.as_ref().map(|tenant| tenant.as_str()),
        operator: operator.as_ref().map(|operator| operator.as_str()),
        problem: problem.as_deref(),
        kv_reads: request.usage.kv_reads.get(),
        object_requests: request.usage.object_requests.get(),
        ray: request.ray,
    };
    // Texts and numbers can always be written.
    let line = serde_json::to_string(&line).unwrap_or_default();
    if *failed {
        console_error!("{line}");
    } else {
        console_log!("{line}");
    }
}

/// Logs that a key of `PATCHBAY_JWKS` counts for nothing, and why.
pub fn left_out(key: &LeftOut) {
    /// What the line says.
    #[derive(Serialize)]
    struct Line<'a> {
        level: &'static str,
        message: &'static str,
        key_id: Option<&'a str>,
        why: &'static str,
    }
    let line = Line {
        level: "WARN",
        message: "a key of PATCHBAY_JWKS is left out",
        key_id: key.id.as_deref(),
        why: key.why,
    };
    console_warn!("{}", serde_json::to_string(&line).unwrap_or_default());
}

/// Logs that the issuer gave these keys, and for how many seconds they are fresh.
pub fn fetched(url: &str, keys: &KeySet, fresh_seconds: i64) {
    for key in keys.left_out() {
        Issuer {
            key_id: key.id.as_deref(),
            why: Some(key.why),
            ..Issuer::at(url, "INFO", "a key of the issuer is left out")
        }
        .write();
    }
    let line = match keys.count() {
        0 => Issuer::at(
            url,
            "ERROR",
            "the issuer has no keys that tokens may be signed with: none is taken",
        ),
        _ => Issuer::at(url, "INFO", "the issuer gave its keys"),
    };
    Issuer {
        keys: Some(keys.count()),
        fresh_seconds: Some(fresh_seconds),
        ..line
    }
    .write();
}

/// Logs that the issuer gave no keys, and why; `known` says whether there are some that go on counting.
pub fn not_fetched(url: &str, why: &str, known: bool) {
    let (level, message) = if known {
        ("WARN", "the issuer did not give its keys: those that are known go on")
    } else {
        (
            "ERROR",
            "the issuer did not give its keys: until it does, its tokens get 503",
        )
    };
    Issuer {
        why: Some(why),
        ..Issuer::at(url, level, message)
    }
    .write();
}

/// What a line says of an issuer.
#[derive(Serialize)]
struct Issuer<'a> {
    level: &'static str,
    message: &'static str,
    url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fresh_seconds: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
}

impl<'a> Issuer<'a> {
    fn at(url: &'a str, level: &'static str, message: &'static str) -> Self {
        Self {
            level,
            message,
            url,
            keys: None,
            fresh_seconds: None,
            key_id: None,
            why: None,
        }
    }

    fn write(&self) {
        let line = serde_json::to_string(self).unwrap_or_default();
        match self.level {
            "INFO" => console_log!("{line}"),
            "WARN" => console_warn!("{line}"),
            _ => console_error!("{line}"),
        }
    }
}

/// Logs what an object wrote to KV, if it failed: it will try again.
pub fn followed(followed: &Followed) {
    /// What the line says.
    #[derive(Serialize)]
    struct Line {
        level: &'static str,
        operation: &'static str,
        written: usize,
        failed: usize,
        problem: String,
    }
    let Some(problem) = &followed.problem else { return };
    let line = Line {
        level: "WARN",
        operation: "kv",
        written: followed.written,
        failed: followed.failed,
        problem: problem.to_string(),
    };
    console_warn!("{}", serde_json::to_string(&line).unwrap_or_default());
}

/// Logs that an object could not write to KV what is due: it will try again.
pub fn unfollowed(problem: &str) {
    /// What the line says.
    #[derive(Serialize)]
    struct Line<'a> {
        level: &'static str,
        operation: &'static str,
        problem: &'a str,
    }
    let line = Line {
        level: "ERROR",
        operation: "kv",
        problem,
    };
    console_error!("{}", serde_json::to_string(&line).unwrap_or_default());
}

/// Logs that something panicked, and where.
#[cfg(panic = "unwind")]
pub fn panicked(place: Option<&str>) {
    /// What the line says.
    #[derive(Serialize)]
    struct Line<'a> {
        level: &'static str,
        message: &'static str,
        place: Option<&'a str>,
    }
    let line = Line {
        level: "ERROR",
        message: "something panicked",
        place,
    };
    console_error!("{}", serde_json::to_string(&line).unwrap_or_default());
}
