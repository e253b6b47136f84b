//! The stores of many credentials, in one table.

use std::fmt;

use super::statements::SqlDatabase;
use super::{Configuration, SqlStore};
use crate::error::Error;
use crate::store::StoreError;
use crate::store::family::{ListKeys, StoreFamily};

/// The [`SqlStore`]s of many credentials, one row for each; made by [`SqlStore::family`].
///
/// ```no_run
/// use tower_teamup_auth::store::PostgresStore;
/// use tower_teamup_auth::store::{ListKeys, StoreFamily};
///
/// # async fn example(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
/// let users = PostgresStore::new(pool).family();
/// let store = users.open("user-4711");
/// assert!(!users.list().await?.contains(&"user-4711".to_owned()));
/// # Ok(())
/// # }
/// ```
pub struct SqlFamily<DB: SqlDatabase> {
    configuration: Configuration<DB>,
}

impl<DB: SqlDatabase> SqlFamily<DB> {
    pub(super) fn new(configuration: Configuration<DB>) -> Self {
        SqlFamily { configuration }
    }
}

impl<DB: SqlDatabase> StoreFamily for SqlFamily<DB> {
    type Store = SqlStore<DB>;

    /// Any text is a key, so this never fails.
    fn open(&self, key: &str) -> Result<SqlStore<DB>, Error> {
        Ok(self.configuration.open(key))
    }
}

impl<DB: SqlDatabase> ListKeys for SqlFamily<DB> {
    async fn list(&self) -> Result<Vec<String>, StoreError> {
        let keys = || async {
            let mut connection = self.configuration.pool.acquire().await?;
            DB::keys(&mut connection, &self.configuration.table).await
        };
        let rows = self.configuration.run("list the keys", keys).await?;
        Ok(rows.iter().filter_map(|row| key_of(row)).collect())
    }
}

/// What marks an escape in the text of a row's key.
const ESCAPE: char = '\u{1}';

/// The text of a key in its row. PostgreSQL has no text with a NUL character.
pub(super) fn row_of(key: &str) -> String {
    key.replace(ESCAPE, "\u{1}1").replace('\0', "\u{1}0")
}

/// A row that no key has.
pub(super) fn row_of_check(owner: &str) -> String {
    format!("{ESCAPE}check-{owner}")
}

fn key_of(row: &str) -> Option<String> {
    let mut key = String::with_capacity(row.len());
    let mut characters = row.chars();
    while let Some(character) = characters.next() {
        key.push(match character {
            ESCAPE => match characters.next()? {
                '0' => '\0',
                '1' => ESCAPE,
                _ => return None,
            },
            character => character,
        });
    }
    Some(key)
}

impl<DB: SqlDatabase> Clone for SqlFamily<DB> {
    fn clone(&self) -> Self {
        SqlFamily { configuration: self.configuration.clone() }
    }
}

impl<DB: SqlDatabase> fmt::Debug for SqlFamily<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlFamily")
            .field("database", &DB::PRODUCT)
            .field("table", &self.configuration.table.to_string())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_key_has_a_row_of_its_own() {
        let keys = ["", "a", "a\0b", "a\u{1}b", "a\u{1}0b", "\0\u{1}", "\u{1}check-a", "Zoë"];
        let rows: std::collections::HashSet<_> = keys.iter().map(|key| row_of(key)).collect();
        assert_eq!(rows.len(), keys.len());
        for key in keys {
            assert!(!row_of(key).contains('\0'));
            assert_eq!(key_of(&row_of(key)).as_deref(), Some(key));
        }
        assert_eq!(key_of(&row_of_check("a")), None);
        assert!(!rows.contains(&row_of_check("a")));
    }
}
