//! The metrics, told through the [`metrics`](https://docs.rs/metrics) facade with the feature
//! `metrics`.
//!
//! The program chooses where they go: it installs a recorder (`metrics-exporter-prometheus`, say),
//! and then calls `describe_metrics`, so that each has its help text and its unit. Without a
//! recorder they cost next to nothing. A request that needs no refresh touches none of them.
//!
//! | metric | kind | labels | counts |
//! | --- | --- | --- | --- |
//! | `teamup_auth_refresh_requests_total` | counter | `mode`, `outcome` | refresh requests that were sent. `outcome` is `refreshed`, `transient`, `rejected`, `probably_rejected`, `configuration`, `outcome_unknown` or `not_the_endpoint`: the [class](crate::refresh::FailureClass) of the failure |
//! | `teamup_auth_refresh_request_duration_seconds` | histogram | `mode`, `outcome` | how long each took, in seconds |
//! | `teamup_auth_refresh_failures_total` | counter | `mode`, `kind` | refreshes that failed, each with all its requests. `kind` is `login_required`, `m2m_refused`, `configuration`, `store`, `outcome_unknown`, `protocol` or `transient`, as the questions of [`Error`](crate::Error) are |
//! | `teamup_auth_adoptions_total` | counter | | records found in the store that another process had put there, and taken over in place of a refresh request or of one's own |
//! | `teamup_auth_retries_total` | counter | `mode` | requests retried with a new token after a 401 |
//! | `teamup_auth_refresh_limits_total` | counter | `mode` | how often the [refresh limit](crate::CredentialsBuilder::refresh_limit) was reached; not how many refreshes it refused |
//! | `teamup_auth_unsaved_credentials` | gauge | | credentials of this process whose newest tokens could not be written to their store yet |
//! | `teamup_auth_unsaved_duration_seconds` | histogram | | how long that lasted, in seconds, told when it is over |
//! | `teamup_auth_token_remaining_seconds` | histogram | `mode` | what was left of the replaced token's life when its refresh began, in seconds: 0 means that requests had to wait |
//! | `teamup_auth_token_expiry_timestamp_seconds` | gauge | `mode` | when the newest access token expires, in seconds since the Unix epoch |
//!
//! `mode` is `customer` or `provider`.
//!
//! # What to watch
//!
//! - `teamup_auth_refresh_failures_total{kind="login_required"}`: a user has to log in again.
//! - `teamup_auth_unsaved_credentials` above zero for more than a minute: a store is broken, and a
//!   process that ends now takes the only copy of a refresh token with it.
//! - `teamup_auth_refresh_limits_total`: the API is not content with fresh tokens; mode, provider id
//!   and permissions don't fit the requests.
//! - `teamup_auth_token_expiry_timestamp_seconds - time()`: the seconds until expiry. The gauge is
//!   set when a token is minted, by the credential that did so last: it says something in a program
//!   with one credential. In one with many, `teamup_auth_token_remaining_seconds`
//!   tells how early they refresh.
//!
//! No label holds anything of a token, a user or a URL, so their number is fixed: at most 14 series
//! for the refresh requests, and the same again of each histogram.
