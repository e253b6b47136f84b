//! The fields of a response, whichever format it came in.

use zeroize::Zeroizing;

/// One field, as either format can write it.
#[derive(Default)]
pub(super) enum Field {
    /// There is no such field.
    #[default]
    Missing,
    /// JSON's null, XML's empty element.
    Null,
    /// JSON's string, XML's text without the white space around it.
    Text(Zeroizing<String>),
    /// JSON's number, as it is written.
    Number(Box<str>),
    /// Anything else: true, false, an array, an object; an element that holds elements.
    Other,
}

/// The three fields of a granted refresh. If one comes twice, the last counts.
#[derive(Default)]
pub(super) struct TokenFields {
    pub(super) access_token: Field,
    pub(super) expires_in: Field,
    pub(super) refresh_token: Field,
}

impl TokenFields {
    pub(super) fn named(&mut self, name: &str) -> Option<&mut Field> {
        match name {
            "access_token" => Some(&mut self.access_token),
            "expires_in" => Some(&mut self.expires_in),
            "refresh_token" => Some(&mut self.refresh_token),
            _ => None,
        }
    }

    /// Was none of the three found?
    pub(super) fn is_empty(&self) -> bool {
        [&self.access_token, &self.expires_in, &self.refresh_token]
            .into_iter()
            .all(|field| matches!(field, Field::Missing))
    }
}

/// Where a body stopped making sense, in words that quote nothing of it.
pub(super) struct Malformed(pub(super) String);
