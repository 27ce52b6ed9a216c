//! Fetching with patience: every request has limits, what breaks off goes on where it was, what fails is tried again.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::SpooledTempFile;
use ureq::http::{HeaderMap, Response};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Body};

/// How much of an answer is held in memory before it goes to a temporary file, in bytes.
const MEMORY_BYTES: usize = 8 << 20;

/// Progress that is worth another try, however many failed before, in bytes.
const PROGRESS_BYTES: u64 = 64 << 10;

/// The longest that a server can make us wait with `Retry-After`.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// How the network is used.
#[derive(Debug, Clone)]
pub struct Network {
    /// How long a connection may take.
    pub connect: Duration,
    /// How long nothing may come from a server that is to answer or has begun to.
    pub stall: Duration,
    /// How often a request is made before it counts as failed.
    pub attempts: u32,
    /// The pause after the first failure; it doubles with each one more.
    pub backoff: Duration,
    /// How many files are fetched at once.
    pub connections: usize,
    /// What the client shows servers that want to know it, by the beginning of their addresses.
    pub client_keys: Vec<ClientKey>,
}

/// A key and its certificate, for servers whose addresses begin with a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientKey {
    /// What the addresses begin with.
    pub prefix: String,
    /// The file with the private key, PEM.
    pub key: PathBuf,
    /// The file with the certificate, and those that lead to its authority, PEM.
    pub certificate: PathBuf,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            stall: Duration::from_secs(60),
            attempts: 5,
            backoff: Duration::from_millis(500),
            connections: 8,
            client_keys: Vec::new(),
        }
    }
}

/// A server did not give what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The server refused, or is in trouble.
    #[error("the server answered {status}{}", meaning(*status))]
    Status {
        /// The status code of HTTP.
        status: u16,
        /// The pause that the server asks for.
        retry_after: Option<Duration>,
    },
    /// There was no answer.
    #[error("there was no answer: {reason}")]
    NoAnswer {
        /// The reason.
        reason: String,
        /// Whether another try may help.
        is_transient: bool,
    },
    /// The answer broke off.
    #[error("the answer broke off after {received} bytes: {reason}")]
    Broken {
        /// How many bytes had come.
        received: u64,
        /// The reason.
        reason: String,
    },
    /// The answer is longer than what was asked for can be.
    #[error("the answer is longer than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: u64,
    },
    /// An answer is not what it has to be.
    #[error("{reason}")]
    Content {
        /// The reason.
        reason: String,
    },
    /// A temporary file cannot be written.
    #[error("a temporary file cannot be written")]
    Temporary(#[source] io::Error),
    /// The key of the client cannot be used.
    #[error("{} cannot be used as a key or certificate of the client: {reason}", path.display())]
    ClientKey {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// TLS is not possible here.
    #[error("TLS needs a processor with AES, PCLMULQDQ, ADX, AVX2 and BMI2, or with the cryptography of ARMv8")]
    Processor,
}

fn meaning(status: u16) -> &'static str {
    match status {
        401 | 403 => " (access is denied)",
        407 => " (the proxy wants to know who asks)",
        429 => " (it has had too many requests)",
        500..=599 => " (it is in trouble)",
        _ => "",
    }
}

impl HttpError {
    fn is_transient(&self) -> bool {
        match self {
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504),
            Self::NoAnswer { is_transient, .. } => *is_transient,
            Self::Broken { .. } => true,
            _ => false,
        }
    }
}

/// What an answer says about itself, so that it can be gone on with.
#[derive(Default)]
struct Began {
    /// `ETag`, or else `Last-Modified`.
    validator: Option<String>,
    /// Whether a part was sent, and not the whole anew.
    was_resumed: bool,
}

/// Makes requests of one kind of client.
pub(crate) struct HttpClient {
    agent: Agent,
    network: Network,
    has_tls: bool,
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").field("network", &self.network).finish_non_exhaustive()
    }
}

impl HttpClient {
    /// A client that shows servers `key`, if there is one. The trust anchors are those of the host, the proxy that of the
    /// environment (`https_proxy`, `http_proxy`, `all_proxy`, `no_proxy`).
    pub(crate) fn new(network: &Network, key: Option<&ClientKey>) -> Result<Self, HttpError> {
        let has_tls = processor_can();
        let tls = if has_tls {
            let client = key.map(read_client_key).transpose()?;
            TlsConfig::builder()
                .provider(TlsProvider::Rustls)
                .unversioned_rustls_crypto_provider(Arc::new(rustls_graviola::default_provider()))
                .root_certs(RootCerts::new_with_certs(&host_anchors()))
                .client_cert(client)
                .build()
        } else {
            // A provider that is not compiled in: an error instead of an instruction that the processor does not know.
            TlsConfig::builder().provider(TlsProvider::NativeTls).build()
        };
        let agent = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .timeout_resolve(Some(network.connect))
            .timeout_connect(Some(network.connect))
            .timeout_recv_response(Some(network.stall))
            .timeout_per_read(Some(network.stall))
            .timeout_per_write(Some(network.stall))
            .max_idle_connections_per_host(network.connections)
            .max_idle_connections(network.connections * 2)
            .user_agent(concat!("image-builder/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Ok(Self { agent, network: network.clone(), has_tls })
    }

    /// Fetches what is at `url`, of no more than `limit` bytes; none if the server says that there is nothing.
    ///
    /// `check` looks at the whole answer. If it refuses one that was put together from several, that one is fetched anew,
    /// in one piece.
    pub(crate) fn fetch(
        &self,
        url: &str,
        limit: u64,
        check: &dyn Fn(&mut SpooledTempFile) -> Result<(), String>,
    ) -> Result<Option<SpooledTempFile>, HttpError> {
        if !self.has_tls && url.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:")) {
            return Err(HttpError::Processor);
        }
        let mut answer = SpooledTempFile::new(MEMORY_BYTES);
        let (mut began, mut received, mut failures, mut may_resume) = (Began::default(), 0, 0, true);
        loop {
            let before = received;
            let error = match self.attempt(url, limit, &mut answer, &mut received, &mut began) {
                Ok(false) => return Ok(None),
                Ok(true) => match check(&mut answer) {
                    Ok(()) => {
                        answer.seek(SeekFrom::Start(0)).map_err(HttpError::Temporary)?;
                        return Ok(Some(answer));
                    }
                    Err(_) if began.was_resumed && may_resume => {
                        may_resume = false;
                        reset(&mut answer, &mut received, &mut began)?;
                        continue;
                    }
                    Err(reason) => return Err(HttpError::Content { reason }),
                },
                Err(error) => error,
            };
            failures = if received >= before + PROGRESS_BYTES { 1 } else { failures + 1 };
            if !error.is_transient() || failures >= self.network.attempts {
                return Err(error);
            }
            if !may_resume {
                reset(&mut answer, &mut received, &mut began)?;
            }
            std::thread::sleep(self.pause(failures, &error));
        }
    }

    fn pause(&self, failures: u32, error: &HttpError) -> Duration {
        let own = self.network.backoff.saturating_mul(1 << (failures - 1).min(6));
        match error {
            HttpError::Status { retry_after: Some(asked), .. } => own.max((*asked).min(RETRY_AFTER_MAX)),
            _ => own,
        }
    }

    /// One request; whether there is something. What was received is in `answer`, also after a failure.
    fn attempt(
        &self,
        url: &str,
        limit: u64,
        answer: &mut SpooledTempFile,
        received: &mut u64,
        began: &mut Began,
    ) -> Result<bool, HttpError> {
        let mut request = self.agent.get(url);
        if *received > 0 {
            request = request.header("Range", format!("bytes={received}-"));
            if let Some(validator) = &began.validator {
                request = request.header("If-Range", validator);
            }
        }
        let response = request.call().map_err(|error| no_answer(&error))?;
        match response.status().as_u16() {
            200 => reset(answer, received, began)?,
            206 if range_start(response.headers()) == Some(*received) => began.was_resumed = true,
            // A part that nobody asked for, or of something else by now: from the beginning.
            206 | 416 => {
                reset(answer, received, began)?;
                return Err(HttpError::Broken { received: 0, reason: "the server sent another part".to_owned() });
            }
            404 | 410 => return Ok(false),
            status => {
                let retry_after = header(response.headers(), "retry-after").and_then(|text| text.trim().parse().ok());
                return Err(HttpError::Status { status, retry_after: retry_after.map(Duration::from_secs) });
            }
        }
        began.validator = validator(response.headers());
        receive(response, limit, answer, received).map(|()| true)
    }
}

fn receive(
    response: Response<Body>,
    limit: u64,
    answer: &mut SpooledTempFile,
    received: &mut u64,
) -> Result<(), HttpError> {
    let mut reader = response.into_body().into_reader();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(HttpError::Broken { received: *received, reason: error.to_string() }),
        };
        *received += count as u64;
        if *received > limit {
            return Err(HttpError::TooLong { limit });
        }
        answer.write_all(&buffer[..count]).map_err(HttpError::Temporary)?;
    }
}

fn reset(answer: &mut SpooledTempFile, received: &mut u64, began: &mut Began) -> Result<(), HttpError> {
    answer.set_len(0).and_then(|()| answer.seek(SeekFrom::Start(0))).map_err(HttpError::Temporary)?;
    (*received, *began) = (0, Began::default());
    Ok(())
}

fn no_answer(error: &ureq::Error) -> HttpError {
    use ureq::Error::{BadUri, Http, InvalidProxyUrl, Pem, RequireHttpsOnly, Rustls, Tls, TooManyRedirects};
    let is_for_good = match error {
        BadUri(_) | Http(_) | InvalidProxyUrl | Pem(_) | RequireHttpsOnly(_) | Rustls(_) | Tls(_)
        | TooManyRedirects => true,
        // Certificates that are not to be trusted come wrapped, too.
        ureq::Error::Io(error) => error.kind() == io::ErrorKind::InvalidData,
        _ => false,
    };
    HttpError::NoAnswer { reason: error.to_string(), is_transient: !is_for_good }
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

fn validator(headers: &HeaderMap) -> Option<String> {
    let strong = header(headers, "etag").filter(|tag| !tag.starts_with("W/"));
    strong.or_else(|| header(headers, "last-modified")).map(str::to_owned)
}

/// `Content-Range: bytes START-END/LENGTH`
fn range_start(headers: &HeaderMap) -> Option<u64> {
    let range = header(headers, "content-range")?.trim().strip_prefix("bytes")?;
    range.trim_start().split('-').next()?.parse().ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_a_part() {
        for (text, expected) in
            [("bytes 17-99/100", Some(17)), ("bytes 0-0/*", Some(0)), ("bytes */100", None), ("lines 1-2/3", None)]
        {
            let mut headers = HeaderMap::new();
            headers.insert("content-range", text.parse().unwrap());
            assert_eq!(range_start(&headers), expected, "{text}");
        }
    }

    #[test]
    fn only_strong_tags_tell_whether_the_content_is_the_same() {
        let mut headers = HeaderMap::new();
        headers.insert("last-modified", "Mon".parse().unwrap());
        headers.insert("etag", "W/\"x\"".parse().unwrap());
        assert_eq!(validator(&headers).as_deref(), Some("Mon"));
        headers.insert("etag", "\"x\"".parse().unwrap());
        assert_eq!(validator(&headers).as_deref(), Some("\"x\""));
    }
}
