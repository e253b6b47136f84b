//! Kubernetes and Docker: volumes, secrets, grace periods, probes.
//!
//! # Which store
//!
//! | deployment | store |
//! | --- | --- |
//! | several replicas | Redis or PostgreSQL |
//! | one replica, `Recreate` | the same, or a file on a persistent volume |
//! | several processes in one container or on one host | a file on a local volume |
//! | M2M token | none: the token is a secret |
//!
//! A file in the container's own layer, or in an `emptyDir`, is gone with the container or the pod, and
//! the login with it. A volume that several nodes mount over a network has no reliable locks.
//!
//! A rolling update runs the old and the new pod at the same time. Both share the store, so this does no
//! harm with Redis or PostgreSQL. With a file, use `Recreate`, or see that both pods run on one node.
//!
//! # Mount the folder
//!
//! A save replaces the file by a rename, so a single file that is mounted can't be replaced.
//! [`build`](crate::CredentialsBuilder::build) refuses it. Mount the folder:
//!
//! ```text
//! docker run --volume teamup-tokens:/var/lib/studio …        # the folder
//! docker run --volume /srv/teamup.json:/var/lib/studio/…     # refused: the file
//! ```
//!
//! The store needs a folder that it can write, also where the rest of the file system is read-only
//! (`readOnlyRootFilesystem`). Beside the file stand `<name>.lock` and short-lived temporary files.
//!
//! # `fsGroup` and users
//!
//! Set `runAsUser`, so that the file belongs to the same user after each restart: a file of another user
//! is not trusted. With `fsGroup`, the kubelet opens files to their group at each mount. The store makes
//! its own file private again and logs a warning.
//!
//! ```text
//! securityContext: { runAsUser: 10001, runAsNonRoot: true, fsGroup: 10001,
//!                    fsGroupChangePolicy: OnRootMismatch }
//! ```
//!
//! `OnRootMismatch` leaves files alone when the volume's root has the right group.
//!
//! # Secrets
//!
//! | secret | how to pass it |
//! | --- | --- |
//! | M2M token | a mounted file, read by [`TokenFile`](crate::m2m::TokenFile) |
//! | key of an encrypted store | a variable or a file, parsed as `EncryptionKey` |
//! | password of Redis or PostgreSQL | in the URL, from a variable |
//! | refresh token of a first login | a seed, see below |
//!
//! A mounted secret is replaced by moving a symbolic link. `TokenFile` opens the path anew each time, so
//! it follows the link:
//!
//! ```no_run
//! use tower_teamup_auth::m2m::{M2mSource, TokenFile};
//! use tower_teamup_auth::{BoxError, Credentials};
//!
//! async fn credentials() -> Result<Credentials, BoxError> {
//!     let token = TokenFile::new("/run/secrets/teamup-token").token().await?;
//!     Ok(Credentials::m2m(token).provider_id(54664).build().await?)
//! }
//! ```
//!
//! # Seeds
//!
//! A refresh token in a secret is good for the first start alone: the first refresh spends it. Pass it as
//! a [seed](crate::CredentialsBuilder::tokens) beside a store. A store that holds a login ignores seeds.
//! Where the user is signed out or the login was rejected, a seed that the store has not seen is a new
//! login.
//!
//! A fleet that is logged in elsewhere takes no seed and sets
//! [`require_stored`](crate::CredentialsBuilder::require_stored): a store that lost its data is then an
//! error of `build`.
//!
//! # Grace periods
//!
//! On SIGTERM, finish requests and call [`shutdown`](crate::Credentials::shutdown). It waits for a
//! refresh request under way, which is normally answered in less than a second:
//!
//! ```
//! use std::future::Future;
//! use tower_teamup_auth::{Credentials, Error};
//!
//! /// `sigterm` resolves on the signal: see `tokio::signal`.
//! async fn end(sigterm: impl Future<Output = ()>, credentials: Credentials) -> Result<(), Error> {
//!     sigterm.await;
//!     // Stop the server and wait for its requests here.
//!     credentials.shutdown().await
//! }
//! ```
//!
//! | setting | value | reason |
//! | --- | --- | --- |
//! | `terminationGracePeriodSeconds` | 150 | the longest refresh request (two minutes, 5 s), and a save |
//! | `docker stop --time` | 150 | its default is 10 s |
//! | the program's process | PID 1, or under an init that passes signals on | a shell as PID 1 passes none |
//!
//! A shorter period only matters while the endpoint is slow. A process that is killed then loses the
//! login if TeamUp has rotated the token.
//!
//! # Probes
//!
//! | probe | ask | why |
//! | --- | --- | --- |
//! | startup | [`Credentials::refresh`](crate::Credentials::refresh) has succeeded | the login is good |
//! | readiness | [`is_ready`](crate::status::Status::is_ready) or [`is_healthy`](crate::status::Status::is_healthy) | traffic only where it can be served |
//! | liveness | nothing of this crate | a restart does not bring a login back |
//!
//! # Clocks
//!
//! Nodes keep their clocks together by NTP. Expiry is judged by the wall clock and the monotonic clock; a
//! wrong wall clock costs an early refresh or a 401, and no login.
