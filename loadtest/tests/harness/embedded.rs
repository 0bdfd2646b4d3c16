//! The pulsewheel server in this process, with its admin port.
//! Not how it is operated; the server's own tests do that.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pulsewheel::Server;
use pulsewheel::config::{Config, ListenAddress};
use pulsewheel::handler::{Broadcast, Echo};
use pulsewheel::server::Drainer;

/// A server with an echo at `/echo` and a broadcast at `/broadcast`; drained when dropped.
pub struct Embedded {
    /// Where it serves.
    pub address: SocketAddr,
    admin: SocketAddr,
    drainer: Drainer,
    thread: Option<JoinHandle<()>>,
}

impl Embedded {
    /// Starts it with pings after so long a silence.
    pub fn start(ping_interval: Option<Duration>) -> Embedded {
        let any_port: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let mut config = Config { admin: Some(any_port), reactors: 2, ..Config::default() };
        config.driver = super::driver::settings();
        config.limits.ping_interval = ping_interval;
        // Nobody is to be taken for dead because the machine is busy.
        config.limits.pong_timeout = None;
        config.drain.window = Duration::ZERO;
        let server = Server::builder().config(config).listen([any_port]);
        let server = server.route("/echo", Echo).route("/broadcast", Broadcast);
        let running = server.start().expect("the server starts");
        let Some(ListenAddress::Tcp(address)) = running.addresses().first().cloned() else {
            panic!("the server listens on TCP");
        };
        let admin = running.admin_address().expect("the admin port is on");
        let drainer = running.drainer();
        let thread = std::thread::spawn(move || {
            running.run().expect("the server ends well");
        });
        Embedded { address, admin, drainer, thread: Some(thread) }
    }

    /// A sample of /metrics, by its name with its labels.
    pub fn metric(&self, sample: &str) -> u64 {
        let text = self.metrics();
        let value = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        value.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("no {sample}"))
    }

    /// What has ended, by reason, without those reasons that did not occur.
    pub fn closed(&self) -> Vec<(String, u64)> {
        let text = self.metrics();
        let samples = text.lines().filter_map(|line| {
            let rest = line.strip_prefix("ws_connections_closed_total{reason=\"")?;
            let (reason, value) = rest.split_once("\"} ")?;
            Some((reason.to_owned(), value.trim().parse::<u64>().ok()?))
        });
        samples.filter(|(_, count)| *count > 0).collect()
    }

    /// Waits until every connection has been taken off the server's books: the last of them end a
    /// moment after the generator has.
    pub fn wait_until_empty(&self) {
        let begun = Instant::now();
        while self.metric("ws_slots_used") > 0 {
            assert!(begun.elapsed() < Duration::from_secs(20), "connections are left");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn metrics(&self) -> String {
        let mut stream = TcpStream::connect(self.admin).expect("the admin port listens");
        let request = b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        stream.write_all(request).expect("the admin port reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the admin port answers");
        answer
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.drainer.drain();
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(matches!(ended, Some(Ok(()))), "the server ends well");
        }
    }
}
