//! What is kept of a request while its response is awaited, so that it can be retried.
//!
//! Only a 401 needs it, so every request pays for a recording, not for a clone: the head is recorded as
//! bytes, before the secret is put in, and becomes a request again only when the rare 401 comes.
//! Extensions can't be recorded. Those of this crate are kept by value, others are cloned.

mod buffer;
mod head;

use http::{Method, Request};

use self::head::HeadRecording;
use super::decision::{Overrides, extension};
use crate::body::RepeatableBody;
use crate::credentials::{Credentials, RouteKey};
use crate::headers::{ProviderId, RequestMode};
use crate::origin::{Allowed, Origins};

/// What is kept of one request.
pub(crate) struct RequestBackup<B> {
    /// `Some` where the body can be sent again, as far as was known before it was sent.
    body: Option<B>,
    /// `None` unless there is a `body`, or the request brought its own credentials.
    head: Option<Box<HeadRecording>>,
}

impl<B: RepeatableBody> RequestBackup<B> {
    /// Keeps what a retry of `request` needs. Must be called before a secret of this crate's is in it.
    /// For a request without extensions, which writes its origin as it was allowed.
    #[inline(always)]
    pub(crate) fn of(request: &mut Request<B>, origin: Allowed) -> Self {
        let body = request.body_mut().try_clone();
        let head = body.is_some().then(|| HeadRecording::of(request, origin));
        RequestBackup { body, head }
    }

    /// The same for any request. `by_own`: also keeps the credentials in its extensions, which it is
    /// authorized by.
    #[inline]
    pub(crate) fn of_any(request: &mut Request<B>, origin: Allowed, by_own: bool) -> Self {
        let mut backup = RequestBackup::of(request, origin);
        let extensions = request.extensions();
        let can_retry = backup.body.is_some();
        if extensions.is_empty() && !origin.is_rewritten || !can_retry && !by_own {
            return backup;
        }
        let head = backup.head.get_or_insert_with(HeadRecording::empty);
        let extras = head.extras.get_or_insert_default();
        if by_own {
            extras.credentials = extension::<Credentials>(extensions).cloned();
        }
        if can_retry {
            extras.overrides = Overrides::of(extensions);
            // Are there others beside those of this crate?
            let Overrides { mode, provider_id } = extras.overrides;
            let own = [by_own, mode.is_some(), provider_id.is_some()];
            if extensions.len() > own.map(usize::from).iter().sum() {
                extras.extensions = extensions.clone();
            }
            if origin.is_rewritten {
                extras.uri = Some(request.uri().clone());
            }
        }
        backup
    }

    /// To be called when the first send was answered: from then on, a body that is not complete never
    /// will be.
    pub(crate) fn forget_incomplete_body(&mut self) {
        self.body.take_if(|body| !body.is_complete());
    }
}

impl<B> RequestBackup<B> {
    /// The credentials that the request brought, if it brought any.
    pub(crate) fn credentials(&self) -> Option<&Credentials> {
        self.head.as_ref()?.extras.as_ref()?.credentials.as_ref()
    }

    /// The method, if the request can be retried.
    pub(crate) fn method(&self) -> Option<&Method> {
        self.head.as_ref()?.method.as_ref()
    }

    /// Which of the API's routes the request goes to, if it can be retried. `default` is the provider id
    /// of the credentials.
    pub(crate) fn route(&self, mode: RequestMode, default: Option<ProviderId>) -> Option<RouteKey> {
        self.head.as_ref()?.route(mode, default)
    }

    /// The request again, for the one retry; `None` if it can't be sent again.
    pub(crate) fn rebuild(&mut self, origins: &Origins) -> Option<Request<B>> {
        let body = self.body.take()?;
        self.head.as_ref()?.rebuild(body, origins)
    }
}

impl<B> Drop for RequestBackup<B> {
    #[inline]
    fn drop(&mut self) {
        if let Some(head) = self.head.take() {
            head.return_to_pool();
        }
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
    struct Tag(&'static str);

    fn origins() -> Origins {
        Origins::of(&["https://goteamup.com/api/v2", "https://goteamup.com:8443"])
    }

    fn backup_of<B: RepeatableBody>(request: &mut Request<B>) -> RequestBackup<B> {
        let origin = origins().check(request.uri(), request.headers()).unwrap();
        RequestBackup::of_any(request, origin, false)
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
            .extension(Tag("kept"))
            .body("the body")
            .unwrap()
    }

    #[test]
    fn a_request_is_rebuilt_as_it_was_sent() {
        let mut sent = request().map(Full::<Bytes>::from);
        let again = backup_of(&mut sent).rebuild(&origins()).unwrap();
        assert_eq!(again.method(), sent.method());
        assert_eq!(again.uri(), sent.uri());
        assert_eq!(again.version(), sent.version());
        assert_eq!(again.headers(), sent.headers());
        assert!(again.headers()["cookie"].is_sensitive());
        assert!(!again.headers()["accept"].is_sensitive());
        assert_eq!(again.extensions().get::<Tag>(), Some(&Tag("kept")));

        let mut plain = Request::get("https://goteamup.com").body(()).unwrap();
        let again = backup_of(&mut plain).rebuild(&origins()).unwrap();
        assert_eq!((again.method(), again.uri()), (&Method::GET, plain.uri()));
        assert!(again.headers().is_empty() && again.extensions().is_empty());
    }

    #[test]
    fn p4_a_retry_names_its_origin_as_the_first_send_did() {
        for url in ["https://goteamup.com/a?b", "https://GoTeamUp.com:443/a?b"] {
            let mut sent = Request::get(url).body(()).unwrap();
            let again = backup_of(&mut sent).rebuild(&origins()).unwrap();
            assert_eq!(again.uri().to_string(), url);
        }
    }

    #[test]
    fn p9_a_body_that_cannot_be_sent_again_is_not_rebuilt() {
        let mut once = request().map(SendOnce::new);
        assert!(backup_of(&mut once).rebuild(&origins()).is_none());

        let mut twice = backup_of(&mut request().map(Full::<Bytes>::from));
        assert!(twice.rebuild(&origins()).is_some());
        assert!(twice.rebuild(&origins()).is_none());
    }
}
