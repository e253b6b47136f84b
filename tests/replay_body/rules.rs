//! The rules, one by one.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::task::Poll;
use std::thread;

use bytes::{Buf, Bytes};
use futures_util::stream;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, StreamBody};
use tower_teamup_auth::body::{RepeatableBody, ReplayBody};

use crate::script::{
    Failed, Says, Script, Step, at_end, bounds, copy_of, data, next_data, poll, text, trailers,
};

fn hint(lower: u64, upper: Option<u64>) -> SizeHint {
    let mut hint = SizeHint::new();
    hint.set_lower(lower);
    if let Some(upper) = upper {
        hint.set_upper(upper);
    }
    hint
}

#[tokio::test]
async fn a_stream_is_sent_again_as_it_was_sent() {
    let mut body = ReplayBody::new(Script::new([data("one "), Step::Wait, data(""), data("two")]));
    let copy = copy_of(&mut body);
    assert_eq!(text(body).await, "one two");
    assert!(copy.is_complete());
    assert_eq!(text(copy).await, "one two");
}

#[test]
fn frames_pass_through_as_they_come() {
    let mut body = ReplayBody::new(Script::new([data("one"), Step::Wait, data("two")]));
    let _copy = copy_of(&mut body);
    assert_eq!(next_data(&mut body), "one");
    assert!(poll(&mut body).is_pending());
    assert_eq!(next_data(&mut body), "two");
    assert!(at_end(&mut body));
}

#[test]
fn bytes_are_handed_on_without_a_copy() {
    let bytes = Bytes::from(vec![7; 4096]);
    let mut body = ReplayBody::new(Script::new([data(bytes.clone())]));
    let _copy = copy_of(&mut body);
    assert_eq!(next_data(&mut body).as_ptr(), bytes.as_ptr());
}

#[tokio::test]
async fn any_buffer_will_do() {
    let chunks = [(&b"one "[..]).chain(&b"two "[..]), (&b"three"[..]).chain(&b""[..])];
    let chunks = chunks.map(|chunk| Ok::<_, io::Error>(Frame::data(chunk)));
    let mut body = ReplayBody::new(StreamBody::new(stream::iter(chunks)));
    let copy = body.try_clone().expect("a copy");
    assert_eq!(body.collect().await.expect("sent").to_bytes(), "one two three");
    assert_eq!(copy.collect().await.expect("sent").to_bytes(), "one two three");
}

#[tokio::test]
async fn trailers_are_sent_again() {
    let steps = [data("rows"), Step::Trailers(trailers("\"sum\""))];
    let mut body = ReplayBody::new(Script::new(steps));
    let copy = copy_of(&mut body);
    next_data(&mut body);
    assert!(!copy.is_complete());
    assert!(matches!(poll(&mut body), Poll::Ready(Some(Ok(frame))) if frame.is_trailers()));
    // A client asks for nothing after trailers, so they are the end.
    assert!(copy.is_complete());

    let again = copy.collect().await.expect("sent");
    assert_eq!(again.trailers(), Some(&trailers("\"sum\"")));
    assert_eq!(again.to_bytes(), "rows");
}

#[test]
fn a_stream_of_trailers_alone_is_sent_again() {
    let mut body = ReplayBody::new(Script::new([Step::Trailers(trailers("a"))]));
    let mut copy = copy_of(&mut body);
    assert!(matches!(poll(&mut body), Poll::Ready(Some(Ok(_)))));
    let Poll::Ready(Some(Ok(frame))) = poll(&mut copy) else { panic!("no trailers") };
    assert_eq!(frame.into_trailers().expect("trailers"), trailers("a"));
    assert!(copy.is_end_stream());
    assert!(at_end(&mut copy));
}

#[test]
fn a_body_that_knows_its_end_needs_no_poll_after_it() {
    let mut body = ReplayBody::new(Script::new([data("all")]).knows_its_end(true));
    let copy = copy_of(&mut body);
    next_data(&mut body);
    assert!(body.is_end_stream());
    assert!(copy.is_complete());
}

#[tokio::test]
async fn a_body_with_nothing_to_send_is_complete_from_the_start() {
    let mut body = ReplayBody::new(Empty::<Bytes>::new());
    let copy = body.try_clone().expect("a copy");
    assert!(copy.is_complete());
    assert!(copy.is_end_stream());
    drop(body);
    assert!(copy.is_complete());
    assert!(copy.collect().await.expect("sent").to_bytes().is_empty());
}

#[test]
fn a_stream_that_turns_out_empty_is_framed_alike_both_times() {
    let mut body = ReplayBody::new(Script::new([]));
    let mut copy = copy_of(&mut body);
    assert!(!body.is_end_stream());
    assert!(at_end(&mut body));
    assert!(copy.is_complete());
    // Were it to say that it has ended, it would go out without the chunked framing of the first.
    assert!(!copy.is_end_stream());
    assert_eq!(bounds(&copy), (0, None));
    assert!(at_end(&mut copy));
    assert!(copy.is_end_stream());
}

#[test]
fn size_hint_is_the_streams_own_both_times() {
    for (says, expected) in [
        (Says::Nothing, (0, None)),
        (Says::Exactly, (6, Some(6))),
        (Says::Between(2, 10), (4, Some(16))),
    ] {
        let mut body = ReplayBody::new(Script::new([data("one"), data("two")]).says(says));
        let mut copy = copy_of(&mut body);
        assert_eq!(bounds(&body), expected);
        while !at_end(&mut body) {}
        assert_eq!(bounds(&copy), expected);
        assert_eq!(next_data(&mut copy), "onetwo");
        assert_eq!(bounds(&copy), (0, Some(0)));
        assert!(copy.is_end_stream());
    }
}

#[test]
fn p9_a_stream_over_the_cap_goes_on_and_is_not_sent_again() {
    let steps = [data("12345"), data("6789"), data("abc")];
    let mut body = ReplayBody::with_max_bytes(Script::new(steps), 8);
    let copy = copy_of(&mut body);
    assert_eq!(next_data(&mut body), "12345");
    assert_eq!(next_data(&mut body), "6789");
    assert_eq!(next_data(&mut body), "abc");
    assert!(at_end(&mut body));
    assert!(!copy.is_complete());
}

#[tokio::test]
async fn a_stream_of_just_the_cap_is_sent_again() {
    let mut body = ReplayBody::with_max_bytes(Script::new([data("12345"), data("678")]), 8);
    let copy = copy_of(&mut body);
    text(body).await;
    assert!(copy.is_complete());
    assert_eq!(text(copy).await, "12345678");
}

#[tokio::test]
async fn the_cap_is_64_kib_unless_told() {
    for (length, complete) in [(64 * 1024, true), (64 * 1024 + 1, false)] {
        let mut body = ReplayBody::new(Script::new([data(vec![0; length - 1]), data("x")]));
        let copy = copy_of(&mut body);
        assert_eq!(text(body).await.len(), length);
        assert_eq!(copy.is_complete(), complete);
    }
}

#[tokio::test]
async fn p9_trailers_count_against_the_cap() {
    let etag = trailers("12345");
    for (max_bytes, complete) in [("data".len() + "etag12345".len(), true), (12, false)] {
        let steps = [data("data"), Step::Trailers(etag.clone())];
        let mut body = ReplayBody::with_max_bytes(Script::new(steps), max_bytes);
        let copy = copy_of(&mut body);
        let sent = body.collect().await.expect("sent");
        assert_eq!(sent.trailers(), Some(&etag));
        assert_eq!(copy.is_complete(), complete);
    }
}

#[test]
fn a_stream_that_says_it_is_too_long_has_no_copy() {
    let body = Script::new([data("123456789")]);
    for says in [Says::Exactly, Says::Between(0, 5)] {
        assert!(ReplayBody::with_max_bytes(body.clone().says(says), 8).try_clone().is_none());
    }
    // One that might be short enough has.
    let body = body.says(Says::Between(1, 5));
    assert!(ReplayBody::with_max_bytes(body, 8).try_clone().is_some());
}

#[test]
fn p9_a_body_still_being_sent_is_not_complete() {
    let mut body = ReplayBody::new(Script::new([data("one"), Step::Wait, data("two")]));
    let copy = copy_of(&mut body);
    assert!(!copy.is_complete());
    next_data(&mut body);
    assert!(!copy.is_complete());
    assert!(poll(&mut body).is_pending());
    assert!(!copy.is_complete());
    next_data(&mut body);
    assert!(!copy.is_complete());
    assert!(at_end(&mut body));
    assert!(copy.is_complete());
}

#[test]
fn p9_a_body_dropped_before_its_end_is_never_complete() {
    for polls in 0..=2 {
        let mut body = ReplayBody::new(Script::new([data("one"), data("two")]));
        let copy = copy_of(&mut body);
        for _ in 0..polls {
            next_data(&mut body);
        }
        drop(body);
        assert!(!copy.is_complete());
    }
}

#[test]
fn p9_a_body_that_failed_is_never_complete() {
    for knows_its_end in [false, true] {
        let script = Script::new([data("one"), Step::Fail]).knows_its_end(knows_its_end);
        let mut body = ReplayBody::new(script);
        let copy = copy_of(&mut body);
        next_data(&mut body);
        assert!(matches!(poll(&mut body), Poll::Ready(Some(Err(Failed)))));
        assert!(at_end(&mut body));
        drop(body);
        assert!(!copy.is_complete());
    }
}

#[test]
fn p9_a_body_that_broke_its_word_is_never_complete() {
    for (says, steps) in [
        (hint(9, Some(9)), vec![data("short")]),
        (hint(3, Some(3)), vec![data("long")]),
        (hint(3, Some(3)), vec![data("abc"), data("d")]),
        (hint(6, None), vec![data("short")]),
        (hint(0, Some(3)), vec![data("long")]),
    ] {
        let mut body = ReplayBody::new(Script::new(steps).says(Says::Always(says)));
        let copy = copy_of(&mut body);
        while !at_end(&mut body) {}
        drop(body);
        assert!(!copy.is_complete(), "{says:?}");
    }
}

#[test]
fn p9_a_body_already_being_sent_has_no_copy() {
    let mut body = ReplayBody::new(Script::new([data("one"), data("two")]));
    assert!(body.is_complete());
    next_data(&mut body);
    assert!(body.try_clone().is_none());
    assert!(!body.is_complete());
}

#[tokio::test]
async fn a_dropped_copy_can_be_taken_anew_before_the_body_is_sent() {
    let mut body = ReplayBody::new(Script::new([data("one")]));
    drop(copy_of(&mut body));
    let copy = copy_of(&mut body);
    text(body).await;
    assert_eq!(text(copy).await, "one");
}

#[tokio::test]
async fn layers_above_each_other_each_have_their_copy() {
    let mut body = ReplayBody::new(Script::new([data("one"), Step::Trailers(trailers("a"))]));
    let mut outer = copy_of(&mut body);
    let inner = copy_of(&mut body);
    text(body).await;

    assert!(inner.is_complete());
    let sent = inner.collect().await.expect("sent");
    assert_eq!(sent.trailers(), Some(&trailers("a")));
    assert_eq!(sent.to_bytes(), "one");

    // The outer layer sends its copy through the inner one, which takes a copy of that.
    assert!(outer.is_complete());
    let of_copy = copy_of(&mut outer);
    assert!(of_copy.is_complete());
    let mut outer = outer;
    next_data(&mut outer);
    assert!(outer.try_clone().is_none());
    assert!(!outer.is_complete());
    assert!(of_copy.is_complete());
    let sent = of_copy.collect().await.expect("sent");
    assert_eq!(sent.trailers(), Some(&trailers("a")));
    assert_eq!(sent.to_bytes(), "one");
}

#[tokio::test]
async fn a_pinned_box_is_as_good_as_what_is_in_it() {
    let mut body = Box::pin(ReplayBody::new(Script::new([data("one")])));
    let copy = body.try_clone().expect("a copy");
    assert!(!copy.is_complete());
    assert_eq!(body.collect().await.expect("sent").to_bytes(), "one");
    assert!(copy.is_complete());
    assert_eq!(copy.collect().await.expect("sent").to_bytes(), "one");
}

/// The client's connection sends the body on one thread, the layer holds the copy on another.
#[test]
fn p9_a_copy_on_another_thread_is_never_complete_too_early() {
    for round in 0..500_usize {
        let steps = (0..20).map(|step| data(vec![step; 100]));
        let mut body = ReplayBody::new(Script::new(steps));
        let mut copy = copy_of(&mut body);
        let together = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                together.wait();
                while !at_end(&mut body) {}
            });
            together.wait();
            for _ in 0..round {
                if copy.is_complete() {
                    assert_eq!(next_data(&mut copy).len(), 2_000);
                    break;
                }
                std::hint::spin_loop();
            }
            drop(copy);
        });
        assert!(body.try_clone().is_none());
    }
}

#[test]
#[should_panic(expected = "a copy is sent only if it is complete")]
fn p9_half_a_body_is_never_sent() {
    let mut body = ReplayBody::new(Script::new([data("one"), data("two")]));
    let mut copy = copy_of(&mut body);
    next_data(&mut body);
    drop(poll(&mut copy));
}

#[test]
fn the_buffers_of_the_stream_are_not_held() {
    struct Counted(Arc<AtomicUsize>);
    impl AsRef<[u8]> for Counted {
        fn as_ref(&self) -> &[u8] {
            &[7; 1024]
        }
    }
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }

    // Eight bytes out of each buffer.
    let alive = Arc::new(AtomicUsize::new(3));
    let steps = [(); 3].map(|()| data(Bytes::from_owner(Counted(alive.clone())).slice(..8)));
    let mut body = ReplayBody::new(Script::new(steps));
    let copy = copy_of(&mut body);
    for left in [2, 1, 0] {
        next_data(&mut body);
        assert_eq!(alive.load(Ordering::Relaxed), left);
    }
    assert!(at_end(&mut body));
    assert!(copy.is_complete());
}

#[test]
fn debug_shows_nothing_of_the_data() {
    let mut body = ReplayBody::new(Script::new([data("secret")]));
    let copy = copy_of(&mut body);
    assert_eq!(
        format!("{body:?} {copy:?}"),
        r#"ReplayBody { side: "first", .. } ReplayBody { side: "copy", .. }"#
    );
    next_data(&mut body);
    assert!(!format!("{copy:?}").contains("secret"));
}

#[test]
fn a_replay_body_goes_where_its_stream_goes() {
    fn is_send<T: Send>() {}
    fn is_sync<T: Sync>() {}
    fn is_unpin<T: Unpin>() {}
    is_send::<ReplayBody<Script>>();
    is_sync::<ReplayBody<Script>>();
    is_unpin::<ReplayBody<Script>>();
    // One that may be sent, but not shared.
    is_send::<ReplayBody<UnsyncBoxBody<Bytes, Failed>>>();
}
