//! Bounds of the listener, with their defaults. Those of the contract are in [`patchbay_core::limits`].
//!
//! What a flood of clients can make the server hold is bounded: for each connection its buffers, and beside them
//! [`Limits::body_bytes`], [`Limits::answer_bytes`], and what [`Limits::requests`] requests hold without being counted,
//! [`UNCOUNTED_BODY`] and [`UNCOUNTED_ANSWER`] each.

use std::time::Duration;

use patchbay_core::limits::TOKEN_BYTES;

/// Bytes of a body that count towards no budget, so that a flood of large bodies leaves the usual ones alone: more
/// than most details need.
pub const UNCOUNTED_BODY: usize = 16 * 1024;
/// Bytes of an answer that count towards no budget: less than its connection's own buffers.
pub const UNCOUNTED_ANSWER: usize = 4 * 1024;
/// What a connection holds besides its requests: two buffers of a head's size, or an HTTP/2 window, and state.
const CONNECTION: usize = 96 * 1024;
/// Connections that the system may hold until they are taken: as many as may be open, since those that find this queue
/// full may seem open to their clients, and break when they are used. Systems make less of it where they allow less.
pub const LISTEN_QUEUE: u32 = 4096;
/// Bytes of an answer that are handed to the network at once: enough to fill a socket's buffer, and little to hold.
pub(crate) const SLICE: usize = 64 * 1024;
/// Wait after the system refused a connection for want of files or memory, which soon come free again.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Connections at once to the metrics: a few scrapers, and somebody who looks.
pub(crate) const METRICS_CONNECTIONS: usize = 16;

/// What clients may take of the server.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once; one more waits in the listen queue until another ends. Default 4,096: each costs little
    /// more than its buffers, which hold twice a head.
    pub connections: usize,
    /// Requests at once that are past their head and whose answers are not yet taken; one more is 503. Default 8,192:
    /// only HTTP/2 reaches it, and there it bounds what many streams on many connections add up to.
    pub requests: usize,
    /// HTTP/2 streams at once on one connection. Default 100, the least that RFC 9113 (6.5.2) advises.
    pub streams: u32,
    /// Bytes that an HTTP/2 client may send ahead of being read, on a stream and on a connection. Default 64 KiB, what
    /// the protocol starts with: bodies are read as they come, so more would only be held for those that are not.
    pub window_bytes: u32,
    /// Time of a TLS handshake. Default 10 s: a few round trips over the worst line.
    pub handshake_time: Duration,
    /// Bytes of a request's head. Default 24 KiB: the longest token has 16, and all else half of that.
    pub head_bytes: usize,
    /// Header fields of a request. Default 64: three times what browsers and proxies send.
    pub headers: usize,
    /// Time to send a head, and so time that an HTTP/1 connection may be idle; on HTTP/2, time to send the first, and
    /// to answer a ping. Default 30 s.
    pub head_time: Duration,
    /// Time to send a body. Default 30 s: 512 KiB over a slow line.
    pub body_time: Duration,
    /// Bytes that are still taken, and dropped, of an HTTP/1 body that is not read: many a client reads nothing before it
    /// has sent all, and would find a broken connection instead of the answer. Default 4 MiB: eight times the longest
    /// body, since who exceeds it by mistake seldom does so by more.
    pub linger_bytes: usize,
    /// Time for that; the connection counts as open. Default 5 s: 512 KiB at 1 Mbit/s.
    pub linger_time: Duration,
    /// Bytes that bodies under way may add up to, each counted as it arrives and past its first [`UNCOUNTED_BODY`];
    /// what does not fit is 503. Default 64 MiB: 128 of the longest.
    pub body_bytes: usize,
    /// Bytes that answers may add up to until they are written, those of [`UNCOUNTED_ANSWER`] or less left out; what
    /// does not fit is 503. A list under way counts with the largest answer that it may have. Default 128 MiB: eight
    /// lists of 16 MiB.
    pub answer_bytes: usize,
    /// Time without the client taking a byte of what is written to it, after which it is dropped. Default 30 s.
    pub write_time: Duration,
    /// Time to take an answer whole that is counted in [`Limits::answer_bytes`] or goes over HTTP/2, after which the
    /// client is dropped. Default 60 s: 16 MiB at 2.3 Mbit/s. A larger list is read in pages.
    pub answer_time: Duration,
    /// Time that running requests have to finish once the end is asked for. Default 10 s.
    pub shutdown_time: Duration,
}

impl Limits {
    /// Bytes that a flood of clients can make the server hold at the most, whatever they send and however slowly they
    /// read. It rests on what is held where: a body grows by doubling, and its details are sealed beside it before it
    /// goes, which makes three times its bytes; a list is held once as it was read, and once as it is sent.
    pub fn memory_bytes(&self) -> usize {
        let request = self.head_bytes + 3 * UNCOUNTED_BODY + UNCOUNTED_ANSWER;
        self.connections * CONNECTION + self.requests * request + 3 * self.body_bytes + 2 * self.answer_bytes
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            requests: 8192,
            streams: 100,
            window_bytes: 64 * 1024,
            handshake_time: Duration::from_secs(10),
            head_bytes: TOKEN_BYTES + 8 * 1024,
            headers: 64,
            head_time: Duration::from_secs(30),
            body_time: Duration::from_secs(30),
            linger_bytes: 4 * 1024 * 1024,
            linger_time: Duration::from_secs(5),
            body_bytes: 64 * 1024 * 1024,
            answer_bytes: 128 * 1024 * 1024,
            write_time: Duration::from_secs(30),
            answer_time: Duration::from_secs(60),
            shutdown_time: Duration::from_secs(10),
        }
    }
}
