//! The query with which a person comes back from the authorize page.

use super::answer::ErrorBody;
use super::error::{Kind, LoginError};

/// The parameters of RFC 6749 section 4.1.2 that a callback can hold.
const NAMES: [&str; 4] = ["code", "state", "error", "error_description"];

/// The parameters of a callback, in their order. What else stands in the query belongs to the
/// program.
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// TeamUp appends `?code=…` even to a redirect URI that already has a query (seen), so a
    /// parameter of ours may begin after a second `?`.
    pub(super) fn read(query: &str) -> Self {
        let mut text = query.strip_prefix('?').unwrap_or(query).to_owned();
        for name in NAMES {
            text = text.replace(&format!("?{name}="), &format!("&{name}="));
        }
        let parameters = form_urlencoded::parse(text.as_bytes());
        Parameters(parameters.filter(|(name, _)| NAMES.contains(&&**name)).map(own_both).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The `state`, if there is one and only one.
    pub(super) fn state(&self) -> Option<&str> {
        self.only("state").ok().flatten()
    }

    /// The authorization code, if this answers the question that was asked with `state`.
    ///
    /// The `state` is judged first: whatever else an answer says, one with another state was meant
    /// for somebody else (RFC 6749 section 10.12).
    pub(super) fn code(&self, state: &str) -> Result<&str, LoginError> {
        let mismatch = |why| Err(LoginError::new(Kind::StateMismatch, why));
        match self.only("state") {
            Ok(Some(found)) if is_same(found, state) => {}
            Ok(Some(_)) => {
                return mismatch(
                    "the callback's `state` is not the one that was sent, so it does not belong \
                     to this login; its code was not used",
                );
            }
            Ok(None) => return mismatch("the callback has no `state`; its code was not used"),
            Err(()) => return mismatch("the callback repeats `state`; its code was not used"),
        }
        let protocol = |why| Err(LoginError::new(Kind::Protocol, why));
        match (self.only("error"), self.only("code")) {
            (Err(()), _) | (_, Err(())) => protocol("the callback repeats a parameter"),
            (Ok(Some(error)), _) => Err(self.error(error, state)),
            (Ok(None), Ok(Some(code))) if !code.is_empty() => Ok(code),
            (Ok(None), Ok(_)) => protocol("the callback holds neither a code nor an error"),
        }
    }

    fn error(&self, error: &str, state: &str) -> LoginError {
        let (kind, message) = match error {
            "access_denied" => (Kind::Denied, "the person did not approve"),
            "server_error" | "temporarily_unavailable" => {
                (Kind::Transient, "TeamUp can't serve the login now")
            }
            _ => (Kind::Configuration, "TeamUp refused the request for authorization"),
        };
        let description = self.only("error_description").ok().flatten();
        let body = ErrorBody::of_callback(error, description).without(&[state]);
        LoginError::new(kind, message).with_body(body)
    }

    fn only(&self, name: &str) -> Result<Option<&str>, ()> {
        let mut values = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| &**value);
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            (_, Some(_)) => Err(()),
        }
    }
}

/// Looks at every byte, so that the time tells nothing of where they differ.
fn is_same(found: &str, state: &str) -> bool {
    let differ = |(a, b): (u8, u8)| usize::from(a ^ b);
    found.len() == state.len() && found.bytes().zip(state.bytes()).map(differ).sum::<usize>() == 0
}

fn own_both((name, value): (impl Into<String>, impl Into<String>)) -> (String, String) {
    (name.into(), value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(query: &str) -> Result<String, LoginError> {
        Parameters::read(query).code("right").map(str::to_owned)
    }

    #[test]
    fn code_is_taken_from_a_callback_with_the_right_state() {
        for query in [
            "code=c%2B1&state=right",
            "?state=right&code=c%2B1",
            "tenant=5&code=c%2B1&state=right",
            // As TeamUp appends to a redirect URI that has a query.
            "tenant=5?code=c%2B1&state=right",
            "tenant=5?state=right&code=c%2B1",
            "code=c%2B1&state=right&scope=read_write&iss=https%3A%2F%2Fgoteamup.com",
        ] {
            assert_eq!(code(query).unwrap(), "c+1", "{query}");
        }
    }

    #[test]
    fn state_that_is_wrong_or_missing_or_repeated_is_an_error_whatever_else_is_said() {
        for query in [
            "",
            "code=c",
            "code=c&state=",
            "code=c&state=wrong",
            "code=c&state=righ",
            "code=c&state=right&state=right",
            "code=c&state=right?state=right",
            "code=c&state=wrong&state=right",
            "error=access_denied",
            "error=access_denied&state=wrong",
        ] {
            assert!(code(query).unwrap_err().is_state_mismatch(), "{query}");
        }
    }

    #[test]
    fn error_of_the_authorize_page_is_told_apart() {
        let denied = code("error=access_denied&error_description=No+thanks&state=right");
        let denied = denied.unwrap_err();
        assert!(denied.is_denied());
        assert_eq!(denied.code(), Some("access_denied"));
        assert!(denied.to_string().contains("No thanks"), "{denied}");
        assert!(code("error=server_error&state=right").unwrap_err().is_transient());
        assert!(code("error=invalid_scope&state=right").unwrap_err().is_configuration());
        // An error beside a code is an error.
        assert!(code("error=access_denied&code=c&state=right").unwrap_err().is_denied());
        for query in ["state=right", "state=right&code=", "state=right&code=a&code=b"] {
            assert!(code(query).unwrap_err().is_protocol(), "{query}");
        }
    }

    #[test]
    fn p5_description_that_repeats_the_state_is_left_out() {
        let error = code("error=invalid_scope&error_description=state+right&state=right");
        assert!(!error.unwrap_err().to_string().contains("right"));
    }
}
