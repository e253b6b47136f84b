//! A web server that logs people in: OAuth's code flow in a pair of axum handlers.
//!
//! ```text
//! cargo run --example axum_login             # plays a person, and ends
//! cargo run --example axum_login -- --serve  # you are the person; Ctrl-C ends it
//! ```
//!
//! What is remembered between the handlers is in a cookie, so any number of hosts can serve them.
//! `web.rs` is the server. This file starts it against a fake TeamUp.

mod web;

use anyhow::{Context, ensure};
use http::Request;
use http::header::{COOKIE, LOCATION, SET_COOKIE};
use http_body_util::{BodyExt, Full};
use tokio::net::TcpListener;
use tower_teamup_auth::client::{HyperClient, hyper_client};
use tower_teamup_auth::login::OAuthLogin;
use tower_teamup_auth::testing::{FakeTeamUp, login as fake};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let server = FakeTeamUp::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let origin = format!("http://{}", listener.local_addr()?);
    let http_client: HyperClient = hyper_client();
    let login = OAuthLogin::new(fake::CLIENT_ID, http_client)
        .client_secret(fake::CLIENT_SECRET)
        .base_url(server.base_url())
        .redirect_uri(format!("{origin}/callback"));
    let app = web::App::new(login, &server.base_url());
    println!("Log in at {origin}/login");
    let serving = axum::serve(listener, app.routes());
    if std::env::args().nth(1).as_deref() == Some("--serve") {
        return Ok(serving.await?);
    }
    let serving = tokio::spawn(serving.into_future());
    let page = visit(&origin).await?;
    println!("The person reads: {page}");
    ensure!(page.contains("results"), "the events were not shown");
    serving.abort();
    Ok(())
}

/// Does what a browser does for a person who approves.
async fn visit(origin: &str) -> anyhow::Result<String> {
    let http_client: HyperClient = hyper_client();
    let mut cookies: Vec<String> = Vec::new();
    let mut url = format!("{origin}/login");
    loop {
        let is_ours = url.starts_with(origin);
        let request = match is_ours {
            true => Request::get(&url).header(COOKIE, cookies.join("; ")).body(Full::default())?,
            false => Request::post(&url).body(Full::from("decision=approve"))?,
        };
        let response = http_client.request(request).await?;
        for cookie in response.headers().get_all(SET_COOKIE).iter().filter(|_| is_ours) {
            let pair = cookie.to_str()?.split(';').next().context("a cookie without a value")?;
            cookies.push(pair.to_owned());
        }
        let Some(next) = response.headers().get(LOCATION) else {
            let page = response.into_body().collect().await?.to_bytes();
            return Ok(String::from_utf8_lossy(&page).into_owned());
        };
        let next = next.to_str()?.to_owned();
        url = if next.starts_with('/') { format!("{origin}{next}") } else { next };
    }
}
