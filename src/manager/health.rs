//! How the users' credentials are, in counts.

use std::fmt;

use crate::credentials::status::Status;
use crate::error::Error;

/// How the credentials of a manager are at one moment, in counts. Made by
/// [`CredentialsManager::health`](super::CredentialsManager::health).
///
/// Each user whose credential is in memory counts as exactly one of ready, renewable, failing, login
/// required and signed out. `Display` is one line for a log or a health check.
#[derive(Clone, Debug, Default)]
pub struct Health {
    pub(super) ready: usize,
    pub(super) renewable: usize,
    pub(super) failing: usize,
    pub(super) login_required: usize,
    pub(super) signed_out: usize,
    pub(super) refreshing: usize,
    pub(super) unsaved: usize,
    pub(super) store_failure: Option<Error>,
}

impl Health {
    pub(super) fn count(&mut self, status: &Status) {
        let class = match status {
            _ if status.is_ready() => &mut self.ready,
            _ if status.is_signed_out() => &mut self.signed_out,
            _ if status.is_login_required() => &mut self.login_required,
            _ if status.is_healthy() => &mut self.renewable,
            _ => &mut self.failing,
        };
        *class += 1;
        self.refreshing += usize::from(status.is_refreshing());
        self.unsaved += usize::from(status.dirty().is_some());
    }

    /// Can every request be expected to be served, of users who are logged in? False while a user is
    /// failing, and while the store can't be read for users who are not in memory.
    ///
    /// A user who must log in again is no reason to restart a service.
    pub fn is_healthy(&self) -> bool {
        self.failing == 0 && self.store_failure.is_none()
    }

    /// Users whose credential is in memory.
    pub fn in_memory(&self) -> usize {
        self.ready + self.renewable + self.failing + self.login_required + self.signed_out
    }

    /// Users whose requests are sent at once, with a token that the API has not refused.
    pub fn ready(&self) -> usize {
        self.ready
    }

    /// Users whose next request waits for a refresh, which can be expected to succeed.
    pub fn renewable(&self) -> usize {
        self.renewable
    }

    /// Users whose requests can't be served for the moment: their token has expired or was refused,
    /// and no new one could be had.
    pub fn failing(&self) -> usize {
        self.failing
    }

    /// Users who must log in.
    pub fn login_required(&self) -> usize {
        self.login_required
    }

    /// Users who have signed out.
    pub fn signed_out(&self) -> usize {
        self.signed_out
    }

    /// Users for whom a refresh is under way.
    pub fn refreshing(&self) -> usize {
        self.refreshing
    }

    /// Users whose newest tokens are in memory and not in the store. Let the process run until there
    /// is none.
    pub fn unsaved(&self) -> usize {
        self.unsaved
    }

    /// Why the last credential could not be built from its store; `None` once one could.
    pub fn store_failure(&self) -> Option<&Error> {
        self.store_failure.as_ref()
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Health { ready, renewable, failing, login_required, signed_out, .. } = self;
        write!(
            f,
            "{ready} ready, {renewable} renewable, {failing} failing, {login_required} to log in, \
             {signed_out} signed out; {} refreshing, {} unsaved",
            self.refreshing, self.unsaved
        )?;
        match &self.store_failure {
            Some(error) => write!(f, "; {error}"),
            None => Ok(()),
        }
    }
}
