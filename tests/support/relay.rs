//! A relay in front of a TCP server, in which a test can hold a request or its answer.

#![allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Passes bytes to and fro, until a rule says otherwise.
pub struct Relay {
    port: u16,
    server: Arc<AtomicU16>,
    gate: Arc<Gate>,
}

/// What is held.
#[derive(Clone, Copy, PartialEq)]
pub enum Hold {
    /// The request, before the server sees it.
    Request,
    /// The answer to it, once the server has given it.
    Answer,
}

#[derive(Default)]
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    rule: Option<(Hold, Vec<u8>)>,
    is_reached: bool,
    may_pass: Option<bool>,
}

impl Relay {
    /// Starts a relay to the server on this loopback port.
    pub fn to(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free loopback port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let gate = Arc::new(Gate::default());
        let shared = Arc::clone(&gate);
        let server = Arc::new(AtomicU16::new(server));
        let leads_to = Arc::clone(&server);
        // Ends with the test's process.
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // A server that is down is a connection that closes.
                if let Ok(server) =
                    TcpStream::connect(("127.0.0.1", leads_to.load(Ordering::SeqCst)))
                {
                    relay(client, server, &shared);
                }
            }
        });
        Relay { port, server, gate }
    }

    /// The port that clients connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a Redis behind this relay.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Leads new connections to another server; those that stand remain.
    pub fn lead_to(&self, server: u16) {
        self.server.store(server, Ordering::SeqCst);
    }

    /// Holds the next request that contains `marker`, or the answer to it.
    pub fn hold(&self, what: Hold, marker: &str) {
        *self.gate.lock() = State { rule: Some((what, marker.into())), ..State::default() };
    }

    /// Waits until something is held.
    ///
    /// # Panics
    ///
    /// When nothing is after 20 s.
    pub fn wait_until_held(&self) {
        let limit = Duration::from_secs(20);
        let (state, _) = self
            .gate
            .changed
            .wait_timeout_while(self.gate.lock(), limit, |state| !state.is_reached)
            .unwrap_or_else(PoisonError::into_inner);
        let is_reached = state.is_reached;
        drop(state);
        assert!(is_reached, "waited 20 s in vain for something to hold");
    }

    /// Is something held at this moment?
    pub fn is_holding(&self) -> bool {
        self.gate.lock().is_reached
    }

    /// Lets pass what is held.
    pub fn let_pass(&self) {
        self.decide(true);
    }

    /// Closes the connection instead.
    pub fn cut(&self) {
        self.decide(false);
    }

    /// Gives the word and waits until it is taken, so that the next rule can't swallow it.
    fn decide(&self, may_pass: bool) {
        let mut state = self.gate.lock();
        state.may_pass = Some(may_pass);
        self.gate.changed.notify_all();
        while state.is_reached {
            state = self.gate.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.cut();
    }
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Is this the request that a rule waits for? A rule applies once.
    fn applies(&self, request: &[u8]) -> Option<Hold> {
        let rule = &mut self.lock().rule;
        rule.take_if(|(_, marker)| request.windows(marker.len()).any(|window| window == marker))
            .map(|(what, _)| what)
    }

    /// Waits for the test's word.
    fn may_pass(&self) -> bool {
        let mut state = self.lock();
        state.is_reached = true;
        self.changed.notify_all();
        let may_pass = loop {
            match state.may_pass {
                Some(may_pass) => break may_pass,
                None => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        };
        state.is_reached = false;
        self.changed.notify_all();
        may_pass
    }
}

fn relay(client: TcpStream, server: TcpStream, gate: &Arc<Gate>) {
    let holds_answer = Arc::new(AtomicBool::new(false));
    let (from_client, to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let (gate_up, gate_down) = (Arc::clone(gate), Arc::clone(gate));
    let holds_next = Arc::clone(&holds_answer);
    thread::spawn(move || {
        pump(from_client, to_server, |request| match gate_up.applies(request) {
            None => true,
            Some(Hold::Request) => gate_up.may_pass(),
            Some(Hold::Answer) => {
                holds_next.store(true, Ordering::SeqCst);
                true
            }
        });
    });
    thread::spawn(move || {
        pump(server, client, |_| {
            !holds_answer.swap(false, Ordering::SeqCst) || gate_down.may_pass()
        });
    });
}

/// Copies from one end to the other while `may_pass` agrees; then closes both.
fn pump(mut from: TcpStream, mut to: TcpStream, mut may_pass: impl FnMut(&[u8]) -> bool) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if !may_pass(&buffer[..length]) || to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
