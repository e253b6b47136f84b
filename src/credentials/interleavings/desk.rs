//! Scenes of the desk and the cell, in every order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use shuttle::future::block_on;
use shuttle::thread;

use super::in_every_order;
use crate::credentials::completion::{Outcome, Wait};
use crate::credentials::desk::{Answer, Desk, Reason};
use crate::credentials::memory::RefreshLimit;
use crate::credentials::snapshot::{LocalSnapshot, Snapshot, SnapshotCell};
use crate::credentials::windows::Windows;
use crate::headers::{AuthScheme, RequestMode};
use crate::token::{AccessToken, Moment, RefreshToken, TokenSet};

const NOW: Moment = Moment { monotonic: 10_000, wall: 1_000_000_000 };
const GUARD: RefreshLimit = RefreshLimit { limit: 5, window: Duration::from_secs(30) };
const MODE: RequestMode = RequestMode::Provider;

/// A desk and a cell, and how many exchanges its driver has made.
#[derive(Clone)]
struct Scene(Arc<(Desk, SnapshotCell, AtomicUsize)>);

impl Scene {
    fn new() -> Self {
        Scene(Arc::new((
            Desk::default(),
            SnapshotCell::new(Snapshot::empty(None)),
            AtomicUsize::new(0),
        )))
    }

    fn desk(&self) -> &Desk {
        &self.0.0
    }

    fn cell(&self) -> &SnapshotCell {
        &self.0.1
    }

    fn exchanges(&self) -> usize {
        self.0.2.load(Ordering::SeqCst)
    }

    /// Asks for the replacement of the token that was never there, and starts the driver if told to.
    fn ask(&self) -> Result<Wait, Outcome> {
        self.ask_as(MODE)
    }

    fn ask_as(&self, mode: RequestMode) -> Result<Wait, Outcome> {
        let first = Snapshot::empty(None).slot(mode).generation;
        match self.desk().ask(self.cell(), first, Reason::Expired, NOW, GUARD) {
            Answer::Settled(outcome) => Err(outcome),
            Answer::Joined(wait) => Ok(wait),
            Answer::Start(wait) => {
                let scene = self.clone();
                thread::spawn(move || scene.drive());
                Ok(wait)
            }
        }
    }

    fn ask_and_wait(&self) -> Outcome {
        match self.ask() {
            Ok(wait) => block_on(wait),
            Err(outcome) => outcome,
        }
    }

    /// The driver's protocol: publish, then report. It does not ask whether its flight is still
    /// wanted, as the real one does: the desk has to see to that alone.
    fn drive(&self) {
        while let Some(flight) = self.desk().next() {
            self.0.2.fetch_add(1, Ordering::SeqCst);
            let next = followed_by(&self.cell().load(), flight.mode(), "a1");
            self.cell().store(next);
            self.desk().landed(&flight, Ok(()));
        }
    }
}

/// A token of `mode` is published; the other mode keeps what it has.
fn followed_by(snapshot: &Snapshot, mode: RequestMode, access: &str) -> Snapshot {
    let mut tokens = TokenSet::new(RefreshToken::new("r").unwrap());
    for each in RequestMode::ALL {
        if each == mode || snapshot.slot(each).held.is_some() {
            let token = AccessToken::new(if each == mode { access } else { "a1" }).unwrap();
            tokens = tokens.with_access_token_until(each, token, None);
        }
    }
    let windows = Windows { leeway: Duration::ZERO, jitter: 0.0 };
    snapshot.followed_by(Some(&tokens), AuthScheme::Bearer, &windows, NOW)
}

#[test]
fn p1_two_callers_share_one_refresh_in_every_order() {
    in_every_order("two callers, one refresh", || {
        let scene = Scene::new();
        let other = scene.clone();
        let other = thread::spawn(move || other.ask_and_wait());
        scene.ask_and_wait().unwrap();
        other.join().unwrap().unwrap();
        assert_eq!(scene.exchanges(), 1);
    });
}

#[test]
fn p1_a_caller_who_comes_as_the_driver_goes_home_is_served_in_every_order() {
    in_every_order("a caller as the driver goes home", || {
        let scene = Scene::new();
        assert!(scene.ask().is_ok(), "nothing was published");
        match scene.ask_as(RequestMode::Customer) {
            Ok(wait) => block_on(wait).unwrap(),
            Err(outcome) => panic!("nothing was published for this mode: {outcome:?}"),
        }
        if let Some(shift) = scene.desk().close() {
            block_on(shift).unwrap();
        }
        assert_eq!(scene.exchanges(), 2);
    });
}

#[test]
fn p2_the_first_waiter_dropped_leaves_the_refresh_to_the_other_in_every_order() {
    in_every_order("the first waiter is dropped", || {
        let scene = Scene::new();
        if let Ok(mut wait) = scene.ask() {
            let other = scene.clone();
            let other = thread::spawn(move || other.ask_and_wait());
            let mut cx = Context::from_waker(Waker::noop());
            let polled = std::pin::Pin::new(&mut wait).poll(&mut cx);
            assert!(matches!(polled, Poll::Pending | Poll::Ready(Ok(()))));
            drop(wait);
            other.join().unwrap().unwrap();
        }
        assert_eq!(scene.exchanges(), 1);
    });
}

#[test]
fn p2_a_driver_that_vanishes_leaves_nobody_waiting_in_every_order() {
    in_every_order("the driver vanishes", || {
        let scene = Scene::new();
        let first = Snapshot::empty(None).slot(MODE).generation;
        let ask =
            move |scene: &Scene| scene.desk().ask(scene.cell(), first, Reason::Expired, NOW, GUARD);
        let Answer::Start(wait) = ask(&scene) else { panic!("nobody else is there yet") };
        let other = scene.clone();
        let other = thread::spawn(move || match ask(&other) {
            Answer::Joined(wait) => assert!(block_on(wait).unwrap_err().is_transient()),
            // It has come too late to be left alone, and starts a driver of its own.
            Answer::Start(wait) => {
                other.drive();
                block_on(wait).unwrap();
            }
            Answer::Settled(outcome) => panic!("nothing was published: {outcome:?}"),
        });
        scene.desk().next();
        scene.desk().abandon(&crate::Error::interrupted());
        assert!(block_on(wait).unwrap_err().is_transient());
        other.join().unwrap();
    });
}

#[test]
fn p10_a_load_sees_the_old_token_or_the_new_one_in_every_order() {
    in_every_order("publish while loading", || {
        let scene = Scene::new();
        let writer = scene.clone();
        let writer = thread::spawn(move || {
            for access in ["a1", "a2"] {
                let next = followed_by(&writer.cell().load(), MODE, access);
                writer.cell().store(next);
            }
        });
        let mut before = None;
        for _ in 0..3 {
            let snapshot = scene.cell().load();
            let slot = snapshot.slot(MODE);
            let token = slot.held.as_ref().map(|held| held.authorization.clone());
            assert!(before.as_ref().is_none_or(|(generation, known)| {
                *generation < slot.generation || (*generation == slot.generation && *known == token)
            }));
            before = Some((slot.generation, token));
        }
        writer.join().unwrap();
        let snapshot = scene.cell().load();
        assert_eq!(snapshot.slot(MODE).held.as_ref().unwrap().authorization, "Bearer a2");
    });
}

#[test]
fn p10_the_copy_of_a_service_follows_what_is_published_in_every_order() {
    in_every_order("publish while copying", || {
        let scene = Scene::new();
        let writer = scene.clone();
        let writer = thread::spawn(move || {
            for access in ["a1", "a2"] {
                let next = followed_by(&writer.cell().load(), MODE, access);
                writer.cell().store(next);
            }
        });
        let mut copied = LocalSnapshot::of(scene.cell());
        let mut before = copied.newest(scene.cell()).slot(MODE).generation;
        for _ in 0..2 {
            let generation = copied.newest(scene.cell()).slot(MODE).generation;
            assert!(before <= generation, "{before:?}, then {generation:?}");
            before = generation;
        }
        writer.join().unwrap();
        // Whoever has heard that it was published sees it.
        let slot = copied.newest(scene.cell()).slot(MODE);
        assert_eq!(slot.held.as_ref().unwrap().authorization, "Bearer a2");
    });
}

#[test]
fn p2_shutdown_waits_for_the_refresh_under_way_in_every_order() {
    in_every_order("shutdown while refreshing", || {
        let scene = Scene::new();
        let caller = scene.clone();
        let caller = thread::spawn(move || caller.ask_and_wait());
        if let Some(under_way) = scene.desk().close() {
            block_on(under_way).unwrap();
            assert_eq!(scene.exchanges(), 1);
        }
        let made = scene.exchanges();
        let outcome = caller.join().unwrap();
        // What began before is done, and nothing begins after.
        assert_eq!(scene.exchanges(), made);
        match outcome {
            Ok(()) => assert_eq!(made, 1),
            Err(error) => assert!(error.is_shut_down() && made == 0),
        }
    });
}
