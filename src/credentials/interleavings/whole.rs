//! Scenes of the whole credential, with the layer in front of it, in orders drawn by lot.

use std::pin::pin;
use std::task::Poll;

use http::StatusCode;
use shuttle::future::block_on;
use shuttle::rand::Rng;
use shuttle::thread;

use super::in_many_orders;
use super::scripted::{Client, Exchange, World, send, send_as};
use crate::RequestMode::{Customer, Provider};
use crate::{BoxError, Credentials, Error};

/// A process whose access tokens the API does not take any more.
fn begin() -> (World, Credentials, Client) {
    let world = World::with_tokens("old");
    let credentials = block_on(world.process());
    let client = world.client(&credentials);
    (world, credentials, client)
}

/// Runs `work` in a thread of its own.
fn at_once<T: Send + 'static>(
    client: &Client,
    work: impl AsyncFnOnce(Client) -> T + Send + 'static,
) -> thread::JoinHandle<T> {
    let client = client.clone();
    thread::spawn(move || block_on(work(client)))
}

fn end(world: &World, credentials: &Credentials) {
    block_on(credentials.shutdown()).unwrap();
    world.check();
}

fn ours(error: &BoxError) -> &Error {
    error.downcast_ref().unwrap_or_else(|| panic!("not ours: {error:?}"))
}

#[test]
fn p1_callers_answered_401_share_one_refresh() {
    in_many_orders("callers answered 401, one refresh", || {
        let (world, credentials, client) = begin();
        let others = [(); 2].map(|()| at_once(&client, async |client| send(&client).await));
        assert_eq!(block_on(send(&client)).unwrap(), StatusCode::OK);
        for other in others {
            assert_eq!(other.join().unwrap().unwrap(), StatusCode::OK);
        }
        end(&world, &credentials);
        let (exchanges, sends) = world.with(|state| (state.exchanges, state.sends));
        assert!(exchanges == 1 && sends <= 6, "{exchanges} exchanges, {sends} sends");
    });
}

#[test]
fn p1_processes_that_share_a_store_share_one_refresh() {
    in_many_orders("two processes, one refresh", || {
        let (world, credentials, client) = begin();
        let neighbour = block_on(world.process());
        let other = at_once(&world.client(&neighbour), async |client| send(&client).await);
        assert_eq!(block_on(send(&client)).unwrap(), StatusCode::OK);
        assert_eq!(other.join().unwrap().unwrap(), StatusCode::OK);
        end(&world, &credentials);
        end(&world, &neighbour);
        assert_eq!(world.with(|state| state.exchanges), 1);
    });
}

#[test]
fn p2_the_first_waiter_dropped_at_any_poll_loses_nothing() {
    in_many_orders("the first waiter is dropped", || {
        let (world, credentials, client) = begin();
        let polls = shuttle::rand::thread_rng().gen_range(1..8);
        let first = at_once(&client, async move |client| {
            let mut answer = pin!(send(&client));
            for _ in 0..polls {
                let poll = std::future::poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx))).await;
                if poll.is_ready() {
                    break;
                }
                shuttle::future::yield_now().await;
            }
        });
        assert_eq!(block_on(send(&client)).unwrap(), StatusCode::OK);
        first.join().unwrap();
        end(&world, &credentials);
        assert_eq!(world.with(|state| state.exchanges), 1);
    });
}

#[test]
fn p7_requests_of_both_modes_while_tokens_are_published() {
    in_many_orders("publish while loading", || {
        let (world, credentials, client) = begin();
        let asked = credentials.clone();
        let asked = thread::spawn(move || block_on(asked.refresh(Customer)));
        let customer = at_once(&client, async |client| send_as(&client, Customer).await);
        for _ in 0..2 {
            assert_eq!(block_on(send(&client)).unwrap(), StatusCode::OK);
        }
        assert_eq!(customer.join().unwrap().unwrap(), StatusCode::OK);
        asked.join().unwrap().unwrap();
        end(&world, &credentials);
        // One for provider mode; for customer mode one, or one on demand after one for the 401.
        assert!((2..=3).contains(&world.with(|state| state.exchanges)));
    });
}

#[test]
fn p2_no_refresh_starts_while_the_last_pair_is_unsaved() {
    in_many_orders("refuse while dirty", || {
        let (world, credentials, client) = begin();
        world.with(|state| state.failing_saves = 3);
        let customer = at_once(&client, async |client| {
            let request = http::Request::get("https://goteamup.com/api/v2/events");
            let request = request.extension(Customer).body(String::new()).unwrap();
            let response = tower::ServiceExt::oneshot(client, request).await.unwrap();
            (response.status(), response.extensions().get::<Error>().cloned())
        });
        let provider = block_on(send(&client)).unwrap();
        let (status, reason) = customer.join().unwrap();
        for status in [status, provider] {
            assert!(status == StatusCode::OK || status == StatusCode::UNAUTHORIZED);
        }
        // The one that came second was refused with the reason, or came late enough.
        assert!(reason.is_none_or(|reason| reason.is_store()));
        assert!(status == StatusCode::OK || provider == StatusCode::OK);
        end(&world, &credentials);
        assert!(world.with(|state| state.exchanges <= 2 && state.failing_saves == 0));
    });
}

#[test]
fn p2_shutdown_leaves_nothing_under_way() {
    in_many_orders("shutdown while refreshing", || {
        let (world, credentials, client) = begin();
        world.with(|state| state.failing_saves = shuttle::rand::thread_rng().gen_range(0..2));
        let caller = at_once(&client, async |client| send(&client).await);
        block_on(credentials.shutdown()).unwrap();
        world.check();
        let exchanges = world.with(|state| state.exchanges);
        let status = caller.join().unwrap().unwrap();
        assert_eq!(status == StatusCode::OK, exchanges == 1);
        assert_eq!(world.with(|state| state.exchanges), exchanges);
    });
}

#[test]
fn p2_new_tokens_set_while_refreshing_win() {
    in_many_orders("set tokens while refreshing", || {
        let (world, credentials, client) = begin();
        let tokens = world.login("r100", "set");
        let failing = shuttle::rand::thread_rng().gen_range(0..4);
        world.with(|state| {
            state.failing_saves = failing;
            state.alive.insert("set-provider".to_owned(), (Provider, 100));
        });
        let caller = at_once(&client, async |client| send(&client).await);
        let set = block_on(credentials.log_in(tokens));
        if let Err(error) = set {
            assert!(failing > 0 && error.is_store(), "{error}");
        }
        let status = caller.join().unwrap().unwrap();
        assert!(status == StatusCode::OK || (failing > 0 && status == StatusCode::UNAUTHORIZED));
        end(&world, &credentials);
        let kept = world.with(|state| state.kept.clone()).unwrap();
        assert!(["r100", "r101"].contains(&kept.refresh_token().expose()), "the login before");
    });
}

#[test]
fn p2_an_exchange_that_fails_or_is_lost_leaves_the_others_with_the_same_answer() {
    in_many_orders("failed and lost exchanges", || {
        let (world, credentials, client) = begin();
        let lost = shuttle::rand::thread_rng().gen_bool(0.5);
        let first = if lost { Exchange::Lost } else { Exchange::Unreachable };
        world.with(|state| state.script.extend([Exchange::Unreachable, first]));
        let other = at_once(&client, async |client| send_as(&client, Provider).await);
        let statuses = [block_on(send(&client)), other.join().unwrap()];
        block_on(credentials.shutdown()).unwrap();
        for status in statuses {
            match status {
                Ok(status) => assert_eq!(status == StatusCode::OK, !lost),
                Err(error) => assert!(lost && ours(&error).is_login_required()),
            }
        }
        // Tried again once after the outcome that was unknown, and refused then.
        assert_eq!(world.with(|state| state.exchanges), 3);
    });
}
