//! Which certificates are trusted, and who does the cryptography.

use std::sync::Arc;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;

use super::protocols::Protocols;
use crate::error::Error;

/// What is read from and written to over `S`.
pub(super) type Stream<S> = MaybeHttpsStream<S>;

/// What connects over `C`.
pub(super) type Connector<C> = HttpsConnector<C>;

pub(super) struct Tls {
    pub(super) config: ClientConfig,
    /// Why `config` can verify nobody.
    pub(super) unusable: Option<Arc<str>>,
}

impl Tls {
    /// Trusts what the system trusts, and `roots`.
    pub(super) fn trusting(roots: Vec<CertificateDer<'static>>) -> Self {
        let provider = CryptoProvider::get_default()
            .map_or_else(|| Arc::new(ring::default_provider()), Arc::clone);
        match system_config(&provider, roots) {
            Ok(config) => Tls { config, unusable: None },
            Err(error) => Tls {
                config: trusting_nobody(),
                unusable: Some(
                    format!(
                        "no https connection can be made: {error}; install the system's root \
                         certificates (the package `ca-certificates`, say), or hand some to \
                         `HyperClientBuilder::root_certificates`"
                    )
                    .into(),
                ),
            },
        }
    }

    /// Plain http, or TLS over `inner`, as the URI says.
    pub(super) fn connector<C>(&self, inner: C, offered: Protocols) -> Connector<C> {
        let https =
            HttpsConnectorBuilder::new().with_tls_config(self.config.clone()).https_or_http();
        match offered {
            Protocols::Http1 => https.enable_http1().wrap_connector(inner),
            Protocols::Http1AndHttp2 => https.enable_all_versions().wrap_connector(inner),
        }
    }
}

/// Without TLS.
pub(super) fn plain<S>(stream: S) -> Stream<S> {
    MaybeHttpsStream::Http(stream)
}

fn system_config(
    provider: &Arc<CryptoProvider>,
    roots: Vec<CertificateDer<'static>>,
) -> Result<ClientConfig, rustls::Error> {
    let config = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()?;
    let verifier = verifier(Arc::clone(provider), roots)?;
    Ok(config
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

#[cfg(not(target_os = "android"))]
fn verifier(
    provider: Arc<CryptoProvider>,
    roots: Vec<CertificateDer<'static>>,
) -> Result<Verifier, rustls::Error> {
    Verifier::new_with_extra_roots(roots, provider)
}

#[cfg(target_os = "android")]
fn verifier(
    provider: Arc<CryptoProvider>,
    roots: Vec<CertificateDer<'static>>,
) -> Result<Verifier, rustls::Error> {
    if !roots.is_empty() {
        return Err(rustls::Error::General("Android takes no further roots".to_owned()));
    }
    Verifier::new(provider)
}

fn trusting_nobody() -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring offers what TLS 1.2 and 1.3 need")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth()
}

/// The root certificates in `pem`, each checked.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let unusable = |why: &str| {
        Error::invalid_input(format!(
            "the root certificates can't be used: {why}; hand over the certificates of the \
             authority as PEM text"
        ))
    };
    let mut certificates = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| unusable(&error.to_string()))?;
        RootCertStore::empty()
            .add(certificate.clone())
            .map_err(|error| unusable(&error.to_string()))?;
        certificates.push(certificate);
    }
    if certificates.is_empty() {
        return Err(unusable("there is none in the text"));
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_without_a_usable_certificate_is_refused() {
        for (pem, says) in [
            ("", "there is none"),
            ("no certificate", "there is none"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "can't be used"),
            ("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", "can't be used"),
        ] {
            let error = certificates(pem.as_bytes()).unwrap_err();
            assert!(error.is_invalid_input() && error.to_string().contains(says), "{error}");
        }
    }

    #[cfg(heavy_tests)]
    #[test]
    fn certificate_is_read() {
        let certified = rcgen::generate_simple_self_signed(["teamup.test".to_owned()]).unwrap();
        assert_eq!(certificates(certified.cert.pem().as_bytes()).unwrap().len(), 1);
    }
}
