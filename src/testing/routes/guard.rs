//! Whether an API request is accepted: scheme, token, mode, provider and rate, in this order.

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, StatusCode};

use super::super::answer::Answer;
use super::super::entry::Refusal;
use super::super::families::{Millis, Owner, Standing};
use super::super::route::Route;
use super::super::settings::Settings;
use super::super::shared::State;
use super::too_many_requests;
use crate::headers::{AuthScheme, PROVIDER_ID, REQUEST_MODE, RequestMode};

/// The answer to a request that is not accepted; what was decided is noted in the journal.
pub(in super::super) fn refuse(
    state: &mut State,
    place: usize,
    now: Millis,
    route: Route,
    head: &Parts,
) -> Option<Answer> {
    let (refusal, answer) = match check(state, now, route, &head.headers) {
        Err(refusal) => (refusal, answer_to(refusal, &state.settings)),
        Ok(owner) => match state.over_the_limit(state.caller(owner), now) {
            Some(seconds) => (Refusal::RateLimit, too_many_requests(&state.settings, seconds)),
            None => {
                state.journal.authorize(place);
                return None;
            }
        },
    };
    state.journal.entry(place).refusal = Some(refusal);
    Some(answer)
}

fn check(state: &State, now: Millis, route: Route, headers: &HeaderMap) -> Result<Owner, Refusal> {
    let (owner, mode) = check_token(state, now, headers)?;
    // A program asks for the profiles before it knows its modes and providers.
    if route != Route::Profiles {
        check_mode(&state.settings, owner, mode, headers)?;
        check_provider(&state.settings, owner, headers)?;
    }
    Ok(owner)
}

fn check_token(
    state: &State,
    now: Millis,
    headers: &HeaderMap,
) -> Result<(Owner, RequestMode), Refusal> {
    let schemes = &state.settings.schemes;
    let authorization = single(headers, &AUTHORIZATION).ok().flatten().ok_or(Refusal::NoToken)?;
    let (scheme, token) = authorization.split_once(' ').ok_or(Refusal::Scheme)?;
    let scheme: AuthScheme = scheme.parse().map_err(|_| Refusal::Scheme)?;
    if !schemes.is_empty() && !schemes.contains(&scheme) {
        return Err(Refusal::Scheme);
    }
    match state.families.standing(token, now) {
        Standing::Valid { owner, mode } => Ok((owner, mode)),
        Standing::Expired => Err(Refusal::ExpiredToken),
        Standing::Revoked => Err(Refusal::RevokedToken),
        Standing::Unknown => Err(Refusal::UnknownToken),
    }
}

fn check_mode(
    settings: &Settings,
    owner: Owner,
    token_mode: RequestMode,
    headers: &HeaderMap,
) -> Result<(), Refusal> {
    match single(headers, &REQUEST_MODE) {
        Ok(Some(mode)) if mode == token_mode.as_str() => Ok(()),
        // An M2M token can act in one mode only, so the header would tell nothing new.
        Ok(None) if !settings.mode_required || matches!(owner, Owner::M2m { .. }) => Ok(()),
        Ok(None) => Err(Refusal::ModeMissing),
        _ => Err(Refusal::ModeMismatch),
    }
}

fn check_provider(settings: &Settings, owner: Owner, headers: &HeaderMap) -> Result<(), Refusal> {
    let own = match owner {
        Owner::M2m { provider, .. } => provider,
        Owner::Login(_) => None,
    };
    let reaches = |id| {
        own.is_none_or(|own| own == id)
            && (settings.providers.is_empty() || settings.providers.contains(&id))
    };
    match single(headers, &PROVIDER_ID).map(|id| id.map(str::parse::<u64>)) {
        Ok(None) if settings.providers.is_empty() || own.is_some() => Ok(()),
        Ok(None) => Err(Refusal::ProviderMissing),
        Ok(Some(Ok(id))) if reaches(id) => Ok(()),
        Ok(Some(Ok(_))) => Err(Refusal::ProviderInvalid),
        _ => Err(Refusal::ProviderMalformed),
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

/// TeamUp's codes where they are known; see the module's page for those that are not.
fn answer_to(refusal: Refusal, settings: &Settings) -> Answer {
    let answer = match refusal {
        Refusal::ModeMissing | Refusal::ModeMismatch => Answer::error(
            settings.mode_mismatch,
            "mode_not_allowed",
            "TeamUp-Request-Mode must be the type of the access token.",
        ),
        Refusal::ProviderMissing => Answer::error(
            StatusCode::BAD_REQUEST,
            "provider_header_missing",
            "The TeamUp-Provider-ID header is required.",
        ),
        Refusal::ProviderMalformed => Answer::error(
            StatusCode::BAD_REQUEST,
            "provider_header_invalid",
            "TeamUp-Provider-ID must be the id of one provider.",
        ),
        Refusal::ProviderInvalid => Answer::error(
            StatusCode::FORBIDDEN,
            "provider_invalid",
            "The credentials do not reach this provider.",
        ),
        Refusal::NoToken => Answer::unauthorized("One Authorization header is required."),
        _ => Answer::unauthorized("The access token is not valid, or not valid any more."),
    };
    // RFC 6750 section 3.1: no error code where no credentials were brought.
    let challenge = match refusal {
        Refusal::NoToken => "Bearer",
        _ => "Bearer error=\"invalid_token\"",
    };
    if settings.challenges && answer.status == StatusCode::UNAUTHORIZED {
        answer.with_header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    } else {
        answer
    }
}
