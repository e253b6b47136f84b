//! The decisions: may this request be authorized, as whom and in which mode; and what a 401 means.
//!
//! Every adapter asks here, so that the layer and the middleware of other clients decide alike.

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use http::{Extensions, Request, StatusCode, Uri};

use crate::challenge::insufficient_scope;
use crate::credentials::{Credentials, ReadyToken};
use crate::error::Error;
use crate::headers::{PROVIDER_ID, ProviderId, REQUEST_MODE, RequestMode};
use crate::origin::Allowed;
use crate::refresh::is_exchange;

/// The parts of a request on which the decision depends.
pub(crate) struct Asked<'a> {
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) extensions: &'a Extensions,
}

/// What is to be done with a request.
#[derive(Debug)]
pub(crate) enum Admission<'a> {
    /// It is none of ours: it goes on as it came.
    PassThrough,
    /// It goes on with a token, unless its own headers say otherwise.
    Authorize(Grant<'a>),
}

/// On whose behalf a request goes on, and what it wishes for, as far as its URI and its extensions
/// tell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grant<'a> {
    pub(crate) credentials: &'a Credentials,
    /// The request brought the credentials itself.
    pub(crate) brought: bool,
    /// Where the request goes.
    pub(crate) origin: Allowed,
    pub(crate) wishes: Wishes,
}

/// What the extensions of a request say, and the credentials where they say nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wishes {
    pub(crate) mode: RequestMode,
    provider_id: Option<ProviderId>,
}

/// What is to be set on a request, after its own headers were heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choices {
    pub(crate) mode: RequestMode,
    /// The mode stands in the request's own header already.
    mode_stands: bool,
    /// The provider_id to name; `None` where none is to be named, or the request's own header does.
    provider_id: Option<ProviderId>,
}

impl<'a, B> From<&'a Request<B>> for Asked<'a> {
    fn from(request: &'a Request<B>) -> Self {
        Asked { uri: request.uri(), headers: request.headers(), extensions: request.extensions() }
    }
}

/// Decides what is to be done with a request. `fixed` are the credentials of the layer; without
/// them, each request brings its own.
///
/// # Errors
///
/// When the request should be authorized and can't be, as it stands.
#[inline]
pub(crate) fn admit<'a>(
    fixed: Option<&'a Credentials>,
    asked: &Asked<'a>,
) -> Result<Admission<'a>, Error> {
    let brought = extension::<Credentials>(asked.extensions);
    let Some(credentials) = brought.or(fixed) else {
        return without_credentials(asked);
    };
    let Some(origin) = credentials.settings().origins.allow(asked.uri) else {
        return Ok(Admission::PassThrough);
    };
    if extension_is(asked.extensions, is_exchange) {
        return Ok(Admission::PassThrough);
    }
    let wishes = Wishes::of(asked.extensions, credentials);
    Ok(Admission::Authorize(Grant { credentials, brought: brought.is_some(), origin, wishes }))
}

/// A request that brings its own `Authorization`, or carries an exchange, needs no credentials;
/// any other should have brought some.
fn without_credentials<'a>(asked: &Asked<'_>) -> Result<Admission<'a>, Error> {
    if asked.headers.contains_key(AUTHORIZATION) || extension_is(asked.extensions, is_exchange) {
        return Ok(Admission::PassThrough);
    }
    Err(Error::invalid_request(
        "the request brings no credentials, and with `per_request` each has to bring its own; put \
         a `Credentials` into its extensions",
    ))
}

impl<'a> Grant<'a> {
    /// The credentials, if the request brought them itself.
    pub(crate) fn brought(&self) -> Option<&'a Credentials> {
        self.brought.then_some(self.credentials)
    }
}

impl Wishes {
    #[inline]
    pub(crate) fn of(extensions: &Extensions, credentials: &Credentials) -> Self {
        let settings = credentials.settings();
        Wishes {
            mode: extension::<RequestMode>(extensions).copied().unwrap_or(settings.mode),
            provider_id: extension::<ProviderId>(extensions).copied().or(settings.provider_id),
        }
    }

    /// Hears the request's own headers, which have the first word. `None`: it authorizes itself.
    ///
    /// # Errors
    ///
    /// When they name no mode that there is.
    pub(crate) fn heed(self, headers: &HeaderMap) -> Result<Option<Choices>, Error> {
        if headers.contains_key(AUTHORIZATION) {
            return Ok(None);
        }
        let (mode, mode_stands) = match standing_mode(headers)? {
            Some(mode) => (mode, true),
            None => (self.mode, false),
        };
        let provider_id = self.provider_id.filter(|_| !headers.contains_key(PROVIDER_ID));
        Ok(Some(Choices { mode, mode_stands, provider_id }))
    }
}

/// Sets the headers of a request whose own have nothing to say, as those of almost all, and so need
/// not be heard first. `false`, and the headers are as they were, if they have.
#[inline(always)]
pub(crate) fn put_on(
    held: &ReadyToken,
    mode: RequestMode,
    provider_id: Option<&HeaderValue>,
    headers: &mut HeaderMap,
) -> bool {
    // `append` tells whether it joined another value. Where it joined one, it can be taken off again;
    // among several, it can't.
    if headers.len() != headers.keys_len() {
        return false;
    }
    if headers.append(AUTHORIZATION, held.authorization.clone()) {
        return take_off(headers, AUTHORIZATION, &[]);
    }
    if headers.append(REQUEST_MODE, mode.header_value()) {
        return take_off(headers, REQUEST_MODE, &[AUTHORIZATION]);
    }
    let Some(provider_id) = provider_id else {
        return true;
    };
    if headers.append(PROVIDER_ID, provider_id.clone()) {
        return take_off(headers, PROVIDER_ID, &[AUTHORIZATION, REQUEST_MODE]);
    }
    true
}

/// The request has a value of its own for `name`: it keeps that alone, and what was put on before
/// goes.
#[cold]
fn take_off(headers: &mut HeaderMap, name: HeaderName, put_on: &[HeaderName]) -> bool {
    if let Some(own) = headers.get(&name).cloned() {
        headers.insert(name, own);
    }
    for name in put_on.iter().rev() {
        headers.remove(name);
    }
    false
}

fn standing_mode(headers: &HeaderMap) -> Result<Option<RequestMode>, Error> {
    let mut values = headers.get_all(REQUEST_MODE).iter();
    let mode = values.next().map(RequestMode::from_header).transpose()?;
    if values.next().is_some() {
        return Err(Error::invalid_request(
            "the request carries more than one TeamUp-Request-Mode header; leave one",
        ));
    }
    Ok(mode)
}

impl Choices {
    /// Sets the headers of an authorized request. `insert`, never `append`: there is one of each.
    pub(crate) fn apply(self, held: &ReadyToken, headers: &mut HeaderMap) {
        headers.insert(AUTHORIZATION, held.authorization.clone());
        if !self.mode_stands {
            headers.insert(REQUEST_MODE, self.mode.header_value());
        }
        if let Some(provider_id) = self.provider_id {
            headers.insert(PROVIDER_ID, provider_id.header_value());
        }
    }
}

/// Most requests have no extensions at all, and then nothing is looked up.
fn extension<T: Clone + Send + Sync + 'static>(extensions: &Extensions) -> Option<&T> {
    if extensions.is_empty() { None } else { extensions.get() }
}

fn extension_is(extensions: &Extensions, is: fn(&Extensions) -> bool) -> bool {
    !extensions.is_empty() && is(extensions)
}

/// What the answer to an authorized request means for its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// The answer is the caller's.
    Deliver,
    /// The token was refused: renew it, and repeat the request if that can be.
    Renew,
}

/// In the extensions of an answer that came from another origin than the request went to, because
/// the client followed a redirect. The token did not go along, so a 401 is not about it.
#[derive(Clone)]
pub(crate) struct AnsweredElsewhere;

/// Judges the answer to a request that was sent with a token of ours.
#[inline]
pub(crate) fn judge(status: StatusCode, headers: &HeaderMap, extensions: &Extensions) -> Judgement {
    if status == StatusCode::UNAUTHORIZED
        && extension::<AnsweredElsewhere>(extensions).is_none()
        && !insufficient_scope(headers)
    {
        Judgement::Renew
    } else {
        Judgement::Deliver
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::Snapshot;
    use crate::headers::AuthScheme;

    /// Puts a token and a provider_id on `headers`; did it?
    fn put_on_all(headers: &mut HeaderMap) -> bool {
        let snapshot = Snapshot::empty(Some(ProviderId::new(7)))
            .with_m2m(&"a-token".parse().unwrap(), AuthScheme::Bearer);
        let mode = RequestMode::Provider;
        let held = snapshot.slot(mode).held.as_ref().unwrap();
        put_on(held, mode, snapshot.provider_id(), headers)
    }

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_request_that_says_nothing_gets_all_three_headers() {
        let mut with = headers(&[("accept", "*/*")]);
        assert!(put_on_all(&mut with));
        assert_eq!(with[AUTHORIZATION], "Bearer a-token");
        assert_eq!(with[REQUEST_MODE], "provider");
        assert_eq!(with[PROVIDER_ID], "7");
    }

    #[test]
    fn p4_a_request_that_says_something_is_left_as_it_came() {
        for lines in [
            &[("accept", "*/*"), ("authorization", "Basic eA=="), ("x-last", "1")][..],
            &[("teamup-request-mode", "customer"), ("x-last", "1")],
            &[("x-first", "1"), ("teamup-provider-id", "8"), ("x-last", "1")],
            &[("authorization", "one"), ("authorization", "two"), ("x-last", "1")],
            &[("accept", "a"), ("accept", "b"), ("teamup-provider-id", "8")],
        ] {
            let mut with = headers(lines);
            assert!(!put_on_all(&mut with), "{lines:?}");
            assert!(with.iter().eq(headers(lines).iter()), "{lines:?}: {with:?}");
        }
    }
}
