//! Which bodies can be sent again.
//!
//! After a 401 the layer retries a request once, with a new token. Whether it can depends on the
//! body: bytes in memory can be sent twice, a stream that is gone can't. [`RepeatableBody`] tells
//! the two apart, for each body as it stands and before anything is sent.
//!
//! | body | sent again |
//! | --- | --- |
//! | `()`, `Empty`, `Bytes`, `Full` of `Bytes` or of another shared or static text | yes |
//! | `Option`, `Either`, `Box`, `Pin<Box>` of one that can | yes |
//! | [`ReplayBody`] around any body | yes, if it was short enough and sent to its end |
//! | `BoxBody`, `UnsyncBoxBody`, `Incoming` | no |
//! | [`SendOnce`] around any body, or [`SendOnceLayer`] for all | no, by your own choice |
//!
//! No copy of a body copies its bytes, so a `String` or a `Full<Vec<u8>>` is none of these: make
//! `Full<Bytes>` of them.
//!
//! # Streams
//!
//! [`ReplayBodyLayer`] goes outside [`AuthLayer`](crate::AuthLayer) and gives streams their second
//! chance in one line. A stream goes out as it comes, and a copy of what has gone is kept until
//! the answer is known:
//!
//! ```
//! use std::convert::Infallible;
//!
//! use bytes::Bytes;
//! use futures_util::stream;
//! use http::Request;
//! use http_body::Frame;
//! use http_body_util::{BodyExt, StreamBody};
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_teamup_auth::body::{RepeatableBody, ReplayBody, ReplayBodyLayer};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Infallible> {
//! let stack = ServiceBuilder::new()
//!     .layer(ReplayBodyLayer::new())
//!     // Stands for `AuthLayer` and a client: does with the body what a 401 makes them do.
//!     .service_fn(|request: Request<ReplayBody<_>>| async {
//!         let mut body = request.into_body();
//!         let copy = body.try_clone();
//!         let sent = body.collect().await?.to_bytes();
//!         let again = match copy.filter(RepeatableBody::is_complete) {
//!             Some(copy) => Some(copy.collect().await?.to_bytes()),
//!             None => None,
//!         };
//!         Ok::<_, Infallible>((sent, again))
//!     });
//!
//! let rows = (1..=3).map(|row| Bytes::from(format!("{row}\n")));
//! let rows = rows.map(|row| Ok::<_, Infallible>(Frame::data(row)));
//! let upload = Request::new(StreamBody::new(stream::iter(rows)));
//! let (sent, again) = stack.oneshot(upload).await?;
//! assert_eq!(sent, "1\n2\n3\n");
//! assert_eq!(again, Some(sent));
//! # Ok(())
//! # }
//! ```
//!
//! What is kept takes at most 64 KiB, or what [`ReplayBodyLayer::max_bytes`] says, whatever the
//! buffers that the stream was cut from. It is freed the moment the copy is dropped, which is as
//! soon as the answer is known not to be a 401. Where no copy is taken, nothing is kept.
//!
//! A stream is **not** sent again, and the caller gets the 401, when
//!
//! - it is longer than the cap: what was kept is freed at once, and the stream goes on;
//! - it is still being sent when the 401 comes, or the client dropped it before its end. A body in
//!   memory is sent again even then;
//! - it failed, or it yielded more or less than its `size_hint` or its `Content-Length` promised.
//!
//! Its end is the end of the stream, its trailers or, where the request declares a length, that
//! many bytes: a client that sends a `Content-Length` over HTTP/1.1 asks for nothing after them.
//! This is the one case in which something is taken for granted: where a client drops a stream
//! of a declared length right there, trailers that the stream did not have ready are not known of
//! and not sent again.
//!
//! A copy says of its size what the stream said of its own, so that both sends are framed alike:
//! with a `Content-Length`, or in chunks. Data goes out in one piece instead of many.

mod repeatable;
mod replay;
mod send_once;

pub use repeatable::RepeatableBody;
pub use replay::{ReplayBody, ReplayBodyLayer, ReplayBodyService};
pub use send_once::{SendOnce, SendOnceLayer, SendOnceService};
