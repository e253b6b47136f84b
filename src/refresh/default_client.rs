//! The client that sends refresh requests when a program gives none.

use std::sync::OnceLock;

use bytes::Bytes;
use http_body_util::Full;

use super::transport::Transport;
use crate::client::{HyperClient, HyperClientBuilder};

/// The one client of the process; a clone of it costs a credential one pointer.
///
/// It speaks HTTP/1.1 and keeps no connection: refreshes are hours apart, and a connection that has
/// been idle for so long may be dead without a sign. Without connections it is bound to no runtime,
/// so it may outlive the one that first used it.
pub(crate) fn default_refresh_client() -> Transport {
    static CLIENT: OnceLock<Transport> = OnceLock::new();
    CLIENT
        .get_or_init(|| {
            let client: HyperClient<Full<Bytes>> = HyperClientBuilder::new()
                .build_for_refresh()
                .expect("the defaults hold nothing that could be wrong");
            Transport::over(client)
        })
        .clone()
}
