//! Reads the body of a 401 before its request waits, and keeps it within bounds.
//!
//! A response body holds a connection, or a part of an HTTP/2 window, and perhaps a permit of the inner
//! stack. The refresh that the request is about to wait for may need one of the same kind. So what is
//! small is read at once and kept, the rest is dropped, and nothing is held over the wait. An HTTP/1.1
//! connection whose response was read to its end returns to its pool besides.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Response, response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::runtime::Handle;
use tokio::time::Sleep;

use crate::credentials::{ByteBudget, ReservedBytes};
use crate::error::BoxError;

/// Of one body, at most so many bytes are kept.
const MOST_BYTES: usize = 16 * 1024;

/// A body is read for at most so long.
const LONGEST: Duration = Duration::from_secs(1);

/// A body is read for at most so many frames: one that is always ready would never yield.
const MOST_FRAMES: u32 = 64;

/// What was kept of a body.
#[derive(Debug)]
pub(crate) struct SavedBody {
    data: Bytes,
    trailers: Option<HeaderMap>,
    /// `Some` where this is not the whole: how the body ends then.
    end: Option<BoxError>,
    /// Counted until the body is dropped.
    _reserved: ReservedBytes,
}

/// The rest of a body was not kept.
#[derive(Debug)]
struct NotKept;

impl fmt::Display for NotKept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the rest of this 401 was not kept while its request waited: it was longer than 16 KiB, \
             took longer than a second to arrive, or was not read, because the request was about to \
             be sent again over HTTP/2",
        )
    }
}

impl std::error::Error for NotKept {}

impl SavedBody {
    pub(super) fn next_frame(&mut self) -> Option<Result<Frame<Bytes>, BoxError>> {
        if !self.data.is_empty() {
            return Some(Ok(Frame::data(std::mem::take(&mut self.data))));
        }
        if let Some(trailers) = self.trailers.take() {
            return Some(Ok(Frame::trailers(trailers)));
        }
        self.end.take().map(Err)
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.data.is_empty() && self.trailers.is_none() && self.end.is_none()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let kept = self.data.len() as u64;
        match self.end {
            None => SizeHint::with_exact(kept),
            Some(_) => {
                let mut hint = SizeHint::new();
                hint.set_lower(kept);
                hint
            }
        }
    }
}

pin_project! {
    /// Reads a response's body, and resolves with what was kept of it. The rest has been dropped by
    /// then.
    pub(crate) struct SaveBody<B> {
        #[pin]
        body: Option<B>,
        parts: Option<response::Parts>,
        data: BytesMut,
        trailers: Option<HeaderMap>,
        reserved: Option<ReservedBytes>,
        frames: u32,
        longest: Duration,
        // Started by the first wait: most bodies of this kind are there already.
        #[pin]
        limit: Option<Sleep>,
    }
}

impl<B: Body> SaveBody<B> {
    /// Of a response whose request goes on waiting for `longest` at most. `total` counts what the
    /// credential's other requests keep.
    pub(crate) fn new(response: Response<B>, total: &ByteBudget, longest: Duration) -> Self {
        let (parts, body) = response.into_parts();
        SaveBody {
            body: Some(body),
            parts: Some(parts),
            data: BytesMut::new(),
            trailers: None,
            reserved: Some(total.reserve()),
            frames: 0,
            longest: longest.min(LONGEST),
            limit: None,
        }
    }
}

/// Drops a body unread.
pub(super) fn without_body<B: Body>(
    response: Response<B>,
    total: &ByteBudget,
) -> Response<SavedBody> {
    response.map(|body| SavedBody {
        data: Bytes::new(),
        trailers: None,
        end: (!body.is_end_stream()).then(|| NotKept.into()),
        _reserved: total.reserve(),
    })
}

/// Says that the body is longer than what may be kept, so that nothing of it need be read.
fn is_known_too_long<B: Body>(parts: Option<&response::Parts>, body: &B) -> bool {
    let declared = parts
        .and_then(|parts| parts.headers.get(CONTENT_LENGTH))
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    declared.unwrap_or(0).max(body.size_hint().lower()) > MOST_BYTES as u64
}

impl<B: Body> Future for SaveBody<B>
where
    B::Error: Into<BoxError>,
{
    type Output = Response<SavedBody>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response<SavedBody>> {
        let mut this = self.project();
        let end = loop {
            let body = this.body.as_mut().as_pin_mut().expect("polled after it was ready");
            if body.is_end_stream() {
                break None;
            }
            if *this.frames == 0 && is_known_too_long(this.parts.as_ref(), &*body)
                || *this.frames == MOST_FRAMES
            {
                break Some(NotKept.into());
            }
            match body.poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    *this.frames += 1;
                    let reserved = this.reserved.as_mut().expect("reserved until it is ready");
                    match keep(frame, this.data, reserved) {
                        Ok(trailers) => *this.trailers = trailers,
                        Err(NotKept) => break Some(NotKept.into()),
                    }
                }
                Poll::Ready(None) => break None,
                Poll::Ready(Some(Err(error))) => break Some(error.into()),
                Poll::Pending => {
                    if this.limit.is_none() {
                        // Without a runtime there is no timer, and nothing is waited for.
                        if Handle::try_current().is_err() {
                            break Some(NotKept.into());
                        }
                        this.limit.set(Some(tokio::time::sleep(*this.longest)));
                    }
                    match this.limit.as_mut().as_pin_mut().map(|limit| limit.poll(cx)) {
                        Some(Poll::Pending) => return Poll::Pending,
                        _ => break Some(NotKept.into()),
                    }
                }
            }
        };
        this.body.set(None);
        this.limit.set(None);
        let saved = SavedBody {
            data: std::mem::take(this.data).freeze(),
            trailers: this.trailers.take(),
            end,
            _reserved: this.reserved.take().expect("polled after it was ready"),
        };
        let parts = this.parts.take().expect("polled after it was ready");
        Poll::Ready(Response::from_parts(parts, saved))
    }
}

/// Copies a frame, so that a sliver of a large buffer does not keep that buffer. Returns trailers.
fn keep<D: Buf>(
    frame: Frame<D>,
    data: &mut BytesMut,
    reserved: &mut ReservedBytes,
) -> Result<Option<HeaderMap>, NotKept> {
    match frame.into_data() {
        Ok(mut piece) => {
            let room = MOST_BYTES - data.len();
            let taken = piece.remaining().min(room);
            if !reserved.grow(taken) {
                return Err(NotKept);
            }
            data.extend_from_slice(&piece.copy_to_bytes(taken));
            if piece.has_remaining() { Err(NotKept) } else { Ok(None) }
        }
        Err(frame) => match frame.into_trailers() {
            Ok(trailers) => {
                let bytes: usize =
                    trailers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
                if bytes > MOST_BYTES || !reserved.grow(bytes) {
                    return Err(NotKept);
                }
                Ok(Some(trailers))
            }
            // A kind of frame that HTTP has yet to learn.
            Err(_) => Err(NotKept),
        },
    }
}

#[cfg(all(test, heavy_tests))]
mod tests {
    use std::io;

    use http_body_util::{Full, StreamBody};
    use tokio::sync::mpsc;
    use tokio_test::{assert_pending, assert_ready, task};

    use super::*;

    type Item = Result<Frame<Bytes>, io::Error>;

    struct Channel(mpsc::UnboundedReceiver<Item>);

    impl Body for Channel {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Item>> {
            self.0.poll_recv(cx)
        }
    }

    fn channel() -> (mpsc::UnboundedSender<Item>, Response<Channel>) {
        let (frames, body) = mpsc::unbounded_channel();
        (frames, Response::new(Channel(body)))
    }

    fn data(bytes: usize) -> Item {
        Ok(Frame::data(Bytes::from(vec![b'x'; bytes])))
    }

    fn full(bytes: usize) -> Response<Full<Bytes>> {
        Response::new(Full::from(vec![b'x'; bytes]))
    }

    /// Reads at once what is there.
    fn saved<B: Body>(response: Response<B>, total: &ByteBudget) -> SavedBody
    where
        B::Error: Into<BoxError>,
    {
        let mut save = task::spawn(SaveBody::new(response, total, Duration::MAX));
        let response = assert_ready!(save.poll());
        assert!(save.enter(|_, save| save.project().body.is_none()), "the body is held");
        response.into_body()
    }

    /// What a caller reads, and whether the end is an error.
    fn read(mut saved: SavedBody) -> (usize, Result<(), String>) {
        let mut bytes = 0;
        while let Some(frame) = saved.next_frame() {
            match frame {
                Ok(frame) => bytes += frame.into_data().map_or(0, |data| data.len()),
                Err(error) => return (bytes, Err(error.to_string())),
            }
        }
        assert!(saved.is_end_stream());
        (bytes, Ok(()))
    }

    #[test]
    fn p6_a_small_body_is_kept_whole_and_a_longer_one_up_to_16_kib() {
        let total = ByteBudget::default();
        for bytes in [0, 5, MOST_BYTES] {
            let saved = saved(full(bytes), &total);
            assert_eq!(saved.size_hint().exact(), Some(bytes as u64));
            assert_eq!(read(saved), (bytes, Ok(())));
        }
        let unknown = StreamBody::new(futures_util::stream::iter([data(MOST_BYTES), data(1)]));
        let long = saved(Response::new(unknown), &total);
        assert_eq!((long.size_hint().lower(), long.size_hint().upper()), (MOST_BYTES as u64, None));
        let (bytes, end) = read(long);
        assert_eq!(bytes, MOST_BYTES);
        assert!(end.unwrap_err().contains("16 KiB"));
    }

    #[test]
    fn p6_nothing_is_read_of_a_body_that_says_it_is_longer() {
        let total = ByteBudget::default();
        assert_eq!(read(saved(full(MOST_BYTES + 1), &total)).0, 0);
        let (frames, mut response) = channel();
        frames.send(data(5)).unwrap();
        response.headers_mut().insert(CONTENT_LENGTH, "16385".parse().unwrap());
        let (bytes, end) = read(saved(response, &total));
        assert_eq!(bytes, 0);
        assert!(end.is_err());
    }

    #[test]
    fn a_response_to_head_is_whole_whatever_its_content_length_says() {
        let mut response = Response::new(Full::<Bytes>::default());
        response.headers_mut().insert(CONTENT_LENGTH, "1000000".parse().unwrap());
        assert_eq!(read(saved(response, &ByteBudget::default())), (0, Ok(())));
    }

    #[test]
    fn p6_a_body_of_many_small_frames_is_given_up() {
        let frames = futures_util::stream::repeat_with(|| data(1));
        let (bytes, end) =
            read(saved(Response::new(StreamBody::new(frames)), &ByteBudget::default()));
        assert_eq!(bytes, MOST_FRAMES as usize);
        assert!(end.is_err());
    }

    #[test]
    fn p6_all_waiting_requests_together_keep_4_mib() {
        let total = ByteBudget::default();
        let mut kept: Vec<_> =
            (0..4 * 1024 * 1024 / MOST_BYTES).map(|_| saved(full(MOST_BYTES), &total)).collect();
        assert_eq!(read(saved(full(1), &total)).0, 0, "there is no room left");
        assert_eq!(read(kept.pop().unwrap()).0, MOST_BYTES);
        assert_eq!(read(saved(full(1), &total)), (1, Ok(())));
        drop(kept);
        assert_eq!(total.reserved(), 0);
    }

    #[test]
    fn trailers_are_kept_and_errors_end_a_body_as_they_came() {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-trailer", "1".parse().unwrap());
        let (frames, response) = channel();
        frames.send(data(3)).unwrap();
        frames.send(Ok(Frame::trailers(trailers.clone()))).unwrap();
        drop(frames);
        let whole = saved(response, &ByteBudget::default());
        assert_eq!(whole.trailers.as_ref(), Some(&trailers));
        assert_eq!(read(whole), (3, Ok(())));

        let (frames, response) = channel();
        frames.send(data(3)).unwrap();
        frames.send(Err(io::Error::other("reset"))).unwrap();
        let broken = saved(response, &ByteBudget::default());
        assert_eq!(read(broken), (3, Err("reset".into())));
    }

    #[test]
    fn p6_trailers_are_kept_up_to_16_kib_and_count_with_the_rest() {
        for (bytes, is_kept) in [(MOST_BYTES, true), (MOST_BYTES + 1, false)] {
            let mut trailers = HeaderMap::new();
            let value = vec![b'v'; bytes - "x-trailer".len()];
            trailers.insert("x-trailer", value.try_into().unwrap());
            let (frames, response) = channel();
            frames.send(Ok(Frame::trailers(trailers))).unwrap();
            drop(frames);
            let total = ByteBudget::default();
            let saved = saved(response, &total);
            assert_eq!((saved.trailers.is_some(), saved.end.is_none()), (is_kept, is_kept));
            assert_eq!(total.reserved(), if is_kept { bytes } else { 0 });
        }
    }

    #[test]
    fn a_body_that_trickles_is_not_waited_for_where_there_is_no_timer() {
        let (_frames, response) = channel();
        assert!(read(saved(response, &ByteBudget::default())).1.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn p6_a_body_that_trickles_is_given_up_after_a_second() {
        let (frames, response) = channel();
        let total = ByteBudget::default();
        let mut save = task::spawn(SaveBody::new(response, &total, Duration::MAX));
        frames.send(data(1)).unwrap();
        assert_pending!(save.poll());
        tokio::time::advance(LONGEST).await;
        let kept = assert_ready!(save.poll()).into_body();
        assert_eq!(kept.data, "x");
        assert!(kept.end.is_some() && frames.is_closed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_waits_for_less_reads_for_less() {
        let (_frames, response) = channel();
        let longest = Duration::from_millis(200);
        let total = ByteBudget::default();
        let mut save = task::spawn(SaveBody::new(response, &total, longest));
        assert_pending!(save.poll());
        tokio::time::advance(longest).await;
        assert_ready!(save.poll());
    }
}
