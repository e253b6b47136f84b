//! TeamUp's error body: what it says of the refresh token, and its words, made fit to be shown.

#[cfg(test)]
mod tests;

use zeroize::{Zeroize as _, Zeroizing};

use super::super::ApiError;
use super::super::redact::Redactor;

/// Limits in characters. TeamUp's own words are far shorter.
const CODE_LIMIT: usize = 64;
const MESSAGE_LIMIT: usize = 512;
const FIELDS_LIMIT: usize = 16;
const MESSAGES_LIMIT: usize = 8;

/// The fields of a refresh request, in the order of what they mean for a login.
const REQUEST_FIELDS: [&str; 3] = ["refresh_token", "scope", "new_access_token_type"];

/// What an error body says, as it says it. Not to be shown before it is [presentable].
///
/// [presentable]: ErrorBody::presentable
#[derive(Default)]
pub(super) struct ErrorBody {
    words: ApiError,
    has_field_errors: bool,
    /// Which of [`REQUEST_FIELDS`] have an error.
    faulty_fields: [bool; REQUEST_FIELDS.len()],
    /// The document was whole. A part of one decides nothing.
    pub(super) is_whole: bool,
}

impl ErrorBody {
    pub(super) fn word(&mut self, name: &str, text: String) {
        match name {
            "code" => self.words.code = text,
            "message" => self.words.message = text,
            "type" => self.words.error_type = text,
            _ => {}
        }
    }

    /// There is an object of field errors, be it empty.
    pub(super) fn has_field_errors(&mut self) {
        self.has_field_errors = true;
    }

    /// Something is wrong with `field`, whether or not it is said in words.
    pub(super) fn faulty_field(&mut self, field: &str) {
        if let Some(index) = REQUEST_FIELDS.iter().position(|name| *name == field) {
            self.faulty_fields[index] = true;
        }
    }

    pub(super) fn field_error(&mut self, field: &str, message: String) {
        self.faulty_field(field);
        let errors = &mut self.words.field_errors;
        if errors.len() < FIELDS_LIMIT || errors.contains_key(field) {
            let messages = errors.entry(field.to_owned()).or_default();
            if messages.len() < MESSAGES_LIMIT {
                messages.push(message);
                return;
            }
        }
        drop(Zeroizing::new(message));
    }

    pub(super) fn code(&self) -> &str {
        &self.words.code
    }

    /// The first field of the refresh request that TeamUp complained about.
    pub(super) fn field(&self) -> Option<&'static str> {
        let index = self.faulty_fields.iter().position(|faulty| *faulty)?;
        Some(REQUEST_FIELDS[index])
    }

    /// Is it built as TeamUp builds its error bodies? All of them seen have a code, and a type or
    /// field errors. What gateways answer with (`{"message": …}`) has not.
    pub(super) fn is_teamups(&self) -> bool {
        self.has_field_errors || !(self.words.code.is_empty() || self.words.error_type.is_empty())
    }

    /// Without control characters, without the refresh token, and of bounded length. `None` if it
    /// says nothing.
    pub(super) fn presentable(&self, redactor: &Redactor<'_>) -> Option<ApiError> {
        let clean = |text: &str, limit| clean(text, limit, redactor);
        let words = &self.words;
        let shown = ApiError {
            code: clean(&words.code, CODE_LIMIT),
            message: clean(&words.message, MESSAGE_LIMIT),
            error_type: clean(&words.error_type, CODE_LIMIT),
            field_errors: words
                .field_errors
                .iter()
                .map(|(field, messages)| {
                    let messages = messages.iter().map(|text| clean(text, MESSAGE_LIMIT)).collect();
                    (clean(field, CODE_LIMIT), messages)
                })
                .collect(),
        };
        (shown != ApiError::default()).then_some(shown)
    }
}

/// It may quote the refresh token.
impl Drop for ErrorBody {
    fn drop(&mut self) {
        let ApiError { code, message, error_type, field_errors } = &mut self.words;
        [code, message, error_type].into_iter().for_each(|text| text.zeroize());
        field_errors.values_mut().flatten().for_each(|text| text.zeroize());
    }
}

fn clean(text: &str, limit: usize, redactor: &Redactor<'_>) -> String {
    // Nothing that is left out or replaced makes it longer, so it does not grow.
    let mut printable = Zeroizing::new(String::with_capacity(text.len()));
    printable.extend(
        text.chars()
            .map(|char| if matches!(char, '\n' | '\r' | '\t') { ' ' } else { char })
            .filter(|&char| !disturbs(char)),
    );
    // Only the whole text shows where the token ends, so the cut comes last.
    let redacted = redactor.redact(&printable);
    match redacted.char_indices().nth(limit) {
        None => redacted,
        Some((end, _)) => format!("{}…", &redacted[..end]),
    }
}

/// Control characters, and those that move or hide what stands beside them in a log.
fn disturbs(char: char) -> bool {
    char.is_control()
        || matches!(
            char,
            '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}'
        )
}
