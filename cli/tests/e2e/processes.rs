//! Several processes and one profile.

use std::thread;

use serde_json::json;

use crate::support::{Fake, Home, Proxy};

#[test]
fn p1_twenty_processes_share_one_refresh() {
    let (fake, home) = (Fake::new(), Home::new());
    let mut tokens = fake.start["tokens"].clone();
    tokens["access_tokens"] = json!([]);
    let args = ["login", "--tokens", "--base-url", &fake.base_url(), "--mode", "customer"];
    home.run_with_input(args, &tokens.to_string()).ok();
    // The login has minted the customer's token; that of the provider is missing.
    let before = fake.count("rotations");
    fake.post("/hold", &json!({"at": "refresh"}));
    let mut printed: Vec<_> = thread::scope(|scope| {
        let run = || home.run(["token", "--mode", "provider"]).ok();
        let all: Vec<_> = (0..20).map(|_| scope.spawn(run)).collect();
        fake.post("/wait-held", &json!({"count": 1}));
        fake.post("/release", &json!({}));
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    printed.dedup();
    assert_eq!(printed.len(), 1);
    assert_eq!(fake.count("rotations") - before, 1);
    assert_eq!(fake.count("double_spends"), 0);
}

#[test]
fn p1_a_proxy_and_a_script_share_a_profile() {
    let (fake, home) = (Fake::new(), Home::new());
    home.log_in(&fake);
    let proxy = Proxy::new(&home);
    home.run(["refresh"]).ok();
    fake.post("/expire", &json!({}));
    home.run(["refresh"]).ok();
    // The proxy's token is two refreshes old: it adopts what the script has stored.
    assert_eq!(proxy.get("/api/v2/echo", &[]).status(), 200);
    assert_eq!((fake.count("rotations"), fake.count("double_spends")), (2, 0));
}

#[test]
fn p11_a_proxy_that_waits_for_a_login_follows_that_of_another_process() {
    let (fake, home) = (Fake::new(), Home::new());
    let proxy = Proxy::with(&home, ["--base-url", &fake.base_url()]);
    assert_eq!(proxy.admin("/healthz").status(), 503);
    home.log_in(&fake);
    // The request that meets the new login belongs to none, and is the client's to send again.
    let met = proxy.get("/api/v2/echo", &[]);
    assert_eq!((met.status(), met.problem()), (409, "login_changed"));
    assert_eq!(proxy.get("/api/v2/echo", &[]).status(), 200);
    assert_eq!(proxy.admin("/healthz").status(), 200);
}

#[test]
fn p11_a_proxy_follows_a_logout_of_another_process() {
    let (fake, home) = (Fake::new(), Home::new());
    home.log_in(&fake);
    let proxy = Proxy::new(&home);
    home.run(["logout"]).ok();
    fake.post("/expire", &json!({}));
    let met = proxy.get("/api/v2/echo", &[]);
    assert_eq!((met.status(), met.problem()), (401, "login_changed"));
    let required = proxy.get("/api/v2/echo", &[]);
    assert_eq!((required.status(), required.problem()), (401, "login_required"));
    assert_eq!(proxy.admin("/healthz").status(), 503);
    assert_eq!(fake.count("refresh_requests"), 0);
}
