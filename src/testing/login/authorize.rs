//! `/api/v2/auth/oauth/authorize`: the page that asks the user, and the way back to the program.

use http::header::{HeaderValue, LOCATION};
use http::request::Parts;
use http::{Method, StatusCode, Uri};

use super::super::answer::{Answer, Content};
use super::super::entry::Received;
use super::super::routes::method_not_allowed;
use super::super::settings::Settings;
use super::super::shared::Shared;
use super::{CLIENT_ID, USERNAME, page};

/// What a valid request for authorization asks for.
struct ValidRequest {
    back: Back,
    scope: String,
    challenge: Option<String>,
    login_hint: Option<String>,
}

/// The way back to the program.
struct Back {
    redirect_uri: String,
    state: Option<String>,
}

/// Why nobody is asked: an answer that says so, to the person or to the program.
struct Refused(Box<Answer>);

pub(in super::super) fn authorize(shared: &Shared, head: &Parts, body: &Received) -> Answer {
    let now = shared.now();
    let mut state = shared.lock();
    let asked = match read(head.uri.query().unwrap_or_default(), &state.settings) {
        Ok(asked) => asked,
        Err(Refused(answer)) => return *answer,
    };
    if head.method == Method::GET || head.method == Method::HEAD {
        let user = asked.login_hint.as_deref().unwrap_or(USERNAME);
        return page::ask(CLIENT_ID, user, &asked.back.redirect_uri, &asked.scope);
    }
    if head.method != Method::POST {
        return method_not_allowed("GET, HEAD, POST");
    }
    let mut back = asked.back;
    if state.settings.wrong_state {
        back.state = Some("not-the-state-that-was-sent".to_owned());
    }
    match single(body.bytes(), "decision") {
        Ok(Some(decision)) if decision == "approve" => {
            let code = state.codes.issue(back.redirect_uri.clone(), asked.challenge, now);
            back.send(&[("code", &code)])
        }
        Ok(Some(decision)) if decision == "deny" => back.send(&[("error", "access_denied")]),
        _ => page::refuse("The form was sent without a decision."),
    }
}

fn read(query: &str, settings: &Settings) -> Result<ValidRequest, Refused> {
    let query = query.as_bytes();
    let to_the_person = |message: &str| Refused(Box::new(page::refuse(message)));
    let or_page =
        |name| single(query, name).map_err(|()| to_the_person("A parameter is repeated."));

    // Before both are known to be right, sending the user anywhere could send a code to a thief.
    match or_page("client_id")? {
        Some(id) if id == CLIENT_ID => {}
        _ => return Err(to_the_person("client_id is missing or unknown.")),
    }
    let redirect_uri = or_page("redirect_uri")?
        .filter(|uri| is_allowed(uri, &settings.redirect_uris))
        .ok_or_else(|| to_the_person("redirect_uri is missing or not allowed."))?;
    let back = Back { redirect_uri, state: or_page("state")? };

    let response_type = or_page("response_type")?;
    let scope = or_page("scope")?.unwrap_or_default();
    let challenge = or_page("code_challenge")?;
    let method = or_page("code_challenge_method")?;
    let error = if response_type.is_none() {
        Some(("invalid_request", "response_type is required."))
    } else if response_type.as_deref() != Some("code") {
        Some(("unsupported_response_type", "response_type must be code."))
    } else if !is_scope(&scope, &settings.providers) {
        Some(("invalid_scope", "scope must be read_write, with provider:<id> where needed."))
    } else if challenge.as_deref().is_some_and(|challenge| !is_challenge(challenge)) {
        Some(("invalid_request", "code_challenge must be 43 characters of base64url."))
    } else if method.is_some_and(|method| method != "S256") {
        Some(("invalid_request", "code_challenge_method must be S256."))
    } else {
        None
    };
    match error {
        None => Ok(ValidRequest { back, scope, challenge, login_hint: or_page("login_hint")? }),
        Some((error, description)) => {
            let answer = back.send(&[("error", error), ("error_description", description)]);
            Err(Refused(Box::new(answer)))
        }
    }
}

impl Back {
    /// Sends the browser back to the program.
    fn send(self, parameters: &[(&str, &str)]) -> Answer {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(parameters);
        if let Some(state) = &self.state {
            query.append_pair("state", state);
        }
        let separator = if self.redirect_uri.contains('?') { '&' } else { '?' };
        let location = format!("{}{separator}{}", self.redirect_uri, query.finish());
        match HeaderValue::try_from(location) {
            // 303: the browser goes on with a GET, whatever it sent.
            Ok(location) => {
                Answer::new(StatusCode::SEE_OTHER, Content::Empty).with_header(LOCATION, location)
            }
            Err(_) => page::refuse("redirect_uri can't stand in a header."),
        }
    }
}

/// The value of a parameter that may be there once (RFC 6749 section 3.1).
fn single(form: &[u8], name: &str) -> Result<Option<String>, ()> {
    let mut values = form_urlencoded::parse(form).filter(|(key, _)| key == name);
    match (values.next(), values.next()) {
        (value, None) => Ok(value.map(|(_, value)| value.into_owned())),
        (_, Some(_)) => Err(()),
    }
}

/// A loopback address, of any port (RFC 8252 section 7.3), or one that was let in by name.
fn is_allowed(redirect_uri: &str, allowed: &[String]) -> bool {
    if redirect_uri.contains('#') {
        return false;
    }
    let on_loopback = redirect_uri.parse::<Uri>().is_ok_and(|uri| {
        uri.scheme_str() == Some("http")
            && matches!(uri.host(), Some("127.0.0.1" | "[::1]" | "localhost"))
    });
    on_loopback || allowed.iter().any(|allowed| allowed == redirect_uri)
}

/// Always `read_write`, plus `provider:<id>` when the application can reach several businesses.
fn is_scope(scope: &str, providers: &[u64]) -> bool {
    let mut read_write = false;
    let known = scope.split(' ').all(|scope| {
        read_write |= scope == "read_write";
        let provider = scope.strip_prefix("provider:").and_then(|id| id.parse::<u64>().ok());
        scope == "read_write"
            || provider.is_some_and(|id| providers.is_empty() || providers.contains(&id))
    });
    known && read_write
}

fn is_challenge(challenge: &str) -> bool {
    challenge.len() == 43
        && challenge.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
