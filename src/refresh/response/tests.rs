use std::time::Duration;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
#[cfg(heavy_tests)]
use proptest::prelude::*;
use zeroize::Zeroizing;

use super::{BodyEnd, RawResponse, decode};
use crate::refresh::FailureClass::{
    Configuration, NotTheEndpoint, OutcomeUnknown, ProbablyRejected, Rejected, Transient,
};
use crate::refresh::{FailureClass, RefreshError, RefreshResponse};
use crate::token::{Clock, RefreshToken};

pub(super) const SENT: &str = "s3nt-refresh-token/+%\"\\";
pub(super) const JSON: &str = "application/json";

pub(super) fn response(status: u16, content_type: &str, body: &[u8]) -> RawResponse {
    let mut headers = HeaderMap::new();
    if !content_type.is_empty() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap());
    }
    RawResponse {
        status: StatusCode::from_u16(status).unwrap(),
        headers,
        body: Zeroizing::new(body.to_vec()),
        end: BodyEnd::Whole,
    }
}

pub(super) fn read(response: RawResponse) -> Result<RefreshResponse, RefreshError> {
    decode(response, &RefreshToken::new(SENT).unwrap(), Clock::system().now())
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
fn json_response_is_read_whatever_its_media_type_is_called() {
    for content_type in [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/json; charset=iso-8859-1",
        "application/vnd.teamup.v2+json",
        // Wrong, missing, and the other format's.
        "text/html; charset=utf-8",
        "text/plain",
        "application/octet-stream",
        "application/jsonx",
        "",
        "application/xml",
    ] {
        let granted = read(response(200, content_type, granted("7200").as_bytes())).unwrap();
        assert_eq!(granted.access_token.expose(), "a-2");
        assert_eq!(granted.expires_in, Some(Duration::from_secs(7200)));
        assert!(!granted.odd_lifetime);
        assert_eq!(granted.refresh_token.unwrap().expose(), "r-2");
    }
}

#[test]
fn json_response_may_hold_more_than_three_fields_and_write_them_its_own_way() {
    let body = "\u{FEFF}{\"extra\":[{\"a\":1e999}],\"\\u0061ccess_token\":\"a\\u002d2\",\n \
                \"refresh_token\" : \"old\", \"refresh_token\" : \"r-2\", \"expires_in\":null}\n";
    let granted = read(response(200, JSON, body.as_bytes())).unwrap();
    assert_eq!(granted.access_token.expose(), "a-2");
    assert_eq!(granted.expires_in, None);
    assert_eq!(granted.refresh_token.unwrap().expose(), "r-2");
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
        let granted = read(response(200, JSON, granted(expires_in).as_bytes()))
            .unwrap_or_else(|error| panic!("{expires_in}: {error}"));
        assert_eq!(granted.expires_in, seconds.map(Duration::from_secs), "{expires_in}");
        assert_eq!(granted.odd_lifetime, odd, "{expires_in}");
    }
}

#[test]
fn d2_response_without_expires_in_is_used_and_its_lifetime_is_unknown() {
    let body = br#"{"access_token":"a-2","refresh_token":"r-2"}"#;
    let granted = read(response(200, JSON, body)).unwrap();
    assert_eq!((granted.expires_in, granted.odd_lifetime), (None, false));
    assert_eq!(granted.refresh_token.unwrap().expose(), "r-2");
}

#[test]
fn p10_access_token_is_used_whatever_the_refresh_token_beside_it_is() {
    for refresh_token in ["", r#","refresh_token":null"#, r#","refresh_token":"""#] {
        let body = format!(r#"{{"access_token":"a-2","expires_in":60{refresh_token}}}"#);
        let granted = read(response(200, JSON, body.as_bytes())).unwrap();
        assert_eq!(granted.access_token.expose(), "a-2");
        assert!(granted.refresh_token.is_none(), "{refresh_token}: the old one stays in use");
    }
    for unusable in ["7", "{}", r#""\u0000""#, r#"" r""#, r#""\ud800""#] {
        let body = format!(r#"{{"access_token":"a-2","refresh_token":{unusable}}}"#);
        let granted = read(response(200, JSON, body.as_bytes())).unwrap();
        assert!(granted.refresh_token.is_none(), "{unusable}");
    }
    // The same one again is a refresh token as any other.
    let sent = serde_json::to_string(SENT).unwrap();
    let body = format!(r#"{{"access_token":"a-2","refresh_token":{sent}}}"#);
    let granted = read(response(200, JSON, body.as_bytes())).unwrap();
    assert_eq!(granted.refresh_token.unwrap().expose(), SENT);
}

#[test]
fn any_success_with_tokens_is_as_good_as_200() {
    for status in [200, 201, 202, 203, 206, 299] {
        let granted = read(response(status, JSON, granted("1").as_bytes()));
        assert_eq!(granted.unwrap().access_token.expose(), "a-2", "{status}");
    }
}

#[test]
fn bytes_that_are_not_utf_8_do_not_matter_where_nobody_reads() {
    let body = b"\xEF\xBB\xBF{\"name\":\"Z\xFCrich\",\"\xE9\":[\"\xFF\"],\"access_token\":\"a-2\"}";
    assert_eq!(read(response(200, JSON, body)).unwrap().access_token.expose(), "a-2");
    // In a token they do.
    let error = read(response(200, JSON, b"{\"access_token\":\"a\xFF2\"}")).unwrap_err();
    assert_eq!(error.class(), OutcomeUnknown);
    let body = b"{\"code\":\"invalid_grant\",\"message\":\"ung\xFCltig\"}";
    let error = read(response(400, JSON, body)).unwrap_err();
    assert_eq!(error.class(), Rejected);
    assert_eq!(error.api_error().unwrap().message, "ung\u{FFFD}ltig");
}

#[test]
fn a4_whole_document_is_a_response_however_its_body_ended() {
    let broken = || BodyEnd::Broken("reset".into());
    for end in [BodyEnd::TooLong, broken(), BodyEnd::Whole] {
        let whole = RawResponse { end, ..response(200, JSON, granted("1").as_bytes()) };
        assert_eq!(read(whole).unwrap().access_token.expose(), "a-2");
    }
    let body = br#"{"code":"invalid_grant"}"#;
    let refused = RawResponse { end: broken(), ..response(400, JSON, body) };
    assert_eq!(read(refused).unwrap_err().class(), Rejected);
    // What follows the document is not part of it.
    let followed = format!("{}{{}}", granted("1"));
    assert!(read(response(200, JSON, followed.as_bytes())).is_ok());
}

#[test]
fn p2_a_faulty_response_keeps_the_rotated_refresh_token_it_holds() {
    let rotated = Some("r-2".to_owned());
    for (body, rotated) in [
        // The access token is missing, empty, null or of another type.
        (r#"{"expires_in":1,"refresh_token":"r-2"}"#, &rotated),
        (r#"{"access_token":"","expires_in":1,"refresh_token":"r-2"}"#, &rotated),
        (r#"{"access_token":null,"expires_in":1,"refresh_token":"r-2"}"#, &rotated),
        (r#"{"access_token":17,"expires_in":1,"refresh_token":"r-2"}"#, &rotated),
        (r#"{"access_token":"a 2","expires_in":1,"refresh_token":"r-2"}"#, &rotated),
        (r#"{"access_token":"ä","expires_in":1,"refresh_token":"r-2"}"#, &rotated),
        // The token that was sent is no rotated one.
        (r#"{"expires_in":1,"refresh_token":"s3nt-refresh-token/+%\"\\"}"#, &None),
        // Cut off.
        (r#"{"access_token":"a-2","refresh_token":"r-2","expires_in":72"#, &rotated),
        (r#"{"access_token":"a-2","refresh_token":"r-2"#, &None),
        // No object, no JSON, nothing.
        (r#"["access_token","refresh_token"]"#, &None),
        ("null", &None),
        ("<html>", &None),
        ("", &None),
    ] {
        let (class, kept) = class_of(read(response(200, JSON, body.as_bytes())));
        assert_eq!((class, &kept), (OutcomeUnknown, rotated), "{body}");
    }
}

#[test]
fn p2_a_response_that_ends_badly_keeps_the_rotated_refresh_token_it_holds() {
    let cut = || response(200, JSON, br#"{"refresh_token":"r-2","access_token":"a-"#);
    let too_long = RawResponse { end: BodyEnd::TooLong, ..cut() };
    let broken =
        RawResponse { end: BodyEnd::Broken(format!("reset while reading {SENT}").into()), ..cut() };
    for (response, said) in [(too_long, "longer than 64 KiB"), (broken, "broke off")] {
        let mut error = read(response).unwrap_err();
        assert_eq!(error.class(), OutcomeUnknown);
        assert!(error.to_string().contains(said), "{error}");
        assert!(!format!("{error:?}").contains(SENT), "{error:?}");
        assert_eq!(error.take_rotated().unwrap().expose(), "r-2");
    }
}

#[test]
fn page_that_is_neither_json_nor_xml_is_not_the_endpoint() {
    for content_type in ["text/html", "text/html; a=application/json", "application/xhtml+xml", ""]
    {
        for page in ["<html></html>", "<!DOCTYPE html><p>", "Welcome", "[1]"] {
            let (class, rotated) = class_of(read(response(200, content_type, page.as_bytes())));
            assert_eq!((class, rotated), (NotTheEndpoint, None), "{content_type} {page}");
        }
        // A portal's page may be as long as it likes, and break off.
        for end in [BodyEnd::TooLong, BodyEnd::Broken("reset".into())] {
            let page = RawResponse { end, ..response(200, content_type, &[b'a'; 100]) };
            assert_eq!(read(page).unwrap_err().class(), NotTheEndpoint);
        }
        // Nothing came of a body: it may have been the endpoint's.
        let error = read(response(204, content_type, b" ")).unwrap_err();
        assert_eq!(error.class(), OutcomeUnknown);
        assert!(error.to_string().contains("has no body"), "{error}");
    }
}

#[test]
fn a5_what_is_compressed_is_reported_as_such_and_never_as_rejected() {
    let coded = |status, coding, body: &[u8]| {
        let mut response = response(status, JSON, body);
        response.headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
        response
    };
    for status in [200, 201, 400, 401, 403] {
        for coding in ["gzip", "GZIP", "identity, br"] {
            let error = read(coded(status, coding, b"\x1f\x8b\x08")).unwrap_err();
            assert_eq!(error.class(), OutcomeUnknown, "{status} {coding}");
            assert!(error.to_string().contains("compressed"), "{error}");
        }
    }
    for coding in ["identity", "Identity", "identity, identity", ""] {
        assert!(read(coded(200, coding, granted("1").as_bytes())).is_ok(), "{coding}");
        let error = read(coded(400, coding, b"\x1f\x8b\x08")).unwrap_err();
        assert_eq!(error.class(), NotTheEndpoint, "{coding}");
    }
    // Something on the way has decompressed it and left the header.
    assert!(read(coded(200, "gzip", granted("1").as_bytes())).is_ok());
    // Where the body decides nothing, its coding does not either.
    assert_eq!(read(coded(503, "gzip", b"\x1f")).unwrap_err().class(), Transient);
    assert_eq!(read(coded(404, "gzip", b"\x1f")).unwrap_err().class(), NotTheEndpoint);
}

/// TeamUp's error body with this code and these field errors.
fn teamup(code: &str, field_errors: &str) -> String {
    format!(
        r#"{{"code":"{code}","message":"m","type":"invalid_request_error","field_errors":{field_errors}}}"#
    )
}

const FIREWALL: &str = "<html><body>Request blocked</body></html>";

/// One row for each line of the table in the documentation, and its neighbours.
fn table() -> Vec<(FailureClass, Vec<u16>, Vec<String>)> {
    let teamups = |codes: &[&str]| codes.iter().map(|code| teamup(code, "{}")).collect::<Vec<_>>();
    let refused = || vec![400, 401, 403];
    let invalid = |field_errors| vec![teamup("invalid", field_errors)];
    vec![
        // Rejected: TeamUp's own word about the refresh token.
        (Rejected, refused(), invalid(r#"{"refresh_token":["Unknown."]}"#)),
        (Rejected, refused(), invalid(r#"{"refresh_token":"Unknown."}"#)),
        (Rejected, refused(), invalid(r#"{"scope":["x"],"refresh_token":["Unknown."]}"#)),
        (Rejected, refused(), vec![r#"{"field_errors":{"refresh_token":["Unknown."]}}"#.into()]),
        (Rejected, vec![400, 401], teamups(&["authentication_failed", "invalid_grant"])),
        (
            Rejected,
            vec![400, 401],
            vec![
                r#"{"code":"invalid_grant"}"#.into(),
                r#"{"code":"authentication_failed","field_errors":{}}"#.into(),
            ],
        ),
        // Configuration: about what was asked for.
        (Configuration, refused(), invalid(r#"{"scope":["Not a scope."]}"#)),
        (Configuration, refused(), invalid(r#"{"scope":{"0":["Not a scope."]}}"#)),
        (Configuration, refused(), invalid(r#"{"new_access_token_type":["No such mode."]}"#)),
        (Configuration, refused(), vec![r#"{"field_errors":{"scope":["x"]}}"#.into()]),
        (
            Configuration,
            vec![403],
            teamups(&[
                "mode_not_allowed",
                "permission_denied",
                "provider_invalid",
                "provider_header_missing",
            ]),
        ),
        // Probably rejected: TeamUp's body, in words that nobody knows.
        (
            ProbablyRejected,
            refused(),
            teamups(&["token_revoked", "fault", "invalid_grants", "INVALID_GRANT"]),
        ),
        (ProbablyRejected, vec![403], teamups(&["authentication_failed", "invalid_grant"])),
        (ProbablyRejected, vec![400, 401], teamups(&["mode_not_allowed", "provider_invalid"])),
        (ProbablyRejected, refused(), invalid(r#"{"non_field_errors":["Expired."]}"#)),
        (ProbablyRejected, refused(), invalid(r#"{"refresh_token":[],"scope":null}"#)),
        // Not the endpoint: nobody knows whose words these are.
        (
            NotTheEndpoint,
            refused(),
            [
                FIREWALL,
                "",
                "no",
                "[1]",
                "{}",
                r#"{"message":"Forbidden"}"#,
                r#"{"code":403,"message":"Forbidden"}"#,
                r#"{"code":"AccessDenied","message":"Forbidden"}"#,
                r#"{"detail":"Authentication credentials were not provided."}"#,
                r#"{"error":"invalid_request"}"#,
                // Cut off: what is missing could change what it means.
                r#"{"code":"invalid_grant","type":"invalid_request_error""#,
            ]
            .map(str::to_owned)
            .into(),
        ),
        (
            NotTheEndpoint,
            vec![
                300, 301, 302, 303, 307, 308, 402, 404, 405, 406, 407, 409, 410, 415, 422, 451, 600,
            ],
            vec![teamup("invalid_grant", r#"{"refresh_token":["Unknown."]}"#), FIREWALL.into()],
        ),
        // Transient: the token was not looked at.
        (
            Transient,
            vec![408, 425, 429, 500, 501, 503, 505, 507, 520, 599],
            vec![teamup("invalid_grant", "{}"), FIREWALL.into(), String::new()],
        ),
        // Unknown: the endpoint behind the gateway may have gone on.
        (
            OutcomeUnknown,
            vec![502, 504],
            vec![teamup("invalid_grant", "{}"), FIREWALL.into(), String::new()],
        ),
    ]
}

#[test]
fn p10_only_teamups_own_word_about_the_token_ends_a_login() {
    for (class, statuses, bodies) in table() {
        for status in statuses {
            for body in &bodies {
                for content_type in [JSON, "text/html; charset=utf-8"] {
                    let error = read(response(status, content_type, body.as_bytes())).unwrap_err();
                    assert_eq!(error.class(), class, "{status} {content_type} {body}");
                    assert_eq!(error.status().unwrap().as_u16(), status);
                    assert!(error.to_string().contains(&format!("(status {status})")), "{error}");
                }
            }
        }
    }
}

#[test]
fn b2_error_names_the_field_that_teamup_complained_about() {
    for (field_errors, field) in [
        (r#"{"scope":["Not a scope."]}"#, Some("scope")),
        (r#"{"scope":{"0":["Not a scope."],"1":"Nor this."}}"#, Some("scope")),
        (r#"{"new_access_token_type":["x"],"scope":["x"]}"#, Some("scope")),
        (r#"{"new_access_token_type":{"a":{}}}"#, Some("new_access_token_type")),
        (r#"{"scope":["x"],"refresh_token":["x"]}"#, Some("refresh_token")),
        (r#"{"non_field_errors":["x"],"other":["x"]}"#, None),
        ("{}", None),
        ("[]", None),
    ] {
        let body = teamup("invalid", field_errors);
        let error = read(response(400, JSON, body.as_bytes())).unwrap_err();
        assert_eq!(error.field(), field, "{field_errors}");
    }
    let body = teamup("invalid", r#"{"scope":{"0":["Not a scope."],"1":"Nor this."}}"#);
    let error = read(response(400, JSON, body.as_bytes())).unwrap_err();
    assert_eq!(error.api_error().unwrap().field_errors["scope"], ["Not a scope.", "Nor this."]);
}

#[test]
fn b8_retry_after_counts_for_as_long_as_it_says() {
    for (status, wait) in [
        (408, Some(1800)),
        (429, Some(1800)),
        (502, Some(1800)),
        (503, Some(1800)),
        (401, None),
        (404, None),
    ] {
        let mut response = response(status, JSON, b"{}");
        response.headers.insert(RETRY_AFTER, HeaderValue::from_static("1800"));
        let error = read(response).unwrap_err();
        assert_eq!(error.retry_after(), wait.map(Duration::from_secs), "{status}");
    }
}

#[cfg(not(feature = "xml"))]
#[test]
fn xml_without_its_feature_names_the_feature() {
    let error = read(response(200, "application/xml", b"<root/>")).unwrap_err();
    assert_eq!(error.class(), OutcomeUnknown);
    assert!(error.to_string().contains("`xml`"), "{error}");
}

#[test]
fn p5_what_was_granted_is_not_shown() {
    let granted = read(response(200, JSON, granted("7200").as_bytes())).unwrap();
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
    assert!(read(response(200, JSON, body.as_bytes())).unwrap().odd_lifetime);
    let body = format!(r#"{{"field_errors":{{"a":{deep}}},"message":{deep},"code":"c"}}"#);
    let error = read(response(400, JSON, body.as_bytes())).unwrap_err();
    assert_eq!(error.api_error().unwrap().code, "c");
    // And refused where only an object makes sense.
    let (class, _) = class_of(read(response(200, JSON, deep.as_bytes())));
    assert_eq!(class, OutcomeUnknown);
}

#[cfg(heavy_tests)]
proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(
        status in 100_u16..=999,
        content_type in prop_oneof![Just(JSON), Just("text/xml"), Just("")],
        body in proptest::collection::vec(any::<u8>(), 0..512),
    ) {
        let _ = read(response(status, content_type, &body));
    }

    #[test]
    fn no_text_that_looks_like_a_response_makes_the_decoder_panic(
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
        let _ = read(response(status, content_type, pieces.concat().as_bytes()));
    }

    #[test]
    fn p2_whatever_is_cut_off_a_whole_refresh_token_survives(cut in 0_usize..80) {
        let whole = granted("7200");
        let cut = cut.min(whole.len() - 1);
        let token_ends = whole.find("r-2\"").unwrap() + 4;
        let (class, rotated) = class_of(read(response(200, JSON, &whole.as_bytes()[..cut])));
        prop_assert_eq!(class, OutcomeUnknown);
        prop_assert_eq!(rotated.is_some(), cut >= token_ends);
    }
}
