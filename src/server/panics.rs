//! Panics on reactor threads go to the log, with a backtrace.
//! Not for what follows from one: the reactor closes the connection that its handler served.

use std::backtrace::Backtrace;
use std::cell::Cell;
use std::panic;
use std::sync::Once;
use std::thread;

thread_local! {
    static IS_LOGGED: Cell<bool> = const { Cell::new(false) };
}

/// Has the panics of the calling thread logged instead of printed.
///
/// Printing waits for standard error, and the log never does. Other threads of the program, and a
/// program without a log, keep the hook they had.
pub(super) fn log_on_this_thread() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !IS_LOGGED.get() || !log::log_enabled!(log::Level::Error) {
                return before(info);
            }
            let backtrace = Backtrace::force_capture();
            let thread = thread::current();
            log::error!("{} {info}\n{backtrace}", thread.name().unwrap_or("a reactor"));
        }));
    });
    IS_LOGGED.set(true);
}
