//! TeamUp's error body, made fit to be shown.

#[cfg(test)]
mod tests;

use super::super::ApiError;
use super::super::strike::Strikeout;

/// Limits in characters. TeamUp's own words are far shorter.
const CODE_LIMIT: usize = 64;
const MESSAGE_LIMIT: usize = 512;
const FIELDS_LIMIT: usize = 16;
const MESSAGES_LIMIT: usize = 8;

/// What an error body says, as it says it. Not to be shown before it is [`presentable`].
#[derive(Default)]
pub(super) struct Said(ApiError);

impl Said {
    pub(super) fn word(&mut self, name: &str, text: String) {
        match name {
            "code" => self.0.code = text,
            "message" => self.0.message = text,
            "type" => self.0.error_type = text,
            _ => {}
        }
    }

    pub(super) fn field_error(&mut self, field: &str, message: String) {
        let errors = &mut self.0.field_errors;
        if errors.len() < FIELDS_LIMIT || errors.contains_key(field) {
            let messages = errors.entry(field.to_owned()).or_default();
            if messages.len() < MESSAGES_LIMIT {
                messages.push(message);
            }
        }
    }
}

/// Without control characters, without the refresh token, and of bounded length. `None` if nothing
/// was said.
pub(super) fn presentable(Said(said): Said, strikeout: &Strikeout<'_>) -> Option<ApiError> {
    let clean = |text: &str, limit| clean(text, limit, strikeout);
    let shown = ApiError {
        code: clean(&said.code, CODE_LIMIT),
        message: clean(&said.message, MESSAGE_LIMIT),
        error_type: clean(&said.error_type, CODE_LIMIT),
        field_errors: said
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

fn clean(text: &str, limit: usize, strikeout: &Strikeout<'_>) -> String {
    let printable: String = text
        .chars()
        .map(|char| if matches!(char, '\n' | '\r' | '\t') { ' ' } else { char })
        .filter(|&char| !disturbs(char))
        .collect();
    // Only the whole text shows where the token ends, so the cut comes last.
    let scrubbed = strikeout.scrub(&printable);
    match scrubbed.char_indices().nth(limit) {
        None => scrubbed,
        Some((end, _)) => format!("{}…", &scrubbed[..end]),
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
