//! A client-side tower `Layer` for programs that call the TeamUp API.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod admit;
pub mod body;
mod challenge;
pub mod client;
mod credentials;
mod detour;
mod drain;
mod error;
mod future;
mod headers;
mod layer;
mod observe;
mod origin;
pub mod refresh;
mod sent;
mod service;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
pub mod token;
mod turn;

#[cfg(feature = "testing")]
pub use credentials::Step;
pub use credentials::{Credentials, CredentialsBuilder};
pub use error::{BoxError, Error};
pub use future::ResponseFuture;
pub use headers::{AuthScheme, PROVIDER_ID, ProviderId, REQUEST_MODE, RequestMode};
pub use layer::AuthLayer;
pub use service::Auth;
pub use token::TokenSet;
