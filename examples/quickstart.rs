//! The crate's main job, over real TCP: tokens expire under many concurrent callers, one refresh
//! each, everybody answered.
//!
//! ```text
//! cargo run --example quickstart
//! ```
//!
//! Starts a TeamUp-like server on loopback and prints what it saw at each step. Exits 0 only if
//! every caller was answered 200 and each expiry of a mode cost exactly one refresh.

use std::process::ExitCode;
use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::task::JoinSet;
use tower::{BoxError, ServiceBuilder, ServiceExt};
use tower_teamup_auth::client::{HyperClient, hyper_client};
use tower_teamup_auth::testing::{CALLER, Entry, FakeTeamUp};
use tower_teamup_auth::token::Clock;
use tower_teamup_auth::{Auth, AuthLayer, Credentials, RequestMode};

const CALLERS: usize = 100;
const TWO_HOURS: Duration = Duration::from_secs(2 * 60 * 60);

#[tokio::main]
async fn main() -> Result<ExitCode, BoxError> {
    let server = FakeTeamUp::builder().access_token_lifetime(TWO_HOURS).start().await;
    println!("A TeamUp-like server listens on {}.\n", server.origin());

    // A clock that can be moved stands in for two hours of waiting.
    let clock = Clock::tokio();
    let http_client: HyperClient = hyper_client();
    let credentials = Credentials::builder(RequestMode::Provider)
        .base_url(server.base_url())
        .tokens(server.issue_tokens(&[RequestMode::Provider]))
        .refresh_over(http_client.clone())
        .clock(clock.clone())
        .build()
        .await?;
    let api = ServiceBuilder::new().layer(AuthLayer::new(credentials.clone())).service(http_client);

    let mut show = Show { server: &server, seen: 0, callers: 0, ok: 0, as_expected: true };

    show.step("The token is good: 100 callers at once, in provider mode.");
    let answers = call(&api, &server, "good", |_| RequestMode::Provider);
    show.result([answers], 0).await;

    show.step("Two hours pass and the token expires. The credential knows, so nobody meets a 401.");
    server.advance(TWO_HOURS);
    clock.shift_wall(TWO_HOURS);
    let answers = call(&api, &server, "expired", |_| RequestMode::Provider);
    show.result([answers], 1).await;

    show.step("The server expires every token early. Nobody could know, so there are 401s.");
    server.expire_access_tokens();
    let answers = call(&api, &server, "early", |_| RequestMode::Provider);
    show.result([answers], 1).await;

    show.step("Every other caller acts in customer mode, for which there is no token yet.");
    let answers = call(&api, &server, "both", every_other);
    show.result([answers], 1).await;

    show.step("Both modes again, and in the middle of it everything expires.");
    let in_the_middle = server.api_requests() + CALLERS / 2;
    let first = call(&api, &server, "before", every_other);
    server.wait_for(|journal| journal.api_requests() >= in_the_middle).await;
    server.expire_access_tokens();
    let after = call(&api, &server, "after", every_other);
    show.result([first, after], 2).await;

    credentials.shutdown().await?;
    Ok(show.last_line())
}

fn every_other(caller: usize) -> RequestMode {
    RequestMode::ALL[caller % 2]
}

/// Lets all callers loose at once. The caller's name travels in a header, so that the server's
/// journal can tell who was repeated.
fn call(
    api: &Auth<HyperClient>,
    server: &FakeTeamUp,
    step: &str,
    mode: impl Fn(usize) -> RequestMode,
) -> JoinSet<Result<StatusCode, BoxError>> {
    (0..CALLERS)
        .map(|caller| {
            let request = Request::get(server.url("/events?page_size=1"))
                .header(CALLER, format!("{step}-{caller}"))
                .extension(mode(caller))
                .body(Full::default());
            let api = api.clone();
            async move {
                let response = api.oneshot(request?).await?;
                let status = response.status();
                response.into_body().collect().await?;
                Ok(status)
            }
        })
        .collect()
}

/// Prints the steps, and keeps account.
struct Show<'a> {
    server: &'a FakeTeamUp,
    seen: usize,
    callers: usize,
    ok: usize,
    as_expected: bool,
}

impl Show<'_> {
    fn step(&self, text: &str) {
        println!("{text}");
    }

    async fn result(
        &mut self,
        callers: impl IntoIterator<Item = JoinSet<Result<StatusCode, BoxError>>>,
        expected_refreshes: usize,
    ) {
        let mut answers = Vec::new();
        for callers in callers {
            answers.extend(callers.join_all().await);
        }
        let ok = answers.iter().filter(|answer| matches!(answer, Ok(StatusCode::OK))).count();
        let journal = self.server.journal();
        let entries = &journal.entries()[self.seen..];
        for (count, what) in grouped(entries) {
            println!("    server saw {count:>4} × {what}");
        }
        let refreshes = entries.iter().filter(|entry| entry.exchange().is_some()).count();
        println!(
            "    callers: {} asked, {ok} answered 200; refreshes: {refreshes}\n",
            answers.len()
        );
        self.as_expected &= ok == answers.len() && refreshes == expected_refreshes;
        self.seen = journal.entries().len();
        self.callers += answers.len();
        self.ok += ok;
    }

    /// All but `ok` is the server's own account.
    fn last_line(&self) -> ExitCode {
        let journal = self.server.journal();
        println!(
            "requests={} ok={} refreshes={} repeated={} unauthorized_to_caller={}",
            journal.api_requests(),
            self.ok,
            journal.rotations(),
            journal.repeats(),
            journal.unauthorized_to_caller(),
        );
        let good = self.as_expected
            && self.ok == self.callers
            && journal.unauthorized_to_caller() == 0
            && journal.double_spends() == 0;
        if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// The journal's entries by kind, in the order in which each kind first came.
fn grouped(entries: &[Entry]) -> Vec<(usize, String)> {
    let mut groups: Vec<(usize, String)> = Vec::new();
    for entry in entries {
        let status = entry.status().map_or("no answer".to_owned(), |status| status.to_string());
        let what = match (entry.exchange(), entry.mode()) {
            (Some(exchange), _) => {
                format!("{} {} {status}: {exchange:?}", entry.method(), entry.path())
            }
            (None, mode) => format!(
                "{} {} in {} mode {status}{}",
                entry.method(),
                entry.path(),
                mode.unwrap_or("no"),
                if entry.is_repeat() { ", repeated with the new token" } else { "" },
            ),
        };
        match groups.iter_mut().find(|(_, known)| *known == what) {
            Some((count, _)) => *count += 1,
            None => groups.push((1, what)),
        }
    }
    groups
}
