//! What the servers' journals, the log and the credentials say in the end.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::account::{Account, End};
use crate::log::Log;
use crate::processes::Report;
use crate::windows::Window;
use crate::world::{Lost, Site, World};

pub(crate) struct Outcome {
    details: Vec<String>,
    last_line: String,
    is_good: bool,
}

impl Outcome {
    /// # Errors
    ///
    /// When an audit has not seen all, so that there is nothing to judge by.
    pub(crate) async fn of(
        account: &Account,
        world: &World,
        lost: Lost,
        processes: Report,
        log: &Log,
    ) -> anyhow::Result<Self> {
        let elsewhere = world.elsewhere.seen().await?;
        let mut seen = Vec::new();
        for site in world.sites() {
            seen.push(site.seen().await?);
        }
        // A window explains that a token came again, and the login that this costs; nothing else does. The
        // first site has none.
        let steady = seen[0].all_allowed();
        let unexplained: usize = lost
            .logins
            .iter()
            .zip(&seen)
            .enumerate()
            .map(|(site, (logins, seen))| match site {
                0 => *logins,
                _ => logins.saturating_sub(seen.all_allowed()),
            })
            .sum();
        let rejected: usize = seen.iter().map(|seen| seen.rejected).sum();
        let lost_tokens = lost.credentials + processes.unsaved + unexplained + rejected;
        let double_spent = steady + seen.iter().map(|seen| seen.knowing).sum::<usize>();
        let leaked = elsewhere.with_a_token + log.leaks() + processes.leaks;
        let mixed: usize = seen.iter().map(|seen| seen.mixed).sum();
        let retried = log.retries() + processes.retried;
        let entries = elsewhere.entries + seen.iter().map(|seen| seen.entries).sum::<usize>();
        let allowed = Window::ALL.map(|window| {
            let times: usize = seen[1..].iter().map(|seen| seen.allowed[window as usize]).sum();
            format!("{window}={times}")
        });

        let count = |end| account.count(end);
        let number = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        let failovers: usize = world.stores.iter().map(|store| store.failovers()).sum();
        let logins = number(&account.new_logins);
        let (stops, runtimes) = (number(&account.stops), number(&account.runtimes.ended));
        let [allocated, held, tasks] = account.taken.each_ref().map(|[first, last]| {
            format!("{} → {}", first.load(Ordering::Relaxed), last.load(Ordering::Relaxed))
        });
        let rotations = world.sites().map(|site: &Site| site.server.rotations().to_string());
        let details = vec![
            format!(
                "calls that ended otherwise: 401 {}, no token for the moment {}, refused to a login \
                 that was due {}, failed by a fault of the API's {}; to another host {}",
                count(End::Unauthorized),
                count(End::WithoutToken),
                count(End::ToLogInAgain),
                count(End::Failed),
                count(End::Elsewhere),
            ),
            format!(
                "processes stopped and continued: {stops}; failovers of a store: {failovers}; runtimes \
                 that ended: {runtimes}, {} of them with a refresh request under way; that stood still: {}",
                number(&account.runtimes.with_a_request),
                number(&account.runtimes.stood_still),
            ),
            format!(
                "rotations unanswered: {}; new logins without need: {}, where a window allows it: {}; rotations of each \
                 server: {}; entries audited: {entries}; lines of log searched: {}",
                seen[1].lost_answers,
                logins,
                lost.logins[1..].iter().sum::<usize>(),
                rotations.join(", "),
                log.lines() + processes.lines,
            ),
            format!(
                "the most of the second third of the time → of the last: {allocated} MiB allocated, \
                 {held} MiB held, {tasks} tasks",
            ),
            format!("spent tokens that came again as the guarantees allow: {}", allowed.join(" ")),
        ];
        let ok = count(End::Ok) + processes.ok;
        let last_line = format!(
            "requests={} ok={ok} retried={retried} refresh_requests={} cancelled={} \
             lost={lost_tokens} double_spent={double_spent} leaked={leaked} mixed={mixed}",
            account.requests() + processes.requests,
            world.refresh_requests(),
            count(End::Cancelled) + processes.cancelled,
        );
        let happened =
            [ok, retried, elsewhere.entries, processes.ok, stops, failovers, runtimes, logins];
        let is_good = !happened.contains(&0) && lost_tokens + double_spent + leaked + mixed == 0;
        Ok(Outcome { details, last_line, is_good })
    }

    pub(crate) fn print(&self, base: usize, tasks: usize) {
        self.details.iter().for_each(|line| println!("{line}"));
        println!("tasks after: {tasks}, before: {base}");
        println!("{}", self.last_line);
    }

    pub(crate) fn is_good(&self) -> bool {
        self.is_good
    }
}
