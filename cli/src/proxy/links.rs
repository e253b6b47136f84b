//! URLs of the API in answers, made to lead to this proxy.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The base of the API, and that of this proxy in its place.
#[derive(Debug)]
pub(super) struct Rewriting<'a> {
    /// Scheme, host and port.
    pub(super) api_origin: &'a str,
    pub(super) base_path: &'a str,
    pub(super) own_origin: String,
}

/// The members of a page that hold URLs.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    next: Option<&'a RawValue>,
    #[serde(borrow)]
    previous: Option<&'a RawValue>,
}

impl Rewriting<'_> {
    /// `None` if the URL does not lead to the API.
    pub(super) fn url(&self, url: &str) -> Option<String> {
        let origin = url.get(..self.api_origin.len())?;
        if !origin.eq_ignore_ascii_case(self.api_origin) {
            return None;
        }
        let target = &url[self.api_origin.len()..];
        let below = target.strip_prefix(self.base_path)?;
        let is_below = below.is_empty() || below.starts_with(['/', '?', '#']);
        is_below.then(|| format!("{}{target}", self.own_origin))
    }

    /// The page with `next` and `previous` rewritten and every other byte as it was; `None` if there is
    /// nothing to rewrite.
    pub(super) fn page(&self, json: &Bytes) -> Option<Bytes> {
        let text = std::str::from_utf8(json).ok()?;
        let page: Page<'_> = serde_json::from_str(text).ok()?;
        let mut changes: Vec<_> = [page.next, page.previous]
            .into_iter()
            .flatten()
            .filter_map(|raw| {
                let url: String = serde_json::from_str(raw.get()).ok()?;
                let url = serde_json::to_string(&self.url(&url)?).ok()?;
                // The raw value is a part of the text.
                let start = (raw.get().as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
                Some((start..start + raw.get().len(), url))
            })
            .collect();
        if changes.is_empty() {
            return None;
        }
        changes.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
        let mut text = text.to_owned();
        for (range, url) in changes {
            text.replace_range(range, &url);
        }
        Some(text.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewriting() -> Rewriting<'static> {
        Rewriting {
            api_origin: "https://goteamup.com",
            base_path: "/api/v2",
            own_origin: "http://127.0.0.1:8270".to_owned(),
        }
    }

    #[test]
    fn urls_of_the_api_lead_to_the_proxy() {
        let rewriting = rewriting();
        let url = rewriting.url("https://goteamup.com/api/v2/events?page=2");
        assert_eq!(url.as_deref(), Some("http://127.0.0.1:8270/api/v2/events?page=2"));
        for other in [
            "https://goteamup.com.evil.test/api/v2/x",
            "https://goteamup.com:8443/api/v2/x",
            "http://goteamup.com/api/v2/x",
            "https://goteamup.com/api/v22",
            "https://goteamup.com/login",
            "/api/v2/x",
            "é",
        ] {
            assert_eq!(rewriting.url(other), None, "{other}");
        }
    }

    #[test]
    fn every_other_byte_of_a_page_stays() {
        let page = Bytes::from_static(
            br#"{"count": 1e2, "next":"https:\/\/goteamup.com/api/v2/events?page=3",  "previous" : "https://goteamup.com/api/v2/events", "results":[{"next":"https://goteamup.com/api/v2/x"}]}"#,
        );
        let rewritten = rewriting().page(&page).unwrap();
        assert_eq!(
            rewritten,
            r#"{"count": 1e2, "next":"http://127.0.0.1:8270/api/v2/events?page=3",  "previous" : "http://127.0.0.1:8270/api/v2/events", "results":[{"next":"https://goteamup.com/api/v2/x"}]}"#
        );
        for other in [&b"[]"[..], b"{}", br#"{"next": null}"#, br#"{"next": 7}"#, b"\xff", b"{"] {
            assert_eq!(rewriting().page(&Bytes::copy_from_slice(other)), None);
        }
    }
}
