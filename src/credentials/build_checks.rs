//! What a builder checks that depends on nothing but its argument or the runtime.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use http::Uri;
#[cfg(feature = "hyper-plain")]
use http::uri::Scheme;
use tokio::runtime::Handle;

use crate::error::Error;
use crate::refresh::Transport;

/// The API's base as TeamUp documents it.
pub(super) const DEFAULT_BASE_URL: &str = "https://goteamup.com/api/v2";

/// A refresh needs timers, and a program should not find out at its first one.
pub(super) fn check_timers() -> Result<(), Error> {
    let timer = || drop(tokio::time::sleep(Duration::ZERO));
    if Handle::try_current().is_ok() && has_timers(timer).is_err() {
        return Err(Error::no_timer());
    }
    Ok(())
}

/// Tokio tells by a panic alone, which is kept from the panic hook's output no further than that.
fn has_timers(timer: impl FnOnce()) -> std::thread::Result<()> {
    catch_unwind(AssertUnwindSafe(timer))
}

#[cfg(feature = "hyper-plain")]
pub(super) fn default_transport(base: &Uri) -> Result<Transport, Error> {
    check_scheme(base, cfg!(feature = "hyper"))?;
    Ok(crate::refresh::default_refresh_client())
}

/// The refresh endpoint has the scheme of the base URL.
#[cfg(feature = "hyper-plain")]
fn check_scheme(base: &Uri, tls: bool) -> Result<(), Error> {
    if base.scheme() == Some(&Scheme::HTTPS) && !tls {
        return Err(Error::invalid_input(
            "the base URL is https, and the feature `hyper-plain` of tower-teamup-auth sends \
             refresh requests over plain http alone; switch its feature `hyper` on, hand an HTTP \
             client to `refresh_client`, or name the sidecar that does the TLS with `base_url`",
        ));
    }
    Ok(())
}

#[cfg(not(feature = "hyper-plain"))]
pub(super) fn default_transport(_base: &Uri) -> Result<Transport, Error> {
    Err(Error::invalid_input(
        "nothing sends the refresh requests; hand an HTTP client to `refresh_client`, or switch the \
         feature `hyper` of tower-teamup-auth on, or begin with `Credentials::m2m` for a token that \
         is never refreshed",
    ))
}

pub(super) fn parse_url(what: &str, url: &str) -> Result<Uri, Error> {
    url.parse().map_err(|error| {
        // The text may hold a password before its host, so it is not repeated.
        Error::invalid_input(format!(
            "the {what} is no URL ({error}); write it as in `{DEFAULT_BASE_URL}`"
        ))
    })
}

/// RFC 6749 appendix A.4: a scope token is visible ASCII without `"` and `\`.
pub(super) fn check_scope(scope: &[String]) -> Result<(), Error> {
    for (index, scope) in scope.iter().enumerate() {
        if scope.is_empty() {
            return Err(Error::invalid_input(format!(
                "scope number {index} is empty; leave it out, or call `scope` with no scopes at \
                 all"
            )));
        }
        if !scope.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte)) {
            return Err(Error::invalid_input(format!(
                "scope number {index} holds a character that no scope can hold (a space, a \
                 quotation mark, a backslash, a control or non-ASCII character); give each \
                 scope as an item of its own"
            )));
        }
    }
    Ok(())
}

#[cfg(all(test, feature = "hyper-plain"))]
mod tests {
    use super::*;

    #[test]
    fn base_url_that_is_https_needs_the_feature_that_has_tls() {
        let https = Uri::from_static(DEFAULT_BASE_URL);
        let error = check_scheme(&https, false).unwrap_err();
        assert!(error.is_invalid_input(), "{error}");
        assert!(error.to_string().contains("feature `hyper` on"), "{error}");
        check_scheme(&https, true).unwrap();
        check_scheme(&Uri::from_static("http://127.0.0.1:8080/api/v2"), false).unwrap();
    }
}
