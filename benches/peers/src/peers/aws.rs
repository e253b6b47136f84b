//! aws-smithy-runtime's lazy identity cache.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_async::time::{SharedTimeSource, SystemTimeSource};
use aws_smithy_runtime::client::identity::IdentityCache;
use aws_smithy_runtime_api::client::identity::http::Token;
use aws_smithy_runtime_api::client::identity::{
    ResolveCachedIdentity, SharedIdentityCache, SharedIdentityResolver,
};
use aws_smithy_runtime_api::client::runtime_components::{
    RuntimeComponents, RuntimeComponentsBuilder,
};
use aws_smithy_types::config_bag::ConfigBag;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};

use super::Peer;
use crate::drive::{self, Authorize, Run, Workload};
use crate::workloads::ACCESS_TOKEN;

pub(crate) const IDENTITY_CACHE: Peer = Peer {
    name: "aws",
    title: "aws-smithy-runtime lazy identity cache",
    package: Some("aws-smithy-runtime"),
    over: Some("bare"),
    headers: 1,
    on_401: "no part in it",
    driven: "`resolve_cached_identity` of `IdentityCache::lazy()` as it comes, with a bearer token \
             that expires in two hours, the system's clock and Tokio's timer; then the header, made \
             as the SDK's own bearer signer makes it. The rest of the SDK's orchestrator is left \
             out.",
    lacks: "One header. A 401 never reaches it and the caller decides which origin gets the token; \
            callers wait for a renewal.",
    workloads: &Workload::ALL,
    build,
};

/// Clones share it, as the clones of an SDK's client do.
#[derive(Clone)]
struct Aws(Arc<Parts>);

struct Parts {
    cache: SharedIdentityCache,
    resolver: SharedIdentityResolver,
    components: RuntimeComponents,
    config: ConfigBag,
}

impl Authorize for Aws {
    async fn authorize(&self, headers: &mut HeaderMap) {
        let Parts { cache, resolver, components, config } = &*self.0;
        let identity = cache.resolve_cached_identity(resolver.clone(), components, config).await;
        let identity = identity.expect("the token is there");
        let token: &Token = identity.data().expect("a bearer token");
        let authorization = HeaderValue::from_str(&format!("Bearer {}", token.token()));
        headers.insert(AUTHORIZATION, authorization.expect("visible ASCII"));
    }
}

fn build() -> Run {
    // The cache makes a timer for each call, so it has to be called inside a runtime.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let components = RuntimeComponentsBuilder::for_tests()
        .with_time_source(Some(SharedTimeSource::new(SystemTimeSource::new())))
        .with_sleep_impl(Some(SharedAsyncSleep::new(TokioSleep::new())))
        .build()
        .expect("every component is there");
    let token = Token::new(ACCESS_TOKEN, Some(two_hours_on()));
    let aws = Aws(Arc::new(Parts {
        cache: IdentityCache::lazy().build(),
        resolver: SharedIdentityResolver::new(token),
        components,
        config: ConfigBag::base(),
    }));
    // The first call fills the cache.
    runtime.block_on(aws.authorize(&mut HeaderMap::new()));
    let run = drive::authorizer(aws);
    Box::new(move |workload, calls| {
        let _entered = runtime.enter();
        run(workload, calls);
    })
}

#[expect(clippy::disallowed_methods, reason = "the clock that this candidate reads")]
fn two_hours_on() -> SystemTime {
    SystemTime::now() + Duration::from_secs(7200)
}
