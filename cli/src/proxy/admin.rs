//! Health and metrics, on a port of their own.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use http::{Method, StatusCode};
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tower_teamup_auth::{Credentials, HISTOGRAM_BUCKETS};

use crate::local_http;

/// How long requests of the proxy's clients take.
pub(super) const REQUEST_DURATION: &str = "teamup_auth_proxy_request_duration_seconds";

/// Its upper bounds, in seconds: the API answers within some tenths of a second.
const DURATIONS: [f64; 10] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// What is recorded between two upkeeps stays in memory, whether anybody asks for it or not.
const UPKEEP: Duration = Duration::from_secs(5);

/// From here on, the library's metrics and the proxy's are counted.
fn install_metrics() -> anyhow::Result<PrometheusHandle> {
    let durations = Matcher::Full(REQUEST_DURATION.to_owned());
    let mut builder = PrometheusBuilder::new().set_buckets_for_metric(durations, &DURATIONS)?;
    for (metric, buckets) in HISTOGRAM_BUCKETS {
        builder = builder.set_buckets_for_metric(Matcher::Full(metric.to_owned()), buckets)?;
    }
    let handle = builder.install_recorder().context("the metrics can't be recorded")?;
    tower_teamup_auth::describe_metrics();
    describe_counter!(
        "teamup_auth_proxy_requests_total",
        Unit::Count,
        "Requests of the proxy's clients, by outcome"
    );
    describe_histogram!(
        REQUEST_DURATION,
        Unit::Seconds,
        "From a request's head to the answer's head, of requests that were forwarded"
    );
    describe_gauge!(
        "teamup_auth_proxy_connections",
        Unit::Count,
        "Connections of the proxy's clients"
    );
    Ok(handle)
}

/// Binds the port, and has metrics counted. The server runs while the future is polled.
pub(super) async fn serve(
    address: SocketAddr,
    credentials: Credentials,
) -> anyhow::Result<(SocketAddr, impl Future<Output = std::io::Result<()>> + Send + use<>)> {
    let listener = TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("--admin can't listen on {address}"))?;
    let address = listener.local_addr()?;
    let metrics = install_metrics()?;
    let upkeep = metrics.clone();
    let serving = local_http::serve(listener, move |call| {
        let (credentials, metrics) = (credentials.clone(), metrics.clone());
        async move {
            match (&call.method, call.path.as_str()) {
                (&Method::GET | &Method::HEAD, "/healthz") => {
                    let status = credentials.status();
                    let code = match status.is_healthy() {
                        true => StatusCode::OK,
                        false => StatusCode::SERVICE_UNAVAILABLE,
                    };
                    local_http::text(code, format!("{status}\n"))
                }
                (&Method::GET, "/metrics") => {
                    let kind = "text/plain; version=0.0.4; charset=utf-8";
                    local_http::typed(StatusCode::OK, kind, metrics.render())
                }
                _ => local_http::text(StatusCode::NOT_FOUND, "try /healthz or /metrics\n"),
            }
        }
    });
    let serving = async move {
        let upkeep = async {
            loop {
                tokio::time::sleep(UPKEEP).await;
                upkeep.run_upkeep();
            }
        };
        tokio::select! {
            served = serving => served,
            () = upkeep => Ok(()),
        }
    };
    Ok((address, serving))
}
