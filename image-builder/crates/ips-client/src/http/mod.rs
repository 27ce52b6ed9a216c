//! Fetching with patience: every request has limits, what breaks off goes on where it was, what fails is tried again.

mod answer;
mod encoding;
mod error;
mod kept_connections;
mod network;
mod proxy;
mod socks;
mod tls;

use std::fmt;
use std::time::Duration;

use tempfile::SpooledTempFile;
use ureq::http::Response;
use ureq::tls::TlsConfig;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::{Agent, Body, Proxy};

use answer::{Arriving, header, range_start, validator};
pub(crate) use encoding::Form;
use encoding::{is_packed, unpack};
pub use error::HttpError;
use error::no_answer;
pub use network::{ClientKey, Network};
use proxy::Proxies;
pub(crate) use tls::processor_can;

/// How much of an answer is held in memory before it goes to a temporary file, in bytes.
const MEMORY_BYTES: usize = 8 << 20;

/// Progress that is worth another try, however many failed before, in bytes.
const PROGRESS_BYTES: u64 = 64 << 10;

/// The longest that a server can make us wait with `Retry-After`.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// What is fetched, and who looks at it.
pub(crate) struct Wanted<'w> {
    pub(crate) form: Form,
    /// How many bytes it has at most.
    pub(crate) limit: u64,
    /// Looks whether the whole is what it has to be.
    pub(crate) check: &'w dyn Fn(&mut SpooledTempFile) -> Result<(), String>,
    /// Hears how many bytes have come.
    pub(crate) came: &'w dyn Fn(u64),
}

/// Makes requests of one kind of client.
pub(crate) struct HttpClient {
    /// For servers without TLS, and for those with it.
    plain: Agent,
    secure: Agent,
    network: Network,
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").field("network", &self.network).finish_non_exhaustive()
    }
}

impl HttpClient {
    /// A client that shows servers `key`, if there is one. The trust anchors are those of the host, the proxies those of the
    /// environment.
    pub(crate) fn new(network: &Network, key: Option<&ClientKey>) -> Result<Self, HttpError> {
        let tls = tls::config(key)?;
        let proxies = Proxies::of_environment(&|name| std::env::var(name).ok())?;
        let agent = |proxy, is_secure| agent(network, tls.clone(), proxy, is_secure);
        let (plain, secure) = (agent(proxies.for_http, false), agent(proxies.for_https, true));
        Ok(Self { plain, secure, network: network.clone() })
    }

    /// Fetches what is at `url`; none if the server says that there is nothing. A whole answer that is not what is wanted
    /// and was put together from several is fetched anew, in one piece.
    pub(crate) fn fetch(&self, url: &str, wanted: &Wanted<'_>) -> Result<Option<SpooledTempFile>, HttpError> {
        if is_secure(url) && !processor_can() {
            return Err(HttpError::Processor);
        }
        let mut answer = Arriving::new(MEMORY_BYTES);
        let (mut failures, mut may_resume) = (0, true);
        loop {
            let before = answer.received;
            let attempt = self.attempt(url, wanted, &mut answer);
            let error = match attempt
                .and_then(|is_there| if is_there { look_at(&mut answer, wanted).map(|()| true) } else { Ok(false) })
            {
                Ok(is_there) => return Ok(is_there.then_some(answer.content)),
                Err(error) => error,
            };
            if answer.is_whole && answer.was_resumed && may_resume {
                // Put together wrongly.
                may_resume = false;
                answer.reset()?;
                continue;
            }
            let has_progress = !answer.is_whole && answer.received >= before + PROGRESS_BYTES;
            failures = if has_progress { 1 } else { failures + 1 };
            if !error.is_transient() || failures >= self.network.attempts {
                return Err(error);
            }
            if !may_resume || answer.is_whole {
                answer.reset()?;
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
    fn attempt(&self, url: &str, wanted: &Wanted<'_>, answer: &mut Arriving) -> Result<bool, HttpError> {
        let response = kept_connections::call(connections_kept(&self.network), || self.request(url, wanted, answer));
        let response = response.map_err(|error| no_answer(&error))?;
        match response.status().as_u16() {
            200 => answer.reset()?,
            206 if range_start(response.headers()) == Some(answer.received) => answer.was_resumed = true,
            // A part that nobody asked for, or of something else by now: from the beginning.
            206 | 416 => {
                answer.reset()?;
                return Err(HttpError::Broken { received: 0, reason: "the server sent another part".to_owned() });
            }
            404 | 410 => return Ok(false),
            status => {
                let retry_after = header(response.headers(), "retry-after").and_then(|text| text.trim().parse().ok());
                return Err(HttpError::Status { status, retry_after: retry_after.map(Duration::from_secs) });
            }
        }
        answer.validator = validator(response.headers());
        answer.is_packed = is_packed(response.headers(), wanted.form)?;
        answer.receive(response, wanted).map(|()| true)
    }

    /// Asks for what is not in `answer` yet.
    fn request(&self, url: &str, wanted: &Wanted<'_>, answer: &Arriving) -> Result<Response<Body>, ureq::Error> {
        let agent = if is_secure(url) { &self.secure } else { &self.plain };
        let mut request = agent.get(url).header("Accept-Encoding", wanted.form.accepts());
        if answer.received > 0 {
            request = request.header("Range", format!("bytes={}-", answer.received));
            if let Some(validator) = &answer.validator {
                request = request.header("If-Range", validator);
            }
        }
        request.call()
    }
}

/// How many connections are kept for further requests.
fn connections_kept(network: &Network) -> usize {
    network.connections * 2
}

/// Unpacks a whole answer, if it was packed on its way, and looks whether it is what it has to be.
fn look_at(answer: &mut Arriving, wanted: &Wanted<'_>) -> Result<(), HttpError> {
    if answer.is_packed {
        unpack(&mut answer.content, wanted.limit, MEMORY_BYTES)?;
        answer.is_packed = false;
    }
    if answer.is_page() {
        return Err(HttpError::Page);
    }
    (wanted.check)(&mut answer.content).map_err(|reason| HttpError::Content { reason })?;
    answer.rewind()
}

/// `is_secure` is for servers with TLS; none of them can lead to one without.
fn agent(network: &Network, tls: TlsConfig, proxy: Option<Proxy>, is_secure: bool) -> Agent {
    let config = Agent::config_builder()
        .tls_config(tls)
        .https_only(is_secure)
        .proxy(proxy)
        .http_status_as_error(false)
        .timeout_resolve(Some(network.connect))
        .timeout_connect(Some(network.connect))
        .timeout_recv_response(Some(network.stall))
        .timeout_per_read(Some(network.stall))
        .timeout_per_write(Some(network.stall))
        .max_idle_connections_per_host(network.connections)
        .max_idle_connections(connections_kept(network))
        .user_agent(concat!("image-builder/", env!("CARGO_PKG_VERSION")))
        .build();
    Agent::with_parts(config, proxy::connector(), DefaultResolver::default())
}

fn is_secure(url: &str) -> bool {
    url.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"))
}
