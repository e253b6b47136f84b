//! A body that does what it is told.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tower_teamup_auth::body::{RepeatableBody, ReplayBody};

/// What the body does when it is polled.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Data(Bytes),
    Trailers(HeaderMap),
    /// Not ready yet; is woken at once.
    Wait,
    Fail,
}

/// What the body says of the data that it still has.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Says {
    Nothing,
    Exactly,
    /// Bounds that are this much below and above.
    Between(u64, u64),
    /// This, whatever is true.
    Always(SizeHint),
}

#[derive(Debug, Clone)]
pub(crate) struct Script {
    steps: VecDeque<Step>,
    says: Says,
    knows_its_end: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failed;

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the script said so")
    }
}

impl std::error::Error for Failed {}

impl Script {
    /// A body that says nothing of its size, and notices its end only when it is asked.
    pub(crate) fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Script { steps: steps.into_iter().collect(), says: Says::Nothing, knows_its_end: false }
    }

    pub(crate) fn says(mut self, says: Says) -> Self {
        self.says = says;
        self
    }

    pub(crate) fn knows_its_end(mut self, knows_its_end: bool) -> Self {
        self.knows_its_end = knows_its_end;
        self
    }

    pub(crate) fn remaining(&self) -> u64 {
        self.steps
            .iter()
            .map(|step| if let Step::Data(data) = step { data.len() as u64 } else { 0 })
            .sum()
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = Failed;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failed>>> {
        Poll::Ready(match self.steps.pop_front() {
            None => None,
            Some(Step::Data(data)) => Some(Ok(Frame::data(data))),
            Some(Step::Trailers(trailers)) => Some(Ok(Frame::trailers(trailers))),
            Some(Step::Wait) => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Some(Step::Fail) => {
                self.steps.clear();
                Some(Err(Failed))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.knows_its_end && self.steps.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let remaining = self.remaining();
        match self.says {
            Says::Nothing => SizeHint::new(),
            Says::Exactly => SizeHint::with_exact(remaining),
            Says::Between(below, above) => {
                let mut hint = SizeHint::new();
                hint.set_lower(remaining.saturating_sub(below));
                hint.set_upper(remaining + above);
                hint
            }
            Says::Always(hint) => hint,
        }
    }
}

pub(crate) fn data(data: impl Into<Bytes>) -> Step {
    Step::Data(data.into())
}

pub(crate) fn trailers(value: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(http::header::ETAG, HeaderValue::from_static(value))])
}

/// What a poll of a body comes to.
pub(crate) type Polled<B> = Poll<Option<Result<Frame<<B as Body>::Data>, <B as Body>::Error>>>;

/// Polls once, with nobody to wake.
pub(crate) fn poll<B: Body + Unpin>(body: &mut B) -> Polled<B> {
    Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop()))
}

/// The next frame's data.
pub(crate) fn next_data<B: Body<Data = Bytes> + Unpin>(body: &mut B) -> Bytes {
    match poll(body) {
        Poll::Ready(Some(Ok(frame))) => frame.into_data().unwrap_or_else(|_| panic!("trailers")),
        Poll::Ready(Some(Err(_))) => panic!("an error"),
        Poll::Ready(None) => panic!("the end"),
        Poll::Pending => panic!("nothing yet"),
    }
}

pub(crate) fn at_end<B: Body + Unpin>(body: &mut B) -> bool {
    matches!(poll(body), Poll::Ready(None))
}

pub(crate) fn bounds<B: Body>(body: &B) -> (u64, Option<u64>) {
    (body.size_hint().lower(), body.size_hint().upper())
}

pub(crate) fn copy_of(body: &mut ReplayBody<Script>) -> ReplayBody<Script> {
    body.try_clone().expect("a body that isn't sent yet has a copy")
}

pub(crate) async fn text(body: ReplayBody<Script>) -> Bytes {
    body.collect().await.expect("no error").to_bytes()
}
