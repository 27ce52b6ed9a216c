//! Proxies of the environment: which there are, and how depots are reached through them.
//!
//! Depots with TLS are reached by `CONNECT`, after which the proxy only passes on what it cannot read. To those without TLS
//! many proxies allow no `CONNECT`; they are asked as RFC 9112, section 3.2.2 has it: with the whole address in the
//! request. The HTTP library only knows the first way, so the second one is a connector of ours. SOCKS proxies pass on
//! whatever it is.

use std::fmt;
use std::io;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ureq::Proxy;
use ureq::http::Uri;
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, Either, NextTimeout, RustlsConnector, TcpConnector,
    Transport,
};

use super::error::HttpError;
use super::kept_connections::CountConnector;
use super::socks::{SocksProxyConnector, is_socks};

/// The proxies for servers without TLS, and for those with it.
pub(super) struct Proxies {
    pub(super) for_http: Option<Proxy>,
    pub(super) for_https: Option<Proxy>,
}

impl Proxies {
    /// Reads `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`, in small letters before capitals.
    ///
    /// # Errors
    /// What stands there is no address of a proxy, or one of a kind that is not known.
    pub(super) fn of_environment(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, HttpError> {
        let first = |names: &[&'static str]| {
            let mut set = names.iter().filter_map(|name| Some((*name, variable(name)?)));
            set.find(|(_, value)| !value.trim().is_empty())
        };
        let except = first(&["no_proxy", "NO_PROXY"]).map(|(_, names)| names).unwrap_or_default();
        let proxy = |names: &[&'static str]| {
            let found = first(names);
            found.map(|(variable, address)| read(variable, address.trim(), &except)).transpose()
        };
        Ok(Self {
            for_http: proxy(&["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])?,
            for_https: proxy(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])?,
        })
    }
}

const NO_PROXY_ADDRESS: &str =
    "its value is not the address of a proxy, such as http://HOST:PORT, https://HOST:PORT or socks5h://HOST:PORT";

fn read(variable: &'static str, address: &str, except: &str) -> Result<Proxy, HttpError> {
    let fail = |reason: &str| HttpError::Proxy { variable, reason: reason.to_owned() };
    let given = Proxy::new(address).map_err(|_| fail(NO_PROXY_ADDRESS))?;
    let mut builder = Proxy::builder(given.protocol()).host(given.host()).port(given.port());
    if let Some(username) = given.username() {
        builder = builder.username(username);
    }
    if let Some(password) = given.password() {
        builder = builder.password(password);
    }
    for name in except.split([',', ' ']).filter(|name| !name.is_empty()) {
        // A name stands for all names below it, too.
        let domain = name.trim_start_matches('*').trim_start_matches('.');
        builder = match name {
            "*" => builder.no_proxy("*"),
            _ => builder.no_proxy(domain).no_proxy(&format!(".{domain}")),
        };
    }
    builder.build().map_err(|_| fail(NO_PROXY_ADDRESS))
}

/// How servers are reached: directly, or in one of the three ways through a proxy.
pub(super) fn connector() -> impl Connector {
    ().chain(CountConnector)
        .chain(SocksProxyConnector::default())
        .chain(ForwardConnector { to_proxy: direct() })
        .chain(ConnectProxyConnector::default())
        .chain(TcpConnector::default())
        .chain(RustlsConnector::default())
}

fn direct() -> impl Connector {
    ().chain(TcpConnector::default()).chain(RustlsConnector::default())
}

/// Connects to the proxy where a server without TLS is meant.
#[derive(Debug)]
struct ForwardConnector<C> {
    to_proxy: C,
}

impl<In: Transport, C: Connector> Connector<In> for ForwardConnector<C> {
    type Out = Either<In, Forwarded<C::Out>>;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, ureq::Error> {
        if let Some(transport) = chained {
            return Ok(Some(Either::A(transport)));
        }
        let forwards = |proxy: &&Proxy| !is_socks(proxy) && !details.needs_tls() && !proxy.is_no_proxy(details.uri);
        let Some(proxy) = details.config.proxy().filter(forwards) else { return Ok(None) };
        let addrs = details.resolver.resolve(proxy.uri(), details.config, details.timeout)?;
        let to_proxy = ConnectionDetails {
            uri: proxy.uri(),
            addrs,
            config: details.config,
            request_level: details.request_level,
            resolver: details.resolver,
            now: details.now,
            timeout: details.timeout,
            current_time: details.current_time.clone(),
            run_connector: details.run_connector.clone(),
            register_shutdown: details.register_shutdown.clone(),
        };
        let target = Target::new(details.uri, proxy);
        let connected = self.to_proxy.connect(&to_proxy, None)?;
        Ok(connected.map(|transport| Either::B(Forwarded { transport, target, is_at_head: true })))
    }
}

/// A connection to a proxy over which requests go that are meant for another server.
struct Forwarded<T> {
    transport: T,
    target: Target,
    /// Whether what is sent next begins a request.
    is_at_head: bool,
}

impl<T> fmt::Debug for Forwarded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forwarded").field("origin", &self.target.origin).finish_non_exhaustive()
    }
}

impl<T: Transport> Transport for Forwarded<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.transport.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        const HEAD_END: &[u8] = b"\r\n\r\n";
        let output = self.transport.buffers().output();
        // Nothing but requests without a body is sent.
        let is_whole = output[..amount].ends_with(HEAD_END);
        let mut amount = amount;
        if self.is_at_head {
            let head = self.target.absolute(&output[..amount]);
            let Some(place) = output.get_mut(..head.len()) else {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "the request is too long for a proxy").into());
            };
            place.copy_from_slice(&head);
            amount = head.len();
        }
        self.is_at_head = is_whole;
        self.transport.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.transport.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.transport.is_open()
    }
}

/// What a proxy has to be told beside the path.
struct Target {
    /// `http://` with the server, and its port if it is another than usual.
    origin: String,
    /// A line of the header by which the proxy knows who asks, or nothing.
    authorization: String,
}

impl Target {
    fn new(uri: &Uri, proxy: &Proxy) -> Self {
        let port = uri.port_u16().filter(|port| *port != 80).map(|port| format!(":{port}")).unwrap_or_default();
        let origin = format!("http://{}{port}", uri.host().unwrap_or_default());
        let authorization = match (proxy.username(), proxy.password()) {
            (None, None) => String::new(),
            (username, password) => {
                let who = format!("{}:{}", username.unwrap_or_default(), password.unwrap_or_default());
                format!("Proxy-Authorization: Basic {}\r\n", BASE64_STANDARD.encode(who))
            }
        };
        Self { origin, authorization }
    }

    /// The beginning of a request, with the whole address in its first line.
    fn absolute(&self, head: &[u8]) -> Vec<u8> {
        let path = head.iter().position(|byte| *byte == b' ').map_or(0, |space| space + 1);
        let headers = head.iter().position(|byte| *byte == b'\n').map_or(head.len(), |newline| newline + 1);
        let parts = [&head[..path], self.origin.as_bytes(), &head[path..headers], self.authorization.as_bytes()];
        [&parts.concat(), &head[headers..]].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &'static [(&str, &str)]) -> Result<Proxies, HttpError> {
        let value =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Proxies::of_environment(&value)
    }

    fn shown(proxy: Option<&Proxy>) -> String {
        proxy.map_or_else(|| "none".to_owned(), |proxy| format!("{}:{}", proxy.host(), proxy.port()))
    }

    #[test]
    fn each_scheme_has_its_proxy() {
        for (variables, http, https) in [
            (&[][..], "none", "none"),
            (&[("http_proxy", "http://a:1"), ("https_proxy", "http://b:2")], "a:1", "b:2"),
            (&[("HTTP_PROXY", "a:1"), ("http_proxy", "c:3"), ("all_proxy", "http://d")], "c:3", "d:80"),
            (&[("http_proxy", " "), ("ALL_PROXY", "https://d/")], "d:443", "d:443"),
            (&[("http_proxy", "http://user:pa%40ss@[::1]:8080/")], "[::1]:8080", "none"),
            (&[("all_proxy", "socks5h://a"), ("http_proxy", "SOCKS5://b:2")], "b:2", "a:1080"),
        ] {
            let found = proxies(variables).unwrap();
            assert_eq!((shown(found.for_http.as_ref()), shown(found.for_https.as_ref())), (http.into(), https.into()));
        }
    }

    #[test]
    fn what_is_no_proxy_is_told_without_its_value() {
        for (value, reason) in [("ftp://secret@a", "or socks5h://HOST:PORT"), ("http://", "not the address")] {
            let variables: &'static [(&str, &str)] = Box::leak(Box::new([("all_proxy", value)]));
            let error = proxies(variables).err().unwrap().to_string();
            assert!(error.contains("all_proxy") && error.contains(reason) && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn names_that_are_reached_directly() {
        let found = proxies(&[("http_proxy", "p"), ("no_proxy", "a.org, .b.org,*.c.org,127.0.0.1")]).unwrap();
        let proxy = found.for_http.unwrap();
        for (host, expected) in [
            ("a.org", true),
            ("x.a.org", true),
            ("xa.org", false),
            ("b.org", true),
            ("x.b.org", true),
            ("x.c.org", true),
            ("127.0.0.1", true),
            ("d.org", false),
        ] {
            let uri: Uri = format!("http://{host}/x").parse().unwrap();
            assert_eq!(proxy.is_no_proxy(&uri), expected, "{host}");
        }
        let none = proxies(&[("http_proxy", "p"), ("no_proxy", "*")]).unwrap().for_http.unwrap();
        assert!(none.is_no_proxy(&"http://d.org/".parse().unwrap()));
    }

    #[test]
    fn the_whole_address_and_who_asks_are_in_the_request() {
        let proxy = Proxy::new("http://me:p%3Aw@proxy:3128").unwrap();
        for (uri, origin) in [
            ("http://depot.org/", "http://depot.org"),
            ("http://me:too@depot.org:80/", "http://depot.org"),
            ("http://[::1]:8080/x", "http://[::1]:8080"),
        ] {
            let target = Target::new(&uri.parse().unwrap(), &proxy);
            let request = target.absolute(b"GET /versions/0 HTTP/1.1\r\nhost: h\r\n\r\n");
            assert_eq!(
                String::from_utf8(request).unwrap(),
                format!("GET {origin}/versions/0 HTTP/1.1\r\nProxy-Authorization: Basic bWU6cDp3\r\nhost: h\r\n\r\n")
            );
        }
        let nobody = Target::new(&"http://a/".parse().unwrap(), &Proxy::new("proxy").unwrap());
        assert_eq!(nobody.absolute(b"GET / HTTP/1.1\r\n"), b"GET http://a/ HTTP/1.1\r\n");
    }
}
