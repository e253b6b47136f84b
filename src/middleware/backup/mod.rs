//! What is remembered of a request while its answer is awaited, so that it can be repeated.
//!
//! Only a 401 needs it, so the path of every request pays for remembering, not for cloning: the
//! head is written down as bytes, before the secret is put in; it becomes a request only when the
//! rare 401 comes. Extensions can't be written down and are cloned, where there are any.

mod head;
mod pad;

use http::Request;

use self::head::{Brought, Head};
use crate::body::RepeatableBody;
use crate::credentials::Credentials;
use crate::origin::{Allowed, Origins};

/// What is remembered of one request.
pub(crate) struct Memo<B> {
    /// `Some` where the body can be sent again, as far as was known before it was sent.
    body: Option<B>,
    /// Blank unless there is a `body`, or the request brought its own credentials.
    head: Head,
}

impl<B: RepeatableBody> Memo<B> {
    /// Takes down what a repeat of `request` needs, which has to be before any secret of ours is in
    /// it. For one without extensions, whose origin is written as it was allowed.
    #[inline(always)]
    pub(crate) fn of(request: &Request<B>, origin: Allowed) -> Self {
        let body = request.body().try_clone();
        let head = if body.is_some() { Head::of(request, origin) } else { Head::blank() };
        Memo { body, head }
    }

    /// The same for any request, and for the credentials that it may have brought.
    pub(crate) fn with_care(
        request: &Request<B>,
        origin: Allowed,
        credentials: Option<&Credentials>,
    ) -> Self {
        let mut memo = Memo::of(request, origin);
        let mut brought = Brought { credentials: credentials.cloned(), ..Brought::default() };
        if memo.body.is_some() {
            brought.extensions = request.extensions().clone();
            brought.uri = (origin == Allowed::REWRITTEN).then(|| request.uri().clone());
        }
        memo.head.add(brought);
        memo
    }

    /// To be told when the first send was answered: from then on, a body that is not complete never
    /// will be.
    pub(crate) fn forget_incomplete_body(&mut self) {
        self.body.take_if(|body| !body.is_complete());
    }
}

impl<B> Memo<B> {
    /// The credentials that the request brought, if it brought any.
    pub(crate) fn credentials(&self) -> Option<&Credentials> {
        self.head.credentials()
    }

    /// The request again, for the one repeat; `None` if it can't be sent again.
    pub(crate) fn rebuild(&mut self, origins: &Origins) -> Option<Request<B>> {
        let body = self.body.take()?;
        self.head.rebuild(body, origins)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderValue, Method, Version};
    use http_body_util::Full;

    use super::*;
    use crate::body::SendOnce;

    #[derive(Clone, Debug, PartialEq)]
    struct Mark(&'static str);

    fn origins() -> Origins {
        Origins::of(&["https://goteamup.com/api/v2", "https://goteamup.com:8443"])
    }

    fn memo_of<B: RepeatableBody>(request: &Request<B>) -> Memo<B> {
        let origin = origins().allow(request.uri()).unwrap();
        Memo::with_care(request, origin, None)
    }

    fn request() -> Request<&'static str> {
        let mut secret = HeaderValue::from_static("session=s3cret");
        secret.set_sensitive(true);
        Request::patch("https://goteamup.com:8443/api/v2/events?page=2")
            .version(Version::HTTP_2)
            .header("accept", "application/json")
            .header("cookie", secret)
            .header("x-empty", "")
            .header("accept", "application/xml")
            .header("x-bytes", HeaderValue::from_bytes(b"caf\xc3\xa9").unwrap())
            .extension(Mark("kept"))
            .body("the body")
            .unwrap()
    }

    #[test]
    fn what_was_remembered_is_what_was_sent() {
        let sent = request().map(Full::<Bytes>::from);
        let again = memo_of(&sent).rebuild(&origins()).unwrap();
        assert_eq!(again.method(), sent.method());
        assert_eq!(again.uri(), sent.uri());
        assert_eq!(again.version(), sent.version());
        assert_eq!(again.headers(), sent.headers());
        assert!(again.headers()["cookie"].is_sensitive());
        assert!(!again.headers()["accept"].is_sensitive());
        assert_eq!(again.extensions().get::<Mark>(), Some(&Mark("kept")));

        let plain = Request::get("https://goteamup.com").body(()).unwrap();
        let again = memo_of(&plain).rebuild(&origins()).unwrap();
        assert_eq!((again.method(), again.uri()), (&Method::GET, plain.uri()));
        assert!(again.headers().is_empty() && again.extensions().is_empty());
    }

    #[test]
    fn p4_a_repeat_names_its_origin_as_the_first_send_did() {
        for url in ["https://goteamup.com/a?b", "https://GoTeamUp.com:443/a?b"] {
            let sent = Request::get(url).body(()).unwrap();
            let again = memo_of(&sent).rebuild(&origins()).unwrap();
            assert_eq!(again.uri().to_string(), url);
        }
    }

    #[test]
    fn p9_what_can_be_sent_once_is_not_rebuilt() {
        let once = request().map(SendOnce::new);
        assert!(memo_of(&once).rebuild(&origins()).is_none());

        let mut twice = memo_of(&request().map(Full::<Bytes>::from));
        assert!(twice.rebuild(&origins()).is_some());
        assert!(twice.rebuild(&origins()).is_none());
    }
}
