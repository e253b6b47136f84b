//! Where an M2M token comes from, for programs that go on running when it is replaced.
//!
//! An M2M token belongs to a business, acts in provider mode, and is never refreshed. It has an
//! expiry, and an application may have two at a time, so tokens are rotated by overlap: a new one is
//! made in TeamUp's dashboard and handed to the program while the old one still works. A program
//! that reads its token once, at its start, has to be restarted for that. With an [`M2mSource`] the
//! token is read again when the API refuses the old one: see [`Credentials::m2m_from`]. A program that
//! is told of the new token by other means calls [`Credentials::set_m2m_token`].
//!
//! [`Credentials::m2m_from`]: crate::Credentials::m2m_from
//! [`Credentials::set_m2m_token`]: crate::Credentials::set_m2m_token
//!
//! | source | for |
//! | --- | --- |
//! | [`TokenFile`] | a mounted secret that is replaced while the program runs |
//! | [`EnvironmentVariable`] | a program that is restarted for a new token |
//! | [`AccessToken`] | a token that is at hand |
//! | a closure | a secret manager |
//!
//! ```
//! use tower_teamup_auth::m2m::{M2mSource, TokenFile};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower_teamup_auth::BoxError> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("teamup-token");
//! std::fs::write(&path, "the-first-token\n")?;
//! let source = TokenFile::new(&path);
//! assert_eq!(source.token().await?.expose(), "the-first-token");
//!
//! std::fs::write(&path, "the-second-token\n")?;
//! assert_eq!(source.token().await?.expose(), "the-second-token");
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::fs::File;
use std::future::Future;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::error::BoxError;
use crate::token::AccessToken;

/// How many bytes of a token file are read: 64 KiB. A token needs a few hundred.
const FILE_LIMIT: u64 = 64 * 1024;

/// Where the M2M token is now.
///
/// A credential asks again when the API has refused the token that it got last. An error leaves the
/// last token in use.
///
/// A closure is one that is asked each time: of a secret manager, for instance.
///
/// ```
/// use tower_teamup_auth::m2m::M2mSource;
/// use tower_teamup_auth::token::AccessToken;
/// use tower_teamup_auth::{BoxError, Credentials};
///
/// async fn ask_the_secret_manager(name: &str) -> Result<String, BoxError> {
///     Ok(format!("token-of-{name}"))
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let credentials = Credentials::m2m_from(|| async {
///     let text = ask_the_secret_manager("teamup").await?;
///     Ok(AccessToken::new(text)?)
/// })
/// .build()
/// .await?;
/// # Ok::<(), BoxError>(())
/// # })?;
/// # Ok::<(), BoxError>(())
/// ```
pub trait M2mSource: Send + Sync + 'static {
    /// The token as it is now.
    ///
    /// # Errors
    ///
    /// When there is none, or it can't be read. The error holds no token.
    fn token(&self) -> impl Future<Output = Result<AccessToken, BoxError>> + Send;
}

/// The source with its future boxed, so that a credential holds any source without a type parameter.
pub(crate) trait DynM2mSource: Send + Sync + 'static {
    fn read(&self) -> Pin<Box<dyn Future<Output = Result<AccessToken, BoxError>> + Send + '_>>;
}

impl<S: M2mSource> DynM2mSource for S {
    fn read(&self) -> Pin<Box<dyn Future<Output = Result<AccessToken, BoxError>> + Send + '_>> {
        Box::pin(M2mSource::token(self))
    }
}

impl<F, R> M2mSource for F
where
    F: Fn() -> R + Send + Sync + 'static,
    R: Future<Output = Result<AccessToken, BoxError>> + Send,
{
    fn token(&self) -> impl Future<Output = Result<AccessToken, BoxError>> + Send {
        self()
    }
}

/// One source for several credentials.
impl<S: M2mSource> M2mSource for Arc<S> {
    fn token(&self) -> impl Future<Output = Result<AccessToken, BoxError>> + Send {
        S::token(self)
    }
}

/// The same token, always.
impl M2mSource for AccessToken {
    async fn token(&self) -> Result<AccessToken, BoxError> {
        Ok(self.clone())
    }
}

/// The token in a file: a mounted secret, for instance.
///
/// The file is opened anew each time, so a symbolic link that is moved, as Kubernetes does with a
/// secret's files, is followed to its new place. White space at the end, such as a line break, is
/// not part of the token.
///
/// Replace the file by renaming another over it: one that is written in place can be read half
/// written. A half of a token can't be told from a whole one.
#[derive(Clone, Debug)]
pub struct TokenFile(PathBuf);

impl TokenFile {
    /// The token in the file at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        TokenFile(path.into())
    }
}

impl M2mSource for TokenFile {
    /// Reads the file on a thread where that may take its time.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    async fn token(&self) -> Result<AccessToken, BoxError> {
        let path = self.0.clone();
        tokio::task::spawn_blocking(move || read(&path)).await?
    }
}

fn read(path: &Path) -> Result<AccessToken, BoxError> {
    let fail = |why: &dyn fmt::Display| format!("the M2M token file {}: {why}", path.display());
    let file = File::open(path).map_err(|error| fail(&error))?;
    // Room for all of it at once: a buffer that grows leaves copies of the token behind.
    let mut text = Zeroizing::new(Vec::with_capacity(1024));
    file.take(FILE_LIMIT + 1).read_to_end(&mut text).map_err(|error| fail(&error))?;
    if text.len() as u64 > FILE_LIMIT {
        return Err(fail(&"it is longer than 64 KiB").into());
    }
    let text = std::str::from_utf8(&text).map_err(|_| fail(&"it is not text"))?;
    AccessToken::new(text.trim_end()).map_err(|error| fail(&error).into())
}

/// The token in an environment variable.
///
/// A running program's environment does not change from outside: restart it for a new token, or use
/// a [`TokenFile`].
#[derive(Clone, Debug)]
pub struct EnvironmentVariable(String);

impl EnvironmentVariable {
    /// The token in the variable of this name.
    pub fn new(name: impl Into<String>) -> Self {
        EnvironmentVariable(name.into())
    }
}

impl M2mSource for EnvironmentVariable {
    async fn token(&self) -> Result<AccessToken, BoxError> {
        let fail = |why: &dyn fmt::Display| format!("the environment variable {}: {why}", self.0);
        // Its error would show a value that is not Unicode.
        let text = std::env::var_os(&self.0).ok_or_else(|| fail(&"it is not set"))?;
        let text = text.to_str().ok_or_else(|| fail(&"it is not text"))?;
        AccessToken::new(text.trim_end()).map_err(|error| fail(&error).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn token_file_is_read_anew_each_time_through_a_moved_link_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name| folder.path().join(name);
        let source = TokenFile::new(path("token"));
        assert!(source.token().await.unwrap_err().to_string().contains("token"));
        std::fs::write(path("token"), "first\r\n").unwrap();
        assert_eq!(source.token().await.unwrap().expose(), "first");
        std::fs::write(path("second"), "second").unwrap();
        std::fs::rename(path("second"), path("token")).unwrap();
        assert_eq!(source.token().await.unwrap().expose(), "second");

        #[cfg(unix)]
        {
            std::fs::write(path("third"), "third").unwrap();
            std::os::unix::fs::symlink(path("third"), path("link")).unwrap();
            std::fs::rename(path("link"), path("token")).unwrap();
            assert_eq!(source.token().await.unwrap().expose(), "third");
        }
    }

    #[tokio::test]
    async fn p5_file_that_holds_no_token_is_an_error_that_shows_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let source = TokenFile::new(&path);
        let long = "s3cret".repeat(70_000);
        for text in [&b""[..], b"\n", b"s3cret and more", b"s3cret\xFF", long.as_bytes()] {
            std::fs::write(&path, text).unwrap();
            let error = source.token().await.unwrap_err();
            assert!(error.to_string().starts_with("the M2M token file"), "{error}");
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
        }
    }

    #[tokio::test]
    async fn variable_that_is_not_set_is_named() {
        let source = EnvironmentVariable::new("TEAMUP_TEST_NO_SUCH_VARIABLE");
        let error = source.token().await.unwrap_err();
        assert!(error.to_string().contains("TEAMUP_TEST_NO_SUCH_VARIABLE: it is not set"));
        let path = EnvironmentVariable::new("CARGO_PKG_NAME").token().await.unwrap();
        assert_eq!(path.expose(), "tower-teamup-auth");
    }
}
