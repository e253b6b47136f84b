//! Several processes and one profile.

use std::thread;

use serde_json::{Value, json};
use tower_teamup_auth::store::FileStore;
use tower_teamup_auth::{Credentials, RequestMode};

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

#[test]
fn p1_scripts_proxies_and_a_program_with_the_library_share_one_refresh() {
    let (fake, home) = (Fake::new(), Home::new());
    home.log_in(&fake);
    let stored = home.state().join("default.json");
    // Time has passed, without a wait for it.
    let mut record: Value = serde_json::from_slice(&std::fs::read(&stored).unwrap()).unwrap();
    assert!(record["provider"]["expires_at"].is_u64(), "another format: {record}");
    record["provider"]["expires_at"] = json!(0);
    std::fs::write(&stored, record.to_string()).unwrap();

    let proxies = [Proxy::new(&home), Proxy::new(&home)];
    let program = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let credentials = Credentials::builder(RequestMode::Provider)
                .base_url(fake.base_url())
                .store(FileStore::new(&stored))
                .build()
                .await
                .unwrap();
            let token = credentials.access_token(RequestMode::Provider).await.unwrap();
            credentials.shutdown().await.unwrap();
            token.expose().to_owned()
        })
    };
    fake.post("/hold", &json!({"at": "refresh"}));
    let (mut tokens, statuses) = thread::scope(|scope| {
        let asked = |proxy: &Proxy| proxy.get("/api/v2/echo", &[]).status();
        let requests: Vec<_> = (0..10)
            .map(|number| &proxies[number % 2])
            .map(|proxy| scope.spawn(move || asked(proxy)))
            .collect();
        let scripts: Vec<_> = (0..6).map(|_| scope.spawn(|| home.run(["token"]).ok())).collect();
        let programs: Vec<_> = (0..2).map(|_| scope.spawn(program)).collect();
        fake.post("/wait-held", &json!({"count": 1}));
        fake.post("/release", &json!({}));
        let printed = scripts.into_iter().chain(programs).map(|one| one.join().unwrap());
        let tokens: Vec<_> = printed.collect();
        (tokens, requests.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>())
    });
    assert_eq!(statuses, [200; 10]);
    tokens.dedup();
    assert_eq!(tokens.len(), 1, "all have the same token");
    assert_eq!((fake.count("rotations"), fake.count("double_spends")), (1, 0));
    assert_eq!(fake.count("unauthorized"), 0);
}

#[test]
fn e7_a_proxy_uses_the_m2m_token_that_a_later_login_brings() {
    let (fake, home) = (Fake::new(), Home::new());
    let args = ["login", "--m2m", "--base-url", &fake.base_url()];
    home.run_with_input(args, &format!("{}\n", fake.text("m2m_token"))).ok();
    let proxy = Proxy::new(&home);
    assert_eq!(proxy.admin("/healthz").status(), 200);
    assert_eq!(proxy.get("/api/v2/echo", &[]).status(), 200);
    // The administrator makes another, hands it in, and ends the first.
    fake.post("/revoke", &json!({}));
    let next = fake.control("POST", "/m2m", &Value::Null)["m2m_token"].as_str().unwrap().to_owned();
    home.run_with_input(args, &format!("{next}\n")).ok();
    let upload = proxy.send("POST", "/api/v2/uploads", &["content-type: text/plain"], "hello");
    assert_eq!(upload.status(), 200, "{upload:?}");
    assert_eq!(upload.json()["size"], 5);
    // The first answer was a 401, and that alone.
    assert_eq!((fake.count("unauthorized"), fake.count("refresh_requests")), (1, 0));
    assert_eq!(home.run(["token"]).ok(), next);
    // Without another token the client learns why.
    fake.post("/revoke", &json!({}));
    let refused = proxy.get("/api/v2/echo", &[]);
    assert_eq!((refused.status(), refused.problem()), (401, "m2m_refused"), "{refused:?}");
    assert_eq!(proxy.admin("/healthz").status(), 503);
    let refused = home.run_with_input(["token", "--refused"], &next);
    assert_eq!(refused.code(), 3, "{}", refused.err());
}
