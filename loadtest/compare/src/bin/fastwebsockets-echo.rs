//! A peer: echo on `/echo` and broadcast on `/broadcast` with fastwebsockets, upgraded by hyper.
//! Not tuned, except that the socket is taken back from hyper, which costs a dynamic call otherwise.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use clap::Parser;
use fastwebsockets::upgrade::{self, UpgradeFut};
use fastwebsockets::{
    FragmentCollector, FragmentCollectorRead, Frame, OpCode, Payload, Role, WebSocket,
    WebSocketError, WebSocketRead, WebSocketWrite, after_handshake_split,
};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use pulsewheel_compare::{listen, raise_descriptor_limit};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, broadcast};

/// Messages that a slow subscriber may lag behind before it misses some.
const BROADCAST_CAPACITY: usize = 1024;

type Published = (OpCode, Bytes);
type Writer = Mutex<WebSocketWrite<OwnedWriteHalf>>;

#[derive(Parser)]
struct Flags {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:9105")]
    listen: SocketAddr,
    /// Worker threads; one runs tokio's single-threaded runtime
    #[arg(long, default_value_t = 1)]
    threads: usize,
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
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                stream.set_nodelay(true)?;
                tokio::spawn(handshake(stream, messages.clone()));
            }
            Err(error) => eprintln!("accept: {error}"),
        }
    }
}

async fn handshake(stream: TcpStream, messages: broadcast::Sender<Published>) {
    let service = service_fn(move |request| answer(request, messages.clone()));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // How a peer leaves is of no interest here.
    let _ = connection.with_upgrades().await;
}

async fn answer(
    mut request: Request<Incoming>,
    messages: broadcast::Sender<Published>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let broadcasts = request.uri().path() == "/broadcast";
    let Ok((response, upgraded)) = upgrade::upgrade(&mut request) else {
        let mut refusal = Response::new(Empty::new());
        *refusal.status_mut() = StatusCode::BAD_REQUEST;
        return Ok(refusal);
    };
    tokio::spawn(async move {
        if broadcasts {
            subscriber(upgraded, messages).await
        } else {
            // The library's example lets an echo run on without yielding to the runtime's budget.
            tokio::task::unconstrained(echo(upgraded)).await
        }
    });
    Ok(response)
}

/// The socket itself, from under what hyper wraps it in.
async fn socket(upgraded: UpgradeFut) -> Result<TcpStream, WebSocketError> {
    let upgraded = upgraded.await?.into_inner().into_inner();
    match upgraded.downcast::<TokioIo<TcpStream>>() {
        // No client speaks before it has read the response; one that does is not served.
        Ok(parts) if parts.read_buf.is_empty() => Ok(parts.io.into_inner()),
        _ => Err(WebSocketError::ConnectionClosed),
    }
}

async fn echo(upgraded: UpgradeFut) -> Result<(), WebSocketError> {
    let stream = socket(upgraded).await?;
    let mut socket = FragmentCollector::new(WebSocket::after_handshake(stream, Role::Server));
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            _ => {}
        }
    }
}

async fn subscriber(
    upgraded: UpgradeFut,
    messages: broadcast::Sender<Published>,
) -> Result<(), WebSocketError> {
    let (reading, writing) = socket(upgraded).await?.into_split();
    let (reader, writer) = after_handshake_split(reading, writing, Role::Server);
    let writer = Mutex::new(writer);
    let subscription = messages.subscribe();
    // Reading may not be cancelled in the middle of a frame, so that both go on until either ends.
    tokio::select! {
        end = publish(reader, &writer, messages) => end,
        end = deliver(subscription, &writer) => end,
    }
}

async fn publish(
    reader: WebSocketRead<OwnedReadHalf>,
    writer: &Writer,
    messages: broadcast::Sender<Published>,
) -> Result<(), WebSocketError> {
    let mut reader = FragmentCollectorRead::new(reader);
    loop {
        let mut answer = async |frame: Frame<'static>| writer.lock().await.write_frame(frame).await;
        let frame = reader.read_frame(&mut answer).await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => {
                let payload = Bytes::copy_from_slice(&frame.payload);
                // There is always a receiver: this connection.
                let _ = messages.send((frame.opcode, payload));
            }
            _ => {}
        }
    }
}

async fn deliver(
    mut subscription: broadcast::Receiver<Published>,
    writer: &Writer,
) -> Result<(), WebSocketError> {
    loop {
        match subscription.recv().await {
            Ok((opcode, payload)) => {
                let frame = Frame::new(true, opcode, None, Payload::Borrowed(&payload));
                writer.lock().await.write_frame(frame).await?;
            }
            Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return Ok(()),
        }
    }
}
