//! A company's network: a proxy on the way to the API, and a root certificate of the company's own.

use std::path::PathBuf;
use std::process::Command;

use crate::company_network::{HOST, Network};
use crate::support::{Done, Fake, Home, Proxy, address, spoken_to};

struct Office {
    fake: Fake,
    network: Network,
    home: Home,
    root: PathBuf,
}

impl Office {
    fn new() -> Self {
        let (fake, home) = (Fake::new(), Home::new());
        let network = Network::before(address(&fake.base_url()));
        let root = home.path().join("root.pem");
        network.write_root(&root);
        Office { fake, network, home, root }
    }

    fn command<const N: usize>(&self, args: [&str; N]) -> Command {
        let mut command = self.home.command(args);
        command.env("HTTPS_PROXY", &self.network.proxy_url);
        command
    }

    fn run<const N: usize>(&self, args: [&str; N]) -> Done {
        Done::of(self.command(args))
    }
}

#[test]
fn p5_every_request_goes_through_https_proxy_which_sees_no_token() {
    let office = Office::new();
    let base_url = format!("https://{HOST}/api/v2");
    // The path is kept with the account, whatever folder a later command begins in.
    let mut login = office.command(["login", "--tokens", "--base-url", &base_url]);
    login.args(["--ca-file", "root.pem"]).current_dir(office.home.path());
    spoken_to(login, &office.fake.start["tokens"].to_string()).ok();
    assert_eq!(office.network.tunnels().len(), 0, "the tokens need no refresh yet");
    let token = office.run(["token"]).ok();
    office.run(["refresh"]).ok();
    assert_ne!(office.run(["token"]).ok(), token);
    assert_eq!(office.fake.count("rotations"), 1);
    assert_eq!(office.network.tunnels().len(), 1);

    let start = ["proxy", "--listen", "127.0.0.1:0", "--log", "error"];
    let proxy = Proxy::of(office.command(start));
    assert_eq!(proxy.get("/api/v2/echo", &[]).status(), 200);
    assert_eq!(office.network.tunnels().len(), 2);
    for head in office.network.tunnels() {
        assert!(head.starts_with(&format!("CONNECT {HOST}:443 HTTP/1.1\r\n")), "{head}");
        assert!(!head.to_lowercase().contains("authorization"), "{head}");
    }
}

#[test]
fn a_password_login_goes_through_https_proxy_too() {
    let office = Office::new();
    let base_url = format!("https://{HOST}/api/v2");
    let mut login =
        office.command(["login", "--password", "--username", office.fake.text("username")]);
    login.args(["--base-url", &base_url, "--ca-file"]).arg(&office.root);
    let secrets =
        format!("{}\n{}\n", office.fake.text("direct_auth_key"), office.fake.text("password"));
    spoken_to(login, &secrets).ok();
    assert!(office.network.tunnels().len() >= 2, "the login, and the first access token");
    office.run(["token"]).ok();
}

#[test]
fn p4_an_api_whose_certificate_nobody_vouches_for_gets_nothing() {
    let office = Office::new();
    let base_url = format!("https://{HOST}/api/v2");
    let login = office.command(["login", "--tokens", "--base-url", &base_url]);
    spoken_to(login, &office.fake.start["tokens"].to_string()).ok();
    let refused = office.run(["refresh"]);
    assert_eq!(refused.code(), 4, "{}", refused.err());
    let tries = office.network.tunnels().len();
    assert!(tries > 0, "{}", refused.err());
    assert_eq!(office.fake.count("connections"), 0);
    // What is no certificate is named before anything is sent.
    std::fs::write(&office.root, "no certificate").unwrap();
    for command in ["token", "proxy"] {
        let unusable = office.run([command, "--ca-file", office.root.to_str().unwrap()]);
        assert_eq!(unusable.code(), 1, "{}", unusable.err());
        assert!(unusable.err().contains("root.pem"), "{}", unusable.err());
    }
    assert_eq!(office.network.tunnels().len(), tries);
}
