use std::convert::Infallible;
use std::time::Duration;

use futures_util::stream;
use http::{StatusCode, Version};
use http_body::Frame;
use http_body_util::{Empty, Full, StreamBody};
#[cfg(heavy_tests)]
use tokio_test::{assert_pending, assert_ready_ok};
use tower::{ServiceExt, service_fn};

use super::*;
use crate::middleware::decision::{AnsweredElsewhere, Redirected};

/// In place of a client: answers from the URL that it was asked for.
async fn echo(request: Request) -> reqwest::Result<Response> {
    let builder = http::Response::builder().url(request.url().clone());
    Ok(builder.body(Body::default()).unwrap().into())
}

fn answer_from(url: &'static str) -> Response {
    let builder = http::Response::builder().status(StatusCode::UNAUTHORIZED);
    builder.url(url.parse().unwrap()).body("").unwrap().into()
}

#[tokio::test]
async fn what_a_request_brings_arrives_and_what_comes_back_is_kept() {
    let service = ReqwestService::new(service_fn(async |request: Request| {
        assert_eq!(request.timeout(), Some(&Duration::from_secs(7)));
        assert_eq!(request.version(), Version::HTTP_2);
        assert_eq!(request.headers()["x-one"], "1");
        assert_eq!(request.body().unwrap().as_bytes(), Some(&b"text"[..]));
        let request = http::Request::<Body>::try_from(request)?;
        assert_eq!(request.extensions().get(), Some(&17));
        let url = "https://goteamup.com/elsewhere".parse().unwrap();
        let answer = http::Response::builder().status(203).version(Version::HTTP_2).url(url);
        Ok::<_, reqwest::Error>(answer.extension("kept").body("answer").unwrap().into())
    }));
    let mut request = Request::new(http::Method::POST, "https://goteamup.com/".parse().unwrap());
    *request.timeout_mut() = Some(Duration::from_secs(7));
    *request.version_mut() = Version::HTTP_2;
    *request.body_mut() = Some("text".into());
    request.headers_mut().insert("x-one", "1".parse().unwrap());
    let mut request = http::Request::<Body>::try_from(request).unwrap();
    request.extensions_mut().insert(17);

    let response = service.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 203);
    assert_eq!(response.version(), Version::HTTP_2);
    assert_eq!(response.extensions().get(), Some(&"kept"));
    let response = Response::from(response);
    assert_eq!(response.url().as_str(), "https://goteamup.com/elsewhere");
    assert_eq!(response.text().await.unwrap(), "answer");
}

#[tokio::test]
async fn p4_a_path_that_would_be_read_as_part_of_the_host_is_sent_nowhere() {
    let uri = |path| {
        http::Uri::builder().scheme("https").authority("goteamup.com").path_and_query(path).build()
    };
    // `http` 1.5 refuses the others itself, the versions before it do not.
    let others = [".evil.example/", ":8080/", "@evil.example/"].map(uri);
    for uri in others.into_iter().flatten().chain([uri("*").unwrap()]) {
        let request = http::Request::get(&uri).body(Body::default()).unwrap();
        let refused = ReqwestService::new(service_fn(echo)).oneshot(request).await;
        assert!(refused.unwrap_err().is_builder(), "{uri}");
    }
    let request = http::Request::get("https://goteamup.com?a=b").body(Body::default()).unwrap();
    let answer = ReqwestService::new(service_fn(echo)).oneshot(request).await.unwrap();
    assert_eq!(Response::from(answer).url().as_str(), "https://goteamup.com/?a=b");
}

#[tokio::test]
async fn only_another_origin_is_elsewhere() {
    let asked: Url = "https://goteamup.com/api/v2/events".parse().unwrap();
    for (answered, elsewhere) in [
        ("https://goteamup.com/other", false),
        ("https://goteamup.com:443/", false),
        ("https://goteamup.com:8443/", true),
        ("http://goteamup.com/", true),
        ("https://api.goteamup.com/", true),
    ] {
        let mut response = answer_from(answered);
        note_redirects(&asked, &mut response, false, Redirects::NotFollowed);
        let response = into_http(response);
        let noted = response.extensions().get::<AnsweredElsewhere>().is_some();
        assert_eq!(noted, elsewhere, "{answered}");
        assert_eq!(response.extensions().get(), Some(&Redirected::Followed), "{answered}");
    }
}

#[test]
fn a_response_without_a_url_as_of_a_mock_or_a_cache_is_not_from_elsewhere() {
    let asked: Url = "https://goteamup.com/api/v2/events".parse().unwrap();
    let unauthorized = || {
        let response = http::Response::builder().status(StatusCode::UNAUTHORIZED);
        Response::from(response.body("").unwrap())
    };
    let mut response = unauthorized();
    note_redirects(&asked, &mut response, false, Redirects::NotFollowed);
    assert!(response.extensions().get::<AnsweredElsewhere>().is_none());
    assert!(response.extensions().get::<Redirected>().is_none());

    let mut response = unauthorized();
    note_redirects(&asked, &mut response, true, Redirects::Recorded);
    assert_eq!(response.extensions().get(), Some(&Redirected::Followed), "the policy saw it");
}

#[cfg(heavy_tests)]
#[test]
fn p6_readiness_is_that_of_the_service_within() {
    let (mut service, mut within) =
        tower_test::mock::spawn_with::<Request, Response, _, _>(ReqwestService::new);
    within.allow(0);
    assert_pending!(service.poll_ready::<http::Request<Body>>());
    within.allow(1);
    assert_ready_ok!(service.poll_ready::<http::Request<Body>>());
}

#[test]
fn p9_a_body_in_memory_can_be_sent_again_and_a_stream_can_not() {
    let mut memory = Body::from("in memory");
    let pointer = |body: &Body| body.as_bytes().unwrap().as_ptr();
    let (first, copy) = (pointer(&memory), memory.try_clone().unwrap());
    assert_eq!(copy.as_bytes(), Some(&b"in memory"[..]));
    assert_eq!([pointer(&memory), pointer(&copy)], [first; 2], "a byte was copied");
    assert!(Body::default().try_clone().is_some());

    let chunks = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from("in a stream")))]);
    assert!(Body::wrap(StreamBody::new(chunks)).try_clone().is_none());
    assert!(Body::wrap(Full::<Bytes>::from("hidden")).try_clone().is_none());

    let mut once = Body::from(SendOnce::new(Empty::<Bytes>::new()));
    assert!(once.try_clone().is_none());
}
