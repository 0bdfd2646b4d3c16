//! A server inside this process, for handlers that only a library's user can write.
//! Not for what the binary does; its tests start a process.

use std::net::{SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use pulsewheel::config::{Config, ListenAddress};
use pulsewheel::server::{Drainer, Ended};
use pulsewheel::{Publisher, Server};

use super::{Metrics, PATIENCE, RawClient, admin, driver};

/// A server that runs on threads of this process, and is drained when dropped.
pub struct Embedded {
    address: SocketAddr,
    admin: SocketAddr,
    publisher: Publisher,
    drainer: Drainer,
    thread: Option<JoinHandle<()>>,
}

impl Embedded {
    /// Two reactors on ports of the kernel's choice, without pings and without waiting in a drain.
    pub fn config() -> Config {
        let any_port = "127.0.0.1:0".parse().expect("it is an address");
        let mut config = Config {
            listen: vec![ListenAddress::Tcp(any_port)],
            admin: Some(any_port),
            reactors: 2,
            driver: driver::settings(),
            ..Config::default()
        };
        config.limits.ping_interval = None;
        config.drain.window = Duration::ZERO;
        config.limits.close_timeout = Duration::from_secs(1);
        config
    }

    /// Runs a server that has its routes and, as a rule, [`config`](Self::config).
    pub fn run(server: Server) -> Self {
        let running = server.start().expect("the server starts");
        let Some(ListenAddress::Tcp(address)) = running.addresses().first().cloned() else {
            panic!("the server listens on TCP");
        };
        let admin = running.admin_address().expect("the admin port is on");
        let (publisher, drainer) = (running.publisher(), running.drainer());
        let thread = std::thread::spawn(move || {
            assert_eq!(running.run().expect("the server runs"), Ended::Drained);
        });
        Embedded { address, admin, publisher, drainer, thread: Some(thread) }
    }

    /// An upgraded connection.
    pub fn open(&self, path: &str) -> RawClient {
        self.connect().upgraded(path)
    }

    /// A connection on which nothing was sent.
    pub fn connect(&self) -> RawClient {
        RawClient::try_connect(self.address).expect("the server listens")
    }

    /// What publishes from threads of the application.
    pub fn publisher(&self) -> Publisher {
        self.publisher.clone()
    }

    /// The status and the body of what the admin port answers to a GET.
    pub fn ask(&self, target: &str) -> (u16, String) {
        admin::ask(self.admin, "GET", target, "")
    }

    /// The metrics now.
    pub fn metrics(&self) -> Metrics {
        let (status, body) = self.ask("/metrics");
        assert_eq!(status, 200, "{body}");
        Metrics::new(body)
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
