//! What a body has sent so far: written while it is sent, read by its copies.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::HeaderMap;
use http_body::SizeHint;

/// Owned by the copies alone. The body on its way holds a weak reference, so that the bytes are
/// freed the moment the last copy is dropped, whether or not the body is ever polled again.
pub(super) struct Tape {
    /// What the body said of its size before it was sent. A copy says the same, so that both are
    /// framed alike: a length on both sends, or chunks on both.
    size_hint: SizeHint,
    /// Whether the body said, before it was sent, that it had nothing to send.
    is_end_stream: bool,
    /// How many bytes of data the request declares, where it does.
    length: Option<u64>,
    /// How many bytes may be kept, trailers included. The allocation never exceeds it either.
    max_bytes: usize,
    kept: Mutex<Kept>,
}

enum Kept {
    /// The body is being sent, and this is the data of it that has gone.
    Part(Vec<u8>),
    /// The body has been sent, and this is all of it. Final.
    Whole { data: Bytes, trailers: Option<HeaderMap> },
    /// The body was too long, failed, broke off or broke its word. Final.
    Lost,
}

/// Where a piece of data has brought the tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pushed {
    /// More is to be expected.
    More,
    /// As much as the request declares has gone.
    Length,
    /// The tape can hold no more, and has let go of what it held.
    Full,
}

impl Tape {
    pub(super) fn new(
        size_hint: SizeHint,
        is_end_stream: bool,
        length: Option<u64>,
        max_bytes: usize,
    ) -> Self {
        let tape = Tape {
            size_hint,
            is_end_stream,
            length,
            max_bytes,
            kept: Mutex::new(Kept::Part(Vec::new())),
        };
        // Clients don't poll a body that has nothing to send, so its end would go unnoticed.
        if is_end_stream {
            tape.finish(None);
        }
        tape
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.size_hint
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.is_end_stream
    }

    pub(super) fn is_whole(&self) -> bool {
        matches!(*self.lock(), Kept::Whole { .. })
    }

    pub(super) fn is_lost(&self) -> bool {
        matches!(*self.lock(), Kept::Lost)
    }

    /// The data and the trailers, once they are whole.
    pub(super) fn whole(&self) -> Option<(Bytes, Option<HeaderMap>)> {
        match &*self.lock() {
            Kept::Whole { data, trailers } => Some((data.clone(), trailers.clone())),
            Kept::Part(_) | Kept::Lost => None,
        }
    }

    /// Adds data that has gone.
    ///
    /// It is copied. A piece of data may be a sliver of a large buffer, and to keep the sliver
    /// would keep the buffer: only a copy makes the cap a cap on memory.
    pub(super) fn push(&self, data: &[u8]) -> Pushed {
        let mut kept = self.lock();
        let Kept::Part(part) = &mut *kept else { return Pushed::Full };
        if data.len() > self.max_bytes - part.len() {
            *kept = Kept::Lost;
            return Pushed::Full;
        }
        reserve(part, data.len(), self.expected_bytes(), self.max_bytes);
        part.extend_from_slice(data);
        if self.length == Some(part.len() as u64) { Pushed::Length } else { Pushed::More }
    }

    /// The body has come to its end.
    pub(super) fn finish(&self, trailers: Option<&HeaderMap>) {
        let mut kept = self.lock();
        let Kept::Part(part) = &mut *kept else { return };
        let fits = trailers.map_or(0, wire_bytes) <= self.max_bytes - part.len();
        *kept = if fits && self.kept_its_word(part.len() as u64) {
            Kept::Whole { data: mem::take(part).into(), trailers: trailers.cloned() }
        } else {
            Kept::Lost
        };
    }

    /// The body will not come to its end.
    pub(super) fn lose(&self) {
        let mut kept = self.lock();
        if let Kept::Part(_) = *kept {
            *kept = Kept::Lost;
        }
    }

    /// A copy has the size that the body announced, so what the body said must have been true.
    fn kept_its_word(&self, sent: u64) -> bool {
        self.size_hint.lower() <= sent
            && self.size_hint.upper().is_none_or(|upper| sent <= upper)
            && self.length.is_none_or(|length| sent == length)
    }

    fn expected_bytes(&self) -> usize {
        let expected = self.length.unwrap_or(self.size_hint.lower());
        usize::try_from(expected).unwrap_or(usize::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Every change is one assignment or one append, so a panic leaves nothing half done.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes room for `more` bytes: at once for all that is expected, else as `Vec` grows, but never
/// beyond `max`.
fn reserve(part: &mut Vec<u8>, more: usize, expected: usize, max: usize) {
    let needed = part.len() + more;
    if needed > part.capacity() {
        let roomy = part.capacity().saturating_mul(2).max(expected).min(max);
        part.reserve_exact(roomy.max(needed) - part.len());
    }
}

fn wire_bytes(trailers: &HeaderMap) -> usize {
    trailers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

#[cfg(test)]
impl Tape {
    /// Bytes of memory that the data takes.
    pub(super) fn held_bytes(&self) -> usize {
        match &*self.lock() {
            Kept::Part(part) => part.capacity(),
            Kept::Whole { data, .. } => data.len(),
            Kept::Lost => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tape(max_bytes: usize) -> Tape {
        Tape::new(SizeHint::new(), false, None, max_bytes)
    }

    #[test]
    fn memory_never_exceeds_the_cap() {
        for piece in [1, 3, 7, 64, 99, 100] {
            let tape = tape(100);
            let mut sent = 0;
            while tape.push(&vec![7; piece]) == Pushed::More {
                sent += piece;
                assert!((sent..=100).contains(&tape.held_bytes()));
            }
            assert!(sent + piece > 100);
            assert!(tape.is_lost());
            assert_eq!(tape.held_bytes(), 0);
        }
    }

    #[test]
    fn a_known_length_takes_one_allocation() {
        for tape in [
            Tape::new(SizeHint::with_exact(50), false, Some(50), 100),
            Tape::new(SizeHint::new(), false, Some(50), 100),
        ] {
            assert_eq!(tape.held_bytes(), 0);
            assert_eq!(tape.push(b"1"), Pushed::More);
            assert_eq!(tape.held_bytes(), 50);
            assert_eq!(tape.push(&[7; 49]), Pushed::Length);
            assert_eq!(tape.held_bytes(), 50);
        }
    }

    #[test]
    fn what_breaks_off_is_freed_at_once() {
        let tape = tape(100);
        tape.push(&[7; 50]);
        tape.lose();
        assert_eq!(tape.held_bytes(), 0);
        tape.finish(None);
        assert!(tape.is_lost());
        assert!(tape.whole().is_none());
    }

    #[test]
    fn what_is_whole_stays_whole() {
        let tape = tape(100);
        tape.push(b"all");
        tape.finish(None);
        tape.lose();
        assert_eq!(tape.push(b"more"), Pushed::Full);
        assert_eq!(tape.whole(), Some((Bytes::from("all"), None)));
    }
}
