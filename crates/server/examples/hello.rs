//! The yardstick of `cargo xtask bench`: the same runtime and the same HTTP library with nothing behind them. Reads
//! each request whole and answers with as many bytes as its argument says.

use std::convert::Infallible;
use std::io::Write as _;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let bytes: usize = std::env::args()
        .nth(1)
        .ok_or("how many bytes to answer with?")?
        .parse()?;
    let answer = Bytes::from(vec![b'x'; bytes]);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "Hello answers on http://{}", listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answer = answer.clone();
        tokio::spawn(async move {
            let hello = service_fn(|request: Request<Incoming>| {
                let answer = answer.clone();
                async move {
                    _ = request.into_body().collect().await;
                    let mut response = Response::new(Full::new(answer));
                    let json = HeaderValue::from_static("application/json");
                    response.headers_mut().insert(header::CONTENT_TYPE, json);
                    Ok::<_, Infallible>(response)
                }
            });
            // What goes wrong on a connection is the client's.
            _ = Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), hello)
                .await;
        });
    }
}
