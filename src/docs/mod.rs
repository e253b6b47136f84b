//! Pages on how to use the crate well, and an index of everything that one may want to do.
//!
//! # Begin
//!
//! | to | see |
//! | --- | --- |
//! | see it work, without an account | `cargo run --example quickstart` |
//! | get a person's first tokens: in the browser, or by password | the examples `login` and `password_login`, each with `-- --fake` |
//! | put the layer on a client: hyper-util, reqwest, reqwest-middleware | [`client`](crate::client) |
//! | come from code that refreshes by hand | [`migration`] |
//! | use an M2M token | [`Credentials::m2m`]; one that is replaced while the program runs: [`m2m`](crate::m2m) |
//!
//! # Build
//!
//! | to | see |
//! | --- | --- |
//! | make credentials, and set what is to be set | [`CredentialsBuilder`] |
//! | choose mode and business for one request | [`RequestMode`], [`ProviderId`] |
//! | serve many users over one client | [`multiple_users`], [`manager`](crate::manager), the examples `users` and `axum_service` |
//! | put the layer in its place among others | [`ordering`] |
//! | know which time limit bounds what | [`timeouts`] |
//! | send streams | [`body`](crate::body) |
//! | keep tokens: file, Redis, keyring, a store of your own | [`store`](crate::store) |
//! | refresh in a way of your own | [`refresh::Refresh`](crate::refresh::Refresh) |
//! | test your own program | [`testing`] |
//! | use a client without an adapter | [`Credentials::access_token`], the example `any_client` |
//! | use scripts, or another language | [`command`] |
//!
//! # Run
//!
//! | to | see |
//! | --- | --- |
//! | warm up at start, and check that the credential is good | [`Credentials::refresh`], the example `readiness` |
//! | show a banner, answer a health check | [`Credentials::status`], [`Credentials::subscribe`], [`status`](crate::status) |
//! | run many processes on one credential | [`fleet`] |
//! | log in again when that is required | [`reauthorization`] |
//! | hand in new tokens, sign out, shut down | [`Credentials::log_in`], [`Credentials::sign_out`], [`Credentials::shutdown`] |
//! | know what an error asks of you | [`Error`] |
//! | watch metrics | [`metrics`] |
//! | read what is logged | [the crate's front page](crate#what-it-tells), [`fleet`](fleet#what-to-watch) |
//!
//! # Know
//!
//! | to | see |
//! | --- | --- |
//! | what is promised, how that is proved, and what is not | [`guarantees`] |
//! | how it works inside, and why | [`internals`] |
//! | how the state machine of a credential is proved | [`proof`] |
//! | what a request costs, and why | [`performance`] |
//! | what each dependency is for | [`internals`](internals#the-dependencies-of-the-default-build) |
//!
//! [`Credentials::access_token`]: crate::Credentials::access_token
//! [`AuthLayer::per_request`]: crate::AuthLayer::per_request
//! [`Credentials::m2m`]: crate::Credentials::m2m
//! [`Credentials::refresh`]: crate::Credentials::refresh
//! [`Credentials::log_in`]: crate::Credentials::log_in
//! [`Credentials::shutdown`]: crate::Credentials::shutdown
//! [`Credentials::sign_out`]: crate::Credentials::sign_out
//! [`Credentials::status`]: crate::Credentials::status
//! [`Credentials::subscribe`]: crate::Credentials::subscribe
//! [`CredentialsBuilder`]: crate::CredentialsBuilder
//! [`Error`]: crate::Error
//! [`ProviderId`]: crate::ProviderId
//! [`RequestMode`]: crate::RequestMode

pub mod command;
pub mod fleet;
pub mod guarantees;
pub mod internals;
pub mod metrics;
pub mod migration;
pub mod multiple_users;
pub mod ordering;
pub mod performance;
pub mod proof;
pub mod reauthorization;
pub mod testing;
pub mod timeouts;
