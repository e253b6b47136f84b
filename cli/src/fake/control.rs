//! The control API: what a test in any language does to the server, and what it asks of it.
//!
//! | request | what |
//! | --- | --- |
//! | `GET /counts` | the counts of the journal |
//! | `GET /journal` | every request that the server saw |
//! | `POST /tokens` `{"modes": ["provider"], "account": "anna"}` | a further login |
//! | `POST /m2m` | a further M2M token |
//! | `POST /expire` `{"mode": "customer"}` | access tokens expire; of both modes without a mode |
//! | `POST /revoke` | every token is revoked |
//! | `POST /advance` `{"seconds": 60}` | the server's clock goes ahead |
//! | `POST /lifetime` `{"seconds": 60}` | of tokens from now on; null for no end |
//! | `POST /expires-in` `{"value": 0}` | what the refresh endpoint says of it, true or not; null for the truth |
//! | `POST /refuse-mode` `{"mode": "customer", "refused": true}` | the refresh endpoint refuses it |
//! | `POST /faults`, `DELETE /faults` | see `fault` |
//! | `POST /hold` `{"at": "refresh"}` | holds requests: `refresh`, `refresh_answer`, `api`, `api_answer` |
//! | `POST /wait-held` `{"count": 1}` | answers when so many are held |
//! | `POST /wait-authorized` `{"count": 2}` | answers when so many tokens were accepted |
//! | `POST /release` | lets them go |
//! | `POST /serve` `{"path": "/x", "json": {}}` | an endpoint of your own |
//! | `POST /redirect` `{"method", "path", "status", "location"}` | another that redirects |
//! | `POST /link-pages` `{"base_url": "http://..."}` | where `next` and `previous` lead |
//! | `POST /stop` | the process ends |

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tower_teamup_auth::RequestMode;
use tower_teamup_auth::testing::{FakeTeamUp, Hold};

use super::fault::Faults;
use super::{journal, tokens_json};
use crate::local_http::{self, Answer, Call};

#[derive(Debug)]
pub(super) struct Control {
    server: FakeTeamUp,
    lifetime: Mutex<Duration>,
    held: Mutex<Option<Arc<Hold>>>,
    stop: Notify,
}

/// What was asked for can't be done; the text says why.
type Refused = String;

impl Control {
    pub(super) fn new(server: FakeTeamUp, lifetime: Duration) -> Self {
        let lifetime = Mutex::new(lifetime);
        Control { server, lifetime, held: Mutex::new(None), stop: Notify::new() }
    }

    /// Resolves when a request has asked for the end.
    pub(super) async fn stopped(&self) {
        self.stop.notified().await;
    }

    pub(super) async fn answer(&self, call: Call) -> Answer {
        let outcome = match (&call.method, call.path.as_str()) {
            (&Method::POST, "/wait-held") => self.wait_held(&call).await,
            (&Method::POST, "/wait-authorized") => self.wait_authorized(&call).await,
            _ => self.act(&call),
        };
        match outcome {
            Ok(Some(value)) => local_http::json(StatusCode::OK, &value),
            Ok(None) => {
                local_http::text(StatusCode::NOT_FOUND, "the control API has no such request")
            }
            Err(why) => local_http::json(StatusCode::BAD_REQUEST, &json!({ "error": why })),
        }
    }

    async fn wait_held(&self, call: &Call) -> Result<Option<Value>, Refused> {
        let count = read::<Count>(call)?.count;
        let hold = lock(&self.held).clone().ok_or("nothing is held; ask for `/hold` first")?;
        hold.arrived(count).await;
        Ok(Some(json!({})))
    }

    async fn wait_authorized(&self, call: &Call) -> Result<Option<Value>, Refused> {
        let count = read::<Count>(call)?.count;
        self.server.wait_for(|journal| journal.authorized() >= count).await;
        Ok(Some(json!({})))
    }

    fn act(&self, call: &Call) -> Result<Option<Value>, Refused> {
        let server = &self.server;
        let done = json!({});
        Ok(Some(match (&call.method, call.path.as_str()) {
            (&Method::GET, "/counts") => journal::counts(&server.journal()),
            (&Method::GET, "/journal") => journal::entries(&server.journal()),
            (&Method::POST, "/tokens") => self.issue_tokens(read(call)?),
            (&Method::POST, "/m2m") => json!({ "m2m_token": server.issue_m2m().expose() }),
            (&Method::POST, "/expire") => {
                match read::<OneMode>(call)?.mode {
                    Some(mode) => server.expire_access_tokens_of(mode.into()),
                    None => server.expire_access_tokens(),
                }
                done
            }
            (&Method::POST, "/revoke") => {
                server.revoke_everything();
                done
            }
            (&Method::POST, "/advance") => {
                server.advance(seconds(read::<Seconds>(call)?.seconds.unwrap_or_default())?);
                done
            }
            (&Method::POST, "/lifetime") => {
                let lifetime = read::<Seconds>(call)?.seconds.map(seconds).transpose()?;
                server.set_access_token_lifetime(lifetime);
                *lock(&self.lifetime) = lifetime.unwrap_or(Duration::MAX);
                done
            }
            (&Method::POST, "/expires-in") => {
                let value = read::<ExpiresIn>(call)?.value.map(|value| value.to_string());
                server.set_expires_in(value.as_deref());
                done
            }
            (&Method::POST, "/refuse-mode") => {
                let OneMode { mode, refused } = read(call)?;
                let mode = mode.ok_or("which `mode`?")?;
                server.refuse_mode(mode.into(), refused.unwrap_or(true));
                done
            }
            (&Method::POST, "/faults") => {
                read::<Faults>(call)?.set_on(server)?;
                done
            }
            (&Method::DELETE, "/faults") => {
                server.clear_faults();
                done
            }
            (&Method::POST, "/hold") => {
                let hold = match read::<At>(call)?.at {
                    Place::Refresh => server.hold_refresh(),
                    Place::RefreshAnswer => server.hold_refresh_answer(),
                    Place::Api => server.hold_api(),
                    Place::ApiAnswer => server.hold_api_answer(),
                };
                *lock(&self.held) = Some(Arc::new(hold));
                done
            }
            (&Method::POST, "/release") => {
                *lock(&self.held) = None;
                done
            }
            (&Method::POST, "/serve") => {
                let Serve { path, json } = read(call)?;
                server.serve_json(&path, &json.to_string());
                done
            }
            (&Method::POST, "/redirect") => {
                let Redirect { method, path, status, location } = read(call)?;
                let method = method.parse().map_err(|_| "`method` is none of HTTP's")?;
                let status =
                    StatusCode::from_u16(status).map_err(|_| "`status` is none of HTTP's")?;
                server.redirect(method, &path, status, &location);
                done
            }
            (&Method::POST, "/link-pages") => {
                server.link_pages_to(&read::<LinkPages>(call)?.base_url);
                done
            }
            (&Method::POST, "/stop") => {
                self.stop.notify_one();
                done
            }
            _ => return Ok(None),
        }))
    }

    fn issue_tokens(&self, asked: Issue) -> Value {
        let modes: Vec<_> = asked.modes.into_iter().map(RequestMode::from).collect();
        let tokens = match asked.account {
            Some(account) => self.server.issue_tokens_to(&account, &modes),
            None => self.server.issue_tokens(&modes),
        };
        tokens_json(&tokens, lock(&self.lifetime).as_secs_f64())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An empty body is an empty object.
fn read<T: DeserializeOwned>(call: &Call) -> Result<T, Refused> {
    let body: &[u8] = if call.body.is_empty() { b"{}" } else { &call.body };
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

pub(super) fn seconds(seconds: f64) -> Result<Duration, Refused> {
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Customer,
    Provider,
}

impl From<Mode> for RequestMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Customer => RequestMode::Customer,
            Mode::Provider => RequestMode::Provider,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OneMode {
    mode: Option<Mode>,
    refused: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Seconds {
    seconds: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpiresIn {
    value: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Issue {
    #[serde(default)]
    modes: Vec<Mode>,
    account: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Count {
    count: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct At {
    at: Place,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    Refresh,
    RefreshAnswer,
    Api,
    ApiAnswer,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Serve {
    path: String,
    json: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Redirect {
    method: String,
    path: String,
    status: u16,
    location: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkPages {
    base_url: String,
}
