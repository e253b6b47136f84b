//! What went wrong with Redis, told without a secret.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use ::redis::{ErrorKind, RedisError, ServerErrorKind, Value};

/// Why a call to Redis failed.
///
/// The driver's own error does not leave this file: a server may echo the arguments of a command
/// that it does not know, a password or a token among them, and the driver shows an answer that
/// it can't decode.
pub(super) struct Failure {
    /// The key holds a value of another type than the one this crate writes.
    pub(super) is_wrong_type: bool,
    text: String,
}

impl Failure {
    /// Tells what `error` says, unless that holds one of `secrets`.
    pub(super) fn of<'a>(error: &RedisError, secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let text = match error.kind() {
            ErrorKind::Parse | ErrorKind::UnexpectedReturnType => {
                "it answered in a form that was not expected; is there something else than Redis \
                 at this address?"
                    .to_owned()
            }
            _ => {
                let told = error.to_string();
                without_arguments(&told).to_owned()
            }
        };
        let text = match error.kind() {
            ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::Ask) => format!(
                "it is a node of a cluster, and another node has this key; give the store a \
                 connection of a cluster client, by `RedisSource::connection` ({text})"
            ),
            _ => text,
        };
        let tells_a_secret =
            secrets.into_iter().any(|secret| !secret.is_empty() && text.contains(secret));
        Failure {
            is_wrong_type: error.code() == Some("WRONGTYPE"),
            text: if tells_a_secret { error.category().to_owned() } else { text },
        }
    }

    /// The error that a script caught and returned as text, if this is one.
    pub(super) fn in_script(value: &Value) -> Option<Self> {
        let text = match value {
            Value::BulkString(text) => String::from_utf8_lossy(text).into_owned(),
            Value::SimpleString(text) => text.clone(),
            _ => return None,
        };
        let is_wrong_type = text.starts_with("WRONGTYPE");
        Some(Failure { is_wrong_type, text: without_arguments(&text).to_owned() })
    }

    pub(super) fn no_answer_within(limit: Duration) -> Self {
        Failure { is_wrong_type: false, text: format!("there was no answer within {limit:?}") }
    }
}

/// Cuts off what a server appends to its words.
fn without_arguments(told: &str) -> &str {
    // "unknown command 'EVAL', with args beginning with: ..."
    let told = told.split(", with args").next().unwrap_or_default();
    // "You can't write against a read only replica. script: 6c30..., on @user_script:1."
    told.split(" script: ").next().unwrap_or_default()
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Failure").field(&self.text).finish()
    }
}

impl StdError for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(answer: &[u8], secrets: &[&str]) -> String {
        let error = redis::parse_redis_value(answer).unwrap().extract_error().unwrap_err();
        Failure::of(&error, secrets.iter().copied()).to_string()
    }

    #[test]
    fn p5_arguments_that_the_server_echoes_are_not_told() {
        let told = told(
            b"-ERR unknown command 'EVAL', with args beginning with: 'return 1' '1' 's3cret' \r\n",
            &[],
        );
        assert!(told.contains("unknown command 'EVAL'"), "{told}");
        assert!(!told.contains("s3cret"), "{told}");
    }

    #[test]
    fn p5_a_password_in_the_servers_words_silences_them() {
        let told = told(b"-ERR I do not know s3cret\r\n", &["s3cret"]);
        assert!(!told.contains("s3cret") && !told.is_empty(), "{told}");
    }

    #[test]
    fn p5_an_answer_that_can_not_be_decoded_is_not_repeated() {
        let answer = redis::parse_redis_value(b"$6\r\ns3cret\r\n").unwrap();
        let error = redis::from_redis_value::<u64>(answer).map_err(RedisError::from).unwrap_err();
        let failure = Failure::of(&error, []);
        assert!(!format!("{failure} {failure:?}").contains("s3cret"), "{failure}");
    }

    #[test]
    fn f1_error_that_a_script_returns_as_text_is_one_in_either_form_of_text() {
        let text = "WRONGTYPE Operation against a key holding the wrong kind of value";
        for value in [Value::SimpleString(text.into()), Value::BulkString(text.into())] {
            assert!(Failure::in_script(&value).unwrap().is_wrong_type);
        }
        assert!(Failure::in_script(&Value::Array(Vec::new())).is_none());
    }
}
