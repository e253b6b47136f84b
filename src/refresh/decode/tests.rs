use std::time::Duration;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
#[cfg(heavy_tests)]
use proptest::prelude::*;
use zeroize::Zeroizing;

use super::super::answer::{Answer, BODY_LIMIT, BodyEnd};
use super::super::error::{FailureClass, RefreshError};
use super::decode;
use crate::refresh::RefreshResponse;
use crate::token::{Clock, RefreshToken};

pub(super) const SENT: &str = "s3nt-refresh-token/+%\"\\";
pub(super) const JSON: &str = "application/json";

pub(super) fn answer(status: u16, content_type: &str, body: &[u8]) -> Answer {
    let mut headers = HeaderMap::new();
    if !content_type.is_empty() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap());
    }
    Answer {
        status: StatusCode::from_u16(status).unwrap(),
        headers,
        body: Zeroizing::new(body.to_vec()),
        end: BodyEnd::Whole,
    }
}

pub(super) fn read(answer: Answer) -> Result<RefreshResponse, RefreshError> {
    decode(answer, &RefreshToken::new(SENT).unwrap(), Clock::system().now())
}

fn granted(expires_in: &str) -> String {
    format!(r#"{{"access_token":"a-2","expires_in":{expires_in},"refresh_token":"r-2"}}"#)
}

/// The class, and the rotated refresh token that goes along.
pub(super) fn class_of(
    result: Result<RefreshResponse, RefreshError>,
) -> (FailureClass, Option<String>) {
    let mut error = result.unwrap_err();
    let rotated = error.take_rotated().map(|token| token.expose().to_owned());
    (error.class(), rotated)
}

#[test]
fn a_granted_exchange_is_read_whatever_its_json_media_type_is_called() {
    for content_type in [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/vnd.teamup.v2+json",
    ] {
        let granted = read(answer(200, content_type, granted("7200").as_bytes())).unwrap();
        assert_eq!(granted.access_token.expose(), "a-2");
        assert_eq!(granted.refresh_token.expose(), "r-2");
        assert_eq!(granted.expires_in, Some(Duration::from_secs(7200)));
        assert!(!granted.odd_lifetime);
    }
}

#[test]
fn a_granted_exchange_may_hold_more_than_three_fields_and_write_them_its_own_way() {
    let body = "\u{FEFF}{\"extra\":[{\"a\":1e999}],\"\\u0061ccess_token\":\"a\\u002d2\",\n \
                \"refresh_token\" : \"old\", \"refresh_token\" : \"r-2\", \"expires_in\":null}\n";
    let granted = read(answer(200, JSON, body.as_bytes())).unwrap();
    assert_eq!(granted.access_token.expose(), "a-2");
    assert_eq!(granted.refresh_token.expose(), "r-2");
    assert_eq!(granted.expires_in, None);
}

#[test]
fn a_lifetime_is_read_where_it_makes_sense_and_unknown_where_not() {
    const TEN_YEARS: u64 = 315_360_000;
    for (expires_in, seconds, odd) in [
        ("null", None, false),
        ("1", Some(1), false),
        ("7200", Some(7200), false),
        ("7199.99", Some(7199), false),
        ("7.2e3", Some(7200), false),
        ("\"7200\"", Some(7200), false),
        ("\" 7200.5 \"", Some(7200), false),
        ("315360001", Some(TEN_YEARS), false),
        ("18446744073709551616", Some(TEN_YEARS), false),
        ("1e400", Some(TEN_YEARS), false),
        ("\"99999999999999999999999999\"", Some(TEN_YEARS), false),
        ("0", None, true),
        ("-0", None, true),
        ("0.9", None, true),
        ("-1", None, true),
        ("-1e400", None, true),
        ("\"\"", None, true),
        ("\"soon\"", None, true),
        ("\"inf\"", None, true),
        ("\"NaN\"", None, true),
        ("\"1e\"", None, true),
        ("\"+-1\"", None, true),
        ("true", None, true),
        ("{\"seconds\":7200}", None, true),
        ("[7200]", None, true),
        ("\"\\ud800\"", None, true),
    ] {
        let granted = read(answer(200, JSON, granted(expires_in).as_bytes()))
            .unwrap_or_else(|error| panic!("{expires_in}: {error}"));
        assert_eq!(granted.expires_in, seconds.map(Duration::from_secs), "{expires_in}");
        assert_eq!(granted.odd_lifetime, odd, "{expires_in}");
    }
}

#[test]
fn p2_a_faulty_grant_keeps_the_rotated_refresh_token_it_holds() {
    let rotated = Some("r-2".to_owned());
    for (body, rotated) in [
        // A field is missing, empty, null or of another type.
        (r#"{"expires_in":1,"refresh_token":"r-2"}"#, &rotated),
        (r#"{"access_token":"","expires_in":1,"refresh_token":"r-2"}"#, &rotated),
        (r#"{"access_token":null,"expires_in":1,"refresh_token":"r-2"}"#, &rotated),
        (r#"{"access_token":17,"expires_in":1,"refresh_token":"r-2"}"#, &rotated),
        (r#"{"access_token":"a 2","expires_in":1,"refresh_token":"r-2"}"#, &rotated),
        (r#"{"access_token":"ä","expires_in":1,"refresh_token":"r-2"}"#, &rotated),
        (r#"{"access_token":"a-2","refresh_token":"r-2"}"#, &rotated),
        (r#"{"access_token":"a-2","expires_in":1}"#, &None),
        (r#"{"access_token":"a-2","expires_in":1,"refresh_token":""}"#, &None),
        (r#"{"access_token":"a-2","expires_in":1,"refresh_token":null}"#, &None),
        (r#"{"access_token":"a-2","expires_in":1,"refresh_token":"\u0000"}"#, &None),
        // The token that was sent is no rotated one.
        (r#"{"expires_in":1,"refresh_token":"s3nt-refresh-token/+%\"\\"}"#, &None),
        // Cut off.
        (r#"{"access_token":"a-2","refresh_token":"r-2","expires_in":72"#, &rotated),
        (r#"{"access_token":"a-2","refresh_token":"r-2"#, &None),
        // Followed by something.
        (r#"{"access_token":"a-2","refresh_token":"r-2","expires_in":72}{}"#, &rotated),
        // No object, no JSON, nothing.
        (r#"["access_token","refresh_token"]"#, &None),
        ("null", &None),
        ("<html>", &None),
        ("", &None),
    ] {
        let (class, kept) = class_of(read(answer(200, JSON, body.as_bytes())));
        assert_eq!((class, &kept), (FailureClass::OutcomeUnknown, rotated), "{body}");
    }
    let (class, _) = class_of(read(answer(200, JSON, b"{\"refresh_token\":\"\xFF\"}")));
    assert_eq!(class, FailureClass::OutcomeUnknown, "not UTF-8");
}

#[test]
fn p2_an_answer_that_ends_badly_keeps_the_rotated_refresh_token_it_holds() {
    let padded = format!("{}{}", granted("1"), " ".repeat(BODY_LIMIT));
    let too_long =
        Answer { end: BodyEnd::TooLong, ..answer(200, JSON, &padded.as_bytes()[..BODY_LIMIT]) };
    let broken = Answer {
        end: BodyEnd::Broken(format!("reset while reading {SENT}").into()),
        ..answer(200, JSON, granted("1").as_bytes())
    };
    for (answer, said) in [(too_long, "longer than 64 KiB"), (broken, "broke off")] {
        let mut error = read(answer).unwrap_err();
        assert_eq!(error.class(), FailureClass::OutcomeUnknown);
        assert!(error.to_string().contains(said), "{error}");
        assert!(!format!("{error:?}").contains(SENT), "{error:?}");
        assert_eq!(error.take_rotated().unwrap().expose(), "r-2");
    }
}

#[test]
fn an_answer_in_another_format_is_none_of_the_endpoints() {
    for content_type in ["text/html", "text/html; a=application/json", "application/jsonx", ""] {
        let (class, rotated) = class_of(read(answer(200, content_type, b"<html></html>")));
        assert_eq!((class, rotated), (FailureClass::NotTheEndpoint, None), "{content_type}");
        // It is JSON all the same: refused, and the token is kept.
        let (class, rotated) = class_of(read(answer(200, content_type, granted("1").as_bytes())));
        assert_eq!((class, rotated.as_deref()), (FailureClass::NotTheEndpoint, Some("r-2")));
        // A portal's page may be as long as it likes.
        let page = Answer { end: BodyEnd::TooLong, ..answer(200, content_type, &[b'a'; 100]) };
        assert_eq!(read(page).unwrap_err().class(), FailureClass::NotTheEndpoint);
    }
    let mut compressed = answer(200, JSON, b"\x1f\x8b");
    compressed.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    let error = read(compressed).unwrap_err();
    assert_eq!(error.class(), FailureClass::OutcomeUnknown);
    assert!(error.to_string().contains("compressed"), "{error}");
}

#[test]
fn every_status_has_its_class() {
    for (status, class) in [
        (201, FailureClass::NotTheEndpoint),
        (204, FailureClass::NotTheEndpoint),
        (301, FailureClass::NotTheEndpoint),
        (302, FailureClass::NotTheEndpoint),
        (307, FailureClass::NotTheEndpoint),
        (308, FailureClass::NotTheEndpoint),
        (400, FailureClass::Rejected),
        (401, FailureClass::Rejected),
        (403, FailureClass::Rejected),
        (404, FailureClass::NotTheEndpoint),
        (405, FailureClass::NotTheEndpoint),
        (408, FailureClass::Transient),
        (415, FailureClass::NotTheEndpoint),
        (425, FailureClass::Transient),
        (429, FailureClass::Transient),
        (500, FailureClass::Transient),
        (502, FailureClass::Transient),
        (503, FailureClass::Transient),
        (504, FailureClass::Transient),
        (599, FailureClass::Transient),
        (600, FailureClass::NotTheEndpoint),
    ] {
        let error = read(answer(status, JSON, b"{}")).unwrap_err();
        assert_eq!(error.class(), class, "{status}");
        assert_eq!(error.status().unwrap().as_u16(), status);
        assert_eq!(error.api_error(), None);
        assert!(error.to_string().contains(&format!("(status {status})")), "{error}");
    }
    // Another 2xx may still have rotated the token.
    let (_, rotated) = class_of(read(answer(201, JSON, granted("1").as_bytes())));
    assert_eq!(rotated.as_deref(), Some("r-2"));
}

#[test]
fn retry_after_goes_along_with_a_transient_failure_alone() {
    for (status, wait) in [(429, Some(7)), (503, Some(7)), (401, None), (404, None)] {
        let mut answer = answer(status, JSON, b"{}");
        answer.headers.insert(RETRY_AFTER, HeaderValue::from_static("7"));
        let error = read(answer).unwrap_err();
        assert_eq!(error.retry_after(), wait.map(Duration::from_secs), "{status}");
    }
}

#[cfg(not(feature = "xml"))]
#[test]
fn xml_without_its_feature_names_the_feature() {
    let error = read(answer(200, "application/xml", b"<root/>")).unwrap_err();
    assert_eq!(error.class(), FailureClass::NotTheEndpoint);
    assert!(error.to_string().contains("`xml`"), "{error}");
}

#[test]
fn p5_what_was_granted_is_not_shown() {
    let granted = read(answer(200, JSON, granted("7200").as_bytes())).unwrap();
    let shown = format!("{granted:?}");
    assert!(!shown.contains("a-2") && !shown.contains("r-2"), "{shown}");
}

#[test]
fn depth_is_bounded() {
    // Skipped without recursion where nobody asks for it.
    let deep = "[".repeat(30_000) + &"]".repeat(30_000);
    let body = format!(
        r#"{{"x":{deep},"access_token":"a-2","expires_in":{{"x":{deep}}},"refresh_token":"r-2"}}"#
    );
    assert!(read(answer(200, JSON, body.as_bytes())).unwrap().odd_lifetime);
    let body = format!(r#"{{"field_errors":{{"a":{deep}}},"message":{deep},"code":"c"}}"#);
    let error = read(answer(400, JSON, body.as_bytes())).unwrap_err();
    assert_eq!(error.api_error().unwrap().code, "c");
    // And refused where only an object makes sense.
    let (class, _) = class_of(read(answer(200, JSON, deep.as_bytes())));
    assert_eq!(class, FailureClass::OutcomeUnknown);
}

#[cfg(heavy_tests)]
proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(
        status in 100_u16..=999,
        content_type in prop_oneof![Just(JSON), Just("text/xml"), Just("")],
        body in proptest::collection::vec(any::<u8>(), 0..512),
    ) {
        let _ = read(answer(status, content_type, &body));
    }

    #[test]
    fn no_text_that_looks_like_an_answer_makes_the_decoder_panic(
        status in prop_oneof![Just(200_u16), Just(400)],
        content_type in prop_oneof![Just(JSON), Just("application/xml")],
        pieces in proptest::collection::vec(
            prop_oneof![
                Just("{"), Just("}"), Just("["), Just("]"), Just(":"), Just(","), Just("\""),
                Just("\\u00"), Just("1e9"), Just("-"), Just("null"), Just("\"refresh_token\""),
                Just("\"field_errors\""), Just("\"code\""), Just("<root>"), Just("</root>"),
                Just("<refresh_token>"), Just("</refresh_token>"), Just("<expires_in/>"),
                Just("<field_errors>"), Just("</field_errors>"), Just("<list-item>"),
                Just("</list-item>"), Just("<![CDATA["), Just("]]>"), Just("&amp;"), Just("&#"),
                Just(";"), Just("<!DOCTYPE"), Just("<!--"), Just("-->"), Just("<?xml"), Just(">"),
                Just("x"), Just(" "), Just("é"),
            ],
            0..40,
        ),
    ) {
        let _ = read(answer(status, content_type, pieces.concat().as_bytes()));
    }

    #[test]
    fn p2_whatever_is_cut_off_a_whole_refresh_token_survives(cut in 0_usize..80) {
        let whole = granted("7200");
        let cut = cut.min(whole.len() - 1);
        let token_ends = whole.find("r-2\"").unwrap() + 4;
        let (class, rotated) = class_of(read(answer(200, JSON, &whole.as_bytes()[..cut])));
        prop_assert_eq!(class, FailureClass::OutcomeUnknown);
        prop_assert_eq!(rotated.is_some(), cut >= token_ends);
    }
}
