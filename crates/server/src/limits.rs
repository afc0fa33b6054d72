//! Bounds of the listener, with their defaults. Those of the contract are in [`patchbay_core::limits`].

use std::time::Duration;

/// What a client may take of the server.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once; one more waits in the listen queue until another ends. Default 4,096: each costs little
    /// more than its head's buffer.
    pub connections: usize,
    /// Bytes of a request's head. Default 16 KiB: the longest token is as long.
    pub head_bytes: usize,
    /// Header fields of a request. Default 64.
    pub headers: usize,
    /// Time to send a head, and so time that a connection may be idle. Default 30 s.
    pub head_time: Duration,
    /// Time to send a body. Default 30 s: 512 KiB over a slow line.
    pub body_time: Duration,
    /// Bytes of answers that lists under way may add up to, each counted with the largest it may have. Default
    /// 128 MiB: eight lists of 16 MiB.
    pub list_bytes: usize,
    /// Time that running requests have to finish once the end is asked for. Default 10 s.
    pub shutdown_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            head_bytes: 16 * 1024,
            headers: 64,
            head_time: Duration::from_secs(30),
            body_time: Duration::from_secs(30),
            list_bytes: 128 * 1024 * 1024,
            shutdown_time: Duration::from_secs(10),
        }
    }
}
