//! Every kind of zombie against the pulsewheel server itself, with short deadlines, in one process
//! whose descriptors are the server's alone.
//! Not a measurement: the default deadlines and large crowds are for the binary.

mod harness;
mod zombie_server;

use std::time::Duration;

use pulsewheel::Server;
use pulsewheel::config::{Config, ListenAddress};
use pulsewheel::handler::Echo;

use zombie_server::{assert_noticed, report, run};

fn config() -> Config {
    let mut config = Config { admin: None, reactors: 2, ..Config::default() };
    config.driver = harness::driver::settings();
    config.limits.handshake_timeout = Duration::from_millis(800);
    config.limits.ping_interval = Some(Duration::from_millis(600));
    config.limits.pong_timeout = Some(Duration::from_millis(400));
    config.limits.message_timeout = Duration::from_millis(900);
    config.limits.write_timeout = Duration::from_millis(700);
    config.drain.window = Duration::ZERO;
    config
}

#[test]
fn pulsewheel_notices_each_kind_in_time() {
    let any_port = "127.0.0.1:0".parse().expect("an address");
    let server = Server::builder().config(config()).listen([any_port]).route("/echo", Echo);
    let running = server.start().expect("the server starts");
    let Some(ListenAddress::Tcp(address)) = running.addresses().first().cloned() else {
        panic!("the server listens on TCP");
    };
    let drainer = running.drainer();
    let serving = std::thread::spawn(move || running.run());

    let own = std::process::id();
    let claims = "--handshake-timeout 800ms --ping-interval 600ms --pong-timeout 400ms \
                  --message-timeout 900ms --write-timeout 700ms --grace 10s --drip 50ms";
    let output = run(address, &format!("-c 4 --zombies 30 --server-pid {own} {claims}"));
    let told = report(&output);
    for (kind, sign) in [
        ("silent-handshake", "http 408"),
        ("drip-handshake", "http 408"),
        ("no-pong", "reset"),
        ("vanish", "reset"),
        ("stop-reading", "reset"),
        ("half-close", "fin"),
        ("garbage", "close 1002"),
        ("huge-length", "close 1009"),
        ("endless-fragments", "close 1008"),
        ("reset", "descriptor closed"),
    ] {
        assert_noticed(&told, kind, 3, sign);
    }
    assert_eq!(told["errors"]["total"], 0, "{told}");
    assert_eq!(output.status.code(), Some(0));

    drainer.drain();
    serving.join().expect("no panic").expect("the server ends well");
}
