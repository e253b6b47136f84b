//! The commands that end by themselves.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Done, Fake, Home, address, send};

#[test]
fn a_token_and_the_headers_of_a_request_are_printed() {
    let (fake, home) = (Fake::new(), Home::new());
    home.log_in(&fake);
    let token = home.run(["token"]).ok();
    let as_json = home.run(["token", "--json"]).json();
    assert_eq!(as_json["access_token"], token.as_str());
    assert_eq!(as_json["mode"], "provider");
    assert!(as_json["expires_at"].as_u64().is_some());
    let customer = home.run(["token", "--mode", "customer"]).ok();
    assert_ne!(customer, token);
    let headers = home.run(["headers", "--provider-id", "7"]).out();
    assert_eq!(
        headers,
        format!(
            "Authorization: Bearer {token}\nTeamUp-Request-Mode: provider\nTeamUp-Provider-ID: 7\n"
        )
    );
    let headers = home.run(["headers", "--json", "--scheme", "token"]).json();
    assert_eq!(headers["Authorization"], format!("Token {token}"));
    assert_eq!(fake.count("refresh_requests"), 0);
}

#[test]
fn without_a_login_the_exit_code_says_so() {
    let home = Home::new();
    for command in ["token", "headers", "refresh", "status"] {
        let done = home.run([command, "--base-url", "http://127.0.0.1:9/api/v2"]);
        assert_eq!(done.code(), 3, "{command}: {}", done.err());
    }
    assert!(home.run(["token"]).err().contains("teamup-auth login"));
}

#[test]
fn an_endpoint_that_is_out_of_reach_is_an_exit_code_of_its_own() {
    let (fake, home) = (Fake::new(), Home::new());
    home.log_in(&fake);
    fake.post(
        "/faults",
        &json!({"on": "refresh", "times": null, "fault": "status", "status": 503}),
    );
    let done = home.run(["refresh"]);
    assert_eq!(done.code(), 4, "{}", done.err());
    // The token that is there goes on.
    home.run(["token"]).ok();
}

#[test]
fn a_refused_token_is_replaced_and_a_replaced_one_is_not_refreshed_again() {
    let (fake, home) = (Fake::new(), Home::new());
    home.log_in(&fake);
    let refused = home.run(["token"]).ok();
    fake.post("/expire", &json!({}));
    let next = home.run_with_input(["token", "--refused"], &refused).ok();
    assert_ne!(next, refused);
    assert_eq!(home.run_with_input(["token", "--refused"], &refused).ok(), next);
    assert_eq!(fake.count("rotations"), 1);
}

#[test]
fn refresh_refreshes_and_logout_forgets() {
    let (fake, home) = (Fake::new(), Home::new());
    home.log_in(&fake);
    let token = home.run(["token"]).ok();
    home.run(["refresh"]).ok();
    assert_ne!(home.run(["token"]).ok(), token);
    assert!(home.run(["status"]).ok().contains("default"));
    home.run(["logout"]).ok();
    assert_eq!(home.run(["status", "--json"]).code(), 3);
    assert_eq!(home.run(["token"]).code(), 3);
    home.run(["logout"]).ok();
    assert_eq!((fake.count("rotations"), fake.count("double_spends")), (1, 0));
}

#[test]
fn status_says_in_json_what_is_stored() {
    let (fake, home) = (Fake::new(), Home::new());
    let before = home.run(["status", "--json"]);
    assert_eq!(before.code(), 3);
    let before: Value = serde_json::from_str(&before.out()).unwrap();
    assert_eq!(before["login_required"], true);
    home.log_in(&fake);
    let status = home.run(["status", "--json"]).json();
    assert_eq!(status["login_required"], false);
    assert_eq!(status["base_url"], fake.base_url());
    assert_eq!(status["tokens"]["provider"]["state"], "ready");
    assert_eq!(status["store"], "file");
    assert_eq!(fake.count("connections"), 0);
}

#[test]
fn p5_what_is_stored_can_be_read_by_its_user_alone() {
    let (fake, home) = (Fake::new(), Home::new());
    home.log_in(&fake);
    for file in [home.state().join("default.json"), home.config().join("profiles/default.toml")] {
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
    let mode = std::fs::metadata(home.state()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_password_login_takes_its_secrets_from_standard_input() {
    let (fake, home) = (Fake::new(), Home::new());
    let base_url = fake.base_url();
    let args =
        ["login", "--password", "--username", fake.text("username"), "--base-url", &base_url];
    let secrets = format!("{}\n{}\n", fake.text("direct_auth_key"), fake.text("password"));
    home.run_with_input(args, &secrets).ok();
    home.run(["token"]).ok();
    let wrong = home.run_with_input(args, &secrets.replace("horse", "house"));
    assert_eq!(wrong.code(), 1);
    assert!(!wrong.err().contains("battery"), "{}", wrong.err());
}

#[test]
fn a_second_factor_is_two_more_lines() {
    let (fake, home) = (Fake::with(["--two-factor", "271828"]), Home::new());
    let base_url = fake.base_url();
    let args =
        ["login", "--password", "--username", fake.text("username"), "--base-url", &base_url];
    let (key, password) = (fake.text("direct_auth_key"), fake.text("password"));
    let wrong = format!("{key}\n{password}\n+41791234567\n000000\n");
    assert_eq!(home.run_with_input(args, &wrong).code(), 1);
    let right = format!("{key}\n{password}\n+41791234567\n271828\n");
    home.run_with_input(args, &right).ok();
    home.run(["headers"]).ok();
}

#[test]
fn an_m2m_token_is_used_and_never_refreshed() {
    let (fake, home) = (Fake::new(), Home::new());
    let args = ["login", "--m2m", "--base-url", &fake.base_url()];
    home.run_with_input(args, &format!("{}\n", fake.text("m2m_token"))).ok();
    assert_eq!(home.run(["token"]).ok(), fake.text("m2m_token"));
    assert_eq!(home.run(["status", "--json"]).json()["m2m"], true);
    assert_eq!(home.run(["refresh"]).code(), 1);
    let mode = home.state().join("default.m2m").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // A later login of a person takes its place.
    home.log_in(&fake);
    assert_eq!(home.run(["status", "--json"]).json()["m2m"], false);
    home.run_with_input(args, &format!("{}\n", fake.text("m2m_token"))).ok();
    home.run(["logout"]).ok();
    assert_eq!(home.run(["token"]).code(), 3);
    assert_eq!(fake.count("refresh_requests"), 0);
}

#[test]
fn a_login_in_the_browser_comes_back_to_loopback() {
    let (fake, home) = (Fake::new(), Home::new());
    let mut command = home.command([
        "login",
        "--no-browser",
        "--client-id",
        fake.text("client_id"),
        "--base-url",
        &fake.base_url(),
    ]);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut err = std::io::BufReader::new(child.stderr.take().unwrap());
    let url = loop {
        let mut line = String::new();
        assert!(std::io::BufRead::read_line(&mut err, &mut line).unwrap() > 0);
        if line.starts_with("http://") {
            break line.trim().to_owned();
        }
    };
    // The person approves, and the browser follows the redirect.
    let api = address(&url);
    let target = url.split_once(&api).unwrap().1;
    let body = "decision=approve";
    let approved = send(
        &api,
        &format!(
            "POST {target} HTTP/1.1\r\nhost: {api}\r\nconnection: close\r\ncontent-type: \
             application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ),
    );
    let location = approved.header("location").unwrap().to_owned();
    let own = address(&location);
    let target = location.split_once(&own).unwrap().1;
    let page =
        send(&own, &format!("GET {target} HTTP/1.1\r\nhost: {own}\r\nconnection: close\r\n\r\n"));
    assert_eq!(page.status(), 200, "{page:?}");
    assert!(child.wait().unwrap().success());
    home.run(["token"]).ok();
    // The application is known from now on.
    let settings = std::fs::read_to_string(home.config().join("profiles/default.toml")).unwrap();
    assert!(settings.contains(fake.text("client_id")), "{settings}");
}

#[test]
fn p11_accounts_are_kept_apart_by_name() {
    let (one, other, home) = (Fake::new(), Fake::new(), Home::new());
    home.log_in(&one);
    let args = ["login", "--tokens", "--profile", "other", "--base-url", &other.base_url()];
    home.run_with_input(args, &other.start["tokens"].to_string()).ok();
    let first = home.run(["token"]).ok();
    let second = home.run(["token", "--profile", "other"]).ok();
    assert_ne!(first, second);
    home.run(["logout"]).ok();
    assert_eq!(home.run(["token", "--profile", "other"]).ok(), second);
}

#[test]
fn flags_come_from_the_environment_the_profile_and_the_file() {
    let (fake, home) = (Fake::new(), Home::new());
    home.log_in(&fake);
    std::fs::write(home.config().join("config.toml"), "[token]\njson = true\n").unwrap();
    assert_eq!(home.run(["token"]).json()["mode"], "provider");
    let mut with = home.command(["token"]);
    let done = with.env("TEAMUP_AUTH_MODE", "customer").output().unwrap();
    let json: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(json["mode"], "customer");
    let mut with = home.command(["token", "--mode", "provider"]);
    let done = with.env("TEAMUP_AUTH_MODE", "customer").output().unwrap();
    let json: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(json["mode"], "provider");
    // The login has noted the account's mode, which counts before the file's.
    std::fs::write(home.config().join("config.toml"), "mode = 'customer'\n").unwrap();
    assert_eq!(home.run(["token", "--json"]).json()["mode"], "provider");
    std::fs::write(home.config().join("config.toml"), "mod = 'customer'\n").unwrap();
    let refused = home.run(["token"]);
    assert_eq!(refused.code(), 1);
    assert!(refused.err().contains("config.toml"), "{}", refused.err());
}

#[test]
fn p5_no_secret_is_in_a_log_or_an_error() {
    let (fake, home) = (Fake::new(), Home::new());
    let base_url = fake.base_url();
    let args = ["login", "--tokens", "--base-url", &base_url, "--log", "trace"];
    let logged = home.run_with_input(args, &fake.start["tokens"].to_string());
    logged.ok();
    let refreshed = home.run(["refresh", "--log", "trace"]);
    refreshed.ok();
    fake.post("/revoke", &json!({}));
    let rejected = home.run(["refresh", "--log", "trace"]);
    assert_eq!(rejected.code(), 3);
    for done in [logged, refreshed, rejected] {
        assert!(done.err().len() > 100, "nothing was logged: {}", done.err());
        for word in ["fake-refresh-", "fake-provider-", "fake-customer-"] {
            assert!(!done.err().contains(word), "{}", done.err());
        }
    }
}

#[test]
fn completions_and_manual_pages_are_printed() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(home.run(["completions", shell]).out().contains("teamup-auth"), "{shell}");
    }
    assert!(home.run(["man"]).out().contains(".TH teamup-auth"));
    home.run(["man", home.path().to_str().unwrap()]).ok();
    assert!(home.path().join("teamup-auth-proxy.1").exists());
    let help = home.run(["--help"]).out();
    for command in [
        "login",
        "token",
        "headers",
        "status",
        "refresh",
        "logout",
        "proxy",
        "fake",
        "completions",
        "man",
    ] {
        home.run([command, "--help"]).ok();
        assert!(help.contains(&format!("  {command} ")), "{help}");
    }
}

#[test]
fn bash_completes_commands_and_flags() {
    let home = Home::new();
    let script = home.path().join("completions");
    std::fs::write(&script, home.run(["completions", "bash"]).out()).unwrap();
    for (typed, expected) in [
        ("teamup-auth pro", "proxy"),
        ("teamup-auth proxy --rewr", "--rewrite-urls"),
        ("teamup-auth token --mode cus", "customer"),
    ] {
        let ask = "source \"$1\"; COMP_WORDS=($2); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); \
                   function=$(complete -p teamup-auth); function=${function##*-F }; \
                   \"${function%% *}\" teamup-auth \"${COMP_WORDS[COMP_CWORD]}\" \
                   \"${COMP_WORDS[COMP_CWORD - 1]}\"; echo \"${COMPREPLY[@]}\"";
        let mut bash = std::process::Command::new("bash");
        bash.args(["-c", ask, "bash"]).arg(&script).arg(typed);
        assert_eq!(Done::of(bash).ok(), expected, "{typed}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let (fake, home) = (Fake::new(), Home::new());
    home.log_in(&fake);
    let mut child =
        home.command(["headers"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let done = child.wait_with_output().unwrap();
    let err = String::from_utf8(done.stderr).unwrap();
    assert!(!err.contains("panicked"), "{err}");
}

#[test]
fn nobody_who_reads_standard_error_is_no_failure() {
    let (fake, home) = (Fake::new(), Home::new());
    home.log_in(&fake);
    let mut child = home.command(["logout"]).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(home.run(["token"]).code(), 3);
}

#[test]
fn input_that_is_not_there_is_said() {
    let home = Home::new();
    let base_url = ["--base-url", "http://127.0.0.1:9/api/v2"];
    for way in [&["login", "--m2m"][..], &["login", "--tokens"], &["login"]] {
        let done = home.run(way.iter().chain(&base_url));
        assert_eq!(done.code(), 1, "{way:?}: {}", done.err());
        std::io::stderr().write_all(done.err().as_bytes()).unwrap();
    }
    assert_eq!(home.run(["login", "--password"]).code(), 2);
    assert_eq!(home.run(["token", "--profile", "../x"]).code(), 1);
    assert_eq!(home.run(["token", "--store", "mysql://x/"]).code(), 1);
    let password = home.run(["token", "--store", "redis://:s3cret@127.0.0.1:9/"]);
    assert_eq!(password.code(), 1);
    assert!(!password.err().contains("s3cret"), "{}", password.err());
}
