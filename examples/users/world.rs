//! The world around the service: a TeamUp-like server, users who come at random, logins that are revoked,
//! and an account of all of it.

use std::collections::BTreeSet;
use std::future::Future;
use std::path::Path;
use std::sync::{Arc, Mutex};

use http::StatusCode;
use tokio::task::JoinSet;
use tower_teamup_auth::testing::FakeTeamUp;
use tower_teamup_auth::{BoxError, RequestMode, TokenSet};

use crate::scratch::Scratch;

const USERS: usize = 1_000;
const CALLERS: usize = 50;
const CALLS: usize = 20;
/// Logins that are revoked in each round.
const REVOKED: usize = 10;

pub(crate) struct World {
    server: FakeTeamUp,
    folder: Scratch,
    /// The number of each user's login at the server.
    logins: Vec<(TokenSet, u64)>,
    seen: Arc<Mutex<Seen>>,
    callers: Mutex<JoinSet<Result<(), BoxError>>>,
    mails: Mails,
}

#[derive(Default)]
struct Seen {
    requests: usize,
    answered: usize,
    /// Users who were told to log in again.
    to_log_in: BTreeSet<String>,
    revoked: BTreeSet<String>,
}

/// The users who got a mail.
#[derive(Clone, Default)]
pub(crate) struct Mails(Arc<Mutex<BTreeSet<String>>>);

impl Mails {
    pub(crate) fn please_log_in_again(&self, user: &str) {
        self.0.lock().expect("no panic").insert(user.to_owned());
    }
}

impl World {
    pub(crate) async fn new() -> anyhow::Result<Self> {
        let server = FakeTeamUp::builder().login_mode(RequestMode::Customer).start().await;
        let logins = (0..USERS).map(|_| {
            let tokens = server.issue_tokens(&[RequestMode::Customer]);
            let login = server.login_of(tokens.refresh_token().expose()).expect("it was issued");
            (tokens, login)
        });
        let logins = logins.collect();
        Ok(World {
            server,
            folder: Scratch::new("users")?,
            logins,
            seen: Arc::default(),
            callers: Mutex::default(),
            mails: Mails::default(),
        })
    }

    pub(crate) fn base_url(&self) -> String {
        self.server.base_url()
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn mails(&self) -> Mails {
        self.mails.clone()
    }

    /// The URL after `--postgres`.
    pub(crate) fn postgres(&self) -> Option<String> {
        std::env::args().skip_while(|argument| argument != "--postgres").nth(1)
    }

    /// What the login of each user has brought.
    pub(crate) fn first_logins(&self) -> impl Iterator<Item = (String, TokenSet)> {
        let users = self.logins.iter().enumerate();
        users.map(|(user, (tokens, _))| (format!("user-{user}"), tokens.clone()))
    }

    /// Every access token expires, and some users withdraw their consent.
    pub(crate) fn let_time_pass(&self) {
        self.server.expire_access_tokens();
        for _ in 0..REVOKED {
            let user = fastrand::usize(0..USERS);
            self.server.revoke_login(self.logins[user].1);
            self.seen.lock().expect("no panic").revoked.insert(format!("user-{user}"));
        }
    }

    /// Users come, many at once.
    pub(crate) fn visit<F, R>(&self, call: F)
    where
        F: Fn(String) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Result<Option<StatusCode>, BoxError>> + Send,
    {
        for _ in 0..CALLERS {
            let (seen, call) = (Arc::clone(&self.seen), call.clone());
            self.callers.lock().expect("no panic").spawn(async move {
                for _ in 0..CALLS {
                    let user = format!("user-{}", fastrand::usize(0..USERS));
                    let answer = call(user.clone()).await?;
                    let mut seen = seen.lock().expect("no panic");
                    seen.requests += 1;
                    match answer {
                        Some(StatusCode::OK) => seen.answered += 1,
                        Some(status) => println!("{user} got {status}"),
                        None => drop(seen.to_log_in.insert(user)),
                    }
                }
                Ok(())
            });
        }
    }

    pub(crate) async fn all_answered(&self) -> anyhow::Result<()> {
        let callers = std::mem::take(&mut *self.callers.lock().expect("no panic"));
        for ended in callers.join_all().await {
            ended.map_err(anyhow::Error::from_boxed)?;
        }
        Ok(())
    }

    pub(crate) fn account(&self) -> String {
        let (journal, seen) = (self.server.journal(), self.seen.lock().expect("no panic"));
        format!(
            "requests: {}; answered 200: {}; refreshes: {}; double spends: {}; users to log in \
             again: {} of {USERS}, mailed: {}",
            seen.requests,
            seen.answered,
            journal.rotations(),
            journal.double_spends(),
            seen.to_log_in.len(),
            self.mails.0.lock().expect("no panic").len(),
        )
    }

    /// Only users whose login was revoked have to log in again, each of them got a mail, and no token
    /// was spent twice.
    pub(crate) fn is_as_expected(&self) -> bool {
        let (journal, seen) = (self.server.journal(), self.seen.lock().expect("no panic"));
        let mails = self.mails.0.lock().expect("no panic");
        seen.requests == 4 * CALLERS * CALLS
            && seen.answered > seen.requests * 9 / 10
            && journal.rotations() >= USERS
            && journal.double_spends() == 0
            && !seen.to_log_in.is_empty()
            && seen.to_log_in.is_subset(&seen.revoked)
            && seen.to_log_in == *mails
    }
}
