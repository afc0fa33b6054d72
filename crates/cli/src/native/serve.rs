//! `patchbay serve`: the native server, over the store in a folder or on a table.

use std::future::Future;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::request::Parts;
use patchbay_core::api::{self, Admitted, Answer, Config, Host as _, Patchbay};
use patchbay_core::identity::Authentication;
use patchbay_core::identity::fetched::{Fetched, Renewal};
use patchbay_core::identity::operators::Operators;
use patchbay_core::model::Workspaces;
use patchbay_core::seal::KeyRing;
use patchbay_core::store::Store;
use patchbay_server::limits::LISTEN_QUEUE;
use patchbay_server::{Handler, Limits, Metrics, Options, TlsAcceptor};
use patchbay_signature::verify_by_ring;
use patchbay_sql::{Audit, NativeStore, OnCommit, Options as StoreOptions};
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use super::keys::{self, Source};
use super::log::Log;
use super::settings::{self, AuthMode, Serve, StoreKind};
use super::{audit, auth, dynamodb, files};
use crate::host::NativeHost;

/// The native home's bound for an answer (contract, "Errors").
const ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// The core over a store, as the server takes it.
pub struct Native<S>(Arc<Patchbay<S, NativeHost>>);

impl<S> Clone for Native<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// For each store by its name: only of a store that it knows can the compiler tell that what it does may go from thread
/// to thread.
macro_rules! handler {
    ($store:ty) => {
        impl Handler for Native<$store> {
            fn admit(&self, head: &Parts) -> impl Future<Output = Result<Admitted, Answer>> + Send {
                self.0.admit(head)
            }

            fn panicked(&self, head: &Parts) -> Answer {
                api::panicked(head, &NativeHost)
            }

            fn answer(&self, admitted: Admitted, body: Bytes) -> impl Future<Output = Answer> + Send {
                self.0.answer(admitted, body)
            }

            fn keep(&self, answer: Answer) -> impl Future<Output = Answer> + Send {
                self.0.keep(answer)
            }
        }
    };
}

handler!(NativeStore);
#[cfg(feature = "dynamodb")]
handler!(patchbay_dynamodb::DynamoStore);

/// Serves until SIGTERM or Ctrl-C; a second one ends it at once.
///
/// # Errors
/// What stops the start, in a sentence that says what to do.
pub fn run(serve: &Serve, data: &Path) -> anyhow::Result<()> {
    let serving = Serving::new(serve)?;
    match serve.store {
        StoreKind::Sqlite => over_folder(serving, data),
        StoreKind::Dynamodb => dynamodb::serve(serving),
    }
}

fn over_folder(mut serving: Serving<'_>, data: &Path) -> anyhow::Result<()> {
    let Serve { table, reads, .. } = serving.settings;
    ensure!(
        table.table.is_none() && table.endpoint.is_none() && reads.is_none(),
        "what is said of a table or its reads needs --store dynamodb beside it"
    );
    let (ring, source) = keys::ring(settings::keys()?, data)?;
    let committed = serving.metrics.clone();
    let on_commit = Some(Arc::new(move |changes, time| committed.committed(changes, time)) as OnCommit);
    let audit = serving.audit.take();
    let store = NativeStore::open(data, StoreOptions { on_commit, audit })?;
    let native = serving.native(store, ring);
    runtime()?.block_on(serving.run(native, &data.display().to_string(), &source))
}

/// What serving uses the processors with.
///
/// # Errors
/// Where the system gives no threads.
pub fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

/// A server that is ready to start, over whatever store.
pub struct Serving<'s> {
    /// What it was told.
    pub settings: &'s Serve,
    authentication: Authentication,
    operators: Operators,
    workspaces: Workspaces,
    limits: Limits,
    metrics: Metrics,
    tls: Option<TlsAcceptor>,
    audit: Option<Audit>,
    _log: Log,
}

impl<'s> Serving<'s> {
    fn new(settings: &'s Serve) -> anyhow::Result<Self> {
        let callers = auth::callers(settings)?;
        let operators = callers.operators()?;
        auth::may_listen(settings, callers.operators.is_some())?;
        let fetched = |source| -> anyhow::Result<_> {
            let dispatch = patchbay_fetch::dispatch(NativeHost)?;
            Ok(Fetched::new(source, Renewal::Behind, dispatch))
        };
        let authentication = callers.authentication(verify_by_ring, fetched)?;
        let workspaces = callers.workspaces()?;
        let audit = audit::kept(settings)?;
        let tls = match (&settings.tls_cert, &settings.tls_key) {
            (Some(cert), Some(key)) => Some(patchbay_server::tls(cert, key)?),
            (None, None) => None,
            _ => bail!("TLS needs both --tls-cert and --tls-key"),
        };
        let log = Log::start(settings.log);
        for key in authentication.left_out() {
            tracing::warn!(key_id = key.id, why = key.why, "a key of PATCHBAY_JWKS is left out");
        }
        let mut limits = Limits::default();
        limits.connections = files::for_connections(limits.connections)?;
        let lost = log.lost.clone();
        Ok(Self {
            settings,
            authentication,
            operators,
            workspaces,
            limits,
            metrics: Metrics::new(move || lost.dropped_lines())?,
            tls,
            audit,
            _log: log,
        })
    }

    /// The core over this store.
    pub fn native<S: Store>(&self, store: S, ring: KeyRing) -> Native<S> {
        let config = Config {
            authentication: self.authentication.clone(),
            workspaces: self.workspaces,
            answer_bytes: ANSWER_BYTES,
        };
        let patchbay = Patchbay::new(store, ring, NativeHost, config).with_operators(self.operators.clone());
        Native(Arc::new(patchbay.with_audit(audit::wanted(self.settings))))
    }

    /// Serves what is kept in `data`.
    ///
    /// # Errors
    /// Where an address cannot be listened on.
    pub async fn run(self, native: impl Handler, data: &str, keys: &Source) -> anyhow::Result<()> {
        let listener = bind(self.settings.listen)?;
        let metrics_listener = match self.settings.metrics_listen {
            Some(address) => Some(bind(address)?),
            None => None,
        };
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let base = format!(
            "{}://{}",
            if self.tls.is_some() { "https" } else { "http" },
            listener.local_addr()?
        );
        let metrics_address = metrics_listener.as_ref().map(TcpListener::local_addr).transpose()?;
        greet(&base, metrics_address, data, keys, &self.authentication);
        let authentication = self.authentication.clone();
        tokio::spawn(async move { authentication.prepare(NativeHost.now()).await });
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
                let (metrics, limits) = (self.metrics.clone(), self.limits.clone());
                let local_only = !self.settings.allow_anonymous;
                patchbay_server::serve_metrics(listener, metrics, limits, local_only, shutdown.clone()).await;
            }
        };
        let options = Options {
            limits: self.limits.clone(),
            list_bytes: ANSWER_BYTES,
            // A web page has no token to send.
            local_only: self.settings.auth == AuthMode::Off && !self.settings.allow_anonymous,
            trusted_proxies: self.settings.trusted_proxies.clone().unwrap_or_default(),
            tls: self.tls,
            metrics: self.metrics.clone(),
        };
        tokio::join!(
            patchbay_server::serve(listener, native, options, shutdown.clone()),
            page
        );
        Ok(())
    }
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
fn greet(base: &str, metrics: Option<SocketAddr>, data: &str, keys: &Source, authentication: &Authentication) {
    let metrics = metrics.map_or(String::new(), |address| format!("Metrics: http://{address}/metrics\n"));
    let callers = auth::describe(authentication);
    // Not in the command itself: whoever has an account on the machine sees the arguments of its processes.
    let (token, said) = match authentication {
        Authentication::Off(_) => ("", ""),
        _ => (
            "-H @token ",
            ", with the line `Authorization: Bearer …` in the file `token`",
        ),
    };
    let greeting = format!(
        "Patchbay answers on {base}\n\
         {metrics}Data: {data}\n\
         Keys: {keys}\n\
         {callers}\n\
         Try{said}: curl {token}-H 'Content-Type: application/json' {base}/v1/api/connections/create \
         -d '{{\"name\":\"first\",\"type\":\"KAFKA\",\"details\":{{\"host\":\"localhost\"}}}}'\n"
    );
    // Serving does not depend on somebody reading this.
    _ = std::io::stdout().write_all(greeting.as_bytes());
}
