//! Migration from code that refreshes tokens itself.
//!
//! # Typical code
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
//! | | what can go wrong | with this crate |
//! | --- | --- | --- |
//! | 1 | every request waits behind a lock that is held over the network | a snapshot without a lock |
//! | 2 | the token expires on the way; the clock is set back | an early refresh, two clocks, a retry after 401 |
//! | 3 | the caller is dropped, and the rotated refresh token with it | a task of its own |
//! | 4 | without `new_access_token_type` a token of the other mode comes back | each mode has its own token |
//! | 5 | the process dies before, or two processes overwrite each other | saved before use, under a lease |
//! | 6 | the URL is a `next` link or a redirect to another host | allowed origins only |
//! | 7 | mode and token differ | both come from one snapshot |
//! | 8 | ten callers send the same refresh token ten times | one refresh request, one retry each |
//!
//! # Steps
//!
//! 1. **Take the tokens along.** What you have stored becomes a [`TokenSet`]: the refresh token, and
//!    the access token if you know its mode and expiry. Without one, the first request gets it.
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
//! 2. **Choose a store**: one of [those of the crate](super::token_stores), or your own table behind
//!    [`TokenStore`](crate::store::TokenStore), as in `examples/custom_store.rs`. The old tokens are a
//!    seed:
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
//! 3. **Stop the old code before the new code starts.** Two owners of one refresh token cost the login.
//!    Move all processes at once, or give the new ones a login of their own.
//! 4. **Put the layer on the client.** Delete what set the headers, looked at the expiry and retried on 401.
//!    A request that still has its own `Authorization` passes through untouched.
//! 5. **Move mode and provider** from headers to the request's extensions, or leave the headers: they take
//!    precedence. See [`RequestMode`](crate::RequestMode).
//! 6. **Check your retries.** They belong [outside the layer](super::ordering), and need not handle 401.
//! 7. **Handle a login that is required**, the one case that needs a person:
//!    [`login_required`](super::login_required).
//! 8. **Add a test** that expires the token under your own program: [`testing`](super::testing).
//!
//! # Back
//!
//! Shut the credential down, so that no refresh rotates the token. The store then holds the format of
//! [`StoredRecord::to_json`], and [`TokenSet::refresh_token`] gives the text.
//!
//! [`TokenSet`]: crate::TokenSet
//! [`TokenSet::refresh_token`]: crate::TokenSet::refresh_token
//! [`StoredRecord::to_json`]: crate::store::StoredRecord::to_json
