//! What can be handed over to carry the exchange.

use std::marker::PhantomData;

use tower_service::Service;

/// A client that can carry the refresh exchange, or be made into one that can.
///
/// Every tower service from `http::Request` to `http::Response` is one. Clients of another kind
/// are made into one by the feature that is named after them: with the feature `reqwest`, a
/// `reqwest::Client` can be handed over as it is.
///
/// `Kind` keeps the implementations apart. It is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no HTTP client that can carry the refresh exchange",
    note = "it takes a tower service from `http::Request<_>` to `http::Response<_>`"
)]
pub trait ExchangeClient<Kind> {
    /// A tower service from `http::Request` to `http::Response`.
    type Service;

    /// The client as such a service.
    fn into_service(self) -> Self::Service;
}

/// Of a tower service as it is; a [kind](ExchangeClient) of client whose requests carry `B`.
#[derive(Debug)]
pub struct HttpService<B>(PhantomData<fn(B)>);

impl<S, B> ExchangeClient<HttpService<B>> for S
where
    S: Service<http::Request<B>>,
{
    type Service = S;

    fn into_service(self) -> S {
        self
    }
}
