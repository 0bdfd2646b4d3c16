//! Where log records become lines on standard error, without ever holding up who logs.
//! Not what is logged or when: that is said with the `log` macros where it happens.
//!
//! `env_logger` filters and formats; a line then goes into a queue bounded in bytes, and one thread
//! writes the queue out. A reactor that logs thus never waits for standard error, which may be a
//! full pipe or a stalled disk: what does not fit is dropped and counted, and a line tells how many
//! as soon as there is room again. Hence a panic hook may log too, even if the panic came from the
//! formatting of another record; it must not use `eprintln!`, which does wait.

use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::thread;
use std::time::Duration;

use env_logger::{Logger, Target, WriteStyle};
use log::{Level, LevelFilter, Log, Metadata, Record};

use self::queue::Queue;
use crate::config::{LogFormat, LogSettings};

mod line;
mod queue;

/// Bytes that may wait for standard error; at debug level some five thousand lines.
const QUEUE_BYTES: usize = 1024 * 1024;

/// The filter to fall back on; what the documented default says.
const DEFAULT_FILTER: &str = "info";

/// The log of this process: to change its filter, and to let the last lines out.
#[derive(Clone)]
pub struct LogHandle {
    sink: Arc<Sink>,
}

/// Starts logging to standard error as `settings` say.
///
/// A filter that does not parse is reported in the log, and `info` serves in its place. In a
/// process that has set up another logger, that one goes on serving and this one stays silent.
///
/// # Panics
///
/// If the kernel has no thread left for the writer.
#[must_use]
pub fn init(settings: &LogSettings) -> LogHandle {
    let handle = LogHandle::to(settings.format, QUEUE_BYTES, io::stderr());
    if log::set_boxed_logger(Box::new(handle.sink.clone())).is_ok() {
        handle.sink.serves.store(true, Ordering::Relaxed);
        log::set_max_level(handle.sink.level());
    }
    if let Err(why) = handle.set_filter(&settings.filter) {
        log::error!("{why}; logging at {DEFAULT_FILTER} instead");
    }
    handle
}

impl LogHandle {
    /// A log that is written to `output` and that the `log` macros do not know of.
    #[expect(clippy::expect_used, reason = "when a program starts there is no peer yet")]
    fn to(format: LogFormat, queue_bytes: usize, output: impl Write + Send + 'static) -> Self {
        let queue = Arc::new(Queue::new(queue_bytes));
        let logger = RwLock::new(Arc::new(logger(DEFAULT_FILTER, format, &queue)));
        let sink = Arc::new(Sink { logger, format, queue, serves: AtomicBool::new(false) });
        let (queue, weak) = (sink.queue.clone(), Arc::downgrade(&sink));
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || queue.write_out(output, |dropped| tell_dropped(&weak, dropped)))
            .expect("a thread that writes the log");
        Self { sink }
    }

    /// Replaces the filter: a level such as `debug`, or directives as `RUST_LOG` takes them.
    ///
    /// # Errors
    ///
    /// What is wrong with the filter, in words for the operator; the old one then stays.
    pub fn set_filter(&self, filter: &str) -> Result<(), String> {
        // env_logger itself would print what is wrong, past the queue, and leave that part out.
        env_filter::Builder::new()
            .try_parse(filter)
            .map_err(|error| format!("the log filter {filter:?} is not valid: {error}"))?;
        let logger = Arc::new(logger(filter, self.sink.format, &self.sink.queue));
        *self.sink.logger.write().unwrap_or_else(PoisonError::into_inner) = logger;
        if self.sink.serves.load(Ordering::Relaxed) {
            log::set_max_level(self.sink.level());
        }
        Ok(())
    }

    /// Waits until all that was logged before this call is written, for `within` at most.
    ///
    /// Returns whether it was. To be called before the process exits, with a second or so.
    pub fn flush(&self, within: Duration) -> bool {
        self.sink.queue.flush(within)
    }

    /// How many lines were dropped so far because standard error did not take them.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.sink.queue.dropped()
    }
}

impl fmt::Debug for LogHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogHandle").field("level", &self.sink.level()).finish_non_exhaustive()
    }
}

/// An env_logger that filters by `filter`, which is valid, and writes lines into `queue`.
fn logger(filter: &str, format: LogFormat, queue: &Arc<Queue>) -> Logger {
    env_logger::Builder::new()
        // tungstenite logs payloads at debug; whoever wants that names it.
        .filter_module("tungstenite", log::LevelFilter::Warn)
        .parse_filters(filter)
        .write_style(WriteStyle::Never)
        .target(Target::Pipe(Box::new(QueueEnd(queue.clone()))))
        .format(move |out, record| {
            let at = out.timestamp_millis();
            match format {
                LogFormat::Text => line::text(out, &at, record),
                LogFormat::Json => line::json(out, &at, record),
            }
        })
        .build()
}

/// What the `log` macros call: the present logger, which can be replaced.
struct Sink {
    logger: RwLock<Arc<Logger>>,
    format: LogFormat,
    queue: Arc<Queue>,
    /// Whether the `log` macros call this one, whose level then is theirs.
    serves: AtomicBool,
}

impl Sink {
    /// The present logger. The lock is not held while a record is formatted: that may log in turn,
    /// and would wait for ever behind somebody who wants to replace the logger.
    fn logger(&self) -> Arc<Logger> {
        self.logger.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn level(&self) -> LevelFilter {
        self.logger().filter()
    }
}

impl Log for Sink {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.logger().enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        self.logger().log(record);
    }

    fn flush(&self) {
        self.queue.flush(Duration::from_secs(1));
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// The queue as env_logger sees it: each write is one line, whole.
struct QueueEnd(Arc<Queue>);

impl Write for QueueEnd {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Logs, through the queue like anything else, that lines are missing before this one.
fn tell_dropped(sink: &Weak<Sink>, dropped: u64) {
    let Some(sink) = sink.upgrade() else { return };
    sink.log(
        &Record::builder()
            .level(Level::Error)
            .target(module_path!())
            .args(format_args!("{dropped} log lines were dropped: standard error was too slow"))
            .build(),
    );
}

#[cfg(test)]
mod tests;
