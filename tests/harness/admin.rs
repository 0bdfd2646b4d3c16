//! One request to an admin port, whoever's it is.
//! Not for judging the answer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;

/// All that is answered to these bytes.
pub fn answer(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the admin port listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    stream.write_all(request.as_bytes()).expect("the admin port reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the admin port answers");
    answer
}

/// The status and the body of the answer. `more` is further header lines, and a body behind an
/// empty line if there is one.
pub fn ask(address: SocketAddr, method: &str, target: &str, more: &str) -> (u16, String) {
    let end = if more.contains("\r\n\r\n") { "" } else { "\r\n" };
    let head = format!("{method} {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{more}{end}");
    let answer = answer(address, &head);
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    (status.expect("an answer has a status"), body.to_owned())
}
