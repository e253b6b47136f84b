//! Which users' credentials live: those that are kept in memory, and those that somebody else still
//! holds. No user ever has two that live.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tokio::sync::watch;

use crate::credentials::{Credentials, WeakCredentials};
use crate::error::Error;

/// How a build ended; everybody who waited for it receives the same.
pub(super) type Built = Result<Credentials, Error>;

/// So many credentials are looked at for one that may leave the memory, each time that one is too many.
const MOST_LOOKS: usize = 16;

/// Entries of credentials that are gone are swept out when there are twice as many as after the last
/// sweep, and so many at least.
const FIRST_SWEEP: usize = 64;

pub(super) struct Users {
    entries: HashMap<Arc<str>, Entry>,
    /// The credentials that are kept, by the time of their last use, oldest first.
    order: BTreeMap<u64, Arc<str>>,
    uses: u64,
    most: usize,
    sweep_at: usize,
    closed: bool,
}

enum Entry {
    /// One task builds it. `keep`: somebody who waits wants it kept in memory.
    Building { done: watch::Receiver<Option<Built>>, keep: bool },
    /// Its record is being removed. The sender is dropped at the end.
    Removing(watch::Receiver<()>),
    /// It lives, or did so when it was last looked at.
    Known { weak: WeakCredentials, kept: Option<Kept> },
}

struct Kept {
    credentials: Credentials,
    last_use: u64,
}

/// What is to be done to have the credential of a key.
pub(super) enum LookUp {
    Found(Credentials),
    Wait(watch::Receiver<Option<Built>>),
    WaitForRemoval(watch::Receiver<()>),
    /// The caller has to build it, and to tell the result here.
    Build(watch::Sender<Option<Built>>),
    Closed,
}

/// What has left the memory: to be dropped outside of the lock.
pub(super) type Evicted = Vec<Credentials>;

impl Users {
    pub(super) fn new(most: usize) -> Self {
        Users {
            entries: HashMap::new(),
            order: BTreeMap::new(),
            uses: 0,
            most,
            sweep_at: FIRST_SWEEP,
            closed: false,
        }
    }

    /// `keep`: it is used now, and is to stay in memory.
    pub(super) fn look_up(&mut self, key: &Arc<str>, keep: bool) -> (LookUp, Evicted) {
        if self.closed {
            return (LookUp::Closed, Evicted::new());
        }
        match self.entries.get_mut(key) {
            Some(Entry::Building { done, keep: kept }) => {
                *kept |= keep;
                return (LookUp::Wait(done.clone()), Evicted::new());
            }
            Some(Entry::Removing(done)) => {
                return (LookUp::WaitForRemoval(done.clone()), Evicted::new());
            }
            Some(Entry::Known { weak, .. }) => {
                if let Some(credentials) = weak.upgrade() {
                    let evicted = self.known(key, &credentials, keep);
                    return (LookUp::Found(credentials), evicted);
                }
            }
            None => {}
        }
        self.sweep();
        let (sender, done) = watch::channel(None);
        self.entries.insert(Arc::clone(key), Entry::Building { done, keep });
        (LookUp::Build(sender), Evicted::new())
    }

    /// The build of `key` has ended.
    pub(super) fn built(&mut self, key: &Arc<str>, built: &Built) -> Evicted {
        let Some(Entry::Building { keep, .. }) = self.entries.remove(key) else {
            return Evicted::new();
        };
        match built {
            Ok(credentials) => self.known(key, credentials, keep),
            Err(_) => Evicted::new(),
        }
    }

    fn known(&mut self, key: &Arc<str>, credentials: &Credentials, keep: bool) -> Evicted {
        let before = self.entries.remove(key);
        let mut kept = match before {
            Some(Entry::Known { kept, .. }) => kept,
            _ => None,
        };
        if keep {
            if let Some(kept) = &kept {
                self.order.remove(&kept.last_use);
            }
            self.uses += 1;
            self.order.insert(self.uses, Arc::clone(key));
            kept = Some(Kept { credentials: credentials.clone(), last_use: self.uses });
        }
        let weak = credentials.downgrade();
        self.entries.insert(Arc::clone(key), Entry::Known { weak, kept });
        self.evict()
    }

    /// Takes the least recently used ones out of memory, as long as there are too many. One with a
    /// refresh under way, with a lease or with tokens that are not in its store stays.
    fn evict(&mut self) -> Evicted {
        let mut evicted = Evicted::new();
        for _ in 0..MOST_LOOKS {
            if self.order.len() <= self.most {
                break;
            }
            let Some((_, key)) = self.order.pop_first() else { break };
            let Some(Entry::Known { weak, kept }) = self.entries.get_mut(&key) else { continue };
            match kept.take() {
                Some(rest) if rest.credentials.is_at_rest() => {
                    evicted.push(rest.credentials);
                    // Nobody else holds it, and nobody can come to hold it under this lock.
                    if weak.holders() == 1 {
                        self.entries.remove(&key);
                    }
                }
                Some(mut busy) => {
                    // It is in use, then.
                    self.uses += 1;
                    busy.last_use = self.uses;
                    *kept = Some(busy);
                    self.order.insert(self.uses, key);
                }
                None => {}
            }
        }
        evicted
    }

    /// Forgets the keys of credentials that nobody holds any more.
    fn sweep(&mut self) {
        if self.entries.len() < self.sweep_at {
            return;
        }
        self.entries.retain(|_, entry| match entry {
            Entry::Known { weak, kept } => kept.is_some() || weak.holders() > 0,
            Entry::Building { .. } | Entry::Removing(_) => true,
        });
        self.sweep_at = (self.entries.len() * 2).max(FIRST_SWEEP);
    }

    /// The credential of `key`, if it lives.
    pub(super) fn live(&self, key: &str) -> Option<Credentials> {
        match self.entries.get(key)? {
            Entry::Known { weak, .. } => weak.upgrade(),
            Entry::Building { .. } | Entry::Removing(_) => None,
        }
    }

    /// From here to [`removed`](Self::removed), whoever asks for `key` waits. `Err`: what has to be
    /// waited for before.
    pub(super) fn begin_removal(
        &mut self,
        key: &Arc<str>,
    ) -> Result<(Option<Credentials>, watch::Sender<()>), LookUp> {
        match self.entries.get(key) {
            Some(Entry::Building { done, .. }) => return Err(LookUp::Wait(done.clone())),
            Some(Entry::Removing(done)) => return Err(LookUp::WaitForRemoval(done.clone())),
            Some(Entry::Known { .. }) | None => {}
        }
        if self.closed {
            return Err(LookUp::Closed);
        }
        let live = self.live(key);
        let (sender, done) = watch::channel(());
        let before = self.entries.insert(Arc::clone(key), Entry::Removing(done));
        if let Some(Entry::Known { kept: Some(kept), .. }) = before {
            self.order.remove(&kept.last_use);
        }
        Ok((live, sender))
    }

    /// `still`: what lives of it all the same, because the removal has failed.
    pub(super) fn removed(&mut self, key: &Arc<str>, still: Option<&Credentials>) -> Evicted {
        self.entries.remove(key);
        match still {
            Some(credentials) => self.known(key, credentials, true),
            None => Evicted::new(),
        }
    }

    /// All that live.
    pub(super) fn all(&self) -> Vec<(Arc<str>, Credentials)> {
        let live = self.entries.iter().filter_map(|(key, entry)| match entry {
            Entry::Known { weak, .. } => Some((Arc::clone(key), weak.upgrade()?)),
            Entry::Building { .. } | Entry::Removing(_) => None,
        });
        live.collect()
    }

    /// Nothing is built from now on.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }
}
