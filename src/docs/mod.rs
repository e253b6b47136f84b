//! The guide: pages on how to use the crate well.
//!
//! # Start
//!
//! | page | content |
//! | --- | --- |
//! | [`quick_start`] | install, first tokens, first request, a store |
//! | [`token_stores`] | which store to choose, and how to set each one up |
//! | [`ordering`] | the place of the layer in a stack |
//! | [`timeouts`] | every time limit and what it bounds |
//! | [`multiple_users`] | one credential for each user of a service |
//! | [`command`] | `teamup-auth`, for scripts and other languages |
//! | [`migration`] | from code without the layer |
//! | [`testing`] | tests of your own program |
//!
//! # Operate
//!
//! | page | content |
//! | --- | --- |
//! | [`health_and_metrics`] | status, health checks, events |
//! | [`metrics`] | the metrics, and what to alert on |
//! | [`login_required`] | what to do when a person has to log in again |
//! | [`command_line_and_serverless`] | programs that exit or are frozen |
//! | [`kubernetes_and_docker`] | volumes, secrets, grace periods, probes |
//! | [`fleet`] | many processes that share one credential |
//!
//! # Reference
//!
//! | page | content |
//! | --- | --- |
//! | [`guarantees`] | what is promised, the tests that show it, and what is not shown |
//! | [`performance`] | what a request costs, and why |
//! | [`internals`] | structure, state machine, dependencies |
//! | [`proof`] | how the state machine is explored and checked |
//!
//! # Where things are
//!
//! | to | see |
//! | --- | --- |
//! | set up credentials | [`CredentialsBuilder`](crate::CredentialsBuilder) |
//! | use an M2M token | [`Credentials::m2m`](crate::Credentials::m2m), [`m2m`](crate::m2m) |
//! | choose mode and provider for one request | [`RequestMode`](crate::RequestMode), [`ProviderId`](crate::ProviderId) |
//! | serve many users over one client | [`manager`](crate::manager), [`AuthLayer::per_request`](crate::AuthLayer::per_request) |
//! | use a client without an adapter | [`Credentials::access_token`](crate::Credentials::access_token) |
//! | put the layer on a client | [`client`](crate::client) |
//! | send streams | [`body`](crate::body) |
//! | stay below the API's rate limit | [`limit`](crate::limit) |
//! | write a store | [`store`](crate::store) |
//! | refresh in another way | [`refresh::Refresh`](crate::refresh::Refresh) |
//! | warm up at start | [`Credentials::refresh`](crate::Credentials::refresh) |
//! | log in, sign out | [`Credentials::log_in`](crate::Credentials::log_in), [`Credentials::sign_out`](crate::Credentials::sign_out) |
//! | end | [`Credentials::shutdown`](crate::Credentials::shutdown), [`Credentials::flush`](crate::Credentials::flush) |
//! | read errors | [`Error`](crate::Error) |

pub mod command;
pub mod command_line_and_serverless;
pub mod fleet;
pub mod guarantees;
pub mod health_and_metrics;
pub mod internals;
pub mod kubernetes_and_docker;
pub mod login_required;
pub mod metrics;
pub mod migration;
pub mod multiple_users;
pub mod ordering;
pub mod performance;
pub mod proof;
pub mod quick_start;
pub mod testing;
pub mod timeouts;
pub mod token_stores;
