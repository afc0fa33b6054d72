//! `patchbay serve`: the native server over the store in a folder.

use std::future::Future;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::request::Parts;
use patchbay_core::api::{Admitted, Answer, Config, Patchbay};
use patchbay_core::identity::Authentication;
use patchbay_server::limits::LISTEN_QUEUE;
use patchbay_server::{Handler, Limits, Metrics, Options};
use patchbay_sql::{NativeStore, OnCommit, Options as StoreOptions};
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};

use super::files;
use super::keys::{self, Source};
use super::log::Log;
use super::settings::{self, Serve};
use crate::host::NativeHost;

/// The native home's bound for an answer (contract, "Errors").
const ANSWER_BYTES: usize = 16 * 1024 * 1024;

#[derive(Clone)]
struct Native(Arc<Patchbay<NativeStore, NativeHost>>);

impl Handler for Native {
    fn admit(&self, head: &Parts) -> impl Future<Output = Result<Admitted, Answer>> + Send {
        self.0.admit(head)
    }

    fn answer(&self, admitted: Admitted, body: Bytes) -> impl Future<Output = Answer> + Send {
        self.0.answer(admitted, body)
    }
}

/// Serves until SIGTERM or Ctrl-C; a second one ends it at once.
///
/// # Errors
/// What stops the start, in a sentence that says what to do.
pub fn run(serve: &Serve, data: &Path) -> anyhow::Result<()> {
    for address in [Some(serve.listen), serve.metrics_listen].into_iter().flatten() {
        ensure!(
            address.ip().to_canonical().is_loopback() || serve.allow_anonymous,
            "authentication is off, so {address} would let everybody in: listen on 127.0.0.1, or give --allow-anonymous"
        );
    }
    let tls = match (&serve.tls_cert, &serve.tls_key) {
        (Some(cert), Some(key)) => Some(patchbay_server::tls(cert, key)?),
        (None, None) => None,
        _ => bail!("TLS needs both --tls-cert and --tls-key"),
    };
    let log = Log::start(serve.log);
    let mut limits = Limits::default();
    limits.connections = files::for_connections(limits.connections)?;
    let (ring, source) = keys::ring(settings::keys()?, data)?;
    let lost = log.lost.clone();
    let metrics = Metrics::new(move || lost.dropped_lines())?;
    let committed = metrics.clone();
    let on_commit = Some(Arc::new(move |changes, time| committed.committed(changes, time)) as OnCommit);
    let store = NativeStore::open(data, StoreOptions { on_commit })?;
    let config = Config {
        authentication: Authentication::off(),
        workspaces: serve.workspaces.into(),
        answer_bytes: ANSWER_BYTES,
    };
    let native = Native(Arc::new(Patchbay::new(store, ring, NativeHost, config)));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = bind(serve.listen)?;
        let metrics_listener = match serve.metrics_listen {
            Some(address) => Some(bind(address)?),
            None => None,
        };
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let base = format!(
            "{}://{}",
            if tls.is_some() { "https" } else { "http" },
            listener.local_addr()?
        );
        let metrics_address = metrics_listener.as_ref().map(TcpListener::local_addr).transpose()?;
        greet(&base, metrics_address, data, &source);
        let mut asked = async move || {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        let shutdown = async move {
            asked().await;
            // Whoever asks twice does not want to wait. What was acknowledged is on disk.
            tokio::spawn(async move {
                asked().await;
                std::process::exit(130);
            });
        }
        .shared();
        let page = async {
            if let Some(listener) = metrics_listener {
                patchbay_server::serve_metrics(listener, metrics.clone(), limits.clone(), shutdown.clone()).await;
            }
        };
        let options = Options {
            limits: limits.clone(),
            list_bytes: ANSWER_BYTES,
            local_only: !serve.allow_anonymous,
            tls,
            metrics: metrics.clone(),
        };
        tokio::join!(
            patchbay_server::serve(listener, native, options, shutdown.clone()),
            page
        );
        anyhow::Ok(())
    })
}

fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listen = || {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }?;
        // As the server is started again, connections of its last run may still be closing.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(LISTEN_QUEUE)
    };
    listen().with_context(|| format!("cannot listen on {address}"))
}

/// Says where everything is, in one write: who reads the first line alone may close the pipe behind it.
fn greet(base: &str, metrics: Option<SocketAddr>, data: &Path, source: &Source) {
    let keys = match source {
        Source::Variable => "PATCHBAY_KEYS".to_owned(),
        Source::File(file) => file.display().to_string(),
        Source::Made(file) => format!(
            "{}, made just now. Keep a copy apart from the data: without it no details can be read again.",
            file.display()
        ),
    };
    let metrics = metrics.map_or(String::new(), |address| format!("Metrics: http://{address}/metrics\n"));
    let greeting = format!(
        "Patchbay answers on {base}\n\
         {metrics}Data: {}\n\
         Keys: {keys}\n\
         Authentication is off: whoever reaches this address may do everything.\n\
         Try: curl -H 'Content-Type: application/json' {base}/v1/api/connections/create \
         -d '{{\"name\":\"first\",\"type\":\"KAFKA\",\"details\":{{\"host\":\"localhost\"}}}}'\n",
        data.display()
    );
    // Serving does not depend on somebody reading this.
    _ = std::io::stdout().write_all(greeting.as_bytes());
}
