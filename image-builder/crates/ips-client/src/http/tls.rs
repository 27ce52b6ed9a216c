//! What connections with TLS need: a processor that the cryptography runs on, certificates to trust, a key to show.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig, TlsProvider};

use super::error::HttpError;
use super::network::ClientKey;

/// How TLS is made, for a client that shows servers `key`, if there is one.
pub(super) fn config(key: Option<&ClientKey>) -> Result<TlsConfig, HttpError> {
    if !processor_can() {
        // A provider that is not compiled in: an error instead of an instruction that the processor does not know.
        return Ok(TlsConfig::builder().provider(TlsProvider::NativeTls).build());
    }
    let client = key.map(read_client_key).transpose()?;
    let config = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(rustls_graviola::default_provider()))
        .root_certs(RootCerts::new_with_certs(&host_anchors()))
        .client_cert(client);
    Ok(config.build())
}

/// What the provider of TLS asks of a processor.
pub(crate) fn processor_can() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("aes")
        && std::arch::is_x86_feature_detected!("pclmulqdq")
        && std::arch::is_x86_feature_detected!("ssse3")
        && std::arch::is_x86_feature_detected!("bmi1")
        && std::arch::is_x86_feature_detected!("bmi2")
        && std::arch::is_x86_feature_detected!("adx")
        && std::arch::is_x86_feature_detected!("avx")
        && std::arch::is_x86_feature_detected!("avx2");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes")
        && std::arch::is_aarch64_feature_detected!("sha2")
        && std::arch::is_aarch64_feature_detected!("pmull")
        && std::arch::is_aarch64_feature_detected!("neon");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}

/// The certificates that the host trusts; what cannot be read of them is left out, and then nobody is trusted by it.
fn host_anchors() -> Vec<Certificate<'static>> {
    let found = rustls_native_certs::load_native_certs();
    found.certs.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect()
}

fn read_client_key(files: &ClientKey) -> Result<ClientCert, HttpError> {
    let fail = |path: &Path, reason: String| HttpError::ClientKey { path: path.to_owned(), reason };
    let read = |path: &Path| {
        let mut text = Vec::new();
        let read = File::open(path).and_then(|file| file.take(1 << 20).read_to_end(&mut text));
        read.map(|_| text).map_err(|error| fail(path, error.to_string()))
    };
    let key = PrivateKey::from_pem(&read(&files.key)?).map_err(|error| fail(&files.key, error.to_string()))?;
    let mut chain = Vec::new();
    for item in ureq::tls::parse_pem(&read(&files.certificate)?) {
        match item {
            Ok(ureq::tls::PemItem::Certificate(certificate)) => chain.push(certificate),
            Ok(_) => {}
            Err(error) => return Err(fail(&files.certificate, error.to_string())),
        }
    }
    if chain.is_empty() {
        return Err(fail(&files.certificate, "there is no certificate in it".to_owned()));
    }
    Ok(ClientCert::new_with_certs(&chain, key))
}
