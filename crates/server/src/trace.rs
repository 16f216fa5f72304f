//! Structured traces on stderr, and what happens on a panic.

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use crate::config::TraceFormat;

/// Lines that may wait for stderr; more are dropped, because a shard must not wait for a terminal.
const LINES_MAX: usize = 8192;

/// Starts tracing; the guard writes out what is left when it drops.
pub fn start(filter: &str, format: TraceFormat) -> Result<WorkerGuard, String> {
    let filter = EnvFilter::try_new(filter).map_err(|error| format!("log_level: {error}"))?;
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LINES_MAX)
        .thread_name("traces")
        .finish(std::io::stderr());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    match format {
        TraceFormat::Human => builder.init(),
        TraceFormat::Json => builder.json().init(),
    }
    Ok(guard)
}

/// A panic anywhere ends the process at once: a dead shard among living ones is worse than a dead node.
pub fn abort_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let stack = std::backtrace::Backtrace::force_capture();
        note!(
            "forebay: bug: {panic}\nthread: {}\n{stack}\nThe node ends here; what it acknowledged is on disk. \
             Please report this with the lines above.",
            thread.name().unwrap_or("unnamed"),
        );
        std::process::abort();
    }));
}
