//! A connection that must not go back to its pool in the middle of its work.

use sqlx::Database;
use sqlx::pool::PoolConnection;

/// A connection whose work is not finished. Dropped before that it is closed, and the database undoes the work.
///
/// sqlx rolls no transaction back whose `BEGIN` was not answered when its future was dropped. The next statement
/// over that connection would be a part of it, and nobody else would see what it saves.
pub(super) struct Unfinished<DB: Database> {
    pub(super) connection: PoolConnection<DB>,
    is_finished: bool,
}

impl<DB: Database> Unfinished<DB> {
    pub(super) fn new(connection: PoolConnection<DB>) -> Self {
        Unfinished { connection, is_finished: false }
    }

    /// Gives the connection back to its pool.
    pub(super) fn finish(mut self) {
        self.is_finished = true;
    }
}

impl<DB: Database> Drop for Unfinished<DB> {
    fn drop(&mut self) {
        if !self.is_finished {
            self.connection.close_on_drop();
        }
    }
}
