//! `patchbay serve`: the native server over the store in a folder.

use std::future::Future;
use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::request::Parts;
use patchbay_core::api::{Admitted, Answer, Config, Patchbay};
use patchbay_core::identity::Authentication;
use patchbay_server::{Handler, Limits};
use patchbay_sql::{NativeStore, Options};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::host::NativeHost;
use crate::keys::{self, Source};
use crate::settings::{self, Serve};

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

/// Serves until SIGTERM or Ctrl-C.
///
/// # Errors
/// What stops the start, in a sentence that says what to do.
pub fn run(serve: &Serve) -> anyhow::Result<()> {
    ensure!(
        serve.listen.ip().to_canonical().is_loopback() || serve.allow_anonymous,
        "authentication is off, so {} would let everybody in: listen on 127.0.0.1, or give --allow-anonymous",
        serve.listen
    );
    start_log(serve);
    // The folder holds secrets: nobody else has business in it.
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&serve.data)
        .with_context(|| format!("the data folder {} cannot be made", serve.data.display()))?;
    let (ring, source) = keys::ring(settings::keys()?, &serve.data)?;
    let store = NativeStore::open(&serve.data, Options::default())?;
    let config = Config {
        authentication: Authentication::off(),
        workspaces: serve.workspaces.into(),
        answer_bytes: ANSWER_BYTES,
    };
    let native = Native(Arc::new(Patchbay::new(store, ring, NativeHost, config)));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(serve.listen)
            .await
            .with_context(|| format!("cannot listen on {}", serve.listen))?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        greet(listener.local_addr()?, &serve.data, &source);
        let shutdown = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        patchbay_server::serve(listener, native, Limits::default(), ANSWER_BYTES, shutdown).await;
        anyhow::Ok(())
    })
}

/// A line a request: text on a terminal, JSON otherwise.
fn start_log(serve: &Serve) {
    let terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_max_level(serve.log)
        .with_writer(std::io::stderr)
        .with_target(false);
    if terminal {
        builder.init();
    } else {
        builder.json().flatten_event(true).init();
    }
}

/// Says where everything is, in one write: who reads the first line alone may close the pipe behind it.
fn greet(address: SocketAddr, data: &Path, source: &Source) {
    let keys = match source {
        Source::Variable => "PATCHBAY_KEYS".to_owned(),
        Source::File(file) => file.display().to_string(),
        Source::Made(file) => format!(
            "{}, made just now. Keep a copy apart from the data: without it no details can be read again.",
            file.display()
        ),
    };
    let greeting = format!(
        "Patchbay answers on http://{address}\n\
         Data: {}\n\
         Keys: {keys}\n\
         Authentication is off: whoever reaches this address may do everything.\n\
         Try: curl -H 'Content-Type: application/json' http://{address}/v1/api/connections/create \
         -d '{{\"name\":\"first\",\"type\":\"KAFKA\",\"details\":{{\"host\":\"localhost\"}}}}'\n",
        data.display()
    );
    // Serving does not depend on somebody reading this.
    _ = std::io::stdout().write_all(greeting.as_bytes());
}
