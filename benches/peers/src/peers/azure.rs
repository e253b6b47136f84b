//! azure_core's `BearerTokenAuthorizationPolicy`. Its requests are its own, so it has a bare service
//! of its own: the same pipeline without the policy.

use std::hint::black_box;
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::Bytes;
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::http::headers::{self, HeaderName, HeaderValue};
use azure_core::http::policies::auth::BearerTokenAuthorizationPolicy;
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{AsyncRawResponse, Context, Method, Request, StatusCode, Url};
use azure_core::time::{Duration, OffsetDateTime};

use super::Peer;
use crate::drive::{Run, Workload, repeat, to_its_end};
use crate::workloads::{self, ACCESS_TOKEN};

/// Its bodies can all be sent again.
const WORKLOADS: &[Workload] = &[Workload::Get, Workload::GetClone, Workload::Post];

pub(crate) const BARE: Peer = Peer {
    name: "azure_bare",
    title: "the bare pipeline",
    package: None,
    over: None,
    headers: 0,
    on_401: "",
    driven: "",
    lacks: "",
    workloads: WORKLOADS,
    build: || pipeline(vec![Arc::new(BareTransport)]),
};

pub(crate) const BEARER_POLICY: Peer = Peer {
    name: "azure",
    title: "azure_core bearer policy",
    package: Some("azure_core"),
    over: Some("azure_bare"),
    headers: 1,
    on_401: "forgets the token; retries only with a callback of the program's",
    driven: "`BearerTokenAuthorizationPolicy` before a transport that answers at once, over the same \
             transport alone, with azure_core's own requests; the credential gives a token that \
             expires in two hours, and is asked once. Its header map has to grow for a \
             fourth header, which is among the costs of the GET.",
    lacks: "One header, to any host over https. A 401 clears the token whichever one was sent, and \
            callers wait for a renewal behind one lock.",
    workloads: WORKLOADS,
    build: || {
        let credential = Arc::new(Fresh { expires_on: two_hours_on() });
        let policy = BearerTokenAuthorizationPolicy::new(credential, ["https://goteamup.com"]);
        pipeline(vec![Arc::new(policy), Arc::new(BareTransport)])
    },
};

/// Always has a token.
#[derive(Debug)]
struct Fresh {
    expires_on: OffsetDateTime,
}

#[async_trait]
impl TokenCredential for Fresh {
    async fn get_token(
        &self,
        _: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        Ok(AccessToken::new(ACCESS_TOKEN, self.expires_on))
    }
}

fn two_hours_on() -> OffsetDateTime {
    OffsetDateTime::now_utc() + Duration::hours(2)
}

/// Answers 200 to everything, at once.
#[derive(Debug)]
struct BareTransport;

#[allow(
    elided_lifetimes_in_paths,
    reason = "`async_trait` wants the lifetimes as the trait has them"
)]
#[async_trait]
impl Policy for BareTransport {
    async fn send(
        &self,
        _: &Context,
        request: &mut Request,
        _: &[Arc<dyn Policy>],
    ) -> PolicyResult {
        #[cfg(test)]
        tests::note(request);
        black_box(request);
        Ok(AsyncRawResponse::from_bytes(StatusCode::Ok, headers::Headers::new(), Bytes::new()))
    }
}

/// Sends requests through policies, as azure_core's pipeline does.
fn pipeline(policies: Vec<Arc<dyn Policy>>) -> Run {
    fn send(policies: &[Arc<dyn Policy>], mut request: Request) {
        let context = Context::new();
        assert!(to_its_end(policies[0].send(&context, &mut request, &policies[1..])).is_ok());
        drop(black_box(request));
    }
    let url: Url = workloads::URI.parse().expect("a good URL");
    let get_headers = translated(workloads::get().headers());
    let post_headers = translated(workloads::post().headers());
    Box::new(move |workload, calls| {
        let mut own = policies.clone();
        let get = || request(&url, Method::Get, &get_headers);
        match workload {
            Workload::Get => repeat(&mut own, calls, |own| send(own, get())),
            Workload::GetClone => repeat(&mut own, calls, |own| send(&own.clone(), get())),
            Workload::Post => repeat(&mut own, calls, |own| {
                let mut post = request(&url, Method::Post, &post_headers);
                post.set_body(Bytes::from(vec![b'x'; 1024]));
                send(own, post);
            }),
            Workload::Once => panic!("there is no such body in azure_core"),
        }
    })
}

type Headers = Vec<(HeaderName, HeaderValue)>;

/// The headers of the other candidates' requests in azure_core's types, and like them static.
fn translated(headers: &http::HeaderMap) -> Headers {
    fn leaked(text: &str) -> &'static str {
        text.to_owned().leak()
    }
    let headers = headers.iter().map(|(name, value)| {
        let value = value.to_str().expect("visible ASCII");
        (HeaderName::from_static(leaked(name.as_str())), HeaderValue::from_static(leaked(value)))
    });
    headers.collect()
}

fn request(url: &Url, method: Method, headers: &Headers) -> Request {
    let mut request = Request::new(url.clone(), method);
    for (name, value) in headers {
        request.insert_header(name.clone(), value.clone());
    }
    request
}

#[cfg(test)]
mod tests {
    use azure_core::http::Request;

    use crate::inner::witness;

    pub(super) fn note(request: &Request) {
        let headers = request.headers().iter().map(|(name, value)| {
            let name: http::HeaderName = name.as_str().parse().expect("a good name");
            (name, value.as_str().parse().expect("a good value"))
        });
        witness::note(headers.collect());
    }
}
