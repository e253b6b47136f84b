//! A13: a command-line program that ends right after its request.

use std::ffi::OsString;
use std::time::Duration;

use tower_teamup_auth::Credentials;
use tower_teamup_auth::store::FileStore;
use tower_teamup_auth::testing::{FakeTeamUp, Fault};
use tower_teamup_auth::token::Clock;

use crate::process::{OtherProcess, part, say};
use crate::scene::{MODE, Place, api_of, process_on};
use crate::support::{Protocol, credentials, get};

/// How often the program is run.
const RUNS: usize = 20;

/// The program: one request, and the end of the process without a shutdown.
async fn run_program(base_url: &str, path: OsString, left: Duration) -> u16 {
    let client = Protocol::Http1.client::<crate::support::Body>();
    let clock = Clock::tokio();
    let credentials = Credentials::builder(MODE)
        .base_url(base_url)
        .refresh_client(client)
        .clock(clock.clone())
        .store(FileStore::new(path))
        .build()
        .await
        .unwrap();
    // What is left of the token as it was stored, but for this much.
    let until = credentials.status().ready_until().expect("a ready token");
    clock.shift_wall(until.duration_since(crate::time::wall_time()).unwrap() - left);
    let request = http::Request::get(format!("{base_url}/echo"));
    let request = request.body(crate::support::Body::default()).unwrap();
    crate::support::call(&api_of(&credentials), request).await.unwrap().status.as_u16()
}

/// Does the program's work if this process is one, and ends it.
fn was_the_program() -> bool {
    let Some((role, path)) = part::<OsString>() else { return false };
    let [base_url, left, threads] = *role.split(' ').collect::<Vec<_>>() else { panic!("{role}") };
    let left = Duration::from_secs(left.parse().unwrap());
    let mut runtime = match threads {
        "one" => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = runtime.enable_all().build().unwrap();
    say(&runtime.block_on(run_program(base_url, path, left)).to_string());
    // Nothing is dropped, and nothing is waited for.
    std::process::exit(0);
}

fn twenty_runs(name: &str, left: u64) {
    let server = FakeTeamUp::start_blocking();
    let place = Place::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let builder = credentials(&server, &Protocol::Http1.client()).store(place.store());
        builder
            .tokens(server.issue_tokens(&[MODE]))
            .build()
            .await
            .unwrap()
            .shutdown()
            .await
            .unwrap();
    });
    for run in 1..=RUNS {
        server.fail_refresh(Fault::delay(Duration::from_millis(300)));
        let threads = if run % 2 == 0 { "one" } else { "several" };
        let role = format!("{} {left} {threads}", server.base_url());
        let program = OtherProcess::start(name, &role, &place.path());
        assert_eq!(program.hear(), "200", "run {run}: {}", server.journal());
        program.passes();
        server.wait_for_blocking(|journal| journal.under_way() == 0);
        assert_eq!(server.rotations(), run, "run {run}: {}", server.journal());
    }
    assert_eq!((server.refresh_requests(), server.double_spends()), (RUNS, 0));
    assert_eq!(server.unauthorized(), 0, "{}", server.journal());
    runtime.block_on(async {
        let heir = process_on(&server, &place).await;
        heir.refresh(MODE).await.unwrap();
        let answer = crate::support::call(&api_of(&heir), get(&server, "/echo", "heir")).await;
        assert_eq!(answer.unwrap().status, 200);
    });
    assert_eq!(server.double_spends(), 0, "{}", server.journal());
}

#[test]
fn a13_a_program_that_ends_after_one_request_in_its_tokens_last_minutes_leaves_the_next_run_a_login()
 {
    if !was_the_program() {
        twenty_runs(
            "a_processes::a13_a_program_that_ends_after_one_request_in_its_tokens_last_minutes_\
             leaves_the_next_run_a_login",
            60,
        );
    }
}

#[test]
fn a13_a_program_that_ends_after_one_request_without_a_valid_token_leaves_the_next_run_a_login() {
    if !was_the_program() {
        twenty_runs(
            "a_processes::a13_a_program_that_ends_after_one_request_without_a_valid_token_leaves_\
             the_next_run_a_login",
            0,
        );
    }
}
