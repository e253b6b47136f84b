//! What a token store does: the trait, and the values it speaks in.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::StoreError;
use super::record::StoredRecord;

/// What a store answers to [`TokenStore::try_acquire`].
///
/// `lease` is `None` while another process has it. `record` is what the store holds; a store that
/// reads it in the same round trip hands it along, and the credential does not ask again.
#[derive(Debug)]
#[non_exhaustive]
pub struct Attempt<L> {
    /// The lease, if it was granted.
    pub lease: Option<L>,
    /// What the store holds, or why that can't be read; `None` where it was not read.
    pub record: Option<Result<Option<StoredRecord>, StoreError>>,
}

/// Which record a [save](TokenStore::save) may replace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Expected {
    /// None: the store is empty.
    Empty,
    /// The one of this revision.
    Revision(u64),
    /// Whatever is there, what can't be read included.
    Anything,
}

/// A place that keeps the [record](StoredRecord) of one credential, and that grants the exclusive
/// right to refresh it, the lease.
///
/// # Cancel safety
///
/// Each future may be dropped before it is done. A dropped `try_acquire` may leave the lease taken
/// until it runs out, and not longer. A dropped `save` must leave the old record or the new one,
/// never a mixture; the credential reads the store before it relies on either.
pub trait TokenStore: Send + Sync + 'static {
    /// The lease: data that names one grant. Dropping it has no effect of its own, except in a
    /// store whose system releases on drop (a file lock).
    type Lease: Clone + Send + Sync + 'static;

    /// Finds out whether the store will do its work, without waiting for the first rotation.
    ///
    /// Called once, while credentials are built: what it returns is their build error. It may make
    /// what the store needs (a folder, a table), and need not look at the record.
    ///
    /// # Errors
    ///
    /// When the store could not save a record as things are.
    fn check(&self) -> impl Future<Output = Result<(), StoreError>> + Send {
        async { Ok(()) }
    }

    /// Reads the record; `None` where nothing was ever saved.
    ///
    /// # Errors
    ///
    /// [`StoreError::corrupt`] for what is no record, [`StoreError::locked`] for a record that this
    /// process can't read (another key, a newer format), [`StoreError::unavailable`] otherwise.
    fn load(&self) -> impl Future<Output = Result<Option<StoredRecord>, StoreError>> + Send;

    /// Asks for the lease, and does not wait for it.
    ///
    /// # Errors
    ///
    /// When the store can't be asked. A lease that another process has is no error.
    fn try_acquire(&self) -> impl Future<Output = Result<Attempt<Self::Lease>, StoreError>> + Send;

    /// Makes the lease valid for its whole term again.
    ///
    /// # Errors
    ///
    /// [`StoreError::lease_lost`] when it has run out and may be another's; any other error leaves
    /// the lease as it was.
    fn renew(
        &self,
        lease: &Self::Lease,
    ) -> impl Future<Output = Result<Self::Lease, StoreError>> + Send {
        let lease = lease.clone();
        async { Ok(lease) }
    }

    /// Gives the lease back. A lease that was lost is given back without effect.
    ///
    /// # Errors
    ///
    /// When the store can't be told; the lease then counts as held until it runs out.
    fn release(&self, lease: Self::Lease) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// How much longer the lease is valid, as far as this process can tell without asking; zero
    /// when it has run out, `None` where a lease is valid until it is released.
    ///
    /// Asked right before a refresh request is sent.
    fn time_left(&self, lease: &Self::Lease) -> Option<Duration> {
        let _ = lease;
        None
    }

    /// Writes `record`, if the store still holds what is `expected`.
    ///
    /// Once this returns `Ok`, the record survives a crash of the program and, for a store on disk,
    /// of the machine. The same save may come once more, after its future was dropped or it failed:
    /// a store that holds this very record already returns `Ok`.
    ///
    /// # Errors
    ///
    /// [`StoreError::conflict`] when the store holds another revision. Any other error says that
    /// the write failed and may be repeated.
    fn save(
        &self,
        lease: &Self::Lease,
        expected: Expected,
        record: &StoredRecord,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes the record and whatever else the store keeps for this credential; an empty store is
    /// left as it is. For the erasure of a person's data; a sign-out saves a tombstone instead.
    ///
    /// # Errors
    ///
    /// When the store can't be written.
    fn delete(&self, lease: &Self::Lease) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Resolves when the record or the lease may have changed. By default after a pause of 50 to
    /// 250 ms, at random.
    fn changed(&self) -> impl Future<Output = ()> + Send {
        async { tokio::time::sleep(Duration::from_millis(fastrand::u64(50..=250))).await }
    }
}

/// One store, held in two places.
impl<S: TokenStore> TokenStore for Arc<S> {
    type Lease = S::Lease;

    fn check(&self) -> impl Future<Output = Result<(), StoreError>> + Send {
        S::check(self)
    }

    fn load(&self) -> impl Future<Output = Result<Option<StoredRecord>, StoreError>> + Send {
        S::load(self)
    }

    fn try_acquire(&self) -> impl Future<Output = Result<Attempt<S::Lease>, StoreError>> + Send {
        S::try_acquire(self)
    }

    fn renew(&self, lease: &S::Lease) -> impl Future<Output = Result<S::Lease, StoreError>> + Send {
        S::renew(self, lease)
    }

    fn release(&self, lease: S::Lease) -> impl Future<Output = Result<(), StoreError>> + Send {
        S::release(self, lease)
    }

    fn time_left(&self, lease: &S::Lease) -> Option<Duration> {
        S::time_left(self, lease)
    }

    fn save(
        &self,
        lease: &S::Lease,
        expected: Expected,
        record: &StoredRecord,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        S::save(self, lease, expected, record)
    }

    fn delete(&self, lease: &S::Lease) -> impl Future<Output = Result<(), StoreError>> + Send {
        S::delete(self, lease)
    }

    fn changed(&self) -> impl Future<Output = ()> + Send {
        S::changed(self)
    }
}

impl<L> Attempt<L> {
    /// The lease was granted.
    pub fn granted(lease: L) -> Self {
        Attempt { lease: Some(lease), record: None }
    }

    /// Another process has the lease.
    pub fn busy() -> Self {
        Attempt { lease: None, record: None }
    }

    /// Adds what the store holds.
    #[must_use]
    pub fn with_record(mut self, record: Result<Option<StoredRecord>, StoreError>) -> Self {
        self.record = Some(record);
        self
    }
}

impl Expected {
    /// The record that was found, and nothing else.
    pub fn found(record: Option<&StoredRecord>) -> Self {
        record.map_or(Expected::Empty, |record| Expected::Revision(record.revision()))
    }

    /// May `found` be replaced? What a store asks that compares by itself.
    pub fn allows(self, found: Option<&StoredRecord>) -> bool {
        self == Expected::Anything || self == Expected::found(found)
    }
}
