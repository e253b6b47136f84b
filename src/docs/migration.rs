//! Coming from code that refreshes by hand.
//!
//! # What usually stands there
//!
//! ```text
//! let mut token = self.token.lock().await;                       // 1
//! if token.expires_at <= now() {                                 // 2
//!     *token = self.refresh(&token.refresh_token).await?;        // 3, 4
//!     save(&token)?;                                             // 5
//! }
//! let answer = self.http.get(url)
//!     .header("Authorization", format!("Bearer {}", token.access_token))   // 6
//!     .header("TeamUp-Request-Mode", "provider")                 // 7
//!     .send().await?;
//! if answer.status() == 401 { /* refresh, and send again */ }    // 8
//! ```
//!
//! | | what can go wrong | what takes its place |
//! | --- | --- | --- |
//! | 1 | the lock is held over the network, and every request waits behind it | a snapshot that is read without a lock |
//! | 2 | the token expires on the way; `expires_in: null` expires at once; the clock is set back | an early refresh beside the requests, both clocks, a 401 where no expiry is known |
//! | 3 | the caller goes away, and the rotated refresh token with it | a task of its own, to which callers subscribe |
//! | 4 | without `new_access_token_type` a customer token comes back, to a program in provider mode | the mode is asked for with each exchange, and each mode has its own token |
//! | 5 | the process dies before, or two processes write over each other | the store is written before the token is used, under a lock, by compare-and-set |
//! | 6 | the URL may be a `next` link or a redirect to somebody else | the token goes to allowed origins only |
//! | 7 | the mode and the token beside it differ | they come from the same place |
//! | 8 | ten callers meet ten 401s and send the same refresh token ten times; the second kills the login | one exchange for each token that was refused; one repeat |
//!
//! # RefreshStep by step
//!
//! 1. **Take the tokens along.** What you have stored becomes a [`TokenSet`]: the refresh token, and
//!    where you know its mode and its end, the access token. Without one, the first request mints it.
//!
//!    ```
//!    use std::time::{Duration, SystemTime};
//!    use tower_teamup_auth::{RequestMode, TokenSet};
//!
//!    # fn example(refresh_token: &str, access_token: &str, expires_at: SystemTime)
//!    #     -> Result<TokenSet, tower_teamup_auth::Error> {
//!    let tokens = TokenSet::new(refresh_token.parse()?).with_access_token_until(
//!        RequestMode::Provider,
//!        access_token.parse()?,
//!        Some(expires_at),
//!    );
//!    # Ok(tokens)
//!    # }
//!    # example("r", "a", SystemTime::UNIX_EPOCH + Duration::from_secs(1)).unwrap();
//!    ```
//!
//! 2. **Choose where they live from now on.** [`FileStore`](crate::store::FileStore), another of the
//!    [stores](crate::store), or your own table behind [`TokenStore`](crate::store::TokenStore), which
//!    is a screenful: `examples/custom_store.rs`. The old tokens are the seed, beside the store:
//!
//!    ```no_run
//!    # use tower_teamup_auth::client::{HyperClient, hyper_client};
//!    # use tower_teamup_auth::store::FileStore;
//!    # use tower_teamup_auth::{Credentials, Error, RequestMode, TokenSet};
//!    # async fn example(old: TokenSet) -> Result<(), Error> {
//!    let http_client: HyperClient = hyper_client();
//!    let credentials = Credentials::builder(RequestMode::Provider)
//!        .store(FileStore::new("/var/lib/studio/teamup.json"))
//!        .tokens(old) // taken if the store is empty, and only then
//!        .refresh_client(http_client)
//!        .build()
//!        .await?;
//!    # Ok(())
//!    # }
//!    ```
//!
//! 3. **Stop the old code before the new code starts.** Two owners of one refresh token spend it from
//!    under each other, which costs the login. There is no way to run them side by side; where the
//!    program runs many times, move all of them at once, or give the new ones a login of their own.
//! 4. **Put the layer on the client**, and delete what set the headers, what looked at the expiry and
//!    what retried on 401. A request that still brings its own `Authorization` passes through
//!    untouched, so nothing breaks where a call is forgotten: it just goes on as before. The journal of
//!    a test tells which.
//! 5. **Move your choices** of mode and business from headers to the request's extensions, or leave the
//!    headers: they are respected. See [`RequestMode`](crate::RequestMode).
//! 6. **Look at your retries.** They belong [outside the layer](super::ordering), and need not know of
//!    401 any more.
//! 7. **Handle what is left**: a login that is required. It is the one case that needs a person; see
//!    [`login_required`](super::login_required).
//! 8. **Keep a test.** With [`testing`](super::testing), expire the token under your own program and
//!    assert that nobody noticed.
//!
//! # And back
//!
//! Nothing is locked in: a store holds [`StoredRecord::to_json`]'s format, which is documented there, and
//! [`TokenSet::refresh_token`] gives the text. Shut the credential down first, so that no refresh
//! rotates it away.
//!
//! [`TokenSet`]: crate::TokenSet
//! [`TokenSet::refresh_token`]: crate::TokenSet::refresh_token
//! [`StoredRecord::to_json`]: crate::store::StoredRecord::to_json
