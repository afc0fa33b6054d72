//! Connections: taking them, serving them, ending them.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::rt::{Read, Write};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;

use crate::Metrics;
use crate::handler::{Handler, Shared};
use crate::limits::{ACCEPT_PAUSE, Limits};
use crate::proxies::TrustedProxies;

/// How to serve.
pub struct Options {
    /// What clients may take of the server.
    pub limits: Limits,
    /// The bound for one answer, in bytes, which each list counts for while it is made.
    pub list_bytes: usize,
    /// Refuses what may come from a web page or another machine, although it came over loopback. For a server without
    /// authentication.
    pub local_only: bool,
    /// Who is believed when they say whom a request came to them from.
    pub trusted_proxies: TrustedProxies,
    /// Speaks TLS instead of cleartext.
    pub tls: Option<TlsAcceptor>,
    /// Where to count.
    pub metrics: Metrics,
}

/// Serves `listener` until `shutdown` is ready, then finishes what runs, for [`Limits::shutdown_time`] at most.
pub async fn serve<H: Handler>(
    listener: TcpListener,
    handler: H,
    options: Options,
    shutdown: impl Future<Output = ()>,
) {
    let shared = Arc::new(Shared::new(handler, &options));
    let Options {
        limits, tls, metrics, ..
    } = options;
    let call = move |request: Request<Incoming>, client: Arc<Client>| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(shared.call(request, &client).await) }
    };
    take(listener, &limits, tls, Some(metrics), call, shutdown).await;
}

/// One connection, as its requests see it.
pub(crate) struct Client {
    /// The other end of it.
    pub(crate) peer: IpAddr,
    /// Whether a request has come.
    spoke: AtomicBool,
    /// Told to drop the connection.
    pub(crate) drop: Notify,
    /// The server does not end before the last of these is dropped, or its time is up.
    _running: watch::Receiver<()>,
}

/// What connections of one listener share.
struct Front<S> {
    builder: auto::Builder<TokioExecutor>,
    limits: Limits,
    tls: Option<TlsAcceptor>,
    metrics: Option<Metrics>,
    service: S,
}

/// Takes connections until `shutdown` is ready, then lets those that are open finish. Counts them in `metrics`.
pub(crate) async fn take<S, F, B>(
    listener: TcpListener,
    limits: &Limits,
    tls: Option<TlsAcceptor>,
    metrics: Option<Metrics>,
    service: S,
    shutdown: impl Future<Output = ()>,
) where
    S: Fn(Request<Incoming>, Arc<Client>) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: Body<Error = Infallible, Data: Send> + Send + 'static,
{
    let connections = Arc::new(Semaphore::new(limits.connections));
    let front = Arc::new(Front {
        builder: builder(limits),
        limits: limits.clone(),
        tls,
        metrics,
        service,
    });
    let (end, _) = watch::channel(());
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &connections) => accepted,
            () = &mut shutdown => break,
        };
        match accepted {
            Ok((stream, peer, permit)) => {
                let (front, ending) = (Arc::clone(&front), end.subscribe());
                tokio::spawn(async move {
                    front.connection(stream, peer, ending).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    _ = end.send(());
    // Closed when the last connection, and the last change whose client went away, has dropped its end.
    if timeout(limits.shutdown_time, end.closed()).await.is_err() {
        tracing::warn!("requests were still running when the time to finish them ended");
    }
}

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> io::Result<(TcpStream, IpAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(connections)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    // A connection that is gone already says so when it is read.
    _ = stream.set_nodelay(true);
    Ok((stream, peer.ip(), permit))
}

impl<S, F, B> Front<S>
where
    S: Fn(Request<Incoming>, Arc<Client>) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: Body<Error = Infallible, Data: Send> + Send + 'static,
{
    /// Serves one connection to its end. What goes wrong on it is the client's: it went away, did not speak the
    /// protocol, or not in time.
    async fn connection(self: Arc<Self>, stream: TcpStream, peer: IpAddr, mut ending: watch::Receiver<()>) {
        let _open = self.metrics.clone().map(Open::new);
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.limits.write_time));
        let stream = Box::pin(stream);
        let Some(tls) = &self.tls else {
            return self.http(TokioIo::new(stream), peer, ending).await;
        };
        let shaken = tokio::select! {
            shaken = timeout(self.limits.handshake_time, tls.accept(stream)) => shaken,
            _ = ending.changed() => return,
        };
        if let Ok(Ok(stream)) = shaken {
            self.http(TokioIo::new(stream), peer, ending).await;
        }
    }

    async fn http(
        &self,
        io: impl Read + Write + Unpin + Send + 'static,
        peer: IpAddr,
        mut ending: watch::Receiver<()>,
    ) {
        let client = Arc::new(Client {
            peer,
            spoke: AtomicBool::new(false),
            drop: Notify::new(),
            _running: ending.clone(),
        });
        let service = service_fn(|request| {
            client.spoke.store(true, Ordering::Relaxed);
            (self.service)(request, Arc::clone(&client))
        });
        let mut connection = pin!(self.builder.serve_connection(io, service));
        // Hyper's own limit begins with the first byte that tells one protocol from the other.
        let mut silence = pin!(tokio::time::sleep(self.limits.head_time));
        let (mut waiting, mut running) = (true, true);
        loop {
            tokio::select! {
                _ = connection.as_mut() => return,
                () = client.drop.notified() => {
                    self.metrics.iter().for_each(Metrics::slow_client);
                    return;
                }
                () = silence.as_mut(), if waiting => {
                    if !client.spoke.load(Ordering::Relaxed) {
                        return;
                    }
                    waiting = false;
                }
                _ = ending.changed(), if running => {
                    connection.as_mut().graceful_shutdown();
                    running = false;
                }
            }
        }
    }
}

/// A connection that is counted as open.
struct Open(Metrics);

impl Open {
    fn new(metrics: Metrics) -> Self {
        metrics.connections().inc();
        Self(metrics)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections().dec();
    }
}

/// `pipeline_flush` stays off: with it, hyper holds the answers to as many requests as a client cares to pipeline, and
/// copies each of them.
fn builder(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_headers(limits.headers)
        .max_buf_size(limits.head_bytes);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .max_concurrent_streams(limits.streams)
        .initial_stream_window_size(limits.window_bytes)
        .initial_connection_window_size(limits.window_bytes)
        .max_send_buf_size(crate::limits::SLICE)
        .keep_alive_interval(limits.head_time)
        .keep_alive_timeout(limits.head_time);
    builder
}
