//! Any tower HTTP client, with its types erased, as refresh requests use it.

#[cfg(test)]
mod tests;

use std::fmt;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, ready};

use bytes::{Buf, BufMut, Bytes};
use http::{Extensions, Request, Response};
use http_body::Frame;
use tower_service::Service;
use zeroize::Zeroizing;

use super::response::{BODY_LIMIT, BodyEnd, DocumentScanner, RawResponse};
use crate::client::{name_client_limit, was_never_sent};
use crate::error::BoxError;

/// Sends refresh requests over a client. A clone sends over the same client.
#[derive(Clone)]
pub(crate) struct Transport(Arc<dyn DynTransport>);

/// In the extensions of every request that goes through a [`Transport`].
#[derive(Clone)]
pub(crate) struct RefreshRequestMarker;

/// Is this a refresh request? Then it may run through the very stack whose requests wait for its
/// outcome, and must pass that stack's authorization untouched.
pub(crate) fn is_refresh_request(extensions: &Extensions) -> bool {
    extensions.get::<RefreshRequestMarker>().is_some()
}

/// No response came.
pub(crate) struct TransportError {
    /// Whether the request may have reached the endpoint.
    pub(crate) may_have_been_sent: bool,
    pub(crate) source: BoxError,
}

type Sending = Pin<Box<dyn Future<Output = Result<RawResponse, TransportError>> + Send>>;

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

    #[cfg(all(test, feature = "hyper-plain"))]
    pub(super) fn is_the_same_as(&self, other: &Transport) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) async fn send(
        &self,
        mut request: Request<Bytes>,
    ) -> Result<RawResponse, TransportError> {
        request.extensions_mut().insert(RefreshRequestMarker);
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
        Box::pin(send(client, request.map(B::from)))
    }
}

async fn send<C, B, R>(mut client: C, request: Request<B>) -> Result<RawResponse, TransportError>
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
        let source = name_client_limit(error.into());
        TransportError { may_have_been_sent: !was_never_sent(&*source), source }
    })?;
    let (head, body) = response.into_parts();
    let (body, end) = collect(body).await;
    Ok(RawResponse { status: head.status, headers: head.headers, body, end })
}

/// Keeps what arrives, also of a body that breaks off: the rotated token may stand in it. A body
/// whose document is whole is not waited for any longer.
async fn collect<R>(body: R) -> (Zeroizing<Vec<u8>>, BodyEnd)
where
    R: http_body::Body,
    R::Error: Into<BoxError>,
{
    // All of it at once: a buffer that grows leaves copies of the tokens behind, unwiped.
    let mut kept = Zeroizing::new(Vec::with_capacity(BODY_LIMIT));
    let mut scanner = DocumentScanner::default();
    let mut body = pin!(body);
    // A frame need not be `Send`, so none is held across an await.
    let end = poll_fn(|cx| {
        loop {
            let end = match ready!(body.as_mut().poll_frame(cx)).map(|it| it.map(Frame::into_data))
            {
                None => return Poll::Ready(BodyEnd::Whole),
                Some(Ok(Ok(data))) => keep(data, &mut kept, &mut scanner),
                Some(Ok(Err(_trailers))) => None,
                Some(Err(error)) => {
                    return Poll::Ready(BodyEnd::Broken(name_client_limit(error.into())));
                }
            };
            if let Some(end) = end {
                // If the end has come too, the client learns that its connection is free.
                let _ = body.as_mut().poll_frame(cx).is_ready();
                return Poll::Ready(end);
            }
        }
    })
    .await;
    (kept, end)
}

/// Keeps `data` as far as it matters; `Some` if nothing more does.
fn keep(data: impl Buf, kept: &mut Vec<u8>, scanner: &mut DocumentScanner) -> Option<BodyEnd> {
    let before = kept.len();
    let room = BODY_LIMIT.saturating_sub(before);
    let too_long = data.remaining() > room;
    kept.put(data.take(room));
    if let Some(length) = scanner.scan(&kept[before..]) {
        kept.truncate(before.saturating_add(length));
        return Some(BodyEnd::Whole);
    }
    too_long.then_some(BodyEnd::TooLong)
}
