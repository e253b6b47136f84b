//! What came of the calls, and what happened meanwhile.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::log::Log;
use crate::process::{allocated_mib, resident_mib, tasks};
use crate::runtimes::Happened;
use crate::world::World;

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
    pub(crate) taken: [[AtomicU64; 2]; 3],
    /// How often a process was stopped and continued.
    pub(crate) stops: AtomicUsize,
    /// Logins although the one before was good.
    pub(crate) new_logins: AtomicUsize,
    pub(crate) runtimes: Happened,
}

impl Account {
    pub(crate) fn note_stop(&self) {
        self.stops.fetch_add(1, Ordering::Relaxed);
    }

    /// Calls, those that were answered 200, and those that were given up.
    pub(crate) fn totals(&self) -> [usize; 3] {
        [self.requests(), self.count(End::Ok), self.count(End::Cancelled)]
    }

    pub(crate) fn note(&self, end: End) {
        self.ends[end as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count(&self, end: End) -> usize {
        self.ends[end as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn requests(&self) -> usize {
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
        let refresh_requests = world.refresh_requests();
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
