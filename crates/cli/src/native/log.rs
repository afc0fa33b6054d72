//! The log: a line a request on standard error, text on a terminal and JSON otherwise.

use std::io::{self, BufWriter, IsTerminal as _, Write, stderr};
use std::time::Duration;

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Lines that may wait to be written, about 4 MiB. Past them lines are lost and counted: a reader of standard error
/// that is slow, stopped or gone must not hold up a request.
const WAITING_LINES: usize = 16 * 1024;
/// Bytes that are written at once at most.
const WRITTEN_BYTES: usize = 64 * 1024;
/// Rest after what waited is written. Without it each request wakes the writing thread for its one line, and two
/// fifths of the CPU time of a `get` go into that. It is short enough that lines in wait stay few.
const REST: Duration = Duration::from_millis(5);

/// The log, written by a thread of its own. When this is dropped, what waits is still written, if it can be at once.
pub struct Log {
    /// Counts the lines that were lost.
    pub lost: ErrorCounter,
    _writer: WorkerGuard,
}

impl Log {
    /// Starts it, for this process: Patchbay's own lines from `level` on, and of the libraries' those that warn. What they
    /// say beyond that may be what callers sent.
    pub fn start(level: LevelFilter) -> Self {
        let (lines, writer) = NonBlockingBuilder::default()
            .buffered_lines_limit(WAITING_LINES)
            .thread_name("patchbay-log")
            .finish(Gathering(BufWriter::with_capacity(WRITTEN_BYTES, stderr())));
        let lost = lines.error_counter();
        let text = tracing_subscriber::fmt::layer()
            .with_writer(lines)
            // Which would go to standard error all the same, and panic where that is closed.
            .log_internal_errors(false)
            .with_target(false);
        let chosen = Targets::new()
            .with_default(level.min(LevelFilter::WARN))
            .with_target("patchbay", level);
        let log = tracing_subscriber::registry().with(chosen);
        if stderr().is_terminal() {
            log.with(text).init();
        } else {
            log.with(text.with_ansi(false).json().flatten_event(true)).init();
        }
        crate::hush_panics();
        Self { lost, _writer: writer }
    }
}

/// Writes the first line at once, and those of the next moment together: the writing thread flushes when no line waits.
struct Gathering<W: Write>(BufWriter<W>);

impl<W: Write> Write for Gathering<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.0.flush();
        std::thread::sleep(REST);
        flushed
    }
}
