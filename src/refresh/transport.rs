//! Any tower HTTP client, with its types erased, as the exchange uses it.

#[cfg(test)]
mod tests;

use std::fmt;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, BufMut, Bytes};
use http::{Extensions, Request, Response};
use http_body_util::BodyExt;
use tower_service::Service;
use zeroize::Zeroizing;

use super::answer::{Answer, BODY_LIMIT, BodyEnd};
use crate::client::was_never_sent;
use crate::error::BoxError;

/// Sends exchanges over a client. A clone sends over the same client.
#[derive(Clone)]
pub(crate) struct Transport(Arc<dyn DynTransport>);

/// In the extensions of every request that goes through a [`Transport`].
#[derive(Clone)]
pub(crate) struct Exchange;

/// Is this request a refresh exchange? Then it may run through the very stack whose requests wait
/// for its outcome, and must pass that stack's authorization untouched.
pub(crate) fn is_exchange(extensions: &Extensions) -> bool {
    extensions.get::<Exchange>().is_some()
}

/// No answer came.
pub(crate) struct TransportError {
    /// Whether the request may have reached the endpoint.
    pub(crate) may_have_been_sent: bool,
    pub(crate) source: BoxError,
}

type Sending = Pin<Box<dyn Future<Output = Result<Answer, TransportError>> + Send>>;

trait DynTransport: Send + Sync {
    fn send(&self, request: Request<Bytes>) -> Sending;
}

impl Transport {
    pub(crate) fn over<C, B, R>(client: C) -> Self
    where
        C: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
        C::Future: Send,
        C::Error: Into<BoxError>,
        B: From<Bytes> + Send + 'static,
        R: http_body::Body + Send + 'static,
        R::Error: Into<BoxError>,
    {
        Transport(Arc::new(Over { client: Mutex::new(client), body: PhantomData }))
    }

    pub(crate) async fn send(&self, mut request: Request<Bytes>) -> Result<Answer, TransportError> {
        request.extensions_mut().insert(Exchange);
        self.0.send(request).await
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transport(..)")
    }
}

struct Over<C, B> {
    /// Only ever cloned from. A client need not be `Sync`, and this makes it so.
    client: Mutex<C>,
    body: PhantomData<fn() -> B>,
}

impl<C, B, R> DynTransport for Over<C, B>
where
    C: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    C::Future: Send,
    C::Error: Into<BoxError>,
    B: From<Bytes> + Send + 'static,
    R: http_body::Body + Send + 'static,
    R::Error: Into<BoxError>,
{
    fn send(&self, request: Request<Bytes>) -> Sending {
        let client = self.client.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(exchange(client, request.map(B::from)))
    }
}

async fn exchange<C, B, R>(mut client: C, request: Request<B>) -> Result<Answer, TransportError>
where
    C: Service<Request<B>, Response = Response<R>>,
    C::Error: Into<BoxError>,
    R: http_body::Body,
    R::Error: Into<BoxError>,
{
    poll_fn(|cx| client.poll_ready(cx))
        .await
        .map_err(|error| TransportError { may_have_been_sent: false, source: error.into() })?;
    let response = client.call(request).await.map_err(|error| {
        let source = error.into();
        TransportError { may_have_been_sent: !was_never_sent(&*source), source }
    })?;
    let (head, body) = response.into_parts();
    let (body, end) = collect(body).await;
    Ok(Answer { status: head.status, headers: head.headers, body, end })
}

/// Keeps what arrives, also of a body that breaks off: the rotated token may stand in it.
async fn collect<R>(body: R) -> (Zeroizing<Vec<u8>>, BodyEnd)
where
    R: http_body::Body,
    R::Error: Into<BoxError>,
{
    // All of it at once: a buffer that grows leaves copies of the tokens behind, unwiped.
    let mut kept = Zeroizing::new(Vec::with_capacity(BODY_LIMIT));
    let mut body = pin!(body);
    while let Some(frame) = body.frame().await {
        match frame.map(|frame| frame.into_data()) {
            Ok(Ok(data)) => {
                let room = BODY_LIMIT - kept.len();
                let too_long = data.remaining() > room;
                kept.put(data.take(room));
                if too_long {
                    return (kept, BodyEnd::TooLong);
                }
            }
            Ok(Err(_trailers)) => {}
            Err(error) => return (kept, BodyEnd::Broken(error.into())),
        }
    }
    (kept, BodyEnd::Whole)
}
