//! Is an API request let in? Scheme, token, mode, business and rate, in this order.

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, StatusCode};

use super::super::answer::Answer;
use super::super::entry::Refusal;
use super::super::families::{Millis, Owner, Standing};
use super::super::shared::{Caller, State};
use super::too_many_requests;
use crate::headers::{AuthScheme, PROVIDER_ID, REQUEST_MODE};

/// The answer to a request that is not let in; what was decided is noted in the journal.
pub(in super::super) fn refuse(
    state: &mut State,
    index: usize,
    now: Millis,
    head: &Parts,
) -> Option<Answer> {
    let (refusal, answer) = match check(state, now, &head.headers) {
        Err(refusal) => (refusal, answer_to(refusal, state.settings.mode_mismatch)),
        Ok(owner) => match state.over_the_limit(Caller::Owner(owner), now) {
            Some(seconds) => (Refusal::RateLimit, too_many_requests(seconds)),
            None => {
                state.journal.authorize(index);
                return None;
            }
        },
    };
    state.journal.entry(index).refusal = Some(refusal);
    Some(answer)
}

fn check(state: &State, now: Millis, headers: &HeaderMap) -> Result<Owner, Refusal> {
    let settings = &state.settings;

    let authorization = single(headers, &AUTHORIZATION).ok().flatten().ok_or(Refusal::NoToken)?;
    let (scheme, token) = authorization.split_once(' ').ok_or(Refusal::Scheme)?;
    let scheme: AuthScheme = scheme.parse().map_err(|_| Refusal::Scheme)?;
    if !settings.schemes.is_empty() && !settings.schemes.contains(&scheme) {
        return Err(Refusal::Scheme);
    }

    let (owner, token_mode) = match state.families.standing(token, now) {
        Standing::Good { owner, mode } => (owner, mode),
        Standing::Expired => return Err(Refusal::ExpiredToken),
        Standing::Revoked => return Err(Refusal::RevokedToken),
        Standing::Unknown => return Err(Refusal::UnknownToken),
    };

    match single(headers, &REQUEST_MODE) {
        Ok(Some(mode)) if mode == token_mode.as_str() => {}
        // An M2M token can act in one mode only, so the header would tell nothing new.
        Ok(None) if !settings.mode_required || matches!(owner, Owner::Business(_)) => {}
        Ok(None) => return Err(Refusal::ModeMissing),
        _ => return Err(Refusal::ModeMismatch),
    }

    let providers = &settings.providers;
    match single(headers, &PROVIDER_ID).map(|id| id.map(str::parse::<u64>)) {
        Ok(None) if providers.is_empty() => Ok(owner),
        Ok(Some(Ok(id))) if providers.is_empty() || providers.contains(&id) => Ok(owner),
        Ok(Some(Ok(_))) => Err(Refusal::ProviderOutOfReach),
        _ => Err(Refusal::ProviderMissing),
    }
}

/// The value of a header that may be there once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| ()),
        (Some(_), Some(_)) => Err(()),
    }
}

fn answer_to(refusal: Refusal, mode_mismatch: StatusCode) -> Answer {
    let (status, code, message) = match refusal {
        Refusal::NoToken => {
            (StatusCode::UNAUTHORIZED, "not_authenticated", "One Authorization header is required.")
        }
        Refusal::ModeMissing | Refusal::ModeMismatch => (
            mode_mismatch,
            "invalid_request_mode",
            "TeamUp-Request-Mode must be the type of the access token.",
        ),
        Refusal::ProviderMissing => (
            StatusCode::BAD_REQUEST,
            "invalid_provider",
            "TeamUp-Provider-ID must be the id of one provider.",
        ),
        Refusal::ProviderOutOfReach => (
            StatusCode::FORBIDDEN,
            "permission_denied",
            "The credentials can't reach this provider.",
        ),
        _ => (
            StatusCode::UNAUTHORIZED,
            "authentication_failed",
            "The access token is not valid, or not valid any more.",
        ),
    };
    let answer = Answer::error(status, code, message);
    // RFC 6750 section 3.1: no error code where no credentials were brought.
    let challenge = match refusal {
        Refusal::NoToken => "Bearer",
        _ => "Bearer error=\"invalid_token\"",
    };
    if status == StatusCode::UNAUTHORIZED {
        answer.with_header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    } else {
        answer
    }
}
