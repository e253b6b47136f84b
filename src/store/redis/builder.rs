//! How a [`RedisStore`] is set up.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use ::redis::{AsyncConnectionConfig, Client, ConnectionInfo, IntoConnectionInfo};

use super::server::Server;
use super::source::{Connect, RedisSource, Source, shared};
use super::{Configuration, RedisStore};
use crate::error::Error;
use crate::store::RecordFormat;
use crate::store::timed_lease::check_lifetime;
#[cfg(feature = "encryption")]
use crate::store::{EncryptionKey, Sealing};

const PREFIX: &str = "tower-teamup-auth";
const LEASE_LIFETIME: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(3);

/// A dead peer is a failed connection after this long without an answer to a probe.
const DEAD_AFTER: Duration = Duration::from_secs(10);

/// Sets up a [`RedisStore`]; made by [`RedisStore::builder`].
///
/// ```
/// use std::time::Duration;
///
/// use tower_teamup_auth::store::RedisStore;
///
/// let store = RedisStore::builder("redis://cache.internal:6379", "studio-7")
///     .key_prefix("bookings")
///     .lease_lifetime(Duration::from_secs(5))
///     .build()?;
/// # Ok::<(), tower_teamup_auth::Error>(())
/// ```
pub struct RedisStoreBuilder {
    source: RedisSource,
    key: String,
    prefix: String,
    lease_lifetime: Duration,
    timeout: Option<Duration>,
    format: RecordFormat,
    #[cfg(feature = "redis-tls")]
    root_certificates: Option<Vec<u8>>,
}

impl RedisStoreBuilder {
    pub(super) fn new(source: RedisSource, key: String) -> Self {
        RedisStoreBuilder {
            source,
            key,
            prefix: PREFIX.to_owned(),
            lease_lifetime: LEASE_LIFETIME,
            timeout: None,
            format: RecordFormat::plain("redis"),
            #[cfg(feature = "redis-tls")]
            root_certificates: None,
        }
    }

    /// What the keys in Redis begin with: `tower-teamup-auth` unless set.
    ///
    /// The record of the credential `key` stands under `prefix:{key}`, and the lease beside it under
    /// `prefix:{key}:lease`. `prefix:{key}:check` is written and removed at build.
    #[must_use]
    pub fn key_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How long the lease outlives a holder that has died or lost its connection: 10 s unless set,
    /// 1 s at least and 1 h at most. A credential renews it in time.
    #[must_use]
    pub fn lease_lifetime(mut self, lifetime: Duration) -> Self {
        self.lease_lifetime = lifetime;
        self
    }

    /// How long one call to Redis may take, connecting included: 3 s unless set, or a third of a
    /// shorter lease lifetime; half the lease lifetime at most.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Seals the record with `key`, which Redis never sees. The same as
    /// [`seal_with`](RedisStoreBuilder::seal_with) and [`Sealing::new`].
    #[cfg(feature = "encryption")]
    #[cfg_attr(docsrs, doc(cfg(feature = "encryption")))]
    #[must_use]
    pub fn encrypt_with(self, key: EncryptionKey) -> Self {
        self.seal_with(Sealing::new(key))
    }

    /// Seals the record as `sealing` says, bound to its key.
    #[cfg(feature = "encryption")]
    #[cfg_attr(docsrs, doc(cfg(feature = "encryption")))]
    #[must_use]
    pub fn seal_with(mut self, sealing: Sealing) -> Self {
        self.format = self.format.sealed(sealing);
        self
    }

    /// The certificates, in PEM form, that a `rediss://` server's certificate must lead back to,
    /// instead of those that the machine trusts.
    #[cfg(feature = "redis-tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "redis-tls")))]
    #[must_use]
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root_certificates = Some(pem.into());
        self
    }

    /// Sets the store up. It connects when it is first used; [`RedisStore::connect`] does so at
    /// once.
    ///
    /// # Errors
    ///
    /// When the URL can't be used, the prefix is empty or holds a brace (Redis Cluster would place
    /// the two keys apart), or a duration is out of its range.
    /// [`Error::is_invalid_input`] is true of the error, and the URL is not repeated in it.
    pub fn build(self) -> Result<RedisStore, Error> {
        let lifetime = self.lease_lifetime;
        check_lifetime(lifetime)?;
        let timeout = self.timeout.unwrap_or_else(|| TIMEOUT.min(lifetime / 3));
        if timeout.is_zero() || timeout > lifetime / 2 {
            return Err(Error::invalid_input(format!(
                "a Redis timeout of {timeout:?} is out of range: above zero, and half the lease \
                 lifetime of {lifetime:?} at most, so that a renewal can fail once"
            )));
        }
        check_prefix(&self.prefix)?;
        #[cfg(feature = "redis-tls")]
        let pem = self.root_certificates;
        let server = match self.source.0 {
            Source::Url(url) => {
                let info = parse(&url)?.set_tcp_settings(tcp_settings());
                #[cfg(feature = "redis-tls")]
                let info = match pem {
                    Some(pem) => with_root_certificates(info, pem)?,
                    None => info,
                };
                let settings = info.redis_settings();
                let secrets = settings.password().into_iter().chain(settings.username());
                let secrets = secrets.map(str::to_owned).collect();
                let address = format!("Redis at {}", info.addr());
                Server::new(connector(info)?, address, secrets, timeout)
            }
            Source::Connect(connect) => {
                #[cfg(feature = "redis-tls")]
                if pem.is_some() {
                    return Err(Error::invalid_input(
                        "root certificates are for a Redis that is given by its URL; a connection \
                         of the program's own has its own",
                    ));
                }
                Server::new(connect, "Redis".to_owned(), Vec::new(), timeout)
            }
        };
        let configuration = Configuration {
            server: Arc::new(server),
            prefix: self.prefix.into(),
            lease_lifetime: lifetime,
            format: self.format,
        };
        Ok(RedisStore::open(configuration, &self.key))
    }
}

/// Makes connections to the Redis that a URL names.
fn connector(info: ConnectionInfo) -> Result<Box<Connect>, Error> {
    #[cfg(feature = "redis-tls")]
    let needs_tls = matches!(info.addr(), redis::ConnectionAddr::TcpTls { .. });
    let client = Client::open(info).map_err(|error| refused_url(&constant_part(&error)))?;
    Ok(Box::new(move || {
        let client = client.clone();
        #[cfg(feature = "redis-tls")]
        if needs_tls {
            super::tls::choose_provider();
        }
        Box::pin(async move {
            // The limit of the whole call is the only one.
            let unlimited = AsyncConnectionConfig::new()
                .set_connection_timeout(None)
                .set_response_timeout(None);
            client.get_multiplexed_async_connection_with_config(&unlimited).await.map(shared)
        })
    }))
}

/// A command is one small packet, and its answer is waited for. A peer that is gone is found while
/// the connection is idle, by keep-alive, and while a command is under way, by the user time-out.
fn tcp_settings() -> TcpSettings {
    let probes = TcpKeepalive::new().with_time(DEAD_AFTER.saturating_mul(3));
    #[cfg(any(target_os = "linux", target_os = "macos", target_os = "windows"))]
    let probes = probes.with_interval(DEAD_AFTER / 2);
    let settings = TcpSettings::default().set_nodelay(true).set_keepalive(probes);
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    let settings = settings.set_user_timeout(DEAD_AFTER);
    settings
}

#[cfg(feature = "redis-tls")]
fn with_root_certificates(info: ConnectionInfo, pem: Vec<u8>) -> Result<ConnectionInfo, Error> {
    let certificates = redis::TlsCertificates { client_tls: None, root_cert: Some(pem) };
    let client = Client::build_with_tls(info, certificates).map_err(|error| {
        Error::invalid_input(format!("the root certificates can't be used: {error}"))
    })?;
    Ok(client.get_connection_info().clone())
}

impl fmt::Debug for RedisStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStoreBuilder")
            .field("key", &self.key)
            .field("prefix", &self.prefix)
            .field("lease_lifetime", &self.lease_lifetime)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// Refuses what would move the hash tag of a cluster.
pub(super) fn check_prefix(prefix: &str) -> Result<(), Error> {
    if prefix.is_empty() {
        Err(Error::invalid_input("the Redis key prefix is empty"))
    } else if prefix.contains(['{', '}']) {
        Err(Error::invalid_input(format!(
            "the Redis key prefix `{prefix}` holds a brace, and braces mark what a cluster places \
             keys by"
        )))
    } else {
        Ok(())
    }
}

/// Reads the URL, and says what is wrong with it without showing a piece of it: what was meant as
/// a host may turn out to be the end of a password.
fn parse(url: &str) -> Result<ConnectionInfo, Error> {
    let url = url::Url::parse(url).map_err(|error| refused_url(&error))?;
    match url.scheme() {
        "redis" | "valkey" | "redis+unix" | "valkey+unix" | "unix" => {}
        "rediss" | "valkeys" if cfg!(feature = "redis-tls") => {}
        "rediss" | "valkeys" => {
            return Err(refused_url(&"TLS needs the feature `redis-tls` of tower-teamup-auth"));
        }
        _ => return Err(refused_url(&"its scheme is neither redis://, rediss:// nor unix://")),
    }
    url.into_connection_info().map_err(|error| refused_url(&constant_part(&error)))
}

fn refused_url(why: &dyn fmt::Display) -> Error {
    Error::invalid_input(format!(
        "the Redis URL can't be used: {why}. It looks like redis://user:password@host:6379/0, with \
         special characters in the password percent-encoded"
    ))
}

/// The driver's words are constant, up to a dash; what follows may show a piece of the URL.
fn constant_part(error: &redis::RedisError) -> String {
    error.to_string().split(" - ").next().unwrap_or_default().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(builder: RedisStoreBuilder) -> String {
        let error = builder.build().unwrap_err();
        assert!(error.is_invalid_input(), "{error:?}");
        format!("{error} {error:?}")
    }

    fn at(url: &str) -> RedisStoreBuilder {
        RedisStore::builder(url, "user-1")
    }

    #[test]
    fn p5_a_url_that_can_not_be_used_is_explained_without_its_password() {
        for (url, said) in [
            ("redis://user:s3cret@host:port/0", "invalid port number"),
            ("redis://user:s3cret#@host:6379/0", "invalid port number"),
            ("redis://user:s3cret@/0", "empty host"),
            ("redis://:s3cret@host/zero", "database number"),
            ("redis://:s3cret@host/?protocol=s3cret", "protocol version"),
            ("redis://:s3cret@0.0.0.0/", "wildcard"),
            ("https://user:s3cret@host/", "scheme"),
            ("s3cret", "relative URL without a base"),
            ("", "relative URL without a base"),
        ] {
            let refusal = refusal(at(url));
            assert!(refusal.contains(said), "{url}: {refusal}");
            assert!(!refusal.contains("s3cret"), "{url}: {refusal}");
        }
    }

    #[test]
    fn p5_debug_shows_where_and_not_with_what() {
        let builder = at("redis://user:s3cret@cache.internal:6380/2");
        assert!(!format!("{builder:?} {:?}", builder.source).contains("s3cret"));
        let store = builder.build().unwrap();
        let shown = format!("{store:?}");
        assert!(shown.contains("cache.internal:6380") && shown.contains("user-1"), "{shown}");
        assert!(!shown.contains("s3cret"), "{shown}");
    }

    #[test]
    fn prefixes_that_would_place_keys_apart_are_refused() {
        assert!(refusal(at("redis://host").key_prefix("a{}")).contains("brace"));
        assert!(refusal(at("redis://host").key_prefix("")).contains("prefix is empty"));
        let store = at("redis://host").build().unwrap();
        assert!(store.family("a{b}").unwrap_err().is_invalid_input());
    }

    #[test]
    fn a_peer_that_is_gone_is_found_by_keep_alive_and_by_the_user_time_out() {
        let settings = tcp_settings();
        assert!(settings.nodelay());
        let probes = format!("{:?}", settings.keepalive().unwrap());
        assert!(probes.contains("time: Some(30s)"), "{probes}");
        #[cfg(any(target_os = "linux", target_os = "macos", target_os = "windows"))]
        assert!(probes.contains("interval: Some(5s)"), "{probes}");
        #[cfg(target_os = "linux")]
        assert_eq!(settings.user_timeout(), Some(DEAD_AFTER));
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_for_a_change_comes_after_a_pause() {
        let store = at("redis://host").build().unwrap();
        let changed = crate::store::TokenStore::changed(&store);
        tokio::pin!(changed);
        assert!(tokio::time::timeout(Duration::from_millis(19), &mut changed).await.is_err());
        tokio::time::timeout(Duration::from_millis(90), changed).await.unwrap();
    }

    #[test]
    fn durations_out_of_range_are_refused() {
        let second = Duration::from_secs(1);
        for builder in [
            at("redis://host").lease_lifetime(Duration::from_millis(999)),
            at("redis://host").lease_lifetime(Duration::MAX),
            at("redis://host").timeout(Duration::ZERO),
            at("redis://host").timeout(6 * second),
        ] {
            assert!(refusal(builder).contains("out of range"));
        }
        at("redis://host").lease_lifetime(second).build().unwrap();
        at("redis://host").lease_lifetime(10 * second).timeout(5 * second).build().unwrap();
    }

    #[cfg(feature = "redis-tls")]
    #[test]
    fn root_certificates_need_tls_and_must_be_certificates() {
        let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(refusal(at("redis://host").root_certificates(pem)).contains("root certificates"));
        assert!(refusal(at("rediss://host").root_certificates(pem)).contains("root certificates"));
    }
}
