//! The certificate and key of a listener that speaks TLS.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{Error, ServerConfig};

/// Why a listener cannot speak TLS. Nothing of a key is in it.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that cannot be read.
    #[error("{} cannot be read: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A file without what it is for.
    #[error("{} does not hold {expected} in PEM", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What should be in it.
        expected: &'static str,
    },
    /// A key that is not the certificate's.
    #[error("the key in {} is not that of the first certificate in {}", key.display(), cert.display())]
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// A certificate or key of a kind that cannot be used.
    #[error("the certificate in {} and the key in {} cannot be used: {error}", cert.display(), key.display())]
    Unusable {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        error: Error,
    },
}

/// TLS 1.2 and 1.3 with the certificate (its chain after it) and the key of these PEM files, offering HTTP/2 and
/// HTTP/1.1.
///
/// # Errors
/// Names the file that is at fault.
pub fn tls(cert: &Path, key: &Path) -> Result<TlsAcceptor, TlsError> {
    let fault = |path: &Path, expected| {
        let path = path.to_owned();
        move |error| match error {
            pem::Error::Io(error) => TlsError::Io { path, error },
            _ => TlsError::Malformed { path, expected },
        }
    };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .and_then(|chain| {
            if chain.is_empty() {
                Err(pem::Error::NoItemsFound)
            } else {
                Ok(chain)
            }
        })
        .map_err(fault(cert, "a certificate"))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(fault(key, "an unencrypted private key"))?;
    let unusable = |error| {
        let (cert, key) = (cert.to_owned(), key.to_owned());
        match error {
            Error::InconsistentKeys(_) => TlsError::Mismatch { cert, key },
            error => TlsError::Unusable { cert, key, error },
        }
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
