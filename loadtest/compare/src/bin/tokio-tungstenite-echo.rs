//! A peer: echo on `/echo` and broadcast on `/broadcast` as people write them with tokio-tungstenite.
//! Not tuned beyond the size of the read buffer, which is what its documentation says to tune.

use std::io;
use std::net::SocketAddr;

use clap::Parser;
use futures_util::{SinkExt, StreamExt};
use pulsewheel_compare::{listen, raise_descriptor_limit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};

/// Messages that a slow subscriber may lag behind before it misses some.
const BROADCAST_CAPACITY: usize = 1024;

#[derive(Parser)]
struct Flags {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:9103")]
    listen: SocketAddr,
    /// Worker threads; one runs tokio's single-threaded runtime
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Keep the library's defaults (a read buffer of 128 KiB) instead of one of 4 KiB
    #[arg(long)]
    defaults: bool,
}

fn main() -> io::Result<()> {
    let flags = Flags::parse();
    raise_descriptor_limit()?;
    let runtime = match flags.threads {
        1 => tokio::runtime::Builder::new_current_thread().enable_io().build()?,
        threads => tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_io()
            .build()?,
    };
    runtime.block_on(serve(flags))
}

async fn serve(flags: Flags) -> io::Result<()> {
    let listener = TcpListener::from_std(listen(flags.listen)?)?;
    let (messages, _) = broadcast::channel(BROADCAST_CAPACITY);
    let mut config = WebSocketConfig::default();
    if !flags.defaults {
        config = config.read_buffer_size(4 * 1024);
    }
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                stream.set_nodelay(true)?;
                tokio::spawn(connection(stream, config, messages.clone()));
            }
            Err(error) => eprintln!("accept: {error}"),
        }
    }
}

async fn connection(
    stream: TcpStream,
    config: WebSocketConfig,
    messages: broadcast::Sender<Message>,
) {
    let mut path = String::new();
    #[allow(clippy::result_large_err, reason = "the library's callback type")]
    let callback = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        request.uri().path().clone_into(&mut path);
        Ok(response)
    };
    let accepted = accept_hdr_async_with_config(stream, callback, Some(config)).await;
    let Ok(socket) = accepted else { return };
    // How a peer leaves is of no interest here.
    let _ = match path.as_str() {
        "/broadcast" => subscriber(socket, messages).await,
        _ => echo(socket).await,
    };
}

async fn echo(mut socket: WebSocketStream<TcpStream>) -> Result<(), Error> {
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}

async fn subscriber(
    mut socket: WebSocketStream<TcpStream>,
    messages: broadcast::Sender<Message>,
) -> Result<(), Error> {
    let mut subscription = messages.subscribe();
    loop {
        tokio::select! {
            published = subscription.recv() => match published {
                Ok(message) => socket.send(message).await?,
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return Ok(()),
            },
            received = socket.next() => match received {
                Some(message) => {
                    let message = message?;
                    if message.is_text() || message.is_binary() {
                        // There is always a receiver: this connection.
                        let _ = messages.send(message);
                    }
                }
                None => return Ok(()),
            },
        }
    }
}
