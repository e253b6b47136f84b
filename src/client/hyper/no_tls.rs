//! Stands in for `tls` where the feature `hyper` is off: plain http alone, and an error for https.

use std::sync::Arc;

use super::protocols::Protocols;

/// What is read from and written to over `S`: `S` itself.
pub(super) type Stream<S> = S;

/// What connects over `C`: `C` itself.
pub(super) type Connector<C> = C;

const NO_TLS: &str = "https needs TLS, which the feature `hyper-plain` of tower-teamup-auth is \
    without; switch its feature `hyper` on";

pub(super) struct Tls {
    /// Why no https connection can be made.
    pub(super) unusable: Option<Arc<str>>,
}

impl Tls {
    pub(super) fn none() -> Self {
        Tls { unusable: Some(NO_TLS.into()) }
    }

    pub(super) fn connector<C>(&self, inner: C, _offered: Protocols) -> Connector<C> {
        inner
    }
}

pub(super) fn plain<S>(stream: S) -> Stream<S> {
    stream
}

#[cfg(test)]
mod tests {
    use std::error::Error as StdError;
    use std::iter;

    use bytes::Bytes;
    use http::{Request, Uri};
    use http_body_util::Full;

    use crate::client::{HyperClient, HyperClientBuilder, was_never_sent};

    async fn error_of(url: &str) -> hyper_util::client::legacy::Error {
        let client: HyperClient = HyperClientBuilder::new().no_proxy().build().unwrap();
        let request = Request::get(url.parse::<Uri>().unwrap()).body(Full::<Bytes>::default());
        client.request(request.unwrap()).await.unwrap_err()
    }

    fn words(error: &(dyn StdError + 'static)) -> String {
        iter::successors(Some(error), |&error| error.source()).map(|it| format!("{it}; ")).collect()
    }

    #[tokio::test]
    async fn https_request_is_not_sent_and_names_the_feature_that_has_tls() {
        let error = error_of("https://127.0.0.1:1/").await;
        assert!(was_never_sent(&error), "{error:?}");
        assert!(words(&error).contains("feature `hyper` on"), "{}", words(&error));
    }

    #[tokio::test]
    async fn request_with_another_scheme_is_not_sent() {
        let error = error_of("ftp://127.0.0.1:1/").await;
        assert!(was_never_sent(&error) && words(&error).contains("scheme"), "{}", words(&error));
    }
}
