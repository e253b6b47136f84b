//! What must not get through the proxy, byte by byte. None of it leaves with a token for another place, and
//! none ends the process.

use std::io::Write;

use serde_json::json;

use crate::support::{Fake, Home, Proxy, Running, read, send};

struct World {
    fake: Fake,
    home: Home,
    proxy: Proxy,
}

impl World {
    fn with<const N: usize>(args: [&str; N]) -> Self {
        let (fake, home) = (Fake::new(), Home::new());
        home.log_in(&fake);
        let proxy = Proxy::with(&home, args);
        World { fake, home, proxy }
    }

    fn new() -> Self {
        World::with([])
    }

    /// What the API saw.
    fn api_requests(&self) -> u64 {
        self.fake.count("api_requests")
    }

    fn no_upload_was_taken(&self) {
        for entry in self.fake.journal() {
            let is_taken = entry["path"] == "/api/v2/uploads" && entry["status"] == json!(200);
            assert!(!is_taken, "{entry}");
        }
    }

    /// Nothing reached the API, and the proxy still works.
    fn nothing_got_through(&self) {
        assert_eq!(self.api_requests(), 0);
        assert_eq!(self.proxy.get("/api/v2/echo", &[]).status(), 200);
    }
}

#[test]
fn p4_a_foreign_host_is_refused() {
    let world = World::new();
    let port = world.proxy.address.rsplit(':').next().unwrap();
    for host in [
        "host: evil.test\r\n".to_owned(),
        format!("host: evil.test:{port}\r\n"),
        format!("host: 127.0.0.1.evil.test:{port}\r\n"),
        "host: 127.0.0.1\r\n".to_owned(),
        "host: \r\n".to_owned(),
        String::new(),
        format!("host: {0}\r\nhost: {0}\r\n", world.proxy.address),
        format!("host: {}\r\nhost: evil.test\r\n", world.proxy.address),
    ] {
        let request = format!("GET /api/v2/echo HTTP/1.1\r\n{host}connection: close\r\n\r\n");
        let status = world.proxy.raw(&request).status();
        assert!(matches!(status, 400 | 421), "{host}: {status}");
    }
    world.nothing_got_through();
}

#[test]
fn p4_requests_of_web_pages_are_refused() {
    let world = World::new();
    for line in [
        "origin: https://evil.test",
        "origin: null",
        "origin: http://localhost:3000",
        "sec-fetch-site: cross-site",
        "sec-fetch-site: same-site",
    ] {
        let refused = world.proxy.get("/api/v2/echo", &[line]);
        assert_eq!((refused.status(), refused.problem()), (403, "cross_site"), "{line}");
        let preflight = ["access-control-request-method: POST", line];
        assert_eq!(world.proxy.send("OPTIONS", "/api/v2/echo", &preflight, "").status(), 403);
    }
    world.nothing_got_through();
}

#[test]
fn p4_an_authorization_of_the_client_is_never_forwarded() {
    let world = World::new();
    for line in ["authorization: Bearer other", "Authorization:", "AUTHORIZATION: Basic eA=="] {
        let refused = world.proxy.get("/api/v2/echo", &[line]);
        assert_eq!((refused.status(), refused.problem()), (400, "authorization"), "{line}");
    }
    world.nothing_got_through();

    let world = World::with(["--client-authorization", "replace"]);
    for lines in [
        &["authorization: Bearer other"][..],
        &["authorization: Bearer other", "authorization: Bearer another"],
        &["connection: authorization", "authorization: Bearer other"],
    ] {
        // The fake server knows no other token: 200 says that it was replaced.
        assert_eq!(world.proxy.get("/api/v2/echo", lines).status(), 200, "{lines:?}");
    }
    assert_eq!(world.fake.count("authorized"), 3);
}

#[test]
fn p4_path_tricks_are_refused() {
    let world = World::new();
    for target in [
        "//evil.test/api/v2/x",
        "/api/v2//evil.test",
        "/api/v2/../../login",
        "/api/v2/%2e%2e/login",
        "/api/v2/..%2flogin",
        "/api/v2/%252e%252e/login",
        "/api/v2/..;/login",
        "/api/v2/%5c..%5clogin",
        "/api/v2\\..\\login",
        "/api/v2/x%00",
        "/api/v2/x%0d%0ahost:%20evil.test",
        "/api/v2x",
        "/",
        "*",
        "http://evil.test/api/v2/x",
        "https://goteamup.com/api/v2/x",
        "http://user:password@evil.test/api/v2/x",
        "evil.test:443",
        "api/v2/x",
        "/api/v2/auth/refresh_access_token",
    ] {
        let status = world.proxy.get(target, &[]).status();
        assert!(matches!(status, 400 | 403 | 404), "{target}: {status}");
    }
    let absolute = format!("http://{}/api/v2/echo", world.proxy.address);
    assert_eq!(world.proxy.get(&absolute, &[]).status(), 400);
    assert_eq!(world.proxy.send("CONNECT", "evil.test:443", &[], "").status(), 405);
    world.nothing_got_through();
}

#[test]
fn p5_trace_does_not_show_the_token() {
    let world = World::new();
    assert_eq!(world.proxy.send("TRACE", "/api/v2/echo", &[], "").status(), 405);
    world.nothing_got_through();
}

#[test]
fn a_smuggled_request_reaches_nobody() {
    let world = World::new();
    let host = &world.proxy.address;
    let smuggled = "GET /api/v2/echo/smuggled HTTP/1.1\r\nhost: evil.test\r\n\r\n";
    let head = format!("POST /api/v2/uploads HTTP/1.1\r\nhost: {host}\r\n");
    for request in [
        // Both lengths, in both orders.
        format!("{head}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"),
        format!(
            "{head}transfer-encoding: chunked\r\ncontent-length: {}\r\n\r\n0\r\n\r\n{smuggled}",
            5 + smuggled.len()
        ),
        // Lengths that differ, or are none.
        format!("{head}content-length: 0\r\ncontent-length: {}\r\n\r\n{smuggled}", smuggled.len()),
        format!("{head}content-length: 0, {}\r\n\r\n{smuggled}", smuggled.len()),
        format!("{head}content-length: +0\r\n\r\n{smuggled}"),
        format!("{head}content-length: -1\r\n\r\n{smuggled}"),
        // Codings that are not chunked, or not last.
        format!("{head}transfer-encoding: xchunked\r\n\r\n0\r\n\r\n{smuggled}"),
        format!("{head}transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n{smuggled}"),
        format!("{head}transfer-encoding : chunked\r\n\r\n0\r\n\r\n{smuggled}"),
        format!("{head}transfer-encoding:\u{b}chunked\r\n\r\n0\r\n\r\n{smuggled}"),
        // Chunks that are none.
        format!("{head}transfer-encoding: chunked\r\n\r\n0x0\r\n\r\n{smuggled}"),
        format!("{head}transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n\r\n{smuggled}"),
        // Folded headers, and headers with spaces.
        format!("{head}x-one: 1\r\n transfer-encoding: chunked\r\n\r\n{smuggled}"),
        format!("{head}x one: 1\r\n\r\n{smuggled}"),
        // A line that ends in a bare CR.
        format!("{head}x-one: 1\rx-two: 2\r\n\r\n{smuggled}"),
        // HTTP/1.0 knows no chunks.
        format!(
            "POST /api/v2/uploads HTTP/1.0\r\nhost: {host}\r\ntransfer-encoding: \
             chunked\r\n\r\n0\r\n\r\n{smuggled}"
        ),
    ] {
        let answer = world.proxy.raw_half_closed(&request);
        assert!(answer.status() != 0, "{request}");
    }
    let journal = world.fake.journal();
    for entry in &journal {
        assert_ne!(entry["path"], "/api/v2/echo/smuggled", "{entry}");
        let headers = entry["headers"].to_string();
        assert!(!headers.contains("evil.test") && !headers.contains("x-two"), "{entry}");
    }
    assert_eq!(world.proxy.get("/api/v2/echo", &[]).status(), 200);
}

/// RFC 9112 section 6.3 lets a server refuse such a request, or read its chunks and close the connection
/// after it. Hyper does the latter, and tells nobody that there were two lengths.
#[test]
fn a_connection_ends_after_a_request_with_two_lengths() {
    let world = World::new();
    let host = &world.proxy.address;
    let next = format!("GET /api/v2/echo/next HTTP/1.1\r\nhost: {host}\r\n\r\n");
    for lengths in [
        "content-length: 3\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 3",
        "content-length: 3\r\nx-one: 1\r\ntransfer-encoding: chunked\r\ncontent-length: 3",
    ] {
        let head = format!("POST /api/v2/uploads HTTP/1.1\r\nhost: {host}\r\n{lengths}\r\n\r\n");
        let answer = world.proxy.raw(&format!("{head}5\r\nhello\r\n0\r\n\r\n{next}"));
        assert_eq!(answer.status(), 200, "{answer:?}");
        assert_eq!(answer.header("connection"), Some("close"), "{answer:?}");
        assert_eq!(answer.json()["size"], 5, "one answer, to what the chunks hold");
    }
    let journal = world.fake.journal();
    assert_eq!(journal.len(), 3);
    for entry in &journal {
        assert_eq!(entry["path"], "/api/v2/uploads");
        let headers = &entry["headers"].to_string();
        let both = headers.contains("content-length") && headers.contains("transfer-encoding");
        assert!(!both, "{headers}");
    }
}

#[test]
fn a_websocket_is_refused() {
    let world = World::new();
    for upgrade in ["websocket", "WebSocket", "h2c, websocket"] {
        let lines = [
            "connection: upgrade",
            &format!("upgrade: {upgrade}"),
            "sec-websocket-version: 13",
            "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
        ];
        let refused = world.proxy.get("/api/v2/echo", &lines);
        assert_eq!((refused.status(), refused.problem()), (501, "websocket"), "{upgrade}");
        assert!(refused.body().contains("websockets are not forwarded"), "{refused:?}");
    }
    world.nothing_got_through();
    // What curl's `--http2` offers need not be taken.
    let offer = ["connection: upgrade, http2-settings", "upgrade: h2c", "http2-settings: AAMAAABk"];
    assert_eq!(world.proxy.get("/api/v2/echo", &offer).status(), 200);
}

#[test]
fn a_request_line_that_ends_in_a_bare_line_feed_adds_nothing() {
    let world = World::new();
    let host = &world.proxy.address;
    // A reader that takes LF for the end of a line sees `x-two`; both readings are one request.
    let answer = world
        .proxy
        .raw(&format!("GET /api/v2/echo HTTP/1.1\nhost: {host}\nx-one: 1\nconnection: close\n\n"));
    assert!(matches!(answer.status(), 200 | 400), "{answer:?}");
    assert!(world.api_requests() <= 1);
    let split = format!(
        "GET /api/v2/echo HTTP/1.1\r\nhost: {host}\r\nx-one: 1\n\nGET /api/v2/echo/smuggled HTTP/1.1\r\nhost: evil.test\r\n\r\n"
    );
    world.proxy.raw_half_closed(&split);
    let journal = world.fake.journal();
    assert!(journal.iter().all(|entry| entry["path"] != "/api/v2/echo/smuggled"));
}

#[test]
fn what_connection_names_is_not_forwarded() {
    let world = World::new();
    let lines = [
        "connection: close, x-secret, TeamUp-Provider-ID",
        "x-secret: 1",
        "x-other: 2",
        "TeamUp-Provider-ID: 9",
        "te: trailers",
        "upgrade: h2c",
        "proxy-authorization: Basic eA==",
        "keep-alive: timeout=5",
    ];
    // One Connection line is the test's own.
    assert_eq!(world.proxy.get("/api/v2/echo", &lines).status(), 200);
    let journal = world.fake.journal();
    let headers = journal[journal.len() - 1]["headers"].to_string();
    assert!(headers.contains("x-other"), "{headers}");
    for gone in
        ["x-secret", "provider-id", "\"te\"", "upgrade", "proxy-auth", "keep-alive", "connection"]
    {
        assert!(!headers.contains(gone), "{gone} in {headers}");
    }
}

#[test]
fn a_head_over_the_limit_is_refused() {
    let world = World::with(["--max-head", "8192"]);
    let long = format!("x-long: {}", "x".repeat(20_000));
    let status = world.proxy.get("/api/v2/echo", &[&long]).status();
    assert!(matches!(status, 0 | 431), "{status}");
    let many: Vec<_> = (0..200).map(|number| format!("x-{number}: 1")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    assert_eq!(world.proxy.get("/api/v2/echo", &many).status(), 431);
    let target = format!("/api/v2/echo?{}", "x".repeat(20_000));
    let status = world.proxy.get(&target, &[]).status();
    assert!(matches!(status, 0 | 414 | 431), "{status}");
    world.nothing_got_through();
}

#[test]
fn a_body_over_the_limit_is_refused() {
    let world = World::with(["--max-body", "1000"]);
    let host = &world.proxy.address;
    let declared = world.proxy.send("POST", "/api/v2/uploads", &[], &"x".repeat(1001));
    assert_eq!((declared.status(), declared.problem()), (413, "body_too_long"));
    assert_eq!(world.api_requests(), 0);
    let chunk = format!("400\r\n{}\r\n", "x".repeat(1024));
    let chunked = world.proxy.raw(&format!(
        "POST /api/v2/uploads HTTP/1.1\r\nhost: {host}\r\ntransfer-encoding: chunked\r\n\r\n{chunk}0\r\n\r\n"
    ));
    assert_eq!((chunked.status(), chunked.problem()), (413, "body_too_long"), "{chunked:?}");
    assert_eq!(world.fake.count("authorized"), 0);
    assert_eq!(world.proxy.send("POST", "/api/v2/uploads", &[], &"x".repeat(1000)).status(), 200);
}

#[test]
fn slow_heads_and_idle_connections_are_cut_off() {
    let world = World::with(["--head-timeout", "0.2"]);
    let mut slow = world.proxy.connect();
    slow.write_all(b"GET /api/v2/echo HTTP/1.1\r\nhost: ").unwrap();
    let status = read(slow).status();
    assert!(matches!(status, 0 | 408), "{status}");
    let silent = world.proxy.connect();
    read(silent);
    let mut idle = world.proxy.connect();
    let head = format!("GET /api/v2/echo HTTP/1.1\r\nhost: {}\r\n\r\n", world.proxy.address);
    idle.write_all(head.as_bytes()).unwrap();
    assert_eq!(read(idle).status(), 200);
    assert_eq!(world.api_requests(), 1);
}

#[test]
fn a_body_that_stops_is_cut_off() {
    let world = World::with(["--body-timeout", "0.2"]);
    let mut slow = world.proxy.connect();
    let head = format!(
        "POST /api/v2/uploads HTTP/1.1\r\nhost: {}\r\ncontent-length: 10\r\n\r\n12345",
        world.proxy.address
    );
    slow.write_all(head.as_bytes()).unwrap();
    let answer = read(slow);
    assert_eq!((answer.status(), answer.problem()), (408, "body_too_slow"));
    world.no_upload_was_taken();
}

#[test]
fn a_client_that_reads_nothing_is_cut_off() {
    let world = World::with(["--answer-timeout", "0.2", "--max-connections", "1"]);
    world.fake.post("/serve", &json!({"path": "/long", "json": "x".repeat(1_000_000)}));
    let mut silent = world.proxy.connect();
    let head = format!("GET /api/v2/long HTTP/1.1\r\nhost: {}\r\n\r\n", world.proxy.address);
    // More than what the system keeps for a socket.
    silent.write_all(head.repeat(40).as_bytes()).unwrap();
    // There is one place, and the silent client has to leave it.
    assert_eq!(world.proxy.get("/api/v2/echo", &[]).status(), 200);
    let answer = read(silent);
    assert_eq!(answer.status(), 200);
    assert!(answer.0.len() < 40_000_000);
}

#[test]
fn connections_over_the_limit_wait() {
    let world = World::with(["--max-connections", "1"]);
    let mut first = world.proxy.connect();
    let head = format!("GET /api/v2/echo HTTP/1.1\r\nhost: {}\r\n\r\n", world.proxy.address);
    first.write_all(head.as_bytes()).unwrap();
    let mut byte = [0; 1];
    std::io::Read::read_exact(&mut first, &mut byte).unwrap();
    let mut second = world.proxy.connect();
    second.write_all(head.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n").as_bytes()).unwrap();
    assert_eq!(world.api_requests(), 1);
    drop(first);
    assert_eq!(read(second).status(), 200);
}

#[test]
fn a_secret_of_the_proxy_is_asked_for_and_not_forwarded() {
    let world = World::new();
    let file = world.home.path().join("secret");
    std::fs::write(&file, "a-secret-of-32-characters-or-so\n").unwrap();
    let proxy = Proxy::with(&world.home, ["--secret-file", file.to_str().unwrap()]);
    for lines in [&[][..], &["teamup-auth-secret: wrong"], &["teamup-auth-secret:"]] {
        let refused = proxy.get("/api/v2/echo", lines);
        assert_eq!((refused.status(), refused.problem()), (403, "secret"), "{lines:?}");
    }
    let right = ["teamup-auth-secret: a-secret-of-32-characters-or-so"];
    assert_eq!(proxy.get("/api/v2/echo", &right).status(), 200);
    // The journal leaves secrets out, so the server itself is asked.
    let echoed = proxy.get("/api/v2/echo", &right);
    assert!(!echoed.body().contains("a-secret"), "{echoed:?}");
    std::fs::write(&file, "short").unwrap();
    assert_eq!(world.home.run(["proxy", "--secret-file", file.to_str().unwrap()]).code(), 1);
}

#[test]
fn other_addresses_than_loopback_need_a_secret() {
    let world = World::new();
    for args in [["--listen", "0.0.0.0:0"], ["--listen", "[::]:0"], ["--admin", "0.0.0.0:0"]] {
        let refused = world.home.run(["proxy", args[0], args[1]]);
        assert_eq!(refused.code(), 1, "{args:?}: {}", refused.err());
    }
}

#[test]
fn a_client_that_hangs_up_in_a_body_leaves_no_half_upload() {
    let world = World::new();
    let mut stream = world.proxy.connect();
    let head = format!(
        "POST /api/v2/uploads HTTP/1.1\r\nhost: {}\r\ncontent-length: 10\r\n\r\n12345",
        world.proxy.address
    );
    stream.write_all(head.as_bytes()).unwrap();
    drop(stream);
    assert_eq!(world.proxy.get("/api/v2/echo", &[]).status(), 200);
    world.no_upload_was_taken();
}

#[test]
fn garbage_ends_its_connection_and_nothing_else() {
    let world = World::new();
    for bytes in [
        "\0\0\0\0\r\n\r\n",
        "\u{16}\u{3}\u{1}hello",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET\r\n\r\n",
        "GET /api/v2/echo HTTP/9.9\r\n\r\n",
        "GET /api/v2/echo\r\n\r\n",
        "\r\n\r\n\r\n",
    ] {
        let status = world.proxy.raw_half_closed(bytes).status();
        assert!(matches!(status, 0 | 400 | 421 | 505), "{bytes:?}: {status}");
    }
    world.nothing_got_through();
}

#[test]
fn p5_no_token_is_in_the_log() {
    let (fake, home) = (Fake::new(), Home::new());
    home.log_in(&fake);
    let log = home.path().join("log");
    let file = std::fs::File::create(&log).unwrap();
    let mut command = home.command(["proxy", "--listen", "127.0.0.1:0", "--log", "trace"]);
    command.stderr(file);
    let mut proxy = Running::start(command);
    let address = crate::support::address(proxy.start["url"].as_str().unwrap());
    fake.post("/expire", &json!({}));
    for target in ["/api/v2/echo", "/api/v2/events?token=in-the-query", "/api/v1"] {
        send(
            &address,
            &format!("GET {target} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"),
        );
    }
    proxy.terminate();
    assert_eq!(proxy.wait(), 0);
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("refresh succeeded"), "{log}");
    for word in ["fake-provider-", "fake-refresh-"] {
        assert!(!log.contains(word), "{log}");
    }
}
