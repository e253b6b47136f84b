use std::fmt;
use std::io::{Error, ErrorKind};

use super::*;

#[derive(Debug)]
struct Outer(Error);

impl fmt::Display for Outer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("outer")
    }
}

impl StdError for Outer {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

#[test]
fn only_what_happens_while_connecting_proves_that_nothing_was_sent() {
    for (kind, never_sent) in [
        (ErrorKind::ConnectionRefused, true),
        (ErrorKind::AddrNotAvailable, true),
        (ErrorKind::ConnectionReset, false),
        (ErrorKind::ConnectionAborted, false),
        (ErrorKind::BrokenPipe, false),
        (ErrorKind::UnexpectedEof, false),
        (ErrorKind::TimedOut, false),
        (ErrorKind::HostUnreachable, false),
        (ErrorKind::NetworkUnreachable, false),
        (ErrorKind::NotFound, false),
        (ErrorKind::Other, false),
    ] {
        assert_eq!(was_never_sent(&Error::from(kind)), never_sent, "{kind:?}");
        assert_eq!(was_never_sent(&Outer(kind.into())), never_sent, "{kind:?} inside");
    }
}
