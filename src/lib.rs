//! A client-side tower `Layer` for programs that call the TeamUp API.
#![cfg_attr(docsrs, feature(doc_cfg))]
// The house is still being furnished: rooms that later commits use.
#![allow(dead_code)]

pub mod body;
mod client;
mod error;
mod headers;
pub mod refresh;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
pub mod token;

pub use error::{BoxError, Error};
pub use headers::{AuthScheme, PROVIDER_ID, ProviderId, REQUEST_MODE, RequestMode};
pub use token::TokenSet;
