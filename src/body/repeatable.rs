//! The trait, and the bodies of `http-body` and `http-body-util` that have an answer to it.

use std::pin::Pin;

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
/// let body: Full<Bytes> = Full::from("in memory");
/// assert!(body.try_clone().is_some());
/// assert!(SendOnce::new(body).try_clone().is_none());
/// ```
#[diagnostic::on_unimplemented(
    message = "nothing says whether the body `{Self}` can be sent again after a 401",
    note = "wrap a stream in `ReplayBody` to have it kept while it is sent, and sent again",
    note = "wrap a body in `SendOnce` to have it sent once"
)]
pub trait RepeatableBody: Sized {
    /// A second body that yields the same frames, or `None` if there can't be one.
    ///
    /// Called before anything is sent, on the path of every request, so it must be cheap: count a
    /// reference, copy no bytes.
    fn try_clone(&self) -> Option<Self>;

    /// Asked of the copy when the first send was answered: does it hold all that it needs?
    ///
    /// `true` for a body in memory. A body that remembers a stream while it is sent says `false`
    /// when the stream was longer than it may remember, or is still being sent.
    fn is_complete(&self) -> bool {
        true
    }
}

impl RepeatableBody for () {
    fn try_clone(&self) -> Option<Self> {
        Some(())
    }
}

impl RepeatableBody for String {
    fn try_clone(&self) -> Option<Self> {
        Some(self.clone())
    }
}

impl RepeatableBody for Bytes {
    fn try_clone(&self) -> Option<Self> {
        Some(self.clone())
    }
}

impl<D: Clone> RepeatableBody for Full<D> {
    fn try_clone(&self) -> Option<Self> {
        Some(self.clone())
    }
}

impl<D> RepeatableBody for Empty<D> {
    fn try_clone(&self) -> Option<Self> {
        Some(Empty::new())
    }
}

impl<B: RepeatableBody> RepeatableBody for Option<B> {
    fn try_clone(&self) -> Option<Self> {
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
    fn try_clone(&self) -> Option<Self> {
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
    fn try_clone(&self) -> Option<Self> {
        (**self).try_clone().map(Box::new)
    }

    fn is_complete(&self) -> bool {
        (**self).is_complete()
    }
}

impl<B: RepeatableBody> RepeatableBody for Pin<Box<B>> {
    fn try_clone(&self) -> Option<Self> {
        (**self).try_clone().map(Box::pin)
    }

    fn is_complete(&self) -> bool {
        (**self).is_complete()
    }
}

/// A boxed body has forgotten what it was, so it is sent once. Box after the layer, or wrap the
/// stream before it is boxed.
impl<D: Buf, E> RepeatableBody for BoxBody<D, E> {
    fn try_clone(&self) -> Option<Self> {
        None
    }
}

/// A boxed body has forgotten what it was, so it is sent once.
impl<D: Buf, E> RepeatableBody for UnsyncBoxBody<D, E> {
    fn try_clone(&self) -> Option<Self> {
        None
    }
}

#[cfg(any(feature = "hyper", feature = "testing"))]
impl RepeatableBody for hyper::body::Incoming {
    /// A body that arrives from elsewhere passes by once.
    fn try_clone(&self) -> Option<Self> {
        None
    }
}
