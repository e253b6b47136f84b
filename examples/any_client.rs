//! Tokens for a client that this crate has no adapter for: ureq, which is synchronous.
//!
//! ```text
//! cargo run -p examples --example any_client
//! ```
//!
//! Eight threads ask a TeamUp-like server on loopback, each through ureq. The credential lives in a
//! runtime of its own. The server refuses the token in the midst of it; the threads report that, share
//! one refresh, and go on.

use std::sync::Arc;
use std::thread;

use tower_teamup_auth::client::CurrentToken;
use tower_teamup_auth::testing::FakeTeamUp;
use tower_teamup_auth::{BoxError, Credentials, Error, RequestMode};

const THREADS: usize = 8;
const CALLS: usize = 5;

/// The API, for synchronous code. A clone is the same.
#[derive(Clone)]
struct Api {
    agent: ureq::Agent,
    credentials: Credentials,
    runtime: Arc<tokio::runtime::Runtime>,
}

impl Api {
    fn new(credentials: Credentials, runtime: tokio::runtime::Runtime) -> Self {
        // A 401 is an answer to be read, and a redirect is the caller's to follow.
        let config = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0);
        Api { agent: config.build().into(), credentials, runtime: Arc::new(runtime) }
    }

    /// The status of a GET. A token that is refused is reported, and the request sent once more.
    fn get(&self, url: &str) -> Result<u16, BoxError> {
        let mode = RequestMode::Provider;
        let token = self.runtime.block_on(self.credentials.access_token(mode))?;
        let status = self.send(url, &token)?;
        if status != 401 {
            return Ok(status);
        }
        let token: Result<CurrentToken, Error> = self.runtime.block_on(token.report_refused());
        self.send(url, &token?)
    }

    fn send(&self, url: &str, token: &CurrentToken) -> Result<u16, BoxError> {
        let mut request = self.agent.get(url);
        for (name, value) in &token.headers() {
            request = request.header(name, value);
        }
        Ok(request.call()?.status().as_u16())
    }
}

fn main() -> Result<(), BoxError> {
    let teamup = FakeTeamUp::start_blocking();
    // Refreshes run here whatever the threads do: one of two workers is always free for them.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let credentials = Credentials::builder(RequestMode::Provider)
        .base_url(teamup.base_url())
        .tokens(teamup.issue_tokens(&[RequestMode::Provider]));
    let credentials = runtime.block_on(credentials.build())?;
    let api = Api::new(credentials, runtime);

    let url = teamup.url("/events");
    for round in 1..=2 {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let (api, url) = (api.clone(), url.clone());
                thread::spawn(move || (0..CALLS).map(|_| api.get(&url)).collect::<Vec<_>>())
            })
            .collect();
        for answers in threads {
            for status in answers.join().map_err(|_| "a thread panicked")? {
                assert_eq!(status?, 200);
            }
        }
        println!("round {round}: {} answers, {} refreshes", THREADS * CALLS, teamup.rotations());
        teamup.expire_access_tokens();
    }
    api.runtime.block_on(api.credentials.shutdown())?;
    assert_eq!((teamup.rotations(), teamup.double_spends()), (1, 0), "{}", teamup.journal());
    println!("every thread was answered, with one refresh for all");
    Ok(())
}
