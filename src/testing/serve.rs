//! The way of one request through the server.

use std::fmt;
use std::future::pending;
use std::sync::Arc;

use http::request::Parts;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::Notify;

use super::answer::{Answer, AnswerBody};
use super::entry::{Entry, Received};
use super::faults::{Fault, Replacement};
use super::format::Format;
use super::hold::Place;
use super::login::{authorize, password, token, two_factor};
use super::receive::receive;
use super::route::Route;
use super::routes;
use super::shared::{Caller, Shared, State};

/// The connection that a request came over.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) id: u64,
    /// Told when a fault wants the connection gone.
    pub(super) drop: Arc<Notify>,
}

/// The client broke off in the middle of a request. Told to hyper, which closes the connection or
/// resets the stream.
#[derive(Debug)]
pub(super) struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client broke off in the middle of a request")
    }
}

impl std::error::Error for Gone {}

/// One request's line in the journal. Dropped before [`answered`](Line::answered), it closes the
/// line as a request without an answer: that is how a client that went away shows.
pub(super) struct Line {
    shared: Arc<Shared>,
    index: usize,
    open: bool,
}

impl Line {
    /// Changes the state together with the line, so that no test sees the one without the other.
    pub(super) fn update<T>(&self, change: impl FnOnce(&mut State, usize) -> T) -> T {
        self.shared.update(|state| change(state, self.index))
    }

    fn answered(mut self, status: StatusCode) {
        self.open = false;
        self.update(|state, index| state.journal.finish(index, Some(status)));
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.open {
            self.update(|state, index| state.journal.finish(index, None));
        }
    }
}

pub(super) async fn serve(
    shared: Arc<Shared>,
    connection: Connection,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Gone> {
    let (head, body) = request.into_parts();
    let route = Route::of(head.uri.path());
    // Where nothing suits, the answer is in JSON and the exchange says why.
    let format = Format::negotiate(&head).unwrap_or(Format::Json);
    let (line, fault) = arrive(&shared, &connection, route, &head);
    let (delay, answer_delay) = fault.as_ref().map(Fault::delays).unwrap_or_default();

    match route {
        Route::Refresh => pass(&shared, Place::RefreshArrival).await,
        _ if route.is_api() => pass(&shared, Place::ApiArrival).await,
        _ => {}
    }
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }

    let outgoing = match &fault {
        None => Replacement::Answer(work(&shared, &line, route, &head, body).await?),
        Some(fault) if fault.lets_the_server_work() => {
            fault.apply(Some(work(&shared, &line, route, &head, body).await?))
        }
        Some(fault) => {
            if !fault.is_before_body() {
                take_in(&line, body).await?;
            }
            fault.apply(None)
        }
    };

    match route {
        Route::Refresh => pass(&shared, Place::RefreshAnswer).await,
        _ if route.is_api() => pass(&shared, Place::ApiAnswer).await,
        _ => {}
    }
    if !answer_delay.is_zero() {
        tokio::time::sleep(answer_delay).await;
    }

    match outgoing {
        Replacement::Answer(answer) => {
            let response = answer.into_response(format);
            line.answered(response.status());
            Ok(response)
        }
        Replacement::DropConnection => {
            drop(line);
            connection.drop.notify_one();
            // The connection's task ends it, and this future with it.
            pending().await
        }
    }
}

fn arrive(
    shared: &Arc<Shared>,
    connection: &Connection,
    route: Route,
    head: &Parts,
) -> (Line, Option<Fault>) {
    shared.update(|state| {
        // Under one lock, so that faults meet requests in the order of the journal.
        let fault = match route {
            Route::Refresh => state.refresh_faults.take(),
            _ if route.is_api() => state.api_faults.take(),
            _ => None,
        };
        let index = state.journal.arrive(Entry {
            number: 0,
            connection: connection.id,
            version: head.version,
            method: head.method.clone(),
            uri: head.uri.clone(),
            headers: Arc::new(head.headers.clone()),
            route,
            body: None,
            refresh_token: None,
            exchange: None,
            authorized: false,
            refusal: None,
            fault: fault.as_ref().map(Fault::name),
            repeat: false,
            status: None,
            finished: false,
        });
        (Line { shared: Arc::clone(shared), index, open: true }, fault)
    })
}

async fn pass(shared: &Shared, place: Place) {
    let gates = shared.lock().gates.at(place);
    for gate in gates {
        gate.pass().await;
    }
}

/// Reads the body and notes it in the journal.
pub(super) async fn take_in(line: &Line, body: Incoming) -> Result<Arc<Received>, Gone> {
    let received = Arc::new(receive(body).await.map_err(|_| Gone)?);
    line.update(|state, index| {
        state.journal.entry(index).body = Some(Arc::clone(&received));
    });
    Ok(received)
}

/// What the server does where no fault stands in its way.
async fn work(
    shared: &Shared,
    line: &Line,
    route: Route,
    head: &Parts,
    body: Incoming,
) -> Result<Answer, Gone> {
    if !route.is_api() {
        let received = take_in(line, body).await?;
        return Ok(unauthenticated(shared, line, route, head, &received).await);
    }
    // Judged before the body is read, as a server does that has only the head.
    let (refused, early) = line.update(|state, index| {
        let refused = routes::guard::refuse(state, index, shared.now(), head);
        (refused, state.settings.refuse_before_body)
    });
    match refused {
        Some(refused) if early => Ok(refused),
        Some(refused) => {
            take_in(line, body).await?;
            Ok(refused)
        }
        None => {
            let received = take_in(line, body).await?;
            Ok(routes::api(shared, route, head, &received))
        }
    }
}

/// The places that ask for no access token. Those that a program calls count by its address.
async fn unauthenticated(
    shared: &Shared,
    line: &Line,
    route: Route,
    head: &Parts,
    body: &Received,
) -> Answer {
    if !matches!(route, Route::Authorize | Route::Unknown) {
        let now = shared.now();
        if let Some(seconds) = shared.lock().over_the_limit(Caller::Address, now) {
            return routes::too_many_requests(seconds);
        }
    }
    match route {
        Route::Refresh => routes::refresh::exchange(shared, line, head, body).await,
        Route::Authorize => authorize::authorize(shared, head, body),
        Route::OAuthToken => token::exchange_code(shared, head, body),
        Route::PasswordLogin => password::log_in_by_password(shared, head, body).await,
        Route::TwoFactorRequirements => two_factor::requirements(shared, head),
        Route::StartVerification => two_factor::start_verification(shared, head, body).await,
        Route::Verify => two_factor::verify(shared, head, body).await,
        _ => routes::not_found(),
    }
}
