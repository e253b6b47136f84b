use super::super::tests::{JSON, SENT, read, response};

const ERROR: &str = r#"{
    "code": "invalid_token", "message": "The token is spent.", "type": "invalid_request_error",
    "field_errors": {"refresh_token": ["Unknown.", "Spent."], "non_field_errors": "Just one.", "scope": 5},
    "access_token": "n3ver-shown", "detail": "n3ver-shown"
}"#;

#[test]
fn teamups_own_words_are_kept_field_by_field() {
    for status in [400, 401, 403, 404, 429, 503] {
        let error = read(response(status, JSON, ERROR.as_bytes())).unwrap_err();
        let said = error.api_error().unwrap();
        assert_eq!(said.code, "invalid_token");
        assert_eq!(said.message, "The token is spent.");
        assert_eq!(said.error_type, "invalid_request_error");
        assert_eq!(said.field_errors["refresh_token"], ["Unknown.", "Spent."]);
        assert_eq!(said.field_errors["non_field_errors"], ["Just one."]);
        assert_eq!(said.field_errors.len(), 2);
        assert!(error.to_string().contains("invalid_token"), "{error}");
    }
    // As far as it can be read.
    let cut =
        read(response(400, JSON, ERROR.split_at(ERROR.find("\"type\"").unwrap()).0.as_bytes()))
            .unwrap_err();
    assert_eq!(cut.api_error().unwrap().code, "invalid_token");
    assert_eq!(cut.api_error().unwrap().message, "The token is spent.");
    // Not TeamUp's.
    for (content_type, body) in [(JSON, "[1]"), (JSON, r#"{"code":5}"#), ("text/html", "<html>")] {
        let error = read(response(400, content_type, body.as_bytes())).unwrap_err();
        assert_eq!(error.api_error(), None, "{body}");
    }
}

#[test]
fn p5_an_error_repeats_nothing_of_the_body_but_teamups_own_fields() {
    let secrets = [
        ERROR.to_owned(),
        // Each where a parser would quote what it did not expect.
        r#"{"refresh_token":{"n3ver-shown":"n3ver-shown"},"expires_in":"n3ver-shown"}"#.to_owned(),
        r#"{"access_token":"n3ver-shown ä","refresh_token":"n3ver-shown ä","expires_in":1}"#.into(),
        r#"{"access_token":"n3ver-shown","refresh_token":"n3ver-shown","expires_in":"#.into(),
        "n3ver-shown".into(),
        "\"n3ver-shown\"".into(),
        "<root><n3ver-shown>&n3ver-shown;</n3ver-shown></root>".into(),
        "<root><refresh_token>n3ver-shown</refresh_token><a>n3ver-shown".into(),
        "<n3ver-shown a='&n3ver-shown;'></n3ver-shown-either>".into(),
    ];
    for body in secrets {
        for status in [200, 201, 302, 400, 401, 404, 429, 500] {
            for content_type in [JSON, "application/xml", "text/html", ""] {
                let Err(error) = read(response(status, content_type, body.as_bytes())) else {
                    continue;
                };
                let shown = format!("{error} {error:?} {error:#?}");
                assert!(!shown.contains("n3ver-shown"), "{status} {content_type} {shown}");
            }
        }
    }
}

#[test]
fn p5_the_token_that_was_sent_is_redacted_in_teamups_words() {
    let escaped = serde_json::to_string(SENT).unwrap();
    let body = format!(
        r#"{{"code":{escaped},"message":"No such token: s3nt-refresh-\u0074oken/+%\"\\.","type":"%73%33nt-refresh-token%2F%2B%25%22%5C",
            "field_errors":{{{escaped}:["s3nt-re\nfresh-token/+%\"\\", "begins with s3nt-ref"]}}}}"#
    );
    let error = read(response(400, JSON, body.as_bytes())).unwrap_err();
    let said = error.api_error().unwrap();
    assert_eq!(said.message, "No such token: [refresh token].");
    for shown in [format!("{error}"), format!("{error:?}")] {
        assert!(!shown.to_lowercase().contains("s3nt-ref"), "{shown}");
        assert!(!shown.contains("%73"), "{shown}");
    }
}

#[test]
fn teamups_words_are_bounded_and_can_not_forge_a_line_of_a_log() {
    let fields: String =
        (0..100).map(|n| format!(r#","f{n:03}":[{}"m"]"#, "\"m\",".repeat(50))).collect();
    let body = format!(
        r#"{{"code":"{long}","message":"one\r\ntwo\u001b[31m\u0000\u202e three {long}",
            "type":"t","field_errors":{{"{long}":["{long}"]{fields}}}}}"#,
        long = "é".repeat(2000),
    );
    let error = read(response(400, JSON, body.as_bytes())).unwrap_err();
    let said = error.api_error().unwrap();
    assert_eq!(said.code, format!("{}…", "é".repeat(64)));
    assert!(said.message.starts_with("one  two[31m three é"), "{}", said.message);
    assert_eq!(said.message.chars().count(), 513);
    assert_eq!(said.field_errors.len(), 16);
    assert!(said.field_errors.values().all(|messages| messages.len() <= 8));
    assert_eq!(said.field_errors["f000"].len(), 8);
}
