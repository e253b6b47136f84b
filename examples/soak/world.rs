//! The servers, and those who have an account with them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tower_teamup_auth::Error;
use tower_teamup_auth::store::{FileStore, MemoryStore};
use tower_teamup_auth::testing::FakeTeamUp;

use crate::account::Account;
use crate::audit::{Audit, Seen};
use crate::failover::FailoverStore;
use crate::patience::within_patience;
use crate::processes::{NAME, Processes};
use crate::runtimes::Watched;
use crate::user::{Beginning, Kept, User, client_without_pool};
use crate::windows::Windows;

/// Entries that each journal keeps; the audits read each entry long before it goes.
const KEPT: usize = 5_000;
/// Other processes of one of the logins.
const PROCESSES: usize = 3;

pub(crate) struct World {
    /// Loses no answer that holds a rotated token.
    pub(crate) steady: Site,
    pub(crate) lossy: Site,
    /// Its users keep their tokens in a store that fails over.
    pub(crate) failover: Site,
    /// Its users call from runtimes that end.
    pub(crate) runtimes: Site,
    /// Another host: no token may arrive there.
    pub(crate) elsewhere: Site,
    pub(crate) stores: Vec<FailoverStore>,
    pub(crate) processes: Processes,
    _folder: tempfile::TempDir,
}

/// A server, its journal's reader, and its users.
pub(crate) struct Site {
    pub(crate) server: FakeTeamUp,
    pub(crate) audit: Audit,
    windows: Windows,
    pub(crate) users: Vec<Arc<User>>,
}

impl World {
    pub(crate) async fn start(account: &Arc<Account>) -> anyhow::Result<Self> {
        let elsewhere = Site::start("elsewhere", Duration::from_secs(3600)).await;
        let site = async |name| Site::start(name, Duration::from_secs(1)).await;
        let (mut steady, mut lossy) = (site("steady").await, site("lossy").await);
        let (mut failover, mut runtimes) = (site("failover").await, site("runtimes").await);
        let folder = tempfile::tempdir()?;
        let file = |name: &str| Kept::InAFile(FileStore::new(Path::join(folder.path(), name)));
        let memory = || Kept::InMemory(MemoryStore::new());
        let mut stores = Vec::new();
        for http2 in [false, true] {
            let number = if http2 { 2 } else { 1 };
            let beginning = |site: &Site, name: &str, store| {
                let (server, elsewhere) = (site.server.clone(), elsewhere.server.clone());
                let name = format!("{name}-{number}");
                Beginning { name, server, elsewhere, http2, store, watched: None }
            };
            let shared = file(&format!("shared-{number}.json"));
            let own = file(&format!("own-{number}.json"));
            for (name, store) in [("none", Kept::Nowhere), ("memory", memory()), ("own", own)] {
                steady.users.push(beginning(&steady, name, store).log_in().await?);
            }
            // Two processes on one file.
            steady.users.push(beginning(&steady, "shared", shared.clone()).log_in().await?);
            steady.users.push(beginning(&steady, "shared", shared).join().await?);
            for (name, store) in [("none", Kept::Nowhere), ("memory", memory())] {
                lossy.users.push(beginning(&lossy, name, store).log_in().await?);
            }
            let store = FailoverStore::new(failover.windows.clone());
            stores.push(store.clone());
            let store = Kept::WithFailovers(store);
            failover.users.push(beginning(&failover, "failover", store.clone()).log_in().await?);
            failover.users.push(beginning(&failover, "failover", store).join().await?);
            let mut beginning = beginning(&runtimes, "runtimes", memory());
            beginning.watched = Some(Watched {
                client: client_without_pool(http2),
                windows: runtimes.windows.clone(),
                account: Arc::clone(account),
            });
            runtimes.users.push(beginning.log_in().await?);
        }
        let path = folder.path().join("processes.json");
        let begun = Beginning {
            name: NAME.to_owned(),
            server: steady.server.clone(),
            elsewhere: elsewhere.server.clone(),
            http2: false,
            store: Kept::InAFile(FileStore::new(&path)),
            watched: None,
        };
        steady.users.push(begun.log_in().await?);
        let servers = [&steady, &elsewhere].map(|site| site.server.base_url());
        let processes = Processes::start(PROCESSES, servers, &path).await?;
        Ok(World {
            steady,
            lossy,
            failover,
            runtimes,
            elsewhere,
            stores,
            processes,
            _folder: folder,
        })
    }

    /// The servers that rotate tokens.
    pub(crate) fn sites(&self) -> [&Site; 4] {
        [&self.steady, &self.lossy, &self.failover, &self.runtimes]
    }

    pub(crate) fn users(&self) -> impl Iterator<Item = &Arc<User>> {
        self.sites().into_iter().flat_map(|site| &site.users)
    }

    /// Writes into the log what the credentials say of themselves.
    pub(crate) fn show_themselves(&self) {
        self.users().for_each(|user| user.show());
    }

    pub(crate) fn refresh_requests(&self) -> usize {
        self.sites().iter().map(|site| site.server.refresh_requests()).sum()
    }

    /// Who may have to do with `tasks` that don't end.
    pub(crate) fn what_is_left(&self, tasks: usize) -> String {
        let under_way = self.sites().map(|site| site.server.journal().under_way());
        for user in self.users() {
            eprintln!("{}: {:?}", user.name, user.credentials);
        }
        format!("{tasks} tasks are left, and {under_way:?} requests to the servers")
    }

    /// How many credentials can't refresh any more, now that nothing goes wrong, in memory or from
    /// what their store holds; and how many had to log in again.
    ///
    /// # Errors
    ///
    /// When one of them neither can nor says that it can't.
    pub(crate) async fn count_the_lost(&self) -> anyhow::Result<Lost> {
        let mut lost = Lost::default();
        // All at once: each may take its time.
        let recovered = join_all(self.users().map(|user| async move {
            let outcome = user.recovers().await;
            // A last answer or write may have been lost: then this is the time to notice.
            if !outcome.as_ref().is_err_and(Error::is_login_required) {
                return outcome;
            }
            user.log_in_again().await;
            user.recovers().await
        }));
        let recovered =
            within_patience("each credential had recovered or failed", recovered).await?;
        for (user, outcome) in self.users().zip(recovered) {
            lost.credentials += count(user, outcome, "in memory");
        }
        for (site, logins) in self.sites().into_iter().zip(&mut lost.logins) {
            for user in &site.users {
                *logins += user.logins().await;
            }
        }
        for user in self.users() {
            let what = format!("{} had shut down", user.name);
            let outcome = within_patience(&what, user.credentials.shutdown()).await?;
            lost.credentials += count(user, outcome, "at shutdown");
        }
        for user in self.users() {
            let what = format!("a new process had refreshed for {}", user.name);
            let outcome = within_patience(&what, user.what_is_stored_is_good()).await?;
            lost.credentials += count(user, outcome, "in the store");
        }
        Ok(lost)
    }

    /// Ends everything that has a task.
    ///
    /// # Errors
    ///
    /// When an audit has not seen all.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        for site in [self.steady, self.lossy, self.failover, self.runtimes, self.elsewhere] {
            drop(site.users);
            within_patience("a server had stopped", site.server.shutdown()).await?;
            site.audit.end().await?;
        }
        Ok(())
    }
}

fn count(user: &User, outcome: Result<(), Error>, place: &str) -> usize {
    let Err(error) = outcome else { return 0 };
    eprintln!("lost {place}: {}: {:?}: {error}", user.name, user.credentials);
    1
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lost {
    pub(crate) credentials: usize,
    /// New logins of the users of each site.
    pub(crate) logins: [usize; 4],
}

impl Site {
    async fn start(name: &'static str, lifetime: Duration) -> Self {
        let server = FakeTeamUp::builder().access_token_lifetime(lifetime).keep_entries(KEPT);
        let server = server.start().await;
        let windows = Windows::default();
        let audit = Audit::of(name, &server, windows.clone());
        Site { server, audit, windows, users: Vec::new() }
    }

    /// Everything that its audit has to say, now that every request is over.
    ///
    /// # Errors
    ///
    /// When the audit has not seen all, so that there is nothing to judge by.
    pub(crate) async fn seen(&self) -> anyhow::Result<Seen> {
        let all_over = self.server.wait_for(|journal| journal.under_way() == 0);
        within_patience("a server had answered every request", all_over).await?;
        self.audit.seen(self.server.api_requests() + self.server.refresh_requests()).await
    }
}
