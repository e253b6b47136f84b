//! What a test can break, and for how long.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Map, Value, json};

use super::answer::{Answer, Content};
use super::body::Ending;
use super::families::Minting;

/// The largest answer that a client of the refresh endpoint should read, in bytes.
const SIXTY_FOUR_KIB: usize = 64 * 1024;

/// What a firewall in front of an API answers to a client that it takes for a robot.
const FIREWALL_PAGE: &str = "<!DOCTYPE html>\n<html><head><title>Access denied</title></head>\
    <body><h1>Access denied</h1><p>Your request was blocked. Incident 7f3a9c.</p></body></html>\n";

/// Something that goes wrong on purpose.
///
/// Some faults answer in the server's place; then nothing is rotated and no token is judged, unless
/// [`after_rotation`](Fault::after_rotation) says so:
///
/// | fault | answer |
/// | --- | --- |
/// | [`status`](Fault::status), [`error`](Fault::error) | any status, with TeamUp's error body or [another](Fault::body) |
/// | [`unauthorized`](Fault::unauthorized), [`insufficient_scope`](Fault::insufficient_scope) | 401 |
/// | [`firewall`](Fault::firewall) | 403 with an HTML page |
/// | [`bad_gateway`](Fault::bad_gateway), [`gateway_timeout`](Fault::gateway_timeout) | 502 and 504 with an HTML page |
/// | [`redirect`](Fault::redirect) | a redirect |
/// | [`garbage`](Fault::garbage) | 200 with a body that is no JSON |
/// | [`drop_connection`](Fault::drop_connection) | none: the connection is closed |
///
/// The others spoil the true answer after the rotation took place:
///
/// | fault | answer |
/// | --- | --- |
/// | [`length_too_long`](Fault::length_too_long), [`last_chunk_missing`](Fault::last_chunk_missing) | whole, without an end |
/// | [`cut_off`](Fault::cut_off), [`oversized`](Fault::oversized) | half, or too much |
/// | [`gzip`](Fault::gzip), [`content_type`](Fault::content_type) | in another form |
/// | [`missing_key`](Fault::missing_key), [`empty_value`](Fault::empty_value) | incomplete |
/// | [`same_access_token`](Fault::same_access_token) | with the access token that the client had before |
/// | [`delay`](Fault::delay) | late |
///
/// Hand it to [`FakeTeamUp::fail_refresh`](super::FakeTeamUp::fail_refresh) or
/// [`FakeTeamUp::fail_api`](super::FakeTeamUp::fail_api):
///
/// ```
/// use std::time::Duration;
/// use http::StatusCode;
/// use tower_teamup_auth::testing::{FakeTeamUp, Fault};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let server = FakeTeamUp::start().await;
/// let busy = Fault::status(StatusCode::SERVICE_UNAVAILABLE).retry_after(Duration::from_secs(2));
/// server.fail_refreshes(2, busy);
/// server.fail_refresh(Fault::drop_connection().after_rotation());
/// // The third refresh request rotates the token and its answer is lost; the fourth meets no fault.
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a fault does nothing until it is handed to the server"]
pub struct Fault {
    /// What the journal calls it.
    name: &'static str,
    effect: Effect,
    headers: HeaderMap,
    delay: Duration,
    answer_delay: Duration,
    after_rotation: bool,
    before_body: bool,
    ending: Ending,
    min_size: usize,
    close_after: bool,
}

#[derive(Clone, Debug)]
enum Effect {
    Nothing,
    /// Answers in the server's place.
    Replace {
        status: StatusCode,
        content: Replaced,
    },
    DropConnection,
    Gzip,
    MissingKey(String),
    EmptyValue(String),
    SameAccessToken,
}

/// The body of an answer that takes the place of the true one.
#[derive(Clone, Debug)]
enum Replaced {
    /// TeamUp's error body.
    Error {
        code: String,
        field_errors: Vec<(String, String)>,
    },
    Bytes(Bytes),
}

/// What a fault makes of a request that it answers in the server's place.
pub(super) enum Replacement {
    Answer(Answer),
    DropConnection,
}

impl Fault {
    fn new(name: &'static str, effect: Effect) -> Self {
        Fault {
            name,
            effect,
            headers: HeaderMap::new(),
            delay: Duration::ZERO,
            answer_delay: Duration::ZERO,
            after_rotation: false,
            before_body: false,
            ending: Ending::Whole,
            min_size: 0,
            close_after: false,
        }
    }

    fn replacing(name: &'static str, status: StatusCode, code: &str) -> Self {
        let content = Replaced::Error { code: code.to_owned(), field_errors: Vec::new() };
        Fault::new(name, Effect::Replace { status, content })
    }

    fn page(name: &'static str, status: StatusCode, page: impl Into<Bytes>) -> Self {
        Fault::replacing(name, status, "").body("text/html; charset=utf-8", page)
    }

    /// The true answer, after a pause in the server; nothing is rotated before it is over. The
    /// pause is `tokio::time`'s in the server's runtime, and goes on when the client hangs up. A
    /// test that must not depend on time holds the request instead:
    /// [`FakeTeamUp::hold_refresh`](super::FakeTeamUp::hold_refresh).
    pub fn delay(pause: Duration) -> Self {
        Fault::new("delay", Effect::Nothing).delayed(pause)
    }

    /// This status, with an error body in TeamUp's form whose code is `fault`.
    pub fn status(status: StatusCode) -> Self {
        Fault::replacing("status", status, "fault")
    }

    /// This status, with an error body in TeamUp's form and this code: 403 and `mode_not_allowed`,
    /// for instance.
    ///
    /// ```
    /// use http::StatusCode;
    /// use tower_teamup_auth::testing::Fault;
    ///
    /// let wrong_scope = Fault::error(StatusCode::BAD_REQUEST, "parameter_invalid")
    ///     .field_error("scope", "Unknown scope.");
    /// ```
    pub fn error(status: StatusCode, code: &str) -> Self {
        Fault::replacing("error", status, code)
    }

    /// 200 and a body that is not what its content type says.
    pub fn garbage() -> Self {
        Fault::replacing("garbage", StatusCode::OK, "")
            .body("application/json", "{\"access_token\": \"\u{fffd}<html>")
    }

    /// 403 with the HTML page of a firewall in front of the API.
    pub fn firewall() -> Self {
        Fault::page("firewall", StatusCode::FORBIDDEN, FIREWALL_PAGE)
    }

    /// 502 with the HTML page of a proxy.
    pub fn bad_gateway() -> Self {
        Fault::page("bad gateway", StatusCode::BAD_GATEWAY, "<h1>502 Bad Gateway</h1>")
    }

    /// 504 with the HTML page of a proxy. With [`after_rotation`](Fault::after_rotation) the proxy
    /// gave up and the server did not.
    pub fn gateway_timeout() -> Self {
        Fault::page("gateway timeout", StatusCode::GATEWAY_TIMEOUT, "<h1>504 Gateway Time-out</h1>")
    }

    /// A redirect to `location`. A client must not carry the refresh token there. For a redirect
    /// that answers an API request which was carried out, see
    /// [`FakeTeamUp::redirect`](super::FakeTeamUp::redirect).
    ///
    /// # Panics
    ///
    /// When `location` can't stand in a header.
    pub fn redirect(status: StatusCode, location: &str) -> Self {
        let content = Replaced::Bytes(Bytes::new());
        Fault::new("redirect", Effect::Replace { status, content }).header(LOCATION, location)
    }

    /// 401 with TeamUp's error body, whatever the token. It carries a challenge only with
    /// [`challenge`](Fault::challenge).
    pub fn unauthorized() -> Self {
        Fault::replacing("unauthorized", StatusCode::UNAUTHORIZED, "authentication_failed")
    }

    /// 401 with a challenge of `insufficient_scope` (RFC 6750 section 3.1): a refresh would not
    /// help.
    pub fn insufficient_scope() -> Self {
        Fault::replacing("insufficient scope", StatusCode::UNAUTHORIZED, "permission_denied")
            .challenge("Bearer error=\"insufficient_scope\", scope=\"read_write\"")
    }

    /// The request is read whole, then the connection is closed without an answer; over HTTP/2,
    /// with everything else on it.
    pub fn drop_connection() -> Self {
        Fault::new("connection dropped", Effect::DropConnection)
    }

    /// The true answer under another content type.
    ///
    /// # Panics
    ///
    /// When `content_type` can't stand in a header.
    pub fn content_type(content_type: &str) -> Self {
        Fault::new("content type", Effect::Nothing).header(CONTENT_TYPE, content_type)
    }

    /// The true answer, compressed with gzip although nobody asked for it.
    pub fn gzip() -> Self {
        Fault::new("gzip", Effect::Gzip)
    }

    /// The true answer, filled up with whitespace to more than 64 KiB.
    pub fn oversized() -> Self {
        Fault::new("oversized", Effect::Nothing).body_size(2 * SIXTY_FOUR_KIB)
    }

    /// The true answer, cut off in the middle of its body.
    pub fn cut_off() -> Self {
        Fault { ending: Ending::CutOff, ..Fault::new("cut off", Effect::Nothing) }
    }

    /// The true answer, whole, with a `Content-Length` that is too long. The rest never comes, and
    /// the connection stays open.
    pub fn length_too_long() -> Self {
        Fault { ending: Ending::LengthTooLong, ..Fault::new("length too long", Effect::Nothing) }
    }

    /// The true answer, whole, in chunks of which the last never comes; over HTTP/2 the stream
    /// does not end. The connection stays open.
    pub fn last_chunk_missing() -> Self {
        Fault::new("last chunk missing", Effect::Nothing).never_ends()
    }

    /// The true answer without this key: `expires_in`, for instance.
    pub fn missing_key(key: &str) -> Self {
        Fault::new("missing key", Effect::MissingKey(key.to_owned()))
    }

    /// The true answer with an empty text under this key.
    pub fn empty_value(key: &str) -> Self {
        Fault::new("empty value", Effect::EmptyValue(key.to_owned()))
    }

    /// The refresh token rotates, and the access token in the answer is the newest one of the same
    /// login and mode again, with a new lifetime.
    pub fn same_access_token() -> Self {
        Fault::new("same access token", Effect::SameAccessToken)
    }

    /// Adds a field error to TeamUp's error body. It changes nothing in a fault without one.
    pub fn field_error(mut self, field: &str, message: &str) -> Self {
        if let Effect::Replace { content: Replaced::Error { field_errors, .. }, .. } =
            &mut self.effect
        {
            field_errors.push((field.to_owned(), message.to_owned()));
        }
        self
    }

    /// Adds a `WWW-Authenticate` challenge.
    ///
    /// # Panics
    ///
    /// When `challenge` can't stand in a header.
    pub fn challenge(self, challenge: &str) -> Self {
        self.header(WWW_AUTHENTICATE, challenge)
    }

    /// Fills the answer's body up with whitespace to at least this size, in bytes.
    pub fn body_size(mut self, bytes: usize) -> Self {
        self.min_size = bytes;
        self
    }

    /// The answer's body is sent whole, and its end never comes. The connection stays open.
    pub fn never_ends(mut self) -> Self {
        self.ending = Ending::NeverEnds;
        self
    }

    /// Closes the connection as soon as the answer was sent, without an announcement. An
    /// announced close is the [header](Fault::header) `Connection: close`.
    pub fn then_close(mut self) -> Self {
        self.close_after = true;
        self
    }

    /// Adds `Retry-After` as a number of seconds; fractions are rounded up.
    pub fn retry_after(self, pause: Duration) -> Self {
        let seconds = pause.as_secs() + u64::from(pause.subsec_nanos() > 0);
        self.header(RETRY_AFTER, &seconds.to_string())
    }

    /// Adds `Retry-After` as an HTTP date (RFC 9110 section 10.2.3), which has whole seconds.
    pub fn retry_after_date(self, date: SystemTime) -> Self {
        self.header(RETRY_AFTER, &httpdate::fmt_http_date(date))
    }

    /// Sets a header of the answer.
    ///
    /// # Panics
    ///
    /// When `value` can't stand in a header.
    pub fn header(mut self, name: http::HeaderName, value: &str) -> Self {
        let value = HeaderValue::from_str(value)
            .unwrap_or_else(|_| panic!("{value:?} can't be the value of a header"));
        self.headers.insert(name, value);
        self
    }

    /// Answers with this body. On a fault that spoils the true answer it changes nothing but the
    /// content type.
    ///
    /// # Panics
    ///
    /// When `content_type` can't stand in a header.
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        if let Effect::Replace { content, .. } = &mut self.effect {
            *content = Replaced::Bytes(body.into());
        }
        self.header(CONTENT_TYPE, content_type)
    }

    /// Waits this long before anything is done about the request.
    pub fn delayed(mut self, pause: Duration) -> Self {
        self.delay = pause;
        self
    }

    /// Waits this long between the work (the rotation, say) and the answer.
    pub fn answer_delayed(mut self, pause: Duration) -> Self {
        self.answer_delay = pause;
        self
    }

    /// The server does its work first, the rotation included, and then the fault takes the
    /// answer's place.
    pub fn after_rotation(mut self) -> Self {
        self.after_rotation = true;
        self
    }

    /// Answers as soon as the request's head is read, before its body is. Means something only to
    /// a fault that answers in the server's place and not
    /// [`after_rotation`](Fault::after_rotation).
    pub fn before_body(mut self) -> Self {
        self.before_body = true;
        self
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn delays(&self) -> (Duration, Duration) {
        (self.delay, self.answer_delay)
    }

    /// Does the server still do its work?
    pub(super) fn lets_the_server_work(&self) -> bool {
        self.after_rotation
            || !matches!(self.effect, Effect::Replace { .. } | Effect::DropConnection)
    }

    pub(super) fn is_before_body(&self) -> bool {
        self.before_body
    }

    /// Which access token a refresh request gets.
    pub(super) fn minting(&self) -> Minting {
        match self.effect {
            Effect::SameAccessToken => Minting::Same,
            _ => Minting::New,
        }
    }

    /// What is sent; `answer` is the true answer, where the server did its work.
    pub(super) fn apply(&self, answer: Option<Answer>) -> Replacement {
        let mut answer = match (&self.effect, answer) {
            (Effect::DropConnection, _) => return Replacement::DropConnection,
            (Effect::Replace { status, content }, _) => content.answer(*status),
            // Every other fault lets the server work.
            (_, answer) => answer.unwrap_or_else(|| {
                Answer::error(StatusCode::INTERNAL_SERVER_ERROR, "fault", "There is no answer.")
            }),
        };
        match (&self.effect, &mut answer.content) {
            (Effect::MissingKey(key), Content::Data(data)) => {
                data.as_object_mut().map(|object| object.remove(key));
            }
            (Effect::EmptyValue(key), Content::Data(data)) => data[key.as_str()] = "".into(),
            (Effect::Gzip, _) => answer.gzip = true,
            _ => {}
        }
        answer.ending = self.ending;
        answer.min_size = self.min_size;
        answer.close_after = self.close_after;
        answer.headers.extend(self.headers.clone());
        Replacement::Answer(answer)
    }
}

impl Replaced {
    fn answer(&self, status: StatusCode) -> Answer {
        match self {
            Replaced::Bytes(bytes) => Answer::new(status, Content::Bytes(bytes.clone())),
            Replaced::Error { code, field_errors } => {
                let fields: Map<String, Value> = field_errors
                    .iter()
                    .map(|(field, message)| (field.clone(), json!([message])))
                    .collect();
                Answer::error(status, code, "This answer is a fault made on purpose.")
                    .with_field("field_errors", fields.into())
            }
        }
    }
}

/// The faults that wait for requests of one kind.
#[derive(Default)]
pub(super) struct FaultPlan {
    queued: VecDeque<(usize, Fault)>,
    /// What breaks every request that no queued fault is for.
    standing: Option<Fault>,
}

impl FaultPlan {
    pub(super) fn queue(&mut self, times: usize, fault: Fault) {
        if times > 0 {
            self.queued.push_back((times, fault));
        }
    }

    pub(super) fn stand(&mut self, fault: Fault) {
        self.standing = Some(fault);
    }

    pub(super) fn clear(&mut self) {
        *self = FaultPlan::default();
    }

    /// The fault for the request that has just arrived.
    pub(super) fn take(&mut self) -> Option<Fault> {
        let Some((times, fault)) = self.queued.front_mut() else {
            return self.standing.clone();
        };
        let fault = fault.clone();
        *times -= 1;
        if *times == 0 {
            self.queued.pop_front();
        }
        Some(fault)
    }
}
