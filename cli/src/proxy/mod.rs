//! stub
use std::process::ExitCode;
use crate::args::{Account, Proxy};
pub(crate) async fn run(_: &Account, _: Proxy) -> anyhow::Result<ExitCode> { anyhow::bail!("x") }
