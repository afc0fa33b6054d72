//! What the server counts, and the page that shows it to Prometheus.
//!
//! Labels come from fixed sets: no tenant, name or id is ever one. Each is looked up once, at the start; to record is
//! to add to an atomic.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use patchbay_core::api;
use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, PullingGauge, Registry,
    TextEncoder,
};
use tokio::net::TcpListener;

use crate::limits::{Limits, METRICS_CONNECTIONS};
use crate::listener;
use crate::local::is_local;

/// Every status of the contract; another is counted as `other`.
const STATUSES: [u16; 15] = [
    200, 204, 400, 401, 403, 404, 405, 408, 409, 413, 415, 429, 500, 501, 503,
];
/// Seconds: from a `get` out of memory to a list over a slow disk.
const REQUEST_SECONDS: [f64; 13] = [
    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 10.0,
];
/// Seconds: from a disk that syncs into its cache to one that stalls.
const COMMIT_SECONDS: [f64; 11] = [
    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1.0, 10.0,
];
/// Changes in a commit, up to the most that one takes.
const COMMIT_CHANGES: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// What the server counts. Clones share it.
#[derive(Clone)]
pub struct Metrics(Arc<Counts>);

struct Counts {
    registry: Registry,
    operations: Vec<PerOperation>,
    connections: IntGauge,
    busy_requests: IntCounter,
    busy_bodies: IntCounter,
    busy_answers: IntCounter,
    slow_clients: IntCounter,
    commit_seconds: Histogram,
    commit_changes: Histogram,
}

struct PerOperation {
    name: &'static str,
    seconds: Histogram,
    statuses: Vec<(u16, IntCounter)>,
    other: IntCounter,
}

/// What there was too much of for one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Busy {
    Requests,
    Bodies,
    Answers,
}

impl Metrics {
    /// All at zero. `log_lines_lost` tells how many lines the log has not written.
    ///
    /// # Errors
    /// None that is known: a name that Prometheus does not take.
    pub fn new(log_lines_lost: impl Fn() -> usize + Send + Sync + 'static) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let requests = keep(
            &registry,
            IntCounterVec::new(
                Opts::new("patchbay_requests_total", "Requests answered."),
                &["operation", "status"],
            )?,
        )?;
        let seconds = keep(
            &registry,
            HistogramVec::new(
                buckets(
                    "patchbay_request_duration_seconds",
                    "Time from a request's head until its answer was made.",
                    &REQUEST_SECONDS,
                ),
                &["operation"],
            )?,
        )?;
        let busy = keep(
            &registry,
            IntCounterVec::new(
                Opts::new("patchbay_busy_total", "Requests refused because of too much under way."),
                &["of"],
            )?,
        )?;
        let operation = |name: &'static str| -> Result<PerOperation, prometheus::Error> {
            let status = |status: u16| {
                let counter = requests.get_metric_with_label_values(&[name, &status.to_string()])?;
                Ok((status, counter))
            };
            Ok(PerOperation {
                name,
                seconds: seconds.get_metric_with_label_values(&[name])?,
                statuses: STATUSES
                    .into_iter()
                    .map(status)
                    .collect::<Result<_, prometheus::Error>>()?,
                other: requests.get_metric_with_label_values(&[name, "other"])?,
            })
        };
        let lost = Box::new(move || log_lines_lost() as f64);
        keep(
            &registry,
            PullingGauge::new(
                "patchbay_log_lines_lost",
                "Log lines given up since nobody took them.",
                lost,
            )?,
        )?;
        let counts = Counts {
            operations: api::operations().map(operation).collect::<Result<_, _>>()?,
            connections: keep(
                &registry,
                IntGauge::new("patchbay_connections", "Client connections open.")?,
            )?,
            busy_requests: busy.get_metric_with_label_values(&["requests"])?,
            busy_bodies: busy.get_metric_with_label_values(&["bodies"])?,
            busy_answers: busy.get_metric_with_label_values(&["answers"])?,
            slow_clients: keep(
                &registry,
                IntCounter::new(
                    "patchbay_slow_clients_total",
                    "Connections ended since an answer was not taken in time.",
                )?,
            )?,
            commit_seconds: keep(
                &registry,
                Histogram::with_opts(buckets(
                    "patchbay_commit_duration_seconds",
                    "Time of a commit with all its changes.",
                    &COMMIT_SECONDS,
                ))?,
            )?,
            commit_changes: keep(
                &registry,
                Histogram::with_opts(buckets(
                    "patchbay_commit_changes",
                    "Changes committed together.",
                    &COMMIT_CHANGES,
                ))?,
            )?,
            registry,
        };
        Ok(Self(Arc::new(counts)))
    }

    /// Counts a commit: how many changes it took, and how long.
    pub fn committed(&self, changes: usize, time: Duration) {
        self.0.commit_changes.observe(changes as f64);
        self.0.commit_seconds.observe(time.as_secs_f64());
    }

    pub(crate) fn answered(&self, operation: &str, status: StatusCode, time: Duration) {
        let Some(of) = self.0.operations.iter().find(|of| of.name == operation) else {
            return;
        };
        let counter = of.statuses.iter().find(|(known, _)| *known == status.as_u16());
        counter.map_or(&of.other, |(_, counter)| counter).inc();
        of.seconds.observe(time.as_secs_f64());
    }

    pub(crate) fn busy(&self, of: Busy) {
        match of {
            Busy::Requests => &self.0.busy_requests,
            Busy::Bodies => &self.0.busy_bodies,
            Busy::Answers => &self.0.busy_answers,
        }
        .inc();
    }

    pub(crate) fn slow_client(&self) {
        self.0.slow_clients.inc();
    }

    /// How many connections are open.
    pub(crate) fn connections(&self) -> &IntGauge {
        &self.0.connections
    }

    /// The page: `GET /metrics`, and nothing else. With `local_only`, not for what may come from a web page.
    fn page(&self, head: &Parts, local_only: bool) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::default());
        if local_only && !is_local(head) {
            *response.status_mut() = StatusCode::FORBIDDEN;
        } else if head.uri.path() != "/metrics" {
            *response.status_mut() = StatusCode::NOT_FOUND;
        } else if head.method != Method::GET {
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        } else {
            match TextEncoder::new().encode_to_string(&self.0.registry.gather()) {
                Ok(text) => {
                    let kind = HeaderValue::from_static(prometheus::TEXT_FORMAT);
                    response.headers_mut().insert(CONTENT_TYPE, kind);
                    *response.body_mut() = text.into();
                }
                Err(error) => {
                    tracing::error!(%error, "the metrics could not be written");
                    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                }
            }
        }
        response
    }
}

fn buckets(name: &str, help: &str, buckets: &[f64]) -> HistogramOpts {
    HistogramOpts::new(name, help).buckets(buckets.to_vec())
}

fn keep<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

/// Serves `GET /metrics` in Prometheus's text format on `listener` until `shutdown` is ready. With `local_only`, what may
/// come from a web page or another machine is refused, although it came over loopback.
pub async fn serve_metrics(
    listener: TcpListener,
    metrics: Metrics,
    limits: Limits,
    local_only: bool,
    shutdown: impl Future<Output = ()>,
) {
    let limits = Limits {
        connections: METRICS_CONNECTIONS,
        ..limits
    };
    let page = move |request: Request<Incoming>, _| {
        let metrics = metrics.clone();
        let (head, _) = request.into_parts();
        async move { Ok::<_, Infallible>(metrics.page(&head, local_only)) }
    };
    listener::take(listener, &limits, None, None, page, shutdown).await;
}
