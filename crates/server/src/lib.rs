//! The native HTTP listener: HTTP/1.1 and HTTP/2 over TCP, in the clear or over TLS, in front of anything that answers
//! like the core.
//!
//! It knows no store. What it adds to the core is what a network needs: bounds on size, time, number and memory, an
//! orderly end, a panic that costs one request, a line of log a request, and metrics.

mod body;
mod budget;
mod handler;
pub mod limits;
mod listener;
mod local;
mod metrics;
mod proxies;
mod tls;

pub use handler::Handler;
pub use limits::Limits;
pub use listener::{Options, serve};
pub use metrics::{Metrics, serve_metrics};
pub use proxies::{TrustedProxies, WrongProxies};
pub use tls::{TlsError, tls};
pub use tokio_rustls::TlsAcceptor;
