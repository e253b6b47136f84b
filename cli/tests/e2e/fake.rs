//! The fake server as a process.

use serde_json::json;

use crate::support::{Fake, Home, Proxy, address, send};

#[test]
fn its_control_api_is_closed_to_web_pages() {
    let fake = Fake::new();
    let control = address(fake.text("control_url"));
    for line in ["origin: https://evil.test", "sec-fetch-site: cross-site"] {
        let request = format!(
            "POST /revoke HTTP/1.1\r\nhost: {control}\r\n{line}\r\nconnection: close\r\n\r\n"
        );
        assert_eq!(send(&control, &request).status(), 403);
    }
    let foreign = "POST /revoke HTTP/1.1\r\nhost: evil.test\r\nconnection: close\r\n\r\n";
    assert_eq!(send(&control, foreign).status(), 403);
}

#[test]
fn its_journal_holds_no_token() {
    let (fake, home) = (Fake::new(), Home::new());
    home.log_in(&fake);
    home.run(["refresh"]).ok();
    let proxy = Proxy::new(&home);
    assert_eq!(proxy.get("/api/v2/events", &[]).status(), 200);
    let journal = serde_json::to_string(&fake.journal()).unwrap();
    assert!(journal.contains("/api/v2/events"));
    for word in ["fake-refresh-", "fake-provider-", "fake-customer-", "Bearer"] {
        assert!(!journal.contains(word), "{journal}");
    }
}

#[test]
fn faults_clock_and_content_are_set_over_the_control_api() {
    let (fake, home) = (Fake::with(["--lifetime", "60"]), Home::new());
    home.log_in(&fake);
    let proxy = Proxy::new(&home);
    let status = |path: &str| proxy.get(path, &[]).status();
    fake.post("/serve", &json!({"path": "/memberships/7", "json": {"id": 7}}));
    assert_eq!(proxy.get("/api/v2/memberships/7", &[]).json(), json!({"id": 7}));
    fake.post("/faults", &json!({"on": "api", "times": 2, "fault": "status", "status": 418}));
    assert_eq!(
        [status("/api/v2/echo"), status("/api/v2/echo"), status("/api/v2/echo")],
        [418, 418, 200]
    );
    fake.post("/faults", &json!({"on": "/reports", "fault": "bad_gateway"}));
    assert_eq!([status("/api/v2/reports"), status("/api/v2/echo")], [502, 200]);
    fake.control("DELETE", "/faults", &json!(null));
    assert_eq!(status("/api/v2/reports"), 404);
    fake.post("/advance", &json!({"seconds": 61}));
    assert_eq!(status("/api/v2/echo"), 200);
    assert_eq!(fake.count("rotations"), 1, "the token had expired at the server");
    fake.post("/refuse-mode", &json!({"mode": "customer"}));
    fake.post("/expire", &json!({"mode": "customer"}));
    let customer = proxy.get("/api/v2/echo", &["teamup-request-mode: customer"]);
    assert_eq!(customer.status(), 401);
    assert_eq!(customer.problem(), "configuration");
}

#[test]
fn its_ports_can_be_chosen() {
    // Free a moment ago. Another program may have taken one of them since; then others are.
    let started = (0..20).find_map(|_| {
        let listeners = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = listeners.map(|one| one.local_addr().unwrap().port().to_string());
        let args = ["fake", "--port", &ports[0], "--control-port", &ports[1]];
        let mut child =
            Home::new().command(args).stdout(std::process::Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut out, &mut line).unwrap();
        let _ = child.kill();
        child.wait().unwrap();
        (!line.is_empty()).then_some((ports, line))
    });
    let (ports, line) = started.expect("no port is free");
    let start: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(start["base_url"], format!("http://127.0.0.1:{}/api/v2", ports[0]));
    assert_eq!(start["control_url"], format!("http://127.0.0.1:{}", ports[1]));
}

#[test]
fn a_port_that_is_taken_is_said() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let done = Home::new().run(["fake", "--port", &port]);
    assert_eq!(done.code(), 1);
    assert!(done.err().contains(&port) && !done.err().contains("panicked"), "{}", done.err());
}
