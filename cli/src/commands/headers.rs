//! `headers`: the headers of a request on standard output.

use std::process::ExitCode;

use http::HeaderMap;
use serde_json::{Map, Value};

use super::close;
use crate::args::{Account, Headers};
use crate::{output, profile};

pub(crate) async fn run(account: &Account, args: &Headers) -> anyhow::Result<ExitCode> {
    let credentials = profile::open(account).await?;
    let headers = credentials.headers(account.mode.into()).await;
    let headers = close(&credentials, headers).await?;
    let pairs = written(&headers);
    if args.json {
        let object = pairs.map(|(name, value)| (name, Value::from(value)));
        output::json(&object.collect::<Map<_, _>>())?;
    } else {
        for (name, value) in pairs {
            output::print(&format!("{name}: {value}"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// As TeamUp's documentation writes the names.
fn written(headers: &HeaderMap) -> impl Iterator<Item = (String, String)> {
    headers.iter().map(|(name, value)| {
        let name = match name.as_str() {
            "authorization" => "Authorization",
            "teamup-request-mode" => "TeamUp-Request-Mode",
            "teamup-provider-id" => "TeamUp-Provider-ID",
            other => other,
        };
        (name.to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    })
}
