//! Every form of the refresh request, against every form of its answer.

use http::Request;
use serde_json::json;
use tower_teamup_auth::testing::FakeTeamUp;

use crate::client::{Answer, Client, full};

const FORMS: [&str; 3] =
    ["application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"];

/// The fields in the form of `content_type`; a field that is there twice is repeated, or a list.
fn write(content_type: &str, fields: &[(&str, &str)]) -> String {
    match content_type {
        "application/json" => {
            let mut body = json!({});
            for (name, value) in fields {
                if *name == "scope" {
                    let mut scopes = body["scope"].as_array().cloned().unwrap_or_default();
                    scopes.push((*value).into());
                    body["scope"] = scopes.into();
                } else {
                    body[name] = (*value).into();
                }
            }
            body.to_string()
        }
        "application/x-www-form-urlencoded" => {
            form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
        }
        _ => {
            let part = |(name, value): &(&str, &str)| {
                format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
            };
            fields.iter().map(part).collect::<String>() + "--b--\r\n"
        }
    }
}

async fn send(
    client: &Client,
    server: &FakeTeamUp,
    query: &str,
    content_type: &str,
    fields: &[(&str, &str)],
) -> Answer {
    let request = Request::post(server.url(&format!("/auth/refresh_access_token{query}")))
        .header("content-type", content_type)
        .body(full(write(content_type, fields)))
        .unwrap();
    client.answer(request).await
}

/// The text of an element that is there once.
fn element<'a>(xml: &'a str, name: &str) -> &'a str {
    let (start, end) = (format!("<{name}>"), format!("</{name}>"));
    assert_eq!(xml.matches(&start).count(), 1, "{xml}");
    xml.split_once(&start).unwrap().1.split_once(&end).unwrap().0
}

#[tokio::test]
async fn every_form_of_the_request_gets_every_form_of_the_answer() {
    let server = FakeTeamUp::start().await;
    let client = Client::http1();
    let mut token = server.issue_tokens(&[]).refresh_token().expose().to_owned();
    for content_type in FORMS {
        for query in ["", "?format=json", "?format=xml"] {
            let fields = [
                ("refresh_token", token.as_str()),
                ("scope", "read_write"),
                ("scope", "provider:7"),
                ("new_access_token_type", "provider"),
            ];
            let answer = send(&client, &server, query, content_type, &fields).await;
            assert_eq!(answer.status, 200, "{content_type} {query}");
            let access;
            if query == "?format=xml" {
                assert_eq!(answer.header("content-type"), Some("application/xml; charset=utf-8"));
                let xml = std::str::from_utf8(&answer.body).unwrap();
                assert!(
                    xml.starts_with("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<root>"),
                    "{xml}"
                );
                assert_eq!(element(xml, "expires_in"), "7200");
                access = element(xml, "access_token").to_owned();
                token = element(xml, "refresh_token").to_owned();
            } else {
                assert_eq!(answer.header("content-type"), Some("application/json"));
                access = answer.text("access_token");
                token = answer.text("refresh_token");
            }
            let api =
                client.get(&server, "/echo", &access, tower_teamup_auth::RequestMode::Provider);
            assert_eq!(api.await.status, 200);
        }
    }
    assert_eq!(server.rotations(), 9);
}

#[tokio::test]
async fn every_form_is_validated_alike() {
    let server = FakeTeamUp::start().await;
    let client = Client::http1();
    for content_type in FORMS {
        for (fields, field) in [
            (&[][..], "refresh_token"),
            (&[("refresh_token", "")], "refresh_token"),
            (&[("refresh_token", "r"), ("scope", "a"), ("scope", "")], "scope"),
            (
                &[("refresh_token", "r"), ("new_access_token_type", "Provider")],
                "new_access_token_type",
            ),
        ] {
            let answer = send(&client, &server, "", content_type, fields).await;
            assert_eq!(answer.status, 400, "{content_type}: {fields:?}");
            let errors = &answer.json()["field_errors"];
            assert!(errors[field][0].is_string(), "{content_type}: {errors}");
            assert_eq!(errors.as_object().unwrap().len(), 1, "{content_type}: {errors}");
        }
    }
    // In a form that lacks what its content type promises.
    let boundless = "multipart/form-data";
    let answer = send(&client, &server, "", boundless, &[("refresh_token", "r")]).await;
    assert_eq!((answer.status.as_u16(), answer.text("code").as_str()), (400, "parse_error"));
    assert_eq!(server.rejected_refresh_requests(), 13);
}

#[tokio::test]
async fn errors_and_nulls_are_written_in_xml_too() {
    let server = FakeTeamUp::builder().access_tokens_without_expiry().start().await;
    let client = Client::http1();
    let token = server.issue_tokens(&[]).refresh_token().expose().to_owned();
    let fields = [("refresh_token", token.as_str())];
    let answer = send(&client, &server, "?format=xml", FORMS[0], &fields).await;
    assert_eq!(element(std::str::from_utf8(&answer.body).unwrap(), "expires_in"), "");

    let answer = send(&client, &server, "?format=xml", FORMS[0], &fields).await;
    assert_eq!(answer.status, 400);
    let xml = std::str::from_utf8(&answer.body).unwrap();
    assert_eq!(element(xml, "code"), "invalid_grant");
    assert_eq!(element(xml, "type"), "invalid_request_error");

    let answer = send(&client, &server, "?format=xml", FORMS[0], &[]).await;
    let xml = std::str::from_utf8(&answer.body).unwrap();
    let errors = element(xml, "field_errors");
    assert_eq!(
        errors,
        "<refresh_token><list-item>This field is required.</list-item></refresh_token>"
    );
}

#[tokio::test]
async fn a_format_that_accept_rules_out_is_refused_before_anything_is_spent() {
    let server = FakeTeamUp::start().await;
    let client = Client::http1();
    let token = server.issue_tokens(&[]).refresh_token().expose().to_owned();
    let request = |query: &str, accept: &str| {
        Request::post(server.url(&format!("/auth/refresh_access_token{query}")))
            .header("content-type", "application/json")
            .header("accept", accept)
            .body(full(json!({ "refresh_token": token }).to_string()))
            .unwrap()
    };
    for (query, accept) in [("", "text/html"), ("?format=xml", "application/json")] {
        let answer = client.answer(request(query, accept)).await;
        assert_eq!((answer.status.as_u16(), answer.text("code").as_str()), (406, "not_acceptable"));
    }
    assert_eq!((server.rotations(), server.rejected_refresh_requests()), (0, 2));
    let answer = client.answer(request("", "application/xml, */*;q=0.1")).await;
    assert_eq!(answer.header("content-type"), Some("application/xml; charset=utf-8"));
    assert_eq!(server.rotations(), 1);
}
