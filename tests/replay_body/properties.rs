//! Whatever a body yields, whenever it is polled, dropped or copied: what is sent again is what
//! was sent, and nothing that a body says of itself is false.

use std::task::Poll;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, SizeHint};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use tower_teamup_auth::body::{RepeatableBody, ReplayBody};

use crate::script::{Failed, Says, Script, Step, poll, trailers};

/// What may happen while a request is under way.
#[derive(Debug, Clone, Copy)]
enum Event {
    Poll,
    /// The client is done with the body, or an early answer has come.
    DropBody,
    TakeCopy,
    CopyCopy(Index),
    DropCopy(Index),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        20 => Just(Event::Poll),
        1 => Just(Event::DropBody),
        2 => Just(Event::TakeCopy),
        1 => any::<Index>().prop_map(Event::CopyCopy),
        2 => any::<Index>().prop_map(Event::DropCopy),
    ];
    vec(event, 0..24)
}

fn chunk() -> impl Strategy<Value = Bytes> {
    let length = prop_oneof![4 => 0..8_usize, 2 => 8..200_usize, 1 => 200..20_000_usize];
    (length, any::<u8>()).prop_map(|(length, seed)| {
        (0..length).map(|at| seed.wrapping_add(at as u8)).collect::<Vec<_>>().into()
    })
}

/// Any chunks and waits, and perhaps trailers or an error.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![3 => chunk().prop_map(Step::Data), 1 => Just(Step::Wait)];
    let last = prop_oneof![
        3 => Just(None),
        2 => Just(Some(Step::Trailers(trailers("\"sum\"")))),
        1 => Just(Some(Step::Fail)),
    ];
    (vec(step, 0..8), last).prop_map(|(mut steps, last)| {
        steps.extend(last);
        steps
    })
}

fn says() -> impl Strategy<Value = Says> {
    prop_oneof![
        Just(Says::Nothing),
        Just(Says::Exactly),
        (0..100_u64, 0..100_u64).prop_map(|(below, above)| Says::Between(below, above)),
    ]
}

fn max_bytes() -> impl Strategy<Value = usize> {
    prop_oneof![2 => Just(64 * 1024), 1 => 0..500_usize, 1 => 500..50_000_usize]
}

/// All that a body has to yield, and how much of it the client has seen.
struct Sent {
    steps: Vec<Step>,
    gone: usize,
    data: Vec<u8>,
    trailers: Option<HeaderMap>,
    /// The client has seen the end: `None`, or trailers.
    ended: bool,
    last_was_data: bool,
}

impl Sent {
    fn new(steps: Vec<Step>) -> Self {
        let (data, trailers) = (Vec::new(), None);
        Sent { steps, gone: 0, data, trailers, ended: false, last_was_data: false }
    }

    /// The frames that are left, an error among them.
    fn left(&self) -> impl Iterator<Item = &Step> {
        self.steps[self.gone..].iter().filter(|step| !matches!(step, Step::Wait))
    }

    /// Everything has gone, and it was no error.
    fn all(&self) -> bool {
        self.left().next().is_none() && !matches!(self.steps.last(), Some(Step::Fail))
    }

    fn bytes(&self) -> usize {
        let trailers = self.trailers.iter().flat_map(HeaderMap::iter);
        let trailers = trailers.map(|(name, value)| name.as_str().len() + value.len());
        self.data.len() + trailers.sum::<usize>()
    }

    /// What the body says of what is left is true.
    fn check(&self, body: &ReplayBody<Script>) -> Result<(), TestCaseError> {
        let left = self.left().map(|step| if let Step::Data(data) = step { data.len() } else { 0 });
        check_hint(body.size_hint(), left.sum())?;
        prop_assert!(!body.is_end_stream() || self.left().next().is_none());
        Ok(())
    }

    /// Asks the body for a frame, which must be the one that comes next.
    fn poll(&mut self, body: &mut ReplayBody<Script>) -> Result<(), TestCaseError> {
        self.last_was_data = false;
        let item = match poll(body) {
            Poll::Pending => {
                prop_assert!(matches!(self.steps.get(self.gone), Some(Step::Wait)));
                self.gone += 1;
                return Ok(());
            }
            Poll::Ready(item) => item,
        };
        // A body of known length is asked ahead, and may have waited then.
        while let Some(Step::Wait) = self.steps.get(self.gone) {
            self.gone += 1;
        }
        match (item, self.steps.get(self.gone)) {
            (None, None) => {
                self.ended = self.all();
                return Ok(());
            }
            (Some(Ok(frame)), Some(Step::Data(data))) => {
                prop_assert_eq!(frame.data_ref(), Some(data));
                self.data.extend_from_slice(data);
                self.last_was_data = true;
            }
            (Some(Ok(frame)), Some(Step::Trailers(trailers))) => {
                prop_assert_eq!(frame.trailers_ref(), Some(trailers));
                self.trailers = Some(trailers.clone());
                self.ended = true;
            }
            (Some(Err(Failed)), Some(Step::Fail)) => {}
            (item, step) => prop_assert!(false, "{item:?} instead of {step:?}"),
        }
        self.gone += 1;
        Ok(())
    }
}

fn check_hint(hint: SizeHint, left: usize) -> Result<(), TestCaseError> {
    let left = left as u64;
    prop_assert!(hint.lower() <= left && hint.upper().is_none_or(|upper| left <= upper));
    Ok(())
}

/// Sends a copy, which must say and yield what the first send said and yielded.
fn send_again(
    mut copy: ReplayBody<Script>,
    first: &Sent,
    first_hint: SizeHint,
    first_is_end_stream: bool,
) -> Result<(), TestCaseError> {
    prop_assert_eq!(copy.size_hint().lower(), first_hint.lower());
    prop_assert_eq!(copy.size_hint().upper(), first_hint.upper());
    prop_assert_eq!(copy.is_end_stream(), first_is_end_stream);

    let (mut data, mut trailers) = (Vec::new(), None);
    loop {
        check_hint(copy.size_hint(), first.data.len() - data.len())?;
        let said_end = copy.is_end_stream();
        let Poll::Ready(item) = poll(&mut copy) else {
            prop_assert!(false, "a copy had to be waited for");
            unreachable!()
        };
        prop_assert!(!said_end || item.is_none());
        let Some(frame) = item else { break };
        prop_assert!(trailers.is_none(), "a frame after trailers");
        match frame.expect("no error").into_data() {
            Ok(piece) => data.extend_from_slice(&piece),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    prop_assert_eq!(&data, &first.data);
    prop_assert_eq!(&trailers, &first.trailers);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn p9_what_is_sent_again_is_what_was_sent(
        steps in steps(),
        says in says(),
        knows_its_end: bool,
        max_bytes in max_bytes(),
        copied_at_once in prop::bool::weighted(0.9),
        events in events(),
        sent_to_the_end: bool,
    ) {
        let script = Script::new(steps.clone()).says(says).knows_its_end(knows_its_end);
        let (first_hint, first_is_end_stream) = (script.size_hint(), script.is_end_stream());
        let mut body = Some(ReplayBody::with_max_bytes(script, max_bytes));
        let mut sent = Sent::new(steps);
        let mut started = false;
        let mut copies = Vec::new();
        let mut was_complete = false;
        // Whether the body was dropped with the declared length gone and nothing else to be seen.
        let mut dropped_at_length = false;

        let first = copied_at_once.then_some(Event::TakeCopy);
        let polls = if sent_to_the_end { 20 } else { 0 };
        let rest = std::iter::repeat_n(Event::Poll, polls);
        for event in first.into_iter().chain(events).chain(rest) {
            match (event, &mut body) {
                (Event::Poll, Some(body)) => {
                    started = true;
                    sent.poll(body)?;
                }
                (Event::TakeCopy, Some(body)) => {
                    let copy = body.try_clone();
                    if !started {
                        prop_assert_eq!(copy.is_some(), first_hint.lower() <= max_bytes as u64);
                    } else if copies.is_empty() {
                        prop_assert!(copy.is_none());
                    }
                    copies.extend(copy);
                }
                (Event::DropBody, Some(_)) => {
                    dropped_at_length = sent.last_was_data
                        && first_hint.exact() == Some(sent.data.len() as u64)
                        && matches!(sent.steps.get(sent.gone), Some(Step::Wait));
                    body = None;
                }
                (Event::CopyCopy(which), _) if !copies.is_empty() => {
                    let which = which.index(copies.len());
                    let copy = copies[which].try_clone();
                    prop_assert!(copy.is_some());
                    copies.extend(copy);
                }
                (Event::DropCopy(which), _) if !copies.is_empty() => {
                    copies.swap_remove(which.index(copies.len()));
                }
                _ => {}
            }

            if let Some(body) = &body {
                sent.check(body)?;
            }
            if copies.is_empty() {
                was_complete = false;
            }
            for copy in &copies {
                let complete = copy.is_complete();
                // Never too early, never taken back.
                prop_assert!(!complete || sent.all() || dropped_at_length);
                prop_assert!(complete || !was_complete);
                // As soon as a client would ask for nothing more.
                let ended = sent.ended
                    || sent.last_was_data && body.as_ref().is_some_and(Body::is_end_stream);
                if ended && sent.bytes() <= max_bytes {
                    prop_assert!(complete);
                }
                if sent.bytes() > max_bytes {
                    prop_assert!(!complete);
                }
            }
            was_complete = copies.first().is_some_and(RepeatableBody::is_complete);
        }

        drop(body);
        for copy in copies {
            if copy.is_complete() {
                send_again(copy, &sent, first_hint, first_is_end_stream)?;
            }
        }
    }
}
