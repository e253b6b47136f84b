//! Texts that hold a secret, put together without a copy that is not wiped.

use std::str::Chars;

use zeroize::Zeroizing;

/// Appends `more`. A `String` that grows by itself leaves what it held before behind, unwiped.
#[cfg(feature = "xml")]
pub(crate) fn append(text: &mut Zeroizing<String>, more: &str) {
    let length = text.len().saturating_add(more.len());
    if length > text.capacity() {
        let room = length.max(text.capacity().saturating_mul(2));
        let mut larger = Zeroizing::new(String::with_capacity(room));
        larger.push_str(text);
        *text = larger;
    }
    text.push_str(more);
}

/// What a JSON string says; `None` for another value. serde_json would do it in a buffer of its
/// own, which nobody wipes.
pub(crate) fn unquote(json: &str) -> Option<Zeroizing<String>> {
    let mut rest = json.strip_prefix('"')?.strip_suffix('"')?;
    // No escape is shorter than what it stands for.
    let mut text = Zeroizing::new(String::with_capacity(rest.len()));
    while let Some((plain, escape)) = rest.split_once('\\') {
        text.push_str(plain);
        let mut characters = escape.chars();
        let character = match characters.next()? {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => unicode_escape(&mut characters)?,
            character => character,
        };
        text.push(character);
        rest = characters.as_str();
    }
    text.push_str(rest);
    Some(text)
}

/// The four digits after `\u`, and the second half of a surrogate pair where there is one.
fn unicode_escape(characters: &mut Chars<'_>) -> Option<char> {
    let first = utf16_unit(characters)?;
    if !(0xd800..0xdc00).contains(&first) {
        return char::from_u32(first.into());
    }
    *characters = characters.as_str().strip_prefix("\\u")?.chars();
    let second = utf16_unit(characters)?;
    char::decode_utf16([first, second]).next()?.ok()
}

/// What the next four digits say.
fn utf16_unit(characters: &mut Chars<'_>) -> Option<u16> {
    let (digits, rest) = characters.as_str().split_at_checked(4)?;
    let unit = u16::from_str_radix(digits, 16).ok()?;
    *characters = rest.chars();
    Some(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_json_string_says_is_read_with_every_escape() {
        for (json, expected) in [
            (r#""""#, Some("")),
            (r#""\"\\\/\b\f\n\r\t""#, Some("\"\\/\u{8}\u{c}\n\r\t")),
            (r#""\u00e9\uD83E\uDD80x""#, Some("\u{e9}\u{1f980}x")),
            (r#""\ud83e""#, None),
            (r#""\ud83e\u0041""#, None),
            ("1", None),
        ] {
            assert_eq!(unquote(json).as_ref().map(|text| text.as_str()), expected, "{json}");
        }
    }

    #[cfg(feature = "xml")]
    #[test]
    fn what_is_appended_is_kept_in_order() {
        let mut text = Zeroizing::new(String::new());
        let parts = ["a", "", "bcd", "\u{e9}", "efghijklmnop"];
        parts.iter().for_each(|part| append(&mut text, part));
        assert_eq!(*text, parts.concat());
    }
}
