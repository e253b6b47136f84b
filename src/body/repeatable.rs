//! The trait, and the bodies of `http-body` and `http-body-util` that have an answer to it.

use std::io::Cursor;
use std::pin::Pin;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use http_body_util::combinators::{BoxBody, UnsyncBoxBody};
use http_body_util::{Either, Empty, Full};

/// A request body that knows whether it can be sent again.
///
/// [`Auth`](crate::Auth) asks twice: [`try_clone`](RepeatableBody::try_clone) before the first
/// send, and, only when a 401 has come, [`is_complete`](RepeatableBody::is_complete) of the copy.
///
/// ```
/// use bytes::Bytes;
/// use http_body_util::Full;
/// use tower_teamup_auth::body::{RepeatableBody, SendOnce};
///
/// let mut body: Full<Bytes> = Full::from("in memory");
/// assert!(body.try_clone().is_some());
/// assert!(SendOnce::new(body).try_clone().is_none());
/// ```
#[diagnostic::on_unimplemented(
    message = "nothing says whether the body `{Self}` can be sent again after a 401",
    note = "make `Full<Bytes>` of text or bytes in memory: it can be shared, so no retry copies it",
    note = "put `ReplayBodyLayer` outside `AuthLayer` to have streams recorded while they are sent",
    note = "put `SendOnceLayer` outside `AuthLayer` to have every body sent once"
)]
pub trait RepeatableBody: Sized {
    /// A second body that yields the same frames, or `None` if there can't be one.
    ///
    /// Called before anything is sent, on the path of every request, so it must be cheap: it counts a
    /// reference and copies no bytes. It may put the body into a form that can be shared, which is why
    /// it borrows it mutably.
    fn try_clone(&mut self) -> Option<Self>;

    /// Asked of the copy when the first send was answered: does it hold all that it needs?
    ///
    /// `true` for a body in memory. A body that remembers a stream while it is sent says `false`
    /// when the stream was longer than it may remember, or is still being sent.
    fn is_complete(&self) -> bool {
        true
    }
}

impl RepeatableBody for () {
    #[inline]
    fn try_clone(&mut self) -> Option<Self> {
        Some(())
    }
}

impl RepeatableBody for Bytes {
    #[inline]
    fn try_clone(&mut self) -> Option<Self> {
        Some(self.clone())
    }
}

/// Each of these clones by counting a reference, or by copying a pointer.
macro_rules! shared_data {
    ($($data:ty),*) => {$(
        impl RepeatableBody for Full<$data> {
            #[inline]
    fn try_clone(&mut self) -> Option<Self> {
                Some(self.clone())
            }
        }
    )*};
}

shared_data!(Bytes, &'static [u8], Cursor<Bytes>, Cursor<&'static [u8]>, Cursor<Arc<[u8]>>);

impl<D> RepeatableBody for Empty<D> {
    #[inline]
    fn try_clone(&mut self) -> Option<Self> {
        Some(Empty::new())
    }
}

impl<B: RepeatableBody> RepeatableBody for Option<B> {
    #[inline]
    fn try_clone(&mut self) -> Option<Self> {
        match self {
            None => Some(None),
            Some(body) => body.try_clone().map(Some),
        }
    }

    fn is_complete(&self) -> bool {
        self.as_ref().is_none_or(RepeatableBody::is_complete)
    }
}

impl<L: RepeatableBody, R: RepeatableBody> RepeatableBody for Either<L, R> {
    #[inline]
    fn try_clone(&mut self) -> Option<Self> {
        match self {
            Either::Left(left) => left.try_clone().map(Either::Left),
            Either::Right(right) => right.try_clone().map(Either::Right),
        }
    }

    fn is_complete(&self) -> bool {
        match self {
            Either::Left(left) => left.is_complete(),
            Either::Right(right) => right.is_complete(),
        }
    }
}

impl<B: RepeatableBody> RepeatableBody for Box<B> {
    #[inline]
    fn try_clone(&mut self) -> Option<Self> {
        (**self).try_clone().map(Box::new)
    }

    fn is_complete(&self) -> bool {
        (**self).is_complete()
    }
}

impl<B: RepeatableBody + Unpin> RepeatableBody for Pin<Box<B>> {
    #[inline]
    fn try_clone(&mut self) -> Option<Self> {
        self.as_mut().get_mut().try_clone().map(Box::pin)
    }

    fn is_complete(&self) -> bool {
        (**self).is_complete()
    }
}

/// A boxed body has forgotten what it was, so it is sent once. Box after the layer, or wrap the
/// stream before it is boxed.
impl<D: Buf, E> RepeatableBody for BoxBody<D, E> {
    #[inline]
    fn try_clone(&mut self) -> Option<Self> {
        None
    }
}

/// A boxed body has forgotten what it was, so it is sent once.
impl<D: Buf, E> RepeatableBody for UnsyncBoxBody<D, E> {
    #[inline]
    fn try_clone(&mut self) -> Option<Self> {
        None
    }
}

#[cfg(any(feature = "hyper-plain", feature = "testing"))]
impl RepeatableBody for hyper::body::Incoming {
    /// A body that arrives from elsewhere passes by once.
    #[inline]
    fn try_clone(&mut self) -> Option<Self> {
        None
    }
}
