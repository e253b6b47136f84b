//! Logins as a person meets them: over HTTP, and in a browser from the first page to the last.
//!
//! The browser is Debian's headless Chromium, which `scripts/test` installs.

mod browser;
mod in_a_browser;
mod loopback;
mod oauth;
mod password;
mod support;
// The example's own code.
#[path = "../../examples/axum_login/web.rs"]
mod web;
mod web_servers;
