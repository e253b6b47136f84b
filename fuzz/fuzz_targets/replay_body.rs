//! `ReplayBody` under arbitrary polling of arbitrary bodies, those that lie about their size too:
//! no panic, and a copy that calls itself complete yields what was sent.
#![no_main]

#[allow(dead_code)]
#[path = "../../tests/replay_body/script.rs"]
mod script;

use std::task::Poll;

use arbitrary::Arbitrary;
use http::HeaderMap;
use http_body::{Body, SizeHint};
use libfuzzer_sys::fuzz_target;
use tower_teamup_auth::body::{RepeatableBody, ReplayBody};

use script::{Says, Script, Step, poll, trailers};

#[derive(Arbitrary, Debug)]
enum Frame {
    Data(Vec<u8>),
    /// So many bytes, which no fuzzer would write down.
    Much(u16),
    Trailers,
    Wait,
    Fail,
}

#[derive(Arbitrary, Debug)]
enum Size {
    Nothing,
    Exactly,
    Between(u8, u8),
    Lie(u16, Option<u16>),
}

#[derive(Arbitrary, Debug)]
enum Event {
    Poll,
    PollToTheEnd,
    Drop,
    TakeCopy,
    CopyCopy(u8),
    DropCopy(u8),
}

#[derive(Arbitrary, Debug)]
struct History {
    frames: Vec<Frame>,
    size: Size,
    knows_its_end: bool,
    max_bytes: u16,
    events: Vec<Event>,
}

/// What the client has seen of the first send.
#[derive(Default)]
struct Seen {
    data: Vec<u8>,
    trailers: Option<HeaderMap>,
    ended: bool,
    failed: bool,
}

impl Seen {
    /// `false` once there is nothing more to see.
    fn poll(&mut self, body: &mut ReplayBody<Script>) -> bool {
        match poll(body) {
            Poll::Pending => true,
            Poll::Ready(None) => {
                self.ended = true;
                false
            }
            Poll::Ready(Some(Err(_))) => {
                self.failed = true;
                false
            }
            Poll::Ready(Some(Ok(frame))) => {
                match frame.into_data() {
                    Ok(data) => self.data.extend_from_slice(&data),
                    // Nothing may follow them, so nobody asks.
                    Err(frame) => {
                        self.trailers = frame.into_trailers().ok();
                        self.ended = true;
                    }
                }
                !self.ended
            }
        }
    }
}

fuzz_target!(|history: History| {
    let steps = history.frames.iter().map(|frame| match frame {
        Frame::Data(bytes) => Step::Data(bytes.clone().into()),
        Frame::Much(length) => Step::Data(vec![b'm'; usize::from(*length)].into()),
        Frame::Trailers => Step::Trailers(trailers("\"sum\"")),
        Frame::Wait => Step::Wait,
        Frame::Fail => Step::Fail,
    });
    let says = match history.size {
        Size::Nothing => Says::Nothing,
        Size::Exactly => Says::Exactly,
        Size::Between(below, above) => Says::Between(below.into(), above.into()),
        Size::Lie(lower, above) => {
            let mut hint = SizeHint::new();
            hint.set_lower(lower.into());
            if let Some(above) = above {
                hint.set_upper(u64::from(lower) + u64::from(above));
            }
            Says::Always(hint)
        }
    };
    let script = Script::new(steps).says(says).knows_its_end(history.knows_its_end);
    let declared = script.size_hint().exact();
    let mut body = Some(ReplayBody::with_max_bytes(script, history.max_bytes.into()));
    let (mut seen, mut copies) = (Seen::default(), Vec::new());
    for event in history.events {
        match (event, &mut body) {
            // A client asks no body again that has ended or failed.
            (Event::Poll, Some(body)) if !seen.ended && !seen.failed => {
                seen.poll(body);
            }
            (Event::PollToTheEnd, Some(body)) if !seen.ended && !seen.failed => {
                while seen.poll(body) {}
            }
            (Event::TakeCopy, Some(body)) => copies.extend(body.try_clone()),
            (Event::Drop, _) => body = None,
            (Event::CopyCopy(which), _) if !copies.is_empty() => {
                let which = usize::from(which) % copies.len();
                let copy = copies[which].try_clone();
                copies.extend(copy);
            }
            (Event::DropCopy(which), _) if !copies.is_empty() => {
                copies.swap_remove(usize::from(which) % copies.len());
            }
            _ => {}
        }
        for copy in &copies {
            if copy.is_complete() {
                // Nothing that failed, nothing over the cap.
                assert!(!seen.failed);
                assert!(seen.data.len() <= usize::from(history.max_bytes));
            }
        }
    }
    drop(body);
    for mut copy in copies {
        if !copy.is_complete() {
            continue;
        }
        // The whole of it was sent, or as much as it had declared.
        assert!(seen.ended || history.knows_its_end || declared == Some(seen.data.len() as u64));
        let mut again = Seen::default();
        while again.poll(&mut copy) {}
        assert!(again.ended);
        assert_eq!(again.data, seen.data);
        if seen.ended {
            assert_eq!(again.trailers, seen.trailers);
        }
    }
});
