//! Connections: taking them, serving them, ending them.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::handler::{Handler, Shared};
use crate::limits::Limits;

/// Wait after the system refused a connection for want of files or memory, which soon come free again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// HTTP/2 streams at once on one connection.
const STREAMS: u32 = 100;

/// Serves `listener` until `shutdown` is ready, then finishes what runs, for [`Limits::shutdown_time`] at most.
/// `answer_bytes` is the bound for one answer, which each list counts for.
pub async fn serve<H: Handler>(
    listener: TcpListener,
    handler: H,
    limits: Limits,
    answer_bytes: usize,
    shutdown: impl Future<Output = ()>,
) {
    let kib = |bytes: usize| bytes.div_ceil(1024);
    let connections = Arc::new(Semaphore::new(limits.connections));
    let lists = Arc::new(Semaphore::new(kib(limits.list_bytes)));
    let list_cost = u32::try_from(kib(answer_bytes)).unwrap_or(u32::MAX);
    let builder = Arc::new(builder(&limits));
    let shutdown_time = limits.shutdown_time;
    let shared = Arc::new(Shared {
        handler,
        limits,
        lists,
        list_cost,
    });
    let graceful = GracefulShutdown::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &connections) => accepted,
            () = &mut shutdown => break,
        };
        let (stream, permit) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let shared = Arc::clone(&shared);
        let service = service_fn(move |request: Request<Incoming>| {
            let shared = Arc::clone(&shared);
            async move { Ok::<_, std::convert::Infallible>(shared.call(request).await) }
        });
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // What goes wrong on a connection is the client's: it went away, or did not speak HTTP in time.
            _ = connection.await;
            drop(permit);
        });
    }
    drop(listener);
    if tokio::time::timeout(shutdown_time, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still running when the time to finish them ended");
    }
}

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> io::Result<(tokio::net::TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(connections)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, permit))
}

fn builder(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_headers(limits.headers)
        .max_buf_size(limits.head_bytes)
        .pipeline_flush(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .max_concurrent_streams(STREAMS)
        .keep_alive_interval(limits.head_time)
        .keep_alive_timeout(limits.head_time);
    builder
}
