//! What a test can break, and for how long.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::answer::{Answer, Content};

/// The largest answer that a client of the refresh endpoint should read, in bytes.
const SIXTY_FOUR_KIB: usize = 64 * 1024;

/// Something that goes wrong on purpose.
///
/// A fault either answers in the server's place ([`status`](Fault::status),
/// [`garbage`](Fault::garbage), [`redirect`](Fault::redirect),
/// [`drop_connection`](Fault::drop_connection), the 401s), in which case nothing is rotated and no
/// token is judged unless [`after_rotation`](Fault::after_rotation) says so; or it spoils the true
/// answer on its way out ([`content_type`](Fault::content_type), [`oversized`](Fault::oversized),
/// [`cut_off`](Fault::cut_off), [`missing_key`](Fault::missing_key),
/// [`empty_value`](Fault::empty_value)), in which case the rotation has taken place.
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
/// // The third exchange rotates the token and loses the answer; from the fourth on all is well.
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
}

#[derive(Clone, Debug)]
enum Effect {
    Nothing,
    Replace { status: StatusCode, content: Option<Bytes> },
    DropConnection,
    Oversized,
    CutOff,
    MissingKey(String),
    EmptyValue(String),
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
        }
    }

    /// The true answer, after a pause in the server; nothing is rotated before it is over. The
    /// pause is `tokio::time`'s. A test that must not depend on time holds the request instead:
    /// [`FakeTeamUp::hold_refresh`](super::FakeTeamUp::hold_refresh).
    pub fn delay(pause: Duration) -> Self {
        Fault::new("delay", Effect::Nothing).delayed(pause)
    }

    /// This status, with an error body in TeamUp's form.
    pub fn status(status: StatusCode) -> Self {
        Fault::new("status", Effect::Replace { status, content: None })
    }

    /// 200 and a body that is not what its content type says.
    pub fn garbage() -> Self {
        Fault::new("garbage", Effect::Replace { status: StatusCode::OK, content: None })
            .body("application/json", "{\"access_token\": \"\u{fffd}<html>")
    }

    /// A redirect to `location`. A client must not carry the refresh token there.
    ///
    /// # Panics
    ///
    /// When `location` can't stand in a header.
    pub fn redirect(status: StatusCode, location: &str) -> Self {
        Fault::new("redirect", Effect::Replace { status, content: Some(Bytes::new()) })
            .header(LOCATION, location)
    }

    /// 401 with a challenge of `invalid_token`, whatever the token.
    pub fn unauthorized() -> Self {
        Fault::new(
            "unauthorized",
            Effect::Replace { status: StatusCode::UNAUTHORIZED, content: None },
        )
        .header(WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"")
    }

    /// 401 with a challenge of `insufficient_scope` (RFC 6750 section 3.1): a refresh would not
    /// help.
    pub fn insufficient_scope() -> Self {
        Fault::new(
            "insufficient scope",
            Effect::Replace { status: StatusCode::UNAUTHORIZED, content: None },
        )
        .header(WWW_AUTHENTICATE, "Bearer error=\"insufficient_scope\", scope=\"read_write\"")
    }

    /// The connection is closed without an answer; over HTTP/2, with everything else on it.
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

    /// The true answer, blown up with whitespace to more than 64 KiB.
    pub fn oversized() -> Self {
        Fault::new("oversized", Effect::Oversized)
    }

    /// The true answer, cut off in the middle of its body.
    pub fn cut_off() -> Self {
        Fault::new("cut off", Effect::CutOff)
    }

    /// The true answer without this key.
    pub fn missing_key(key: &str) -> Self {
        Fault::new("missing key", Effect::MissingKey(key.to_owned()))
    }

    /// The true answer with an empty text under this key.
    pub fn empty_value(key: &str) -> Self {
        Fault::new("empty value", Effect::EmptyValue(key.to_owned()))
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
            *content = Some(body.into());
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

    /// What is sent; `answer` is the true answer, where the server did its work.
    pub(super) fn apply(&self, answer: Option<Answer>) -> Replacement {
        let mut answer = match (&self.effect, answer) {
            (Effect::DropConnection, _) => return Replacement::DropConnection,
            (Effect::Replace { status, content }, _) => match content {
                Some(content) => Answer::new(*status, Content::Bytes(content.clone())),
                None => Answer::error(*status, "fault", "This answer is a fault made on purpose."),
            },
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
            (Effect::Oversized, _) => answer.padding = SIXTY_FOUR_KIB + 1,
            (Effect::CutOff, _) => answer.cut_off = true,
            _ => {}
        }
        answer.headers.extend(self.headers.clone());
        Replacement::Answer(answer)
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
