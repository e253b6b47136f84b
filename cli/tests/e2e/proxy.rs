//! The proxy at work.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::thread;

use serde_json::json;

use crate::support::{Fake, Home, Proxy, Running, read};

fn logged_in() -> (Fake, Home) {
    let (fake, home) = (Fake::new(), Home::new());
    home.log_in(&fake);
    (fake, home)
}

#[test]
fn p1_fifty_clients_whose_token_has_expired_share_one_refresh() {
    let (fake, home) = logged_in();
    let proxy = Proxy::new(&home);
    fake.post("/expire", &json!({}));
    let statuses: Vec<_> = thread::scope(|scope| {
        let all: Vec<_> =
            (0..50).map(|_| scope.spawn(|| proxy.get("/api/v2/events", &[]).status())).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(statuses, [200; 50]);
    assert_eq!((fake.count("rotations"), fake.count("double_spends")), (1, 0));
}

#[test]
fn p9_an_upload_is_sent_again_after_a_401_and_a_longer_one_is_not() {
    let (fake, home) = logged_in();
    let proxy = Proxy::with(&home, ["--replay-bytes", "100000"]);
    fake.post("/expire", &json!({}));
    let body = "x".repeat(100_000);
    let sent = proxy.send("POST", "/api/v2/uploads", &["content-type: text/plain"], &body);
    assert_eq!((sent.status(), sent.json()["size"].as_u64()), (200, Some(100_000)), "{sent:?}");
    fake.post("/expire", &json!({}));
    let longer = proxy.send("POST", "/api/v2/uploads", &[], &"x".repeat(100_001));
    assert_eq!((longer.status(), longer.problem()), (401, "send_again"), "{longer:?}");
    // It is said truly.
    assert_eq!(proxy.send("POST", "/api/v2/uploads", &[], &"x".repeat(100_001)).status(), 200);
    assert_eq!(fake.count("rotations"), 2);
}

#[test]
fn a_chunked_upload_is_streamed_and_sent_again() {
    let (fake, home) = logged_in();
    let proxy = Proxy::new(&home);
    fake.post("/expire", &json!({}));
    let answer = proxy.raw(&format!(
        "POST /api/v2/uploads HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ntransfer-encoding: \
         chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
        proxy.address
    ));
    assert_eq!(answer.json()["size"], 11, "{answer:?}");
}

#[test]
fn p7_a_client_chooses_mode_and_provider_and_fixed_flags_refuse_others() {
    let (fake, home) = logged_in();
    let proxy = Proxy::new(&home);
    let lines = ["TeamUp-Request-Mode: customer", "TeamUp-Provider-ID: 9"];
    assert_eq!(proxy.get("/api/v2/echo", &lines).status(), 200);
    let journal = fake.journal();
    let seen = &journal[journal.len() - 1];
    assert_eq!((&seen["mode"], &seen["provider_id"]), (&json!("customer"), &json!("9")));
    assert_eq!(proxy.get("/api/v2/echo", &["TeamUp-Request-Mode: admin"]).status(), 400);

    let fixed = Proxy::with(&home, ["--fixed", "--provider-id", "7"]);
    assert_eq!(fixed.get("/api/v2/echo", &[]).status(), 200);
    let same = ["TeamUp-Request-Mode: provider", "TeamUp-Provider-ID: 7"];
    assert_eq!(fixed.get("/api/v2/echo", &same).status(), 200);
    for line in lines {
        let refused = fixed.get("/api/v2/echo", &[line]);
        assert_eq!((refused.status(), refused.problem()), (403, "fixed"), "{line}");
    }
    let journal = fake.journal();
    assert_eq!(journal[journal.len() - 1]["provider_id"], "7");
}

#[test]
fn urls_are_rewritten_only_when_asked() {
    let (fake, home) = logged_in();
    let location = format!("{}/echo/there", fake.base_url());
    let redirect = json!({"method": "GET", "path": "/old", "status": 302, "location": location});
    fake.post("/redirect", &redirect);
    let plain = Proxy::new(&home);
    let page = plain.get("/api/v2/events?page_size=10", &[]).json();
    assert!(page["next"].as_str().unwrap().starts_with(&fake.base_url()));
    let moved = plain.get("/api/v2/old", &[]);
    assert_eq!((moved.status(), moved.header("location")), (302, Some(location.as_str())));

    let proxy = Proxy::with(&home, ["--rewrite-urls"]);
    let own = format!("http://{}/api/v2/", proxy.address);
    assert_eq!(
        proxy.get("/api/v2/old", &[]).header("location").unwrap(),
        format!("{own}echo/there")
    );
    let mut target = "/api/v2/events?page_size=10".to_owned();
    let mut seen = 0;
    loop {
        let page = proxy.get(&target, &[]).json();
        seen += page["results"].as_array().unwrap().len();
        let Some(next) = page["next"].as_str() else { break };
        assert!(next.starts_with(&own), "{next}");
        target = next.strip_prefix(&format!("http://{}", proxy.address)).unwrap().to_owned();
    }
    assert_eq!(seen, 25);
}

#[test]
fn p4_a_redirect_to_another_host_is_not_followed() {
    let (fake, home) = logged_in();
    let elsewhere = Fake::new();
    let location = format!("{}/echo", elsewhere.base_url());
    fake.post(
        "/redirect",
        &json!({"method": "GET", "path": "/out", "status": 307, "location": location}),
    );
    let proxy = Proxy::with(&home, ["--rewrite-urls"]);
    let answer = proxy.get("/api/v2/out", &[]);
    assert_eq!((answer.status(), answer.header("location")), (307, Some(location.as_str())));
    assert_eq!(elsewhere.count("api_requests"), 0);
}

#[test]
fn a_socket_is_for_its_user_alone() {
    let (fake, home) = logged_in();
    let path = home.path().join("proxy.sock");
    let start = ["proxy", "--log", "error", "--socket", path.to_str().unwrap()];
    let mut proxy = Running::start(home.command(start));
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut stream = UnixStream::connect(&path).unwrap();
    stream
        .write_all(b"GET /api/v2/echo HTTP/1.1\r\nhost: teamup\r\nconnection: close\r\n\r\n")
        .unwrap();
    assert_eq!(read(stream).status(), 200);
    // A second one is told so.
    assert_eq!(home.run(start).code(), 1);
    proxy.terminate();
    assert_eq!(proxy.wait(), 0);
    assert!(!path.exists());
    // What a killed process leaves behind is no obstacle, and a file of somebody's is left alone.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    drop(Running::start(home.command(start)));
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "mine").unwrap();
    assert_eq!(home.run(start).code(), 1);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    assert_eq!(fake.count("double_spends"), 0);
}

#[test]
fn p12_sigterm_lets_requests_end_and_no_new_ones_begin() {
    let (fake, home) = logged_in();
    let mut proxy = Proxy::new(&home);
    fake.post("/hold", &json!({"at": "api"}));
    let address = proxy.address.clone();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            crate::support::send(
                &address,
                &format!(
                    "GET /api/v2/echo HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
                ),
            )
        });
        fake.post("/wait-held", &json!({"count": 1}));
        proxy.running.terminate();
        // The port is closed at once.
        while std::net::TcpStream::connect(&address).is_ok() {
            thread::yield_now();
        }
        fake.post("/release", &json!({}));
        assert_eq!(waiting.join().unwrap().status(), 200);
    });
    assert_eq!(proxy.running.wait(), 0);
}

#[test]
fn p12_a_refresh_under_way_at_sigterm_is_stored() {
    let (fake, home) = logged_in();
    let mut proxy = Proxy::with(&home, ["--drain-timeout", "0.1"]);
    fake.post("/expire", &json!({}));
    fake.post("/hold", &json!({"at": "refresh_answer"}));
    let mut stream = proxy.connect();
    let head = format!("GET /api/v2/echo HTTP/1.1\r\nhost: {}\r\n\r\n", proxy.address);
    stream.write_all(head.as_bytes()).unwrap();
    fake.post("/wait-held", &json!({"count": 1}));
    proxy.running.terminate();
    // The request is cut off at the limit; the rotated token is not.
    assert_eq!(read(stream).status(), 0);
    fake.post("/release", &json!({}));
    assert_eq!(proxy.running.wait(), 1);
    home.run(["refresh"]).ok();
    assert_eq!((fake.count("rotations"), fake.count("double_spends")), (2, 0));
}

#[test]
fn health_and_metrics_stand_on_a_port_of_their_own() {
    let (fake, home) = logged_in();
    let proxy = Proxy::new(&home);
    assert_eq!(proxy.admin("/healthz").status(), 200);
    fake.post("/expire", &json!({}));
    assert_eq!(proxy.get("/api/v2/echo", &[]).status(), 200);
    assert_eq!(proxy.get("/api/v1", &[]).status(), 404);
    let metrics = proxy.admin("/metrics");
    for line in [
        "teamup_auth_proxy_requests_total{outcome=\"forwarded\"} 1",
        "teamup_auth_proxy_requests_total{outcome=\"refused\"} 1",
        "teamup_auth_refresh_requests_total{mode=\"provider\",outcome=\"refreshed\"} 1",
        "teamup_auth_retries_total{mode=\"provider\"} 1",
    ] {
        assert!(metrics.body().contains(line), "{line} is missing:\n{}", metrics.body());
    }
    assert!(!metrics.body().contains("fake-"), "{}", metrics.body());
    assert_eq!(proxy.get("/metrics", &[]).status(), 404);
    assert_eq!(proxy.admin("/api/v2/echo").status(), 404);
}

#[test]
fn an_api_that_is_out_of_reach_is_a_502() {
    let (fake, home) = logged_in();
    let proxy = Proxy::new(&home);
    fake.post("/faults", &json!({"on": "api", "fault": "drop_connection"}));
    let answer = proxy.get("/api/v2/echo", &[]);
    assert_eq!((answer.status(), answer.problem()), (502, "bad_gateway"));
    fake.post("/revoke", &json!({}));
    let answer = proxy.get("/api/v2/echo", &[]);
    assert_eq!((answer.status(), answer.problem()), (401, "login_required"), "{answer:?}");
    assert!(answer.body().contains("authentication_failed"), "the API's own 401: {answer:?}");
}

#[test]
fn an_api_that_does_not_answer_is_a_504() {
    let (fake, home) = logged_in();
    let proxy = Proxy::with(&home, ["--api-timeout", "0.2"]);
    fake.post("/hold", &json!({"at": "api"}));
    let answer = proxy.get("/api/v2/echo", &[]);
    assert_eq!((answer.status(), answer.problem()), (504, "api_timeout"), "{answer:?}");
    let upload = proxy.send("POST", "/api/v2/uploads", &[], "an upload");
    assert_eq!((upload.status(), upload.problem()), (504, "api_timeout"), "{upload:?}");
}

#[test]
fn the_rate_limit_lets_requests_wait() {
    let (fake, home) = logged_in();
    let proxy = Proxy::with(&home, ["--rate-limit", "2"]);
    let mut streams: Vec<_> = (0..3).map(|_| proxy.connect()).collect();
    for stream in &mut streams {
        let head = format!("GET /api/v2/echo HTTP/1.1\r\nhost: {}\r\n\r\n", proxy.address);
        stream.write_all(head.as_bytes()).unwrap();
    }
    fake.post("/wait-authorized", &json!({"count": 2}));
    // A fourth that needs no token for the limiter goes through: the third waits for its turn alone.
    let refused = proxy.get("/api/v1", &[]);
    assert_eq!(refused.status(), 404);
    assert_eq!(fake.count("authorized"), 2);
}

#[test]
fn an_upload_is_streamed() {
    let (fake, home) = logged_in();
    let proxy = Proxy::new(&home);
    fake.post("/hold", &json!({"at": "api"}));
    let mut stream = proxy.connect();
    let head = format!(
        "POST /api/v2/uploads HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: \
         10\r\n\r\nhello",
        proxy.address
    );
    stream.write_all(head.as_bytes()).unwrap();
    // The API has the request before its body is whole.
    fake.post("/wait-held", &json!({"count": 1}));
    fake.post("/release", &json!({}));
    stream.write_all(b"world").unwrap();
    let answer = read(stream);
    assert_eq!((answer.status(), answer.json()["size"].as_u64()), (200, Some(10)), "{answer:?}");
}

#[test]
fn an_answer_is_streamed() {
    let (fake, home) = logged_in();
    let proxy = Proxy::new(&home);
    let cut = json!({"on": "api", "fault": "cut_off", "body_size": 1_000_000});
    fake.post("/faults", &cut);
    let mut stream = BufReader::new(proxy.connect());
    let head = format!("GET /api/v2/events HTTP/1.1\r\nhost: {}\r\n\r\n", proxy.address);
    stream.get_mut().write_all(head.as_bytes()).unwrap();
    let mut status = String::new();
    stream.read_line(&mut status).unwrap();
    assert_eq!(status, "HTTP/1.1 200 OK\r\n");
    // The end is missing, and the client can tell.
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    let rest = String::from_utf8_lossy(&rest);
    let length = rest.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.expect("a length").trim().parse().unwrap();
    let body = rest.split_once("\r\n\r\n").unwrap().1;
    assert!(body.len() < length && !body.is_empty(), "{} of {length}", body.len());
}
