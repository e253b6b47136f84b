//! What the examples print: the server's own account of what arrived.

use std::process::ExitCode;

use http::StatusCode;
use tokio::task::JoinSet;
use tower_teamup_auth::testing::{Entry, FakeTeamUp};

/// Prints step after step, and keeps account.
pub(crate) struct Account<'a> {
    server: &'a FakeTeamUp,
    /// So many entries of the journal have been printed.
    printed: usize,
    callers: usize,
    ok: usize,
    as_expected: bool,
}

impl<'a> Account<'a> {
    pub(crate) fn of(server: &'a FakeTeamUp) -> Self {
        println!("A TeamUp-like server listens on {}.\n", server.origin());
        Account { server, printed: 0, callers: 0, ok: 0, as_expected: true }
    }

    /// Waits for the callers of a step and prints what the server saw of them. Every caller is
    /// expected to get a 200, and the refreshes to be this many.
    pub(crate) async fn step<E: std::fmt::Debug + 'static>(
        &mut self,
        callers: JoinSet<Result<StatusCode, E>>,
        expected_refreshes: usize,
    ) {
        let answers = callers.join_all().await;
        for answer in &answers {
            if !matches!(answer, Ok(StatusCode::OK)) {
                println!("    a caller got {answer:?}");
            }
        }
        let ok = answers.iter().filter(|answer| matches!(answer, Ok(StatusCode::OK))).count();
        let journal = self.server.journal();
        let new = &journal.entries()[self.printed..];
        for (count, what) in grouped(new) {
            println!("    server saw {count:>4} × {what}");
        }
        let refreshes = new.iter().filter(|entry| entry.refresh_outcome().is_some()).count();
        println!(
            "    callers: {} asked, {ok} answered 200; refreshes: {refreshes}\n",
            answers.len()
        );
        self.as_expected &= ok == answers.len() && refreshes == expected_refreshes;
        self.printed = journal.entries().len();
        self.callers += answers.len();
        self.ok += ok;
    }

    /// All but `ok` is the server's own count.
    pub(crate) fn last_line(self) -> ExitCode {
        let journal = self.server.journal();
        println!(
            "requests={} ok={} refreshes={} retried={} unauthorized_to_caller={}",
            journal.api_requests(),
            self.ok,
            journal.rotations(),
            journal.retries(),
            journal.unauthorized_to_caller(),
        );
        let good = self.as_expected
            && self.ok == self.callers
            && journal.unauthorized_to_caller() == 0
            && journal.double_spends() == 0;
        if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// The entries by kind, in the order in which each kind first came.
fn grouped(entries: &[Entry]) -> Vec<(usize, String)> {
    let mut groups: Vec<(usize, String)> = Vec::new();
    for entry in entries {
        let status = entry.status().map_or("no answer".to_owned(), |status| status.to_string());
        let (method, path) = (entry.method(), entry.path());
        let mut what = match (entry.refresh_outcome(), entry.mode()) {
            (Some(refresh_request), _) => format!("{method} {path} {status}: {refresh_request:?}"),
            (None, mode) => {
                let size = entry.body().map_or(0, |body| body.size());
                let body = if size > 0 { format!(" of {size} bytes") } else { String::new() };
                format!("{method} {path}{body} in {} mode {status}", mode.unwrap_or("no"))
            }
        };
        if entry.is_retry() {
            what += ", retried with the new token";
        }
        match groups.iter_mut().find(|(_, known)| *known == what) {
            Some((count, _)) => *count += 1,
            None => groups.push((1, what)),
        }
    }
    groups
}
