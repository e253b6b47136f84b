//! The callback on this machine, for programs that are no web server (RFC 8252 section 7.3).

#[cfg(feature = "open-browser")]
mod browser;
mod page;
mod serve;

use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

#[cfg(feature = "open-browser")]
pub use self::browser::open_browser;
use self::serve::{Site, Visit, serve};
use super::error::{Kind, LoginError};
use super::oauth::OAuthLogin;
use super::pending::PendingAuthorization;
use crate::token::TokenSet;

/// How long a person may take to log in and to approve.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// The browser gets this long to read the last page.
const PAGE_TIMEOUT: Duration = Duration::from_secs(5);

/// Receives the callback of one login on 127.0.0.1.
///
/// For desktop and command-line programs. It answers the person with a page that says how the
/// login ended. A request that is none of this login's does not end it: one for another path (a
/// favicon), by another method, with another `Host` (a name that was pointed here), or with
/// another `state` (a tab of an earlier login).
///
/// ```no_run
/// use tower_teamup_auth::login::{LoopbackReceiver, OAuthLogin};
/// # async fn log_in() -> Result<(), tower_teamup_auth::BoxError> {
/// # #[cfg(feature = "hyper")] {
/// use tower_teamup_auth::client::{HyperClient, hyper_client};
///
/// let http_client: HyperClient = hyper_client();
/// let login = OAuthLogin::new("client-id", http_client);
/// let receiver = LoopbackReceiver::bind().await?;
/// let tokens = receiver.log_in(&login, |url| println!("Open this address: {url}")).await?;
/// # let _ = tokens;
/// # }
/// # Ok(())
/// # }
/// ```
///
/// [`receive`](LoopbackReceiver::receive) is the same in steps, for a program that stores the
/// tokens before the person reads that it worked.
#[derive(Debug)]
pub struct LoopbackReceiver {
    listener: TcpListener,
    port: u16,
    path: String,
    timeout: Duration,
}

/// A person who has come back, and waits for a page.
///
/// Dropped without an [`answer`](Callback::answer), it closes the connection. `Debug` does not show
/// the query, which holds the code.
pub struct Callback {
    query: String,
    page: oneshot::Sender<String>,
    /// Ends when the page is sent, or the browser is gone.
    sent: oneshot::Receiver<()>,
    /// The server. Its port and its connections are closed when it is dropped.
    server: JoinSet<()>,
}

impl LoopbackReceiver {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// When no port is free. [`LoginError::is_invalid_input`] is true of the error.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime with I/O enabled.
    pub async fn bind() -> Result<Self, LoginError> {
        LoopbackReceiver::bind_port(0).await
    }

    /// Listens on this port of 127.0.0.1, for an application whose redirect URI is registered with
    /// a port. 0 is any free one.
    ///
    /// # Errors
    ///
    /// When another program listens there. [`LoginError::is_invalid_input`] is true of the error.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime with I/O enabled.
    pub async fn bind_port(port: u16) -> Result<Self, LoginError> {
        let failed = |error: std::io::Error| {
            LoginError::invalid_input(format!("port {port} of 127.0.0.1 can't be listened on"))
                .with_source(error)
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let path = "/callback".to_owned();
        Ok(LoopbackReceiver { listener, port, path, timeout: DEFAULT_TIMEOUT })
    }

    /// The path of the redirect URI, beginning with `/`. The default is `/callback`.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// How long to wait for the person. The default is ten minutes.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The redirect URI: `http://127.0.0.1:<port>/callback`.
    pub fn redirect_uri(&self) -> String {
        format!("http://127.0.0.1:{}{}", self.port, self.path)
    }

    /// A whole login: begins it with this receiver's redirect URI, hands the URL to `show`, waits
    /// for the person, takes the code for tokens, and shows the person how it ended.
    ///
    /// `show` prints the URL, opens a browser, or both.
    ///
    /// # Errors
    ///
    /// Those of [`OAuthLogin::begin`] and [`OAuthLogin::finish`], and [`LoginError::is_timeout`]
    /// when nobody came back.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the port is closed; if the person had come back, the tokens may be lost. Start a new
    /// login.
    pub async fn log_in(
        self,
        login: &OAuthLogin,
        show: impl FnOnce(String),
    ) -> Result<TokenSet, LoginError> {
        let login = login.clone().redirect_uri(self.redirect_uri());
        let (url, pending) = login.begin()?;
        show(url);
        let callback = self.receive(&pending).await?;
        let outcome = login.finish(pending, callback.query()).await;
        callback.answer(outcome.as_ref().map(|_| ())).await;
        outcome
    }

    /// Waits for the callback of the login that `pending` belongs to.
    ///
    /// # Errors
    ///
    /// [`LoginError::is_timeout`] when nobody came back in time.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the port is closed.
    pub async fn receive(self, pending: &PendingAuthorization) -> Result<Callback, LoginError> {
        let (visits, mut visited) = mpsc::channel::<Visit>(1);
        let site = Site::new(self.port, self.path, pending.state.clone(), visits);
        let mut server = JoinSet::new();
        server.spawn(serve(self.listener, site));
        match tokio::time::timeout(self.timeout, visited.recv()).await {
            Ok(Some(Visit { query, page, sent })) => Ok(Callback { query, page, sent, server }),
            Ok(None) => unreachable!("the server holds the sender for as long as it runs"),
            Err(_) => {
                server.shutdown().await;
                let seconds = self.timeout.as_secs();
                let message =
                    format!("nobody came back from the authorize page within {seconds} s");
                Err(LoginError::new(Kind::TimedOut, message))
            }
        }
    }
}

impl Callback {
    /// The query with which the person came back, for [`OAuthLogin::finish`].
    pub fn query(&self) -> &str {
        &self.query
    }

    /// Shows the person how the login ended, and closes the port. Returns when the page is sent,
    /// after 5 s at most.
    ///
    /// How the login ended does not depend on it: the person may have closed the window.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the connection closes.
    pub async fn answer(self, outcome: Result<(), &LoginError>) {
        let page = match outcome {
            Ok(()) => page::logged_in(),
            Err(error) if error.is_denied() => page::denied(),
            Err(error) => page::failed(&error.to_string()),
        };
        self.answer_with(page).await;
    }

    /// The same with a page of the program's own, in HTML.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the connection closes.
    pub async fn answer_with(mut self, html: impl Into<String>) {
        if self.page.send(html.into()).is_ok() {
            let _ = tokio::time::timeout(PAGE_TIMEOUT, self.sent).await;
        }
        self.server.shutdown().await;
    }
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callback").finish_non_exhaustive()
    }
}
