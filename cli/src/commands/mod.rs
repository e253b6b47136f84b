//! The commands that end by themselves.

pub(crate) mod headers;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod manual;
pub(crate) mod refresh;
pub(crate) mod status;
pub(crate) mod token;

use tower_teamup_auth::{Credentials, Error};

/// Ends with the credential: nothing may exist in memory alone when the process is gone.
async fn close<T>(credentials: &Credentials, outcome: Result<T, Error>) -> Result<T, Error> {
    let closed = credentials.shutdown().await;
    // What went wrong first says more.
    let value = outcome?;
    closed?;
    Ok(value)
}
