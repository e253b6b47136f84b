use std::time::Duration;

use super::super::tests::{class_of, read, response};
use crate::refresh::FailureClass;

const XML: &str = "application/xml";

/// As Django REST Framework writes it.
fn granted(expires_in: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<root><access_token>a-2</access_token>\
         {expires_in}<refresh_token>r-2</refresh_token></root>"
    )
}

#[test]
fn xml_response_is_read_whatever_its_media_type_is_called() {
    for content_type in [
        "application/xml",
        "text/xml; charset=iso-8859-1",
        "Application/XML",
        "text/html",
        "",
        "application/json",
    ] {
        let body = granted("<expires_in>7200</expires_in>");
        let granted = read(response(200, content_type, body.as_bytes())).unwrap();
        assert_eq!(granted.access_token.expose(), "a-2");
        assert_eq!(granted.expires_in, Some(Duration::from_secs(7200)));
        assert!(!granted.odd_lifetime);
        assert_eq!(granted.refresh_token.unwrap().expose(), "r-2");
    }
}

#[test]
fn a_lifetime_is_read_where_it_makes_sense_and_unknown_where_not() {
    for (expires_in, seconds, odd) in [
        ("", None, false),
        ("<expires_in/>", None, false),
        ("<expires_in></expires_in>", None, false),
        ("<expires_in>\n\t</expires_in>", None, false),
        ("<expires_in> 7200\r\n</expires_in>", Some(7200), false),
        ("<expires_in>7200.9</expires_in>", Some(7200), false),
        ("<expires_in>&#55;2<![CDATA[0]]><!-- seconds -->0</expires_in>", Some(7200), false),
        ("<expires_in>99999999999999999999</expires_in>", Some(315_360_000), false),
        ("<expires_in>0</expires_in>", None, true),
        ("<expires_in>-1</expires_in>", None, true),
        ("<expires_in>None</expires_in>", None, true),
        ("<expires_in><s>7200</s></expires_in>", None, true),
    ] {
        let granted = read(response(200, XML, granted(expires_in).as_bytes()))
            .unwrap_or_else(|error| panic!("{expires_in}: {error}"));
        assert_eq!(granted.expires_in, seconds.map(Duration::from_secs), "{expires_in}");
        assert_eq!(granted.odd_lifetime, odd, "{expires_in}");
    }
}

#[test]
fn entities_and_cdata_are_decoded_and_what_is_beside_the_fields_is_skipped() {
    let body = "\u{FEFF}<!-- c --><?p i?>\n<root a='1'>\n  <extra x=\"&lt;\"><refresh_token>no\
                </refresh_token><deep/></extra>\n  <access_token>&lt;&#97;&amp;<![CDATA[<b>&]]>\
                &#x7A;&gt;</access_token>\n  <expires_in/>\n  <refresh_token>old</refresh_token>\
                <refresh_token>r&quot;&apos;2</refresh_token></root>\n";
    let granted = read(response(200, XML, body.as_bytes())).unwrap();
    assert_eq!(granted.access_token.expose(), "<a&<b>&z>");
    assert_eq!(granted.refresh_token.unwrap().expose(), "r\"'2");
}

#[test]
fn p2_a_faulty_response_keeps_the_rotated_refresh_token_it_holds() {
    let whole = granted("<expires_in/>");
    let inside = whole.split_once("<root>").unwrap().1;
    let rotated = Some("r-2");
    let cases = [
        // A field is missing, empty or of another form.
        ("<root><expires_in/><refresh_token>r-2</refresh_token></root>".to_owned(), rotated),
        (granted("<expires_in/>").replace("a-2", ""), rotated),
        (granted("<expires_in/>").replace("a-2", "<a>a-2</a>"), rotated),
        (granted("<expires_in/>").replace("a-2", "a 2"), rotated),
        // Not one whole document.
        (whole.replace("</root>", ""), rotated),
        (whole.replace("</refresh_token></root>", ""), None),
        (format!("more{whole}"), None),
        (whole.replace("</root>", "</rot>"), rotated),
        // Refused for what it could do.
        (format!("<!DOCTYPE root>{whole}"), None),
        (format!("<!DOCTYPE r [<!ENTITY a \"aaaa\">]><root>{inside}"), None),
        (whole.replace("a-2", "&a;"), None),
        (whole.replace("a-2", "&eacute;"), None),
        (whole.replace("a-2", "&#0;"), None),
        (whole.replace("a-2", "&#xD800;"), None),
        (whole.replace("a-2", "a & 2"), None),
        (whole.replace("<access_token>", "<access_token x='&a;'>"), None),
        (whole.replace("</root>", &format!("{}</root>", "<a>".repeat(16))), rotated),
        (String::new(), None),
        (" ".to_owned(), None),
        ("<?xml version=\"1.0\"?>".to_owned(), None),
        ("{}".to_owned(), None),
    ];
    for (body, rotated) in cases {
        let (class, kept) = class_of(read(response(200, XML, body.as_bytes())));
        assert_eq!((class, kept.as_deref()), (FailureClass::OutcomeUnknown, rotated), "{body}");
    }
    let (class, _) = class_of(read(response(200, XML, b"\xFF\xFE<\0r\0/\0>\0")));
    assert_eq!(class, FailureClass::OutcomeUnknown, "not UTF-8");
}

#[test]
fn a4_what_follows_the_root_is_not_part_of_the_response() {
    let whole = granted("<expires_in/>");
    for more in ["<root/>", "more", "<![CDATA[more]]>", "</root>", "<"] {
        assert!(read(response(200, XML, format!("{whole}{more}").as_bytes())).is_ok(), "{more}");
    }
}

#[test]
fn response_without_a_refresh_token_keeps_the_old_one() {
    for (from, to) in [("r-2", ""), ("<refresh_token>r-2</refresh_token>", "")] {
        let body = granted("<expires_in/>").replace(from, to);
        let granted = read(response(200, XML, body.as_bytes())).unwrap();
        assert_eq!(granted.access_token.expose(), "a-2");
        assert!(granted.refresh_token.is_none());
    }
}

#[test]
fn page_in_well_formed_html_is_not_the_endpoint() {
    for page in ["<html><body>Welcome</body></html>", "<html><br></html>", "<!DOCTYPE html><p>"] {
        for content_type in ["text/html", "application/xhtml+xml", ""] {
            let (class, _) = class_of(read(response(200, content_type, page.as_bytes())));
            assert_eq!(class, FailureClass::NotTheEndpoint, "{content_type} {page}");
        }
    }
}

#[test]
fn p10_only_teamups_own_word_about_the_token_ends_a_login() {
    use FailureClass::{Configuration, NotTheEndpoint, ProbablyRejected, Rejected};
    for (status, body, class) in [
        (401, "<code>authentication_failed</code><field_errors/>", Rejected),
        (400, "<code>invalid_grant</code>", Rejected),
        (400, "<field_errors><refresh_token><l>no</l></refresh_token></field_errors>", Rejected),
        (400, "<field_errors><scope><l>no</l></scope></field_errors>", Configuration),
        (400, "<field_errors><scope><i><l>no</l></i></scope></field_errors>", Configuration),
        (403, "<code>mode_not_allowed</code><field_errors></field_errors>", Configuration),
        (403, "<code>odd</code><field_errors/>", ProbablyRejected),
        (400, "<code>odd</code><type>invalid_request_error</type>", ProbablyRejected),
        (403, "<title>Request blocked</title>", NotTheEndpoint),
        (401, "<code>odd</code><message>m</message>", NotTheEndpoint),
    ] {
        let body = format!("<root>{body}</root>");
        let error = read(response(status, XML, body.as_bytes())).unwrap_err();
        assert_eq!(error.class(), class, "{status} {body}");
    }
    let cut = read(response(400, XML, b"<root><code>invalid_grant</code>")).unwrap_err();
    assert_eq!(cut.class(), NotTheEndpoint);
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| {
        let inside = "<a>".repeat(depth - 1) + &"</a>".repeat(depth - 1);
        granted("<expires_in/>").replace("</root>", &format!("{inside}</root>"))
    };
    assert!(read(response(200, XML, nested(16).as_bytes())).is_ok());
    assert!(read(response(200, XML, nested(17).as_bytes())).is_err());
    assert!(read(response(200, XML, nested(9_000).as_bytes())).is_err());
}

#[test]
fn teamups_own_words_are_kept_field_by_field() {
    let body = "<root><code>invalid_token</code><message>Spent &amp; gone.</message>\
                <type>invalid_request_error</type><field_errors><refresh_token>\
                <list-item>Unknown.</list-item><list-item>Spent.</list-item></refresh_token>\
                <scope>One.</scope></field_errors><detail>n3ver-shown</detail></root>";
    let error = read(response(400, XML, body.as_bytes())).unwrap_err();
    let said = error.api_error().unwrap();
    assert_eq!(said.code, "invalid_token");
    assert_eq!(said.message, "Spent & gone.");
    assert_eq!(said.error_type, "invalid_request_error");
    assert_eq!(said.field_errors["refresh_token"], ["Unknown.", "Spent."]);
    assert_eq!(said.field_errors["scope"], ["One."]);
    assert_eq!(said.field_errors.len(), 2);
    assert!(!format!("{error:?}").contains("n3ver-shown"));
}

#[test]
fn p5_the_token_that_was_sent_is_redacted_in_teamups_words() {
    let body = "<root><message>s3nt&#45;refresh-token/+%&quot;\\ is spent</message></root>";
    let error = read(response(401, XML, body.as_bytes())).unwrap_err();
    assert_eq!(error.api_error().unwrap().message, "[refresh token] is spent");
}

#[test]
fn only_what_stands_below_field_errors_is_an_error_of_a_field() {
    let body = "<root><code>invalid</code><other><scope>no</scope></other><field_errors><scope>\
                <item>Unknown.</item></scope></field_errors><a><b><c>no</c></b></a></root>";
    let error = read(response(400, XML, body.as_bytes())).unwrap_err();
    let said = error.api_error().unwrap();
    assert_eq!(said.code, "invalid");
    assert_eq!(said.field_errors["scope"], ["Unknown."]);
    assert_eq!(said.field_errors.len(), 1);
}
