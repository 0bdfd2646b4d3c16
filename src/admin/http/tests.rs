//! The admin port over real sockets on free loopback ports, with a service of the test's own.

use super::*;
use crate::admin::{Health, PublishOutcome, Ready};
use std::sync::Mutex;

/// Times that a test can wait out.
const BRIEF: Times = Times {
    request: Duration::from_millis(300),
    answer: Duration::from_millis(300),
    linger: Duration::from_millis(300),
    stop: Duration::from_millis(100),
};

struct Fake {
    ready: Ready,
    health: Health,
    outcome: PublishOutcome,
    metrics: String,
    published: Mutex<Vec<(String, bool, Vec<u8>)>>,
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            ready: Ready::Ok,
            health: Health::Ok,
            outcome: PublishOutcome::Queued(3),
            metrics: "# EOF\n".to_owned(),
            published: Mutex::default(),
        }
    }
}

impl AdminService for Fake {
    fn metrics(&self) -> String {
        assert!(self.metrics != "panic", "asked for");
        self.metrics.clone()
    }
    fn health(&self) -> Health {
        self.health
    }
    fn ready(&self) -> Ready {
        self.ready
    }
    fn publish(&self, path: &str, text: bool, body: &[u8]) -> PublishOutcome {
        self.published.lock().unwrap().push((path.to_owned(), text, body.to_vec()));
        self.outcome
    }
    fn max_publish_size(&self) -> usize {
        1024
    }
    fn name(&self) -> String {
        "4711".to_owned()
    }
}

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

fn serve(fake: Fake) -> (AdminServer, Arc<Fake>) {
    let fake = Arc::new(fake);
    (start(listener(), None, fake.clone()).unwrap(), fake)
}

fn connect(server: &AdminServer) -> TcpStream {
    let stream = TcpStream::connect(server.local_addr()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

fn rest(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn ask(server: &AdminServer, request: &str) -> String {
    let mut stream = connect(server);
    stream.write_all(request.as_bytes()).unwrap();
    rest(stream)
}

fn status(answer: &str) -> &str {
    answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).unwrap_or("none")
}

fn get(server: &AdminServer, path: &str) -> String {
    ask(server, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
}

fn post(server: &AdminServer, query: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    ask(
        server,
        &format!("POST /publish{query} HTTP/1.1\r\nContent-Length: {length}\r\n{fields}\r\n{body}"),
    )
}

#[test]
fn each_path_answers_and_each_answer_names_its_process() {
    let (server, _) = serve(Fake::default());
    let metrics = get(&server, "/metrics");
    assert_eq!(status(&metrics), "200");
    assert!(metrics.contains("\r\nContent-Type: application/openmetrics-text"), "{metrics}");
    assert!(metrics.ends_with("\r\n\r\n# EOF\n"), "{metrics}");
    for path in ["/healthz", "/readyz?verbose"] {
        let answer = get(&server, path);
        assert_eq!(status(&answer), "200", "{path}");
        let body = format!("{{\"status\":\"ok\",\"pid\":{}}}\n", std::process::id());
        assert!(answer.ends_with(&body), "{answer}");
    }
    for path in ["/metrics", "/healthz", "/", "/publish"] {
        assert!(get(&server, path).contains("\r\nServer-Process: 4711\r\n"), "{path}");
    }
    server.stop();
}

#[test]
fn unknown_paths_and_methods_say_what_there_is() {
    let (server, _) = serve(Fake::default());
    let unknown = get(&server, "/secret");
    assert_eq!(status(&unknown), "404");
    assert!(unknown.contains("/metrics") && unknown.contains("/publish"), "{unknown}");
    let wrong = ask(&server, "DELETE /metrics HTTP/1.1\r\n\r\n");
    assert_eq!(status(&wrong), "405");
    assert!(wrong.contains("\r\nAllow: GET, HEAD\r\n"), "{wrong}");
    let wrong = get(&server, "/publish");
    assert_eq!(status(&wrong), "405");
    assert!(wrong.contains("\r\nAllow: POST\r\n"), "{wrong}");
    let head = ask(&server, "HEAD /metrics HTTP/1.1\r\n\r\n");
    assert!(head.contains("\r\nContent-Length: 6\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    assert_eq!(status(&ask(&server, "\r\n\0\r\n\r\n")), "400");
}

#[test]
fn health_and_readiness_are_503_when_they_should_be() {
    let stuck = Health::Stuck { reactor: 2, for_millis: 1000 };
    let (server, _) = serve(Fake { health: stuck, ..Fake::default() });
    for path in ["/healthz", "/readyz"] {
        let answer = get(&server, path);
        assert_eq!(status(&answer), "503", "{path}");
        assert!(answer.contains("\"status\":\"stuck\""), "{answer}");
        assert!(answer.contains("\"reactor\":2,\"for_millis\":1000"), "{answer}");
    }
    for (ready, word) in [(Ready::Draining, "draining"), (Ready::Full, "full")] {
        let (server, _) = serve(Fake { ready, ..Fake::default() });
        let answer = get(&server, "/readyz");
        assert_eq!(status(&answer), "503");
        assert!(answer.contains(&format!("\"status\":\"{word}\"")), "{answer}");
        assert_eq!(status(&get(&server, "/healthz")), "200");
    }
}

#[test]
fn a_request_may_arrive_a_byte_at_a_time() {
    let (server, fake) = serve(Fake::default());
    let mut stream = connect(&server);
    stream.set_nodelay(true).unwrap();
    let request = "POST /publish?path=/b HTTP/1.1\r\ncontent-type: text/x\r\n\
                   content-length: 2\r\n\r\nhi";
    for byte in request.bytes() {
        stream.write_all(&[byte]).unwrap();
    }
    assert!(rest(stream).contains("\"queued\":3"));
    assert_eq!(*fake.published.lock().unwrap(), [("/b".to_owned(), true, b"hi".to_vec())]);
}

#[test]
fn bodies_are_published_as_text_or_binary_by_their_media_type() {
    let (server, fake) = serve(Fake::default());
    let json = post(&server, "?path=%2Fa%20b", "Content-Type: application/JSON\r\n", "{}");
    assert_eq!(status(&json), "200");
    assert!(json.contains("\"queued\":3}"), "{json}");
    let binary = post(&server, "?path=/b", "Content-Type: application/octet-stream\r\n", "");
    assert_eq!(status(&binary), "200");
    assert_eq!(status(&post(&server, "?path=/b", "Content-Type: image/png\r\n", "x")), "415");
    assert_eq!(status(&post(&server, "?path=/b", "", "x")), "415");
    let published = fake.published.lock().unwrap();
    assert_eq!(
        *published,
        [("/a b".to_owned(), true, b"{}".to_vec()), ("/b".to_owned(), false, Vec::new())]
    );
}

#[test]
fn what_cannot_be_published_is_refused_before_it_reaches_the_service() {
    let (server, fake) = serve(Fake::default());
    let text = "Content-Type: text/plain\r\n";
    assert_eq!(status(&post(&server, "", text, "x")), "400");
    assert_eq!(status(&post(&server, "?path=%zz", text, "x")), "400");
    assert_eq!(status(&post(&server, "?path=/b", text, &"x".repeat(1025))), "413");
    let from_page = format!("{text}Origin: https://example.org\r\n");
    assert_eq!(status(&post(&server, "?path=/b", &from_page, "x")), "403");
    let head = "POST /publish?path=/b HTTP/1.1\r\nContent-Type: text/plain\r\n";
    assert_eq!(status(&ask(&server, &format!("{head}\r\n"))), "411");
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n");
    assert_eq!(status(&ask(&server, &chunked)), "411");
    assert!(fake.published.lock().unwrap().is_empty());
}

#[test]
fn each_outcome_of_publishing_has_its_status() {
    for (outcome, expected) in [
        (PublishOutcome::Queued(0), "200"),
        (PublishOutcome::UnknownPath, "404"),
        (PublishOutcome::InvalidUtf8, "400"),
        (PublishOutcome::TooBig, "413"),
        (PublishOutcome::Timeout, "504"),
        (PublishOutcome::Full, "503"),
    ] {
        let (server, _) = serve(Fake { outcome, ..Fake::default() });
        let answer = post(&server, "?path=/b", "Content-Type: text/plain\r\n", "x");
        assert_eq!(status(&answer), expected, "{outcome:?}");
    }
}

#[test]
fn with_a_token_every_path_asks_for_it() {
    let token = AdminToken::new(b"s3cret").ok();
    let server = start(listener(), token, Arc::new(Fake::default())).unwrap();
    for path in ["/metrics", "/healthz", "/nowhere"] {
        let answer = get(&server, path);
        assert_eq!(status(&answer), "401", "{path}");
        assert!(answer.contains("\r\nWWW-Authenticate: Bearer"), "{answer}");
    }
    for (credential, expected) in
        [("Bearer s3cret", "200"), ("bearer s3cret", "200"), ("Bearer s3cre", "401")]
    {
        let request = format!("GET /metrics HTTP/1.1\r\nAuthorization: {credential}\r\n\r\n");
        assert_eq!(status(&ask(&server, &request)), expected, "{credential}");
    }
    // The token says more about the sender than an Origin does.
    let fields = "Authorization: Bearer s3cret\r\nOrigin: http://x\r\nContent-Type: text/x\r\n";
    assert_eq!(status(&post(&server, "?path=/b", fields, "x")), "200");
}

#[test]
fn a_body_that_waits_for_permission_gets_it_only_when_it_is_wanted() {
    let (server, _) = serve(Fake::default());
    let head = "POST /publish?path=/b HTTP/1.1\r\nContent-Type: text/x\r\nExpect: 100-continue\r\n";
    let mut stream = connect(&server);
    stream.write_all(format!("{head}Content-Length: 1\r\n\r\n").as_bytes()).unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"x").unwrap();
    assert_eq!(status(&rest(stream)), "200");
    assert_eq!(status(&ask(&server, &format!("{head}Content-Length: 9999\r\n\r\n"))), "413");
}

#[test]
fn a_refusal_reaches_a_peer_that_is_still_sending() {
    let (server, _) = serve(Fake::default());
    let mut stream = connect(&server);
    let head = "POST /publish?path=/b HTTP/1.1\r\nContent-Type: text/x\r\n";
    let length = 4 << 20;
    stream.write_all(format!("{head}Content-Length: {length}\r\n\r\n").as_bytes()).unwrap();
    stream.write_all(&vec![b'x'; length]).unwrap();
    assert_eq!(status(&rest(stream)), "413");
}

#[test]
fn the_seventeenth_connection_is_turned_away_and_the_next_one_served_when_one_ends() {
    let (server, _) = serve(Fake::default());
    let mut open: Vec<_> = (0..MAX_OPEN).map(|_| connect(&server)).collect();
    let late = get(&server, "/healthz");
    assert_eq!(status(&late), "503");
    assert!(late.contains("\r\nServer-Process: 4711\r\n"), "{late}");
    let mut first = open.remove(0);
    first.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(status(&rest(first)), "200");
    // Its thread gives the place back a moment after its last byte.
    let begun = Instant::now();
    while status(&get(&server, "/healthz")) != "200" {
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
    drop(open);
}

#[test]
fn a_peer_that_drips_is_told_408_within_the_same_time_as_one_that_is_silent() {
    let server = start_with(listener(), None, Arc::new(Fake::default()), BRIEF).unwrap();
    let begun = Instant::now();
    let mut dripping = connect(&server);
    let silent = connect(&server);
    let mut drips = 0;
    while dripping.write_all(b"G").is_ok() && begun.elapsed() < BRIEF.request {
        drips += 1;
        thread::sleep(Duration::from_millis(20));
    }
    assert!(drips > 0, "it was not closed while it had time");
    assert_eq!(status(&rest(silent)), "408");
    assert_eq!(status(&rest(dripping)), "408");
    assert!(begun.elapsed() < BRIEF.request * 10);
}

#[test]
fn a_peer_that_does_not_read_its_answer_holds_its_place_for_a_bounded_time() {
    let huge = "x".repeat(32 << 20);
    let fake = Arc::new(Fake { metrics: huge, ..Fake::default() });
    let server = start_with(listener(), None, fake, BRIEF).unwrap();
    let mut stream = connect(&server);
    stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
    thread::sleep(BRIEF.answer * 4);
    let mut taken = Vec::new();
    // Cut short, by an end or by a reset.
    let _ = stream.read_to_end(&mut taken);
    assert!(taken.len() < 32 << 20);
}

#[test]
fn a_panic_in_the_service_is_a_500_and_the_port_lives_on() {
    let (server, _) = serve(Fake { metrics: "panic".to_owned(), ..Fake::default() });
    assert_eq!(status(&get(&server, "/metrics")), "500");
    assert_eq!(status(&get(&server, "/healthz")), "200");
}

#[test]
fn stopping_serves_what_was_queued_hurries_the_silent_and_closes_the_port() {
    let server = start_with(listener(), None, Arc::new(Fake::default()), BRIEF).unwrap();
    let address = server.local_addr();
    let silent = connect(&server);
    let mut queued: Vec<_> = (0..8).map(|_| connect(&server)).collect();
    for stream in &mut queued {
        stream.write_all(b"GET /readyz HTTP/1.1\r\n\r\n").unwrap();
    }
    let begun = Instant::now();
    server.stop();
    assert!(begun.elapsed() < Duration::from_secs(5));
    for stream in queued {
        assert_eq!(status(&rest(stream)), "200");
    }
    assert_eq!(status(&rest(silent)), "408");
    assert!(TcpStream::connect(address).is_err());
}
