//! What rustls needs before the driver may ask it for a connection.

/// Makes ring the process's cryptography, unless the program has chosen already: rustls panics
/// where a program links several and has chosen none.
pub(super) fn choose_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Only fails when somebody else has just chosen, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}
