//! The layer over real sockets: hyper-util clients against `FakeTeamUp`, HTTP/1.1 and HTTP/2.

mod p1_one_exchange;
mod support;
