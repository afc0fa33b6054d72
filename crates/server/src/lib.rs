//! The native HTTP listener: HTTP/1.1 and cleartext HTTP/2 over TCP, in front of anything that answers like the core.
//!
//! It knows no store. What it adds to the core is what a network needs: bounds on size, time and number, an orderly end,
//! a panic that costs one request, and a line of log a request.

mod handler;
pub mod limits;
mod listener;

pub use handler::Handler;
pub use limits::Limits;
pub use listener::serve;
