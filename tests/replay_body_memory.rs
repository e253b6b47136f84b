//! What `ReplayBody` keeps is given back, as the allocator sees it.
//!
//! One test in a process of its own, because the allocator counts for all threads.

use std::alloc::System;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tower_teamup_auth::body::{RepeatableBody, ReplayBody};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const KIB: isize = 1024;

/// Yields pieces of 1 KiB that take no memory, and then its end.
struct Pieces(usize);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.checked_sub(1).map(|left| {
            self.0 = left;
            Ok(Frame::data(Bytes::from_static(&[7; 1024])))
        }))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::new()
    }
}

/// Sends `pieces` of the body, or comes to its end.
fn send(body: &mut ReplayBody<Pieces>, pieces: usize) {
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..pieces {
        drop(Pin::new(&mut *body).poll_frame(&mut cx));
    }
}

fn live_bytes() -> isize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated as isize - stats.bytes_deallocated as isize
}

#[test]
fn memory_is_given_back_as_soon_as_it_cannot_be_of_use() {
    let start = live_bytes();
    // Room for what is not data: the tape itself, and what the test's harness does meanwhile.
    let nothing = || live_bytes() - start < 2 * KIB;
    let kept = |kib: isize| (kib * KIB..(2 * kib + 2) * KIB).contains(&(live_bytes() - start));

    // No copy was taken.
    let mut body = ReplayBody::new(Pieces(60));
    send(&mut body, 40);
    assert!(nothing());
    drop(body);

    // The answer was not a 401, and the body is still being sent.
    let mut body = ReplayBody::new(Pieces(60));
    let copy = body.try_clone();
    send(&mut body, 40);
    assert!(kept(40));
    drop(copy);
    assert!(nothing());
    send(&mut body, 10);
    assert!(nothing());
    drop(body);

    // The answer was not a 401, and the body was sent, but is still there.
    let mut body = ReplayBody::new(Pieces(40));
    let copy = body.try_clone();
    send(&mut body, 41);
    assert!(kept(40) && copy.as_ref().is_some_and(RepeatableBody::is_complete));
    drop(copy);
    assert!(nothing());
    drop(body);

    // Two layers wait for the answer.
    let mut body = ReplayBody::new(Pieces(40));
    let (outer, inner) = (body.try_clone(), body.try_clone());
    send(&mut body, 41);
    assert!(kept(40));
    drop(inner);
    assert!(kept(40));
    drop(outer);
    assert!(nothing());

    // The body turns out to be over the cap.
    let mut body = ReplayBody::new(Pieces(80));
    let copy = body.try_clone();
    send(&mut body, 64);
    assert!(kept(64));
    send(&mut body, 1);
    assert!(nothing());
    drop((body, copy));

    // The client dropped the body before its end.
    let mut body = ReplayBody::new(Pieces(60));
    let copy = body.try_clone();
    send(&mut body, 40);
    assert!(kept(40));
    drop(body);
    assert!(nothing());
    drop(copy);

    // The body was sent again.
    let mut body = ReplayBody::new(Pieces(40));
    let mut copy = body.try_clone().expect("a copy");
    send(&mut body, 41);
    drop(body);
    assert!(kept(40));
    send(&mut copy, 1);
    assert!(nothing());
}
