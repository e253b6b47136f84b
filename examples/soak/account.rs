//! What came of the calls, and what the servers have to say.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tower_teamup_auth::testing::FakeTeamUp;

use crate::audit::{Audit, Seen};
use crate::log::Log;
use crate::process::{allocated_mib, resident_mib, tasks};
use crate::world::{Lost, World};

/// How one call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// 200, and its body whole.
    Ok,
    /// Another host answered, as it does to a request without a token.
    Elsewhere,
    /// The caller gave up.
    Cancelled,
    /// The 401 came through: the body could not be sent again, the API was not content with a fresh
    /// token either, or there was no new one.
    Unauthorized,
    /// There was no token to send, for the moment.
    WithoutToken,
    /// A fault of the API's: a connection dropped, a status of 5xx or 429.
    Failed,
    /// A login is required.
    ToLogInAgain,
}

#[derive(Default)]
pub(crate) struct Account {
    ends: [AtomicUsize; 7],
    /// The most of the second third of the time and of the last: MiB allocated, MiB held, tasks.
    taken: [[AtomicU64; 2]; 3],
}

impl Account {
    pub(crate) fn note(&self, end: End) {
        self.ends[end as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self, end: End) -> usize {
        self.ends[end as usize].load(Ordering::Relaxed)
    }

    fn requests(&self) -> usize {
        self.ends.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// In the first third, pools and maps grow to their size.
    pub(crate) fn note_memory(&self, passed: u64, seconds: u64) {
        let Some(third) = (passed * 3).div_ceil(seconds).checked_sub(2) else { return };
        let taken = [allocated_mib(), resident_mib(), tasks() as u64];
        for (most, taken) in self.taken.iter().zip(taken) {
            most[usize::from(third > 0)].fetch_max(taken, Ordering::Relaxed);
        }
    }

    pub(crate) fn progress(&self, world: &World, log: &Log) -> String {
        let refresh_requests = world.steady.refresh_requests() + world.lossy.refresh_requests();
        let retried = log.retries();
        format!(
            "sent {} answered 200: {} retried {retried} refresh requests {refresh_requests} given up {} \
             memory {}, {} MiB tasks {}",
            self.requests(),
            self.count(End::Ok),
            self.count(End::Cancelled),
            allocated_mib(),
            resident_mib(),
            tasks(),
        )
    }
}

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
        log: &Log,
    ) -> anyhow::Result<Self> {
        let all = async |server: &FakeTeamUp, audit: &Audit| {
            // Every request is over.
            server.wait_for(|journal| journal.under_way() == 0).await;
            audit.seen(server.api_requests() + server.refresh_requests()).await
        };
        let steady = all(&world.steady, &world.audits.steady).await?;
        let lossy = all(&world.lossy, &world.audits.lossy).await?;
        let elsewhere = all(&world.elsewhere, &world.audits.elsewhere).await?;

        let rejected =
            world.steady.rejected_refresh_requests() + world.lossy.rejected_refresh_requests();
        // A login is explained by an answer that was lost, and by nothing else.
        let unexplained = lost.logins.saturating_sub(lossy.unknowing) + lost.steady_logins;
        let lost_tokens = lost.credentials + unexplained + rejected;
        let double_spent = steady.knowing + steady.unknowing + lossy.knowing;
        let leaked = elsewhere.with_a_token + log.leaks();
        let mixed = steady.mixed + lossy.mixed;
        let refresh_requests = world.steady.refresh_requests() + world.lossy.refresh_requests();
        let retried = log.retries();
        let count = |end| account.count(end);
        let [allocated, held, tasks] = account.taken.each_ref().map(|[first, last]| {
            format!("{} → {}", first.load(Ordering::Relaxed), last.load(Ordering::Relaxed))
        });
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
                "server that loses answers: {} rotations unanswered, {} tokens sent again unknowing, \
                 {} new logins",
                lossy.lost_answers, lossy.unknowing, lost.logins,
            ),
            format!(
                "rotations: {} steady, {} lossy; entries audited: {}; lines of log searched: {}",
                world.steady.rotations(),
                world.lossy.rotations(),
                [&steady, &lossy, &elsewhere].map(|seen: &Seen| seen.entries).iter().sum::<usize>(),
                log.lines(),
            ),
            format!(
                "the most of the second third of the time → of the last: {allocated} MiB allocated, \
                 {held} MiB held, {tasks} tasks",
            ),
        ];
        let last_line = format!(
            "requests={} ok={} retried={retried} refresh_requests={refresh_requests} cancelled={} \
             lost={lost_tokens} double_spent={double_spent} leaked={leaked} mixed={mixed}",
            account.requests(),
            count(End::Ok),
            count(End::Cancelled),
        );
        let happened = count(End::Ok) > 0 && retried > 0 && elsewhere.entries > 0;
        let is_good = happened && lost_tokens + double_spent + leaked + mixed == 0;
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
