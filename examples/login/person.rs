//! Plays the person, for a demonstration that nobody watches.

use anyhow::bail;
use http_body_util::{BodyExt, Full};
use tower_teamup_auth::client::{HyperClient, hyper_client};

/// Does what a person does at the fake TeamUp: approves, and reads the page that they end on.
pub(crate) async fn approves(url: String) -> anyhow::Result<String> {
    let http_client: HyperClient = hyper_client();
    let approval = http::Request::post(url).body(Full::from("decision=approve"))?;
    let answer = http_client.request(approval).await?;
    let Some(back) = answer.headers().get(http::header::LOCATION) else {
        bail!("the authorize page answered {} and sent nobody back", answer.status());
    };
    let callback = http::Request::get(back.to_str()?).body(Full::default())?;
    let page = http_client.request(callback).await?.into_body().collect().await?.to_bytes();
    Ok(words(std::str::from_utf8(&page)?))
}

/// The words of a page, without its markup: what the person reads.
fn words(page: &str) -> String {
    let body = page.split_once("<h1>").map_or(page, |(_, body)| body);
    let mut words = String::new();
    let mut in_tag = false;
    for character in body.chars() {
        match character {
            '<' => {
                in_tag = true;
                words.push(' ');
            }
            '>' => in_tag = false,
            _ if !in_tag => words.push(character),
            _ => {}
        }
    }
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}
