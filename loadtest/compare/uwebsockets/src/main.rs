//! A peer: echo on `/echo` and broadcast on `/broadcast` with uWebSockets, through its C API.
//! Not a binding: the few calls that it takes are in `capi`, and C++ does all the work.

mod capi;

use std::ffi::{CString, c_char, c_int, c_void};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::ptr;

use clap::Parser;

use capi::{App, Behavior, ContextOptions, ListenConfig, Opcode, PLAIN, WebSocket};

/// What every subscriber of `/broadcast` is subscribed to.
const TOPIC: &[u8] = b"all";

#[derive(Parser)]
struct Flags {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:9106")]
    listen: SocketAddr,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    if let Err(error) = pulsewheel_compare::raise_descriptor_limit() {
        eprintln!("cannot raise the descriptor limit: {error}");
    }
    let no_tls = ContextOptions { files: [ptr::null(); 6], prefer_low_memory: 0 };
    // SAFETY: the options are plain data, not looked at for a server without TLS.
    let app = unsafe { capi::uws_create_app(PLAIN, no_tls) };
    let echo = Behavior { message: Some(echo), ..behavior() };
    let broadcast = Behavior { open: Some(subscribe), message: Some(publish), ..behavior() };
    // SAFETY: `app` was just made, on this thread; the patterns are zero-terminated and static; and
    // the user data of /broadcast is the app itself, which is never freed.
    unsafe {
        capi::uws_ws(PLAIN, app, c"/echo".as_ptr(), echo, ptr::null_mut());
        capi::uws_ws(PLAIN, app, c"/broadcast".as_ptr(), broadcast, app.cast());
    }
    if !listen(app, flags.listen) {
        eprintln!("cannot listen on {}", flags.listen);
        return ExitCode::FAILURE;
    }
    // SAFETY: `app` is live and belongs to this thread, whose loop this runs.
    unsafe { capi::uws_app_run(PLAIN, app) };
    ExitCode::SUCCESS
}

/// The library's defaults, with compression off and room for the messages and fan-outs of the
/// workloads: 64 MiB of each, none of it allocated before it is needed.
fn behavior() -> Behavior {
    Behavior {
        compression: 0,
        max_payload_length: 64 << 20,
        idle_timeout: 120,
        max_backpressure: 64 << 20,
        close_on_backpressure_limit: false,
        reset_idle_timeout_on_send: false,
        send_pings_automatically: true,
        max_lifetime: 0,
        upgrade: None,
        open: None,
        message: None,
        drain: None,
        ping: None,
        pong: None,
        close: None,
        subscription: None,
    }
}

fn listen(app: *mut App, address: SocketAddr) -> bool {
    let host = CString::new(address.ip().to_string()).expect("an address has no zero byte");
    let config =
        ListenConfig { port: c_int::from(address.port()), host: host.as_ptr(), options: 0 };
    let mut listens = false;
    // SAFETY: `app` is live; `host` and `listens` outlive the call, which calls the handler, with
    // this pointer, before it returns and never again.
    unsafe {
        let told = (&raw mut listens).cast();
        capi::uws_app_listen_with_config(PLAIN, app, config, note_listening, told);
    }
    listens
}

extern "C" fn note_listening(socket: *mut c_void, _: ListenConfig, told: *mut c_void) {
    // SAFETY: `told` is the bool of `listen`, whose frame is below this one.
    unsafe { told.cast::<bool>().write(!socket.is_null()) };
}

extern "C" fn echo(
    socket: *mut WebSocket,
    message: *const c_char,
    length: usize,
    opcode: Opcode,
    _: *mut c_void,
) {
    // SAFETY: the library calls this on its own thread with a live connection and message, and
    // copies what it does not send at once.
    unsafe { capi::uws_ws_send(PLAIN, socket, message, length, opcode) };
}

extern "C" fn subscribe(socket: *mut WebSocket, _: *mut c_void) {
    // SAFETY: the library calls this on its own thread with a live connection; the topic is static.
    unsafe { capi::uws_ws_subscribe(PLAIN, socket, TOPIC.as_ptr().cast(), TOPIC.len()) };
}

/// By the app, not by the connection, whose own `publish` would leave out the sender.
extern "C" fn publish(
    _: *mut WebSocket,
    message: *const c_char,
    length: usize,
    opcode: Opcode,
    app: *mut c_void,
) {
    // SAFETY: the user data is the app, see `main`; the message lives during the call and is copied.
    unsafe {
        let (topic, topic_length) = (TOPIC.as_ptr().cast(), TOPIC.len());
        capi::uws_publish(PLAIN, app.cast(), topic, topic_length, message, length, opcode, false);
    }
}
