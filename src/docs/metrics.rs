//! The metrics, recorded through the [`metrics`](https://docs.rs/metrics) facade with the feature
//! `metrics`.
//!
//! The program installs a recorder, `metrics-exporter-prometheus` for example. It then calls
//! `describe_metrics`, which gives each metric its description and unit, and begins each counter at zero.
//! A request that needs no refresh records nothing.
//!
//! # Metrics
//!
//! | metric | kind | labels | counts |
//! | --- | --- | --- | --- |
//! | `teamup_auth_refresh_requests_total` | counter | `mode`, `outcome` | refresh requests that were sent |
//! | `teamup_auth_refresh_request_duration_seconds` | histogram | `mode`, `outcome` | how long each took, in seconds |
//! | `teamup_auth_refresh_failures_total` | counter | `mode`, `kind` | refreshes that failed, each with all its requests. `kind` is `login_required`, `m2m_refused`, `configuration`, `store`, `outcome_unknown`, `protocol` or `transient`, as the questions of [`Error`](crate::Error) are |
//! | `teamup_auth_adoptions_total` | counter | | records of other processes that were adopted |
//! | `teamup_auth_retries_total` | counter | `mode` | requests retried with a new token after a 401 |
//! | `teamup_auth_refresh_limits_total` | counter | `mode` | times that the [refresh limit](crate::CredentialsBuilder::refresh_limit) was reached |
//! | `teamup_auth_unsaved_credentials` | gauge | | credentials whose newest tokens are not in their store yet |
//! | `teamup_auth_unsaved_duration_seconds` | histogram | | how long that lasted, in seconds, recorded at its end |
//! | `teamup_auth_token_remaining_seconds` | histogram | `mode` | life left of a token when its refresh began, in seconds; at 0 requests waited |
//! | `teamup_auth_token_expiry_timestamp_seconds` | gauge | `mode` | when the access token expires that a refresh, a login or an adoption brought last, in seconds since the Unix epoch |
//!
//! | label | values |
//! | --- | --- |
//! | mode | `customer`, `provider` |
//! | outcome | `refreshed`, or the [class](crate::refresh::FailureClass) of the failure: |
//! | | `transient`, `rejected`, `probably_rejected`, `configuration`, `outcome_unknown`, `not_the_endpoint` |
//!
//! No label holds anything of a token, a user or a URL, so the number of series is fixed.
//!
//! # Buckets
//!
//! `HISTOGRAM_BUCKETS` has upper bounds for the histograms, in seconds. Give them to the recorder before
//! it is installed; without buckets, many recorders compute quantiles of their own.
//!
//! | histogram | upper bounds |
//! | --- | --- |
//! | `teamup_auth_refresh_request_duration_seconds` | 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120 |
//! | `teamup_auth_unsaved_duration_seconds` | 0.1, 1, 10, 60, 600, 3600 |
//! | `teamup_auth_token_remaining_seconds` | 0, 30, 60, 120, 240, 300, 3600, 7200 |
//!
//! # Alerts
//!
//! | meaning | condition |
//! | --- | --- |
//! | a person has to log in | `teamup_auth_refresh_failures_total{kind="login_required"}` grows |
//! | a store is broken; a process that ends now loses a login | `teamup_auth_unsaved_credentials` above 0 for a minute |
//! | the API refuses fresh tokens: check mode, provider id, permissions | `teamup_auth_refresh_limits_total` grows |
//! | no refresh succeeds | `teamup_auth_token_expiry_timestamp_seconds - time()` below 0 |
//!
//! The expiry is that of the credential which came by a token last, so the last row is for programs with one
//! credential. In programs with many, `teamup_auth_token_remaining_seconds` tells how early they refresh.
