//! Faults over the control API:
//!
//! ```json
//! {"on": "refresh", "times": 2, "fault": "status", "status": 503, "retry_after": 1, "delay": 0.5}
//! ```
//!
//! `on` is `refresh`, `api` or a path under the API's base, which breaks every request for it. `times` is
//! 1 without a word, and null for all until the faults are cleared.

use http::StatusCode;
use serde::{Deserialize, Deserializer};
use tower_teamup_auth::testing::{FakeTeamUp, Fault};

use super::control::seconds;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Faults {
    on: String,
    /// The outer `None`: nothing was said; the inner one: without an end.
    #[serde(default, deserialize_with = "said")]
    times: Option<Option<usize>>,
    fault: Kind,
    status: Option<u16>,
    code: Option<String>,
    /// Seconds.
    retry_after: Option<f64>,
    /// Seconds before the request is worked on.
    delay: Option<f64>,
    /// Seconds before the answer is sent.
    answer_delay: Option<f64>,
    /// The refresh token rotates first.
    #[serde(default)]
    after_rotation: bool,
    /// The connection is closed after the answer.
    #[serde(default)]
    then_close: bool,
    /// Bytes that the answer's body has at least.
    body_size: Option<usize>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// With `status`, and with TeamUp's `code` if there is one.
    Status,
    Unauthorized,
    InsufficientScope,
    DropConnection,
    CutOff,
    Garbage,
    Firewall,
    BadGateway,
    GatewayTimeout,
    /// Nothing but the delays.
    Delay,
}

fn said<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<usize>>, D::Error> {
    Option::deserialize(from).map(Some)
}

impl Faults {
    pub(super) fn set_on(self, server: &FakeTeamUp) -> Result<(), String> {
        let fault = self.fault()?;
        match (self.on.as_str(), self.times.unwrap_or(Some(1))) {
            ("refresh", Some(times)) => server.fail_refreshes(times, fault),
            ("refresh", None) => server.fail_every_refresh(fault),
            ("api", Some(times)) => server.fail_apis(times, fault),
            ("api", None) => server.fail_every_api(fault),
            (path, _) if path.starts_with('/') => server.fail_path(path, fault),
            _ => return Err("`on` is `refresh`, `api` or a path".to_owned()),
        }
        Ok(())
    }

    fn fault(&self) -> Result<Fault, String> {
        let mut fault = match self.fault {
            Kind::Status => {
                let status = self.status.ok_or("which `status`?")?;
                let status = StatusCode::from_u16(status).map_err(|error| error.to_string())?;
                match &self.code {
                    Some(code) => Fault::error(status, code),
                    None => Fault::status(status),
                }
            }
            Kind::Unauthorized => Fault::unauthorized(),
            Kind::InsufficientScope => Fault::insufficient_scope(),
            Kind::DropConnection => Fault::drop_connection(),
            Kind::CutOff => Fault::cut_off(),
            Kind::Garbage => Fault::garbage(),
            Kind::Firewall => Fault::firewall(),
            Kind::BadGateway => Fault::bad_gateway(),
            Kind::GatewayTimeout => Fault::gateway_timeout(),
            Kind::Delay => Fault::delay(seconds(0.0)?),
        };
        if let Some(pause) = self.retry_after {
            fault = fault.retry_after(seconds(pause)?);
        }
        if let Some(pause) = self.delay {
            fault = fault.delayed(seconds(pause)?);
        }
        if let Some(pause) = self.answer_delay {
            fault = fault.answer_delayed(seconds(pause)?);
        }
        if self.after_rotation {
            fault = fault.after_rotation();
        }
        if self.then_close {
            fault = fault.then_close();
        }
        if let Some(bytes) = self.body_size {
            fault = fault.body_size(bytes);
        }
        Ok(fault)
    }
}
