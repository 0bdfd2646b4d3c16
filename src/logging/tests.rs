//! Whole logs with outputs of the test's own: one that remembers, one that blocks, one that fails.

use super::*;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

const LONG: Duration = Duration::from_secs(20);

/// Remembers what was written.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Memory {
    fn text(&self) -> String {
        String::from_utf8(self.bytes().clone()).unwrap()
    }
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap()
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Says when a write begins and lets it end when it is told to.
struct Gate {
    begins: SyncSender<()>,
    ends: Receiver<()>,
    memory: Memory,
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.begins.send(());
        let _ = self.ends.recv();
        self.memory.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn log_to(handle: &LogHandle, level: Level, message: fmt::Arguments<'_>) {
    handle.sink.log(&Record::builder().level(level).target("test").args(message).build());
}

#[test]
fn lines_come_out_in_order_with_millisecond_timestamps() {
    let memory = Memory::default();
    let handle = LogHandle::to(LogFormat::Text, QUEUE_BYTES, memory.clone());
    for n in 0..100 {
        log_to(&handle, Level::Info, format_args!("line {n}"));
    }
    assert!(handle.flush(LONG));
    let text = memory.text();
    assert_eq!(text.lines().count(), 100);
    for (n, line) in text.lines().enumerate() {
        let (at, rest) = line.split_once(' ').unwrap();
        assert_eq!((at.len(), at.as_bytes()[19], at.as_bytes()[23]), (24, b'.', b'Z'), "{at}");
        assert_eq!(rest, format!("INFO  test: line {n}"));
    }
}

#[test]
fn json_lines_begin_with_their_timestamp() {
    let memory = Memory::default();
    let handle = LogHandle::to(LogFormat::Json, QUEUE_BYTES, memory.clone());
    log_to(&handle, Level::Warn, format_args!("\"quoted\""));
    assert!(handle.flush(LONG));
    let text = memory.text();
    assert!(text.starts_with("{\"ts\":\"2"), "{text}");
    assert!(
        text.ends_with("\"level\":\"warn\",\"target\":\"test\",\"message\":\"\\\"quoted\\\"\"}\n"),
        "{text}"
    );
}

#[test]
fn the_filter_can_be_replaced_and_a_bad_one_leaves_the_old() {
    let memory = Memory::default();
    let handle = LogHandle::to(LogFormat::Text, QUEUE_BYTES, memory.clone());
    log_to(&handle, Level::Debug, format_args!("one"));
    handle.set_filter("warn,test=debug").unwrap();
    log_to(&handle, Level::Debug, format_args!("two"));
    let why = handle.set_filter("test=loud").unwrap_err();
    assert!(why.contains("test=loud"), "{why}");
    log_to(&handle, Level::Debug, format_args!("three"));
    handle.set_filter("off").unwrap();
    log_to(&handle, Level::Error, format_args!("four"));
    assert!(handle.flush(LONG));
    let text = memory.text();
    let words: Vec<_> = text.lines().filter_map(|line| line.rsplit(' ').next()).collect();
    assert_eq!(words, ["two", "three"]);
}

#[test]
fn an_output_that_blocks_stalls_nobody_and_the_dropped_lines_are_told_once() {
    let (begins, begun) = sync_channel(0);
    let (end, ends) = sync_channel(0);
    let memory = Memory::default();
    let handle =
        LogHandle::to(LogFormat::Text, 1000, Gate { begins, ends, memory: memory.clone() });
    log_to(&handle, Level::Info, format_args!("the first"));
    begun.recv().unwrap();
    // The writer is stuck with the first line; a thousand bytes of others fit behind it.
    let started = Instant::now();
    for n in 0..1000 {
        log_to(&handle, Level::Info, format_args!("flood {n}"));
    }
    assert!(started.elapsed() < LONG);
    assert!(!handle.flush(Duration::from_millis(10)), "nothing was written yet");
    let dropped = handle.dropped();
    assert!((900..1000).contains(&dropped), "{dropped}");
    drop((end, begun));
    assert!(handle.flush(LONG));
    // The line that tells of it is queued by the writer, behind what it has just written.
    let told = format!("{dropped} log lines were dropped");
    while !memory.text().contains(&told) {
        assert!(started.elapsed() < LONG, "{}", memory.text());
        thread::yield_now();
    }
    log_to(&handle, Level::Info, format_args!("the last"));
    assert!(handle.flush(LONG));
    assert_eq!(memory.text().matches("were dropped").count(), 1);
    assert_eq!(handle.dropped(), dropped);
    assert_eq!(memory.text().lines().count() as u64, 1 + (1000 - dropped) + 1 + 1);
}

#[test]
fn an_output_that_fails_loses_lines_and_nothing_else() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }
    let handle = LogHandle::to(LogFormat::Text, 1000, Closed);
    for n in 0..100 {
        log_to(&handle, Level::Info, format_args!("line {n}"));
        assert!(handle.flush(LONG));
    }
}

#[test]
fn a_non_blocking_output_is_tried_again() {
    struct Reluctant(u32, Memory);
    impl Write for Reluctant {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += 1;
            match self.0 % 3 {
                0 => self.1.write(&bytes[..1]),
                1 => Err(io::ErrorKind::WouldBlock.into()),
                _ => Err(io::ErrorKind::Interrupted.into()),
            }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let memory = Memory::default();
    let handle = LogHandle::to(LogFormat::Text, 1000, Reluctant(0, memory.clone()));
    log_to(&handle, Level::Info, format_args!("whole"));
    assert!(handle.flush(LONG));
    assert!(memory.text().ends_with(" INFO  test: whole\n"), "{}", memory.text());
}

#[test]
fn a_record_may_log_or_panic_while_it_is_formatted() {
    struct Chatty<'a>(&'a LogHandle);
    impl fmt::Display for Chatty<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            log_to(self.0, Level::Error, format_args!("inner"));
            f.write_str("outer")
        }
    }
    struct Broken;
    impl fmt::Display for Broken {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("asked for")
        }
    }
    let memory = Memory::default();
    let handle = LogHandle::to(LogFormat::Text, QUEUE_BYTES, memory.clone());
    log_to(&handle, Level::Info, format_args!("{}", Chatty(&handle)));
    let broken = std::panic::AssertUnwindSafe(|| {
        log_to(&handle, Level::Info, format_args!("half a line {Broken}"));
    });
    assert!(std::panic::catch_unwind(broken).is_err());
    log_to(&handle, Level::Info, format_args!("after"));
    assert!(handle.flush(LONG));
    let text = memory.text();
    let words: Vec<_> = text.lines().filter_map(|line| line.rsplit(' ').next()).collect();
    assert_eq!(words, ["inner", "outer", "after"]);
}

#[test]
fn a_log_that_nobody_holds_any_more_ends_its_thread() {
    let memory = Memory::default();
    let handle = LogHandle::to(LogFormat::Text, QUEUE_BYTES, memory.clone());
    drop(handle);
    let started = Instant::now();
    while Arc::strong_count(&memory.0) > 1 {
        assert!(started.elapsed() < LONG);
        thread::yield_now();
    }
}
