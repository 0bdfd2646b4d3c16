//! A small pub/sub server with a protocol of its own, as applications have them: subscriptions are
//! asked for and answered, publications come to subscribers in an envelope.
//! Not any product's protocol.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tungstenite::{Message, WebSocket, protocol::Role};

use super::{Seen, server};

type Subscribers = Arc<Mutex<HashMap<u64, WebSocket<TcpStream>>>>;

/// Starts the server. It understands `{"op":"subscribe"}` and `{"op":"publish","data":...}`, greets
/// who comes, and lets nobody publish who has not subscribed.
pub fn start() -> (SocketAddr, Arc<Seen>) {
    let (seen, subscribers) = (Arc::new(Seen::default()), Subscribers::default());
    let counted = Arc::clone(&seen);
    let address = server(move |stream| {
        let _ = stream.set_nodelay(true);
        let Ok(second) = stream.try_clone() else { return };
        let Ok(mut socket) = tungstenite::accept(stream) else { return };
        let number = counted.opened.fetch_add(1, Ordering::SeqCst);
        let sender = WebSocket::from_raw_socket(second, Role::Server, None);
        let _ = socket.send(Message::text(r#"{"hello":"there"}"#));
        serve(&mut socket, number, sender, &subscribers, &counted);
        subscribers.lock().expect("alive").remove(&number);
    });
    (address, seen)
}

fn serve(
    socket: &mut WebSocket<TcpStream>,
    number: u64,
    sender: WebSocket<TcpStream>,
    subscribers: &Subscribers,
    seen: &Seen,
) {
    let mut sender = Some(sender);
    let mut serial = 0;
    while let Ok(message) = socket.read() {
        let Message::Text(text) = message else {
            if message.is_close() {
                subscribers.lock().expect("alive").remove(&number);
            }
            continue;
        };
        let request: Value = serde_json::from_str(&text).unwrap_or_default();
        // All sending is done under the lock, so that no two threads mix their frames.
        let mut all = subscribers.lock().expect("alive");
        match (request["op"].as_str(), sender.take()) {
            (Some("subscribe"), Some(mut own)) => {
                let _ = own.send(Message::text(r#"{"subscribed":true}"#));
                all.insert(number, own);
            }
            (Some("publish"), None) => {
                seen.messages.fetch_add(1, Ordering::SeqCst);
                serial += 1;
                let push = json!({"push": {"serial": serial, "data": request["data"]}}).to_string();
                for other in all.values_mut() {
                    let _ = other.send(Message::text(push.as_str()));
                }
            }
            _ => return,
        }
    }
}
