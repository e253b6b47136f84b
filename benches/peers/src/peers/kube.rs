//! kube-client's `AuthLayer`.

use std::fs;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use http::{Request, Uri};
use kube_client::Config;
use kube_client::client::ConfigExt;
use tower::BoxError;
use tower_layer::Layer;
use tower_service::Service;

use super::Peer;
use crate::drive::{self, Run, Workload};
use crate::inner::Inner;
use crate::workloads::ACCESS_TOKEN;

pub(crate) const AUTH_LAYER: Peer = Peer {
    name: "kube",
    title: "kube-client `AuthLayer`",
    package: Some("kube-client"),
    over: Some("bare"),
    headers: 1,
    on_401: "passes it on",
    driven: "`ConfigExt::auth_layer` with a token file, as a program inside a cluster has it; the \
             file is read again once a minute.",
    lacks: "One header. A 401 refreshes nothing and is not retried; every origin gets the token; \
            callers wait while the file is read.",
    workloads: &Workload::ALL,
    build,
};

fn build() -> Run {
    let file = tempfile::NamedTempFile::new().expect("a file for the token");
    fs::write(&file, ACCESS_TOKEN).expect("a file for the token");
    let mut config = Config::new(Uri::from_static("https://goteamup.com"));
    config.auth_info.token_file = Some(file.path().to_str().expect("a path in UTF-8").to_owned());
    let layer = config.auth_layer().expect("good credentials").expect("a layer for a token file");
    let run = drive::service(layer.layer(Boxed(Inner)));
    Box::new(move |workload, calls| {
        // It is read from now and then.
        let _ = &file;
        run(workload, calls);
    })
}

/// The inner service with the type of error that the layer asks for. It never errs.
#[derive(Clone, Debug)]
struct Boxed(Inner);

impl<B> Service<Request<B>> for Boxed {
    type Response = <Inner as Service<Request<B>>>::Response;
    type Error = BoxError;
    type Future = Ready<Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Service::<Request<B>>::poll_ready(&mut self.0, cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(self.0.call(request).into_inner().map_err(Into::into))
    }
}
