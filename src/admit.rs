//! The decisions: may this request be authorized, as whom and in which mode; and what a 401 means.
//!
//! Every adapter asks here, so that the layer and the middleware of other clients decide alike.

use http::header::{AUTHORIZATION, HeaderMap};
use http::{Extensions, Request, StatusCode, Uri};

use crate::challenge::insufficient_scope;
use crate::credentials::{Credentials, Held};
use crate::error::Error;
use crate::headers::{PROVIDER_ID, ProviderId, REQUEST_MODE, RequestMode};
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
    /// It goes on with a token.
    Authorize(Grant<'a>),
}

/// On whose behalf a request goes on, and in which mode.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grant<'a> {
    pub(crate) credentials: &'a Credentials,
    pub(crate) choices: Choices,
    /// The request brought the credentials itself.
    pub(crate) brought: bool,
}

/// What a request says of its mode and its business, or leaves to the credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choices {
    pub(crate) mode: RequestMode,
    /// The mode stands in the request's own header already.
    pub(crate) mode_stands: bool,
    /// The business to name; `None` where none is to be named, or the request's own header does.
    pub(crate) provider_id: Option<ProviderId>,
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
pub(crate) fn admit<'a>(
    fixed: Option<&'a Credentials>,
    asked: &Asked<'a>,
) -> Result<Admission<'a>, Error> {
    let brought = extension::<Credentials>(asked.extensions);
    let Some(credentials) = brought.or(fixed) else {
        return without_credentials(asked);
    };
    if !credentials.settings().origins.allow(asked.uri)
        || asked.headers.contains_key(AUTHORIZATION)
        || extension_is(asked.extensions, is_exchange)
    {
        return Ok(Admission::PassThrough);
    }
    let choices = Choices::of(asked, credentials)?;
    Ok(Admission::Authorize(Grant { credentials, choices, brought: brought.is_some() }))
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

impl Choices {
    /// A header that stands already has the first word, an extension the second, the credentials
    /// the last.
    fn of(asked: &Asked<'_>, credentials: &Credentials) -> Result<Self, Error> {
        let settings = credentials.settings();
        let (mode, mode_stands) = match asked.headers.get(REQUEST_MODE) {
            Some(value) => {
                if asked.headers.get_all(REQUEST_MODE).iter().nth(1).is_some() {
                    return Err(Error::invalid_request(
                        "the request carries more than one TeamUp-Request-Mode header; leave one",
                    ));
                }
                (RequestMode::from_header(value)?, true)
            }
            None => {
                let chosen = extension::<RequestMode>(asked.extensions).copied();
                (chosen.unwrap_or(settings.mode), false)
            }
        };
        let provider_id =
            extension::<ProviderId>(asked.extensions).copied().or(settings.provider_id);
        let provider_id = provider_id.filter(|_| !asked.headers.contains_key(PROVIDER_ID));
        Ok(Choices { mode, mode_stands, provider_id })
    }

    /// Sets the headers of an authorized request. `insert`, never `append`: there is one of each.
    pub(crate) fn apply(self, held: &Held, headers: &mut HeaderMap) {
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
