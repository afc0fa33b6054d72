//! The log: a line of JSON for a request, on standard error, written before the reply is.

use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use patchbay_core::api::LogLine;
use patchbay_core::audit::Record;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Starts it, for this process: Patchbay's own lines from `level` on, and of the libraries' those that warn.
pub(crate) fn start(level: LevelFilter) {
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_target(false)
        .with_ansi(false)
        // Which would go to standard error all the same, and panic where that is closed.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    let chosen = Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("patchbay", level);
    tracing_subscriber::registry().with(lines).with(chosen).init();
}

/// Writes an audit record, whatever is logged otherwise: see [`Record::log_lines`].
pub(crate) fn write_audit(record: &Record) {
    let mut stderr = std::io::stderr().lock();
    for line in record.log_lines() {
        // In one write, so that Lambda takes it for one event. It reads standard error as long as the process lives.
        _ = stderr.write_all(format!("{line}\n").as_bytes());
    }
}

/// Writes a request's line: what the native server writes, and by which ids API Gateway and Lambda know the request.
pub(crate) fn write_log(
    response: &Response<Bytes>,
    log: &LogLine,
    time: Duration,
    gateway_request_id: Option<&str>,
    lambda_request_id: &str,
) {
    let status = response.status().as_u16();
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let tenant = log.tenant.as_ref().map(|tenant| tenant.as_str());
    let operator = log.operator.as_ref().map(|operator| operator.as_str());
    let LogLine {
        method,
        operation,
        request_id,
        ..
    } = log;
    let address = log.address.map(tracing::field::display);
    let problem = log.problem.as_deref();
    if log.failed {
        tracing::error!(
            method,
            operation,
            status,
            micros,
            request_id,
            gateway_request_id,
            lambda_request_id,
            address,
            tenant,
            operator,
            problem
        );
    } else {
        tracing::info!(
            method,
            operation,
            status,
            micros,
            request_id,
            gateway_request_id,
            lambda_request_id,
            address,
            tenant,
            operator,
            problem
        );
    }
}
