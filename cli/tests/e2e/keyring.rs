//! An account whose file is sealed with a key in the platform's keyring: a real one, GNOME Keyring.

use crate::keyring_session::Session;
use crate::support::{Done, Fake, Home, Proxy, spoken_to};

#[test]
fn p5_a_sealed_account_is_opened_by_other_processes_of_the_session_and_ends_with_a_logout() {
    let (session, fake, home) = (Session::new(), Fake::new(), Home::new());
    let run = |args: &[&str]| Done::of(session.command(home.command(args)));
    let login = ["login", "--tokens", "--keyring", "--base-url", &fake.base_url()];
    spoken_to(session.command(home.command(login)), &fake.start["tokens"].to_string()).ok();

    // The profile knows of the keyring from now on.
    let token = run(&["token"]).ok();
    assert_eq!(
        run(&["status", "--json"]).json()["store"],
        "file, sealed with a key in the keyring"
    );
    run(&["refresh"]).ok();
    let next = run(&["token"]).ok();
    assert_ne!(next, token);
    let sealed = std::fs::read(home.state().join("default.sealed")).unwrap();
    assert!(!home.state().join("default.json").exists());
    for secret in ["fake-refresh-", "fake-provider-", next.as_str()] {
        assert!(!sealed.windows(secret.len()).any(|part| part == secret.as_bytes()), "{secret}");
    }
    let start = ["proxy", "--listen", "127.0.0.1:0", "--log", "error"];
    let proxy = Proxy::of(session.command(home.command(start)));
    assert_eq!(proxy.get("/api/v2/echo", &[]).status(), 200);

    // Outside the session the file alone opens nothing.
    let outside = home.run(["token"]);
    assert_eq!(outside.code(), 5, "{}", outside.err());

    run(&["logout"]).ok();
    assert_eq!(run(&["token"]).code(), 3);
    assert_eq!((fake.count("rotations"), fake.count("double_spends")), (1, 0));
}
