//! What this program needs of uWebSockets' C API, as `capi/libuwebsockets.h` of its sources has it.
//! Not the whole of it, and nothing safe: `main` says why each call is right.

use std::ffi::{c_char, c_int, c_uint, c_ushort, c_void};

/// No TLS: the first argument of most calls.
pub const PLAIN: c_int = 0;

/// `uws_app_t`.
#[repr(C)]
pub struct App {
    _opaque: [u8; 0],
}

/// `uws_websocket_t`.
#[repr(C)]
pub struct WebSocket {
    _opaque: [u8; 0],
}

/// `us_socket_context_options_t`: certificates, of which a plain server has none.
#[repr(C)]
pub struct ContextOptions {
    /// Key, certificate, passphrase, Diffie-Hellman parameters, authorities, ciphers.
    pub files: [*const c_char; 6],
    /// `ssl_prefer_low_memory_usage`.
    pub prefer_low_memory: c_int,
}

/// `uws_app_listen_config_t`.
#[repr(C)]
pub struct ListenConfig {
    /// TCP port.
    pub port: c_int,
    /// Address to bind, zero-terminated.
    pub host: *const c_char,
    /// `LIBUS_LISTEN_*`.
    pub options: c_int,
}

/// `uws_opcode_t`; handed on as it comes.
pub type Opcode = c_uint;

/// `uws_listen_handler`; the socket is null when the port can't be had.
pub type OnListen =
    extern "C" fn(socket: *mut c_void, config: ListenConfig, user_data: *mut c_void);

/// `uws_websocket_handler`.
pub type OnSocket = extern "C" fn(socket: *mut WebSocket, user_data: *mut c_void);

/// `uws_websocket_message_handler`.
pub type OnMessage = extern "C" fn(
    socket: *mut WebSocket,
    message: *const c_char,
    length: usize,
    opcode: Opcode,
    user_data: *mut c_void,
);

/// A handler of `uws_socket_behavior_t` that this program never sets.
pub type Unset = Option<extern "C" fn()>;

/// `uws_socket_behavior_t`.
#[repr(C)]
pub struct Behavior {
    /// 0 is `DISABLED`.
    pub compression: c_uint,
    /// Bytes of the largest message.
    pub max_payload_length: c_uint,
    /// Seconds of silence after which a peer is hung up on; pings come before.
    pub idle_timeout: c_ushort,
    /// Bytes unsent above which messages are dropped.
    pub max_backpressure: c_uint,
    /// Whether to hang up instead.
    pub close_on_backpressure_limit: bool,
    /// Whether sending counts as life.
    pub reset_idle_timeout_on_send: bool,
    /// Whether it pings by itself.
    pub send_pings_automatically: bool,
    /// Minutes that a connection may last; 0 for ever.
    pub max_lifetime: c_ushort,
    /// Left to the library.
    pub upgrade: Unset,
    /// A connection has opened.
    pub open: Option<OnSocket>,
    /// A whole message has come.
    pub message: Option<OnMessage>,
    /// Left to the library.
    pub drain: Unset,
    /// Left to the library.
    pub ping: Unset,
    /// Left to the library.
    pub pong: Unset,
    /// Left to the library.
    pub close: Unset,
    /// Left to the library.
    pub subscription: Unset,
}

unsafe extern "C" {
    /// A server on the calling thread's own event loop.
    pub fn uws_create_app(ssl: c_int, options: ContextOptions) -> *mut App;
    /// Serves WebSockets at `pattern`; `behavior` is copied.
    pub fn uws_ws(
        ssl: c_int,
        app: *mut App,
        pattern: *const c_char,
        behavior: Behavior,
        user_data: *mut c_void,
    );
    /// Binds and listens; calls `handler` before it returns.
    pub fn uws_app_listen_with_config(
        ssl: c_int,
        app: *mut App,
        config: ListenConfig,
        handler: OnListen,
        user_data: *mut c_void,
    );
    /// Runs the calling thread's event loop.
    pub fn uws_app_run(ssl: c_int, app: *mut App);
    /// Sends or buffers a message; `message` is copied where it is kept.
    pub fn uws_ws_send(
        ssl: c_int,
        socket: *mut WebSocket,
        message: *const c_char,
        length: usize,
        opcode: Opcode,
    ) -> c_int;
    /// Subscribes a connection to a topic, which is copied.
    pub fn uws_ws_subscribe(
        ssl: c_int,
        socket: *mut WebSocket,
        topic: *const c_char,
        length: usize,
    ) -> bool;
    /// Sends a message to all subscribers of a topic.
    pub fn uws_publish(
        ssl: c_int,
        app: *mut App,
        topic: *const c_char,
        topic_length: usize,
        message: *const c_char,
        message_length: usize,
        opcode: Opcode,
        compress: bool,
    ) -> bool;
}
