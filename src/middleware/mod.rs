//! The layer, and how one request is handled.
//!
//! | file | role |
//! | --- | --- |
//! | `layer`, `service`, `future` | what tower calls; the fast path |
//! | `decision` | classifies a request, judges a response |
//! | `token_choice` | the token of the first send, and that of the retry |
//! | `backup` | what is kept of a request so that it can be retried |
//! | `context` | what a request carries until it is answered |
//! | `slow_path` | waits for tokens, and retries |
//! | `saved_body`, `response_body` | what is kept of a 401 while its request waits; the body of every response |
//! | `local_snapshot` | the private copies of a service that is called often |
//! | `challenge` | what a 401 says of the token |

pub(crate) mod backup;
pub(crate) mod challenge;
pub(crate) mod context;
pub(crate) mod decision;
mod future;
mod layer;
mod local_snapshot;
pub(crate) mod response_body;
pub(crate) mod saved_body;
mod service;
pub(crate) mod slow_path;
pub(crate) mod token_choice;

pub use future::ResponseFuture;
pub use layer::AuthLayer;
pub use response_body::ResponseBody;
pub use service::Auth;
