use super::*;
use crate::headers::RequestMode;
use crate::token::RefreshToken;

fn encoded(encoding: RefreshEncoding, token: &str, scope: &[&str]) -> (String, Bytes) {
    let request = RefreshRequest::new(RefreshToken::new(token).unwrap(), RequestMode::Provider);
    let scope: Vec<String> = scope.iter().map(|&scope| scope.to_owned()).collect();
    let encoded = encode(encoding, &request, &scope).unwrap();
    (encoded.content_type.to_str().unwrap().to_owned(), encoded.body)
}

#[test]
fn json_holds_the_scope_as_an_array_and_leaves_an_empty_one_out() {
    let (content_type, body) = encoded(RefreshEncoding::Json, "a\"b\\c/+", &["read_write", "é"]);
    assert_eq!(content_type, "application/json");
    assert_eq!(
        body,
        "{\"refresh_token\":\"a\\\"b\\\\c/+\",\"scope\":[\"read_write\",\"é\"],\
         \"new_access_token_type\":\"provider\"}"
    );
    let (_, body) = encoded(RefreshEncoding::Json, "r", &[]);
    assert_eq!(body, r#"{"refresh_token":"r","new_access_token_type":"provider"}"#);
}

#[test]
fn a_form_repeats_the_scope_and_leaves_an_empty_one_out() {
    let (content_type, body) =
        encoded(RefreshEncoding::Form, "a b&c=+%", &["read_write", "provider:5"]);
    assert_eq!(content_type, "application/x-www-form-urlencoded");
    assert_eq!(
        body,
        "refresh_token=a+b%26c%3D%2B%25&scope=read_write&scope=provider%3A5\
         &new_access_token_type=provider"
    );
    let (_, body) = encoded(RefreshEncoding::Form, "r", &[]);
    assert_eq!(body, "refresh_token=r&new_access_token_type=provider");
}

#[cfg(all(feature = "multipart", feature = "testing"))]
#[tokio::test]
async fn multipart_repeats_the_scope_and_another_library_reads_it() {
    // A value may hold whatever looks like a delimiter.
    let scopes = ["read_write", "--\r\n\r\n--x--\r\nContent-Disposition: form-data; name=\"é\""];
    for (scope, fields) in [
        (
            &scopes[..],
            vec![("refresh_token", "a b\"--"), ("scope", scopes[0]), ("scope", scopes[1])],
        ),
        (&[], vec![("refresh_token", "a b\"--")]),
    ] {
        let (content_type, body) = encoded(RefreshEncoding::Multipart, "a b\"--", scope);
        let boundary = multer::parse_boundary(content_type).unwrap();
        assert!(body.starts_with(format!("--{boundary}\r\n").as_bytes()));
        let body = http_body_util::BodyExt::into_data_stream(http_body_util::Full::new(body));
        let mut parts = multer::Multipart::new(body, boundary);
        for (name, value) in fields.into_iter().chain([("new_access_token_type", "provider")]) {
            let part = parts.next_field().await.unwrap().unwrap();
            assert_eq!((part.name(), part.file_name()), (Some(name), None));
            assert_eq!(part.text().await.unwrap(), value);
        }
        assert!(parts.next_field().await.unwrap().is_none());
    }
    let boundary_of = || encoded(RefreshEncoding::Multipart, "r", &[]).0;
    assert_ne!(boundary_of(), boundary_of());
}

#[test]
fn a_body_is_written_into_one_buffer_that_never_grows() {
    let long = "\"&\\".repeat(500);
    let scopes = ["\u{1}é".repeat(300), String::new(), "x".to_owned()];
    for (token, scope) in [(&*long, &scopes[..]), (&*long, &[]), ("r", &[])] {
        let request = RefreshRequest::new(RefreshToken::new(token).unwrap(), RequestMode::Customer);
        for (encoding, per_byte) in ENCODINGS {
            let written = encode(*encoding, &request, scope).unwrap().body.len();
            let room = capacity(&request, scope, *per_byte);
            assert!(written <= room, "{encoding:?}: {written} bytes, room for {room}");
            assert!(room < 4 * written + 600, "{encoding:?}: {written} bytes, room for {room}");
            assert!(buffer(&request, scope, *per_byte).capacity() >= room);
        }
    }
}

const ENCODINGS: &[(RefreshEncoding, usize)] = &[
    (RefreshEncoding::Json, 6),
    (RefreshEncoding::Form, 3),
    #[cfg(feature = "multipart")]
    (RefreshEncoding::Multipart, 1),
];
