//! The decisions: may this request be authorized, as whom and in which mode; and what a 401 means.
//!
//! Every adapter asks here, so that the layer and the middleware of other clients decide alike.

use http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue};
use http::{Extensions, Method, Request, StatusCode, Uri};

use super::challenge::insufficient_scope;
use crate::credentials::{Credentials, ReadyToken};
use crate::error::Error;
use crate::headers::{PROVIDER_ID, ProviderId, REQUEST_MODE, RequestMode};
use crate::observe::{Event, emit};
use crate::origin::{Allowed, NotAllowed, Origins};
use crate::refresh::is_refresh_request;

/// The parts of a request on which the decision depends.
pub(crate) struct RequestView<'a> {
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) extensions: &'a Extensions,
}

/// What is to be done with a request.
#[derive(Debug)]
pub(crate) enum Decision<'a> {
    /// It goes on as it came.
    PassThrough,
    /// It goes on with a token.
    Authorize(Target<'a>),
}

/// For whom a request goes on, where to, and with which headers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) credentials: &'a Credentials,
    /// The request brought the credentials in its extensions.
    pub(crate) from_extensions: bool,
    pub(crate) origin: Allowed,
    pub(crate) plan: HeaderPlan,
}

/// What the extensions of a request say of mode and provider id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Overrides {
    pub(crate) mode: Option<RequestMode>,
    pub(crate) provider_id: Option<ProviderId>,
}

/// The headers that are to be set on a request. Its own headers took precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeaderPlan {
    pub(crate) mode: RequestMode,
    /// The request's own header names the mode already.
    mode_is_set: bool,
    /// `None` where no provider id is to be set, or the request's own header names one.
    provider_id: Option<ProviderId>,
    /// What [`PROVIDER_ID`] will say, whoever sets it; `None` for nothing that is a number.
    named_provider: Option<ProviderId>,
}

impl<'a, B> From<&'a Request<B>> for RequestView<'a> {
    fn from(request: &'a Request<B>) -> Self {
        RequestView {
            uri: request.uri(),
            headers: request.headers(),
            extensions: request.extensions(),
        }
    }
}

/// A header map of the `http` crate has room for 24,576 names, and panics beyond them.
const MOST_HEADERS: usize = 24_000;

/// Decides what is to be done with a request. `fixed` are the credentials of the layer; without
/// them, each request brings its own. `known` are the origins of credentials that requests have
/// brought before.
///
/// # Errors
///
/// When the request should be authorized and can't be, as it stands.
pub(crate) fn classify<'a>(
    fixed: Option<&'a Credentials>,
    known: Option<&Origins>,
    view: &RequestView<'a>,
) -> Result<Decision<'a>, Error> {
    if view.headers.contains_key(AUTHORIZATION)
        || !view.extensions.is_empty() && is_refresh_request(view.extensions)
    {
        return Ok(Decision::PassThrough);
    }
    if view.uri.scheme().is_none() || view.uri.authority().is_none() {
        return Err(Error::invalid_request(
            "the request's URI is relative, so nothing says where its token would go; write it \
             with scheme and host, as in `https://goteamup.com/api/v2/events`",
        ));
    }
    let brought = extension::<Credentials>(view.extensions);
    let Some(credentials) = brought.or(fixed) else {
        return without_credentials(known, view);
    };
    let origin = match credentials.settings().origins.check(view.uri, view.headers) {
        Ok(origin) => origin,
        Err(why) => return Ok(pass_through(why)),
    };
    if view.headers.keys_len() > MOST_HEADERS {
        return Err(Error::invalid_request(format!(
            "the request has more than {MOST_HEADERS} headers, and there is no room for its token"
        )));
    }
    let plan = Overrides::of(view.extensions).resolve(credentials, view.headers)?;
    Ok(Decision::Authorize(Target {
        credentials,
        from_extensions: brought.is_some(),
        origin,
        plan,
    }))
}

fn pass_through<'a>(why: NotAllowed) -> Decision<'a> {
    emit(&Event::RequestPassedThrough { why: why.as_str(), warn: why == NotAllowed::Host });
    Decision::PassThrough
}

/// A request should have brought credentials, unless it goes elsewhere: a redirect that is followed
/// above leaves them behind when it leaves the API.
fn without_credentials<'a>(
    known: Option<&Origins>,
    view: &RequestView<'_>,
) -> Result<Decision<'a>, Error> {
    match known.map(|origins| origins.check(view.uri, view.headers)) {
        Some(Err(why)) => Ok(pass_through(why)),
        Some(Ok(_)) | None => Err(Error::invalid_request(
            "the request brings no credentials, and with `per_request` each has to bring its own; \
             put a `Credentials` into its extensions",
        )),
    }
}

impl<'a> Target<'a> {
    /// The credentials, if the request brought them itself.
    pub(crate) fn own_credentials(&self) -> Option<&'a Credentials> {
        self.from_extensions.then_some(self.credentials)
    }
}

impl Overrides {
    pub(crate) fn of(extensions: &Extensions) -> Self {
        Overrides {
            mode: extension::<RequestMode>(extensions).copied(),
            provider_id: extension::<ProviderId>(extensions).copied(),
        }
    }

    /// Resolves mode and provider id: the request's own headers take precedence, then its
    /// extensions, then what the credentials say.
    ///
    /// # Errors
    ///
    /// When the request's own header names no mode that there is.
    pub(crate) fn resolve(
        self,
        credentials: &Credentials,
        headers: &HeaderMap,
    ) -> Result<HeaderPlan, Error> {
        let settings = credentials.settings();
        let own_mode = mode_of(headers)?;
        let provider_id = self.provider_id.or(settings.provider_id);
        let own_provider = headers.get(PROVIDER_ID);
        let named_provider = match own_provider {
            Some(own) => provider_id_of(own.as_bytes()),
            None => provider_id,
        };
        Ok(HeaderPlan {
            mode: own_mode.or(self.mode).unwrap_or(settings.mode),
            mode_is_set: own_mode.is_some(),
            provider_id: provider_id.filter(|_| own_provider.is_none()),
            named_provider,
        })
    }
}

/// Sets the headers of a request that has none of its own by these names, as almost every one.
/// Otherwise returns `false` and leaves the headers as they were.
#[inline(always)]
pub(crate) fn append_headers(
    token: &ReadyToken,
    mode: RequestMode,
    provider_id: Option<&HeaderValue>,
    headers: &mut HeaderMap,
) -> bool {
    // `append` tells whether it joined another value. Where it joined one, that can be undone; among
    // several, it can't.
    if headers.len() != headers.keys_len() {
        return false;
    }
    match headers.try_append(AUTHORIZATION, token.authorization.clone()) {
        Ok(false) => {}
        joined => return rollback(headers, joined.is_ok(), AUTHORIZATION, &[]),
    }
    match headers.try_append(REQUEST_MODE, mode.header_value()) {
        Ok(false) => {}
        joined => return rollback(headers, joined.is_ok(), REQUEST_MODE, &[AUTHORIZATION]),
    }
    let Some(provider_id) = provider_id else {
        return true;
    };
    match headers.try_append(PROVIDER_ID, provider_id.clone()) {
        Ok(false) => true,
        joined => rollback(headers, joined.is_ok(), PROVIDER_ID, &[AUTHORIZATION, REQUEST_MODE]),
    }
}

/// The request has a value of its own for `name`, or the map is full: keeps the own value alone, and
/// removes what was appended before.
#[cold]
fn rollback(
    headers: &mut HeaderMap,
    joined: bool,
    name: HeaderName,
    appended: &[HeaderName],
) -> bool {
    if joined {
        // There is room: there was for the value that it joined.
        if let Some(own) = headers.get(&name).cloned() {
            headers.insert(name, own);
        }
    }
    for name in appended.iter().rev() {
        headers.remove(name);
    }
    false
}

/// What a `TeamUp-Provider-ID` header names; `None` if that is no id.
pub(super) fn provider_id_of(value: &[u8]) -> Option<ProviderId> {
    std::str::from_utf8(value).ok()?.parse().ok().map(ProviderId::new)
}

fn mode_of(headers: &HeaderMap) -> Result<Option<RequestMode>, Error> {
    let mut values = headers.get_all(REQUEST_MODE).iter();
    let mode = values.next().map(read_mode).transpose()?;
    if values.next().is_some() {
        return Err(Error::invalid_request(
            "the request carries more than one TeamUp-Request-Mode header; leave one",
        ));
    }
    Ok(mode)
}

fn read_mode(value: &HeaderValue) -> Result<RequestMode, Error> {
    let mode = value.to_str().ok().and_then(|text| text.parse().ok());
    mode.ok_or_else(|| {
        Error::invalid_request(
            "the request carries a TeamUp-Request-Mode header that is neither `customer` nor \
             `provider`; set one of the two, or leave the header out",
        )
    })
}

impl HeaderPlan {
    /// Sets the headers of an authorized request. `insert`, never `append`: there is one of each.
    pub(crate) fn apply(self, token: &ReadyToken, headers: &mut HeaderMap) {
        headers.insert(AUTHORIZATION, token.authorization.clone());
        if !self.mode_is_set {
            headers.insert(REQUEST_MODE, self.mode.header_value());
        }
        if let Some(provider_id) = self.provider_id {
            headers.insert(PROVIDER_ID, provider_id.header_value());
        }
    }

    /// The provider id that the request names, whoever set it.
    #[cfg(feature = "reqwest-middleware")]
    pub(crate) fn named_provider(self) -> Option<ProviderId> {
        self.named_provider
    }
}

/// Most requests have no extensions at all, and then nothing is looked up.
pub(super) fn extension<T: Clone + Send + Sync + 'static>(extensions: &Extensions) -> Option<&T> {
    if extensions.is_empty() { None } else { extensions.get() }
}

/// Does the request say by itself which host it is for? Then that has to be compared first.
#[inline]
pub(super) fn names_host(headers: &HeaderMap) -> bool {
    // Dearer than a look at each name of the few that there are: to hash the one that is not there.
    headers.keys().any(|name| *name == HOST)
}

/// What the answer to an authorized request means for its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// The answer is the caller's.
    Deliver,
    /// The token was refused: refresh it, and retry the request if that can be.
    Refresh,
}

/// In the extensions of an answer that came from another origin than the request went to, because
/// the client followed a redirect. The token did not go along, so a 401 is not about it.
#[derive(Clone)]
pub(crate) struct AnsweredElsewhere;

/// In the extensions of an answer: what the client knows of redirects on the way to it. Absent where
/// the client follows none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(any(feature = "reqwest", test)),
    expect(dead_code, reason = "reqwest alone records what it followed")
)]
pub(crate) enum Redirected {
    /// At least one was followed: the request itself was answered, so it was carried out.
    Followed,
    /// Nobody has noted whether one was.
    Unknown,
}

/// Judges the answer to a request that was sent with a token of this crate's.
#[inline]
pub(crate) fn judge_response(
    status: StatusCode,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Judgement {
    if status == StatusCode::UNAUTHORIZED
        && extension::<AnsweredElsewhere>(extensions).is_none()
        && !insufficient_scope(headers)
    {
        Judgement::Refresh
    } else {
        Judgement::Deliver
    }
}

/// May a request of this method have been carried out, although the answer is a 401? A redirect that
/// was followed says so, and the 401 is about the request that it led to. Safe methods (RFC 9110
/// section 9.2.1) may be sent again all the same.
pub(crate) fn may_be_carried_out(method: &Method, extensions: &Extensions) -> bool {
    !method.is_safe()
        && (extension::<Redirected>(extensions).is_some() || passed_follow_redirect(extensions))
}

/// tower-http's `FollowRedirect` below names the last URI in its answers. That it is the request's own
/// tells nothing: a 303 may lead to the URL that it came from.
#[cfg(feature = "follow-redirect")]
fn passed_follow_redirect(extensions: &Extensions) -> bool {
    extension::<tower_http::follow_redirect::RequestUri>(extensions).is_some()
}

#[cfg(not(feature = "follow-redirect"))]
fn passed_follow_redirect(_extensions: &Extensions) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::Snapshot;

    /// Appends a token, a mode and a provider id to `headers`, if it has none of them.
    fn append_all(headers: &mut HeaderMap) -> bool {
        let snapshot = Snapshot::with_token(Some(ProviderId::new(7)), "a-token");
        let mode = RequestMode::Provider;
        let held = snapshot.mode(mode).token.as_ref().unwrap();
        append_headers(held, mode, snapshot.provider_id(), headers)
    }

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_request_without_auth_headers_gets_all_three() {
        let mut with = headers(&[("accept", "*/*")]);
        assert!(append_all(&mut with));
        assert_eq!(with[AUTHORIZATION], "Bearer a-token");
        assert_eq!(with[REQUEST_MODE], "provider");
        assert_eq!(with[PROVIDER_ID], "7");
    }

    #[test]
    fn p4_a_request_with_auth_headers_of_its_own_is_left_as_it_came() {
        for lines in [
            &[("accept", "*/*"), ("authorization", "Basic eA=="), ("x-last", "1")][..],
            &[("teamup-request-mode", "customer"), ("x-last", "1")],
            &[("x-first", "1"), ("teamup-provider-id", "8"), ("x-last", "1")],
            &[("authorization", "one"), ("authorization", "two"), ("x-last", "1")],
            &[("accept", "a"), ("accept", "b"), ("teamup-provider-id", "8")],
        ] {
            let mut with = headers(lines);
            assert!(!append_all(&mut with), "{lines:?}");
            assert!(with.iter().eq(headers(lines).iter()), "{lines:?}: {with:?}");
        }
    }

    #[test]
    fn p9_only_a_safe_request_is_sent_again_after_a_redirect() {
        let mut extensions = Extensions::new();
        assert!(!may_be_carried_out(&Method::POST, &extensions));
        for redirected in [Redirected::Followed, Redirected::Unknown] {
            extensions.insert(redirected);
            assert!(may_be_carried_out(&Method::POST, &extensions));
            assert!(may_be_carried_out(&Method::DELETE, &extensions));
            assert!(!may_be_carried_out(&Method::GET, &extensions));
        }
    }
}
