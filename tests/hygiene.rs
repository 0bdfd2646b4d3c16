//! What is told to nobody: secrets, by log, metrics, errors and the process list at their most
//! talkative; and the server's version, by any answer's header.

mod harness;

use harness::token::{Signer, in_seconds, jwk_set, write_private};
use harness::{RawClient, Server, admin_answer, frame, request, run_to_end, scratch_path};
use serde_json::json;

/// Letters that occur nowhere else.
fn secret(what: &str) -> String {
    let noise: String = (0..24).map(|_| fastrand::alphanumeric()).collect();
    format!("{what}-{noise}")
}

#[test]
fn no_secret_of_either_side_is_told_by_log_metrics_or_process_list() {
    let signer = Signer::secret();
    let Signer::Secret(key) = &signer else { panic!("it has a secret") };
    let key = String::from_utf8(key.clone()).expect("it is of letters");
    let admin = secret("admin");
    let admin_file = write_private(&scratch_path("token"), admin.as_bytes());
    let flags = ["--auth", "jwt", "--jwt-secret-file", &signer.secret_file()];
    let talkative = ["--log-level", "trace", "--admin-token-file", &admin_file];
    let server = Server::start(&[&flags[..], &talkative].concat());

    let said = ["cookie", "password", "query", "said", "pinged", "reason", "guess", "published"];
    let said = said.map(secret);
    let [cookie, password, query, message, ping, reason, guess, published] = &said;
    let good = signer.sign(&json!({"exp": in_seconds(600), "sub": secret("sub")}));
    let bad = Signer::secret().sign(&json!({"exp": in_seconds(600), "sub": secret("sub")}));
    let cookies = format!("Cookie: session={cookie}");
    let basic = format!("Proxy-Authorization: Basic {password}");
    for token in [&good, &bad] {
        let protocol = format!("Sec-WebSocket-Protocol: bearer.{token}, chat");
        let header = format!("Authorization: Bearer {token}");
        for (target, line) in [
            (format!("/echo?a={query}"), header.as_str()),
            (format!("/echo?a={query}"), &protocol),
            (format!("/echo?token={token}&a={query}"), "X: y"),
            (format!("/nowhere?token={token}"), &header),
        ] {
            let mut peer = RawClient::connect(&server);
            peer.send(request(&target, &[line, &cookies, &basic]).as_bytes());
            if peer.response().status == 101 {
                peer.send(&frame::text(message));
                // In fragments it takes another way through the server.
                peer.send(&frame::frame(0x01, message.as_bytes()));
                peer.send(&frame::frame(0x80, message.as_bytes()));
                peer.send(&frame::frame(frame::PING, ping.as_bytes()));
                peer.send(&frame::close(4000, reason));
                peer.drain(harness::PATIENCE);
            }
        }
    }
    for token in [&admin, guess] {
        let length = published.len();
        let fields = format!(
            "Authorization: Bearer {token}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n"
        );
        let target = "/publish?path=/broadcast";
        let (status, _) = server.admin_request("POST", target, &format!("{fields}\r\n{published}"));
        assert_eq!(status, if token == &admin { 200 } else { 401 });
    }
    server.signal("HUP");
    server.wait_for_log("nothing has changed");
    let admits = format!("Authorization: Bearer {admin}\r\n");
    let (_, metrics) = server.admin_request("GET", "/metrics", &admits);
    let refused = "ws_connections_refused_total{reason=\"token_refused\"} 3";
    assert!(metrics.contains(refused), "{metrics}");

    let process = format!("/proc/{}", server.pid());
    let list = std::fs::read(format!("{process}/cmdline")).expect("it runs");
    let told = [server.log().join("\n"), metrics, String::from_utf8_lossy(&list).into_owned()];
    assert!(told[0].contains("closed peer="), "the log says what ended: {}", told[0]);
    let tokens = [&good, &bad].map(|token| token.rsplit('.').next().expect("three parts"));
    for told in &told {
        for kept in said.iter().chain([&admin, &key]).map(String::as_str).chain(tokens) {
            assert!(!told.contains(kept), "{kept} is told: {told}");
        }
    }
}

/// What is wrong with a file of secrets is said without a word of what is in it.
#[test]
fn what_is_wrong_with_a_secret_is_said_without_it() {
    let kept = secret("kept");
    let file = |content: &str| write_private(&scratch_path("key"), content.as_bytes());
    let pair = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(["a.test".to_owned()]).expect("a name");
    let certificate = file(&params.self_signed(&pair).expect("a certificate").pem());
    let stranger = file(&rcgen::KeyPair::generate().expect("a key").serialize_pem());
    let key = pair.serialize_pem();
    let (short, cut, pem) = (file(&kept[..28]), file(&key[..key.len() / 2]), file(&key));
    let set = jwk_set(&[format!("{{\"kty\":\"oct\",\"k\":\"{kept}\"}}")]);
    let broken = file(&format!("{{\"keys\":[{kept}"));
    let set = file(&set.replace('}', ""));
    let spaced = file(&format!("{kept} {kept}"));
    let tls = format!("--tls-cert={certificate}");
    let key_line = key.lines().nth(1).expect("a line of base64");
    for args in [
        ["--auth=jwt", "--jwt-secret-file", &short],
        ["--auth=jwt", "--jwt-public-key-file", &pem],
        ["--auth=jwt", "--jwt-public-key-file", &short],
        ["--auth=jwt", "--jwt-jwks-file", &broken],
        ["--auth=jwt", "--jwt-jwks-file", &set],
        ["--admin=off", "--admin-token-file", &spaced],
        [&tls, "--tls-key", &cut],
        [&tls, "--tls-key", &short],
        [&tls, "--tls-key", &stranger],
        // There is no such flag, and what someone wrote behind it is a secret all the same.
        ["--admin=off", "--jwt-secret", &kept],
    ] {
        let (code, out, err) = run_to_end(args);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}");
        assert!(err.lines().count() >= 1, "{args:?}");
        for part in [&kept[..28], key_line] {
            assert!(!err.contains(part), "{args:?}: {err}");
        }
    }
}

#[test]
fn no_header_of_either_port_says_what_answers_or_its_version() {
    let flags = ["--max-message-size", "1KiB", "--require-origin", "--handshake-timeout", "300ms"];
    let server = Server::start(&flags);
    let mut heads: Vec<String> = Vec::new();
    for (expected, asked) in [
        (101, request("/echo", &["Origin: http://test"])),
        (200, "GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        (400, "nonsense\r\n\r\n".to_owned()),
        (403, request("/echo", &[])),
        (404, request("/nowhere", &[])),
        (405, "POST / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        (408, "GET / HTTP/1.1\r\n".to_owned()),
        (426, "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        (431, request("/echo", &[&format!("X: {}", "x".repeat(9000))])),
    ] {
        let mut peer = RawClient::connect(&server);
        peer.send(asked.as_bytes());
        let response = peer.response();
        assert_eq!(response.status, expected, "{asked}");
        assert!(!response.body.contains(env!("CARGO_PKG_VERSION")), "{}", response.body);
        heads.push(response.head);
    }
    for asked in ["GET /metrics", "GET /healthz", "GET /readyz", "GET /x", "PUT /publish", "?"] {
        let asked = format!("{asked} HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = admin_answer(server.admin(), &asked);
        heads.push(answer.split_once("\r\n\r\n").expect("a head and a body").0.to_owned());
    }
    assert!(heads.len() > 14);
    for head in heads {
        let (status_line, fields) = head.split_once("\r\n").expect("a line and fields");
        assert!(status_line.starts_with("HTTP/1.1 "), "{head}");
        for field in fields.lines() {
            let name = field.split(':').next().unwrap_or_default().to_ascii_lowercase();
            assert!(!["server", "x-powered-by", "via"].contains(&&*name), "{field}");
            assert!(!field.contains(env!("CARGO_PKG_VERSION")), "{field}");
            let is_of_realm = name == "www-authenticate";
            assert!(is_of_realm || !field.to_lowercase().contains("pulsewheel"), "{field}");
        }
    }
}
