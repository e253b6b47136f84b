//! `fake`: the library's fake server as a process.
//!
//! The first line of standard output is one JSON object: where the server is, where its control API is,
//! and a first login.

mod control;
mod fault;
mod journal;

use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdTcpListener};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower_teamup_auth::testing::{FakeTeamUp, login};
use tower_teamup_auth::{RequestMode, TokenSet};

use self::control::Control;
use crate::args::Fake;
use crate::signals::Signals;
use crate::{local_http, output};

pub(crate) async fn run(args: Fake) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::handle()?;
    let control = (Ipv4Addr::LOCALHOST, args.control_port);
    let control = TcpListener::bind(control).await.context("the control API can't listen")?;
    let control_url = format!("http://{}", control.local_addr()?);
    let server = start(&args).await?;
    let tokens = server.issue_tokens(&RequestMode::ALL);
    output::json(&json!({
        "base_url": server.base_url(),
        "control_url": control_url,
        "tokens": tokens_json(&tokens, args.lifetime.as_secs_f64()),
        "m2m_token": server.issue_m2m().expose(),
        "client_id": login::CLIENT_ID,
        "client_secret": login::CLIENT_SECRET,
        "direct_auth_key": login::DIRECT_AUTH_KEY,
        "username": login::USERNAME,
        "password": login::PASSWORD,
        "provider_id": login::PROVIDER,
    }))?;
    let handler = Arc::new(Control::new(server.clone(), args.lifetime));
    let serving = {
        let handler = Arc::clone(&handler);
        local_http::serve(control, move |call| {
            let handler = Arc::clone(&handler);
            async move { handler.answer(call).await }
        })
    };
    tokio::select! {
        served = serving => served?,
        () = signals.next() => {}
        () = handler.stopped() => {}
    }
    server.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

async fn start(args: &Fake) -> anyhow::Result<FakeTeamUp> {
    // The library panics where the port is taken; a command says so.
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, args.port));
    drop(StdTcpListener::bind(address).with_context(|| format!("{address} can't be listened on"))?);
    let mut builder = FakeTeamUp::builder()
        .port(args.port)
        .access_token_lifetime(args.lifetime)
        .events(args.events)
        .keep_entries(args.keep_entries);
    for id in &args.require_provider {
        builder = builder.require_provider(*id);
    }
    if let Some(limit) = args.rate_limit {
        builder = builder.rate_limit(limit);
    }
    if let Some(code) = &args.two_factor {
        builder = builder.two_factor(code);
    }
    Ok(builder.start().await)
}

/// As `login --tokens` reads them.
fn tokens_json(tokens: &TokenSet, lifetime: f64) -> Value {
    let access_tokens = RequestMode::ALL.into_iter().filter_map(|mode| {
        let token = tokens.access_token(mode)?;
        Some(json!({
            "mode": mode.as_str(),
            "access_token": token.expose(),
            "expires_in": tokens.expires_at(mode).map(|_| lifetime),
        }))
    });
    json!({
        "refresh_token": tokens.refresh_token().expose(),
        "access_tokens": access_tokens.collect::<Vec<_>>(),
    })
}
