//! Why a server did not give what was asked of it, and whether another try may help.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

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
    /// The answer is a page for people.
    #[error(
        "what came is a web page: this is not the address of a depot, or something on the way answers in the place of \
         the depot, such as a page to log in"
    )]
    Page,
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
    /// A proxy of the environment is none. Its address may have a password and is not told.
    #[error("the environment variable {variable} names no proxy that can be used: {reason}")]
    Proxy {
        /// The variable.
        variable: &'static str,
        /// The reason.
        reason: String,
    },
    /// TLS is not possible here.
    #[error("TLS needs a processor with AES, PCLMULQDQ, ADX, AVX2 and BMI2, or with the cryptography of ARMv8")]
    Processor,
}

/// What a proxy wants that answers 407.
const WHO_ASKS: &str = " (the proxy wants to know who asks: its address is http://NAME:PASSWORD@HOST:PORT then)";

fn meaning(status: u16) -> &'static str {
    match status {
        401 | 403 => " (access is denied)",
        407 => WHO_ASKS,
        429 => " (it has had too many requests)",
        500..=599 => " (it is in trouble)",
        _ => "",
    }
}

impl HttpError {
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504),
            Self::NoAnswer { is_transient, .. } => *is_transient,
            Self::Broken { .. } => true,
            _ => false,
        }
    }
}

/// What became of a request that was not answered.
pub(super) fn no_answer(error: &ureq::Error) -> HttpError {
    use ureq::Error::{
        BadUri, ConnectProxyFailed, Http, InvalidProxyUrl, Pem, RequireHttpsOnly, Rustls, Tls, TlsRequired,
        TooManyRedirects,
    };
    let is_for_good = match error {
        BadUri(_) | Http(_) | InvalidProxyUrl | Pem(_) | RequireHttpsOnly(_) | Rustls(_) | Tls(_) | TlsRequired
        | TooManyRedirects => true,
        // A refusal stays one; what else a proxy says of its connection to the depot may pass.
        ConnectProxyFailed(reason) => reason.starts_with("proxy server responded 4"),
        // Certificates that are not to be trusted come wrapped, too.
        ureq::Error::Io(error) => error.kind() == io::ErrorKind::InvalidData,
        _ => false,
    };
    let reason = match error {
        RequireHttpsOnly(to) => format!(
            "it leads from https to {}, where anybody could answer; if that is meant, name that address itself",
            crate::Address::Depot(to.clone()).shown()
        ),
        TooManyRedirects => format!("{error}: it leads in a circle, or too far"),
        ConnectProxyFailed(reason) if reason.starts_with("proxy server responded 407") => format!("{error}{WHO_ASKS}"),
        ConnectProxyFailed(_) => {
            format!("{error}; the proxy has to allow CONNECT to the port of the depot, or `no_proxy` has to name it")
        }
        _ => error.to_string(),
    };
    HttpError::NoAnswer { reason, is_transient: !is_for_good }
}
