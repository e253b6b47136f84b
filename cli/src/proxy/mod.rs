//! `proxy`: an authenticating reverse proxy. Any HTTP client sends plain requests to it; what goes to TeamUp
//! carries a token.
//!
//! | file | role |
//! | --- | --- |
//! | `server` | connections, their limits, and the end |
//! | `gateway` | one request: checked, forwarded, answered |
//! | `target` | which request targets lead to the API |
//! | `headers` | what of a head is forwarded |
//! | `upload` | a request's body, with its limits |
//! | `api_limit` | how long the API may be silent |
//! | `pause` | bodies that may not pause for long |
//! | `links` | URLs of the API in answers |
//! | `problem` | the answers that the proxy gives by itself |
//! | `admin` | health and metrics |

mod admin;
mod api_limit;
mod gateway;
mod headers;
mod links;
mod pause;
mod problem;
mod server;
mod target;
mod upload;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use http::Request;
use hyper::body::Incoming;
use serde_json::json;
use tower::ServiceBuilder;
use tower_teamup_auth::body::{ReplayBody, ReplayBodyLayer};
use tower_teamup_auth::client::HyperClient;
use tower_teamup_auth::limit::{RateLimitLayer, RateLimiter};
use tower_teamup_auth::{AuthLayer, Credentials, ResponseBody};

use self::api_limit::{ApiLimit, SentBody};
use self::gateway::Gateway;
use self::pause::PauseLimit;
use self::server::{Ending, Listener};
use self::upload::Upload;
use crate::args::{Account, Proxy};
use crate::browsers::Hosts;
use crate::signals::Signals;
use crate::{client, output, profile};

/// What the stack over the client takes.
type Forwarded = Request<Upload<Incoming>>;

/// The body of what it answers.
type Answer = ResponseBody<PauseLimit<Incoming>>;

pub(crate) async fn run(account: &Account, args: Proxy) -> anyhow::Result<ExitCode> {
    let secret = args.secret_file.as_deref().map(read_secret).transpose()?;
    if args.socket.is_none() && !args.listen.ip().is_loopback() && secret.is_none() {
        bail!(
            "{} is no loopback address, so others could use this account; give --secret-file, or \
             listen on loopback",
            args.listen
        );
    }
    if args.admin.is_some_and(|admin| !admin.ip().is_loopback()) {
        bail!("--admin takes a loopback address");
    }
    let client: HyperClient<SentBody<ReplayBody<Upload<Incoming>>>> = client::api(account)?;
    let mut signals = Signals::handle()?;
    let credentials = profile::open(account).await?;
    let status = credentials.status();
    if status.is_login_required() {
        tracing::warn!("a login is required: requests are answered 401 until `teamup-auth login`");
    }
    let (listener, hosts) = match &args.socket {
        #[cfg(unix)]
        Some(path) => (Listener::socket(path)?, Hosts::any()),
        #[cfg(not(unix))]
        Some(_) => bail!("this platform has no Unix sockets; use --listen"),
        None => {
            let (listener, address) = Listener::tcp(args.listen).await?;
            (listener, Hosts::of(address, &args.allow_host))
        }
    };
    let mut admin = tokio::task::JoinSet::new();
    let mut admin_url = None;
    if let Some(address) = args.admin {
        let (address, serving) = admin::serve(address, credentials.clone()).await?;
        admin_url = Some(format!("http://{address}"));
        admin.spawn(serving);
    }
    tracing::info!("listening on {listener}");
    // For a program that starts the proxy on a free port.
    let url = args.socket.is_none().then(|| listener.to_string());
    output::json(&json!({ "url": url, "socket": args.socket, "admin_url": admin_url }))?;

    let client = ApiLimit::new(client, args.api_timeout);
    let replay = ReplayBodyLayer::new().max_bytes(args.replay_bytes);
    let auth = AuthLayer::new(credentials.clone());
    let gateway = Gateway::new(account, &args, hosts, secret)?;
    let ending = match args.rate_limit {
        Some(count) => {
            let limiter = RateLimiter::new(count, Duration::from_secs(60));
            let limit = RateLimitLayer::new(limiter);
            let stack =
                ServiceBuilder::new().layer(replay).layer(auth).layer(limit).service(client);
            server::serve(listener, gateway, stack, &args, signals.next()).await
        }
        None => {
            let stack = ServiceBuilder::new().layer(replay).layer(auth).service(client);
            server::serve(listener, gateway, stack, &args, signals.next()).await
        }
    };
    finish(&credentials, ending, signals).await
}

/// Nothing may exist in memory alone when the process is gone. A second signal ends the wait.
async fn finish(
    credentials: &Credentials,
    ending: Ending,
    mut signals: Signals,
) -> anyhow::Result<ExitCode> {
    tokio::select! {
        closed = credentials.shutdown() => closed.context("the newest tokens")?,
        () = signals.next() => bail!("ended by a second signal while the tokens were saved"),
    }
    match ending {
        Ending::Drained => {
            tracing::info!("every request was answered; ended");
            Ok(ExitCode::SUCCESS)
        }
        Ending::CutOff(connections) => {
            bail!("{connections} connections were cut off at the limit of --drain-timeout")
        }
    }
}

fn read_secret(path: &Path) -> anyhow::Result<zeroize::Zeroizing<String>> {
    let text = std::fs::read_to_string(path).map(zeroize::Zeroizing::new);
    let text = text.with_context(|| format!("the secret in {} can't be read", path.display()))?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.len() < 16 || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        bail!("the secret in {} needs 16 or more visible ASCII characters", path.display());
    }
    Ok(zeroize::Zeroizing::new(secret.to_owned()))
}
