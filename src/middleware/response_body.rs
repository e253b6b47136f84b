//! The body of every response: the inner service's own, or what was kept of a 401.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::saved_body::SavedBody;
use crate::error::BoxError;

pin_project! {
    /// The body of a response that came through [`Auth`](crate::Auth).
    ///
    /// It is the inner service's body, passed on frame by frame: sizes, trailers and errors stay as
    /// they are, errors boxed. One response alone has another body: a 401 whose request waited for a
    /// refresh. Nothing of the inner stack is held over such a wait, so of that body at most 16 KiB
    /// are kept. If the 401 has to be delivered after all, it yields what was kept, and ends with an
    /// error where that is not the whole.
    ///
    /// ```
    /// use http_body_util::{BodyExt, Full};
    /// use tower::{Service, ServiceExt};
    /// use tower_teamup_auth::client::HyperClient;
    /// use tower_teamup_auth::{Auth, BoxError};
    ///
    /// async fn events(api: &mut Auth<HyperClient>) -> Result<bytes::Bytes, BoxError> {
    ///     let request = http::Request::get("https://goteamup.com/api/v2/events");
    ///     let request = request.body(Full::default())?;
    ///     let response = api.ready().await?.call(request).await?;
    ///     Ok(response.into_body().collect().await?.to_bytes())
    /// }
    /// ```
    pub struct ResponseBody<B> {
        #[pin]
        state: State<B>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<B> {
        Inner { #[pin] body: B },
        // Boxed: it is rare, and must not make every response larger. `None` is an empty one.
        Saved { saved: Option<Box<SavedBody>> },
    }
}

impl<B> ResponseBody<B> {
    #[inline]
    pub(crate) fn inner(body: B) -> Self {
        ResponseBody { state: State::Inner { body } }
    }

    pub(crate) fn saved(saved: SavedBody) -> Self {
        let saved = (!saved.is_end_stream()).then(|| Box::new(saved));
        ResponseBody { state: State::Saved { saved } }
    }

    /// The inner service's body; `None` for a 401 of which only a part could be kept.
    pub fn get_ref(&self) -> Option<&B> {
        match &self.state {
            State::Inner { body } => Some(body),
            State::Saved { .. } => None,
        }
    }

    /// The inner service's body, without this one around it.
    ///
    /// # Errors
    ///
    /// Returns the body itself if it is what was kept of a 401.
    pub fn into_inner(self) -> Result<B, Self> {
        match self.state {
            State::Inner { body } => Ok(body),
            state => Err(ResponseBody { state }),
        }
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body,
    B::Data: Into<Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().state.project() {
            StateProj::Inner { body } => {
                body.poll_frame(cx).map_ok(|frame| frame.map_data(Into::into)).map_err(Into::into)
            }
            StateProj::Saved { saved } => {
                Poll::Ready(saved.as_mut().and_then(|saved| saved.next_frame()))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.state {
            State::Inner { body } => body.is_end_stream(),
            State::Saved { saved } => saved.as_ref().is_none_or(|saved| saved.is_end_stream()),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.state {
            State::Inner { body } => body.size_hint(),
            State::Saved { saved } => {
                saved.as_ref().map_or(SizeHint::with_exact(0), |saved| saved.size_hint())
            }
        }
    }
}

impl<B: Default> Default for ResponseBody<B> {
    fn default() -> Self {
        ResponseBody::inner(B::default())
    }
}

/// Shows nothing of what the body holds.
impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.state {
            State::Inner { .. } => "inner",
            State::Saved { .. } => "saved",
        };
        f.debug_struct("ResponseBody").field("kind", &kind).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use http::HeaderMap;
    use http_body_util::{BodyExt, Full, StreamBody};

    use super::*;

    #[tokio::test]
    async fn the_inner_body_passes_frame_by_frame_with_its_size_and_its_end() {
        let body = ResponseBody::inner(Full::new(Bytes::from_static(b"text")));
        assert_eq!(body.size_hint().exact(), Some(4));
        assert!(
            !body.is_end_stream() && ResponseBody::inner(Full::<Bytes>::default()).is_end_stream()
        );
        assert_eq!(body.get_ref().unwrap().size_hint().exact(), Some(4));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "text");

        let mut trailers = HeaderMap::new();
        trailers.insert("x-trailer", "1".parse().unwrap());
        let frames = [Ok(Frame::data(Bytes::from("a"))), Ok(Frame::trailers(trailers.clone()))];
        let frames = frames.into_iter().chain([Err(io::Error::other("broken"))]);
        let mut body = ResponseBody::inner(StreamBody::new(futures_util::stream::iter(frames)));
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "a");
        assert_eq!(body.frame().await.unwrap().unwrap().into_trailers().unwrap(), trailers);
        let error = body.frame().await.unwrap().unwrap_err();
        assert_eq!(error.downcast_ref::<io::Error>().unwrap().to_string(), "broken");
        assert!(body.frame().await.is_none());
    }

    #[test]
    fn p5_debug_shows_nothing_of_the_body() {
        let body = ResponseBody::inner("s3cret");
        assert_eq!(format!("{body:?}"), r#"ResponseBody { kind: "inner", .. }"#);
        assert_eq!(body.into_inner().unwrap(), "s3cret");
    }
}
