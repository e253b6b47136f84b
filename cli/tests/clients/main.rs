//! Clients in other languages through the proxy: each meets an expired token, an early 401 in an upload, in
//! the midst of pages and in fifty requests at once, and each time the API sees one refresh.

#[path = "../support/mod.rs"]
mod support;

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use self::support::{Fake, Home, Proxy};

/// Makes the stored access tokens expire at the start of 1970: time has passed, without a wait for it.
fn age(stored: &Path) {
    let mut record: Value = serde_json::from_slice(&std::fs::read(stored).unwrap()).unwrap();
    assert!(record["provider"]["expires_at"].is_u64(), "another format: {record}");
    record["provider"]["expires_at"] = json!(0);
    std::fs::write(stored, record.to_string()).unwrap();
}

fn go_through(program: &str, script: &str) {
    let (fake, home) = (Fake::new(), Home::new());
    home.log_in(&fake);
    age(&home.state().join("default.json"));
    let proxy = Proxy::with(&home, ["--rewrite-urls"]);
    let base = format!("http://{}/api/v2", proxy.address);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script);
    let run = |step: &str| {
        let before = fake.count("rotations");
        let done = Command::new(program).arg(&script).args([&base, step]).output();
        let done = done.unwrap_or_else(|error| panic!("{program} can't be run: {error}"));
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{} {step}: {said}", script.display());
        assert_eq!(fake.count("rotations") - before, 1, "{} {step}", script.display());
    };
    run("one");
    assert_eq!(fake.count("unauthorized"), 0, "the expired token was not sent");
    for step in ["one", "upload", "paging", "fifty"] {
        fake.post("/expire", &json!({}));
        run(step);
    }
    assert!(fake.count("unauthorized") >= 4);
    assert_eq!(fake.count("double_spends"), 0);
}

/// A Python that has both libraries: the first on the path may be a version manager's.
fn python() -> &'static str {
    let has_both = |python: &&str| {
        let import = Command::new(python).args(["-c", "import httpx, requests"]).output();
        import.is_ok_and(|done| done.status.success())
    };
    let found = ["python3", "/usr/bin/python3"].into_iter().find(has_both);
    found.expect("no Python here has httpx and requests; scripts/test installs them")
}

#[test]
fn the_clients_of_the_readme_print_every_event() {
    let (fake, home) = (Fake::with(["--events", "7"]), Home::new());
    home.log_in(&fake);
    let proxy = Proxy::new(&home);
    let readme = include_str!("../../README.md");
    let block = |language: &str| {
        let (_, rest) = readme.split_once(&format!("```{language}\n")).expect(language);
        let (code, _) = rest.split_once("```").expect(language);
        code.replace("127.0.0.1:8270", &proxy.address)
    };
    for (program, args, language) in [
        (python(), &["-c"][..], "python"),
        ("node", &["--input-type=module", "--eval"], "js"),
        ("ruby", &["-e"], "ruby"),
    ] {
        let done = Command::new(program).args(args).arg(block(language)).output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        let complaint = String::from_utf8_lossy(&done.stderr);
        assert_eq!(said.lines().count(), 7, "{language}: {said}{complaint}");
    }
}

#[test]
fn p1_curl_meets_one_refresh_each_time() {
    go_through("sh", "client.sh");
}

#[test]
fn p1_python_requests_meets_one_refresh_each_time() {
    go_through(python(), "client_requests.py");
}

#[test]
fn p1_python_httpx_meets_one_refresh_each_time() {
    go_through(python(), "client_httpx.py");
}

#[test]
fn p1_node_fetch_meets_one_refresh_each_time() {
    go_through("node", "client.mjs");
}

#[test]
fn p1_ruby_net_http_meets_one_refresh_each_time() {
    go_through("ruby", "client.rb");
}
