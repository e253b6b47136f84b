//! How one request is handled.
//!
//! The server works on a request in a task of its own: as a real server does, it goes on when the
//! client hangs up, unless it was told to give up.

use std::fmt;
use std::future::{Future, pending};
use std::sync::Arc;

use http::request::Parts;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::task::JoinHandle;

use super::answer::Answer;
use super::body::AnswerBody;
use super::connection::Connection;
use super::entry::{Entry, Received};
use super::families::Minting;
use super::faults::{Fault, Replacement};
use super::format::Format;
use super::hold::Place;
use super::login::{authorize, password, token, verification};
use super::open_entry::{InWork, OpenEntry, PendingAnswer};
use super::receive::receive;
use super::route::Route;
use super::routes;
use super::shared::{Caller, Shared};

/// The client hung up in the middle of a request. Told to hyper, which closes the connection or
/// resets the stream.
#[derive(Debug)]
pub(super) struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client hung up in the middle of a request")
    }
}

impl std::error::Error for Gone {}

/// What is known of a request when its head has arrived.
struct Arrived {
    shared: Arc<Shared>,
    connection: Connection,
    route: Route,
    head: Parts,
    entry: OpenEntry,
    fault: Option<Fault>,
}

pub(super) async fn serve(
    shared: Arc<Shared>,
    connection: Connection,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Gone> {
    let active = connection.begin_request();
    let (head, body) = request.into_parts();
    // Where nothing suits, the answer is in JSON and the refresh endpoint says why.
    let format = Format::negotiate(&head).unwrap_or(Format::Json);
    let (arrived, pending_answer, in_work) = arrive(shared, connection.clone(), head);

    let task = tokio::spawn(until_the_server_stops(connection.clone(), in_work, async move {
        let arrived = arrived;
        process(&arrived, body).await
    }));
    let gives_up = connection.limits.transport.abort_on_disconnect;
    let work = Work { task, gives_up };
    // The task ends without an answer where the server stops.
    match work.await.unwrap_or(Err(Gone))? {
        Replacement::Answer(answer) => {
            let response = answer.into_response(format, active);
            pending_answer.answered(response.status());
            Ok(response)
        }
        Replacement::DropConnection => {
            drop(pending_answer);
            connection.abort();
            // The connection's task ends it, and this future with it.
            pending().await
        }
    }
}

/// The task that works on a request.
struct Work {
    task: JoinHandle<Option<Result<Replacement, Gone>>>,
    /// The task is aborted when this is dropped: the client has hung up.
    gives_up: bool,
}

impl Future for Work {
    type Output = Option<Result<Replacement, Gone>>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.task).poll(context).map(|ended| ended.ok().flatten())
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if self.gives_up {
            self.task.abort();
        }
    }
}

async fn until_the_server_stops<T>(
    connection: Connection,
    in_work: InWork,
    work: impl Future<Output = T>,
) -> Option<T> {
    // Dropped before the result is seen: the journal says what came of the request first.
    let _in_work = in_work;
    tokio::select! {
        biased;
        result = work => Some(result),
        () = connection.server_stops() => None,
    }
}

fn arrive(
    shared: Arc<Shared>,
    connection: Connection,
    head: Parts,
) -> (Arrived, PendingAnswer, InWork) {
    let path = head.uri.path();
    let route = Route::of(path);
    let mut entry = Entry::new(connection.id, route, &head);
    let (place, fault) = shared.update(|state| {
        // Under one lock, so that faults meet requests in the order of the journal.
        let under_base = path.strip_prefix("/api/v2").unwrap_or(path);
        let of_the_path = state.path_faults.get_mut(under_base).and_then(|faults| faults.take());
        let fault = of_the_path.or_else(|| match route {
            Route::Refresh => state.refresh_faults.take(),
            _ if route.is_api() => state.api_faults.take(),
            _ => None,
        });
        entry.fault = fault.as_ref().map(Fault::name);
        let login = entry.credentials().and_then(|(_, token)| state.families.login_of(token));
        entry.account = login.map(|login| state.families.account(login));
        entry.login = login;
        (state.journal.arrive(entry), fault)
    });
    let entry = OpenEntry::new(&shared, place);
    let (pending_answer, in_work) = entry.open();
    (Arrived { shared, connection, route, head, entry, fault }, pending_answer, in_work)
}

async fn process(arrived: &Arrived, body: Incoming) -> Result<Replacement, Gone> {
    let Arrived { shared, connection, route, entry, fault, .. } = arrived;
    let (delay, answer_delay) = fault.as_ref().map(Fault::delays).unwrap_or_default();
    let mut body = RequestBody::Unread(body);
    // As behind a proxy that passes whole requests on. The body of an API request stays unread
    // until its token is judged.
    if !route.is_api() && !fault.as_ref().is_some_and(Fault::is_before_body) {
        body = RequestBody::Read(body.read(entry).await?);
    }
    let _worker = connection.limits.request_worker().await;

    match route {
        Route::Refresh => shared.gates().pass(Place::RefreshArrival).await,
        _ if route.is_api() => shared.gates().pass(Place::ApiArrival).await,
        _ => {}
    }
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }

    let outgoing = match fault {
        None => Replacement::Answer(answer(arrived, Minting::New, body).await?),
        Some(fault) if fault.lets_the_server_work() => {
            fault.apply(Some(answer(arrived, fault.minting(), body).await?))
        }
        Some(fault) => {
            if !fault.is_before_body() {
                body.read(entry).await?;
            }
            fault.apply(None)
        }
    };

    match route {
        Route::Refresh => shared.gates().pass(Place::RefreshAnswer).await,
        _ if route.is_api() => shared.gates().pass(Place::ApiAnswer).await,
        _ => {}
    }
    if !answer_delay.is_zero() {
        tokio::time::sleep(answer_delay).await;
    }
    Ok(outgoing)
}

enum RequestBody {
    Unread(Incoming),
    Read(Arc<Received>),
}

impl RequestBody {
    /// Reads the body and notes it in the journal.
    async fn read(self, entry: &OpenEntry) -> Result<Arc<Received>, Gone> {
        let body = match self {
            RequestBody::Unread(body) => body,
            RequestBody::Read(received) => return Ok(received),
        };
        let received = Arc::new(receive(body).await.map_err(|_| Gone)?);
        entry.update(|state, place| {
            state.journal.entry(place).body = Some(Arc::clone(&received));
        });
        Ok(received)
    }
}

/// The true answer: what the server does where no fault keeps it from it.
async fn answer(arrived: &Arrived, minting: Minting, body: RequestBody) -> Result<Answer, Gone> {
    let Arrived { shared, route, head, entry, .. } = arrived;
    if !route.is_api() {
        let received = body.read(entry).await?;
        return Ok(unauthenticated(arrived, minting, &received).await);
    }
    // Judged before the body is read, as a server does that has only the head.
    let (refused, early) = entry.update(|state, place| {
        let refused = routes::guard::refuse(state, place, shared.now(), *route, head);
        (refused, state.settings.refuse_before_body)
    });
    match refused {
        Some(refused) if early => Ok(refused),
        Some(refused) => {
            body.read(entry).await?;
            Ok(refused)
        }
        None => {
            let received = body.read(entry).await?;
            Ok(routes::api(shared, *route, head, &received))
        }
    }
}

/// The places that ask for no access token. Those that a program calls count by its address.
async fn unauthenticated(arrived: &Arrived, minting: Minting, body: &Received) -> Answer {
    let Arrived { shared, route, head, entry, .. } = arrived;
    if !matches!(route, Route::Authorize | Route::Unknown) {
        let now = shared.now();
        let mut state = shared.lock();
        if let Some(seconds) = state.over_the_limit(Caller::Address, now) {
            return routes::too_many_requests(&state.settings, seconds);
        }
    }
    match route {
        Route::Refresh => routes::refresh::refresh(shared, entry, minting, head, body).await,
        Route::Authorize => authorize::authorize(shared, head, body),
        Route::OAuthToken => token::redeem_code(shared, head, body),
        Route::PasswordLogin => password::log_in_by_password(shared, head, body).await,
        Route::TwoFactorRequirements => verification::requirements(shared, head),
        Route::StartVerification => verification::start_verification(shared, head, body).await,
        Route::Verify => verification::verify(shared, head, body).await,
        Route::Application => routes::application::application(shared, head),
        _ => routes::not_found(),
    }
}
