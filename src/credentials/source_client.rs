//! The source of an M2M token as the worker uses it: every read has a time limit, a panic is an
//! error like any other, and one read is under way at a time.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::error::BoxError;
use crate::m2m::DynM2mSource;
use crate::token::AccessToken;

type Reading = JoinHandle<Result<AccessToken, BoxError>>;

/// Reads run in tasks of their own and are not dropped at their limit: a disk that hangs holds one
/// blocking thread, and the next read waits for that one instead of holding another.
pub(crate) struct SourceClient {
    source: Arc<dyn DynM2mSource>,
    limit: Duration,
    /// A read whose limit was over.
    late: Mutex<Option<Reading>>,
}

/// Why a source told no token.
#[derive(Debug)]
pub(crate) struct SourceError(BoxError);

impl SourceClient {
    pub(crate) fn new(source: Arc<dyn DynM2mSource>, limit: Duration) -> Self {
        SourceClient { source, limit, late: Mutex::new(None) }
    }

    pub(crate) async fn read(&self) -> Result<AccessToken, SourceError> {
        let late = self.late.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut reading = late.unwrap_or_else(|| {
            let source = Arc::clone(&self.source);
            // Called inside the task: a function that is not `async` may panic as well.
            tokio::spawn(async move { source.read().await })
        });
        match timeout(self.limit, &mut reading).await {
            Ok(Ok(answer)) => answer.map_err(SourceError),
            Ok(Err(end)) => Err(SourceError(match end.is_panic() {
                // Its payload may hold a secret.
                true => "the source panicked".into(),
                false => "the runtime that read the source went away".into(),
            })),
            Err(_elapsed) => {
                *self.late.lock().unwrap_or_else(PoisonError::into_inner) = Some(reading);
                let limit = self.limit;
                Err(SourceError(format!("the source did not answer within {limit:?}").into()))
            }
        }
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::error::Error for SourceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

impl fmt::Debug for SourceClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceClient").field("limit", &self.limit).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn error_of_a_source_reads_as_itself_and_keeps_what_caused_it() {
        let parse = "x".parse::<u8>().unwrap_err();
        let of_source = crate::store::StoreError::unavailable("no token", parse.clone());
        let error = SourceError(Box::new(of_source));
        assert_eq!(error.to_string(), "no token");
        assert_eq!(error.source().unwrap().to_string(), parse.to_string());
    }
}
